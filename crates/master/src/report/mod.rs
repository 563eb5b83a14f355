//! What is told of the server: log lines and the files behind them, facts, and the status.

pub(crate) mod facts;
pub(crate) mod last_reload;
pub(crate) mod log;
pub(crate) mod log_files;
pub(crate) mod owner;
pub(crate) mod status;
