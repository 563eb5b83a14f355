//! What `licorne herd` decides, without clock or system call: boot, reload, roll-back, stop.
//!
//! [`Machine`] takes in what happens ([`Input`]) and gives out what is to be done ([`Effect`]); `herd` is the shell around
//! it. It knows neither Unicorn nor Gunicorn: [`Settings`] says what kind of server it is, and [`View`] which processes
//! it has.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

mod machine;

pub use machine::{Effect, Ended, Input, Level, Machine, Master, Ready, Settings, Signal, Stop, Ticket, View};
