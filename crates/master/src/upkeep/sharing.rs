//! Whether a refork would win enough: `refork :auto`.
//!
//! What a worker has had private since its first reading is what its mold could give to all, were it forked from that worker.
//! What a refork costs is a fork of each worker, and new connections to databases; so each one waits longer than the one before.
//!
//! What is remembered is lost in an upgrade in place, after which a worker has to grow again first.

use std::time::Duration;

use supervisor::{Instant, Warm, WorkerId};

/// How often workers are measured, in ns.
const EACH_NS: u64 = 5_000_000_000;
/// And where one was not read yet, whose first reading would else count what it has grown by.
const SOON_NS: u64 = 200_000_000;
/// How long a mold and what it has forked are left alone before the first refork; each one after it waits so many times as long.
const FIRST_WAIT: Duration = Duration::from_secs(10);
const TIMES: u32 = 4;
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// Less than this is not worth it, nor is less than this share of what the server has.
const LEAST_BYTES: u64 = 16 << 20;
const LEAST_PERCENT: u64 = 20;

/// When workers were forked from one mold, and when to measure them again.
#[derive(Debug, Default)]
pub(crate) struct Sharing {
    next_ns: Option<u64>,
    mold: Option<(Warm, Instant)>,
    /// The worker that began to serve last: what it has is to be known before it has served much.
    newest: Option<WorkerId>,
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct Seen {
    /// By how much the private memory has grown of each worker that serves; none of one that was not read.
    pub(crate) growths: Vec<Option<u64>>,
    /// What all processes have together.
    pub(crate) used_bytes: Option<u64>,
}

impl Sharing {
    /// When to look again (CLOCK_MONOTONIC, ns).
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.next_ns
    }

    /// Whether to look now, if workers may be forked anew. `warm`: of the mold in force; `newest` of the workers that serve.
    pub(crate) fn is_due(&mut self, warm: Option<Warm>, newest: Option<WorkerId>, now_ns: u64) -> bool {
        let Some(warm) = warm else {
            self.next_ns = None;
            return false;
        };
        if self.mold.is_none_or(|(known, _)| known != warm) {
            *self = Self { mold: Some((warm, Instant(now_ns))), ..Self::default() };
        }
        let due = newest > self.newest || self.next_ns.is_none_or(|next_ns| next_ns <= now_ns);
        self.newest = newest;
        if due {
            self.next_ns = Some(now_ns.saturating_add(EACH_NS));
        }
        due
    }

    /// Takes in what was measured. Returns how many bytes a refork would make shared, if that is enough.
    pub(crate) fn look(&mut self, seen: &Seen, now: Instant) -> Option<u64> {
        let (warm, since) = self.mold?;
        let is_young = now.since(since) < FIRST_WAIT;
        if is_young && seen.growths.contains(&None) {
            self.next_ns = Some(now.0.saturating_add(SOON_NS));
        }
        let growths: Vec<u64> = seen.growths.iter().copied().flatten().collect();
        let won = growths.iter().fold(0, |sum: u64, growth| sum.saturating_add(*growth));
        // What one of them has grown by is there once, in the mold.
        let count = u64::try_from(growths.len()).ok().filter(|count| *count > 1)?;
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

    fn seen(used_mib: u64, growths_mib: &[u64]) -> Seen {
        let growths = growths_mib.iter().map(|mib| Some(mib * MIB)).collect();
        Seen { growths, used_bytes: Some(used_mib * MIB) }
    }

    /// What is found of workers that were forked so many seconds before.
    #[track_caller]
    fn check(reforks: u32, seconds: u64, seen: &Seen, won_mib: Option<u64>) {
        let mut sharing = Sharing::default();
        assert!(sharing.is_due(Some(warm(reforks)), None, 0));
        assert_eq!(sharing.look(seen, Instant(seconds * SECOND_NS)).map(|bytes| bytes / MIB), won_mib, "{seen:?}");
    }

    #[test]
    fn refork_is_worth_it_when_what_workers_have_grown_by_is_a_good_part_of_all() {
        check(0, 10, &seen(200, &[40, 30, 20, 10]), Some(75));
        check(0, 10, &seen(200, &[15, 15, 15, 1]), None);
        check(0, 10, &seen(50, &[10, 10, 0, 0]), None);
        check(0, 10, &seen(200, &[200]), None);
        check(0, 10, &Seen { used_bytes: None, ..seen(0, &[40, 30, 20, 10]) }, None);
        check(0, 10, &seen(200, &[]), None);
    }

    #[test]
    fn each_refork_waits_longer_than_the_one_before_up_to_an_hour() {
        let grown = seen(200, &[80, 80]);
        for (reforks, seconds) in [(0, 10), (1, 40), (2, 160), (5, 3600), (u32::MAX, 3600)] {
            check(reforks, seconds - 1, &grown, None);
            check(reforks, seconds, &grown, Some(80));
        }
    }

    #[test]
    fn each_mold_is_left_alone_first() {
        let mut sharing = Sharing::default();
        assert!(sharing.is_due(Some(warm(0)), None, 0));
        assert!(!sharing.is_due(Some(warm(0)), None, EACH_NS - 1) && sharing.next_ns() == Some(EACH_NS));
        assert!(sharing.is_due(Some(warm(1)), None, EACH_NS - 1));
        assert_eq!(sharing.look(&seen(100, &[80, 80]), Instant(20 * SECOND_NS)), None);
        assert_eq!(sharing.look(&seen(100, &[80, 80]), Instant(50 * SECOND_NS)), Some(80 * MIB));
        assert!(!sharing.is_due(None, None, 0) && sharing.next_ns().is_none());
        assert!(sharing.is_due(Some(warm(1)), None, 201 * SECOND_NS), "a reload has failed");
    }

    #[test]
    fn one_that_was_not_read_yet_is_read_soon() {
        let mut sharing = Sharing::default();
        assert!(sharing.is_due(Some(warm(0)), None, 0));
        let unread = Seen { growths: vec![Some(30 * MIB), None, Some(30 * MIB)], ..seen(100, &[]) };
        assert_eq!(sharing.look(&unread, Instant(SECOND_NS)), None);
        assert_eq!(sharing.next_ns(), Some(SECOND_NS + SOON_NS));
        assert!(sharing.is_due(Some(warm(0)), None, 20 * SECOND_NS));
        assert_eq!(sharing.look(&unread, Instant(20 * SECOND_NS)), Some(30 * MIB), "it may never be");
        assert_eq!(sharing.next_ns(), Some(20 * SECOND_NS + EACH_NS));
    }

    #[test]
    fn a_worker_is_looked_at_when_it_begins_to_serve() {
        let mut sharing = Sharing::default();
        let newest = |number| Some(WorkerId(number));
        assert!(sharing.is_due(Some(warm(0)), None, 0));
        assert!(sharing.is_due(Some(warm(0)), newest(1), 1) && !sharing.is_due(Some(warm(0)), newest(1), 2));
        assert!(sharing.is_due(Some(warm(0)), newest(2), 3) && sharing.next_ns() == Some(EACH_NS + 3));
        assert!(!sharing.is_due(Some(warm(0)), newest(1), 4), "the newer one is gone");
    }
}
