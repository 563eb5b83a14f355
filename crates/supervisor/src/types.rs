//! The words that events and actions share: numbers with a meaning, and the settings that decisions depend on.

use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Instant;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number! {
    /// One mold that was ever started, and the workers that it forked. The first is 1; numbers are never used again.
    Generation(u32)
}
number! {
    /// A worker number as hooks and titles show it (`worker.nr`), from 0.
    SlotId(u32)
}
number! {
    /// One worker process that was ever asked for. Numbers are never used again.
    WorkerId(u32)
}
number! {
    /// A service, by its name. The shell numbers the names: the same one has the same number.
    ServiceName(u32)
}
number! {
    /// One service process that was ever asked for. Numbers are never used again.
    ServiceId(u32)
}
number! {
    /// Why something failed, as the shell knows it. The supervisor passes it on with the outcome and knows nothing of it.
    CauseId(u32)
}
number! {
    /// Where the admin process answers, and to which names. The shell numbers the places that settings name: the same one has
    /// the same number.
    AdminPlace(u32)
}
impl CauseId {
    /// There is nothing to say beyond the reason.
    pub const NONE: Self = Self(0);
    /// The master before this one has not handed the unit over. The supervisor knows that by itself: the shell gives this number
    /// to nothing else.
    pub const OUT_OF_TURN: Self = Self(u32::MAX);
}
number! {
    /// A client that waits for the outcome of a reload, an upgrade or a stop. The shell hands them out.
    Ticket(u64)
}

/// What the supervisor must know before the first mold has told its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whether the command line names a configuration file. Without one SIGHUP does what SIGUSR2 does, as in Unicorn.
    pub has_config_file: bool,
    /// How long the first mold may take to tell its settings; afterwards [`Plan::boot_timeout`] counts.
    pub boot_timeout: Duration,
    /// Whether SIGTERM is quick, until the first settings say so or otherwise.
    pub term_quick: bool,
    /// Seed of the jitter in back-off delays. Any number will do; the same number replays the same delays.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { has_config_file: true, boot_timeout: Duration::from_secs(600), term_quick: false, seed: 1 }
    }
}

/// How an upgrade brings in a new master program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Beside this one, as Unicorn does.
    #[default]
    TwoMasters,
    /// In the place of this one: the process, its id and its children stay.
    InPlace,
}

/// Why a worker has had its time: the directive that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wear {
    /// `max_requests`
    Requests,
    /// `max_age`
    Age,
    /// `max_memory`
    Memory,
    /// `memory_budget`: of all workers it has grown most.
    Budget,
}

impl fmt::Display for Wear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requests => "max_requests",
            Self::Age => "max_age",
            Self::Memory => "max_memory",
            Self::Budget => "memory_budget",
        })
    }
}

/// The settings of a generation that matter to decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// How many workers to keep, at least where the number follows the load.
    pub worker_processes: u32,
    /// How long a request, and a graceful stop, may take.
    pub timeout: Duration,
    /// How long a mold (from its start) and a worker (from its fork) may take to become ready.
    pub boot_timeout: Duration,
    /// How many workers beyond `worker_processes` may live during a roll; 0 is taken as 1, since a roll replaces a
    /// worker only after its successor is ready.
    pub surge: u32,
    /// Whether SIGTERM is a quick stop, as in Unicorn, rather than a graceful one.
    pub term_quick: bool,
    /// How long to go on serving after a graceful stop was asked for, while `/readyz` already fails.
    pub shutdown_delay: Duration,
    /// How long a retiring worker may keep its idle connections open.
    pub linger: Duration,
    /// What an upgrade does that does not say itself how.
    pub upgrade: Way,
    /// How its workers are tried before all are of it; `None`: not at all.
    #[serde(default)]
    pub canary: Option<Canary>,
    /// For how long the mold before this one is kept, so that there is a way back without a boot.
    #[serde(default)]
    pub keep_previous: Duration,
    /// Up to how many workers the load may bring; `None`: it changes nothing.
    #[serde(default)]
    pub most_workers: Option<u32>,
    /// After how many requests one of its workers becomes the next mold.
    #[serde(default)]
    pub refork_after: ReforkAfter,
}

impl Plan {
    /// The number of workers that is nearest to this one.
    pub(crate) fn sized(&self, count: u32) -> u32 {
        count.min(self.most_workers.unwrap_or(0)).max(self.worker_processes)
    }
}

/// Between which numbers the number of workers follows the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The least.
    pub least: u32,
    /// The most.
    pub most: u32,
    /// Whether an operator has said otherwise since the last reload.
    pub by_hand: bool,
    /// Whether it follows the load now: not when an operator has spoken, nor during a roll.
    pub follows: bool,
}

/// After how many requests of a worker the workers are forked anew from it: after so many the first time, after so many of a
/// worker forked since the next time. The last one holds for all times after it; 0 is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReforkAfter([u32; ReforkAfter::MOST]);

impl ReforkAfter {
    /// How many different ones there may be.
    pub const MOST: usize = 8;
    /// After none.
    pub const NEVER: Self = Self([0; Self::MOST]);

    /// These, of which more than [`Self::MOST`] do not count.
    pub fn of(limits: &[u32]) -> Self {
        let nth = |index| limits.get(index).or(limits.last()).copied().unwrap_or(0);
        Self(core::array::from_fn(nth))
    }

    /// After how many requests it is time when there were so many reforks; `None`: never.
    pub fn limit(&self, reforks: u32) -> Option<u64> {
        let index = (reforks as usize).min(Self::MOST - 1);
        Some(self.0[index].into()).filter(|limit| *limit > 0)
    }
}

/// A mold whose workers serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warm {
    /// Its generation.
    pub generation: Generation,
    /// How many reforks of this code led to it.
    pub reforks: u32,
}

/// How new code is tried: few workers of it serve beside the old ones for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// How many. One worker of the old code serves beside them, whatever this says.
    pub workers: u32,
    /// For how long, from the moment that all of them serve.
    pub watch: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            worker_processes: 1,
            timeout: Duration::from_secs(60),
            boot_timeout: Duration::from_secs(600),
            surge: 1,
            term_quick: false,
            shutdown_delay: Duration::ZERO,
            linger: Duration::ZERO,
            upgrade: Way::TwoMasters,
            canary: None,
            keep_previous: Duration::ZERO,
            most_workers: None,
            refork_after: ReforkAfter::NEVER,
        }
    }
}

/// Workers on trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Their generation, and the name of their line.
    pub edition: Generation,
    /// How many slots are on trial.
    pub workers: u32,
    /// How long they are watched.
    pub watch: Duration,
    /// When that is over; `None` while not all of them serve.
    pub until: Option<Instant>,
}
