//! What is told of the server beside single lines of the log: facts, the outcome of reloads, and the status.

pub(crate) mod facts;
pub(crate) mod last_reload;
pub(crate) mod owner;
pub(crate) mod status;
pub(crate) mod workers;
