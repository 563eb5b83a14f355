//! The program that comes after this one, as far as it is: a new master beside this one, or what is to take this one's place.

use alloc::vec::Vec;

use crate::time::Instant;
use crate::types::Ticket;

/// The new master program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Successor {
    /// There is none.
    Absent,
    /// It was asked for and does not run yet.
    Preparing(Awaited),
    /// It runs and does not serve yet.
    Booting(Awaited),
    /// It serves.
    Serving {
        /// Whether its workers take connections that ours give away.
        takes_over: bool,
    },
    /// There is none: a program is to take this one's place.
    InPlace(InPlace),
}

/// What waits for a new master to serve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Awaited {
    /// The requests for it.
    pub(crate) tickets: Vec<Ticket>,
    /// Whether a SIGQUIT waits for it.
    pub(crate) quit_deferred: bool,
}

/// A program that is to take this one's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InPlace {
    pub(crate) stage: Stage,
    /// The requests that wait for the upgrade.
    pub(crate) tickets: Vec<Ticket>,
    /// The requests that wait for the reload that was asked for meanwhile, if one was.
    pub(crate) reload: Option<Vec<Ticket>>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// A reload has to end first.
    Waiting,
    /// It is looked at.
    Preflight {
        /// When that is given up.
        deadline: Instant,
    },
    /// It is executed: this program ends, unless that fails.
    Executing,
}

impl Successor {
    /// Whether it is there as a process.
    pub(crate) fn runs(&self) -> bool {
        match self {
            Self::Booting(_) | Self::Serving { .. } => true,
            Self::Absent | Self::Preparing(_) | Self::InPlace(_) => false,
        }
    }

    /// Whether it serves.
    pub(crate) fn serves(&self) -> bool {
        matches!(self, Self::Serving { .. })
    }

    /// Whether its workers take connections that ours give away.
    pub(crate) fn takes_over(&self) -> bool {
        matches!(self, Self::Serving { takes_over: true })
    }

    /// When the preflight is given up.
    pub(crate) fn preflight_deadline(&self) -> Option<Instant> {
        match self {
            Self::InPlace(InPlace { stage: Stage::Preflight { deadline }, .. }) => Some(*deadline),
            Self::InPlace(_) | Self::Absent | Self::Preparing(_) | Self::Booting(_) | Self::Serving { .. } => None,
        }
    }
}
