//! Request deadlines, read from the seats of the workers.
//!
//! No message and no timer belongs to a request. A request that begins after the master has looked cannot be one to
//! report before the shortest limit has passed, so the master looks again then: one wake-up per shortest limit while nothing
//! happens, and neither a report nor a kill ever comes late.

use std::time::Duration;

use scoreboard::Seat;

/// One worker to watch: its seat.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watched<'a, Id> {
    pub(crate) id: Id,
    pub(crate) seat: Seat<'a>,
}

/// How long a request may last until it is slow, until its worker is asked for a report since it will be killed, and until
/// it is killed. What the application added to its deadline is added to the last two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) slow: Duration,
    pub(crate) soft: Duration,
    pub(crate) hard: Duration,
}

impl Limits {
    /// Nothing is ever due.
    pub(crate) const NONE: Self = Self { slow: Duration::MAX, soft: Duration::MAX, hard: Duration::MAX };
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Due<Id> {
    /// The workers to ask for a report, and the start of the request that it is about (CLOCK_MONOTONIC, ns).
    pub(crate) reports: Vec<(Id, u64)>,
    /// The same for requests that are slow.
    pub(crate) slow: Vec<(Id, u64)>,
    /// The workers whose request has outlived the hard limit.
    pub(crate) overdue: Vec<Id>,
    /// When to look again (CLOCK_MONOTONIC, ns); `None` when no worker is watched.
    pub(crate) next_ns: Option<u64>,
}

/// A look that comes this late means that the machine stood still, workers included.
const STANDSTILL_NS: u64 = 1_000_000_000;
/// The seats are not looked at again sooner than after this time.
const SHORTEST_LOOK_NS: u64 = 1_000_000;

/// The master's looks at its workers: when the next one is due, and what is forgiven when it comes late.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    /// When to look again (CLOCK_MONOTONIC, ns).
    pub(crate) next_ns: Option<u64>,
    /// Before this moment no request is too old (CLOCK_MONOTONIC, ns).
    pardon_until_ns: u64,
}

impl Deadlines {
    /// Finds what is due by now, and plans the next look.
    pub(crate) fn look<'a, Id: Copy>(
        &mut self,
        workers: impl Iterator<Item = Watched<'a, Id>>,
        limits: Limits,
        now_ns: u64,
    ) -> Due<Id> {
        // A stop can hit anywhere: what was planned tells of one that hit while the master was awake, too.
        self.pardon(self.next_ns.map_or(0, |planned| now_ns.saturating_sub(planned)), limits, now_ns);
        let due = look(workers, limits, now_ns, self.pardon_until_ns);
        // What is due next is what workers say: one that moves its request's deadline all the time keeps nothing busy.
        self.next_ns = due.next_ns.map(|next| next.max(now_ns.saturating_add(SHORTEST_LOOK_NS)));
        due
    }

    /// After a standstill (a container that was paused, a machine that ran others) the requests have not had the time that
    /// has passed: they get as much again, as Unicorn gives it to them.
    pub(crate) fn pardon(&mut self, late_ns: u64, limits: Limits, now_ns: u64) {
        if late_ns >= STANDSTILL_NS {
            let hard = nanoseconds(limits.hard);
            self.pardon_until_ns = self.pardon_until_ns.max(now_ns.saturating_add(late_ns.min(hard)));
        }
    }
}

/// Finds the workers whose request has outlived a limit. Before `pardon_until_ns` none has outlived the hard one.
fn look<'a, Id: Copy>(
    workers: impl Iterator<Item = Watched<'a, Id>>,
    limits: Limits,
    now_ns: u64,
    pardon_until_ns: u64,
) -> Due<Id> {
    let [slow, soft, hard] = [limits.slow, limits.soft, limits.hard].map(nanoseconds);
    let mut due = Due { reports: Vec::new(), slow: Vec::new(), overdue: Vec::new(), next_ns: None };
    for worker in workers {
        let seat = worker.seat;
        let knows_slow = seat.slow_report_asked_ns();
        // The first limit of a request that begins right after this look, whatever becomes of the one that is served.
        let first = now_ns.saturating_add(if knows_slow.is_some() { soft.min(slow) } else { soft });
        let next = if let Some(start) = seat.request_start_ns() {
            let extended = start.saturating_add(seat.extra_ms().saturating_mul(1_000_000));
            let hard = extended.saturating_add(hard).max(pardon_until_ns);
            if hard <= now_ns {
                due.overdue.push(worker.id);
                continue;
            }
            // Each is asked for once; one that is not due yet is what comes next.
            let wanted = |asked: Option<u64>, at: u64, due: &mut Vec<(Id, u64)>| {
                let is_new = asked.is_some_and(|asked| asked != start);
                if is_new && at <= now_ns {
                    due.push((worker.id, start));
                }
                if is_new && at > now_ns { at } else { u64::MAX }
            };
            let soft = wanted(Some(seat.report_asked_ns()), extended.saturating_add(soft), &mut due.reports);
            let slow = wanted(knows_slow, start.saturating_add(slow), &mut due.slow);
            hard.min(soft).min(slow).min(first)
        } else {
            first
        };
        due.next_ns = Some(due.next_ns.map_or(next, |earliest| earliest.min(next)));
    }
    due
}

fn nanoseconds(limit: Duration) -> u64 {
    u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    fn page() -> Vec<AtomicU64> {
        (0..2 * scoreboard::SEAT_WORDS).map(|_| AtomicU64::new(0)).collect()
    }

    /// Looks at two workers, of which `a` stays idle.
    #[track_caller]
    fn check(page: &[AtomicU64], soft: u64, now: u64, reports: &[(char, u64)], overdue: &[char], next: u64, why: &str) {
        let limits = Limits { slow: Duration::MAX, soft: Duration::from_nanos(soft), hard: Duration::from_nanos(100) };
        let watched = |id, number| Watched { id, seat: scoreboard::seat(page, number).unwrap() };
        let due = look([watched('a', 0), watched('b', 1)].into_iter(), limits, now, 0);
        let want = Due { reports: reports.to_vec(), slow: vec![], overdue: overdue.to_vec(), next_ns: Some(next) };
        assert_eq!(due, want, "{why}");
    }

    #[test]
    fn a_request_is_overdue_at_its_deadline_and_not_before() {
        let page = page();
        let seat = scoreboard::seat(&page, 1).unwrap();
        check(&page, 100, 1_000, &[], &[], 1_100, "idle: look again after the limit");
        seat.begin_request(1_050, b"GET", b"/");
        check(&page, 100, 1_100, &[], &[], 1_150, "busy: look again at its deadline");
        check(&page, 100, 1_150, &[], &['b'], 1_250, "without a soft limit nothing is reported");
        seat.extend_deadline(1);
        check(&page, 100, 1_150, &[], &[], 1_250, "the application asked for a millisecond more");
        seat.end_request(1_200, scoreboard::State::Idle);
        check(&page, 100, 5_000, &[], &[], 5_100, "idle again");
    }

    #[test]
    fn a_request_is_reported_once_between_its_limits() {
        let page = page();
        let seat = scoreboard::seat(&page, 1).unwrap();
        check(&page, 60, 1_000, &[], &[], 1_060, "idle: a request that begins now would be reported then");
        seat.begin_request(1_010, b"GET", b"/");
        check(&page, 60, 1_060, &[], &[], 1_070, "busy: look again at its soft limit");
        check(&page, 60, 1_070, &[('b', 1_010)], &[], 1_110, "then at the hard one");
        seat.ask_report(1_010);
        check(&page, 60, 1_080, &[], &[], 1_110, "a worker is asked once");
        check(&page, 60, 1_110, &[], &['b'], 1_170, "the hard limit holds all the same");
        seat.end_request(1_110, scoreboard::State::Idle);
        seat.begin_request(1_120, b"GET", b"/");
        check(&page, 60, 1_180, &[('b', 1_120)], &[], 1_220, "the next request is another one");
        check(&page, 60, 1_220, &[], &['b'], 1_280, "a look that comes too late only kills");
    }

    #[test]
    fn a_slow_request_is_reported_once_whatever_else_is_due() {
        let words: Vec<AtomicU64> = (0..scoreboard::PAGE_BYTES / 8).map(|_| AtomicU64::new(0)).collect();
        let seat = Seat::of_page(&words).unwrap();
        let limit = |ns| Duration::from_nanos(ns);
        let limits = Limits { slow: limit(30), soft: limit(60), hard: limit(100) };
        let check = |seat, now, slow: &[(char, u64)], reports: &[(char, u64)], next: u64| {
            let due = look(std::iter::once(Watched { id: 'a', seat }), limits, now, 0);
            let (slow, reports) = (slow.to_vec(), reports.to_vec());
            assert_eq!(due, Due { reports, slow, overdue: vec![], next_ns: Some(next) }, "at {now}");
        };
        check(seat, 1_000, &[], &[], 1_030);
        seat.begin_request(1_010, b"GET", b"/");
        check(seat, 1_030, &[], &[], 1_040);
        check(seat, 1_040, &[('a', 1_010)], &[], 1_070);
        seat.ask_slow_report(1_010);
        check(seat, 1_041, &[], &[], 1_070);
        check(seat, 1_070, &[], &[('a', 1_010)], 1_100);
        seat.ask_report(1_010);
        // The next one may be slow before that.
        check(seat, 1_071, &[], &[], 1_101);
        seat.end_request(1_072, scoreboard::State::Idle);
        seat.begin_request(1_080, b"GET", b"/");
        check(seat, 1_150, &[('a', 1_080)], &[('a', 1_080)], 1_180);
        // A deadline that moves moves no request's age.
        seat.ask_report(1_080);
        seat.extend_deadline(1);
        check(seat, 1_150, &[('a', 1_080)], &[], 1_180);
        // A worker of a program before this one knows no such report.
        let page = page();
        let seat = scoreboard::seat(&page, 0).unwrap();
        check(seat, 1_000, &[], &[], 1_060);
        seat.begin_request(1_010, b"GET", b"/");
        check(seat, 1_040, &[], &[], 1_070);
    }

    #[test]
    fn an_extension_moves_both_limits() {
        let page = page();
        let seat = scoreboard::seat(&page, 1).unwrap();
        seat.begin_request(1_000, b"GET", b"/");
        seat.extend_deadline(1);
        check(&page, 60, 1_001_000, &[], &[], 1_001_060, "two idle looks later it is not due yet");
        check(&page, 60, 1_001_060, &[('b', 1_000)], &[], 1_001_100, "then it is");
        seat.ask_report(1_000);
        seat.extend_deadline(1);
        check(&page, 60, 1_001_100, &[], &[], 1_001_160, "extended after its report: it is not reported again");
    }

    #[test]
    fn a_pardon_ends_and_is_for_none_that_has_time_left() {
        let page = page();
        let seat = scoreboard::seat(&page, 1).unwrap();
        let limits = Limits { slow: Duration::MAX, soft: Duration::from_nanos(60), hard: Duration::from_nanos(100) };
        let check = |now, pardon_until, reports: &[(char, u64)], overdue: &[char], next: Option<u64>| {
            let due = look(std::iter::once(Watched { id: 'b', seat }), limits, now, pardon_until);
            assert_eq!(
                due,
                Due { reports: reports.to_vec(), slow: vec![], overdue: overdue.to_vec(), next_ns: next },
                "at {now}"
            );
        };
        seat.begin_request(1_000, b"GET", b"/");
        check(5_000, 5_080, &[('b', 1_000)], &[], Some(5_060));
        seat.ask_report(1_000);
        check(5_079, 5_080, &[], &[], Some(5_080));
        check(5_080, 5_080, &[], &['b'], None);
        seat.end_request(5_080, scoreboard::State::Idle);
        seat.begin_request(5_050, b"GET", b"/");
        check(5_070, 5_080, &[], &[], Some(5_110));
    }

    #[test]
    fn a_look_that_comes_late_finds_no_request_too_old() {
        const SECOND: u64 = 1_000_000_000;
        let page = page();
        let seat = scoreboard::seat(&page, 0).unwrap();
        let limits = Limits { slow: Duration::MAX, soft: Duration::from_secs(8), hard: Duration::from_secs(10) };
        let mut looks = Deadlines::default();
        let mut look = |now| looks.look(std::iter::once(Watched { id: 'a', seat }), limits, now);
        seat.begin_request(100 * SECOND, b"GET", b"/");
        assert_eq!(look(101 * SECOND).next_ns, Some(108 * SECOND));
        // Nothing ran for 20 s. The request was to be looked at 13 s ago; it gets its whole time.
        assert_eq!(look(121 * SECOND).overdue, []);
        seat.ask_report(100 * SECOND);
        assert_eq!(
            look(130 * SECOND),
            Due { reports: vec![], slow: vec![], overdue: vec![], next_ns: Some(131 * SECOND) }
        );
        assert_eq!(look(131 * SECOND).overdue, ['a']);
    }

    #[test]
    fn a_deadline_that_always_comes_next_keeps_the_master_no_busier_than_a_look_a_millisecond() {
        const SECOND: u64 = 1_000_000_000;
        let page = page();
        let seat = scoreboard::seat(&page, 0).unwrap();
        let limits = Limits { slow: Duration::MAX, soft: Duration::from_secs(8), hard: Duration::from_secs(10) };
        let mut looks = Deadlines::default();
        seat.begin_request(100 * SECOND, b"GET", b"/");
        let now = 108 * SECOND - 1;
        looks.look(std::iter::once(Watched { id: 'a', seat }), limits, now);
        assert_eq!(looks.next_ns, Some(now + SHORTEST_LOOK_NS));
    }

    #[test]
    fn nothing_is_due_without_workers_and_never_without_limits() {
        let page = page();
        let none = look(std::iter::empty::<Watched<'_, char>>(), Limits::NONE, 1, 0);
        assert_eq!(none, Due { reports: vec![], slow: vec![], overdue: vec![], next_ns: None });
        let seat = scoreboard::seat(&page, 0).unwrap();
        seat.begin_request(1, b"GET", b"/");
        let due = look(std::iter::once(Watched { id: 'a', seat }), Limits::NONE, u64::MAX - 1, 0);
        assert_eq!(due, Due { reports: vec![], slow: vec![], overdue: vec![], next_ns: Some(u64::MAX) });
    }
}
