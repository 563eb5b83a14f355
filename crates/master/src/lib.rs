//! The master: the shell around [`supervisor`].
//!
//! One loop turns signals, child exits, messages and timers into events, and performs the actions that come back.
//! Nothing is decided here, and no application code runs here. Read `master` first, then `dispatch`.
//!
//! Imports point down this table, and no two files import each other:
//!
//! | module | what it does |
//! |---|---|
//! | `run` | the way in, to the background if asked for |
//! | `master` | the round: poll, hear, tell the core, dispatch; what is heard becomes events |
//! | `dispatch` | each action becomes verbs of the owners |
//! | `asking` | what the operator asks of workers, and what they answer |
//! | `reforking` | what is done about reforks, and heard of them |
//! | `owners` | everything that the master holds, one owner for each thing, and the deeds that need several of them |
//! | `report` | facts as lines, the outcome of reloads, and the status as JSON |
//! | `upgrade` | the masters before and after this one, and the program that is executed in this one's place |
//! | `service_manager` | what a service manager is told, and the sockets that it keeps |
//! | `admin` | the process that answers health checks |
//! | `error` | why a master cannot begin, or cannot do what new settings want |
//! | `children` | who each child is; of molds and workers the processes, channels and seats, what they may say when, and their ends |
//! | `sockets` | the sockets that are listened on, those that the process was started with, and the queue of the workers |
//! | `config` | the command line, the settings that hold, and the release directory that follows a symbolic link |
//! | `control` | the control socket, as both ends see it, and the master's end |
//! | `log` | lines as Ruby's Logger writes them, and the files behind the standard streams |
//! | `check` | whether a server would start, found out without one |
//! | `causes` | why things failed, in words |
//! | `backtraces` | the questions to workers that are open |
//! | `restart_file` | the file whose touch asks for a reload |
//! | `services` | what services are started with, and their processes; `tending` is what is done about them, and heard of them |
//! | `deadlines` | request deadlines, read from the seats of the workers |
//! | `carried`, `environment`, `signals` | descriptors and paths that an upgrade in place carries, variables that are for this process alone, signals to processes |

mod admin;
mod asking;
mod backtraces;
mod canary;
mod carried;
mod causes;
mod check;
mod children;
mod config;
pub mod control;
mod deadlines;
mod dispatch;
mod endings;
mod environment;
mod error;
mod log;
mod master;
mod owners;
mod reforking;
mod report;
mod restart_file;
mod run;
mod service_manager;
mod services;
mod signals;
mod sockets;
mod tending;
mod upgrade;
mod upkeep;

pub use check::{Finding, Level, check};
pub use config::options::{Application, Options, RubyOption};
pub use config::revision;
pub use config::runtime::Runtime;
pub use error::Error;
pub use run::run;
pub use upgrade::preflight::{SWITCH as PREFLIGHT, answer as preflight};
pub use upgrade::way_back::guard;
