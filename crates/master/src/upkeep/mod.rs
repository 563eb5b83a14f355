//! What the master looks at from time to time, while it serves.

pub(crate) mod recycling;

use crate::canary::watch::Canary;
use crate::upkeep::recycling::Recycling;

/// The trial under way, and workers that may have had their time.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    pub(crate) canary: Canary,
    pub(crate) recycling: Recycling,
}

impl Upkeep {
    /// When to look again (CLOCK_MONOTONIC, ns).
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.canary.next_ns().into_iter().chain(self.recycling.next_ns()).min()
    }
}
