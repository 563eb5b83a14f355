//! What the master decides, without clock or system call.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

mod action;
mod event;
mod supervisor;
mod time;
mod types;
mod worker;

pub use action::{Action, Fact, FailureReason, KillReason};
pub use event::{Event, Signal};
pub use supervisor::{Phase, Supervisor};
pub use time::Instant;
pub use types::{Config, Generation, Plan, SlotId, Ticket, WorkerId};
pub use worker::{Worker, WorkerState};
