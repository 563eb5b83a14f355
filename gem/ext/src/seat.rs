//! The worker's seat of the scoreboard.

use std::cell::Cell;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use magnus::{Error, Ruby};
use scoreboard::Seat;
use sys::memory::Shared;

use crate::error::system_error;
use crate::ffi;

/// The scoreboard, and which seat is this worker's.
pub(crate) struct WorkerSeat {
    page: Arc<Shared>,
    number: usize,
    /// The start of the request that was reported last, on the clock of the scoreboard.
    reported_ns: Cell<u64>,
}

impl WorkerSeat {
    /// Takes a seat of the scoreboard that a descriptor leads to. Children that the application forks lose it.
    ///
    /// # Errors
    /// It is no scoreboard, or has no such seat.
    pub(crate) fn take(ruby: &Ruby, scoreboard: i32, number: usize) -> Result<Self, Error> {
        let page = ffi::duplicate_descriptor(scoreboard).map_err(|error| system_error(ruby, "scoreboard", &error))?;
        let page = Shared::map(page).map_err(|error| Error::new(ruby.exception_io_error(), error.chain()))?;
        if scoreboard::seat(page.words(), number).is_none() {
            return Err(Error::new(ruby.exception_arg_error(), format!("the scoreboard has no seat {number}")));
        }
        ffi::keep_from_children(page.as_fd().as_raw_fd());
        Ok(Self { page: Arc::new(page), number, reported_ns: Cell::new(0) })
    }

    pub(crate) fn page(&self) -> Arc<Shared> {
        Arc::clone(&self.page)
    }

    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// Looks at it.
    pub(crate) fn look<T>(&self, look: impl FnOnce(Seat<'_>) -> T) -> T {
        let seat = scoreboard::seat(self.page.words(), self.number);
        look(seat.expect("the page has this seat: take() looked"))
    }

    /// Returns when the running request began, if the master wants a report of it that was not made before.
    pub(crate) fn take_report(&self) -> Option<u64> {
        self.look(|seat| {
            let start = seat.request_start_ns()?;
            let wanted = seat.report_asked_ns() == start && self.reported_ns.replace(start) != start;
            wanted.then_some(start)
        })
    }
}
