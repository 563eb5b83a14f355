//! Leaving: what was begun is finished, idle clients get a moment to come back, nobody new is let in.

use crate::deadlines::Patience;
use crate::reactor::{Reactor, now_ms};

/// The most connections that are taken from one backlog; above net.core.somaxconn's default of 4,096 nothing waits.
const BACKLOG: usize = 4_096;
/// How long a client that has connected but sent nothing yet is waited for at least: it has no way to know that it
/// should go elsewhere.
const FRESH_MS: u64 = 1_000;
/// How long a client may pause within a request once the worker is leaving.
const BEGUN_MS: u64 = 10_000;

impl Reactor {
    /// Stops accepting, and ends with [`crate::Turn::Retired`] when all connections are completed.
    ///
    /// `drain`: first take over what waits in the backlogs. Kept-alive connections are told to close with their next
    /// response, and closed after `linger_ms` without a request. A second call can only make it shorter.
    pub fn retire(&mut self, drain: bool, linger_ms: u64) {
        if !self.retiring {
            self.retiring = true;
            if drain {
                self.accept_backlog(BACKLOG);
            }
            self.close_listeners();
        }
        let now = now_ms();
        self.deadlines.set_patience(Patience::Idle, linger_ms, now);
        self.deadlines.set_patience(Patience::Fresh, linger_ms.max(FRESH_MS), now);
        for (kind, patience_ms) in [(Patience::Head, self.settings.head_ms), (Patience::Body, self.settings.body_ms)] {
            self.deadlines.set_patience(kind, patience_ms.min(BEGUN_MS), now);
        }
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
