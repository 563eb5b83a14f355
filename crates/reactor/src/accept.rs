//! Listeners and accepting. See accept4(2).

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use http1::proxy::Versions;
use rustix::io::Errno;
use rustix::net::SocketFlags;

use crate::connection::Connection;
use crate::deadlines::Patience;
use crate::handoff::Queue;
use crate::peer::Peer;
use crate::poller::{Source, is_readable};
use crate::reactor::{Notice, Reactor, now_ms};
use crate::slab::Token;

/// How long newcomers are left alone when there is no room for them.
const PAUSE_MS: u64 = 100;
/// How often in a row, once in each pause, a worker without room leaves newcomers to others at which nothing moves. Counted
/// rather than timed: a machine that stood still is no fault of theirs.
const VAIN_PAUSES: u32 = 10;
/// How often it is told that connections cannot be accepted.
const TELL_MS: u64 = 60_000;
/// With fewer connections a worker keeps its place in the order in which idle workers are woken.
const MANY: usize = 64;

#[derive(Debug)]
struct Listener {
    fd: OwnedFd,
    ready: bool,
    /// Connections begin with a header of the PROXY protocol.
    proxy: Option<Versions>,
}

/// The listeners of a worker.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    list: Vec<Listener>,
    /// Whose turn it is, so that a busy listener does not starve another.
    turn: usize,
    paused_until_ms: Option<u64>,
    /// The process had no descriptor or memory left for the last one that came.
    in_trouble: bool,
    /// When that was told.
    told_ms: Option<u64>,
    /// Newcomers are left to others that have room.
    left: Option<Left>,
}

/// How often newcomers were left to others since those did something, and what that was.
#[derive(Clone, Copy, Debug)]
struct Left {
    pauses: u32,
    movement: u64,
}

/// How one accept went.
enum Outcome {
    Connection(Connection),
    Nobody,
    Trouble(Errno),
}

impl Listeners {
    pub(crate) fn set_ready(&mut self, index: usize) {
        if let Some(listener) = self.list.get_mut(index) {
            listener.ready = true;
        }
    }

    pub(crate) fn set_all_ready(&mut self) {
        self.list.iter_mut().for_each(|listener| listener.ready = true);
    }

    /// Returns when accepting is tried again after trouble.
    pub(crate) fn resume_at_ms(&self) -> Option<u64> {
        self.paused_until_ms
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused_until_ms.is_some()
    }

    fn accept_one(&mut self, index: usize) -> Outcome {
        let Some(listener) = self.list.get_mut(index) else { return Outcome::Nobody };
        match rustix::net::acceptfrom_with(&listener.fd, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok((fd, address)) => {
                let mut connection = Connection::new(fd, Peer::of(address.as_ref()));
                if let Some(versions) = listener.proxy {
                    connection.expect_proxy(versions);
                }
                Outcome::Connection(connection)
            }
            Err(Errno::AGAIN) => {
                listener.ready = false;
                // The kernel had a descriptor for it.
                self.in_trouble = false;
                Outcome::Nobody
            }
            // Errors of that one connection, as accept(2) lists them: the listener is well.
            Err(
                Errno::INTR
                | Errno::CONNABORTED
                | Errno::NETDOWN
                | Errno::PROTO
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::NONET
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH
                | Errno::PERM,
            ) => Outcome::Nobody,
            // The kernel looks for a free descriptor before it looks for a connection.
            Err(_) if !is_readable(&listener.fd) => {
                listener.ready = false;
                Outcome::Nobody
            }
            Err(errno) => Outcome::Trouble(errno),
        }
    }
}

impl Reactor {
    /// Adds a listener and makes it non-blocking, whatever state it was inherited in. With `proxy` each connection has to
    /// begin with a header of the PROXY protocol.
    ///
    /// # Errors
    /// Those of ioctl(2) `FIONBIO` and epoll_ctl(2).
    pub fn add_listener(&mut self, fd: OwnedFd, proxy: Option<Versions>) -> io::Result<()> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        self.poller.add(fd.as_fd(), Source::Listener(self.listeners.list.len()), false)?;
        // The first turn tries without asking epoll.
        self.listeners.list.push(Listener { fd, ready: true, proxy });
        Ok(())
    }

    /// Accepts one connection from a listener that may have one.
    pub(crate) fn accept(&mut self) -> Option<Token> {
        if self.listeners.paused_until_ms.is_some() || !self.listeners.list.iter().any(|listener| listener.ready) {
            return None;
        }
        if self.slab.len() >= self.settings.connections && !(self.newcomer_waits() && self.has_room()) {
            return None;
        }
        let count = self.listeners.list.len();
        for step in 0..count {
            let index = (self.listeners.turn + step) % count;
            if !self.listeners.list[index].ready {
                continue;
            }
            match self.listeners.accept_one(index) {
                Outcome::Connection(connection) => {
                    self.listeners.turn = (index + 1) % count;
                    self.listeners.in_trouble = false;
                    return Some(self.slab.insert(connection));
                }
                Outcome::Nobody => {}
                Outcome::Trouble(errno) => {
                    self.cannot_accept(errno);
                    return None;
                }
            }
        }
        None
    }

    /// There is no descriptor for a newcomer: leaves it to others, or makes room by closing a connection, since a new client
    /// must not wait until another is tired. Without one to close, stops listening for a moment: a level-triggered
    /// listener that cannot be served would spin.
    pub(crate) fn cannot_accept(&mut self, errno: Errno) {
        self.listeners.in_trouble = true;
        let now = now_ms();
        if self.listeners.told_ms.is_none_or(|at| now - at >= TELL_MS) {
            self.listeners.told_ms = Some(now);
            self.notices.push_back(Notice::CannotAccept(errno));
        }
        self.make_room_or_leave();
    }

    /// Tells whether this worker has no room for a connection more.
    pub fn is_full(&self) -> bool {
        self.slab.len() >= self.settings.connections || self.listeners.in_trouble
    }

    /// Closes the connection that has had its last response for longest, or else the one that has been idle for longest, or
    /// the slowest body, or the one whose request has been awaited for longest. That is counted from where it began and
    /// not from the last byte: clients that drip their heads keep no newcomer out, and before a newcomer all that were
    /// there have to go. False when there is none: all are being served, send their bodies fast or take responses.
    pub(crate) fn make_room(&mut self) -> bool {
        let deadlines = &self.deadlines;
        let longest = deadlines.longest_discarding().or_else(|| deadlines.longest_idle());
        let longest = longest.or_else(|| self.slowest_body()).or_else(|| deadlines.longest_asking());
        let Some(token) = longest.and_then(|index| self.slab.token_at(index)) else { return false };
        self.close(token);
        true
    }

    /// Returns which connection sends its body most slowly, if one is slow. A pause does not make it so, nor does a byte
    /// now and then keep it: its whole time counts.
    fn slowest_body(&self) -> Option<u32> {
        let now = now_ms();
        let slowness = |index| {
            let connection = self.slab.get(self.slab.token_at(index)?)?;
            Some((connection.pace.slowness(now)?, index))
        };
        self.deadlines.all(Patience::Body).filter_map(slowness).min().map(|(_, index)| index)
    }

    /// Tells whether a connection waits in a backlog.
    fn newcomer_waits(&mut self) -> bool {
        for listener in self.listeners.list.iter_mut().filter(|listener| listener.ready) {
            listener.ready = is_readable(&listener.fd);
        }
        self.listeners.list.iter().any(|listener| listener.ready)
    }

    /// Makes room for one more connection. False: newcomers are left alone for a moment. A worker that leaves takes what
    /// it can.
    pub(crate) fn has_room(&mut self) -> bool {
        self.retiring || self.slab.len() < self.settings.connections || self.make_room_or_leave()
    }

    /// Leaves newcomers to others that have room, or else closes a connection; without any, newcomers have to wait.
    /// Returns whether there is room now.
    fn make_room_or_leave(&mut self) -> bool {
        let left = self.is_left_to_others();
        if left {
            self.wake_another();
        }
        let room = !left && self.make_room();
        if !room {
            self.pause_accepting();
        }
        room
    }

    /// Tells whether others have room and take what comes. What they show is a claim: when nothing moves there for
    /// a while, newcomers are let in here.
    fn is_left_to_others(&mut self) -> bool {
        let Some(others) = self.colleagues.as_ref().filter(|_| !self.retiring) else { return false };
        if !others.another_has_room() {
            return false;
        }
        let movement = others.movement();
        let before = self.listeners.left.filter(|left| left.movement == movement).map_or(0, |left| left.pauses);
        self.listeners.left = Some(Left { pauses: before.saturating_add(1), movement });
        before < VAIN_PAUSES
    }

    /// Stops watching for newcomers for a moment.
    fn pause_accepting(&mut self) {
        self.unwatch_newcomers();
        self.listeners.paused_until_ms = Some(now_ms() + PAUSE_MS);
    }

    pub(crate) fn resume_accepting(&mut self, now_ms: u64) {
        if self.listeners.paused_until_ms.is_none_or(|until| until > now_ms) {
            return;
        }
        self.listeners.paused_until_ms = None;
        self.watch_newcomers();
    }

    /// Goes to the end of the line in which idle workers wait: the kernel wakes the first that sleeps, and that one would
    /// get all connections that come to stay.
    pub(crate) fn let_others_go_first(&mut self) {
        if !std::mem::take(&mut self.came_to_stay) || self.slab.len() < MANY || self.listeners.is_paused() {
            return;
        }
        self.unwatch_newcomers();
        self.register_newcomers();
    }

    /// Has epoll not tell of newcomers.
    pub(crate) fn unwatch_newcomers(&self) {
        for listener in &self.listeners.list {
            self.poller.delete(listener.fd.as_fd());
        }
        if let Some(queue) = &self.queue {
            self.poller.delete(queue.as_fd());
        }
    }

    /// Has epoll tell of newcomers, and looks for those that came before.
    pub(crate) fn watch_newcomers(&mut self) {
        self.register_newcomers();
        self.queue.iter_mut().for_each(Queue::set_ready);
        self.listeners.set_all_ready();
    }

    fn register_newcomers(&self) {
        // If this fails there is no memory; a newcomer is seen at the next attempt.
        if let Some(queue) = self.queue.as_ref().filter(|_| !self.handing_over) {
            let _ = self.poller.add(queue.as_fd(), Source::Queue, false);
        }
        for (index, listener) in self.listeners.list.iter().enumerate() {
            let _ = self.poller.add(listener.fd.as_fd(), Source::Listener(index), false);
        }
    }

    /// Accepts what waits in the backlogs, at most `limit` connections of each. All workers leave, and each takes one
    /// after the other of these from the queue: else the first one to hear of it would have to serve them all.
    pub(crate) fn accept_backlog(&mut self, limit: usize) {
        let mut first = true;
        for index in 0..self.listeners.list.len() {
            for _ in 0..limit {
                match self.listeners.accept_one(index) {
                    Outcome::Connection(connection) => {
                        let token = self.slab.insert(connection);
                        if std::mem::take(&mut first) || !self.put_into_queue(token) {
                            self.queue(token);
                        }
                    }
                    Outcome::Nobody if self.listeners.list[index].ready => {}
                    Outcome::Trouble(_) if self.part_with_an_idle_one() => {}
                    Outcome::Nobody | Outcome::Trouble(_) => break,
                }
            }
        }
    }

    /// Gives the longest idle connection away, or closes it, which would happen in a moment. False when there is none.
    fn part_with_an_idle_one(&mut self) -> bool {
        let Some(token) = self.deadlines.longest_idle().and_then(|index| self.slab.token_at(index)) else {
            return false;
        };
        if !self.put_into_queue(token) {
            self.close(token);
        }
        true
    }

    /// Closes the listeners. Other processes that hold them are not concerned.
    pub(crate) fn close_listeners(&mut self) {
        if self.listeners.paused_until_ms.take().is_none() {
            for listener in &self.listeners.list {
                self.poller.delete(listener.fd.as_fd());
            }
        }
        self.listeners.list.clear();
    }
}
