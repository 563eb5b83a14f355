//! The seats of the workers, where each notes what it does, and the board on which they show it to each other.

use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use scoreboard::board::{self, Busiest, Lease, Place, Saturation};
use supervisor::{Generation, SlotId};
use sys::memory::Shared;
use wire::state;

use crate::carried::Number;
use crate::children::error::Error;
use crate::sockets::orphans::BOARD;
use sys::image::adopt;

/// The name of the memory of a seat.
const PAGE: &str = "licorne-seat";

/// Where the seats are that a mold gives to its workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Each is a page of its own, which the mold gets with the worker.
    Pages,
    /// All are in one memory, which the mold has had from a program before this one.
    Shared,
}

impl Layout {
    /// The one with this number.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn numbered(number: u32) -> Result<Self, Error> {
        match number {
            scoreboard::LAYOUT => Ok(Self::Pages),
            scoreboard::SHARED_LAYOUT => Ok(Self::Shared),
            other => Err(Error::UnknownLayout(other)),
        }
    }

    /// Its number.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Pages => scoreboard::LAYOUT,
            Self::Shared => scoreboard::SHARED_LAYOUT,
        }
    }
}

/// The seat of one worker.
#[derive(Debug)]
pub(crate) struct Seat {
    number: usize,
    memory: Memory,
}

#[derive(Debug)]
enum Memory {
    /// The worker and this process alone have it.
    Page(Shared),
    /// All workers of a program of that layout have it.
    Shared(Rc<Shared>),
}

impl Seat {
    fn of(number: usize, memory: Memory) -> Result<Self, Error> {
        memory.seat(number).ok_or(Error::TooSmall)?;
        Ok(Self { number, memory })
    }

    /// One with a new page.
    ///
    /// # Errors
    /// No memory or descriptors left.
    pub(crate) fn with_page(number: usize) -> Result<Self, Error> {
        Self::of(number, Memory::Page(Shared::create(PAGE, scoreboard::PAGE_BYTES)?))
    }

    /// Its number, also that of the worker's place on the board.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// What is written on it.
    pub(crate) fn look(&self) -> scoreboard::Seat<'_> {
        self.memory.seat(self.number).expect("of() has looked, and the memory cannot shrink")
    }

    /// The page, if it is one of its own.
    pub(crate) fn page(&self) -> Option<BorrowedFd<'_>> {
        match &self.memory {
            Memory::Page(page) => Some(page.as_fd()),
            Memory::Shared(_) => None,
        }
    }
}

impl Memory {
    fn seat(&self, number: usize) -> Option<scoreboard::Seat<'_>> {
        match self {
            Self::Page(page) => scoreboard::Seat::of_page(page.words()),
            Self::Shared(all) => scoreboard::seat(all.words(), number),
        }
    }
}

/// Which seats are taken, and what all workers share.
pub(crate) struct Seats {
    /// This process writes there that a worker is no more, and how many are busy if they never were as many, and reads only
    /// what it tells.
    board: Shared,
    /// The seats of the workers of a program of layout 1.
    shared: Option<Rc<Shared>>,
    taken: Vec<bool>,
}

impl Seats {
    /// All of them free.
    ///
    /// # Errors
    /// No memory or descriptors left.
    pub(crate) fn begin() -> sys::Result<Self> {
        Ok(Self::of(Shared::create(BOARD, board::BOARD_BYTES)?, None))
    }

    fn of(board: Shared, shared: Option<Rc<Shared>>) -> Self {
        Self { board, shared, taken: vec![false; scoreboard::SEATS] }
    }

    /// The memories that the program before this one has handed over. Seats are taken one by one.
    ///
    /// # Errors
    /// One of them is none.
    pub(crate) fn load(board: Option<i32>, shared: Option<i32>) -> Result<Self, Error> {
        let map = |number| Shared::map(adopt(number)?);
        let shared = shared.map(map).transpose()?.map(Rc::new);
        match board {
            Some(board) => Ok(Self::of(map(board)?, shared)),
            None => Ok(Self { shared, ..Self::begin()? }),
        }
    }

    /// The board, for molds.
    pub(crate) fn board(&self) -> BorrowedFd<'_> {
        self.board.as_fd()
    }

    /// For how long no worker was idle, as the workers have noted it.
    pub(crate) fn saturated_ns(&self, now_ns: u64) -> u64 {
        Saturation::of(self.board.words()).map_or(0, |saturation| saturation.total_ns(now_ns))
    }

    /// How often it began that no worker was idle.
    pub(crate) fn saturations(&self) -> u64 {
        Saturation::of(self.board.words()).map_or(0, Saturation::times)
    }

    /// The most workers that were in requests at once, and when, as the workers have noted it and as it is now.
    pub(crate) fn busiest(&self, now_ns: u64) -> Option<(u64, u64)> {
        let busiest = Busiest::of(self.board.words())?;
        busiest.look(now_ns);
        busiest.most()
    }

    /// What the next program is told of the board, and of the seats in one memory.
    ///
    /// # Errors
    /// No descriptors left.
    pub(crate) fn save(&self, number: &mut Number<'_>) -> sys::Result<(i32, Option<i32>)> {
        let shared = self.shared.as_ref().map(|shared| number(shared.as_fd())).transpose()?;
        Ok((number(self.board.as_fd())?, shared))
    }

    /// Takes a free one for a worker.
    ///
    /// # Errors
    /// All are taken, or no memory or descriptors are left.
    pub(crate) fn take(&mut self, slot: SlotId, generation: Generation, layout: Layout) -> Result<Seat, Error> {
        let number = self.taken.iter().position(|taken| !taken).ok_or(Error::Full)?;
        let seat = match (layout, &self.shared) {
            (Layout::Pages, _) => Seat::with_page(number)?,
            (Layout::Shared, Some(all)) => {
                scoreboard::note_in_use(all.words(), number);
                Seat::of(number, Memory::Shared(Rc::clone(all)))?
            }
            (Layout::Shared, None) => return Err(Error::SeatsGone),
        };
        seat.look().assign(slot.0, generation.0);
        Place::take(self.board.words(), number);
        self.taken[number] = true;
        Ok(seat)
    }

    /// Takes one that a worker has already.
    ///
    /// # Errors
    /// There is no such seat.
    pub(crate) fn keep(&mut self, worker: &state::Worker) -> Result<Seat, Error> {
        let taken = self.taken.get_mut(worker.seat).ok_or(Error::NoSeat)?;
        let memory = match (worker.page, &self.shared) {
            (Some(page), _) => Memory::Page(Shared::map(adopt(page)?)?),
            (None, Some(all)) => Memory::Shared(Rc::clone(all)),
            (None, None) => return Err(Error::NoSeat),
        };
        *taken = true;
        Seat::of(worker.seat, memory)
    }

    /// Frees one.
    pub(crate) fn free(&mut self, seat: &Seat) {
        self.taken[seat.number] = false;
        if let Some(place) = board::place(self.board.words(), seat.number) {
            place.clear();
        }
        if let Some(lease) = Lease::of(self.board.words()) {
            lease.give_back(seat.number);
        }
        seat.look().release();
    }

    /// No mold gives seats in one memory any more: that is let go with the last worker there.
    pub(crate) fn leave_shared(&mut self) {
        self.shared.take_if(|all| Rc::strong_count(all) == 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: SlotId = SlotId(3);
    const GENERATION: Generation = Generation(2);

    #[test]
    fn a_seat_is_a_page_that_no_other_worker_has() {
        let mut seats = Seats::begin().unwrap();
        let [one, other] = [(); 2].map(|()| seats.take(SLOT, GENERATION, Layout::Pages).unwrap());
        assert_ne!(one.number(), other.number());
        one.look().begin_request(7, b"GET", b"/");
        assert_eq!((one.look().request_start_ns(), other.look().request_start_ns()), (Some(7), None));
        assert_eq!((one.look().slot(), one.look().generation()), (3, 2));
        board::place(seats.board.words(), one.number()).unwrap().set_serving(true);
        seats.free(&one);
        let place = board::place(seats.board.words(), one.number()).unwrap();
        assert!(!place.has_room(), "others see that the worker is no more");
        assert_eq!(seats.take(SLOT, GENERATION, Layout::Pages).unwrap().number(), one.number());
    }

    #[test]
    fn seats_in_one_memory_are_kept_as_long_as_a_worker_is_there() {
        let bytes = (scoreboard::SEATS + 1) * scoreboard::SEAT_WORDS * 8;
        let all = Rc::new(Shared::create("test-scoreboard", bytes).unwrap());
        let board = Shared::create("test-board", board::BOARD_BYTES).unwrap();
        let mut seats = Seats::of(board, Some(Rc::clone(&all)));
        let seat = seats.take(SLOT, GENERATION, Layout::Shared).unwrap();
        scoreboard::seat(all.words(), seat.number()).unwrap().begin_request(7, b"GET", b"/");
        assert_eq!((seat.look().request_start_ns(), seat.page().is_none()), (Some(7), true));
        drop(all);
        seats.leave_shared();
        assert!(seats.shared.is_some());
        seats.free(&seat);
        drop(seat);
        seats.leave_shared();
        assert!(seats.take(SLOT, GENERATION, Layout::Shared).is_err());
    }
}
