//! Real-process test harness: start a server, wait for events, speak HTTP, apply load, reap.
//!
//! Rules that it keeps for its users:
//! - The test binds the listener (port 0, or a socket in a temporary directory) and passes it as descriptor 3, so no
//!   test chooses a port and no request is refused while the server boots.
//! - Nothing sleeps. Every wait ends by an event (a log line, a FIFO, a pidfd, a reply) or by a deadline
//!   ([`patience`]), and a deadline that passes is a failure which shows the command, the processes and the log.
//! - A [`Server`] that goes out of scope kills what it started, and panics when a process or a socket is left after a
//!   stop that claimed to be complete.
//!
//! The test process makes itself a child subreaper, so that what a server orphans comes back here. Under nextest each
//! test is a process of its own, which makes "every stray child is this test's" true.
//!
//! Which program is tested: see [`program::path`].

pub mod apps;
pub mod browser;
pub mod confined;
pub mod dice;
pub mod fifo;
pub mod front;
pub mod gate;
pub mod herd;
pub mod http;
pub mod load;
pub mod output;
pub mod process;
pub mod procfs;
pub mod program;
pub mod proxy;
pub mod server;
mod spawn;
pub mod sshd;
mod standstill;
pub mod supervised;
pub mod swarm;
pub mod systemd;
pub mod terminal;
pub mod upgrade;

use std::time::Duration;

pub use apps::App;
pub use browser::Browser;
pub use confined::MemoryGroup;
pub use front::Front;
pub use gate::Gate;
pub use herd::Herded;
pub use http::{Connection, Endpoint, Request, Response};
pub use load::{Load, Report};
pub use server::{Builder, Server};
pub use sshd::Sshd;
pub use swarm::Swarm;
pub use systemd::Systemd;
pub use terminal::Terminal;

/// How long a wait may last before it is a failure: 45 s, or `LICORNE_TEST_PATIENCE` seconds.
///
/// It bounds a hang; no test's success depends on how long something takes. It is shorter than the 60 s after which a
/// stopping master kills a worker that does not leave, so that such a worker is noticed.
#[must_use]
pub fn patience() -> Duration {
    let seconds = std::env::var("LICORNE_TEST_PATIENCE").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(45))
}

/// How often a test repeats what fails at random, if it fails: `all` times where `LICORNE_TEST_ROUNDS` is `all`, as it is
/// in `make test-all`, and otherwise a quarter of that.
#[must_use]
pub fn rounds(all: u32) -> u32 {
    if std::env::var("LICORNE_TEST_ROUNDS").is_ok_and(|value| value == "all") { all } else { all.div_ceil(4) }
}
