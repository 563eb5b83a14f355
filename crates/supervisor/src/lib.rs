//! What the master decides, without clock or system call.
//!
//! [`Supervisor`] takes in what happens ([`Event`]) and gives out what is to be done ([`Action`]). Boot, reload and its
//! roll-back, crash loops, scaling, upgrade and stop are decided here and nowhere else, so that a simulator can try them
//! (`tests/simulator`): a virtual clock, random schedules of signals, deaths, slow and failing boots, and the laws of the
//! design checked after each step.
//!
//! ```text
//!             Start         MoldReady              every slot tried
//!   New ──────────▶ FirstMold ─────▶ Up(FirstFork) ────────────────▶ Up(Steady) ◀─────────────────────┐
//!                      │                  │                            │    ▲                           │
//!                      │ fails            │ fails before any           │HUP │ next mold fails           │ last old
//!                      ▼                  ▼ worker was ready           ▼    │                           │ worker gone
//!                   Stopping ◀────────────┘                       Up(Preparing)                         │
//!                   (code 1)                                           │ MoldReady                      │
//!                                                                      ▼         each slot served       │
//!   any ── QUIT TERM INT ──▶ Stopping ──▶ Over        Steady ◀── Up(Rolling) ───────────────────▶ Up(Draining)
//!                                                   roll-back
//! ```
//!
//! A roll may stop at its first slots, whose workers are on trial (`canary`), until time, the shell or an operator says more;
//! `GoBack` begins a roll to a mold that was kept (`previous`). A refork goes the way of a reload, to a mold that a worker
//! forks (`refork`).
//!
//! Beside these states run, each on its own: the mold of the line (ready, lost, booting again), the back-off of each
//! slot, the services, and the successor of an upgrade (or the program that takes this one's place).
//!
//! Two words that the design leaves open. A *line* is what one reload brought: code, settings, and the molds it comes
//! from. A mold that is lost is started again under a new generation number, but in the same line; workers of that
//! line are not rolled. `edition` is the number of the generation that began a line.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

mod action;
mod admin;
mod back_off;
mod canary;
mod event;
mod fleet;
mod in_place;
mod invariants;
mod line;
mod mold;
mod previous;
mod recycle;
mod refork;
mod reload;
mod scale;
mod service;
mod settle;
mod size;
mod snapshot;
mod state;
mod stop;
mod successor;
mod supervisor;
mod time;
mod types;
pub mod unit;
mod up;
mod upgrade;
mod worker;

pub use action::{Action, Fact, Failure, FailureReason, KillReason};
pub use event::{Event, Signal};
pub use service::{Service, ServiceState, Terms};
pub use size::{Load, Sizer};
pub use snapshot::{Snapshot, SnapshotError};
pub use supervisor::{Phase, SuccessorPhase, Supervisor, Trouble};
pub use time::Instant;
pub use types::{
    AdminPlace, Canary, CauseId, Config, Generation, Plan, ReforkAfter, ServiceId, ServiceName, Sizes, SlotId, Ticket,
    Trial, Warm, Way, Wear, WorkerId,
};
pub use worker::{Worker, WorkerState};
