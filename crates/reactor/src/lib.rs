//! The connections of one worker: sockets, epoll, accept, buffers, deadlines. It knows no Ruby.
//!
//! # How a worker uses it
//!
//! ```text
//! loop {
//!     match reactor.turn() {
//!         Turn::Request(token)  ── reactor.request(token): the complete request; reactor.take_body(token)
//!                                  reactor.send(token, parts)…, reactor.send_file(token, …), reactor.finish(token, …)
//!         Turn::Wait(timeout)   ── reactor.poller().wait(&mut events, timeout), then reactor.absorb(&mut events)
//!         Turn::Control         ── the watched control socket can be read
//!         Turn::Retired         ── the last connection is gone, leave
//!     }
//! }
//! ```
//!
//! Nothing here blocks: [`Poller::wait`] is a handle of its own, so that a caller with a lock (Ruby's) can give the lock
//! up around it. A connection is registered with epoll only when it has to wait; a client that sends its request at
//! once and wants the connection closed costs accept, receive, send and close.
//!
//! The worker keeps its reactor in a [`Desk`], and lends it to a helper thread while the application works: see
//! `stand_in`. Connections go to other workers and come from them through a queue: see `handoff`.
//!
//! # Invariants
//! - One request at a time is handed out; the next turn comes after [`Reactor::finish`] or [`Reactor::detach`].
//! - A worker accepts, and takes from the queue, only in [`Reactor::turn`], so a busy worker never takes new work.
//! - Between two requests the control socket is asked when that was 10 ms ago or longer, whatever else there is to do: see
//!   `schedule`.
//! - A worker without room neither accepts nor closes a connection for a newcomer while another worker has room, as far
//!   as the scoreboard knows.
//! - No deadline, no timer: without connections the timeout is infinite, but for a second after a burst (see `heap`).
#![forbid(unsafe_code)]

mod accept;
mod body;
mod colleagues;
mod connection;
mod date;
mod deadlines;
mod exchange;
mod handoff;
mod heap;
mod intake;
mod outbox;
mod pace;
mod peer;
mod poller;
mod proxied;
mod reactor;
mod retire;
mod schedule;
mod settings;
mod shared_memory;
mod slab;
mod spill;
mod stand_in;
mod streamed;

pub use body::{Body, Memory, unnamed_file};
pub use date::HttpDate;
pub use exchange::{After, Request};
pub use peer::Peer;
pub use poller::{Events, Poller, Waker};
pub use proxied::Proxied;
pub use reactor::{Notice, Reactor, Turn};
pub use retire::Leave;
pub use settings::{Settings, milliseconds};
pub use shared_memory::SharedMemory;
pub use slab::Token;
pub use stand_in::{Access, Desk};
pub use streamed::{Fault, Read};
