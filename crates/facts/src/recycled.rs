//! Workers that were replaced since they had had their time.

use serde::{Deserialize, Serialize};

/// How many workers were replaced since they had had their time, by the directive that says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Recycled {
    /// By `max_requests`.
    pub max_requests: u64,
    /// By `max_age`.
    pub max_age: u64,
    /// By `max_memory`.
    pub max_memory: u64,
    /// By `memory_budget`.
    pub memory_budget: u64,
}

impl Recycled {
    /// Each count with the name of its directive.
    pub fn by_directive(self) -> [(&'static str, u64); 4] {
        let Self { max_requests, max_age, max_memory, memory_budget } = self;
        [
            ("max_requests", max_requests),
            ("max_age", max_age),
            ("max_memory", max_memory),
            ("memory_budget", memory_budget),
        ]
    }
}
