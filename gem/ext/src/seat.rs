//! The worker's seat, where it notes what it does for the master, and its place on the board, where it shows it to others.

use std::cell::Cell;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use magnus::{Error, RModule, Ruby, function, method, prelude::*};
use reactor::Traffic;
use scoreboard::Seat;
use scoreboard::board::{self, Busiest, Lease, Place, Saturation};
use sys::memory::Shared;

use crate::error::system_error;
use crate::ffi::{self, Locked};

/// The seat and the place of this worker.
pub(crate) struct WorkerSeat {
    page: &'static [AtomicU64],
    board: Arc<Shared>,
    number: usize,
    /// The starts of the requests that were reported last, on the clock of the seat: since they end, since they are slow.
    reported_ns: [Cell<u64>; 2],
    /// When it was looked how many workers are busy, and what waits in the backlogs.
    looked_ns: [Cell<u64>; 2],
}

/// How often it is looked how many workers are busy, at most. A moment in which so many were in requests that each took
/// this long is never missed: the first of them to end looks, while all are busy.
const BUSIEST_NS: u64 = 1_000_000;
/// What may wait in the backlogs is looked at once in this time, at most, ...
const BACKLOG_NS: u64 = 100_000_000;
/// ... and only when no worker was idle for this long: nothing waits otherwise.
const SATURATED_NS: u64 = 4_000_000;

impl WorkerSeat {
    /// Takes the seat that one descriptor leads to, and a place on the board that another leads to. Children that the
    /// application forks lose the board.
    ///
    /// # Errors
    /// They are none.
    pub(crate) fn take(ruby: &Ruby, page: i32, board: i32, number: usize) -> Result<Self, Error> {
        let page = map_page(ruby, page)?;
        let board = map(ruby, "board", board)?;
        if Seat::of_page(page).is_none()
            || board::place(board.words(), number).is_none()
            || Saturation::of(board.words()).is_none()
            || Lease::of(board.words()).is_none()
            || Busiest::of(board.words()).is_none()
        {
            return Err(Error::new(ruby.exception_arg_error(), format!("there is no seat {number}")));
        }
        ffi::keep_from_children(board.as_fd().as_raw_fd());
        let (reported_ns, looked_ns) = Default::default();
        Ok(Self { page, board: Arc::new(board), number, reported_ns, looked_ns })
    }

    pub(crate) fn board(&self) -> Arc<Shared> {
        Arc::clone(&self.board)
    }

    /// Whether a process that is forked now gets the board.
    pub(crate) fn inherit_board(&self, inherits: bool) {
        // It is mapped. A mold that has it all the same can do no more with it than its workers.
        let _ = self.board.inherit(inherits);
    }

    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// Looks at the seat.
    pub(crate) fn look<T>(&self, look: impl FnOnce(Seat<'_>) -> T) -> T {
        look(self.seat())
    }

    /// The seat, which lives as long as the process.
    pub(crate) fn seat(&self) -> Seat<'static> {
        Seat::of_page(self.page).expect("this is a seat: take() looked")
    }

    /// The place on the board.
    pub(crate) fn place(&self) -> Place<'_> {
        board::place(self.board.words(), self.number).expect("the board has this place: take() looked")
    }

    /// Counts what came and went.
    pub(crate) fn count_traffic(&self, traffic: Traffic) {
        if traffic != Traffic::default() {
            let seat = self.seat();
            seat.count_bytes(traffic.received_bytes, traffic.sent_bytes);
            seat.count_aborted(traffic.aborted);
        }
    }

    /// Shows others that this worker is busy.
    pub(crate) fn note_busy(&self, now_ns: u64) {
        self.place().set_busy(true);
        self.saturation().note_busy(self.number, now_ns);
        self.look_how_many_are_busy(now_ns);
    }

    /// Shows others that this worker is in no request. Returns whether it is to be looked what waits in the backlogs.
    pub(crate) fn note_done(&self, now_ns: u64) -> bool {
        self.look_how_many_are_busy(now_ns);
        self.place().set_busy(false);
        self.saturation().lasts_ns(now_ns) >= SATURATED_NS && is_due(&self.looked_ns[1], BACKLOG_NS, now_ns)
    }

    fn look_how_many_are_busy(&self, now_ns: u64) {
        if is_due(&self.looked_ns[0], BUSIEST_NS, now_ns) {
            Busiest::of(self.board.words()).expect("the board is whole: take() looked").look(now_ns);
        }
    }

    /// Shows others that this worker sleeps, or does no more. `now_ns` need not be exact.
    pub(crate) fn set_asleep(&self, asleep: bool, now_ns: u64) {
        let place = self.place();
        place.set_asleep(asleep);
        if place.is_idle() {
            self.saturation().note_idle(now_ns);
        }
    }

    /// Takes the right to collect all garbage, which one worker at a time has. Others are shown meanwhile that this one is not
    /// idle, since it does not sleep.
    pub(crate) fn take_lease(&self, now_ns: u64) -> bool {
        self.lease().take(self.number, now_ns)
    }

    /// Gives it back.
    pub(crate) fn give_back_lease(&self) {
        self.lease().give_back(self.number);
    }

    fn lease(&self) -> Lease<'_> {
        Lease::of(self.board.words()).expect("the board is whole: take() looked")
    }

    fn saturation(&self) -> Saturation<'_> {
        Saturation::of(self.board.words()).expect("the board is whole: take() looked")
    }

    /// Returns when the running request began, if the master wants a report of it that was not made before: since it is
    /// slow, or else since it will soon be killed.
    pub(crate) fn take_report(&self, slow: bool) -> Option<u64> {
        self.look(|seat| {
            let start = seat.request_start_ns()?;
            let asked = if slow { seat.slow_report_asked_ns()? } else { seat.report_asked_ns() };
            let wanted = asked == start && self.reported_ns[usize::from(slow)].replace(start) != start;
            wanted.then_some(start)
        })
    }
}

/// Whether so much time has passed since; then it counts anew from now.
fn is_due(since: &Cell<u64>, period_ns: u64, now_ns: u64) -> bool {
    let is_due = now_ns.saturating_sub(since.get()) >= period_ns;
    if is_due {
        since.set(now_ns);
    }
    is_due
}

/// `Licorne::Native::Questions`: what the operator asks of this process, a worker, through its seat.
#[magnus::wrap(class = "Licorne::Native::Questions", free_immediately)]
pub(crate) struct Questions(Locked<Asked>);

struct Asked {
    page: &'static [AtomicU64],
    /// The number of the question that was taken last.
    taken: Cell<u64>,
}

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("Questions", ruby.class_object())?;
    class.define_singleton_method("new", function!(Questions::new, 1))?;
    class.define_method("take", method!(Questions::take, 0))
}

impl Questions {
    fn new(ruby: &Ruby, page: i32) -> Result<Self, Error> {
        let page = map_page(ruby, page)?;
        match Seat::of_page(page) {
            Some(_) => Ok(Self(Locked::new(Asked { page, taken: Cell::new(0) }))),
            None => Err(no_seat(ruby)),
        }
    }

    /// Takes the number of the question for backtraces, if there is one that was not taken before. It may be called from a
    /// trap. A child that the application has forked is not the one that is asked.
    fn take(ruby: &Ruby, this: &Self) -> Option<u64> {
        let Asked { page, taken } = this.0.get(ruby);
        let asked = Seat::of_page(page)?.backtraces_asked();
        (asked != 0 && !ffi::is_forked() && taken.replace(asked) != asked).then_some(asked)
    }
}

fn no_seat(ruby: &Ruby) -> Error {
    Error::new(ruby.exception_arg_error(), "this is no seat")
}

/// Where the seat is mapped in this process.
static PAGES: Mutex<Vec<&'static [AtomicU64]>> = Mutex::new(Vec::new());

/// Maps the seat that a descriptor leads to, for as long as the process lives.
fn map_page(ruby: &Ruby, number: i32) -> Result<&'static [AtomicU64], Error> {
    let page = map(ruby, "seat", number)?.leak();
    pages().push(page);
    Ok(page)
}

fn pages() -> MutexGuard<'static, Vec<&'static [AtomicU64]>> {
    PAGES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a process that is forked now gets the seat.
pub(crate) fn inherit_pages(inherits: bool) {
    for page in pages().iter() {
        // They are mapped.
        let _ = sys::memory::inherit(page, inherits);
    }
}

/// This process was forked without them.
pub(crate) fn forget_pages() {
    pages().clear();
}

/// Maps the shared memory that a descriptor leads to, which stays open.
fn map(ruby: &Ruby, name: &str, number: i32) -> Result<Shared, Error> {
    let fd = ffi::duplicate_descriptor(number).map_err(|error| system_error(ruby, name, &error))?;
    Shared::map(fd).map_err(|error| Error::new(ruby.exception_io_error(), error.chain()))
}

/// Has this process, a worker, note in its seat which signal ends it, and where that came from.
pub(crate) fn note_fatal_signals(ruby: &Ruby, page: i32) -> Result<(), Error> {
    match Seat::of_page(map_page(ruby, page)?) {
        Some(seat) => {
            sys::fatal::note(seat.fatal_words()).map_err(|error| Error::new(ruby.exception_io_error(), error.chain()))
        }
        None => Err(no_seat(ruby)),
    }
}
