//! The children of this process: who each is, and of molds and workers the processes, channels and seats, and what each may
//! say when.
//!
//! What a child says is a claim. A worker runs the application's code, as the application's user, and may say anything at
//! any time: see [`Worker::accept`] and [`Mold::accept`]. What is not its to say at all is no message to it ([`Link`]).

mod link;
mod mold;
mod registry;
mod seats;
mod worker;

pub(crate) use link::{Heard, Link};
pub(crate) use mold::{Mold, MoldStage, Starter};
pub(crate) use registry::{Children, Who};
pub(crate) use worker::{Process, Worker, WorkerStage};
