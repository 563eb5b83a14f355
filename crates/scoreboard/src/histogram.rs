//! Counts of durations in fixed buckets, written with plain atomics by one process and read by others.
//!
//! The buckets are log-linear: eight of the same width to each doubling, from 16 µs to 275 s, one below and one above. So
//! a bucket is at most an eighth as wide as it is far from zero, which bounds the error of each percentile, and all
//! workers, of all generations, have the same buckets: counts are added, never converted.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

/// Durations below 2 to this power, in ns, share the first bucket.
const LOWEST_POWER: u32 = 14;
/// Durations of 2 to this power, in ns, and above share the last bucket.
const HIGHEST_POWER: u32 = 38;
/// Each doubling has two to this power of buckets.
const SPLIT_POWER: u32 = 3;

/// How many buckets there are.
pub const BUCKETS: usize = ((HIGHEST_POWER - LOWEST_POWER) << SPLIT_POWER) as usize + 2;
/// Words of 64 bits that a histogram takes: one for each bucket, then the sum of all durations in ns.
pub const WORDS: usize = BUCKETS + 1;

/// The bucket of a duration.
fn bucket(ns: u64) -> usize {
    let power = (ns | 1).ilog2();
    match power {
        0..LOWEST_POWER => 0,
        HIGHEST_POWER.. => BUCKETS - 1,
        _ => {
            let place = (ns >> (power - SPLIT_POWER)) & ((1 << SPLIT_POWER) - 1);
            (((power - LOWEST_POWER) << SPLIT_POWER) as u64 + place) as usize + 1
        }
    }
}

/// Where a bucket begins, in ns: its durations are not shorter.
///
/// The end of a bucket is the beginning of the next; the last one has none.
pub const fn start_ns(bucket: usize) -> u64 {
    if bucket == 0 {
        return 0;
    }
    let number = (bucket - 1) as u64;
    let power = (number >> SPLIT_POWER) + LOWEST_POWER as u64;
    let place = number & ((1 << SPLIT_POWER) - 1);
    ((1 << SPLIT_POWER) + place) << (power - SPLIT_POWER as u64)
}

/// A histogram in shared memory.
#[derive(Clone, Copy, Debug)]
pub struct Histogram<'a>(&'a [AtomicU64]);

impl<'a> Histogram<'a> {
    /// The histogram in these words. `None` when they are not [`WORDS`].
    pub fn of(words: &'a [AtomicU64]) -> Option<Self> {
        (words.len() == WORDS).then_some(Self(words))
    }

    /// Counts a duration. Only the process that owns the histogram may call it: the counts are not added atomically.
    pub fn count(self, ns: u64) {
        add(&self.0[bucket(ns)], 1);
        add(&self.0[BUCKETS], ns);
    }

    /// The counts so far.
    pub fn counts(self) -> Counts {
        let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
        Counts { buckets: self.0[..BUCKETS].iter().map(load).collect(), sum_ns: load(&self.0[BUCKETS]) }
    }
}

/// Adds to a word that this process alone writes.
pub(crate) fn add(word: &AtomicU64, more: u64) {
    word.store(word.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

/// What a histogram has counted, or several together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// [`BUCKETS`] of them.
    buckets: Vec<u64>,
    sum_ns: u64,
}

impl Default for Counts {
    fn default() -> Self {
        Self { buckets: alloc::vec![0; BUCKETS], sum_ns: 0 }
    }
}

impl Counts {
    /// Counts that were told by [`Counts::told`]. `None` when they cannot have been: then too many buckets are named.
    pub fn heard(told: impl IntoIterator<Item = (usize, u64)>, sum_ns: u64) -> Option<Self> {
        let mut counts = Self { sum_ns, ..Self::default() };
        for (bucket, count) in told {
            *counts.buckets.get_mut(bucket)? = count;
        }
        Some(counts)
    }

    /// The buckets that are not empty, with their counts.
    pub fn told(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.buckets.iter().copied().enumerate().filter(|(_, count)| *count > 0)
    }

    /// Counts a duration.
    pub fn count(&mut self, ns: u64) {
        let count = &mut self.buckets[bucket(ns)];
        *count = count.saturating_add(1);
        self.sum_ns = self.sum_ns.saturating_add(ns);
    }

    /// How many durations are longer. Within a bucket that is found by proportion, as percentiles are.
    pub fn above(&self, ns: u64) -> u64 {
        let own = bucket(ns);
        let longer = self.buckets[own + 1..].iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
        let Some(end_ns) = (own + 1 < BUCKETS).then(|| start_ns(own + 1)) else { return longer };
        let width = (end_ns - start_ns(own)) as f64;
        let within = self.buckets[own] as f64 * (end_ns - ns) as f64 / width;
        longer.saturating_add(within as u64)
    }

    /// Adds what others have counted. What a worker says is a claim: a sum that it has made too large stays at its most.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *sum = sum.saturating_add(*more);
        }
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
    }

    /// What was counted since `before` was read.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let buckets = self.buckets.iter().zip(&before.buckets).map(|(now, then)| now.saturating_sub(*then)).collect();
        Self { buckets, sum_ns: self.sum_ns.saturating_sub(before.sum_ns) }
    }

    /// How many durations were counted.
    pub fn total(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// All durations together, in ns.
    pub fn sum_ns(&self) -> u64 {
        self.sum_ns
    }

    /// How many durations were below the beginning of each doubling from 16 µs on (2 to the power of 14 ns, 15 …), and
    /// that beginning in ns: few enough for a page of metrics.
    pub fn below_doublings(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut sum = 0_u64;
        self.buckets.iter().enumerate().filter_map(move |(bucket, count)| {
            // Buckets 1, 9, 17 … begin a doubling.
            let begins = bucket % (1 << SPLIT_POWER) == 1;
            let below = begins.then(|| (start_ns(bucket), sum));
            sum = sum.saturating_add(*count);
            below
        })
    }

    /// The duration that this share of the counted ones (0 to 1) does not exceed, in ns; `None` when there are none.
    ///
    /// Within its bucket it is found by proportion; in the last one, which has no end, it is the beginning.
    pub fn percentile_ns(&self, share: f64) -> Option<u64> {
        let total = self.total();
        if total == 0 {
            return None;
        }
        // Rounded up, as the nearest-rank method has it.
        let exact = total as f64 * share;
        let whole = exact as u64;
        let rank = (whole + u64::from((whole as f64) < exact)).clamp(1, total);
        let mut before = 0_u64;
        for (bucket, count) in self.told() {
            if before.saturating_add(count) >= rank {
                let start = start_ns(bucket);
                let width = if bucket + 1 < BUCKETS { start_ns(bucket + 1) - start } else { 0 };
                let place = (rank - before) as f64 / count as f64;
                return Some(start + (width as f64 * place) as u64);
            }
            before = before.saturating_add(count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Vec<AtomicU64> {
        (0..WORDS).map(|_| AtomicU64::new(0)).collect()
    }

    fn counts(durations: impl IntoIterator<Item = u64>) -> Counts {
        let words = words();
        let histogram = Histogram::of(&words).unwrap();
        durations.into_iter().for_each(|ns| histogram.count(ns));
        histogram.counts()
    }

    #[test]
    fn each_duration_lies_in_its_bucket_and_buckets_are_narrow() {
        let powers = (0..64).map(|power| 1_u64 << power);
        for ns in powers.flat_map(|power| [power - 1, power, power + 1, power.saturating_mul(3) / 2]) {
            let bucket = bucket(ns);
            assert!(start_ns(bucket) <= ns, "{ns} is below its bucket {bucket}");
            if bucket + 1 < BUCKETS {
                assert!(ns < start_ns(bucket + 1), "{ns} is above its bucket {bucket}");
                let width = start_ns(bucket + 1) - start_ns(bucket);
                assert!(bucket == 0 || width * 8 <= start_ns(bucket), "bucket {bucket} is {width} ns wide");
            }
        }
        assert_eq!((bucket(u64::MAX), bucket(0)), (BUCKETS - 1, 0));
        assert_eq!((start_ns(1), start_ns(BUCKETS - 1)), (1 << 14, 1 << 38));
    }

    #[test]
    fn percentiles_are_off_by_an_eighth_at_most() {
        let all: Vec<u64> = (1..=10_000).map(|n| n * 37_000).collect();
        let counts = counts(all.iter().copied());
        for share in [0.01, 0.5, 0.9, 0.95, 0.99, 1.0] {
            let exact = all[((all.len() as f64 * share).ceil() as usize).max(1) - 1];
            let found = counts.percentile_ns(share).unwrap();
            assert!(found.abs_diff(exact) * 8 <= exact, "{share}: {found} instead of {exact}");
        }
        assert_eq!(counts.total(), 10_000);
        assert_eq!(counts.sum_ns(), all.iter().sum::<u64>());
    }

    #[test]
    fn without_a_duration_there_is_no_percentile() {
        assert_eq!(Counts::default().percentile_ns(0.5), None);
    }

    #[test]
    fn counts_are_added_told_and_compared() {
        let (early, late) = (counts([20_000, 20_000]), counts([20_000, 20_000, 5_000_000_000]));
        assert_eq!(late.since(&early), counts([5_000_000_000]));
        let mut sum = early.clone();
        sum.add(&counts([5_000_000_000]));
        assert_eq!(sum, late);
        assert_eq!(Counts::heard(late.told(), late.sum_ns()), Some(late));
        assert_eq!(Counts::heard([(BUCKETS, 1)], 0), None);
    }

    #[test]
    fn invented_counts_do_not_make_sums_wrap() {
        let mut sum = Counts::heard([(3, u64::MAX), (4, 1)], u64::MAX).unwrap();
        sum.add(&counts([20_000, 1_000]));
        assert_eq!((sum.total(), sum.sum_ns()), (u64::MAX, u64::MAX));
        assert!(sum.percentile_ns(0.99).is_some());
    }

    #[test]
    fn doublings_count_what_is_below_them() {
        let counts = counts([1, 16_384, 20_000, 32_768, 1 << 40]);
        let below: Vec<_> = counts.below_doublings().collect();
        assert_eq!(&below[..3], [(16_384, 1), (32_768, 3), (65_536, 4)]);
        assert_eq!(below.last(), Some(&(1 << 38, 4)));
        assert_eq!(below.len(), 25);
    }
}
