//! How long the request has waited that was handed out last.
//!
//! Mostly it has not, and that is known for nothing: it came after epoll was asked, or after an accept that found no
//! connection, and that was a moment ago. Where it may have waited for longer the kernel knows: it remembers when the last
//! bytes of a TCP connection came. It is asked once in a millisecond at most; what is served in between has waited as long.

/// What may have waited for less than this has not waited. The kernel's own clock is no finer.
const COARSE_NS: u64 = 4_000_000;
/// How long an answer of the kernel holds for other requests.
const ANSWER_NS: u64 = 1_000_000;
/// A wait for events that took this long was a sleep: there was nothing before it ended.
const SLEEP_NS: u64 = 1_000_000;

/// When something happened. The clock is looked at later, if at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Since the clock was looked at last.
    Now,
    At(u64),
}

impl Moment {
    pub(crate) fn age_ns(self, now_ns: u64) -> u64 {
        match self {
            Self::Now => 0,
            Self::At(at_ns) => now_ns.saturating_sub(at_ns),
        }
    }

    /// The clock was looked at.
    pub(crate) fn note_time(&mut self, now_ns: u64) {
        if *self == Self::Now {
            *self = Self::At(now_ns);
        }
    }
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From a connection that epoll told of.
    Told,
    /// From a connection that was accepted just now.
    New,
    /// From another worker, with whom it has waited before.
    Queue,
}

/// What the kernel has answered last.
#[derive(Clone, Copy, Debug, Default)]
struct Answer {
    at_ns: u64,
    waited_ns: u64,
}

/// What is known of the waiting.
#[derive(Debug)]
pub(crate) struct Waits {
    /// When epoll was asked.
    asked: Moment,
    /// When it was asked before that: what it told of now came after it.
    asked_before: Moment,
    /// There was no new connection then.
    none_new: Moment,
    /// Where the request comes from that was handed out last, and when the helper saw it, if it did.
    origin: Origin,
    seen_ns: Option<u64>,
    /// The kernel's answers, of connections that epoll told of and of new ones.
    answers: [Answer; 2],
}

impl Waits {
    pub(crate) fn new() -> Self {
        Self {
            asked: Moment::Now,
            asked_before: Moment::Now,
            none_new: Moment::Now,
            origin: Origin::New,
            seen_ns: None,
            answers: [Answer::default(); 2],
        }
    }

    pub(crate) fn note_time(&mut self, now_ns: u64) {
        self.asked.note_time(now_ns);
        self.asked_before.note_time(now_ns);
        self.none_new.note_time(now_ns);
    }

    /// When epoll was asked: what it told of has waited at least since then.
    pub(crate) fn asked(&self) -> Moment {
        self.asked
    }

    /// Epoll was asked.
    pub(crate) fn ask(&mut self) {
        self.asked_before = self.asked;
        self.asked = Moment::Now;
    }

    /// A wait for events ended now, and began at `since_ns` or later.
    pub(crate) fn wake(&mut self, since_ns: u64, now_ns: u64) {
        if now_ns.saturating_sub(since_ns) >= SLEEP_NS {
            self.asked = Moment::At(now_ns);
            self.none_new = Moment::At(now_ns);
        }
    }

    /// No listener has a connection, as far as epoll or an accept told.
    pub(crate) fn none_is_new(&mut self) {
        self.none_new = self.asked;
    }

    /// A request was handed out.
    pub(crate) fn hand_out(&mut self, origin: Origin, seen_ns: Option<u64>) {
        self.origin = origin;
        self.seen_ns = seen_ns;
    }

    /// How long it has waited. `silence_ns`: for how long no bytes have come on its connection, as the kernel knows it.
    pub(crate) fn waited_ns(&mut self, now_ns: u64, silence_ns: impl FnOnce() -> Option<u64>) -> u64 {
        if let Some(seen_ns) = self.seen_ns {
            return now_ns.saturating_sub(seen_ns);
        }
        let (at_least, at_most, answer) = match self.origin {
            Origin::Told => (self.asked.age_ns(now_ns), self.asked_before.age_ns(now_ns), &mut self.answers[0]),
            Origin::New => (0, self.none_new.age_ns(now_ns), &mut self.answers[1]),
            Origin::Queue => return silence_ns().unwrap_or(0),
        };
        if at_most < COARSE_NS {
            return at_least;
        }
        if now_ns.saturating_sub(answer.at_ns) >= ANSWER_NS {
            *answer = Answer { at_ns: now_ns, waited_ns: silence_ns().unwrap_or(0) };
        }
        answer.waited_ns.min(at_most).max(at_least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn never() -> Option<u64> {
        panic!("the kernel is asked")
    }

    #[test]
    fn a_worker_with_little_to_do_asks_the_kernel_for_nothing() {
        for (idle_ns, origin) in
            [(50_000, Origin::New), (50_000, Origin::Told), (900 * MS, Origin::New), (900 * MS, Origin::Told)]
        {
            let (mut waits, mut now) = (Waits::new(), MS);
            for _ in 0..1_000 {
                let since = now;
                now += idle_ns;
                waits.wake(since, now);
                waits.ask();
                waits.hand_out(origin, None);
                waits.note_time(now);
                assert_eq!(waits.waited_ns(now, never), 0);
                now += 10_000;
                waits.note_time(now);
                waits.none_is_new();
            }
        }
    }

    #[test]
    fn behind_long_requests_the_kernel_knows_how_long_the_next_has_waited() {
        let (mut waits, mut now) = (Waits::new(), MS);
        waits.wake(0, now);
        waits.ask();
        for waited in [0, 100, 200, 300] {
            waits.hand_out(Origin::New, None);
            waits.note_time(now);
            let kernel = || if waited == 0 { never() } else { Some(waited * MS) };
            assert_eq!(waits.waited_ns(now, kernel), waited * MS);
            now += 100 * MS;
            waits.note_time(now);
        }
        // Epoll told of three at once, which may have come while the worker did not ask.
        waits.ask();
        for (silence, waited) in [(150, 150), (0, 100), (350, 350)] {
            waits.hand_out(Origin::Told, None);
            waits.note_time(now);
            assert_eq!(waits.waited_ns(now, || Some(silence * MS)), waited * MS, "since epoll was asked, at least");
            now += 100 * MS;
            waits.note_time(now);
        }
    }

    #[test]
    fn short_requests_share_an_answer_of_the_kernel() {
        let (mut waits, mut now, mut asked) = (Waits::new(), MS, 0);
        waits.wake(0, now);
        waits.ask();
        for _ in 0..20_000 {
            waits.hand_out(Origin::New, None);
            waits.note_time(now);
            let answer = |asked: &mut u32| {
                *asked += 1;
                Some(7 * MS)
            };
            let waited = waits.waited_ns(now, || answer(&mut asked));
            assert_eq!(waited, if now < 5 * MS { 0 } else { 7 * MS.min(now - MS) }.min(now - MS), "at {now}");
            now += 5_000;
        }
        assert!((90..=100).contains(&asked), "{asked} times in 100 ms");
    }

    #[test]
    fn requests_that_another_worker_or_the_helper_has_had_are_not_new() {
        let mut waits = Waits::new();
        waits.note_time(10 * MS);
        waits.hand_out(Origin::Queue, None);
        assert_eq!(waits.waited_ns(10 * MS, || Some(8 * MS)), 8 * MS);
        waits.hand_out(Origin::Told, Some(3 * MS));
        assert_eq!(waits.waited_ns(10 * MS, never), 7 * MS);
    }
}
