//! The seats of the scoreboard: which of them are taken, and the memory that they lie in.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::AtomicU64;

use scoreboard::Seat;
use supervisor::{Generation, SlotId};
use sys::memory::Shared;

use crate::children::error::Error;

/// One for each worker that lives or is asked for.
pub(crate) struct Seats {
    scoreboard: Shared,
    taken: Vec<bool>,
}

impl Seats {
    /// All of them free.
    pub(crate) fn of(scoreboard: Shared) -> Self {
        Self { scoreboard, taken: vec![false; scoreboard::SEATS] }
    }

    /// All that is written on the scoreboard.
    pub(crate) fn words(&self) -> &[AtomicU64] {
        self.scoreboard.words()
    }

    /// What is written on this one.
    pub(crate) fn seat(&self, number: usize) -> Option<Seat<'_>> {
        scoreboard::seat(self.words(), number)
    }

    /// Takes a free one for a worker, and returns its number.
    pub(crate) fn take(&mut self, slot: SlotId, generation: Generation) -> Result<usize, Error> {
        let number = self.taken.iter().position(|taken| !taken).ok_or(Error::Full)?;
        let seat = scoreboard::seat(self.scoreboard.words(), number).ok_or(Error::TooSmall)?;
        seat.assign(slot.0, generation.0);
        scoreboard::note_in_use(self.scoreboard.words(), number);
        self.taken[number] = true;
        Ok(number)
    }

    /// Takes note of one that a worker has already.
    pub(crate) fn keep(&mut self, number: usize) -> Result<(), Error> {
        *self.taken.get_mut(number).ok_or(Error::NoSeat)? = true;
        Ok(())
    }

    /// Frees one. Returns how many requests were served from there.
    pub(crate) fn free(&mut self, number: usize) -> u64 {
        self.taken[number] = false;
        self.seat(number).map_or(0, |seat| {
            let requests = seat.requests();
            seat.release();
            requests
        })
    }
}

impl AsFd for Seats {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.scoreboard.as_fd()
    }
}
