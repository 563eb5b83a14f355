//! One worker process, as the master knows it.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::action::KillReason;
use crate::time::Instant;
use crate::types::{Generation, SlotId, Wear};

/// One worker process that lives or is about to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its slot.
    pub slot: SlotId,
    /// The mold that forked it.
    pub generation: Generation,
    /// The generation of the reload that brought its code. It differs from `generation` when the mold had been lost and
    /// started again in between.
    pub edition: Generation,
    /// How long it may take to leave when it is asked to retire: `timeout`, `linger` and a grace.
    pub allowance: Duration,
    /// How many requests it has answered, as far as was told; `None`: it is not to be forked.
    #[serde(default)]
    pub served: Option<u64>,
    /// What it does.
    pub state: WorkerState,
    /// Why it has had its time, if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worn: Option<Wear>,
}

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// Forked and not ready yet.
    Booting {
        /// When it is killed.
        deadline: Instant,
    },
    /// Ready, and not asked to leave.
    Serving {
        /// When it became ready.
        since: Instant,
    },
    /// Its control socket has ended. It is on its way out, or has to be told to leave in another way.
    Unreachable {
        /// When it became ready; `None` while it booted.
        ready_since: Option<Instant>,
        /// When it is not taken for one that is on its way out any more.
        deadline: Instant,
    },
    /// Asked to finish and leave.
    Retiring {
        /// When it is killed.
        deadline: Instant,
        /// What is said of it then.
        overdue: KillReason,
        /// Whether others take its connections.
        #[serde(default)]
        hand_over: bool,
    },
    /// Said that it cannot boot, or was told to leave before it was ready.
    Abandoned {
        /// When it is killed.
        deadline: Instant,
    },
    /// Told to leave at once.
    Quitting {
        /// When it is killed.
        deadline: Instant,
    },
    /// Killed, not reaped yet.
    Killed {
        /// Why.
        why: KillReason,
    },
}

impl Worker {
    /// Whether it is ready and not asked to leave.
    pub fn serves(&self) -> bool {
        self.ready_since().is_some()
    }

    /// Since when it is ready, if it is and was not asked to leave.
    pub(crate) fn ready_since(&self) -> Option<Instant> {
        match self.state {
            WorkerState::Serving { since } => Some(since),
            WorkerState::Unreachable { ready_since, .. } => ready_since,
            WorkerState::Booting { .. }
            | WorkerState::Retiring { .. }
            | WorkerState::Abandoned { .. }
            | WorkerState::Quitting { .. }
            | WorkerState::Killed { .. } => None,
        }
    }

    /// Whether it retires and others take its connections.
    pub(crate) fn gives_away(&self) -> bool {
        match self.state {
            WorkerState::Retiring { hand_over, .. } => hand_over,
            WorkerState::Booting { .. }
            | WorkerState::Serving { .. }
            | WorkerState::Unreachable { .. }
            | WorkerState::Abandoned { .. }
            | WorkerState::Quitting { .. }
            | WorkerState::Killed { .. } => false,
        }
    }

    /// Whether it is on its way to become ready.
    pub fn boots(&self) -> bool {
        match self.state {
            WorkerState::Booting { .. } | WorkerState::Unreachable { ready_since: None, .. } => true,
            WorkerState::Serving { .. }
            | WorkerState::Unreachable { ready_since: Some(_), .. }
            | WorkerState::Retiring { .. }
            | WorkerState::Abandoned { .. }
            | WorkerState::Quitting { .. }
            | WorkerState::Killed { .. } => false,
        }
    }

    /// Whether its end is its own doing, or that of others: nothing has told it to leave, or only that it cannot be reached.
    pub fn is_unasked(&self) -> bool {
        match self.state {
            WorkerState::Booting { .. }
            | WorkerState::Serving { .. }
            | WorkerState::Unreachable { .. }
            | WorkerState::Retiring { overdue: KillReason::Unreachable, .. } => true,
            WorkerState::Retiring { .. }
            | WorkerState::Abandoned { .. }
            | WorkerState::Quitting { .. }
            | WorkerState::Killed { .. } => false,
        }
    }

    /// Why it is killed, if it is.
    pub fn killed(&self) -> Option<KillReason> {
        match self.state {
            WorkerState::Killed { why } => Some(why),
            WorkerState::Booting { .. }
            | WorkerState::Serving { .. }
            | WorkerState::Unreachable { .. }
            | WorkerState::Retiring { .. }
            | WorkerState::Abandoned { .. }
            | WorkerState::Quitting { .. } => None,
        }
    }

    /// When it is killed unless it moves on, and what is said of it then.
    pub(crate) fn deadline(&self) -> Option<(Instant, KillReason)> {
        match self.state {
            WorkerState::Booting { deadline } => Some((deadline, KillReason::BootTimeout)),
            WorkerState::Unreachable { deadline, .. } => Some((deadline, KillReason::Unreachable)),
            WorkerState::Retiring { deadline, overdue, .. } => Some((deadline, overdue)),
            WorkerState::Abandoned { deadline } | WorkerState::Quitting { deadline } => {
                Some((deadline, KillReason::QuickStopTimeout))
            }
            WorkerState::Serving { .. } | WorkerState::Killed { .. } => None,
        }
    }
}
