//! What the other workers of this server are doing, as the scoreboard shows it.

use std::sync::Arc;

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
        let words = self.page.words();
        (0..scoreboard::seats_in_use(words))
            .filter(|number| *number != self.seat)
            .filter_map(|number| scoreboard::seat(words, number))
            .any(|seat| seat.is_idle())
    }
}
