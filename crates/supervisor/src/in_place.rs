//! The upgrade in place: another program takes over this process, its children and all that it holds.
//!
//! First the new program is looked at, beside everything that runs; only one that passes is executed. It begins with what
//! [`crate::Supervisor::snapshot`] says, and with a reload, so that molds and workers are of the new version too. A reload
//! that is asked for meanwhile waits and becomes part of that one, or follows when the upgrade fails. An upgrade that is
//! asked for while something rolls waits for its end: a deploy that is overtaken by the next must not lose it.

use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use crate::action::{Action, Fact, Failure, FailureReason};
use crate::fleet::Fleet;
use crate::state::State;
use crate::time::Instant;
use crate::types::{CauseId, Ticket, Way};
use crate::up::{Course, Up};
use crate::upgrade::Successor;

/// How long a preflight may take.
const PREFLIGHT_LIMIT: Duration = Duration::from_secs(60);

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

impl State {
    /// An upgrade was asked for, in this way or as configured.
    pub(crate) fn upgrade(self, fleet: &mut Fleet, ticket: Option<Ticket>, way: Option<Way>) -> Self {
        let Self::Up(up) = self else { return self };
        match way.unwrap_or(up.line.plan.upgrade) {
            Way::TwoMasters => fleet.upgrade(ticket),
            Way::InPlace => up.replace(fleet, ticket),
        }
        Self::Up(up)
    }

    /// The new program can take over.
    pub(crate) fn preflight_passed(self, fleet: &mut Fleet) -> Self {
        if let Successor::InPlace(InPlace { stage: stage @ Stage::Preflight { .. }, .. }) = &mut fleet.successor {
            *stage = Stage::Executing;
            fleet.emit(Action::Execute);
        }
        self
    }

    /// This program goes on.
    pub(crate) fn not_replaced(self, fleet: &mut Fleet, now: Instant, why: Failure) -> Self {
        match self {
            Self::Up(up) => Self::Up(up.not_replaced(fleet, now, why)),
            // A stop has called it off.
            Self::New { .. } | Self::FirstMold { .. } | Self::Stopping(_) | Self::Over => self,
        }
    }

    /// This is the new program: its workers are to be of its version.
    pub(crate) fn replaced(self, fleet: &mut Fleet, now: Instant) -> Self {
        let Some(taken_over) = fleet.take_begun() else { return self };
        fleet.log(Fact::Replaced);
        let tickets = taken_over.tickets.into_iter().chain(taken_over.reload.into_iter().flatten()).collect();
        match self {
            Self::Up(up) => Self::Up(up.reload(fleet, now, tickets)),
            Self::New { .. } | Self::FirstMold { .. } | Self::Stopping(_) | Self::Over => self,
        }
    }

    /// Gives up a preflight that takes too long.
    pub(crate) fn expire_preflight(self, fleet: &mut Fleet, now: Instant) -> Self {
        if fleet.preflight_deadline().is_none_or(|deadline| deadline > now) {
            return self;
        }
        fleet.emit(Action::AbandonPreflight);
        self.not_replaced(fleet, now, FailureReason::PreflightTimeout.into())
    }
}

impl Up {
    /// Asks for a program to take over, unless one does already.
    fn replace(&self, fleet: &mut Fleet, ticket: Option<Ticket>) {
        match &mut fleet.successor {
            Successor::Absent => {
                let tickets = ticket.into_iter().collect();
                fleet.successor = Successor::InPlace(InPlace { stage: Stage::Waiting, tickets, reload: None });
                if !matches!(self.course, Course::Steady) {
                    fleet.log(Fact::UpgradeQueued);
                }
            }
            Successor::InPlace(InPlace { stage: Stage::Waiting, tickets, .. }) => tickets.extend(ticket),
            Successor::InPlace(_) => fleet.refuse_upgrade(ticket, FailureReason::UpgradeUnderWay.into()),
            Successor::Preparing(_) | Successor::Booting(_) | Successor::Serving { .. } => {
                fleet.refuse_upgrade(ticket, FailureReason::SuccessorAlreadyRunning.into());
            }
        }
    }

    /// Looks at the program that waits to take over, when nothing else goes on.
    pub(crate) fn begin_waiting_upgrade(self, fleet: &mut Fleet, now: Instant) -> Self {
        let (Successor::InPlace(InPlace { stage: stage @ Stage::Waiting, .. }), Course::Steady) =
            (&mut fleet.successor, &self.course)
        else {
            return self;
        };
        *stage = Stage::Preflight { deadline: now + PREFLIGHT_LIMIT };
        fleet.log(Fact::PreflightStarted);
        if fleet.unit.may_upgrade() {
            fleet.emit(Action::Preflight);
            return self;
        }
        fleet.log(Fact::OutOfTurn);
        self.not_replaced(fleet, now, FailureReason::PreflightFailed.by(CauseId::OUT_OF_TURN))
    }

    /// This program goes on.
    fn not_replaced(self, fleet: &mut Fleet, now: Instant, why: Failure) -> Self {
        match fleet.give_up_in_place(why).and_then(|given_up| given_up.reload) {
            Some(tickets) => self.reload(fleet, now, tickets),
            None => self,
        }
    }
}

impl Fleet {
    /// Says that there will be no upgrade.
    pub(crate) fn refuse_upgrade(&mut self, ticket: Option<Ticket>, why: Failure) {
        self.log(match why.reason {
            FailureReason::SuccessorAlreadyRunning => Fact::SuccessorAlreadyRunning,
            _ => Fact::UpgradeRefused { why },
        });
        self.answer(&mut ticket.into_iter().collect(), Err(why));
    }

    /// Puts a reload off while a program is about to take over. Returns whether it did.
    pub(crate) fn hold_reload(&mut self, ticket: Option<Ticket>) -> bool {
        let Successor::InPlace(in_place) = &mut self.successor else { return false };
        in_place.reload.get_or_insert_default().extend(ticket);
        self.log(Fact::ReloadQueued);
        true
    }

    /// The server stops: no program takes over.
    pub(crate) fn leave_in_place(&mut self) {
        let Some(mut given_up) = self.take_in_place() else { return };
        if let Stage::Preflight { .. } = given_up.stage {
            self.emit(Action::AbandonPreflight);
        }
        given_up.tickets.extend(given_up.reload.into_iter().flatten());
        self.answer(&mut given_up.tickets, Err(FailureReason::Stopping.into()));
    }

    /// When the preflight is given up.
    pub(crate) fn preflight_deadline(&self) -> Option<Instant> {
        match &self.successor {
            Successor::InPlace(InPlace { stage: Stage::Preflight { deadline }, .. }) => Some(*deadline),
            Successor::InPlace(_)
            | Successor::Absent
            | Successor::Preparing(_)
            | Successor::Booting(_)
            | Successor::Serving { .. } => None,
        }
    }

    /// An upgrade that has begun fails.
    fn give_up_in_place(&mut self, why: Failure) -> Option<InPlace> {
        let mut given_up = self.take_begun()?;
        self.log(Fact::UpgradeFailed { why });
        self.answer(&mut given_up.tickets, Err(why));
        Some(given_up)
    }

    /// Ends an upgrade that has begun.
    fn take_begun(&mut self) -> Option<InPlace> {
        let waits = matches!(self.successor, Successor::InPlace(InPlace { stage: Stage::Waiting, .. }));
        if waits { None } else { self.take_in_place() }
    }

    fn take_in_place(&mut self) -> Option<InPlace> {
        match mem::replace(&mut self.successor, Successor::Absent) {
            Successor::InPlace(in_place) => Some(in_place),
            other => {
                self.successor = other;
                None
            }
        }
    }
}
