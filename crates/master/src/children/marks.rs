//! The most connections that waited at each address, as workers and this process have seen it. It survives the workers,
//! reloads, and an upgrade in place.

use std::collections::BTreeMap;

use scoreboard::Seat;
use wire::state;

/// Of how many addresses it is remembered, those of past configurations included.
const MOST: usize = 64;

/// A count that was never larger, and when it was so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) count: u32,
    /// CLOCK_MONOTONIC.
    pub(crate) at_ns: u64,
}

/// By the name of the listener.
#[derive(Debug, Default)]
pub(crate) struct Marks(BTreeMap<String, Mark>);

impl Marks {
    /// So many wait there now.
    pub(crate) fn note(&mut self, listener: &str, count: u32, at_ns: u64) {
        let Some(mark) = self.0.get_mut(listener) else {
            if self.0.len() < MOST {
                self.0.insert(listener.to_string(), Mark { count, at_ns });
            }
            return;
        };
        if count > mark.count {
            *mark = Mark { count, at_ns };
        }
    }

    /// What a worker has noted, whose listeners these are in its order. Its clock is this process's, whatever it says.
    pub(crate) fn note_seat(&mut self, seat: Seat<'_>, listeners: &[String], now_ns: u64) {
        for (index, count, at_ns) in seat.backlogs() {
            if let Some(listener) = listeners.get(index) {
                self.note(listener, count, at_ns.min(now_ns));
            }
        }
    }

    /// What was noted of this listener.
    pub(crate) fn of(&self, listener: &str) -> Option<Mark> {
        self.0.get(listener).copied()
    }

    /// What the next program is told.
    pub(crate) fn save(&self) -> Vec<state::Mark> {
        let told = |(listener, mark): (&String, &Mark)| state::Mark {
            listener: listener.clone(),
            count: mark.count,
            at_ns: mark.at_ns,
        };
        self.0.iter().map(told).collect()
    }

    /// What the program before this one has told.
    pub(crate) fn load(told: &[state::Mark]) -> Self {
        let mut marks = Self::default();
        told.iter().for_each(|mark| marks.note(&mark.listener, mark.count, mark.at_ns));
        marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::children::seats;

    #[test]
    fn the_most_that_any_has_seen_is_kept() {
        let mut marks = Marks::default();
        let seat = seats::Seat::with_page(0).unwrap();
        seat.look().note_backlog(1, 5, 20_000_000);
        seat.look().note_backlog(7, 9, 20_000_000);
        let listeners = ["0.0.0.0:80", "/run/a.sock"].map(str::to_string);
        marks.note("0.0.0.0:80", 0, 1);
        marks.note_seat(seat.look(), &listeners, 30_000_000);
        marks.note("/run/a.sock", 4, 40_000_000);
        assert_eq!(marks.of("/run/a.sock"), Some(Mark { count: 5, at_ns: 20_000_000 }));
        assert_eq!(marks.of("0.0.0.0:80"), Some(Mark { count: 0, at_ns: 1 }));
        assert_eq!(Marks::load(&marks.save()).save(), marks.save());
        let mut early = Marks::default();
        early.note_seat(seat.look(), &listeners, 7);
        assert_eq!(early.of("/run/a.sock").map(|mark| mark.at_ns), Some(7), "it cannot be to come");
        (0..100).for_each(|port| marks.note(&format!("0.0.0.0:{port}"), 1, 1));
        assert_eq!(marks.save().len(), MOST);
    }
}
