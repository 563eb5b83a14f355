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
