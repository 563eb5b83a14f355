//! How the last reload went.

use supervisor::Generation;

/// How a reload went.
#[derive(Debug)]
pub(crate) struct LastReload {
    generation: Generation,
    ended_ns: u64,
    /// The first line of what went wrong.
    failure: Option<String>,
}

impl LastReload {
    /// One that has just ended.
    pub(crate) fn now(generation: Generation, failure: Option<&str>) -> Self {
        Self { generation, ended_ns: sys::clock::monotonic_ns(), failure: failure.map(str::to_string) }
    }

    /// As the status tells it.
    pub(crate) fn told(&self, now_ns: u64) -> facts::LastReload {
        facts::LastReload {
            generation: self.generation.0,
            age_s: now_ns.saturating_sub(self.ended_ns) / 1_000_000_000,
            failure: self.failure.clone(),
        }
    }
}
