//! Which workers have had their time: by their requests, their age, their private memory.
//!
//! What a worker says of its requests is a claim; it can have itself replaced by it, and no other. Its limits lie a share above
//! those that are configured, which its number decides: so nothing of it has to be remembered over an upgrade in place.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use supervisor::{Generation, Wear, WorkerId};

/// How often workers are looked at, in ns.
const EACH_NS: u64 = 1_000_000_000;
/// How many requests a worker has done when it has loaded what it needs.
pub(crate) const WARM: u64 = 20;

/// What each worker may do; 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Limits {
    pub(crate) requests: u64,
    pub(crate) age_ns: u64,
    /// By which share a worker may exceed these two.
    pub(crate) jitter: f64,
    pub(crate) private_bytes: u64,
}

impl Limits {
    /// Whether there are none.
    pub(crate) fn are_none(self) -> bool {
        self.requests == 0 && self.age_ns == 0 && self.private_bytes == 0
    }
}

/// A worker that serves, as it is now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) id: WorkerId,
    pub(crate) requests: u64,
    pub(crate) age_ns: u64,
    /// Its private memory, or something that is larger than that, if it is known.
    pub(crate) private_bytes: Option<u64>,
}

/// What is found of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It serves on.
    Fit,
    /// It has had its time.
    Worn(Wear),
    /// It has too much memory, and has had it since it served its first requests.
    StartsTooLarge,
}

/// What is known of the workers that were looked at.
#[derive(Debug, Default)]
pub(crate) struct Recycling {
    next_ns: Option<u64>,
    /// Those that were below the limit of memory when they were looked at.
    were_small: BTreeSet<WorkerId>,
    /// The generation of which it was told that its workers start too large.
    told: Option<Generation>,
}

impl Recycling {
    /// When to look again (CLOCK_MONOTONIC, ns), if there is anything to look at.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.next_ns
    }

    /// Whether to look now. `looks`: there is anything to look at.
    pub(crate) fn is_due(&mut self, looks: bool, now_ns: u64) -> bool {
        if !looks {
            *self = Self::default();
            return false;
        }
        let due = self.next_ns.is_none_or(|next_ns| next_ns <= now_ns);
        if due {
            self.next_ns = Some(now_ns.saturating_add(EACH_NS));
        }
        due
    }

    /// Looks at all workers that serve.
    pub(crate) fn look(&mut self, all: &[Seen], limits: Limits, seed: u64) -> Vec<(WorkerId, Finding)> {
        self.were_small.retain(|id| all.iter().any(|seen| seen.id == *id));
        all.iter().map(|seen| (seen.id, self.judge(seen, limits, seed))).collect()
    }

    fn judge(&mut self, seen: &Seen, limits: Limits, seed: u64) -> Finding {
        let share = 1.0 + limits.jitter * chance(seed, seen.id);
        let reached = |done: u64, limit: u64| limit > 0 && done as f64 >= limit as f64 * share;
        if reached(seen.requests, limits.requests) {
            return Finding::Worn(Wear::Requests);
        }
        if reached(seen.age_ns, limits.age_ns) {
            return Finding::Worn(Wear::Age);
        }
        if limits.private_bytes == 0 || seen.private_bytes.is_none_or(|bytes| bytes < limits.private_bytes) {
            self.were_small.insert(seen.id);
            return Finding::Fit;
        }
        // The next one would be so too.
        if seen.requests < WARM || !self.were_small.contains(&seen.id) {
            self.were_small.remove(&seen.id);
            return Finding::StartsTooLarge;
        }
        Finding::Worn(Wear::Memory)
    }

    /// Whether it is news that workers of this generation start too large.
    pub(crate) fn is_news(&mut self, generation: Generation) -> bool {
        self.told.replace(generation) != Some(generation)
    }
}

/// A number from 0 to 1 that this worker always has, and others do not.
fn chance(seed: u64, id: WorkerId) -> f64 {
    let mut hasher = DefaultHasher::new();
    (seed, id.0).hash(&mut hasher);
    (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Limits = Limits { requests: 0, age_ns: 0, jitter: 0.0, private_bytes: 0 };

    fn seen(id: u32) -> Seen {
        Seen { id: WorkerId(id), requests: 100, age_ns: 1_000, private_bytes: Some(50) }
    }

    #[track_caller]
    fn check(limits: Limits, want: Finding) {
        let mut recycling = Recycling::default();
        recycling.look(&[Seen { private_bytes: Some(0), ..seen(1) }], Limits { requests: 0, age_ns: 0, ..limits }, 7);
        assert_eq!(recycling.look(&[seen(1)], limits, 7), [(WorkerId(1), want)]);
    }

    #[test]
    fn worker_has_had_its_time_at_its_limit_and_not_before() {
        check(NONE, Finding::Fit);
        check(Limits { requests: 101, ..NONE }, Finding::Fit);
        check(Limits { requests: 100, ..NONE }, Finding::Worn(Wear::Requests));
        check(Limits { age_ns: 1_001, ..NONE }, Finding::Fit);
        check(Limits { age_ns: 1_000, ..NONE }, Finding::Worn(Wear::Age));
        check(Limits { private_bytes: 51, ..NONE }, Finding::Fit);
        check(Limits { private_bytes: 50, ..NONE }, Finding::Worn(Wear::Memory));
    }

    #[test]
    fn jitter_spreads_the_limits_above_the_configured_one() {
        let limits = Limits { requests: 1000, jitter: 0.5, ..NONE };
        let worn_at = |id: u32, seed: u64| {
            let worn = |requests: &u64| {
                let seen = Seen { requests: *requests, ..seen(id) };
                Recycling::default().judge(&seen, limits, seed) == Finding::Worn(Wear::Requests)
            };
            (0..2000).find(worn).expect("each has a limit")
        };
        let all: BTreeSet<u64> = (0..100).map(|id| worn_at(id, 7)).collect();
        assert!(all.first() >= Some(&1000) && all.last() <= Some(&1500), "{all:?}");
        assert!(all.len() > 80 && all.first() < Some(&1050) && all.last() > Some(&1450), "{all:?}");
        assert_eq!(worn_at(3, 7), worn_at(3, 7), "after an upgrade in place, too");
        assert_ne!(worn_at(3, 7), worn_at(3, 8));
    }

    #[test]
    fn worker_that_starts_too_large_is_not_replaced_for_it() {
        let limits = Limits { private_bytes: 50, ..NONE };
        let mut recycling = Recycling::default();
        let mut look = |requests: u64, bytes: Option<u64>| {
            recycling.look(&[Seen { requests, private_bytes: bytes, ..seen(1) }], limits, 7)[0].1
        };
        assert_eq!(look(100, Some(50)), Finding::StartsTooLarge, "it never was smaller");
        assert_eq!(look(200, Some(60)), Finding::StartsTooLarge);
        let mut recycling = Recycling::default();
        let mut look = |requests: u64, bytes: Option<u64>| {
            recycling.look(&[Seen { requests, private_bytes: bytes, ..seen(1) }], limits, 7)[0].1
        };
        assert_eq!(look(0, None), Finding::Fit);
        assert_eq!(look(19, Some(50)), Finding::StartsTooLarge, "its first requests have loaded that");
        assert_eq!(look(500, Some(50)), Finding::StartsTooLarge);
        let mut recycling = Recycling::default();
        recycling.look(&[Seen { private_bytes: Some(49), ..seen(1) }], limits, 7);
        recycling.look(&[], limits, 7);
        assert!(recycling.were_small.is_empty(), "those that are gone are forgotten");
    }

    #[test]
    fn nothing_is_looked_at_without_limits() {
        let mut recycling = Recycling::default();
        assert!(NONE.are_none() && !Limits { requests: 1, ..NONE }.are_none());
        assert!(!recycling.is_due(false, 5) && recycling.next_ns().is_none());
        assert!(recycling.is_due(true, 5) && !recycling.is_due(true, 6) && recycling.is_due(true, 5 + EACH_NS));
        assert!(!recycling.is_due(false, 7) && recycling.next_ns().is_none());
    }

    #[test]
    fn each_generation_is_told_of_once() {
        let mut recycling = Recycling::default();
        assert_eq!([1, 1, 2].map(|generation| recycling.is_news(Generation(generation))), [true, false, true]);
    }
}
