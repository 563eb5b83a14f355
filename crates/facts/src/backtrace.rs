//! Where the threads of a process are.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::process::{Request, State};

/// Where the threads of a worker are, as it tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Backtrace {
    /// Its slot.
    pub slot: Option<u32>,
    /// Its generation.
    pub generation: u32,
    /// Its process id; null when it has none.
    pub pid: Option<u32>,
    /// What it is doing.
    pub state: State,
    /// The request that it is in; null when it is in none.
    pub request: Option<Request>,
    /// A line for each thread and, below it, one for each of its frames, the innermost first; null when it has not told.
    pub text: Option<String>,
    /// Why there is no `text`; null when there is.
    pub missing: Option<String>,
}
