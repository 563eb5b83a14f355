//! The children of this process: what each is, and of molds and workers the processes, channels and seats, and what each may
//! say when.
//!
//! What a child says is a claim. A worker runs the application's code, as the application's user, and may say anything at
//! any time: see [`worker::Worker::accept`] and [`mold::Mold::accept`]. What is not its to say at all is no message to it
//! ([`link`]).

pub(crate) mod error;
pub(crate) mod hearing;
pub(crate) mod link;
pub(crate) mod marks;
pub(crate) mod mold;
pub(crate) mod past;
pub(crate) mod post_mortem;
pub(crate) mod promotion;
pub(crate) mod reforks;
pub(crate) mod registry;
pub(crate) mod seats;
pub(crate) mod spawn;
pub(crate) mod worker;

pub(crate) use error::Error;
