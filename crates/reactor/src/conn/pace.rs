//! Clients that send or take too little. The deadlines between bytes let a client go on for hours with a byte now and
//! then; this asks for a number of bytes per second as well, on average since it began to send this head or body or to
//! take this response. A fast start buys a pause, so that honest clients on bad lines survive.
//!
//! It is looked at when bytes have come, so that it needs no timer: a client that sends nothing at all has a deadline.

use super::patience::Patience;
use super::settings::Rates;

/// A body that comes faster than so many bytes per second keeps its place in a worker that is full.
const FAST: u64 = 16 * 1024;
/// What is added to the bytes that came, when the slowest is looked for: no body is slow in its first second.
const START_BYTES: u64 = FAST;

/// How far a connection came with what it does now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    since_ms: u64,
    bytes: u64,
}

impl Pace {
    /// Notes that something new begins, to be waited for like this. What came with the beginning counts.
    pub(crate) fn restart(&mut self, patience: Patience, now_ms: u64) {
        self.since_ms = now_ms;
        if !matches!(patience, Patience::Head | Patience::Body) {
            self.bytes = 0;
        }
    }

    /// Notes that bytes came, or went.
    pub(crate) fn count(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Returns how many bytes per second there were, with the same start for each body, so that one that has just begun
    /// is not taken for slow. `None`: it is fast enough to be kept.
    pub(crate) fn slowness(&self, now_ms: u64) -> Option<u64> {
        let elapsed_ms = now_ms.saturating_sub(self.since_ms).max(1);
        let rate = self.bytes.saturating_add(START_BYTES).saturating_mul(1_000) / elapsed_ms;
        (rate < FAST).then_some(rate)
    }

    /// Tells whether the client is too slow at this.
    pub(crate) fn is_too_slow(&self, patience: Patience, rates: &Rates, now_ms: u64) -> bool {
        let rate = match patience {
            Patience::Head => rates.head,
            Patience::Body => rates.body,
            Patience::Write => rates.write,
            Patience::Fresh | Patience::Idle | Patience::Discard => 0,
        };
        let elapsed_ms = now_ms.saturating_sub(self.since_ms);
        elapsed_ms > rates.grace_ms && self.bytes.saturating_mul(1_000) < rate.saturating_mul(elapsed_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_body_is_the_one_that_brought_least_for_its_time() {
        let sent = |since_ms, bytes| {
            let mut pace = Pace::default();
            pace.restart(Patience::Body, since_ms);
            pace.count(bytes);
            pace.slowness(60_000)
        };
        assert_eq!(sent(60_000, 0), None, "one that has just begun is kept");
        assert_eq!(sent(59_000, 0), None);
        assert_eq!(sent(0, 60 * 16 * 1024), None, "a fast one is kept");
        let (old, young) = (sent(0, 60 * 260), sent(50_000, 10 * 260));
        assert!(old.is_some() && old < young, "{old:?}, {young:?}");
        assert!(sent(0, 60 * 260) < sent(0, 60 * 5_000), "both are old");
    }

    #[test]
    fn the_average_counts_once_the_grace_is_over() {
        let rates = Rates { head: 0, body: 100, write: 0, grace_ms: 2_000 };
        let mut pace = Pace::default();
        pace.restart(Patience::Body, 10_000);
        let slow = |pace: &Pace, now_ms| pace.is_too_slow(Patience::Body, &rates, now_ms);
        assert!(!slow(&pace, 12_000));
        assert!(slow(&pace, 12_001));
        assert!(!pace.is_too_slow(Patience::Head, &rates, 12_001), "no rate is asked for");
        assert!(!pace.is_too_slow(Patience::Idle, &rates, u64::MAX));
        pace.count(1_000);
        assert!(!slow(&pace, 20_000), "a fast start buys a pause");
        assert!(slow(&pace, 20_001));
        pace.restart(Patience::Write, 20_001);
        assert!(!slow(&pace, 20_002) && slow(&pace, 30_000), "what was sent does not pay for what is taken");
    }
}
