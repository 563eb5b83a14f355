//! What Ruby's garbage collector does in this worker, noted on the seat; and when it does so between requests.

use std::cell::Cell;

use scoreboard::{Gc, Seat};
use sys::priority::{SteppedBack, allow_stepping_back};

use crate::ffi::{Escape, GcNumber, MajorNeed, collect_all, gc_count, protect, was_last_collection_forced};

/// What `GC.stat` calls what is counted since the process began, those before it included that it was forked from.
const COUNTS: [&str; 5] =
    ["minor_gc_count", "major_gc_count", "time", "total_allocated_objects", "total_freed_objects"];
/// Where among them the collections of all objects are, ...
const MAJOR: usize = 1;
/// ... and the objects that were allocated.
const ALLOCATED: usize = 3;
/// And the size of the heap.
const SIZES: [&str; 4] = ["heap_live_slots", "heap_free_slots", "heap_allocated_pages", "old_objects"];
/// Where among them its pages are.
const PAGES: usize = 2;
/// What has Ruby collect all objects, and the limit of each.
const LIMITS: [(&str, &str); 3] = [
    ("old_objects", "old_objects_limit"),
    ("remembered_wb_unprotected_objects", "remembered_wb_unprotected_objects_limit"),
    ("oldmalloc_increase_bytes", "oldmalloc_increase_bytes_limit"),
];
/// When all objects are collected, where Ruby does not tell that it is needed, in tenths of the objects that were allocated
/// between the last two collections: a worker that has nothing else to do does it some time before Ruby would, and not long
/// before, since each that comes too early is one more; ...
const IDLE_TENTHS: u64 = 8;
/// ... and one that has no pause just before.
const BUSY_TENTHS: u64 = 9;
/// The interval that was learnt grows by such a part with each collection that comes before its end: a heap that has grown
/// allows a longer one. The first, of a new worker's heap, doubles until it is too long.
const GROWTH: u64 = 256;
/// All objects are collected when the heap has grown by such a part since they were collected last: Ruby 3.4, which is told
/// not to collect them in a request, takes more memory instead, and goes on to do so.
const GROWN: u64 = 8;
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
    /// Whether Ruby would collect all objects the next time.
    is_needed: Cell<bool>,
    /// How many objects were allocated, ever, when the collector ran last.
    last: Cell<u64>,
    /// And how many of them since the time before.
    interval: Cell<u64>,
    /// The pages of the heap when all objects were collected last.
    pages: Cell<u64>,
    learnt: Learnt,
    /// Since when it is time for it, and others collect.
    waits_since_ns: Cell<Option<u64>>,
    runs: Cell<u64>,
    took_ns: Cell<u64>,
}

/// How many objects can be allocated from one collection of all objects to the next. That the heap has too few free slots is
/// found and acted upon in the midst of a request, and no Ruby tells it before.
#[derive(Default)]
struct Learnt {
    /// How many such collections there were.
    majors: Cell<u64>,
    /// When the last one was, in objects that were allocated; none before the first.
    last: Cell<Option<u64>>,
    interval: Cell<Option<u64>>,
    /// Whether it is no longer that of a new worker, whose heap has yet to find its size.
    is_sure: Cell<bool>,
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
            is_needed: Cell::default(),
            last: Cell::default(),
            interval: Cell::default(),
            pages: Cell::default(),
            learnt: Learnt::default(),
            waits_since_ns: Cell::default(),
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
            allow_stepping_back();
            between.last.set(self.allocated());
            between.pages.set(self.pages());
            between.learnt.begin(self.majors(), self.allocated());
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
            let allocated = self.allocated();
            between.interval.set(allocated.saturating_sub(between.last.replace(allocated)));
            if between.learnt.look(self.majors(), allocated) {
                between.waits_since_ns.set(None);
                between.pages.set(self.pages());
            }
            let is_grown = self.pages() > between.pages.get() + between.pages.get() / GROWN;
            between.is_needed.set(is_grown || between.need.is_there());
        }
    }

    /// Whether all objects are to be collected before the next request, if no other worker does.
    fn is_wanted(&self, idle: bool) -> bool {
        self.between.as_ref().is_some_and(|between| {
            // Each request asks: Ruby is asked for the number only where it matters.
            let allocated = || self.allocated();
            between.is_wanted(allocated, idle) || between.learnt.is_over(allocated, idle)
        })
    }

    fn majors(&self) -> u64 {
        self.counts[MAJOR].now().unwrap_or(0)
    }

    fn allocated(&self) -> u64 {
        self.counts[ALLOCATED].now().unwrap_or(0)
    }

    fn pages(&self) -> u64 {
        self.sizes[PAGES].now().unwrap_or(0)
    }

    /// Whether all objects are to be collected now, in a worker that is in no request. `idle`: it has nothing else to do;
    /// `lease` takes what one worker at a time has.
    pub(crate) fn is_due(&self, idle: bool, now_ns: u64, lease: impl FnOnce() -> bool) -> bool {
        let Some(between) = self.between.as_ref().filter(|_| self.is_wanted(idle)) else { return false };
        let since_ns = between.waits_since_ns.get().unwrap_or(now_ns);
        between.waits_since_ns.set(Some(since_ns));
        lease() || now_ns.saturating_sub(since_ns) >= LONGEST_NS
    }

    /// How long the worker may sleep that was about to sleep for so long.
    pub(crate) fn sleep_ms(&self, timeout_ms: Option<u64>) -> Option<u64> {
        if self.is_wanted(true) {
            Some(timeout_ms.map_or(AGAIN_MS, |timeout_ms| timeout_ms.min(AGAIN_MS)))
        } else {
            timeout_ms
        }
    }

    /// Collects all objects. Others serve meanwhile, and go before, where there is a processor for one of them only.
    pub(crate) fn collect(&self) -> Result<(), Escape> {
        let _stepped_back = SteppedBack::new();
        protect(collect_all)
    }

    /// It has collected all objects, which took so long.
    pub(crate) fn collected(&self, seat: Seat<'_>, took_ns: u64) {
        if let Some(between) = &self.between {
            let allocated = self.allocated();
            between.last.set(allocated);
            between.pages.set(self.pages());
            between.is_needed.set(false);
            between.learnt.collected(self.majors(), allocated);
            between.waits_since_ns.set(None);
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

impl Between {
    /// Whether it is needed, and the next collection near.
    fn is_wanted(&self, allocated: impl Fn() -> u64, idle: bool) -> bool {
        let is_near = || match self.need {
            // Ruby 3.3 collects young objects each few requests.
            Need::Told(_) => true,
            Need::Found(_) => is_over(allocated().saturating_sub(self.last.get()), self.interval.get(), idle),
        };
        self.is_needed.get() && is_near()
    }
}

impl Learnt {
    /// An interval begins with the worker where its mold has collected all objects just before; else one that is part of
    /// an interval would be taken for a whole one.
    fn begin(&self, majors: u64, allocated: u64) {
        self.majors.set(majors);
        self.last.set(was_last_collection_forced().then_some(allocated));
    }

    /// The collector has run in a request. Returns whether it collected all objects.
    fn look(&self, majors: u64, allocated: u64) -> bool {
        let is_major = self.majors.replace(majors) != majors;
        if is_major {
            let since_last = self.last.replace(Some(allocated)).map(|last| allocated.saturating_sub(last));
            // What the application collects, it collects when it wants to.
            if let Some(since_last) = since_last.filter(|_| !was_last_collection_forced()) {
                // One that comes very early is none to learn from: no shorter than half of what was learnt.
                let learnt = self.interval.get();
                self.is_sure.set(learnt.is_some());
                self.interval.set(Some(since_last.max(learnt.unwrap_or(0) / 2)));
            }
        }
        is_major
    }

    fn is_over(&self, allocated: impl Fn() -> u64, idle: bool) -> bool {
        match (self.last.get(), self.interval.get()) {
            (Some(last), Some(interval)) => is_over(allocated().saturating_sub(last), interval, idle),
            _ => false,
        }
    }

    fn collected(&self, majors: u64, allocated: u64) {
        self.majors.set(majors);
        self.last.set(Some(allocated));
        let part = if self.is_sure.get() { GROWTH } else { 1 };
        self.interval.set(self.interval.get().map(|interval| interval.saturating_add(interval / part)));
    }
}

/// Whether so many objects are so near to the end of an interval that all objects are collected.
fn is_over(objects: u64, interval: u64, idle: bool) -> bool {
    objects.saturating_mul(10) >= interval.saturating_mul(if idle { IDLE_TENTHS } else { BUSY_TENTHS })
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
