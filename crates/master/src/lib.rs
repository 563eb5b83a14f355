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
//! | `generation` | settings that a mold told: prepare, commit, roll back |
//! | `deaths` | children that ended |
//! | `causes` | why things failed, in words |
//! | `facts` | what the supervisor found worth a line |
//! | `children` | who each child is; of molds and workers the processes, channels and seats, and what they may say when |
//! | `boot` | from the command line to the first mold; what a mold is told |
//! | `settings` | what a mold answers |
//! | `older_settings` | what it answered to a program before this one |
//! | `inherited` | sockets that the process was started with |
//! | `listeners` | which sockets there are, whose they are, binding and dropping |
//! | `orphans` | workers of a dead master that still hold an address |
//! | `anchor`, `release` | the directory that moves to another release, and what follows it |
//! | `revision` | which release a generation serves |
//! | `successor` | the second master of an upgrade |
//! | `in_place`, `preflight` | the program that is to take this one's place: as the master and as that program see it |
//! | `hand_over`, `take_over` | what one program leaves to the next, from both sides |
//! | `notify` | what a service manager is told |
//! | `succession` | two masters in one unit of a service manager |
//! | `control`, `control_server` | the control socket, as both ends see it, and the master's end |
//! | `status` | the state as JSON |
//! | `admin` | the process that answers health checks |
//! | `watch` | request deadlines, read from the scoreboard |
//! | `log` | lines as Ruby's Logger writes them |
//! | `log_files` | the files behind the standard streams, opened anew after rotation |
//! | `runtime` | which Ruby, and where the gem's files are |

mod admin;
mod anchor;
mod boot;
mod causes;
mod children;

pub mod control;
mod control_server;
mod deaths;
mod facts;
mod generation;
mod hand_over;
mod hearing;
mod in_place;
mod inherited;
mod listeners;
mod log;
mod log_files;
mod notify;
mod older_settings;
mod orphans;
mod perform;
mod preflight;
mod queue;
mod release;
pub mod revision;
mod run;
mod runtime;
mod settings;
mod shell;
mod status;
mod succession;
mod successor;
mod take_over;
mod watch;

pub use boot::{Options, RubyOption};
pub use preflight::{SWITCH as PREFLIGHT, answer as preflight};
pub use run::run;
pub use runtime::Runtime;
pub use take_over::guard;
