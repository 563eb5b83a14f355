//! What the server may have of memory, all its processes together: `memory_budget`.
//!
//! Over it the worker that has grown most gives its memory back by being replaced, one at a time. When none has grown, more
//! workers than the least are too many. When it is the least already, nothing is left but to say so.

use std::collections::BTreeMap;

use directives::MemoryBudget;
use supervisor::WorkerId;

/// A worker that has not grown by more than this, in bytes, has nothing to give back. Nor has one that has not grown by half of
/// what it had: it is still warming up, and the next one would, too.
const GROWN_BYTES: u64 = 8 << 20;

/// What the processes have.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// All of them together, shared memory once (PSS); `None` while not all have been measured.
    pub(crate) used_bytes: Option<u64>,
    /// The workers that serve.
    pub(crate) workers: Vec<Measured>,
    /// Whether workers come and go: what they have is about to change.
    pub(crate) moves: bool,
    /// How many workers are wanted, and how many at least.
    pub(crate) wanted: u32,
    pub(crate) least: u32,
}

/// A worker that serves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) id: WorkerId,
    pub(crate) private_bytes: u64,
    /// Whether it has loaded what it needs.
    pub(crate) is_warm: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    None,
    /// This worker is replaced.
    Recycle(WorkerId),
    /// There are to be fewer workers.
    Fewer(u32),
    /// Nothing helps.
    Exhausted,
}

/// What is known of the workers, and of the room there is.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    /// What each worker had when it was measured first after it was warm.
    first: BTreeMap<WorkerId, u64>,
    /// How many workers there is room for; `None` without a budget.
    room: Option<u32>,
    /// How much the server may have, as of the last look.
    pub(crate) bytes: Option<u64>,
    /// Whether it was told that nothing helps, or that there is no limit to have a share of.
    told: bool,
}

impl Budget {
    /// How many workers there is room for.
    pub(crate) fn room(&self) -> u32 {
        self.room.unwrap_or(u32::MAX)
    }

    /// Forgets all, but for what was told: there is no budget, or none is known. Returns whether that is news.
    pub(crate) fn is_none(&mut self, wanted: MemoryBudget) -> bool {
        let is_news = matches!(wanted, MemoryBudget::Share(_)) && !self.told;
        *self = Self { told: self.told || is_news, ..Self::default() };
        is_news
    }

    /// Looks at what all have. `bytes` is what they may have.
    pub(crate) fn look(&mut self, seen: &Seen, bytes: u64) -> Step {
        self.bytes = Some(bytes);
        self.first.retain(|id, _| seen.workers.iter().any(|worker| worker.id == *id));
        for worker in seen.workers.iter().filter(|worker| worker.is_warm) {
            self.first.entry(worker.id).or_insert(worker.private_bytes);
        }
        let Some(used) = seen.used_bytes else {
            self.room = Some(seen.wanted);
            return Step::None;
        };
        let workers = u64::try_from(seen.workers.len()).unwrap_or(u64::MAX).max(1);
        let each = (seen.workers.iter().map(|worker| worker.private_bytes).sum::<u64>() / workers).max(1);
        let more = u32::try_from(bytes.saturating_sub(used) / each).unwrap_or(u32::MAX);
        self.room = Some(seen.wanted.saturating_add(more));
        if used <= bytes {
            self.told = false;
            return Step::None;
        }
        if seen.moves {
            return Step::None;
        }
        match self.largest_that_has_grown(&seen.workers) {
            Some(worker) => Step::Recycle(worker),
            None if seen.wanted > seen.least => Step::Fewer(seen.least),
            None if std::mem::replace(&mut self.told, true) => Step::None,
            None => Step::Exhausted,
        }
    }

    fn largest_that_has_grown(&self, workers: &[Measured]) -> Option<WorkerId> {
        let has_grown = |worker: &&Measured| {
            let first = self.first.get(&worker.id);
            first.is_some_and(|first| worker.private_bytes.saturating_sub(*first) > GROWN_BYTES.max(first / 2))
        };
        workers.iter().filter(has_grown).max_by_key(|worker| worker.private_bytes).map(|worker| worker.id)
    }
}

/// How many bytes a budget is, where the control group has this limit.
pub(crate) fn bytes(wanted: MemoryBudget, limit: impl FnOnce() -> Option<u64>) -> Option<u64> {
    match wanted {
        MemoryBudget::Bytes(0) => None,
        MemoryBudget::Bytes(bytes) => Some(bytes),
        MemoryBudget::Share(share) => limit().map(|limit| (limit as f64 * share) as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn seen(used_mib: u64, workers_mib: &[u64]) -> Seen {
        let measured = |(id, mib): (u32, &u64)| Measured { id: WorkerId(id), private_bytes: mib * MIB, is_warm: true };
        let workers = (1..).zip(workers_mib).map(measured).collect();
        let wanted = u32::try_from(workers_mib.len()).unwrap();
        Seen { used_bytes: Some(used_mib * MIB), workers, moves: false, wanted, least: wanted }
    }

    #[test]
    fn worker_that_has_grown_most_is_replaced_over_the_budget_one_at_a_time() {
        let mut budget = Budget::default();
        assert_eq!(budget.look(&seen(100, &[20, 20, 20]), 200 * MIB), Step::None);
        assert_eq!(budget.look(&seen(200, &[60, 50, 20]), 200 * MIB), Step::None, "that much it may have");
        assert_eq!(budget.look(&seen(201, &[60, 70, 20]), 200 * MIB), Step::Recycle(WorkerId(2)));
        let moves = Seen { moves: true, ..seen(221, &[60, 70, 20]) };
        assert_eq!(budget.look(&moves, 200 * MIB), Step::None);
        assert_eq!(budget.look(&seen(201, &[28, 28, 28]), 200 * MIB), Step::Exhausted, "that is no leak");
    }

    #[test]
    fn workers_that_have_not_grown_are_fewer_then_and_at_last_it_is_told_once() {
        let mut budget = Budget::default();
        let over = |least| Seen { least, ..seen(300, &[90, 80, 80]) };
        assert_eq!(budget.look(&over(2), 200 * MIB), Step::Fewer(2));
        let least = || seen(250, &[90, 80]);
        assert_eq!([(); 3].map(|()| budget.look(&least(), 200 * MIB)), [Step::Exhausted, Step::None, Step::None]);
        assert_eq!(budget.look(&seen(190, &[60, 60]), 200 * MIB), Step::None);
        assert_eq!(budget.look(&seen(250, &[150, 60]), 200 * MIB), Step::Recycle(WorkerId(1)), "it has grown since");
    }

    #[test]
    fn room_is_for_as_many_workers_more_as_have_what_one_has() {
        let mut budget = Budget::default();
        assert_eq!(budget.room(), u32::MAX);
        budget.look(&seen(120, &[40, 20]), 200 * MIB);
        assert_eq!(budget.room(), 2 + 2);
        budget.look(&Seen { used_bytes: None, ..seen(0, &[40, 20]) }, 200 * MIB);
        assert_eq!(budget.room(), 2, "what is not known is no room");
        budget.look(&seen(220, &[40, 20]), 200 * MIB);
        assert_eq!(budget.room(), 2);
        assert!(!budget.is_none(MemoryBudget::Bytes(0)) && budget.room() == u32::MAX);
    }

    #[test]
    fn share_is_of_the_limit_of_the_group_and_without_one_there_is_none() {
        assert_eq!(bytes(MemoryBudget::Bytes(0), || Some(9)), None);
        assert_eq!(bytes(MemoryBudget::Bytes(7), || Some(9)), Some(7));
        assert_eq!(bytes(MemoryBudget::Share(0.5), || Some(1000)), Some(500));
        assert_eq!(bytes(MemoryBudget::Share(0.5), || None), None);
        let mut budget = Budget::default();
        assert_eq!([(); 2].map(|()| budget.is_none(MemoryBudget::Share(0.5))), [true, false], "told once");
    }
}
