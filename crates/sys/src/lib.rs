//! The operating system behind safe names: descriptors, poll, spawn, `SCM_RIGHTS`, memfd, signals, pid files.
//!
//! The only hand-written `unsafe` of the Rust program lives here, one call to a block. This crate knows no policy: it
//! never decides, logs or retries beyond `EINTR`. Each wrapper names its man page and the errors that it handles.
//! Everything that it opens is close-on-exec; inheritance is an explicit list at [`spawn`].
#![allow(unsafe_code)]

pub mod accept_gate;
pub mod backlog;
pub mod cgroup;
pub mod channel;
pub mod claims;
pub mod clock;
pub mod daemon;
pub mod fatal;
pub mod heap;
pub mod image;
pub mod line_server;
pub mod listener;
pub mod log_output;
pub mod memory;
pub mod notify;
pub mod path_watch;
pub mod peer;
pub mod pidfd;
pub mod pidfile;
pub mod poll;
pub mod priority;
pub mod process;
pub mod remote;
pub mod runtime_directory;
pub mod safe_open;
pub mod signals;
pub mod spawn;
pub mod stderr;
pub mod stdio;
pub mod table;
pub mod tcp;
pub mod text;
pub mod title;
pub mod unsent;
pub mod usage;
pub mod user;
pub mod watch;
pub mod way_back;

mod error;

pub use error::{Error, Result, chain};
