//! The connections of a worker: where they are, what epoll tells of them, and until when each is waited for. The only
//! place that puts a connection in, takes it out or registers a descriptor with epoll.
//!
//! It decides nothing: that a client was too slow, or that epoll took no more, is returned to the caller.

mod deadlines;
mod poller;
mod slab;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::conn::{Connection, Patience, Rates};
use crate::settings::Timeouts;

use deadlines::Deadlines;
pub use poller::{Events, Poller, Waker};
pub(crate) use poller::{Source, is_readable};
use slab::Slab;
pub use slab::Token;

/// A connection, and what this table knows of it.
#[derive(Debug)]
struct Entry {
    connection: Connection,
    /// Whether epoll knows it, and then whether for writing.
    registered: Option<bool>,
    /// It is in the line of those to be looked at.
    in_line: bool,
}

/// How it went to wait for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// Epoll tells when it can go on.
    Begun,
    /// It sent or took less than its rate asks for.
    TooSlow,
    /// No memory or no watches are left: without epoll it would hang for ever.
    NotWatched,
}

/// The connections of a worker.
#[derive(Debug)]
pub(crate) struct Table {
    entries: Slab<Entry>,
    deadlines: Deadlines,
    poller: Poller,
    /// A connection that came is watched by epoll since [`Table::take_came_to_stay`] was asked.
    came_to_stay: bool,
}

impl Table {
    /// Makes an empty table.
    ///
    /// # Errors
    /// No descriptors left.
    pub(crate) fn new(timeouts: &Timeouts) -> io::Result<Self> {
        let patience = |kind| match kind {
            Patience::Fresh | Patience::Head => timeouts.head_ms,
            Patience::Idle => timeouts.keepalive_ms,
            Patience::Body => timeouts.body_ms,
            Patience::Write => timeouts.write_ms,
            Patience::Discard => timeouts.discard_ms,
        };
        Ok(Self {
            entries: Slab::new(),
            deadlines: Deadlines::new(patience),
            poller: Poller::new()?,
            came_to_stay: false,
        })
    }

    pub(crate) fn poller(&self) -> &Poller {
        &self.poller
    }

    /// Returns how many connections there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn insert(&mut self, connection: Connection) -> Token {
        self.entries.insert(Entry { connection, registered: None, in_line: false })
    }

    pub(crate) fn get(&self, token: Token) -> Option<&Connection> {
        self.entries.get(token).map(|entry| &entry.connection)
    }

    pub(crate) fn get_mut(&mut self, token: Token) -> Option<&mut Connection> {
        self.entries.get_mut(token).map(|entry| &mut entry.connection)
    }

    /// Takes a connection out, with its deadline and its registration.
    pub(crate) fn remove(&mut self, token: Token) -> Option<Connection> {
        let entry = self.entries.remove(token)?;
        self.deadlines.clear(token.index);
        if entry.registered.is_some() {
            self.poller.delete(entry.connection.as_fd());
        }
        Some(entry.connection)
    }

    /// Returns how many places there are, taken or free, for [`Table::token_at`].
    pub(crate) fn places(&self) -> u32 {
        self.entries.places()
    }

    /// Returns all connections.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Connection> {
        (0..self.places()).filter_map(|place| self.get(self.token_at(place)?))
    }

    /// Returns the token of the connection at a place.
    pub(crate) fn token_at(&self, place: u32) -> Option<Token> {
        self.entries.token_at(place)
    }

    /// Notes that a connection is in the line of those to be looked at. False: it is there already, or gone.
    pub(crate) fn enter_line(&mut self, token: Token) -> bool {
        self.entries.get_mut(token).is_some_and(|entry| !std::mem::replace(&mut entry.in_line, true))
    }

    /// Notes that a connection has left the line.
    pub(crate) fn leave_line(&mut self, token: Token) -> Option<&mut Connection> {
        let entry = self.entries.get_mut(token)?;
        entry.in_line = false;
        Some(&mut entry.connection)
    }

    /// Has epoll tell when a connection can go on, and starts its patience anew.
    pub(crate) fn wait_for(&mut self, token: Token, patience: Patience, rates: &Rates, now_ms: u64) -> Waiting {
        let Some(Entry { connection, registered, .. }) = self.entries.get_mut(token) else { return Waiting::Begun };
        let write = patience == Patience::Write;
        if *registered != Some(write) {
            let source = Source::Connection(token);
            let outcome = match registered {
                None => self.poller.add(connection.as_fd(), source, write),
                Some(_) => self.poller.modify(connection.as_fd(), source, write),
            };
            if outcome.is_err() {
                return Waiting::NotWatched;
            }
            self.came_to_stay |= registered.is_none();
            *registered = Some(write);
        }
        if !self.deadlines.is_set(token.index, patience) {
            connection.pace.restart(patience, now_ms);
        } else {
            connection.pace.count(connection.outbox.take_flushed());
            if connection.pace.is_too_slow(patience, rates, now_ms) {
                return Waiting::TooSlow;
            }
        }
        // Bytes of a proxy's header do not start the first patience anew: it may be dripped, but not for ever.
        if patience != Patience::Fresh || !self.deadlines.is_set(token.index, Patience::Fresh) {
            self.deadlines.set(token.index, patience, now_ms);
        }
        Waiting::Begun
    }

    /// Has epoll no longer tell of a connection.
    pub(crate) fn unwatch(&mut self, token: Token) {
        let Some(entry) = self.entries.get_mut(token) else { return };
        if entry.registered.take().is_some() {
            self.poller.delete(entry.connection.as_fd());
        }
    }

    /// Forgets until when a connection is waited for.
    pub(crate) fn clear_deadline(&mut self, token: Token) {
        self.deadlines.clear(token.index);
    }

    /// Has epoll tell of a descriptor that is no connection.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub(crate) fn watch_source(&self, fd: BorrowedFd<'_>, source: Source) -> io::Result<()> {
        self.poller.add(fd, source, false)
    }

    /// Has epoll no longer tell of it.
    pub(crate) fn unwatch_source(&self, fd: BorrowedFd<'_>) {
        self.poller.delete(fd);
    }

    /// Tells, once, whether a connection has come to stay.
    pub(crate) fn take_came_to_stay(&mut self) -> bool {
        std::mem::take(&mut self.came_to_stay)
    }

    /// Returns when the next connection is due.
    pub(crate) fn earliest_deadline(&self) -> Option<u64> {
        self.deadlines.earliest()
    }

    /// Returns a connection that was waited for too long, and what for.
    pub(crate) fn take_due(&mut self, now_ms: u64) -> Option<(Token, Patience)> {
        loop {
            let (place, patience) = self.deadlines.take_due(now_ms)?;
            if let Some(token) = self.entries.token_at(place) {
                return Some((token, patience));
            }
        }
    }

    /// Lowers the patience of a kind, also for connections that wait already.
    pub(crate) fn set_patience(&mut self, patience: Patience, patience_ms: u64, now_ms: u64) {
        self.deadlines.set_patience(patience, patience_ms, now_ms);
    }

    /// Returns the connection that has been idle for longest.
    pub(crate) fn longest_idle(&self) -> Option<Token> {
        self.deadlines.longest_idle().and_then(|place| self.entries.token_at(place))
    }

    /// Returns the connection that has had its last response for longest, or else the one that has been idle for
    /// longest, or the slowest body, or the one whose request has been awaited for longest. That is counted from where
    /// it began and not from the last byte: clients that drip their heads keep no new connection out, and before a new
    /// connection all that were there have to go. `None`: all are being served, send their bodies fast or take
    /// responses.
    pub(crate) fn least_worth(&self, now_ms: u64) -> Option<Token> {
        let longest = self.deadlines.longest_discarding().or_else(|| self.deadlines.longest_idle());
        let longest = longest.or_else(|| self.slowest_body(now_ms)).or_else(|| self.deadlines.longest_asking());
        longest.and_then(|place| self.entries.token_at(place))
    }

    /// Returns the connection that sends its body most slowly, if one is slow. A pause does not make it so, nor does a
    /// byte now and then keep it: its whole time counts.
    fn slowest_body(&self, now_ms: u64) -> Option<u32> {
        let slowness = |place| {
            let connection = self.get(self.token_at(place)?)?;
            Some((connection.pace.slowness(now_ms)?, place))
        };
        self.deadlines.all(Patience::Body).filter_map(slowness).min().map(|(_, place)| place)
    }
}
