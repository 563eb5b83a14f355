//! The service manager: what it is told, and the sockets that it keeps.

pub(crate) mod fd_store;
pub(crate) mod owner;
pub(crate) mod summary;
