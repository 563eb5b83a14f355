//! What Ruby's garbage collector does in this worker, noted on the seat; and when it does so between requests.

use std::cell::Cell;

use scoreboard::{Gc, Seat};
use sys::priority::{SteppedBack, allow_stepping_back};

use crate::ffi::{Escape, GcNumber, MajorNeed, collect_all, finish_collection, gc_count, protect};

/// What `GC.stat` calls what is counted since the process began, those before it included that it was forked from.
const COUNTS: [&str; 5] =
    ["minor_gc_count", "major_gc_count", "time", "total_allocated_objects", "total_freed_objects"];
/// Where among them the collections of young objects are, ...
const MINOR: usize = 0;
/// ... those of all objects, ...
const MAJOR: usize = 1;
/// ... and their time.
const TIME: usize = 2;
/// And the size of the heap.
const SIZES: [&str; 4] = ["heap_live_slots", "heap_free_slots", "heap_allocated_pages", "old_objects"];
/// What has Ruby collect all objects, and the limit of each.
const LIMITS: [(&str, &str); 3] = [
    ("old_objects", "old_objects_limit"),
    ("remembered_wb_unprotected_objects", "remembered_wb_unprotected_objects_limit"),
    ("oldmalloc_increase_bytes", "oldmalloc_increase_bytes_limit"),
];
/// And so does a heap of which less than such a part is free when young objects were collected so often that what has
/// outlived its use is old.
const FREE_PART: u64 = 5;
const AGE: u64 = 3;
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
    /// Whether the last collection may have something left to do.
    is_unfinished: Cell<bool>,
    /// Since when, while others have the lease.
    waits_since_ns: Cell<Option<u64>>,
    runs: Cell<u64>,
    took_ms: Cell<u64>,
}

/// How it is known that the next collection would be of all objects.
enum Need {
    /// Ruby tells.
    Told(MajorNeed),
    /// By Ruby's own rules.
    Found(Found),
}

/// What those rules look at.
struct Found {
    limits: [(GcNumber, GcNumber); LIMITS.len()],
    free: GcNumber,
    slots: GcNumber,
    /// The limits of the last time: one that was passed is raised at once.
    seen: Cell<[u64; LIMITS.len()]>,
    /// How many collections of young objects there were when all were collected last, and how many of those there were.
    last: Cell<Collections>,
}

#[derive(Clone, Copy, Default)]
struct Collections {
    minor: u64,
    major: u64,
}

impl Collector {
    /// With `is_wanted` all objects are collected between requests, too.
    pub(crate) fn new(is_wanted: bool) -> Self {
        let between = || Between {
            need: Need::of_this_ruby(),
            is_unfinished: Cell::default(),
            waits_since_ns: Cell::default(),
            runs: Cell::default(),
            took_ms: Cell::default(),
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
            allow_stepping_back();
            between.need.collected(self.collections());
        }
        self.note(seat);
    }

    /// Notes what has happened, if the collector ran.
    pub(crate) fn look(&self, seat: Seat<'_>) {
        if self.noted.get() == gc_count() {
            return;
        }
        self.note(seat);
        if let Some(between) = &self.between {
            between.is_unfinished.set(true);
        }
    }

    /// Whether there is something to do now, in a worker that is in no request; `lease` takes what one worker at a time has.
    pub(crate) fn is_due(&self, now_ns: u64, lease: impl FnOnce() -> bool) -> bool {
        let Some(between) = self.between.as_ref().filter(|between| between.is_unfinished.get()) else { return false };
        let since_ns = between.waits_since_ns.get().unwrap_or(now_ns);
        between.waits_since_ns.set(Some(since_ns));
        lease() || now_ns.saturating_sub(since_ns) >= LONGEST_NS
    }

    /// How long the worker may sleep that was about to sleep for so long.
    pub(crate) fn sleep_ms(&self, timeout_ms: Option<u64>) -> Option<u64> {
        if self.between.as_ref().is_some_and(|between| between.is_unfinished.get()) {
            Some(timeout_ms.map_or(AGAIN_MS, |timeout_ms| timeout_ms.min(AGAIN_MS)))
        } else {
            timeout_ms
        }
    }

    /// Ends the last collection, and collects all objects if the next would. Ruby frees objects page by page, as it needs
    /// room; only at the end it knows whether there is enough, and where it comes there in the midst of a request, it
    /// acts upon it at once. Others serve meanwhile, and go before, where there is a processor for one of them only.
    pub(crate) fn work(&self) -> Result<(), Escape> {
        let Some(between) = &self.between else { return Ok(()) };
        let _stepped_back = SteppedBack::new();
        let began_ms = self.time_ms();
        between.waits_since_ns.set(None);
        between.is_unfinished.set(false);
        protect(finish_collection)?;
        let outcome = if between.need.is_there(self.collections()) {
            between.runs.set(between.runs.get() + 1);
            let collected = protect(collect_all);
            between.need.collected(self.collections());
            collected
        } else {
            Ok(())
        };
        between.took_ms.set(between.took_ms.get() + self.time_ms().saturating_sub(began_ms));
        outcome
    }

    fn time_ms(&self) -> u64 {
        self.counts[TIME].now().unwrap_or(0)
    }

    fn collections(&self) -> Collections {
        let [minor, major] = [MINOR, MAJOR].map(|kind| self.counts[kind].now().unwrap_or(0));
        Collections { minor, major }
    }

    pub(crate) fn note(&self, seat: Seat<'_>) {
        self.noted.set(gc_count());
        let began = self.began.get();
        let mut since = self.counts.iter().zip(began).map(|(count, began)| Some(count.now()?.saturating_sub(began)));
        let mut next = || since.next().flatten();
        let (minor, major, time_ms, allocated, freed) = (next(), next(), next(), next(), next());
        let [live_slots, free_slots, pages, old_objects] = self.sizes.map(GcNumber::now);
        let between = self.between.as_ref().map(|between| between.runs.get());
        let between_ms = self.between.as_ref().map(|between| between.took_ms.get());
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
        let found = || Found {
            limits: LIMITS.map(|(number, limit)| (GcNumber::named(number), GcNumber::named(limit))),
            free: GcNumber::named("heap_free_slots"),
            slots: GcNumber::named("heap_available_slots"),
            seen: Cell::default(),
            last: Cell::default(),
        };
        MajorNeed::of_this_ruby().map_or_else(|| Self::Found(found()), Self::Told)
    }

    /// Whether it is needed now that the last collection has nothing left to do.
    fn is_there(&self, collections: Collections) -> bool {
        match self {
            Self::Told(need) => need.is_there(),
            Self::Found(found) => found.is_there(collections),
        }
    }

    /// All objects were collected.
    fn collected(&self, collections: Collections) {
        if let Self::Found(found) = self {
            found.collected(collections);
        }
    }
}

impl Found {
    fn is_there(&self, now: Collections) -> bool {
        let last = self.last.get();
        if now.major != last.major {
            // In a request: Ruby was sooner.
            self.collected(now);
            return false;
        }
        let limits = self.limits();
        let mut numbers = self.limits.iter().map(|(number, _)| number.now().unwrap_or(0));
        let is_raised = limits.iter().zip(self.seen.replace(limits)).any(|(limit, seen)| *limit > seen);
        is_raised
            || limits.iter().any(|limit| numbers.next() > Some(*limit))
            || now.minor - last.minor >= AGE && self.is_full()
    }

    fn is_full(&self) -> bool {
        let (free, slots) = (self.free.now(), self.slots.now());
        free.zip(slots).is_some_and(|(free, slots)| free.saturating_mul(FREE_PART) < slots)
    }

    fn collected(&self, now: Collections) {
        self.last.set(now);
        self.seen.set(self.limits());
    }

    fn limits(&self) -> [u64; LIMITS.len()] {
        self.limits.map(|(_, limit)| limit.now().unwrap_or(u64::MAX))
    }
}
