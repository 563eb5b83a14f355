//! The master: the shell around [`supervisor`].
//!
//! One loop turns signals, child exits, messages and timers into events, and performs the actions that come back.
//! Nothing is decided here, and no application code runs here. Read `shell` first, then `perform`.
//!
//! | module | what it does |
//! |---|---|
//! | `run` | the way in, to the background if asked for |
//! | `shell` | the state, the loop, and the order in which a round looks at things |
//! | `perform` | one function for each action |
//! | `causes` | why things failed, in words |
//! | `children` | who each child is; of molds and workers the processes, channels and seats, what they may say when, and their ends |
//! | `config` | the command line, the settings of a mold, and the release directory that follows a symbolic link |
//! | `sockets` | the sockets that are listened on, those that the process was started with, and the queue of the workers |
//! | `control` | the control socket, as both ends see it, and the master's end |
//! | `upgrade` | the second master, and the program that is executed in this one's place |
//! | `service_manager` | what a service manager is told |
//! | `admin` | the process that answers health checks |
//! | `deadlines` | request deadlines, read from the scoreboard |
//! | `report` | log lines as Ruby's Logger writes them, the files behind them, facts, and the status as JSON |
//! | `environment` | variables that are for this process alone |

mod admin;
mod causes;
mod children;
mod config;
pub mod control;
mod deadlines;
mod environment;
mod perform;
mod report;
mod run;
mod service_manager;
mod shell;
mod sockets;
mod upgrade;

pub use config::options::{Options, RubyOption};
pub use config::revision;
pub use config::runtime::Runtime;
pub use run::run;
pub use upgrade::preflight::{SWITCH as PREFLIGHT, answer as preflight};
pub use upgrade::take_over::guard;
