//! What is seen of the load, for the number of workers that follows it.

use scoreboard::histogram::Counts;
use supervisor::{Instant, Load, Sizer, Sizes};

/// A request that has waited for longer has waited noticeably, in ns.
const LATE_NS: u64 = 10_000_000;

/// What the server has done so far, and what waits now.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Time of workers in requests, in all.
    pub(crate) busy_ns: u64,
    /// How long requests have waited.
    pub(crate) queue: Counts,
    /// For how long no worker was idle, in all.
    pub(crate) saturated_ns: u64,
    /// How many workers serve.
    pub(crate) serving: u32,
    /// How many of them are in a request now.
    pub(crate) in_request: u32,
    /// How many connections wait in the kernel now.
    pub(crate) backlog: u64,
}

/// When to look, what was seen before, and what was made of it.
#[derive(Debug, Default)]
pub(crate) struct Sizing {
    next_ns: Option<u64>,
    before: Option<(u64, Seen)>,
    sizer: Sizer,
}

impl Sizing {
    /// When to look again (CLOCK_MONOTONIC, ns), if the number follows the load.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.next_ns
    }

    /// Whether to look now.
    pub(crate) fn is_due(&mut self, sizes: Option<Sizes>, now_ns: u64) -> bool {
        if sizes.is_none_or(|sizes| !sizes.follows) {
            *self = Self::default();
            return false;
        }
        let due = self.next_ns.is_none_or(|next_ns| next_ns <= now_ns);
        if due {
            self.next_ns = Some(now_ns.saturating_add(u64::try_from(Sizer::EACH.as_nanos()).unwrap_or(u64::MAX)));
        }
        due
    }

    /// Takes in what was seen. Returns how many workers the load wants, if others than are wanted. `most`: for how many there is
    /// room.
    pub(crate) fn look(&mut self, now_ns: u64, wanted: u32, seen: Seen, sizes: Sizes, most: u32) -> Option<u32> {
        let load = self.before.as_ref().and_then(|(at_ns, before)| load(before, &seen, now_ns.checked_sub(*at_ns)?));
        self.before = Some((now_ns, seen));
        self.sizer.look(Instant(now_ns), wanted, load?, sizes, most)
    }
}

/// The load of the time between. What workers say is a claim: it is bounded, and cannot lead beyond what is configured.
fn load(before: &Seen, now: &Seen, time_ns: u64) -> Option<Load> {
    let share_milli = |ns: u64| ns.saturating_mul(1000).checked_div(time_ns);
    let queue = now.queue.since(&before.queue);
    let room_milli = u64::from(now.serving) * 1000;
    // A long request is counted when it ends.
    let done_milli = share_milli(now.busy_ns.saturating_sub(before.busy_ns))?;
    Some(Load {
        serving: now.serving,
        busy_milli: done_milli.max(u64::from(now.in_request) * 1000).min(room_milli),
        // As many wait on average as come in the time for which one waits.
        waiting_milli: share_milli(queue.sum_ns())?.saturating_add(now.backlog.saturating_mul(1000)),
        begun: queue.total(),
        late: queue.above(LATE_NS),
        saturated_milli: share_milli(now.saturated_ns.saturating_sub(before.saturated_ns))?.min(1000),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(busy_ms: u64, waited_ms: &[u64], saturated_ms: u64) -> Seen {
        let mut queue = Counts::default();
        waited_ms.iter().for_each(|ms| queue.count(ms * 1_000_000));
        let (busy_ns, saturated_ns) = (busy_ms * 1_000_000, saturated_ms * 1_000_000);
        Seen { busy_ns, queue, saturated_ns, serving: 2, in_request: 1, backlog: 0 }
    }

    #[test]
    fn load_is_what_was_done_between_two_looks() {
        let (before, now) = (seen(1000, &[5], 100), seen(1750, &[5, 100, 0, 0, 150], 350));
        let found = load(&before, &now, 500_000_000).unwrap();
        let want = Load { serving: 2, busy_milli: 1500, waiting_milli: 500, begun: 4, late: 2, saturated_milli: 500 };
        assert_eq!(found, want);
        let backlog = Seen { backlog: 3, ..seen(1750, &[5, 100, 0, 0, 150], 350) };
        assert_eq!(load(&before, &backlog, 500_000_000).unwrap().waiting_milli, 3500);
    }

    #[test]
    fn long_requests_count_while_they_last_and_no_more_than_there_are_workers() {
        let idle = seen(0, &[], 0);
        assert_eq!(load(&idle, &seen(0, &[], 0), 500_000_000).unwrap().busy_milli, 1000);
        assert_eq!(load(&idle, &seen(60_000, &[], 0), 500_000_000).unwrap().busy_milli, 2000);
        assert_eq!(load(&idle, &seen(0, &[], 0), 0), None);
    }

    #[test]
    fn nothing_is_looked_at_where_the_number_does_not_follow_the_load() {
        let mut sizing = Sizing::default();
        let sizes = Sizes { least: 1, most: 4, by_hand: false, follows: true };
        assert!(!sizing.is_due(None, 5) && sizing.next_ns().is_none());
        assert!(sizing.is_due(Some(sizes), 5) && !sizing.is_due(Some(sizes), 500_000_004));
        assert!(sizing.is_due(Some(sizes), 500_000_005));
        assert!(!sizing.is_due(Some(Sizes { follows: false, ..sizes }), 9) && sizing.next_ns().is_none());
    }
}
