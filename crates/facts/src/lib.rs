//! What the master tells of the server: the status, the deaths and backtraces, field by field.
//!
//! One set of facts: the master writes it; `licorne status`, the admin process and its metrics read it. It crosses
//! versions: a field that is not known is ignored, one that is missing has its default, and a word that is not known reads
//! as `unknown`. A field never changes its meaning: then [`SCHEMA`] grows. docs/status.md and docs/status.schema.json are
//! printed from here.
//!
//! This crate measures nothing and takes no time.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod backtrace;
mod death;
mod logs;
mod process;
mod recycled;
mod reload;
#[cfg(test)]
mod schema;
mod service;
mod status;
mod work;

pub use backtrace::Backtrace;
pub use death::{Cause, Death, Deaths, Doing, Kind};
pub use logs::{Logs, Loss};
pub use process::{Gc, LastRequest, Memory, MemoryOfAll, MemoryOfGeneration, Mold, Request, State, Worker};
pub use recycled::Recycled;
pub use reload::{Canary, LastReload, Previous, Reload, Reloads, Side};
pub use service::{Service, ServiceState};
pub use status::{Backlog, Mark, Phase, Release, Roll, Status, Trouble, WorkerRange};
pub use work::{Collections, Distribution, Durations, Responses, Totals};

/// The version of the status. It grows when a field changes its meaning or goes away, not when one is added.
pub const SCHEMA: u32 = 1;
