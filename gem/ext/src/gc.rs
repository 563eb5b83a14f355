//! What Ruby's garbage collector does in this worker, noted on the seat; and when it does so between requests.

use std::cell::Cell;

use scoreboard::{Gc, Seat};

use crate::ffi::{Escape, GcNumber, MajorNeed, collect_all, gc_count, protect};

/// What `GC.stat` calls what is counted since the process began, those before it included that it was forked from.
const COUNTS: [&str; 5] =
    ["minor_gc_count", "major_gc_count", "time", "total_allocated_objects", "total_freed_objects"];
/// Where among them the objects are that were allocated.
const ALLOCATED: usize = 3;
/// And the size of the heap.
const SIZES: [&str; 4] = ["heap_live_slots", "heap_free_slots", "heap_allocated_pages", "old_objects"];
/// What has Ruby collect all objects, and the limit of each.
const LIMITS: [(&str, &str); 3] = [
    ("old_objects", "old_objects_limit"),
    ("remembered_wb_unprotected_objects", "remembered_wb_unprotected_objects_limit"),
    ("oldmalloc_increase_bytes", "oldmalloc_increase_bytes_limit"),
];
/// When all objects are collected, where Ruby does not tell that it is needed, in tenths of the objects that were allocated
/// between the last two collections: a worker that has nothing else to do does it half-way to when Ruby would, since each
/// that comes too early is one more; ...
const IDLE_TENTHS: u64 = 5;
/// ... and one that has no pause just before.
const BUSY_TENTHS: u64 = 9;
/// How long one waits for others that collect. What they show is a claim.
const LONGEST_NS: u64 = 5_000_000_000;
/// How soon one that has nothing to do asks again whether others collect.
const AGAIN_MS: u64 = 20;

/// The numbers, and how they were when the worker began to serve.
pub(crate) struct Collector {
    counts: [GcNumber; COUNTS.len()],
    sizes: [GcNumber; SIZES.len()],
    began: Cell<[u64; COUNTS.len()]>,
    /// How often the collector had run when they were noted last.
    noted: Cell<u64>,
    /// What is collected between requests, where that is wanted.
    between: Option<Between>,
}

/// Collections of all objects between requests.
struct Between {
    need: Need,
    /// Since when one is needed.
    since_ns: Cell<Option<u64>>,
    /// How many objects were allocated, ever, when the collector ran last.
    allocated: Cell<u64>,
    /// And how many of them since the time before.
    interval: Cell<u64>,
    runs: Cell<u64>,
    took_ns: Cell<u64>,
}

/// How it is known that the next collection would be of all objects.
enum Need {
    /// Ruby tells.
    Told(MajorNeed),
    /// As Ruby finds it after each collection.
    Found([(GcNumber, GcNumber); LIMITS.len()]),
}

impl Collector {
    /// With `is_wanted` all objects are collected between requests, too.
    pub(crate) fn new(is_wanted: bool) -> Self {
        let between = || Between {
            need: Need::of_this_ruby(),
            since_ns: Cell::default(),
            allocated: Cell::default(),
            interval: Cell::default(),
            runs: Cell::default(),
            took_ns: Cell::default(),
        };
        Self {
            counts: COUNTS.map(GcNumber::named),
            sizes: SIZES.map(GcNumber::named),
            began: Cell::default(),
            noted: Cell::default(),
            between: is_wanted.then(between),
        }
    }

    /// The worker begins to serve: what is counted counts from now.
    pub(crate) fn begin(&self, seat: Seat<'_>) {
        self.began.set(self.counts.map(|count| count.now().unwrap_or(0)));
        if let Some(between) = &self.between {
            between.allocated.set(self.allocated());
        }
        self.note(seat);
    }

    /// Notes what has happened, if the collector ran.
    pub(crate) fn look(&self, seat: Seat<'_>, now_ns: u64) {
        if self.noted.get() == gc_count() {
            return;
        }
        self.note(seat);
        if let Some(between) = &self.between {
            let since_ns = between.since_ns.get().unwrap_or(now_ns);
            between.since_ns.set(between.need.is_there().then_some(since_ns));
            let allocated = self.allocated();
            between.interval.set(allocated.saturating_sub(between.allocated.replace(allocated)));
        }
    }

    /// Since when all objects are to be collected, if it is time for it.
    fn wanted_since_ns(&self, idle: bool) -> Option<u64> {
        let between = self.between.as_ref()?;
        let since_ns = between.since_ns.get()?;
        let tenths = match between.need {
            // The next collection may be near: Ruby 3.3 collects young objects each few requests.
            Need::Told(_) => 0,
            Need::Found(_) if idle => IDLE_TENTHS,
            Need::Found(_) => BUSY_TENTHS,
        };
        let allocated = self.allocated().saturating_sub(between.allocated.get());
        (allocated.saturating_mul(10) >= between.interval.get().saturating_mul(tenths)).then_some(since_ns)
    }

    fn allocated(&self) -> u64 {
        self.counts[ALLOCATED].now().unwrap_or(0)
    }

    /// Whether all objects are to be collected now, in a worker that is in no request. `idle`: it has nothing else to do;
    /// `lease` takes what one worker at a time has.
    pub(crate) fn is_due(&self, idle: bool, now_ns: u64, lease: impl FnOnce() -> bool) -> bool {
        self.wanted_since_ns(idle).is_some_and(|since_ns| lease() || now_ns.saturating_sub(since_ns) >= LONGEST_NS)
    }

    /// How long the worker may sleep that was about to sleep for so long.
    pub(crate) fn sleep_ms(&self, timeout_ms: Option<u64>) -> Option<u64> {
        if self.wanted_since_ns(true).is_some() {
            Some(timeout_ms.map_or(AGAIN_MS, |timeout_ms| timeout_ms.min(AGAIN_MS)))
        } else {
            timeout_ms
        }
    }

    /// Collects all objects.
    pub(crate) fn collect(&self) -> Result<(), Escape> {
        protect(collect_all)
    }

    /// It has collected all objects, which took so long.
    pub(crate) fn collected(&self, seat: Seat<'_>, took_ns: u64) {
        if let Some(between) = &self.between {
            between.since_ns.set(None);
            between.allocated.set(self.allocated());
            between.runs.set(between.runs.get() + 1);
            between.took_ns.set(between.took_ns.get() + took_ns);
        }
        self.note(seat);
    }

    fn note(&self, seat: Seat<'_>) {
        self.noted.set(gc_count());
        let began = self.began.get();
        let mut since = self.counts.iter().zip(began).map(|(count, began)| Some(count.now()?.saturating_sub(began)));
        let mut next = || since.next().flatten();
        let (minor, major, time_ms, allocated, freed) = (next(), next(), next(), next(), next());
        let [live_slots, free_slots, pages, old_objects] = self.sizes.map(GcNumber::now);
        let between = self.between.as_ref().map(|between| between.runs.get());
        let between_ms = self.between.as_ref().map(|between| between.took_ns.get() / 1_000_000);
        seat.set_gc(&Gc {
            minor,
            major,
            time_ms,
            allocated,
            freed,
            live_slots,
            free_slots,
            pages,
            old_objects,
            between,
            between_ms,
        });
    }
}

impl Need {
    fn of_this_ruby() -> Self {
        let found = || LIMITS.map(|(number, limit)| (GcNumber::named(number), GcNumber::named(limit)));
        MajorNeed::of_this_ruby().map_or_else(|| Self::Found(found()), Self::Told)
    }

    fn is_there(&self) -> bool {
        match self {
            Self::Told(need) => need.is_there(),
            Self::Found(numbers) => numbers.iter().any(|(number, limit)| match (number.now(), limit.now()) {
                // Of what was allocated, the limit is raised by a fifth at once when it was passed.
                (Some(number), Some(limit)) => number.saturating_add(number / 4) > limit,
                _ => false,
            }),
        }
    }
}
