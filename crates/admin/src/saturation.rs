//! The share of time in which no worker was idle, over the last minute. No I/O.
//!
//! The status tells the time in all. What it told before is kept for as long as the minute goes back, whatever it was asked
//! for; nothing is asked for this.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use facts::Status;

/// How far back the share goes, or to the status before, when that is longer ago: so no time is left out.
const LENGTH: Duration = Duration::from_secs(60);
/// Of a shorter time no share is told, and statuses that follow each other faster are not kept.
const SHORTEST: Duration = Duration::from_secs(1);

/// What was told before.
#[derive(Debug, Default)]
pub(crate) struct Saturation {
    master: u32,
    /// When, and for how long no worker had been idle then, in seconds; the oldest first.
    before: VecDeque<(Instant, f64)>,
}

impl Saturation {
    /// Takes in a status. Returns the share, if it is known.
    pub(crate) fn hear(&mut self, status: &Status, now: Instant) -> Option<f64> {
        let total_s = status.saturated_s?;
        // Another master counts anew.
        if self.master != status.pid || self.before.back().is_some_and(|(_, before_s)| *before_s > total_s) {
            *self = Self { master: status.pid, before: VecDeque::new() };
        }
        let age = |at: Instant| now.saturating_duration_since(at);
        while self.before.get(1).is_some_and(|(at, _)| age(*at) >= LENGTH) {
            self.before.pop_front();
        }
        let first = self.before.front().copied();
        if self.before.back().is_none_or(|(at, _)| age(*at) >= SHORTEST) {
            self.before.push_back((now, total_s));
        }
        let (at, before_s) = first.filter(|(at, _)| age(*at) >= SHORTEST)?;
        Some(((total_s - before_s) / age(at).as_secs_f64()).clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(pid: u32, saturated_s: f64) -> Status {
        Status { pid, saturated_s: Some(saturated_s), ..Status::default() }
    }

    /// Tells (second, saturated time in all) one after the other, and returns the last share.
    fn share(told: impl IntoIterator<Item = (f64, f64)>) -> Option<f64> {
        let (mut saturation, start) = (Saturation::default(), Instant::now());
        told.into_iter()
            .map(|(second, total_s)| saturation.hear(&status(9, total_s), start + Duration::from_secs_f64(second)))
            .last()
            .flatten()
    }

    #[test]
    fn the_share_is_that_of_the_last_minute() {
        assert_eq!(share([(0.0, 500.0)]), None);
        assert_eq!(share([(0.0, 500.0), (0.5, 500.5)]), None, "too short a time");
        assert_eq!(share([(0.0, 500.0), (10.0, 505.0)]), Some(0.5));
        // Each 15 s, saturated in the first minute only.
        let scrapes = |count: i32| (0..count).map(|n| (f64::from(n) * 15.0, f64::from(n.min(4)) * 15.0));
        assert_eq!(share(scrapes(5)), Some(1.0));
        assert_eq!(share(scrapes(7)), Some(0.5));
        assert_eq!(share(scrapes(9)), Some(0.0));
    }

    #[test]
    fn a_time_in_which_nothing_was_asked_counts_whole() {
        assert_eq!(share([(0.0, 0.0), (15.0, 15.0), (30.0, 30.0), (630.0, 180.0)]), Some(0.25));
    }

    #[test]
    fn statuses_that_come_fast_are_not_all_kept() {
        let (mut saturation, start) = (Saturation::default(), Instant::now());
        for hundredth in 0..30_000_u32 {
            let seconds = f64::from(hundredth) / 100.0;
            let told = saturation.hear(&status(9, seconds / 4.0), start + Duration::from_secs_f64(seconds));
            assert!(hundredth < 100 || (told.unwrap() - 0.25).abs() < 1e-9, "{told:?}");
        }
        assert!(saturation.before.len() <= 62, "{}", saturation.before.len());
    }

    #[test]
    fn another_master_begins_anew() {
        let (mut saturation, start) = (Saturation::default(), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        assert_eq!(saturation.hear(&status(9, 10.0), at(0)), None);
        assert_eq!(saturation.hear(&status(12, 50.0), at(10)), None);
        assert_eq!(saturation.hear(&status(12, 3.0), at(20)), None, "the same pid, and a count that began again");
        assert_eq!(saturation.hear(&status(12, 8.0), at(30)), Some(0.5));
        assert_eq!(saturation.hear(&Status { pid: 12, ..Status::default() }, at(40)), None, "it is not counted");
    }
}
