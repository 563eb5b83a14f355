//! How reloads went.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// The reloads since the server was started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Reloads {
    /// After how many of them the new generation served alone.
    pub succeeded: u64,
    /// After how many of them the old one went on.
    pub failed: u64,
    /// The last ones, the newest first, at most 16.
    pub recent: Vec<Reload>,
}

/// A reload that has ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Reload {
    /// When it ended (Unix time in seconds).
    pub at: f64,
    /// The generation that it began.
    pub generation: u32,
    /// How long it took; null when the program that began it was replaced meanwhile.
    pub duration_ms: Option<u64>,
    /// The first line of what went wrong; null when nothing did.
    pub failure: Option<String>,
}

/// How the last reload went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct LastReload {
    /// The generation that it began.
    pub generation: u32,
    /// How long ago it ended.
    pub age_s: u64,
    /// The first line of what went wrong; null when nothing did.
    pub failure: Option<String>,
}

/// Workers of new code that serve on trial.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Canary {
    /// Their generation.
    pub generation: u32,
    /// How many they are.
    pub workers: u32,
    /// For how long they are watched.
    pub watch_s: f64,
    /// How long that takes yet; null while not all of them serve.
    pub left_s: Option<u64>,
    /// What they have done.
    pub new: Side,
    /// What the other workers have done in the same time.
    pub old: Side,
}

/// What the workers of one side have done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Side {
    /// How many requests they have answered.
    pub requests: u64,
    /// How many of them with 5xx.
    pub errors: u64,
    /// The median of their service times, once warm; null before.
    pub p50_ms: Option<f64>,
    /// The 95th percentile of these.
    pub p95_ms: Option<f64>,
    /// How many died without having been asked to leave, or hang in a request.
    pub lost: u64,
    /// The private memory of the largest; null while it is not known.
    pub private_bytes: Option<u64>,
}

/// The mold that is kept, so that `licorne rollback` needs no boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Previous {
    /// Its generation; its process is among the molds.
    pub generation: u32,
    /// For how long it is kept yet.
    pub left_s: u64,
}
