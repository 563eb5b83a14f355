//! What each request uses, where the configuration wants it measured.

use std::cell::Cell;

use scoreboard::Seat;
use sys::clock::thread_cpu_ns;

use crate::ffi::GcNumber;

/// Measures requests, one after the other.
pub(crate) struct Usage {
    /// The objects that Ruby has allocated, if it is to be measured at all.
    allocated: Option<GcNumber>,
    /// Processor time in ns and objects at the beginning of the request.
    began: Cell<Option<(u64, u64)>>,
}

impl Usage {
    pub(crate) fn new(is_wanted: bool) -> Self {
        Self { allocated: is_wanted.then(|| GcNumber::named("total_allocated_objects")), began: Cell::default() }
    }

    /// A request begins.
    pub(crate) fn begin(&self) {
        if let Some(allocated) = self.allocated {
            self.began.set(Some((thread_cpu_ns(), allocated.now().unwrap_or(0))));
        }
    }

    /// It ends: what it used is noted.
    pub(crate) fn end(&self, seat: Seat<'_>) {
        if let (Some(allocated), Some((cpu_ns, objects))) = (self.allocated, self.began.take()) {
            let objects = allocated.now().unwrap_or(0).saturating_sub(objects);
            seat.set_last_usage(thread_cpu_ns().saturating_sub(cpu_ns), objects);
        }
    }
}
