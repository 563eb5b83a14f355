//! The memory of the processes, as far as it can be had without making the server wait.
//!
//! What is resident is read for each status. How it is shared the kernel finds by looking at each page: one status pays for
//! some processes only, those first whose reading is the oldest.

use std::collections::BTreeMap;

use facts::{Memory, MemoryOfAll, MemoryOfGeneration};
use sys::usage::Shares;

/// How long one status may read, in ns.
const BUDGET_NS: u64 = 5_000_000;
/// A process whose reading took long is read again when this many times as long has passed.
const REST: u64 = 20;

/// What was read last, by process.
#[derive(Debug, Default)]
pub(crate) struct Readings(BTreeMap<u32, Reading>);

#[derive(Clone, Copy, Debug)]
struct Reading {
    shares: Option<Shares>,
    /// What was private when the process was read for the first time.
    first_private_bytes: Option<u64>,
    peak_bytes: Option<u64>,
    at_ns: u64,
    took_ns: u64,
}

impl Readings {
    /// Reads what the budget allows. These are all processes; of others nothing is kept.
    pub(crate) fn read(&mut self, all: &[u32]) {
        let read = |pid| (sys::usage::shares(pid), sys::usage::peak_bytes(pid));
        self.read_by(all, read, sys::clock::monotonic_ns);
    }

    fn read_by(&mut self, all: &[u32], read: impl Fn(u32) -> (Option<Shares>, Option<u64>), clock: impl Fn() -> u64) {
        self.0.retain(|pid, _| all.contains(pid));
        let began_ns = clock();
        let mut due: Vec<(u64, u32)> = all.iter().map(|pid| (self.0.get(pid).map_or(0, |it| it.at_ns), *pid)).collect();
        due.sort_unstable();
        for (_, pid) in due {
            let at_ns = clock();
            if at_ns.saturating_sub(began_ns) >= BUDGET_NS {
                return;
            }
            let rests = |it: &Reading| at_ns.saturating_sub(it.at_ns) < it.took_ns.saturating_mul(REST);
            if self.0.get(&pid).is_some_and(rests) {
                continue;
            }
            let (shares, peak_bytes) = read(pid);
            let first = self.0.get(&pid).and_then(|it| it.first_private_bytes);
            let first_private_bytes = first.or(shares.map(|shares| shares.private_bytes));
            let took_ns = clock().saturating_sub(at_ns);
            self.0.insert(pid, Reading { shares, first_private_bytes, peak_bytes, at_ns, took_ns });
        }
    }

    /// By how much the private memory of a process has grown from its first reading to its last.
    pub(crate) fn growth(&self, pid: u32) -> Option<u64> {
        let reading = self.0.get(&pid)?;
        Some(reading.shares?.private_bytes.saturating_sub(reading.first_private_bytes?))
    }

    /// The memory of a process.
    pub(crate) fn of(&self, pid: u32, now_ns: u64) -> Option<Memory> {
        let extent = sys::usage::extent(pid)?;
        let peak_rss_bytes = self.0.get(&pid).and_then(|it| it.peak_bytes);
        let reading = self.0.get(&pid).and_then(|it| Some((it.shares?, it.at_ns)));
        let age_s = |at_ns: u64| (now_ns.saturating_sub(at_ns) / 1_000_000) as f64 / 1e3;
        Some(Memory {
            rss_bytes: extent.resident_bytes,
            virtual_bytes: extent.virtual_bytes,
            // It may have grown since.
            peak_rss_bytes: peak_rss_bytes.map(|peak| peak.max(extent.resident_bytes)),
            swap_bytes: reading.map(|(shares, _)| shares.swap_bytes),
            pss_bytes: reading.map(|(shares, _)| shares.pss_bytes),
            private_bytes: reading.map(|(shares, _)| shares.private_bytes),
            shared_bytes: reading.map(|(shares, _)| shares.shared_bytes),
            age_s: reading.map(|(_, at_ns)| age_s(at_ns)),
        })
    }
}

/// The sums: `processes` are molds and workers, each with its generation.
pub(crate) fn sums<'a>(
    master: Option<Memory>,
    processes: impl Iterator<Item = (u32, Option<&'a Memory>)>,
) -> MemoryOfAll {
    let mut sums: BTreeMap<u32, MemoryOfGeneration> = BTreeMap::new();
    for (generation, memory) in processes {
        let none = MemoryOfGeneration { generation, ..MemoryOfGeneration::default() };
        let none = MemoryOfGeneration { pss_bytes: Some(0), private_bytes: Some(0), swap_bytes: Some(0), ..none };
        let sum = sums.entry(generation).or_insert(none);
        // One that is gone in this moment takes none.
        let Some(memory) = memory else { continue };
        sum.processes += 1;
        sum.rss_bytes += memory.rss_bytes;
        let add = |sum: Option<u64>, more: Option<u64>| Some(sum?.saturating_add(more?));
        sum.pss_bytes = add(sum.pss_bytes, memory.pss_bytes);
        sum.private_bytes = add(sum.private_bytes, memory.private_bytes);
        sum.swap_bytes = add(sum.swap_bytes, memory.swap_bytes);
    }
    MemoryOfAll { master, generations: sums.into_values().collect(), ..MemoryOfAll::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    #[test]
    fn the_oldest_readings_are_renewed_first_within_the_budget() {
        let (now, read) = (Cell::new(1_000), RefCell::new(Vec::new()));
        let costs = |pid: u32| if pid == 9 { 6_000_000 } else { 2_000_000 };
        let shares = |pid: u32| {
            now.set(now.get() + costs(pid));
            read.borrow_mut().push(pid);
            (Some(Shares::default()), None)
        };
        let mut readings = Readings::default();
        let mut round = |all: &[u32], pause_ns: u64| {
            now.set(now.get() + pause_ns);
            readings.read_by(all, shares, || now.get());
            read.take()
        };
        assert_eq!(round(&[1, 2, 3, 4, 5], 0), [1, 2, 3], "the budget is used up");
        assert_eq!(round(&[1, 2, 3, 4, 5], 0), [4, 5], "those before rest");
        assert_eq!(round(&[1, 2, 3, 4, 5], 100_000_000), [1, 2, 3]);
        assert_eq!(round(&[2, 3, 9], 100_000_000), [9], "a new one first, and it costs all");
        assert_eq!(round(&[2, 3, 9], 100_000_000), [2, 3], "one that cost much rests longer");
    }

    #[test]
    fn growth_counts_from_the_first_reading() {
        let (now, private_bytes) = (Cell::new(0), Cell::new(None));
        let shares = |_| (private_bytes.get().map(|bytes| Shares { private_bytes: bytes, ..Shares::default() }), None);
        let mut readings = Readings::default();
        let mut growth = |bytes: Option<u64>, all: &[u32]| {
            private_bytes.set(bytes);
            now.set(now.get() + 1);
            readings.read_by(all, shares, || now.get());
            readings.growth(7)
        };
        assert_eq!(growth(None, &[7]), None, "what cannot be read is none");
        assert_eq!(growth(Some(10), &[7]), Some(0));
        assert_eq!(growth(Some(35), &[7]), Some(25));
        assert_eq!(growth(Some(5), &[7]), Some(0));
        assert_eq!(growth(Some(5), &[]), None);
        assert_eq!(growth(Some(90), &[7]), Some(0), "another process of this number");
    }

    #[test]
    fn a_sum_that_lacks_a_reading_is_none() {
        let whole = Memory { rss_bytes: 10, pss_bytes: Some(5), private_bytes: Some(2), ..Memory::default() };
        let unread = Memory { rss_bytes: 7, ..Memory::default() };
        let all = [(2, Some(&whole)), (1, Some(&whole)), (2, Some(&unread)), (1, Some(&whole)), (1, None)];
        let sums = sums(None, all.into_iter()).generations;
        let told: Vec<_> = sums.iter().map(|it| (it.generation, it.processes, it.rss_bytes, it.pss_bytes)).collect();
        assert_eq!(told, [(1, 2, 20, Some(10)), (2, 2, 17, None)]);
    }
}
