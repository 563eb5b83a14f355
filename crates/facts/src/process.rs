//! Workers and molds, and the memory of processes.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::work::{Durations, Responses};

/// A mold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Mold {
    /// Its generation.
    pub generation: u32,
    /// Its process id.
    pub pid: u32,
    /// Its processor time, user and system; null where it cannot be read.
    pub cpu_ms: Option<u64>,
    /// Its memory; null where it cannot be read.
    pub memory: Option<Memory>,
}

/// A worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Worker {
    /// Its slot.
    pub slot: u32,
    /// Its generation.
    pub generation: u32,
    /// Its process id; null until it is forked.
    pub pid: Option<u32>,
    /// What it is doing.
    pub state: State,
    /// How many workers its slot has had since the server was started, this one and those that did not boot included.
    pub starts: u64,
    /// When it began to serve (Unix time in seconds); null until then.
    pub ready_at: Option<f64>,
    /// How many requests it has finished.
    pub requests: u64,
    /// How long it was in requests.
    pub busy_ms: u64,
    /// How many responses had a status of 500 or above.
    pub server_errors: u64,
    /// How many connections it holds.
    pub connections: u64,
    /// The request that it is in; null when it is in none.
    pub request: Option<Request>,
    /// The request that it served last; null before the first one, and while it is in another.
    pub last_request: Option<LastRequest>,
    /// How many requests ended with an exception of the application.
    pub raised: u64,
    /// How many requests never were whole: their client left, or was too slow.
    pub aborted_requests: u64,
    /// How many responses their client has not taken to the end: it left, or was too slow.
    pub aborted_responses: u64,
    /// What Ruby's garbage collector did.
    pub gc: Gc,
    /// Responses by the first digit of their status.
    pub responses: Responses,
    /// Bytes of requests, heads included.
    pub received_bytes: u64,
    /// Bytes of responses, heads included.
    pub sent_bytes: u64,
    /// How long requests were in the application.
    pub service: Durations,
    /// How long requests waited for a worker.
    pub queue: Durations,
    /// Its processor time, user and system; null where it cannot be read.
    pub cpu_ms: Option<u64>,
    /// Its memory; null where it cannot be read.
    pub memory: Option<Memory>,
}

/// What a worker is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Loading the application.
    Booting,
    /// Waiting for a request.
    Idle,
    /// In a request.
    Busy,
    /// Finishing, because another one has taken its place.
    Retiring,
    /// Told to leave, or killed.
    Leaving,
    /// A word of a later version.
    #[default]
    #[serde(other)]
    Unknown,
}

impl State {
    /// Those that a worker can be in.
    pub const ALL: [Self; 5] = [Self::Booting, Self::Idle, Self::Busy, Self::Retiring, Self::Leaving];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Booting => "booting",
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Retiring => "retiring",
            Self::Leaving => "leaving",
            Self::Unknown => "unknown",
        }
    }
}

/// A request that is being served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Request {
    /// Method and target, cut at 384 bytes.
    pub line: String,
    /// How long it is in the application.
    pub age_ms: u64,
    /// Its id, where requests have one.
    pub id: Option<String>,
}

/// A request that was served.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct LastRequest {
    /// Method and target, cut at 384 bytes.
    pub line: String,
    /// How long it was in the application.
    pub took_ms: f64,
    /// When it ended (Unix time in seconds).
    pub ended_at: f64,
    /// The processor time of the thread that ran the application; null without `request_usage`.
    pub cpu_ms: Option<f64>,
    /// How many objects Ruby allocated meanwhile; likewise.
    pub allocated: Option<u64>,
    /// Its id, where requests have one.
    pub id: Option<String>,
}

/// What Ruby's garbage collector did in a worker, as `GC.stat` tells it: null where it does not. The worker notes it after
/// the first request since a collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Gc {
    /// Collections of young objects since it began to serve.
    pub minor: Option<u64>,
    /// Collections of all objects since it began to serve.
    pub major: Option<u64>,
    /// The time that these took; null with a Ruby before 3.1.
    pub time_ms: Option<u64>,
    /// Objects that were allocated since it began to serve.
    pub allocated: Option<u64>,
    /// Objects that were freed since it began to serve.
    pub freed: Option<u64>,
    /// Slots of the heap that have an object.
    pub live_slots: Option<u64>,
    /// Slots of the heap that are free.
    pub free_slots: Option<u64>,
    /// Pages of the heap.
    pub pages: Option<u64>,
    /// Objects that are old: only collections of all objects look at them.
    pub old_objects: Option<u64>,
    /// Collections of all objects that it made between requests (`gc :between_requests`).
    pub between_requests: Option<u64>,
    /// The time that these took, and the ends of others that were left to then; a part of `time_ms`.
    pub between_requests_ms: Option<u64>,
}

impl From<scoreboard::Gc> for Gc {
    fn from(told: scoreboard::Gc) -> Self {
        let scoreboard::Gc { minor, major, time_ms, allocated, freed, live_slots, free_slots, pages, .. } = told;
        let scoreboard::Gc { old_objects, between: between_requests, between_ms: between_requests_ms, .. } = told;
        Self {
            minor,
            major,
            time_ms,
            allocated,
            freed,
            live_slots,
            free_slots,
            pages,
            old_objects,
            between_requests,
            between_requests_ms,
        }
    }
}

/// The memory of a process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Memory {
    /// What is resident, memory that it shares with others included.
    pub rss_bytes: u64,
    /// Its whole address space, whatever of it is used.
    pub virtual_bytes: u64,
    /// The most that ever was resident; null until it is measured.
    pub peak_rss_bytes: Option<u64>,
    /// What lies in swap; null until it is measured.
    pub swap_bytes: Option<u64>,
    /// What is resident, shared memory divided among those that share it; null until it is measured.
    pub pss_bytes: Option<u64>,
    /// What no other process shares; null until it is measured.
    pub private_bytes: Option<u64>,
    /// What others share; null until it is measured.
    pub shared_bytes: Option<u64>,
    /// How old the measurement of all but `rss_bytes` and `virtual_bytes` is: it costs time, and one status pays for a few processes only.
    pub age_s: Option<f64>,
}

/// The memory of the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct MemoryOfAll {
    /// That of the master.
    pub master: Option<Memory>,
    /// That of the mold and the workers of each generation, the oldest first.
    pub generations: Vec<MemoryOfGeneration>,
    /// That of all processes, services included, shared memory divided among those that share it; null until each is measured.
    pub used_bytes: Option<u64>,
    /// How much they may have, by `memory_budget`; null without one.
    pub budget_bytes: Option<u64>,
}

/// The memory of a generation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct MemoryOfGeneration {
    /// The generation.
    pub generation: u32,
    /// How many processes it has: mold and workers.
    pub processes: u32,
    /// Sum of what is resident. Memory that processes share is in it once for each of them.
    pub rss_bytes: u64,
    /// Sum of what is resident, shared memory divided among those that share it; null until each is measured.
    pub pss_bytes: Option<u64>,
    /// Sum of what is not shared; null until each is measured.
    pub private_bytes: Option<u64>,
    /// Sum of what lies in swap; null until each is measured.
    pub swap_bytes: Option<u64>,
}
