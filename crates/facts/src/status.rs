//! The whole status.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::death::Deaths;
use crate::logs::Logs;
use crate::process::{MemoryOfAll, Mold, Worker};
use crate::recycled::Recycled;
use crate::reload::{Canary, LastReload, Previous, Reloads};
use crate::service::Service;
use crate::work::Totals;

/// The state of the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Status {
    /// The version of these fields. It grows when one changes its meaning or goes away, not when one is added.
    pub schema: u32,
    /// The version of the program.
    pub version: String,
    /// The master's process id.
    pub pid: u32,
    /// What the server is doing, in one word.
    pub phase: Phase,
    /// The same in a sentence for people, which programs do not parse.
    pub summary: String,
    /// Whether new requests are welcome, as `/readyz` tells.
    pub ready: bool,
    /// The generation that serves; null before the first one does.
    pub generation: Option<u32>,
    /// How many workers are wanted.
    pub worker_processes: u32,
    /// Between which numbers that follows the load; null where one number is configured.
    pub worker_range: Option<WorkerRange>,
    /// When the server was started (Unix time in seconds).
    pub started_at: f64,
    /// How long ago that is.
    pub uptime_s: u64,
    /// For how long no worker was idle, in all; null when that is not counted.
    pub saturated_s: Option<f64>,
    /// How often it began that no worker was idle; null when that is not counted.
    pub saturations: Option<u64>,
    /// The most workers that were in requests at once, those that were retiring left out; null when that is not known.
    /// A moment in which so many were busy counts when each was so for a millisecond.
    pub busiest: Option<Mark>,
    /// The addresses that the server listens on.
    pub listeners: Vec<String>,
    /// What waits at each of them.
    pub backlogs: Vec<Backlog>,
    /// The release that serves; null without a mold.
    pub release: Option<Release>,
    /// How the last reload went; null when there was none.
    pub last_reload: Option<LastReload>,
    /// How many reloads there were, and how the last ones went.
    pub reloads: Reloads,
    /// How many reforks there were, and how the last ones went.
    pub reforks: Reloads,
    /// How far the workers are replaced; null when they are not being replaced.
    pub roll: Option<Roll>,
    /// The workers that serve on trial; null when none do.
    pub canary: Option<Canary>,
    /// The mold that is kept for a rollback; null without one.
    pub previous: Option<Previous>,
    /// The process id of the new master of an upgrade with two; null without one.
    pub successor: Option<u32>,
    /// The molds.
    pub molds: Vec<Mold>,
    /// The slots whose workers do not boot.
    pub troubles: Vec<Trouble>,
    /// How many workers were started since the server was, for whatever reason, those that did not boot included.
    pub starts: u64,
    /// How many workers were replaced since they had had their time.
    pub recycled: Recycled,
    /// The workers, by slot and generation.
    pub workers: Vec<Worker>,
    /// The services, by name and generation.
    pub services: Vec<Service>,
    /// What all workers have done since the server was started, those that are no more included.
    pub totals: Totals,
    /// The memory of the master and of each generation.
    pub memory: MemoryOfAll,
    /// How many deaths there were.
    pub deaths: Deaths,
    /// What was lost of the logs.
    pub logs: Logs,
}

/// Between which numbers the number of workers follows the load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct WorkerRange {
    /// The least.
    pub least: u32,
    /// The most.
    pub most: u32,
    /// Whether an operator has said otherwise since the last reload: that holds.
    pub by_hand: bool,
}

/// What the server is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Nothing yet.
    New,
    /// The first boot.
    Booting,
    /// Serving, and nothing else.
    Serving,
    /// Serving, while the next generation boots.
    Preparing,
    /// Serving, while workers are replaced slot by slot.
    Rolling,
    /// The new generation serves; old workers finish.
    Draining,
    /// A graceful stop was asked for, and `shutdown_delay` runs.
    Delaying,
    /// Stopping.
    Stopping,
    /// No workers, after `SIGWINCH`.
    Winched,
    /// Nothing is left to be done.
    Over,
    /// A word of a later version.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Phase {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Booting => "booting",
            Self::Serving => "serving",
            Self::Preparing => "preparing",
            Self::Rolling => "rolling",
            Self::Draining => "draining",
            Self::Delaying => "delaying",
            Self::Stopping => "stopping",
            Self::Winched => "winched",
            Self::Over => "over",
            Self::Unknown => "unknown",
        }
    }
}

/// What waits at a listener.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Backlog {
    /// Its address.
    pub listener: String,
    /// How many connections wait in the kernel to be accepted; null where it does not tell.
    pub waiting: Option<u64>,
    /// How many may wait.
    pub limit: Option<u64>,
    /// The most that were seen to wait; null when none were. Workers look ten times a second at most, while no worker is
    /// idle, and the master with each status: what is shorter may be missed.
    pub most: Option<Mark>,
}

/// The largest count since the server was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Mark {
    /// How many.
    pub count: u64,
    /// When it was so first (Unix time in seconds).
    pub at: f64,
}

/// A release of the application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Release {
    /// Its directory.
    pub directory: String,
    /// Its revision, where a file or the repository there tells one.
    pub revision: Option<String>,
    /// That `current` leads elsewhere, if it does.
    pub warning: Option<String>,
}

/// How far workers are replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Roll {
    /// Slots that the new generation serves.
    pub done: u32,
    /// Slots in all.
    pub total: u32,
}

/// A slot whose workers do not boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Trouble {
    /// The slot.
    pub slot: u32,
    /// How often it failed in a row.
    pub failures: u32,
    /// When the next try is.
    pub next_try_ms: u64,
}
