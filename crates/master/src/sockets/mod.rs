//! The sockets that are listened on, and the queue that workers share.

pub(crate) mod bound;
pub(crate) mod error;
pub(crate) mod inherited;
pub(crate) mod listeners;
pub(crate) mod orphans;
pub(crate) mod owner;
pub(crate) mod queue;

pub(crate) use error::Error;
