//! Listeners and accepting: where new connections come from, whether there is room for them, and pauses when there is
//! none. See accept4(2).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use directives::Balance;
use http1::proxy::Versions;
use rustix::io::Errno;
use rustix::net::SocketFlags;

use crate::conn::{Connection, Peer};
use crate::connections::{Connections, now_ms};
use crate::notices::Notice;
use crate::table::{Source, Table, Token, is_readable};
use crate::transfer::{Arrival, Peers, Queue};
use crate::waits::Origin;

/// How long new connections are left alone when there is no room for them.
const PAUSE_MS: u64 = 100;
/// How often in a row, once in each pause, a worker without room leaves new connections to others at which nothing
/// moves. Counted rather than timed: a machine that stood still is no fault of theirs.
const VAIN_PAUSES: u32 = 10;
/// With fewer connections a worker keeps its place in the order in which idle workers are woken.
const MANY: usize = 64;

#[derive(Debug)]
struct Listener {
    fd: OwnedFd,
    ready: bool,
    /// Connections begin with a header of the PROXY protocol.
    proxy: Option<Versions>,
}

/// Where new connections come in.
#[derive(Debug, Default)]
pub(crate) struct Acceptor {
    listeners: Vec<Listener>,
    /// The other workers, which may have room.
    peers: Option<Peers>,
    paused_until_ms: Option<u64>,
    /// The process had no descriptor or memory left for the last one that came.
    in_trouble: bool,
    /// New connections are left to others that have room.
    left: Option<Left>,
    /// One was taken since this worker went to the end of the line.
    took_one: bool,
}

/// How often new connections were left to others since those did something, and what that was.
#[derive(Clone, Copy, Debug)]
struct Left {
    pauses: u32,
    movement: u64,
}

/// How one accept went.
enum Outcome {
    Connection(Connection),
    /// None waits, and there was a descriptor for one.
    Empty,
    /// None waits, or the one that did is gone.
    Nothing,
    /// One waits, and there is no descriptor or memory for it.
    Trouble(Errno),
}

impl Listener {
    fn accept(&mut self) -> Outcome {
        match rustix::net::acceptfrom_with(&self.fd, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok((fd, address)) => {
                let mut connection = Connection::new(fd, Peer::of(address.as_ref()));
                if let Some(versions) = self.proxy {
                    connection.expect_proxy(versions);
                }
                Outcome::Connection(connection)
            }
            Err(Errno::AGAIN) => {
                self.ready = false;
                Outcome::Empty
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
            ) => Outcome::Nothing,
            // The kernel looks for a free descriptor before it looks for a connection.
            Err(_) if !is_readable(&self.fd) => {
                self.ready = false;
                Outcome::Nothing
            }
            Err(errno) => Outcome::Trouble(errno),
        }
    }
}

impl Acceptor {
    /// Adds a listener and makes it non-blocking, whatever state it was inherited in. With `proxy` each connection has
    /// to begin with a header of the PROXY protocol.
    ///
    /// # Errors
    /// Those of ioctl(2) `FIONBIO` and epoll_ctl(2).
    pub(crate) fn add_listener(&mut self, fd: OwnedFd, proxy: Option<Versions>, table: &Table) -> io::Result<()> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        table.watch_source(fd.as_fd(), Source::Listener(self.listeners.len()))?;
        // The first turn tries without asking epoll.
        self.listeners.push(Listener { fd, ready: true, proxy });
        Ok(())
    }

    /// Looks at the other workers from now on.
    pub(crate) fn watch_peers(&mut self, peers: Peers) {
        self.peers = Some(peers);
    }

    /// Tells whether another worker waits for something to do.
    pub(crate) fn is_peer_idle(&self) -> bool {
        self.peers.as_ref().is_some_and(Peers::one_is_idle)
    }

    /// The listeners.
    pub(crate) fn all(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.listeners.iter().map(|listener| listener.fd.as_fd())
    }

    /// The listeners by their place, and how many connections wait in the backlog of each, where the kernel tells.
    pub(crate) fn backlogs(&self) -> impl Iterator<Item = (usize, u32)> {
        let waiting = |listener: &Listener| sys::backlog::of(listener.fd.as_fd()).map(|backlog| backlog.waiting);
        self.listeners.iter().enumerate().filter_map(move |(index, listener)| Some((index, waiting(listener)?)))
    }

    pub(crate) fn set_ready(&mut self, listener: usize) {
        if let Some(listener) = self.listeners.get_mut(listener) {
            listener.ready = true;
        }
    }

    fn set_all_ready(&mut self) {
        self.listeners.iter_mut().for_each(|listener| listener.ready = true);
    }

    /// Returns when accepting is tried again after a pause.
    pub(crate) fn resume_at_ms(&self) -> Option<u64> {
        self.paused_until_ms
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused_until_ms.is_some()
    }

    /// Tells whether this worker has no room for a connection more.
    pub(crate) fn is_full(&self, connections: &Connections) -> bool {
        connections.is_full() || self.in_trouble
    }

    /// Takes a connection from a backlog or from another worker, in turns.
    pub(crate) fn let_in(&mut self, connections: &mut Connections) -> Option<(Token, Origin)> {
        if connections.schedule.is_queue_first() {
            self.take_from_queue(connections).or_else(|| self.accept(connections))
        } else {
            self.accept(connections).or_else(|| self.take_from_queue(connections))
        }
    }

    /// Accepts one connection from a listener that may have one.
    fn accept(&mut self, connections: &mut Connections) -> Option<(Token, Origin)> {
        if self.is_paused() {
            return None;
        }
        if !self.listeners.iter().any(|listener| listener.ready) {
            connections.schedule.none_is_new();
            return None;
        }
        // No room is made for what is not there.
        if connections.is_full() && !(self.connection_waits() && self.has_room(connections)) {
            return None;
        }
        for index in connections.schedule.listeners(self.listeners.len()) {
            let listener = &mut self.listeners[index];
            if !listener.ready {
                continue;
            }
            match listener.accept() {
                Outcome::Connection(connection) => {
                    self.in_trouble = false;
                    self.took_one = true;
                    connections.schedule.accepted(index);
                    return Some((connections.table.insert(connection), Origin::New));
                }
                Outcome::Empty => self.in_trouble = false,
                Outcome::Nothing => {}
                Outcome::Trouble(errno) => {
                    self.cannot_accept(errno, connections);
                    return None;
                }
            }
        }
        if !self.listeners.iter().any(|listener| listener.ready) {
            connections.schedule.none_is_new();
        }
        None
    }

    /// Takes a connection from the queue.
    pub(crate) fn take_from_queue(&mut self, connections: &mut Connections) -> Option<(Token, Origin)> {
        if connections.schedule.is_transferring() || self.is_paused() {
            return None;
        }
        let is_full = connections.is_full();
        let queue = connections.queue.as_mut().filter(|queue| queue.is_ready())?;
        // No room is made for what is not there.
        if (is_full || self.in_trouble) && !queue.look() {
            return None;
        }
        if !self.has_room(connections) {
            return None;
        }
        let queue = connections.queue.as_mut()?;
        if let Err(errno) = queue.try_for_descriptors() {
            if queue.look() {
                self.cannot_accept(errno, connections);
            }
            return None;
        }
        match queue.take(&connections.settings.requests) {
            Arrival::Nothing => None,
            Arrival::WakeUp => {
                self.set_all_ready();
                self.accept(connections)
            }
            Arrival::Connection(unpacked) => {
                let connection = unpacked.into_connection(&mut connections.pool, &connections.settings.requests);
                Some((connections.table.insert(connection), Origin::Queue))
            }
            Arrival::Lost(text) => {
                connections.notices.add(Notice::CannotTakeOver(text));
                None
            }
        }
    }

    /// There is no descriptor for a new connection: leaves it to others, or makes room by closing another, since a new
    /// client must not wait until another has gone. Without one to close, stops listening for a moment: a
    /// level-triggered listener that cannot be served would spin.
    fn cannot_accept(&mut self, errno: Errno, connections: &mut Connections) {
        self.in_trouble = true;
        connections.notices.cannot_accept(errno, now_ms());
        self.make_room_or_leave(connections);
    }

    /// Tells whether a connection waits in a backlog.
    fn connection_waits(&mut self) -> bool {
        for listener in self.listeners.iter_mut().filter(|listener| listener.ready) {
            listener.ready = is_readable(&listener.fd);
        }
        self.listeners.iter().any(|listener| listener.ready)
    }

    /// Makes room for one more connection. False: new connections are left alone for a moment. A worker that leaves
    /// takes what it can.
    fn has_room(&mut self, connections: &mut Connections) -> bool {
        connections.schedule.is_leaving() || !connections.is_full() || self.make_room_or_leave(connections)
    }

    /// Leaves new connections to others that have room, or else closes a connection; without any, new connections have
    /// to wait. Returns whether there is room now.
    fn make_room_or_leave(&mut self, connections: &mut Connections) -> bool {
        let left = self.is_left_to_others(connections);
        if left {
            self.wake_another(connections);
        }
        let room = !left && connections.make_room();
        if room {
            self.left = None;
        } else {
            self.pause(connections);
        }
        room
    }

    /// Tells whether others have room and take what comes. What they show is a claim: when nothing moves there for
    /// a while, new connections are let in here.
    fn is_left_to_others(&mut self, connections: &Connections) -> bool {
        let Some(peers) = self.peers.as_ref().filter(|_| !connections.schedule.is_leaving()) else { return false };
        if !peers.one_has_room() {
            return false;
        }
        let movement = peers.movement();
        let before = self.left.filter(|left| left.movement == movement).map_or(0, |left| left.pauses);
        self.left = Some(Left { pauses: before.saturating_add(1), movement });
        before < VAIN_PAUSES
    }

    /// Wakes a worker that sleeps and has room, with an empty message: the kernel wakes one for each new connection,
    /// and that was this one.
    fn wake_another(&self, connections: &Connections) {
        let Some(queue) = &connections.queue else { return };
        if self.peers.as_ref().is_some_and(Peers::one_sleeps_with_room) {
            queue.wake_one();
        }
    }

    /// Stops watching for new connections for a moment.
    fn pause(&mut self, connections: &Connections) {
        self.unwatch(connections);
        self.paused_until_ms = Some(now_ms() + PAUSE_MS);
    }

    /// Ends a pause whose time is over.
    pub(crate) fn resume(&mut self, now_ms: u64, connections: &mut Connections) {
        if self.paused_until_ms.is_none_or(|until| until > now_ms) {
            return;
        }
        self.paused_until_ms = None;
        self.watch(connections);
    }

    /// Goes to the end of the line in which idle workers wait: the kernel wakes the first that sleeps, and that one
    /// would get all connections that come to stay.
    pub(crate) fn let_others_go_first(&mut self, connections: &mut Connections) {
        let came_to_stay = connections.table.take_came_to_stay();
        let had_its_turn = match connections.settings.balance {
            Balance::Warm => came_to_stay && connections.len() >= MANY,
            Balance::Even => std::mem::take(&mut self.took_one),
        };
        if !had_its_turn || self.is_paused() {
            return;
        }
        self.unwatch(connections);
        self.register(connections);
    }

    /// Leaves listeners and queue to others while this worker is busy, and what it was woken for and has not taken.
    pub(crate) fn give_way(&mut self, connections: &Connections) {
        self.unwatch(connections);
        if self.connection_waits() {
            self.wake_another(connections);
        }
    }

    /// Stops watching listeners and queue.
    fn unwatch(&self, connections: &Connections) {
        self.unwatch_listeners(&connections.table);
        if let Some(queue) = &connections.queue {
            connections.table.unwatch_source(queue.as_fd());
        }
    }

    fn unwatch_listeners(&self, table: &Table) {
        for listener in &self.listeners {
            table.unwatch_source(listener.fd.as_fd());
        }
    }

    /// Watches listeners and queue, and looks for what came before.
    pub(crate) fn watch(&mut self, connections: &mut Connections) {
        self.register(connections);
        connections.queue.iter_mut().for_each(Queue::set_ready);
        self.set_all_ready();
    }

    fn register(&self, connections: &Connections) {
        // If this fails there is no memory; a new connection is seen at the next attempt.
        if let Some(queue) = connections.queue.as_ref().filter(|_| !connections.schedule.is_transferring()) {
            let _ = connections.table.watch_source(queue.as_fd(), Source::Queue);
        }
        for (index, listener) in self.listeners.iter().enumerate() {
            let _ = connections.table.watch_source(listener.fd.as_fd(), Source::Listener(index));
        }
    }

    /// Accepts what waits in the backlogs, at most `limit` connections of each. All workers leave, and each takes one
    /// after the other of these from the queue: else the first one to hear of it would have to serve them all.
    pub(crate) fn drain(&mut self, limit: usize, connections: &mut Connections) {
        let mut first = true;
        for listener in &mut self.listeners {
            for _ in 0..limit {
                match listener.accept() {
                    Outcome::Connection(connection) => {
                        let token = connections.table.insert(connection);
                        if std::mem::take(&mut first) || !connections.put_into_queue(token) {
                            connections.line_up(token);
                        }
                    }
                    Outcome::Nothing if listener.ready => {}
                    Outcome::Trouble(_) if part_with_an_idle_one(connections) => {}
                    Outcome::Empty => {
                        self.in_trouble = false;
                        break;
                    }
                    Outcome::Nothing | Outcome::Trouble(_) => break,
                }
            }
        }
    }

    /// Closes the listeners. Other processes that hold them are not concerned. For a connection that waits there the kernel
    /// may have woken this worker, and no other one: it is told.
    pub(crate) fn close(&mut self, connections: &Connections) {
        if self.paused_until_ms.take().is_none() {
            self.unwatch_listeners(&connections.table);
        }
        if let Some(queue) = &connections.queue {
            if self.listeners.iter().any(|listener| is_readable(&listener.fd)) {
                queue.wake_one();
            }
        }
        self.listeners.clear();
    }
}

/// Gives the longest idle connection away, or closes it, which would happen in a moment. False when there is none.
fn part_with_an_idle_one(connections: &mut Connections) -> bool {
    let Some(token) = connections.table.longest_idle() else { return false };
    if !connections.put_into_queue(token) {
        connections.close(token);
    }
    true
}
