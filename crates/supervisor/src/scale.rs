//! SIGTTIN, SIGTTOU and SIGWINCH: how many workers are wanted.
//!
//! The next reload that succeeds goes back to the configured number.

/// A change of the number of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// SIGTTIN.
    OneMore,
    /// SIGTTOU.
    OneLess,
    /// SIGWINCH.
    None,
}

impl Scale {
    /// What becomes of a number of workers.
    pub(crate) fn of(self, count: u32) -> u32 {
        match self {
            Self::OneMore => count.saturating_add(1),
            Self::OneLess => count.saturating_sub(1),
            Self::None => 0,
        }
    }
}

/// How many workers there are to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) target: u32,
    /// Whether an operator has said so.
    pub(crate) by_hand: bool,
}
