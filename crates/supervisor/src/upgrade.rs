//! The new master program that runs beside this one after an upgrade.
//!
//! This master serves on beside it until one of the two is stopped. Upgrade scripts send SIGQUIT blindly after a few
//! seconds; while the successor is not ready that would end the service, so it is put off.

use alloc::vec::Vec;
use core::mem;

use crate::action::{Action, Fact, Failure, FailureReason};
use crate::fleet::Fleet;
use crate::successor::{Awaited, Successor};
use crate::types::{CauseId, Ticket};
use crate::unit::Parting;

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

    /// The successor serves. Returns whether a SIGQUIT has waited for that.
    pub(crate) fn successor_ready(&mut self, takes_over: bool) -> bool {
        match mem::replace(&mut self.successor, Successor::Serving { takes_over }) {
            other @ (Successor::Absent | Successor::Preparing(_) | Successor::InPlace(_)) => {
                self.successor = other;
                false
            }
            Successor::Serving { .. } => false,
            Successor::Booting(Awaited { mut tickets, quit_deferred }) => {
                self.log(Fact::SuccessorReady);
                self.answer(&mut tickets, Ok(()));
                quit_deferred
            }
        }
    }

    /// The unit is to end: the new master does not start, or is stopped.
    pub(crate) fn stop_successor(&mut self, quick: bool) {
        match self.successor {
            Successor::Absent | Successor::InPlace(_) => {}
            Successor::Preparing(_) => {
                self.emit(Action::ForgetSuccessor);
                self.successor_gone(FailureReason::SuccessorFailed.into());
            }
            Successor::Booting(_) | Successor::Serving { .. } => self.emit(Action::StopSuccessor { quick }),
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
