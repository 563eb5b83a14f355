//! From what the application returned to bytes on the wire.

mod content;
pub(crate) mod fields;
mod respond;
mod sink;

pub(crate) use respond::{Outcome, respond};
