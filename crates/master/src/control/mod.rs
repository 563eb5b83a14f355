//! The control socket, as both ends see it, and the master's end.

pub(crate) mod protocol;
pub(crate) mod server;

pub use protocol::{Answer, CanaryAsked, Request, Setting, Way, candidates, default_path};
