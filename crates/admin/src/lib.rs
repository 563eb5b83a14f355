//! `/livez`, `/readyz`, `/status` and `/metrics`: what load balancers and monitors ask, answered by a small process beside
//! the master.
//!
//! It asks the master for its status, which is all that it can ask for, and runs as a user that owns nothing: a client
//! that misbehaves can harm this process only, and no worker has to be idle for a health check to be answered.
//!
//! | module | what it is for |
//! |---|---|
//! | [`answer`] | path and status in, response out; no I/O |
//! | `metrics` | the status as Prometheus text |
//! | `server` | the loop: connections in, the master asked, responses out |

pub mod answer;
mod metrics;
mod server;

pub use server::{Master, Options, run};
