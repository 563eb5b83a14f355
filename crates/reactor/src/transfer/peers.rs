//! What the other workers of this server are doing, as the board shows it.

use std::sync::Arc;

use scoreboard::board::{self, Place};
use sys::memory::Shared;

/// The board, and this worker's place on it.
#[derive(Debug)]
pub(crate) struct Peers {
    board: Arc<Shared>,
    own: usize,
}

impl Peers {
    pub(crate) fn new(board: Arc<Shared>, own: usize) -> Self {
        Self { board, own }
    }

    /// Tells whether another worker waits for something to do. Plain loads; it may be wrong by the time it is read.
    pub(crate) fn one_is_idle(&self) -> bool {
        self.others().any(Place::is_idle)
    }

    /// Tells whether another worker could take a connection when it is done with what it does. As right as the other.
    pub(crate) fn one_has_room(&self) -> bool {
        self.others().any(Place::has_room)
    }

    /// The same of one that sleeps, and has to be woken for it.
    pub(crate) fn one_sleeps_with_room(&self) -> bool {
        self.others().any(|place| place.is_idle() && place.has_room())
    }

    /// Returns a number that changes when another worker serves, takes or closes something.
    pub(crate) fn movement(&self) -> u64 {
        self.others().map(Place::movement).fold(0, u64::wrapping_add)
    }

    fn others(&self) -> impl Iterator<Item = Place<'_>> {
        board::others(self.board.words(), self.own)
    }
}
