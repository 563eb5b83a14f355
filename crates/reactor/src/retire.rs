//! Leaving: what was begun is finished; idle clients go to another worker, or get a moment to come back; nobody new is let
//! in.

use std::os::fd::AsFd;

use crate::deadlines::Patience;
use crate::handoff::Queue;
use crate::reactor::{Reactor, now_ms};
use crate::slab::Token;

/// The most connections that are taken from one backlog; above net.core.somaxconn's default of 4,096 nothing waits.
const BACKLOG: usize = 4_096;
/// How long a client that has connected but sent nothing yet is waited for at least: it has no way to know that it
/// should go elsewhere.
const FRESH_MS: u64 = 1_000;
/// How long a client may pause within a request once the worker is leaving.
const BEGUN_MS: u64 = 10_000;

/// How a worker leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leave {
    /// First take over what waits in the backlogs.
    pub drain: bool,
    /// Others take from the queue: give them the connections. Otherwise nobody else may be left, and what is in the queue
    /// is served here.
    pub hand_over: bool,
    /// How long connections may stay idle that nobody takes.
    pub linger_ms: u64,
}

impl Reactor {
    /// Stops accepting, and ends with [`crate::Turn::Retired`] when all connections are completed.
    ///
    /// Kept-alive connections go to another worker. Without one they are told to close with their next response, and
    /// closed after `linger_ms` without a request. A second call can only make it shorter, but may take the others away.
    pub fn retire(&mut self, leave: Leave) {
        if !self.retiring {
            self.retiring = true;
            if leave.drain {
                self.accept_backlog(BACKLOG);
            }
            self.close_listeners();
        }
        let now = now_ms();
        self.deadlines.set_patience(Patience::Idle, leave.linger_ms, now);
        self.deadlines.set_patience(Patience::Fresh, leave.linger_ms.max(FRESH_MS), now);
        for (kind, patience_ms) in [(Patience::Head, self.settings.head_ms), (Patience::Body, self.settings.body_ms)] {
            self.deadlines.set_patience(kind, patience_ms.min(BEGUN_MS), now);
        }
        self.handing_over = leave.hand_over && self.queue.is_some();
        if self.handing_over {
            if let Some(queue) = &self.queue {
                self.poller.delete(queue.as_fd());
            }
            self.hand_over_all();
        } else {
            self.offer_at_ms = None;
            self.queue.iter_mut().for_each(Queue::set_ready);
        }
    }

    /// Takes what is left in the queue, if nobody else will.
    pub(crate) fn last_look(&mut self) -> Option<Token> {
        self.queue.iter_mut().for_each(Queue::set_ready);
        self.take_over()
    }

    /// Ends retiring after `ms` at the latest, whatever is unfinished: for a worker that nobody watches any more.
    pub fn give_up_after(&mut self, ms: u64) {
        self.give_up_at_ms = Some(now_ms() + ms);
    }

    /// Tells whether [`Reactor::retire`] was called.
    pub fn is_retiring(&self) -> bool {
        self.retiring
    }
}
