//! `/livez`, `/readyz`, `/status` and `/metrics`: what load balancers and monitors ask, and a page at `/` for people,
//! answered by a small process beside the master.
//!
//! It asks the master for its status and the last deaths, which is all that it can ask for, and runs as a user that owns nothing: a client
//! that misbehaves can harm this process only, and no worker has to be idle for a health check to be answered.
//!
//! | module | what it is for |
//! |---|---|
//! | [`answer`] | path and status in, response out; no I/O |
//! | [`hosts`] | the names by which it may be asked; no I/O |
//! | `told` | a status, and what is understood of it; no I/O |
//! | `saturation` | the share of the last minute in which no worker was idle; no I/O |
//! | `queries` | hides the query strings of requests; no I/O |
//! | `metrics` | the status as Prometheus text |
//! | `page` | the document at `/` |
//! | `history` | what was seen in the last ten minutes; no I/O |
//! | `events` | the status for pages that look on |
//! | `source` | the master, asked one question at a time |
//! | `listen` | the address, and the user that this process becomes |
//! | `client` | one client, which is never waited for |
//! | `server` | the loop: connections in, responses out |

pub mod answer;
mod client;
mod events;
mod history;
pub mod hosts;
mod listen;
mod metrics;
mod page;
mod queries;
mod saturation;
mod server;
mod source;
mod told;

pub use server::{Options, run};
pub use source::Master;
