//! The masters before and after this one, and the program that is to take this one's place.

use std::os::fd::BorrowedFd;

use crate::upgrade::replacement::Replacement;
use crate::upgrade::succession::Origin;
use crate::upgrade::successor::Successor;

/// An upgrade, as far as it has come, and the one that this master comes from.
#[derive(Debug, Default)]
pub(crate) struct Upgrade {
    pub(crate) origin: Origin,
    pub(crate) successor: Successor,
    pub(crate) replacement: Replacement,
}

impl Upgrade {
    /// What to poll.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.successor.fds().chain(self.origin.fds())
    }

    /// Whether a mold was asked what `before_exec` leaves behind.
    pub(crate) fn awaits_environment(&self) -> bool {
        matches!(self.successor, Successor::Preparing) || matches!(self.replacement, Replacement::Preparing)
    }
}
