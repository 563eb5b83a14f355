//! The connections of one worker: sockets, epoll, accept, buffers, deadlines. It knows no Ruby.
//!
//! # How a worker uses it
//!
//! ```text
//! loop {
//!     match reactor.turn() {
//!         Turn::Request(token)  ── reactor.active(token): request(), take_body(),
//!                                  send(parts)…, send_file(…), finish(…)
//!         Turn::Wait(timeout)   ── reactor.poller().wait(&mut events, timeout), then reactor.absorb(&mut events)
//!         Turn::Control         ── the watched control socket can be read
//!         Turn::Retired         ── the last connection is gone, leave
//!     }
//! }
//! ```
//!
//! Nothing here blocks: [`Poller::wait`] is a handle of its own, so that a caller with a lock (Ruby's) can give the
//! lock up around it. A connection is registered with epoll only when it has to wait; a client that sends its request
//! at once and wants the connection closed costs accept, receive, send and close.
//!
//! The worker keeps its reactor in a [`SharedReactor`], and lends it to a helper thread while the application works:
//! see `helper`. Connections go to other workers and come from them through a queue: see `transfer`.
//!
//! # Where things are
//! Each file imports only what stands above it here.
//!
//! | file | what it is for |
//! |---|---|
//! | `conn/` | one connection |
//! | `client` | for whom a connection speaks |
//! | `access/` | the access log, and the ids of requests |
//! | `settings`, `date`, `notices` | limits and times; the `Date` field; what the operator should know |
//! | `table` | the connections, their deadlines, epoll |
//! | `schedule` | what is next: modes and turns, pure |
//! | `transfer/` | the queue to and from other workers |
//! | `connections` | what becomes of each connection |
//! | `accept` | listeners, room, pauses |
//! | `exchange` | what the caller may do with the request that it serves |
//! | `reactor` | joins them: the worker's turns |
//! | `helper` | the thread that drives the connections while the application works |
//!
//! # Invariants
//! - One request at a time is handed out; the next turn comes after [`ActiveRequest::finish`] or [`ActiveRequest::detach`].
//! - A worker accepts, and takes from the queue, only in [`Reactor::turn`], so a busy worker never takes new work.
//! - Between two requests the control socket is asked when that was 10 ms ago or longer, whatever else there is to do: see
//!   `schedule`.
//! - A worker without room neither accepts nor closes a connection for a new one while another worker has room, as far
//!   as the board shows.
//! - No deadline, no timer: without connections the timeout is infinite, but for a second after a burst (see `conn/heap`).
#![forbid(unsafe_code)]

mod accept;
mod access;
mod client;
mod conn;
mod connections;
mod date;
mod exchange;
mod helper;
mod notices;
pub mod probe;
mod reactor;
mod schedule;
mod settings;
mod table;
mod transfer;
mod waits;

pub use access::{AccessLog, Records, Shape};
pub use client::{client, is_believed};
pub use conn::{
    After, Body, Fault, Memory, Peer, Proxied, Rates, Read, RequestId, Requests, Responses, SharedMemory, unnamed_file,
};
pub use connections::Traffic;
pub use date::HttpDate;
pub use exchange::{ActiveRequest, Request};
pub use helper::{Access, SharedReactor};
pub use notices::Notice;
pub use reactor::{Leave, Reactor, Turn};
pub use settings::{Settings, Timeouts, milliseconds};
pub use table::{Events, Poller, Token, Waker};
