//! The herder: a stable parent for servers that replace themselves.
//!
//! A supervisor (supervisord, runit, Docker) watches one process id. Unicorn and Gunicorn change theirs at each upgrade.
//! The herder is what the supervisor watches; it starts the server, upgrades it when it gets `SIGHUP`, and leaves when
//! the server is gone. Called as `unicornherder` it understands that program's command line.
//!
//! | module | what it is for |
//! |---|---|
//! | `command_line` | what it is asked for |
//! | `flavour` | how each server is started, and which signal means what to it |
//! | `family` | which processes are masters, which are workers, and which of those are ready |
//! | `output` | what the server's own reload command says |
//! | `shell` | the loop: signals, deaths and clients in, the effects out that the crate [`herder`] decides |
//! | `control`, [`client`] | both ends of `licorne herd reload` |
//! | [`place`] | whether a command stands where a server runs |
//!
//! It reads no pid file. As a child subreaper it is an ancestor of every process that the server makes, however often
//! that daemonizes, so it *sees* the masters; it holds a pidfd of each, so that it never takes another process for one.

pub mod client;
mod command_line;
mod control;
mod family;
mod flavour;
mod guard;
mod log;
mod output;
pub mod place;
mod shell;

pub use command_line::{Persona, SWITCHES};
pub use shell::run;
