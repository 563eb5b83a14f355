//! A mold that a worker is to fork, until it is there, and when the seats are looked at to know whether it is time for one.

use std::os::fd::BorrowedFd;

use supervisor::{Generation, WorkerId};

use crate::children::mold::Mold;

/// How often the seats are looked at, while a refork is awaited.
const LOOK_NS: u64 = 500_000_000;

/// What concerns reforks.
#[derive(Debug, Default)]
pub(crate) struct Reforks {
    pub(crate) unborn: Option<Unborn>,
    /// When the seats are looked at next.
    next_ns: Option<u64>,
}

/// A mold that a worker is to fork.
#[derive(Debug)]
pub(crate) struct Unborn {
    pub(crate) worker: WorkerId,
    pub(crate) generation: Generation,
    /// What it will be, with the settings of the mold that has forked the worker.
    pub(crate) mold: Mold,
}

impl Reforks {
    /// The descriptor to poll.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.unborn.iter().filter_map(|unborn| unborn.mold.link.readable())
    }

    /// When the seats are to be looked at, if they are.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.next_ns
    }

    /// Whether the seats are to be looked at now, if a refork is awaited.
    pub(crate) fn is_due(&mut self, awaited: bool, now_ns: u64) -> bool {
        let is_due = awaited && self.next_ns.is_none_or(|next_ns| next_ns <= now_ns);
        if is_due {
            self.next_ns = Some(now_ns + LOOK_NS);
        } else if !awaited {
            self.next_ns = None;
        }
        is_due
    }

    /// The mold that this worker is to fork.
    pub(crate) fn awaited_from(&self, worker: WorkerId) -> Option<Generation> {
        self.unborn.as_ref().filter(|unborn| unborn.worker == worker).map(|unborn| unborn.generation)
    }

    /// Awaits the mold of this generation no longer; if it comes it finds its socket closed, and leaves. Returns whether it was
    /// awaited.
    pub(crate) fn give_up(&mut self, generation: Generation) -> bool {
        self.unborn.take_if(|unborn| unborn.generation == generation).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_looked_at_at_once_and_then_now_and_then_while_a_refork_is_awaited() {
        let mut reforks = Reforks::default();
        assert!(!reforks.is_due(false, 0) && reforks.next_ns().is_none());
        assert!(reforks.is_due(true, 1));
        assert_eq!(reforks.next_ns(), Some(1 + LOOK_NS));
        assert!(!reforks.is_due(true, LOOK_NS) && reforks.is_due(true, 1 + LOOK_NS));
        assert!(!reforks.is_due(false, 2 * LOOK_NS) && reforks.next_ns().is_none());
    }
}
