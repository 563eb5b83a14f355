//! The new master program that runs beside this one after an upgrade.
//!
//! This master serves on beside it until somebody stops one of the two. Upgrade scripts send SIGQUIT blindly after a few
//! seconds; while the successor is not ready that would end the service, so it is put off.

use alloc::vec::Vec;
use core::mem;

use crate::action::{Action, Fact, Failure, FailureReason};
use crate::fleet::Fleet;
use crate::in_place::InPlace;
use crate::state::State;
use crate::time::Instant;
use crate::types::Ticket;

/// The new master program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Successor {
    /// There is none.
    Absent,
    /// It was asked for and does not serve yet.
    Booting {
        /// Who waits for it.
        tickets: Vec<Ticket>,
        /// Whether a SIGQUIT waits for it.
        quit_deferred: bool,
    },
    /// It serves.
    Serving {
        /// Whether its workers take connections that ours give away.
        takes_over: bool,
    },
    /// There is none: a program is to take this one's place.
    InPlace(InPlace),
}

impl Successor {
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
                self.successor = Successor::Booting { tickets: ticket.into_iter().collect(), quit_deferred: false };
                self.emit(Action::StartSuccessor);
            }
            Successor::Booting { .. } | Successor::Serving { .. } => {
                self.refuse_upgrade(ticket, FailureReason::SuccessorAlreadyRunning.into());
            }
            Successor::InPlace(_) => self.refuse_upgrade(ticket, FailureReason::UpgradeUnderWay.into()),
        }
    }

    /// Puts a SIGQUIT off while a successor boots. Returns whether it did.
    pub(crate) fn defer_quit(&mut self) -> bool {
        match &mut self.successor {
            Successor::Booting { quit_deferred, .. } => {
                if !mem::replace(quit_deferred, true) {
                    self.log(Fact::QuitDeferred);
                }
                true
            }
            Successor::Absent | Successor::Serving { .. } | Successor::InPlace(_) => false,
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
            Successor::Booting { mut tickets, quit_deferred } => {
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

    /// This server stops: nobody waits for the successor any more, which itself lives on.
    pub(crate) fn leave_successor(&mut self) {
        let mut waiting = match &mut self.successor {
            Successor::Booting { tickets, quit_deferred } => {
                *quit_deferred = false;
                mem::take(tickets)
            }
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
            other @ (Successor::Absent | Successor::InPlace(_)) => {
                fleet.successor = other;
                self
            }
            Successor::Serving { .. } => self,
            Successor::Booting { mut tickets, quit_deferred } => {
                fleet.log(Fact::SuccessorReady);
                fleet.answer(&mut tickets, Ok(()));
                if quit_deferred { self.stop(fleet, now, true, None) } else { self }
            }
        }
    }
}
