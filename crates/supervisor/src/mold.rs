//! One mold process, as the master knows it.

use serde::{Deserialize, Serialize};

use crate::time::Instant;
use crate::types::Plan;

/// One mold process that lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mold {
    /// When it was started.
    pub(crate) started: Instant,
    /// What it does.
    pub(crate) state: MoldState,
}

/// What a mold does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MoldState {
    /// Evaluates the configuration.
    Starting {
        /// When it is killed.
        deadline: Instant,
    },
    /// May preload.
    Loading {
        /// Its settings.
        plan: Plan,
        /// When it is killed.
        deadline: Instant,
    },
    /// Forks on demand.
    Ready {
        /// Since when.
        since: Instant,
    },
    /// Was ready, and its control socket has ended. It is on its way out, or of no use any more.
    Unreachable {
        /// Since when it was ready.
        since: Instant,
        /// When it is not taken for one that is on its way out any more.
        deadline: Instant,
    },
    /// Was asked to leave, or said that it failed.
    Retiring {
        /// When it is killed.
        deadline: Instant,
    },
    /// Was killed, is not reaped yet.
    Killed,
}

impl Mold {
    /// Whether it is on its way to become ready.
    pub(crate) fn boots(&self) -> bool {
        match self.state {
            MoldState::Starting { .. } | MoldState::Loading { .. } => true,
            MoldState::Ready { .. }
            | MoldState::Unreachable { .. }
            | MoldState::Retiring { .. }
            | MoldState::Killed => false,
        }
    }

    /// Since when it can fork, as far as is known.
    pub(crate) fn ready_since(&self) -> Option<Instant> {
        match self.state {
            MoldState::Ready { since } | MoldState::Unreachable { since, .. } => Some(since),
            MoldState::Starting { .. } | MoldState::Loading { .. } | MoldState::Retiring { .. } | MoldState::Killed => {
                None
            }
        }
    }

    /// When it is killed unless it moves on.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.state {
            MoldState::Starting { deadline }
            | MoldState::Loading { deadline, .. }
            | MoldState::Unreachable { deadline, .. }
            | MoldState::Retiring { deadline } => Some(deadline),
            MoldState::Ready { .. } | MoldState::Killed => None,
        }
    }
}
