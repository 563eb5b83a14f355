//! What the master looks at from time to time, while it serves.

pub(crate) mod budget;
pub(crate) mod recycling;
pub(crate) mod sharing;
pub(crate) mod sizing;

use crate::canary::watch::Canary;
use crate::upkeep::budget::Budget;
use crate::upkeep::recycling::Recycling;
use crate::upkeep::sharing::Sharing;
use crate::upkeep::sizing::Sizing;

/// The trial under way, workers that may have had their time, what they share, and the load.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    pub(crate) canary: Canary,
    /// It is looked at with [`Self::recycling`].
    pub(crate) budget: Budget,
    pub(crate) recycling: Recycling,
    pub(crate) sharing: Sharing,
    pub(crate) sizing: Sizing,
}

impl Upkeep {
    /// When to look again (CLOCK_MONOTONIC, ns).
    pub(crate) fn next_ns(&self) -> Option<u64> {
        let Self { canary, recycling, sharing, sizing, .. } = self;
        [canary.next_ns(), recycling.next_ns(), sharing.next_ns(), sizing.next_ns()].into_iter().flatten().min()
    }
}
