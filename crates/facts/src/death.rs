//! Deaths of workers, molds and of the admin process.

use alloc::collections::BTreeMap;
use alloc::string::String;

use serde::{Deserialize, Serialize};

/// How many deaths there were since the server was started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Deaths {
    /// All of them. A process that was told to leave and did is none.
    pub total: u64,
    /// The same by their cause.
    pub by_cause: BTreeMap<Cause, u64>,
}

impl Deaths {
    /// Counts one.
    pub fn count(&mut self, cause: Cause) {
        self.total = self.total.saturating_add(1);
        let count = self.by_cause.entry(cause).or_default();
        *count = count.saturating_add(1);
    }

    /// How many had this cause.
    pub fn of(&self, cause: Cause) -> u64 {
        self.by_cause.get(&cause).copied().unwrap_or(0)
    }
}

/// A death.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Death {
    /// When it was noticed (Unix time in seconds).
    pub at: f64,
    /// What died.
    pub kind: Kind,
    /// The slot of a worker; otherwise null.
    pub slot: Option<u32>,
    /// The name of a service; otherwise null.
    pub service: Option<String>,
    /// The generation of a worker, mold or service; otherwise null.
    pub generation: Option<u32>,
    /// The process id.
    pub pid: u32,
    /// What it died of.
    pub cause: Cause,
    /// The same in words for people.
    pub text: String,
    /// What it was doing, as far as that is known.
    pub doing: Option<Doing>,
    /// Method and target of the request that it was in, cut at 384 bytes; null when it was in none.
    pub request: Option<String>,
    /// The id of that request, where requests have one.
    pub request_id: Option<String>,
    /// How long it had been in that request.
    pub age_ms: Option<u64>,
    /// The most memory that it had resident at once, memory that it shared with others included.
    pub peak_rss_bytes: Option<u64>,
    /// Where its threads were, if that is known.
    pub backtrace: Option<String>,
}

/// What died.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A worker.
    Worker,
    /// A mold.
    Mold,
    /// The process that answers health checks.
    Admin,
    /// A service.
    Service,
    /// A word of a later version.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Kind {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Mold => "mold",
            Self::Admin => "admin",
            Self::Service => "service",
            Self::Unknown => "unknown",
        }
    }
}

/// What a process died of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// It has ended by itself: `exit`, or an exception that nothing rescued.
    Exit,
    /// A signal that a fault of its own raised: it read memory that is not there, its stack overflowed.
    Fault,
    /// A signal that it sent to itself: `abort`, `Process.kill`.
    Raised,
    /// A signal from outside.
    Sent,
    /// The master killed it because its request took longer than `timeout`.
    Timeout,
    /// The kernel killed it because memory was short.
    Oom,
    /// The master killed it for another reason.
    Killed,
    /// It is not known, or a word of a later version.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Exit, Self::Fault, Self::Raised, Self::Sent, Self::Timeout, Self::Oom, Self::Killed, Self::Unknown];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Fault => "fault",
            Self::Raised => "raised",
            Self::Sent => "sent",
            Self::Timeout => "timeout",
            Self::Oom => "oom",
            Self::Killed => "killed",
            Self::Unknown => "unknown",
        }
    }
}

/// What a process was doing when it died.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Doing {
    /// It loaded the application.
    Booting,
    /// It waited: a worker for a request, a mold for a worker to fork.
    Idle,
    /// It was in a request.
    Request,
    /// A word of a later version.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Doing {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Booting => "booting",
            Self::Idle => "idle",
            Self::Request => "request",
            Self::Unknown => "unknown",
        }
    }
}
