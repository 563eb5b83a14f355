//! The unit of a service manager that this master is part of: what it is there, what its end means for another master in the
//! same unit, what the manager is told, and the exit statuses.
//!
//! The table of what follows from what is in `master::upgrade::succession`, which does what is decided here.

use crate::action::{Action, Fact, FailureReason};
use crate::fleet::Fleet;
use crate::state::State;
use crate::supervisor::Phase;
use crate::time::Instant;
use crate::types::Ticket;
use crate::upgrade::Successor;

/// The exit status of a master whose unit is to be started again (`EX_TEMPFAIL`). It has no effect when another master
/// has taken over.
pub const RESTART: u8 = 75;
/// The exit status of a server that could not start.
pub const FAILED: u8 = 1;

/// What a master is in its unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// There is no service manager.
    #[default]
    Free,
    /// It is the unit's main process.
    Main,
    /// Another master is the unit's main process, and has not handed the unit over.
    Waiting,
}

/// Where a master is in the succession of masters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) role: Role,
    /// Whether the master before this one lives.
    pub(crate) origin: bool,
    /// What it means for the unit that this master leaves, once it does.
    pub(crate) parting: Option<Parting>,
}

impl Unit {
    /// Whether this master may start another one, or make room for another program. One that waits for its turn may not: the
    /// master that it waits for knows this process and this program alone.
    pub(crate) fn may_upgrade(self) -> bool {
        match self.role {
            Role::Free | Role::Main => true,
            Role::Waiting => false,
        }
    }
}

/// What it means for the unit that this master leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parting {
    /// Nothing is left to another master: the unit ends with this one, or there is no unit.
    Alone,
    /// A new master serves, and the unit goes on with that one.
    HandsOver,
    /// The unit is to end with all its masters: the new one, if there is one, goes first.
    EndsUnit,
}

impl Fleet {
    /// This master begins to leave: decides what that means for the unit.
    pub(crate) fn part(&mut self) {
        self.unit.parting = Some(match (self.unit.role, &self.successor) {
            (Role::Main, Successor::Serving { .. }) => Parting::HandsOver,
            _ => Parting::Alone,
        });
    }

    /// The unit is to end: the new master does not start, or is stopped.
    fn stop_successor(&mut self, quick: bool) {
        match self.successor {
            Successor::Absent | Successor::InPlace(_) => {}
            Successor::Preparing(_) => {
                self.emit(Action::ForgetSuccessor);
                self.successor_gone(FailureReason::SuccessorFailed.into());
            }
            Successor::Booting(_) | Successor::Serving { .. } => self.emit(Action::StopSuccessor { quick }),
        }
    }
}

impl State {
    /// A stop was asked for that means the unit, and not this master alone. `quick` is for the new master: whether it
    /// finishes begun requests is for its own settings to say where it is not.
    pub(crate) fn stop_unit(
        self,
        fleet: &mut Fleet,
        now: Instant,
        quick: bool,
        graceful: bool,
        ticket: Option<Ticket>,
    ) -> Self {
        if fleet.unit.role != Role::Main {
            return self.stop(fleet, now, graceful, ticket);
        }
        fleet.stop_successor(quick);
        let state = self.stop(fleet, now, graceful, ticket);
        fleet.unit.parting = Some(Parting::EndsUnit);
        state
    }

    /// The master before this one has left the unit to it.
    pub(crate) fn handed_over(self, fleet: &mut Fleet) -> Self {
        if fleet.unit.role == Role::Waiting {
            fleet.unit.role = Role::Main;
        }
        self
    }

    /// The master before this one is gone. One that was never handed the unit leaves it to be started again.
    pub(crate) fn origin_gone(self, fleet: &mut Fleet, now: Instant) -> Self {
        fleet.unit.origin = false;
        match fleet.unit.role {
            Role::Free | Role::Main => self,
            Role::Waiting => {
                fleet.log(Fact::Orphaned);
                self.stop(fleet, now, true, None)
            }
        }
    }
}

/// What the service manager has been told of the unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Told {
    /// Nothing yet.
    #[default]
    Starting,
    /// `READY=1`.
    Ready,
    /// `RELOADING=1`.
    Reloading,
    /// `STOPPING=1`.
    Stopping,
}

impl Told {
    /// What the manager is to be told in this phase of the main process. `hands_over`: the unit goes on with another master.
    pub(crate) fn of(phase: Phase, hands_over: bool) -> Self {
        match phase {
            Phase::New | Phase::Booting => Self::Starting,
            // The old workers only finish: what was asked for is done.
            Phase::Serving | Phase::Draining => Self::Ready,
            Phase::Preparing | Phase::Rolling => Self::Reloading,
            // STOPPING could never be taken back.
            Phase::Delaying | Phase::Stopping | Phase::Over if hands_over => Self::Ready,
            Phase::Delaying | Phase::Stopping | Phase::Over => Self::Stopping,
        }
    }
}
