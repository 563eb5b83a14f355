//! Services: processes beside the workers that serve no requests.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::process::Memory;

/// A process of a service, or a service that has none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// The generation that it is of.
    pub generation: u32,
    /// Its process id; null when there is none.
    pub pid: Option<u32>,
    /// What it is doing.
    pub state: ServiceState,
    /// When it was started (Unix time in seconds); null when it has not been.
    pub started_at: Option<f64>,
    /// How many processes the service has had since the server was started.
    pub starts: u64,
    /// How often it has failed in a row: it ended before `min_uptime`, or could not be started.
    pub failures: u32,
    /// When the next try is; null while there is a process.
    pub next_try_ms: Option<u64>,
    /// Its processor time, user and system; null where it cannot be read.
    pub cpu_ms: Option<u64>,
    /// Its memory; null where it cannot be read.
    pub memory: Option<Memory>,
}

/// What a service is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ServiceState {
    /// There is no process: it has failed, the old one has not gone yet, or another master has it.
    Waiting,
    /// It is about to be there.
    Starting,
    /// It runs.
    Running,
    /// It was told to leave, or is killed.
    Stopping,
    /// A word of a later version.
    #[default]
    #[serde(other)]
    Unknown,
}

impl ServiceState {
    /// Those that a service can be in.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Starting, Self::Running, Self::Stopping];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Unknown => "unknown",
        }
    }
}
