//! What is told of the server: log lines, facts, and the status.

pub(crate) mod facts;
pub(crate) mod log;
pub(crate) mod log_files;
pub(crate) mod status;
