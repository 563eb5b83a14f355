//! The new master program that runs beside this one after an upgrade.
//!
//! This master serves on beside it until one of the two is stopped. Upgrade scripts send SIGQUIT blindly after a few
//! seconds; while the successor is not ready that would end the service, so it is put off.

use alloc::vec::Vec;
use core::mem;

use crate::action::{Action, Fact, Failure, FailureReason};
use crate::fleet::Fleet;
use crate::in_place::InPlace;
use crate::state::State;
use crate::time::Instant;
use crate::types::{CauseId, Ticket};
use crate::unit::Parting;

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
    tickets: Vec<Ticket>,
    /// Whether a SIGQUIT waits for it.
    quit_deferred: bool,
}

impl Successor {
    /// Whether it is there as a process.
    pub(crate) fn runs(&self) -> bool {
        match self {
            Self::Booting(_) | Self::Serving { .. } => true,
            Self::Absent | Self::Preparing(_) | Self::InPlace(_) => false,
        }
    }

    /// Whether its workers take connections that ours give away.
    pub(crate) fn takes_over(&self) -> bool {
        matches!(self, Self::Serving { takes_over: true })
    }
}

impl Fleet {
    /// Starts a successor, unless there is one.
    pub(crate) fn upgrade(&mut self, ticket: Option<Ticket>) {
        match self.successor {
            Successor::Absent => {
                let tickets = ticket.into_iter().collect();
                self.successor = Successor::Preparing(Awaited { tickets, quit_deferred: false });
                if self.unit.may_upgrade() {
                    return self.emit(Action::StartSuccessor);
                }
                self.log(Fact::OutOfTurn);
                self.successor_gone(FailureReason::SuccessorFailed.by(CauseId::OUT_OF_TURN));
            }
            Successor::Preparing(_) | Successor::Booting(_) | Successor::Serving { .. } => {
                self.refuse_upgrade(ticket, FailureReason::SuccessorAlreadyRunning.into());
            }
            Successor::InPlace(_) => self.refuse_upgrade(ticket, FailureReason::UpgradeUnderWay.into()),
        }
    }

    /// Puts a SIGQUIT off while a successor boots. Returns whether it did.
    pub(crate) fn defer_quit(&mut self) -> bool {
        match &mut self.successor {
            Successor::Preparing(awaited) | Successor::Booting(awaited) => {
                if !mem::replace(&mut awaited.quit_deferred, true) {
                    self.log(Fact::QuitDeferred);
                }
                true
            }
            Successor::Absent | Successor::Serving { .. } | Successor::InPlace(_) => false,
        }
    }

    /// The successor runs.
    pub(crate) fn successor_started(&mut self) {
        match mem::replace(&mut self.successor, Successor::Absent) {
            Successor::Preparing(awaited) => self.successor = Successor::Booting(awaited),
            // It was started before the shell came to forget it.
            Successor::Absent if self.unit.parting == Some(Parting::EndsUnit) => {
                self.successor = Successor::Booting(Awaited::default());
                self.emit(Action::StopSuccessor { quick: false });
            }
            other @ (Successor::Absent | Successor::Booting(_) | Successor::Serving { .. } | Successor::InPlace(_)) => {
                self.successor = other
            }
        }
    }

    /// The successor is gone, or was never there.
    pub(crate) fn successor_gone(&mut self, why: Failure) {
        match mem::replace(&mut self.successor, Successor::Absent) {
            Successor::Absent => return,
            in_place @ Successor::InPlace(_) => {
                self.successor = in_place;
                return;
            }
            Successor::Preparing(Awaited { mut tickets, quit_deferred })
            | Successor::Booting(Awaited { mut tickets, quit_deferred }) => {
                self.log(Fact::SuccessorGone { ready: false });
                self.answer(&mut tickets, Err(why));
                if quit_deferred {
                    self.log(Fact::QuitDropped);
                }
            }
            Successor::Serving { .. } => self.log(Fact::SuccessorGone { ready: true }),
        }
        self.emit(Action::SuccessorLeft);
    }

    /// This server stops: the successor is not awaited any more, and lives on.
    pub(crate) fn leave_successor(&mut self) {
        let mut waiting = match &mut self.successor {
            Successor::Preparing(awaited) | Successor::Booting(awaited) => mem::take(awaited).tickets,
            Successor::Absent | Successor::Serving { .. } | Successor::InPlace(_) => Vec::new(),
        };
        self.answer(&mut waiting, Err(FailureReason::Stopping.into()));
        self.leave_in_place();
    }
}

impl State {
    /// The successor serves.
    pub(crate) fn successor_ready(self, fleet: &mut Fleet, now: Instant, takes_over: bool) -> Self {
        match mem::replace(&mut fleet.successor, Successor::Serving { takes_over }) {
            other @ (Successor::Absent | Successor::Preparing(_) | Successor::InPlace(_)) => {
                fleet.successor = other;
                self
            }
            Successor::Serving { .. } => self,
            Successor::Booting(Awaited { mut tickets, quit_deferred }) => {
                fleet.log(Fact::SuccessorReady);
                fleet.answer(&mut tickets, Ok(()));
                if quit_deferred { self.stop(fleet, now, true, None) } else { self }
            }
        }
    }
}
