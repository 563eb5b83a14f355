//! The service manager: what it is told, and the sockets that it keeps.

pub(crate) mod notifier;
