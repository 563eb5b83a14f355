//! What the other workers of this server are doing, as the scoreboard shows it.

use std::sync::Arc;

use scoreboard::{Seat, State};
use sys::memory::Shared;

/// The scoreboard, and this worker's place in it.
#[derive(Debug)]
pub(crate) struct Peers {
    page: Arc<Shared>,
    seat: usize,
}

impl Peers {
    pub(crate) fn new(page: Arc<Shared>, seat: usize) -> Self {
        Self { page, seat }
    }

    /// Tells whether another worker waits for something to do. Plain loads; it may be wrong by the time it is read.
    pub(crate) fn one_is_idle(&self) -> bool {
        self.any(|seat| seat.is_idle())
    }

    /// Tells whether another worker could take a connection when it is done with what it does. As right as the other.
    pub(crate) fn one_has_room(&self) -> bool {
        self.any(has_room)
    }

    /// The same of one that sleeps, and has to be woken for it.
    pub(crate) fn one_sleeps_with_room(&self) -> bool {
        self.any(|seat| seat.is_idle() && has_room(seat))
    }

    /// Returns a number that changes when another worker serves, takes or closes something.
    pub(crate) fn movement(&self) -> u64 {
        let moved = |seat: Seat<'_>| seat.requests().wrapping_mul(3).wrapping_add(seat.connections());
        self.others().map(moved).fold(0, u64::wrapping_add)
    }

    fn any(&self, wanted: impl Fn(Seat<'_>) -> bool) -> bool {
        self.others().any(wanted)
    }

    fn others(&self) -> impl Iterator<Item = Seat<'_>> {
        let words = self.page.words();
        (0..scoreboard::seats_in_use(words))
            .filter(|number| *number != self.seat)
            .filter_map(|number| scoreboard::seat(words, number))
    }
}

fn has_room(seat: Seat<'_>) -> bool {
    matches!(seat.state(), State::Idle | State::Busy) && !seat.is_full()
}
