//! Whether a refork would win enough: `refork :auto`.
//!
//! What a worker has had private since its first look is what its mold could give to all, were it forked from that worker. What a
//! refork costs is a fork of each worker, and new connections to databases; so each one waits longer than the one before.
//!
//! What is remembered is lost in an upgrade in place, after which a worker has to grow again first.

use std::collections::BTreeMap;
use std::time::Duration;

use supervisor::{Instant, Warm, WorkerId};

/// How often workers are measured, in ns.
const EACH_NS: u64 = 5_000_000_000;
/// How long a mold and what it has forked are left alone before the first refork; each one after it waits so many times as long.
const FIRST_WAIT: Duration = Duration::from_secs(10);
const TIMES: u32 = 4;
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// Less than this is not worth it, nor is less than this share of what the server has.
const LEAST_BYTES: u64 = 16 << 20;
const LEAST_PERCENT: u64 = 20;

/// When workers were forked from one mold, what they had then, and when to measure them again.
#[derive(Debug, Default)]
pub(crate) struct Sharing {
    next_ns: Option<u64>,
    mold: Option<(Warm, Instant)>,
    first: BTreeMap<WorkerId, u64>,
}

/// What all workers have that serve.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) private_bytes: Vec<(WorkerId, u64)>,
    /// What all processes have together.
    pub(crate) used_bytes: Option<u64>,
}

impl Sharing {
    /// When to look again (CLOCK_MONOTONIC, ns).
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.next_ns
    }

    /// Whether to look now, if workers may be forked anew. `warm`: of the mold in force.
    pub(crate) fn is_due(&mut self, warm: Option<Warm>, now_ns: u64) -> bool {
        let Some(warm) = warm else {
            self.next_ns = None;
            return false;
        };
        if self.mold.is_none_or(|(known, _)| known != warm) {
            *self = Self { mold: Some((warm, Instant(now_ns))), ..Self::default() };
        }
        let due = self.next_ns.is_none_or(|next_ns| next_ns <= now_ns);
        if due {
            self.next_ns = Some(now_ns.saturating_add(EACH_NS));
        }
        due
    }

    /// Takes in what was measured. Returns how many bytes a refork would make shared, if that is enough.
    pub(crate) fn look(&mut self, seen: &Seen, now: Instant) -> Option<u64> {
        let (warm, since) = self.mold?;
        self.first.retain(|id, _| seen.private_bytes.iter().any(|(other, _)| other == id));
        let mut won = 0_u64;
        for (id, bytes) in &seen.private_bytes {
            won = won.saturating_add(bytes.saturating_sub(*self.first.entry(*id).or_insert(*bytes)));
        }
        // What one of them has grown by is there once, in the mold.
        let count = u64::try_from(seen.private_bytes.len()).ok().filter(|count| *count > 1)?;
        let won = won / count * (count - 1);
        let enough = LEAST_BYTES.max(seen.used_bytes? / 100 * LEAST_PERCENT);
        (now.since(since) >= wait(warm.reforks) && won >= enough).then_some(won)
    }
}

/// For how long workers are left alone when there were so many reforks.
fn wait(reforks: u32) -> Duration {
    TIMES.checked_pow(reforks).and_then(|times| FIRST_WAIT.checked_mul(times)).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use supervisor::Generation;

    use super::*;

    const MIB: u64 = 1 << 20;
    const SECOND_NS: u64 = 1_000_000_000;

    fn warm(reforks: u32) -> Warm {
        Warm { generation: Generation(reforks.saturating_add(1)), reforks }
    }

    fn seen(used_mib: u64, private_mib: &[u64]) -> Seen {
        let private_bytes = (1..).map(WorkerId).zip(private_mib.iter().map(|mib| mib * MIB)).collect();
        Seen { private_bytes, used_bytes: Some(used_mib * MIB) }
    }

    /// What is found of workers that had 5 MiB each when they were forked, so many seconds later.
    #[track_caller]
    fn check(reforks: u32, seconds: u64, later: &Seen, won_mib: Option<u64>) {
        let mut sharing = Sharing::default();
        assert!(sharing.is_due(Some(warm(reforks)), 0));
        let count = later.private_bytes.len();
        assert_eq!(sharing.look(&seen(100, &vec![5; count]), Instant(0)), None);
        let now_ns = seconds * SECOND_NS;
        assert!(sharing.is_due(Some(warm(reforks)), now_ns));
        assert_eq!(sharing.look(later, Instant(now_ns)).map(|bytes| bytes / MIB), won_mib, "{later:?}");
    }

    #[test]
    fn refork_is_worth_it_when_what_workers_have_grown_by_is_a_good_part_of_all() {
        check(0, 10, &seen(200, &[45, 35, 25, 15]), Some(75));
        check(0, 10, &seen(200, &[20, 20, 20, 6]), None);
        check(0, 10, &seen(50, &[15, 15, 5, 5]), None);
        check(0, 10, &seen(200, &[200]), None);
        check(0, 10, &Seen { used_bytes: None, ..seen(0, &[45, 35, 25, 15]) }, None);
        check(0, 10, &seen(200, &[]), None);
    }

    #[test]
    fn each_refork_waits_longer_than_the_one_before_up_to_an_hour() {
        let grown = seen(200, &[85, 85]);
        for (reforks, seconds) in [(0, 10), (1, 40), (2, 160), (5, 3600), (u32::MAX, 3600)] {
            check(reforks, seconds - 1, &grown, None);
            check(reforks, seconds, &grown, Some(80));
        }
    }

    #[test]
    fn new_mold_begins_anew_and_so_does_a_worker() {
        let mut sharing = Sharing::default();
        assert!(sharing.is_due(Some(warm(0)), 0));
        assert_eq!(sharing.look(&seen(100, &[5, 5]), Instant(0)), None);
        assert!(!sharing.is_due(Some(warm(0)), EACH_NS - 1) && sharing.next_ns() == Some(EACH_NS));
        assert!(sharing.is_due(Some(warm(1)), EACH_NS - 1));
        assert_eq!(sharing.look(&seen(100, &[85, 85]), Instant(100 * SECOND_NS)), None, "they are as they were forked");
        let other = Seen { private_bytes: vec![(WorkerId(2), 85 * MIB), (WorkerId(3), 165 * MIB)], ..seen(100, &[]) };
        assert_eq!(sharing.look(&other, Instant(200 * SECOND_NS)), None, "one is new, the other has not grown");
        assert!(!sharing.is_due(None, 0) && sharing.next_ns().is_none());
        assert!(sharing.is_due(Some(warm(1)), 201 * SECOND_NS), "a reload has failed");
        let grown = seen(200, &[0, 105, 245]);
        assert_eq!(sharing.look(&grown, Instant(201 * SECOND_NS)), Some(66 * MIB + (MIB * 2 / 3)));
    }
}
