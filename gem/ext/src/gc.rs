//! What Ruby's garbage collector does in this worker, noted on the seat.

use std::cell::Cell;

use scoreboard::{Gc, Seat};

use crate::ffi::{GcNumber, gc_count};

/// What `GC.stat` calls what is counted since the process began, those before it included that it was forked from.
const COUNTS: [&str; 5] =
    ["minor_gc_count", "major_gc_count", "time", "total_allocated_objects", "total_freed_objects"];
/// And the size of the heap.
const SIZES: [&str; 4] = ["heap_live_slots", "heap_free_slots", "heap_allocated_pages", "old_objects"];

/// The numbers, and how they were when the worker began to serve.
pub(crate) struct Collector {
    counts: [GcNumber; COUNTS.len()],
    sizes: [GcNumber; SIZES.len()],
    began: Cell<[u64; COUNTS.len()]>,
    /// How often the collector had run when they were noted last.
    noted: Cell<u64>,
}

impl Collector {
    pub(crate) fn new() -> Self {
        Self {
            counts: COUNTS.map(GcNumber::named),
            sizes: SIZES.map(GcNumber::named),
            began: Cell::default(),
            noted: Cell::default(),
        }
    }

    /// The worker begins to serve: what is counted counts from now.
    pub(crate) fn begin(&self, seat: Seat<'_>) {
        self.began.set(self.counts.map(|count| count.now().unwrap_or(0)));
        self.note(seat);
    }

    /// Notes what has happened, if the collector ran.
    pub(crate) fn look(&self, seat: Seat<'_>) {
        if self.noted.get() != gc_count() {
            self.note(seat);
        }
    }

    fn note(&self, seat: Seat<'_>) {
        self.noted.set(gc_count());
        let began = self.began.get();
        let mut since = self.counts.iter().zip(began).map(|(count, began)| Some(count.now()?.saturating_sub(began)));
        let mut next = || since.next().flatten();
        let (minor, major, time_ms, allocated, freed) = (next(), next(), next(), next(), next());
        let [live_slots, free_slots, pages, old_objects] = self.sizes.map(GcNumber::now);
        seat.set_gc(&Gc { minor, major, time_ms, allocated, freed, live_slots, free_slots, pages, old_objects });
    }
}
