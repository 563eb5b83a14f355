//! Whether new workers do worse than old ones, by what both have done in the same time.
//!
//! Each comparison is of two rates: so many events in so many requests here, so many there. If the new rate were as allowed,
//! each of the events of both sides would be one of the new side's with a known probability, whatever the rate is; so their
//! number follows a binomial distribution (the conditional test of Przyborowski and Wilenski, 1940). That is exact for small
//! numbers, nearly so for large ones, where the normal distribution takes its place, and cautious where the events are not
//! rare. What is that unlikely (one in a hundred thousand) is not chance, though it is looked for each second: `tests` has
//! the false alarms counted.
//!
//! A time is compared as a rate too: how many requests take longer than the old workers' median, or their 95th percentile,
//! and than the allowed multiple of it.

use scoreboard::histogram::Counts;
use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, Normal};

/// What chance brings about less often than this is no chance.
const IMPROBABLE: f64 = 1e-5;
/// The same of workers that died or hang. They are few, and each took a client's request with it.
const IMPROBABLE_LOSS: f64 = 1e-2;
/// A service time that is longer by less than this is not slower: a process that is new is that slow for its caches.
const LEAST_NS: u64 = 2_000_000;
/// Private memory that is larger by less than this is not larger.
const LEAST_BYTES: u64 = 64 << 20;

/// No server has so many: a worker that claims them proves nothing.
const MOST_EVENTS: u64 = 1 << 40;
/// Of a larger variance the binomial distribution is as good as the normal one, and cannot be computed as well.
const LARGE_VARIANCE: f64 = 10_000.0;

/// What the workers of one side have done.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Side {
    pub(crate) requests: u64,
    /// Responses with 5xx.
    pub(crate) errors: u64,
    /// How long requests were in the application.
    pub(crate) service: Counts,
    /// How many workers died without having been asked to leave, or hang in a request.
    pub(crate) lost: u64,
    /// How the last one was lost.
    pub(crate) lost_by: Option<String>,
    /// The private memory of the largest worker.
    pub(crate) private_bytes: Option<u64>,
}

/// How many times as much is not worse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Limits {
    pub(crate) errors: f64,
    pub(crate) slowdown: f64,
    pub(crate) memory: f64,
}

/// Events in a number of requests.
#[derive(Clone, Copy)]
struct Rate {
    events: u64,
    requests: u64,
}

impl Rate {
    fn percent(self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.events as f64 * 100.0 / self.requests as f64 }
    }
}

/// How probable it is that the new side has as many events as it has or more, if its rate is at most `ratio` times the old
/// one.
fn probability(new: Rate, old: Rate, ratio: f64) -> f64 {
    let Some(before) = new.events.checked_sub(1) else { return 1.0 };
    let all = new.events.saturating_add(old.events);
    let share = ratio * new.requests as f64;
    let share = share / (share + old.requests as f64);
    let variance = all as f64 * share * (1.0 - share);
    if all > MOST_EVENTS {
        return 1.0;
    }
    if variance > LARGE_VARIANCE {
        // A count is as far as the middle between it and the one below.
        let deviation = (new.events as f64 - 0.5 - all as f64 * share) / variance.sqrt();
        return Normal::standard().sf(deviation);
    }
    // Without requests there is no such share, and nothing to compare with.
    Binomial::new(share, all).map_or(1.0, |events| events.sf(before))
}

/// In what the new workers are worse, with both figures; `None` when nothing shows that they are.
pub(crate) fn worse(new: &Side, old: &Side, limits: Limits) -> Option<String> {
    lost(new, old).or_else(|| errors(new, old, limits)).or_else(|| memory(new, old, limits)).or_else(|| {
        [0.5, 0.95].into_iter().find_map(|share| slower(&new.service, &old.service, share, limits.slowdown))
    })
}

fn lost(new: &Side, old: &Side) -> Option<String> {
    // Each of them was in a request that is not counted otherwise.
    let rate = |side: &Side| Rate { events: side.lost, requests: side.requests.saturating_add(side.lost) };
    (probability(rate(new), rate(old), 1.0) < IMPROBABLE_LOSS).then(|| {
        let last = new.lost_by.as_deref().unwrap_or("unknown");
        format!(
            "workers lost: {} in {} requests, {} in {} on the old workers; the last: {last}",
            new.lost, new.requests, old.lost, old.requests
        )
    })
}

fn errors(new: &Side, old: &Side, limits: Limits) -> Option<String> {
    let rate = |side: &Side| Rate { events: side.errors, requests: side.requests };
    (probability(rate(new), rate(old), limits.errors) < IMPROBABLE).then(|| {
        format!(
            "responses with 5xx: {:.2} % ({} of {}), {:.2} % ({} of {}) on the old workers",
            rate(new).percent(),
            new.errors,
            new.requests,
            rate(old).percent(),
            old.errors,
            old.requests
        )
    })
}

fn memory(new: &Side, old: &Side, limits: Limits) -> Option<String> {
    let (new, old) = (new.private_bytes?, old.private_bytes?);
    let most = (old as f64 * limits.memory) as u64;
    (new > most.saturating_add(LEAST_BYTES))
        .then(|| format!("private memory: {} MiB, {} MiB in the largest old worker", new >> 20, old >> 20))
}

fn slower(new: &Counts, old: &Counts, share: f64, slowdown: f64) -> Option<String> {
    let usual_ns = old.percentile_ns(share)?;
    let longest_ns = ((usual_ns as f64 * slowdown) as u64).max(usual_ns.saturating_add(LEAST_NS));
    let rate = |counts: &Counts, ns| Rate { events: counts.above(ns), requests: counts.total() };
    if probability(rate(new, longest_ns), rate(old, usual_ns), 1.0) >= IMPROBABLE {
        return None;
    }
    let ms = |ns: u64| ns as f64 / 1e6;
    Some(format!(
        "service time at p{:.0}: {:.1} ms, {:.1} ms on the old workers ({} and {} requests)",
        share * 100.0,
        ms(new.percentile_ns(share)?),
        ms(usual_ns),
        new.total(),
        old.total()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { errors: 2.0, slowdown: 2.0, memory: 2.0 };

    fn side(requests: u64, errors: u64) -> Side {
        Side { requests, errors, ..Side::default() }
    }

    fn took(times: impl IntoIterator<Item = u64>) -> Side {
        let mut service = Counts::default();
        times.into_iter().for_each(|us| service.count(us * 1_000));
        Side { requests: service.total(), service, ..Side::default() }
    }

    /// SplitMix64 (Steele, Lea, Flood 2014).
    struct Dice(u64);

    impl Dice {
        fn below_one(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
        }

        /// A service time with a long tail, in µs: log-normal, by twelve uniform numbers.
        fn time_us(&mut self, median_us: f64) -> u64 {
            let normal: f64 = (0..12).map(|_| self.below_one()).sum::<f64>() - 6.0;
            (median_us * (0.8 * normal).exp()) as u64
        }
    }

    #[test]
    fn few_errors_prove_nothing_and_many_do() {
        let worse = |new: (u64, u64), old: (u64, u64)| worse(&side(new.0, new.1), &side(old.0, old.1), LIMITS);
        assert_eq!(worse((10, 3), (30, 0)), None);
        assert_eq!(worse((1000, 20), (3000, 60)), None, "as many as before");
        assert_eq!(worse((1000, 38), (3000, 60)), None, "not twice as many");
        assert_eq!(worse((0, 0), (0, 0)), None);
        assert_eq!(worse((50, 50), (0, 0)), None, "nothing to compare with");
        let told = worse((20, 20), (60, 0)).unwrap();
        assert_eq!(told, "responses with 5xx: 100.00 % (20 of 20), 0.00 % (0 of 60) on the old workers");
        assert!(worse((3000, 30), (9000, 0)).is_some(), "one in a hundred");
        assert!(worse((1000, 300), (3000, 300)).is_some(), "three times as many");
    }

    #[test]
    fn slower_code_shows_at_the_median_or_in_the_tail() {
        let old = took((0..400).map(|n| 10_000 + n));
        assert_eq!(worse(&took((0..200).map(|_| 15_000)), &old, LIMITS), None);
        let told = worse(&took((0..100).map(|_| 30_000)), &old, LIMITS).unwrap();
        assert!(told.starts_with("service time at p50: 30."), "{told}");
        let tail = took((0..400).map(|n| if n % 5 == 0 { 90_000 } else { 10_000 }));
        let told = worse(&tail, &old, LIMITS).unwrap();
        assert!(told.starts_with("service time at p95: "), "{told}");
        let fast = took((0..1000).map(|_| 200));
        assert_eq!(worse(&took((0..1000).map(|_| 900)), &fast, LIMITS), None, "less than 2 ms");
    }

    #[test]
    fn workers_that_are_lost_and_memory_that_grows_show() {
        let lost = |lost, requests| Side { lost, requests, lost_by: Some("SIGSEGV".into()), ..Side::default() };
        assert_eq!(worse(&lost(1, 40), &lost(0, 120), LIMITS), None);
        assert_eq!(worse(&lost(4, 40), &lost(12, 120), LIMITS), None);
        let told = worse(&lost(4, 40), &lost(0, 120), LIMITS).unwrap();
        assert_eq!(told, "workers lost: 4 in 40 requests, 0 in 120 on the old workers; the last: SIGSEGV");
        let memory = |mib: u64| Side { private_bytes: Some(mib << 20), ..Side::default() };
        assert_eq!(worse(&memory(164), &memory(50), LIMITS), None);
        assert_eq!(
            worse(&memory(165), &memory(50), LIMITS).as_deref(),
            Some("private memory: 165 MiB, 50 MiB in the largest old worker")
        );
    }

    #[test]
    fn chance_is_as_probable_in_millions_as_in_dozens() {
        for requests in [2_000, 20_000, 200_000, 2_000_000, 200_000_000] {
            let new = Rate { events: requests / 2, requests };
            let old = Rate { events: requests * 3 / 2, requests: 3 * requests };
            let found = probability(new, old, 1.0);
            assert!((0.4..0.65).contains(&found), "{found} of {requests}");
            let five = (2.5 * (1.5 * requests as f64).sqrt()) as u64;
            let found = probability(Rate { events: new.events + five, requests }, old, 1.0);
            assert!((1e-5..1e-3).contains(&found), "{found} of {requests}, nearly four deviations away");
        }
    }

    #[test]
    fn counts_of_any_size_have_a_probability() {
        let counts = [0, 1, 2, 1 << 53, u64::MAX - 1, u64::MAX];
        let rates = || counts.into_iter().flat_map(|requests| counts.map(|events| Rate { events, requests }));
        for (new, old) in rates().flat_map(|new| rates().map(move |old| (new, old))) {
            for ratio in [1.0, 2.0, f64::MAX] {
                let found = probability(new, old, ratio);
                let told = (new.events, new.requests, old.events, old.requests, ratio);
                assert!((0.0..=1.0).contains(&found), "{found} of {told:?}");
            }
        }
        let full = Counts::heard([(0, u64::MAX), (7, u64::MAX)], u64::MAX).unwrap();
        assert_eq!(slower(&full, &full, 0.95, f64::MAX), None);
    }

    /// Deploys that are as good as what was before, under loads from a few requests to tens of thousands, looked at each
    /// second of a minute.
    #[test]
    fn no_alarm_is_raised_by_good_deploys() {
        let mut dice = Dice(1);
        let mut alarms = 0;
        for _ in 0..500 {
            let per_second = (10.0_f64).powf(dice.below_one() * 2.3) as u64 + 1;
            let (errors, median_us) = (dice.below_one() * 0.05, 500.0 + dice.below_one() * 50_000.0);
            let (mut new, mut old) = (Side::default(), Side::default());
            for second in 0..60 {
                // The load changes, and so does the database.
                let slow = if second % 20 < 5 { 3.0 } else { 1.0 };
                for (side, count) in [(&mut new, per_second), (&mut old, 3 * per_second)] {
                    for _ in 0..count {
                        side.requests += 1;
                        side.errors += u64::from(dice.below_one() < errors);
                        side.service.count(dice.time_us(median_us * slow) * 1_000);
                    }
                }
                if worse(&new, &old, LIMITS).is_some() {
                    alarms += 1;
                    break;
                }
            }
        }
        assert!(alarms <= 1, "{alarms} of 500");
    }
}
