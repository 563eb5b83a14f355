//! The one table of configuration directives, and the struct of their values that is made of it.
//!
//! The Ruby DSL defines its methods from it, checks values with it, finds the nearest right name for a misspelled one
//! in it, and `docs/reference.md` is printed from it. It knows no Ruby: values travel as [`Value`].
//!
//! An entry of the table is also a field of [`Settings`]. A mold tells the value of each directive by its name; master,
//! reactor and extension take the groups of it that they need. No default is written anywhere else: what is missing is an
//! error.
//!
//! # Converting values
//! The extension turns a Ruby object into a [`Value`], calls [`check()`], and turns the answer back:
//!
//! | Ruby | [`Value`] |
//! |---|---|
//! | `nil`, `true`, `false`, `Float`, `String`, `Symbol` | `Nil`, `Bool`, `Float`, `Text`, `Symbol` |
//! | `Integer` | `Int`; one that does not fit `i64` is `Other` |
//! | `Array` | `List` |
//! | `Hash` | `Map`, keys by `to_s`; coming back, keys are Symbols |
//! | `Proc` (not `Method`) | `Hook` with `arity` and `inspect`; coming back, the object that went in |
//! | anything else | `Other` with `inspect`; coming back, the object that went in |
//!
//! `check_directive(name, value)` is [`find`] then [`check()`]; an `Err` is raised as `ArgumentError` with that text.
//! `directives` lists for each entry of [`TABLE`]: `name`, `type` ([`Kind::name`]), `default`, `unit`, `since`, `origin`,
//! `doc`, `reloadable`. `nearest_directive(name)` is [`nearest()`], `foreign_directive(name)`
//! is [`foreign()`].
//! `access_log`, `canary`, `probe`, `service` and `warm_up` take a list of what they are about and a map of options, and answer a map of
//! all that they mean.
//! `listen` takes a list of two, the address and a map of options, and answers the same with the options checked.
//! `complete_listener_options(options)` is [`complete_options()`].
//!
//! What only Ruby can see (does the logger answer `info`? does the user exist? is the directory writable?) the DSL
//! checks itself. Source: Unicorn's directives, defaults and error texts, observed from outside.
//!
//! It is `no_std` so that it can name no clock, file or socket. `strsim`, which compares names, is built with `std`, but
//! only computes.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod access_log;
mod bytes;
mod canary;
mod check;
mod check_access_log;
mod check_canary;
mod check_probe;
mod check_reforks;
mod check_service;
mod check_warm_up;
mod choices;
mod configuration;
mod directive;
mod foreign;
mod listener;
mod nearest;
mod options;
mod probe;
mod record;
mod reference;
mod reforks;
mod service;
mod settings;
mod signatures;
mod table;
mod target;
mod value;
mod warm_up;
mod workers;

pub use access_log::AccessLog;
pub use bytes::MemoryBudget;
pub use canary::Canary;
pub use check::check;
pub use choices::{Balance, GarbageTime, Refork, TermSignal, UpgradeWay};
pub use configuration::{Asked, Configuration, Findings, Listener, StartCtx, UserIds};
pub use directive::{Default, Directive, Kind, Origin};
pub use foreign::foreign;
pub use listener::{
    BACKLOG, ListenerOption, ListenerOptions, OPTIONS, OptionKind, Transport, check_option, complete_options,
    nearest_option,
};
pub use nearest::{closest, nearest};
pub use probe::Probe;
pub use reference::reference;
pub use reforks::Reforks;
pub use service::Service;
pub use signatures::signatures;
pub use table::{
    Application, Connections, Hooks, Limits, Processes, Rates, Recycling, Requests, Services, Settings, System, TABLE,
    find,
};
pub use value::Value;
pub use warm_up::WarmUp;
pub use workers::Workers;
