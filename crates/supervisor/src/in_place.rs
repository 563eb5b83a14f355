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
use crate::successor::{InPlace, Stage, Successor};
use crate::time::Instant;
use crate::types::{CauseId, Ticket};
use crate::up::{Course, Up};

/// How long a preflight may take.
const PREFLIGHT_LIMIT: Duration = Duration::from_secs(60);

impl Up {
    /// Asks for a program to take over, unless one does already.
    pub(crate) fn replace(&self, fleet: &mut Fleet, ticket: Option<Ticket>) {
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
    pub(crate) fn not_replaced(self, fleet: &mut Fleet, now: Instant, why: Failure) -> Self {
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

    /// Whether a program is about to take over.
    pub(crate) fn is_being_replaced(&self) -> bool {
        matches!(&self.successor, Successor::InPlace(in_place) if !matches!(in_place.stage, Stage::Waiting))
    }

    /// Puts a reload off while a program is about to take over. Returns whether it did.
    pub(crate) fn hold_reload(&mut self, ticket: Option<Ticket>) -> bool {
        let Successor::InPlace(in_place) = &mut self.successor else { return false };
        in_place.reload.get_or_insert_default().extend(ticket);
        self.log(Fact::ReloadQueued);
        true
    }

    /// The new program can take over.
    pub(crate) fn preflight_passed(&mut self) {
        if let Successor::InPlace(InPlace { stage: stage @ Stage::Preflight { .. }, .. }) = &mut self.successor {
            *stage = Stage::Executing;
            self.emit(Action::Execute);
        }
    }

    /// Ends a preflight that takes too long. Returns whether it did.
    pub(crate) fn expire_preflight(&mut self, now: Instant) -> bool {
        let late = self.successor.preflight_deadline().is_some_and(|deadline| deadline <= now);
        if late {
            self.emit(Action::AbandonPreflight);
        }
        late
    }

    /// This is the new program: its workers are to be of its version. Returns the requests that wait for that.
    pub(crate) fn replaced(&mut self) -> Option<Vec<Ticket>> {
        let taken_over = self.take_begun()?;
        self.log(Fact::Replaced);
        Some(taken_over.tickets.into_iter().chain(taken_over.reload.into_iter().flatten()).collect())
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
