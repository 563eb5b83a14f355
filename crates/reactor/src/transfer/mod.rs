//! Connections to and from other workers: the queue that all workers share, and what a connection is packed into.
//!
//! A connection that waits for its next request, reads a head, has a complete request, or whose client takes a response
//! slowly can go. What was received goes with it and is parsed again on the other side; no state of a parser crosses.
//! When the queue does not take a connection it stays where it is. A connection in the queue belongs to no worker: no
//! time limit looks at it until one takes it.
//!
//! A worker takes from the queue as it accepts: only when it has nothing else to serve. See `wire::Handoff` for the
//! message. An empty one carries no connection: a worker without room wakes another with it, for the listeners.

mod pack;
mod peers;
mod queue;
mod unpack;

pub(crate) use peers::Peers;
pub(crate) use queue::{Arrival, Queue, RETRY_MS};
