//! What is told of the server beside single lines of the log: facts, the outcome of reloads, and the status.

pub(crate) mod banner;
pub(crate) mod deaths;
pub(crate) mod facts;
pub(crate) mod memory;
pub(crate) mod owner;
pub(crate) mod reloads;
pub(crate) mod services;
pub(crate) mod status;
pub(crate) mod workers;
