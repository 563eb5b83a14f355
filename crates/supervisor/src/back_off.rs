//! How long to wait before something that failed is tried again.
//!
//! The first failure waits about 0.1 s, each further one twice as long, up to 30 s. A quarter of each delay is left to
//! chance, so that workers which fail together (a database that went away) do not come back together.
//!
//! While no worker serves, nothing waits longer than a second after its last failure: clients wait meanwhile. And a worker
//! that dies in a request has not failed to boot: its slot forks at most ten workers a second, and that is all.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Instant;

/// Something lived that long after it became ready: its end says nothing about the next one's chances.
pub(crate) const LIVED: Duration = Duration::from_secs(1);

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// The longest wait after a failure while no worker serves.
const LONGEST_ALONE: Duration = Duration::from_secs(1);

/// The failures in a row of one slot, or of the molds of one edition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BackOff {
    /// Failures in a row.
    pub(crate) failures: u32,
    /// When to try again.
    pub(crate) not_before: Instant,
    /// When it failed last; for deaths at work, when the worker became ready. A program that does not know it tells the next one nothing, which then tries at once.
    #[serde(default, skip_serializing_if = "is_unset")]
    failed_at: Instant,
}

impl BackOff {
    /// Notes that it did not boot. Returns the delay.
    pub(crate) fn boot_failed(&mut self, now: Instant, dice: &mut Dice) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.wait(now, delay(self.failures, dice))
    }

    /// Notes that it died right after it had become ready. The first time in a row nothing is made of it: an operator may
    /// have sent it away. Returns the delay.
    pub(crate) fn died_early(&mut self, now: Instant, dice: &mut Dice) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.wait(now, delay(self.failures - 1, dice))
    }

    /// Notes that a worker died in a request, or left because it was sent away, after it became ready at `since`. That
    /// says nothing about the next one's boot; but what it says is a worker's claim, so the rate of forks stays bounded.
    pub(crate) fn died_at_work(&mut self, since: Instant) {
        self.failed_at = self.failed_at.max(since);
        self.not_before = self.not_before.max(since + FIRST_DELAY);
    }

    /// Returns when to try again. `alone`: no worker serves, and none is about to.
    pub(crate) fn due(&self, alone: bool) -> Instant {
        if alone { self.not_before.min(self.failed_at + LONGEST_ALONE) } else { self.not_before }
    }

    fn wait(&mut self, now: Instant, delay: Duration) -> Duration {
        self.failed_at = now;
        self.not_before = now + delay;
        delay
    }
}

fn is_unset(moment: &Instant) -> bool {
    moment.0 == 0
}

fn delay(failures: u32, dice: &mut Dice) -> Duration {
    let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
    let full = FIRST_DELAY.saturating_mul(1 << doublings.min(16)).min(LONGEST_DELAY);
    let quarter_ns = u64::try_from(full.as_nanos() / 4).unwrap_or(u64::MAX);
    full - Duration::from_nanos(dice.roll() % quarter_ns.max(1))
}

/// A small deterministic generator (SplitMix64: Steele, Lea, Flood 2014). Good enough to spread delays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_from_a_tenth_of_a_second_to_half_a_minute() {
        let mut dice = Dice::new(7);
        let mut back_off = BackOff::default();
        let mut full_ms = 100;
        for _ in 0..40 {
            let ms = u64::try_from(back_off.boot_failed(Instant(0), &mut dice).as_millis()).unwrap();
            assert!((full_ms * 3 / 4..=full_ms).contains(&ms), "{ms} of {full_ms}");
            full_ms = (full_ms * 2).min(30_000);
        }
    }

    #[test]
    fn first_early_death_in_a_row_waits_for_nothing() {
        let mut dice = Dice::new(7);
        let mut back_off = BackOff::default();
        assert_eq!(back_off.died_early(Instant(5), &mut dice), Duration::ZERO);
        assert!(back_off.died_early(Instant(5), &mut dice) >= Duration::from_millis(75));
        assert!(back_off.boot_failed(Instant(5), &mut dice) >= Duration::from_millis(300));
    }

    #[test]
    fn nothing_waits_longer_than_a_second_while_no_worker_serves() {
        let mut dice = Dice::new(7);
        let mut back_off = BackOff::default();
        for failures in 1..20 {
            let now = Instant(failures * 60_000_000_000);
            let delay = back_off.boot_failed(now, &mut dice);
            assert_eq!(back_off.due(false), now + delay);
            assert_eq!(back_off.due(true), now + delay.min(LONGEST_ALONE));
        }
    }

    #[test]
    fn deaths_at_work_are_no_failures_and_leave_a_tenth_of_a_second_between_two_forks() {
        let mut back_off = BackOff::default();
        for ready_ms in [0, 100, 200] {
            let since = Instant(ready_ms * 1_000_000);
            back_off.died_at_work(since);
            assert_eq!((back_off.failures, back_off.due(false)), (0, since + FIRST_DELAY));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_delays() {
        let delays = |seed| {
            let (mut dice, mut back_off) = (Dice::new(seed), BackOff::default());
            [(); 9].map(|()| back_off.boot_failed(Instant(0), &mut dice))
        };
        assert_eq!(delays(3), delays(3));
        assert_ne!(delays(3), delays(4));
    }
}
