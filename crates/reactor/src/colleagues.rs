//! What the other workers of this server are doing, as the scoreboard shows it.

use std::sync::Arc;

use scoreboard::{Seat, State};
use sys::memory::Shared;

/// The scoreboard, and this worker's place in it.
#[derive(Debug)]
pub(crate) struct Colleagues {
    pub(crate) page: Arc<Shared>,
    pub(crate) seat: usize,
}

impl Colleagues {
    /// Tells whether another worker waits for something to do. Plain loads; it may be wrong by the time it is read.
    pub(crate) fn somebody_is_idle(&self) -> bool {
        self.any(|seat| seat.is_idle())
    }

    /// Tells whether another worker that serves nobody has fewer connections than this. As right as the other.
    pub(crate) fn somebody_has_fewer(&self, connections: usize) -> bool {
        self.any(|seat| seat.state() == State::Idle && seat.connections() < connections as u64)
    }

    fn any(&self, wanted: impl Fn(Seat<'_>) -> bool) -> bool {
        let words = self.page.words();
        (0..scoreboard::seats_in_use(words))
            .filter(|number| *number != self.seat)
            .filter_map(|number| scoreboard::seat(words, number))
            .any(wanted)
    }
}
