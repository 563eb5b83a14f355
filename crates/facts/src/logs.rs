//! Lines of the logs that were lost.

use alloc::string::String;

use serde::{Deserialize, Serialize};

/// What was lost of the logs since the server was started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Logs {
    /// Of the log on standard error, as master and workers write it.
    pub server: Loss,
    /// Of the access log.
    pub access: Loss,
}

impl Logs {
    /// Each log, by its name and for people, and what it has lost.
    pub fn each(&self) -> [(&'static str, &'static str, &Loss); 2] {
        [("server", "log", &self.server), ("access", "access log", &self.access)]
    }
}

/// Lines that were lost: a disk is full, or a reader does not read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Loss {
    /// How many.
    pub lost_lines: u64,
    /// Why the last of them was; null when none was.
    pub last_error: Option<String>,
    /// When that was (Unix time in seconds); null likewise.
    pub last_at: Option<f64>,
}
