//! The worker's turns: what is done when `schedule` says what is next, what the caller waits for, and how a worker
//! leaves. What becomes of each connection is in `connections`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use http1::proxy::Versions;
use sys::log_output::LogOutput;
use sys::memory::Shared;

use crate::accept::Acceptor;
use crate::access::Records;
use crate::conn::heap::Trim;
use crate::conn::{Connection, Patience, Peer};
use crate::connections::{Connections, Traffic, now_ms};
use crate::exchange::ActiveRequest;
use crate::notices::Notice;
use crate::schedule::{Driver, Mode, Next, Rest};
use crate::settings::Settings;
use crate::table::{Events, Poller, Source, Token, is_readable};
use crate::transfer::{Peers, Queue, RETRY_MS};
use crate::waits::Origin;

/// The most connections that are taken from one backlog; above net.core.somaxconn's default of 4,096 nothing waits.
const BACKLOG: usize = 4_096;
/// How long a client that has connected but sent nothing yet is waited for at least: it has no way to know that it
/// should go elsewhere.
const FRESH_MS: u64 = 1_000;
/// How long a client may pause within a request once the worker is leaving.
const BEGUN_MS: u64 = 10_000;

/// What the caller is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Serve this request: see [`Reactor::active`].
    Request(Token),
    /// Wait for at most so many milliseconds (`None`: until something happens), then [`Reactor::absorb`].
    Wait(Option<u64>),
    /// Read what is on the control socket.
    Control,
    /// Every connection was completed. Leave.
    Retired,
}

/// How a worker leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leave {
    /// First take over what waits in the backlogs.
    pub drain: bool,
    /// Others take from the queue: give them the connections. Otherwise none of them may be left, and what is in the
    /// queue is served here.
    pub transfer: bool,
    /// How long connections may stay idle that no other worker takes.
    pub linger_ms: u64,
}

/// All connections of a worker.
#[derive(Debug)]
pub struct Reactor {
    connections: Connections,
    acceptor: Acceptor,
    /// The control socket, while it is watched.
    control: Option<OwnedFd>,
    trim: Trim,
}

impl Reactor {
    /// Makes a reactor without listeners.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn new(settings: Settings) -> io::Result<Self> {
        let connections = Connections::new(settings)?;
        Ok(Self { connections, acceptor: Acceptor::default(), control: None, trim: Trim::default() })
    }

    /// Returns the handle to wait with.
    pub fn poller(&self) -> Poller {
        self.connections.table.poller().clone()
    }

    /// Adds a listener and makes it non-blocking, whatever state it was inherited in. With `proxy` each connection has
    /// to begin with a header of the PROXY protocol.
    ///
    /// # Errors
    /// Those of ioctl(2) `FIONBIO` and epoll_ctl(2).
    pub fn add_listener(&mut self, fd: OwnedFd, proxy: Option<Versions>) -> io::Result<()> {
        self.acceptor.add_listener(fd, proxy, &self.connections.table)
    }

    /// Takes a connection that another part of this process has made, as one of a UNIX socket.
    ///
    /// # Errors
    /// Those of ioctl(2) `FIONBIO`.
    pub fn add_connection(&mut self, fd: OwnedFd) -> io::Result<()> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        let token = self.connections.table.insert(Connection::new(fd, Peer::Local));
        self.connections.line_up(token);
        Ok(())
    }

    /// Joins the queue through which workers give connections to each other.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn join_queue(&mut self, send: OwnedFd, receive: OwnedFd) -> io::Result<()> {
        let queue = Queue::new(send, receive);
        self.connections.table.watch_source(queue.as_fd(), Source::Queue)?;
        self.connections.queue = Some(queue);
        Ok(())
    }

    /// Tells where the other workers show what they do, and which place there is this one's.
    pub fn watch_peers(&mut self, board: Arc<Shared>, own: usize) {
        self.acceptor.watch_peers(Peers::new(board, own));
    }

    /// Watches a control socket; [`Turn::Control`] tells when it can be read.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn watch_control(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let fd = fd.try_clone_to_owned()?;
        self.connections.table.watch_source(fd.as_fd(), Source::Control)?;
        self.control = Some(fd);
        Ok(())
    }

    /// Returns the descriptor through which the control socket is watched.
    pub fn control(&self) -> Option<BorrowedFd<'_>> {
        self.control.as_ref().map(AsFd::as_fd)
    }

    /// Stops watching a control socket, for instance because its end was read.
    pub fn forget_control(&mut self) {
        if let Some(fd) = self.control.take() {
            self.connections.table.unwatch_source(fd.as_fd());
        }
    }

    /// Returns how many connections are open.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// The listeners in the order in which they were added, and how many connections wait in the backlog of each. It asks
    /// the kernel.
    pub fn backlogs(&self) -> impl Iterator<Item = (usize, u32)> {
        self.acceptor.backlogs()
    }

    /// All sockets of this worker: those of clients, the listeners, the queue, the control socket.
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let queue = self.connections.queue.iter().flat_map(|queue| queue.ends());
        let connections = self.connections.table.all().map(AsFd::as_fd);
        connections.chain(self.acceptor.all()).chain(queue).chain(self.control())
    }

    /// Says what connections are doing, a line for each of the first `most`, and one for all others.
    pub fn describe(&self, most: usize) -> Vec<String> {
        let Connections { table, serving, .. } = &self.connections;
        let all = (0..table.places()).filter_map(|place| table.token_at(place));
        let mut lines: Vec<String> = all
            .filter_map(|token| Some((token, table.get(token)?)))
            .map(|(token, connection)| {
                let doing = if *serving == Some(token) { "in the application" } else { connection.doing() };
                format!("{} {doing}", connection.peer)
            })
            .collect();
        let left_out = lines.len().saturating_sub(most);
        if left_out > 0 {
            lines.truncate(most);
            lines.push(format!("... {left_out} more"));
        }
        lines
    }

    /// Tells whether this worker has no room for a connection more.
    pub fn is_full(&self) -> bool {
        self.acceptor.is_full(&self.connections)
    }

    /// Gives access to the request that [`Turn::Request`] announced.
    pub fn active(&mut self, token: Token) -> ActiveRequest<'_> {
        ActiveRequest::new(&mut self.connections, token)
    }

    /// Returns the current time as the `Date` field shows it.
    pub fn date(&mut self) -> &[u8] {
        self.connections.date.current()
    }

    /// Takes something that the operator should know.
    pub fn take_notice(&mut self) -> Option<Notice> {
        self.connections.notices.take()
    }

    /// Tells what time it is: at a request's beginning, and at its end.
    pub fn note_time(&mut self, now_ns: u64) {
        self.connections.schedule.note_time(now_ns);
    }

    /// The time that was noted last.
    pub fn noted_ns(&self) -> u64 {
        self.connections.schedule.noted_ns()
    }

    /// Returns how long the request that [`Turn::Request`] announced has waited, at the time that was noted last.
    pub fn waited_ns(&mut self) -> u64 {
        let Connections { schedule, table, serving, .. } = &mut self.connections;
        schedule.waited_ns(|| serving.and_then(|token| table.get(token)).and_then(|connection| connection.silence_ns()))
    }

    /// A wait for events has just ended at which the worker may have slept. Call it before [`Self::absorb`].
    pub fn wake(&mut self, now_ns: u64) {
        self.connections.schedule.wake(now_ns);
    }

    /// Takes what came and went since this was asked last.
    pub fn take_traffic(&mut self) -> Traffic {
        std::mem::take(&mut self.connections.traffic)
    }

    /// Notes of each request what these are to know.
    pub fn observe(&mut self, records: Records) {
        self.connections.records = Some(Box::new(records));
    }

    /// The application is done with the request that was handed out, at the time that was noted last.
    pub fn end_request(&mut self, now_ns: u64) {
        if let Some(records) = &mut self.connections.records {
            records.end_request(now_ns);
        }
    }

    /// Tells whether lines of the access log wait to be written.
    pub fn has_log_lines(&self) -> bool {
        self.connections.records.as_ref().is_some_and(|records| records.has_lines())
    }

    /// Writes the lines of the access log that there are, before the process ends, for which there is some time or none.
    pub fn finish_log(&mut self, time: bool) {
        self.connections.finish_log(time);
    }

    /// Whose the file of the access log is, user and group.
    pub fn log_owner(&mut self) -> Option<(u32, u32)> {
        self.connections.records.as_mut()?.log()?.owner()
    }

    /// Has the access log go on there.
    pub fn reopen_log(&mut self, output: LogOutput) {
        self.connections.flush_log();
        if let Some(log) = self.connections.records.as_mut().and_then(|records| records.log()) {
            log.reopen(output);
        }
    }

    /// Decides what to do next. Never blocks.
    pub fn turn(&mut self) -> Turn {
        let turn = self.decide();
        match turn {
            Turn::Wait(timeout_ms) => Turn::Wait(self.connections.flush_log_before(timeout_ms)),
            Turn::Retired => {
                self.connections.finish_log(true);
                turn
            }
            Turn::Request(_) | Turn::Control => turn,
        }
    }

    fn decide(&mut self) -> Turn {
        loop {
            match self.connections.schedule.next() {
                Next::Control => {
                    self.connections.schedule.heard();
                    if self.control.as_ref().is_some_and(is_readable) {
                        return Turn::Control;
                    }
                }
                Next::Known(token) => {
                    if self.connections.look_at(token) && !self.is_better_served_elsewhere(token) {
                        return self.hand_out(token, Origin::Told);
                    }
                }
                Next::Timers { now_ms, silent_until_ms } => {
                    if let Some(turn) = self.run_timers(now_ms, silent_until_ms) {
                        return turn;
                    }
                }
                Next::NewConnection => {
                    if let Some((token, origin)) = self.acceptor.let_in(&mut self.connections) {
                        self.connections.schedule.let_in();
                        if self.connections.look_at(token) {
                            return self.hand_out(token, origin);
                        }
                    } else if let Some(turn) = self.rest() {
                        return turn;
                    }
                }
                Next::Ask => return Turn::Wait(Some(0)),
            }
        }
    }

    /// Gives a complete request away when the others of its round have taken long and another worker is idle.
    fn is_better_served_elsewhere(&mut self, token: Token) -> bool {
        self.connections.schedule.is_round_long() && self.acceptor.is_peer_idle() && self.connections.transfer(token)
    }

    /// Hands out a complete request of a connection that comes from there.
    fn hand_out(&mut self, token: Token, origin: Origin) -> Turn {
        let connections = &mut self.connections;
        let mut seen_ns = None;
        if let Some(connection) = connections.table.get_mut(token) {
            connections.traffic.received_bytes += connection.request_bytes();
            seen_ns = connection.ready_ns.take();
        }
        connections.schedule.serve(origin, seen_ns);
        connections.serving = Some(token);
        Turn::Request(token)
    }

    /// There is no new connection: decides how to go on (`None`: look again).
    fn rest(&mut self) -> Option<Turn> {
        match self.connections.schedule.rest(self.connections.len()) {
            Rest::Leave => match self.last_in_queue() {
                Some(token) => self.connections.look_at(token).then(|| self.hand_out(token, Origin::Queue)),
                None => Some(Turn::Retired),
            },
            Rest::Ask => Some(Turn::Wait(Some(0))),
            Rest::Sleep => self.wait_or_expire(),
        }
    }

    /// Takes what others gave away before they learned that no other worker is left.
    fn last_in_queue(&mut self) -> Option<Token> {
        self.connections.queue.iter_mut().for_each(Queue::set_ready);
        self.acceptor.take_from_queue(&mut self.connections).map(|(token, _)| token)
    }

    /// Decides how long to wait, or closes those whose patience is over (`None`: look again).
    fn wait_or_expire(&mut self) -> Option<Turn> {
        self.acceptor.let_others_go_first(&mut self.connections);
        let Connections { schedule, table, .. } = &self.connections;
        let due = [schedule.due_ms(), self.trim.plan(now_ms), table.earliest_deadline(), self.acceptor.resume_at_ms()];
        let Some(due) = due.into_iter().flatten().min() else { return Some(Turn::Wait(None)) };
        let now = now_ms();
        if due > now {
            return Some(Turn::Wait(Some(due - now)));
        }
        if !schedule.is_up_to_date() {
            // While a request was served its bytes may have arrived.
            return Some(Turn::Wait(Some(0)));
        }
        self.trim.run(now);
        self.run_timers(now, now)
    }

    /// Does what is due, and closes connections whose time was over at a moment until which they were silent for
    /// certain.
    fn run_timers(&mut self, now: u64, silent_until: u64) -> Option<Turn> {
        if self.connections.schedule.due_ms().is_some_and(|at| at <= now) {
            match self.connections.schedule.mode() {
                Mode::Completing { .. } => return Some(Turn::Retired),
                Mode::Transferring { .. } => self.connections.transfer_all(),
                Mode::Serving => {}
            }
        }
        self.acceptor.resume(now, &mut self.connections);
        self.connections.expire(silent_until);
        None
    }

    /// Takes in what a wait brought.
    pub fn absorb(&mut self, events: &mut Events) {
        let (mut control, complete) = (false, events.are_complete());
        let connections = &mut self.connections;
        let helper_drives = connections.schedule.driver() == Driver::Helper;
        for source in events.sources() {
            match source {
                // Its request is not served yet: epoll would tell again and again of the next one, or of a body that
                // the application has not asked for.
                Source::Connection(token)
                    if helper_drives && connections.table.get(token).is_some_and(|it| it.has_request()) =>
                {
                    connections.table.unwatch(token);
                }
                Source::Connection(token) => connections.line_up(token),
                Source::Listener(index) => self.acceptor.set_ready(index),
                Source::Control => control = true,
                Source::Queue => connections.queue.iter_mut().for_each(Queue::set_ready),
                Source::Wake => connections.table.poller().drain_wake(),
            }
        }
        connections.schedule.begin_round(control, complete);
        events.clear();
    }

    /// Stops accepting, and ends with [`Turn::Retired`] when all connections are completed.
    ///
    /// Kept-alive connections go to another worker. Without one they are told to close with their next response, and
    /// closed after `linger_ms` without a request. A second call can only make it shorter, but may take the others
    /// away.
    pub fn retire(&mut self, leave: Leave) {
        let connections = &mut self.connections;
        let is_first = !connections.schedule.is_leaving();
        let transfer = leave.transfer && connections.queue.is_some();
        if is_first {
            // What is drained goes to the queue in any case.
            connections.schedule.leave(false);
            if leave.drain {
                self.acceptor.drain(BACKLOG, connections);
            }
            self.acceptor.close(connections);
        }
        let (now, timeouts) = (now_ms(), connections.settings.timeouts);
        for (patience, patience_ms) in [
            (Patience::Idle, leave.linger_ms),
            (Patience::Fresh, leave.linger_ms.max(FRESH_MS)),
            (Patience::Head, timeouts.head_ms.min(BEGUN_MS)),
            (Patience::Body, timeouts.body_ms.min(BEGUN_MS)),
        ] {
            connections.table.set_patience(patience, patience_ms, now);
        }
        connections.schedule.leave(transfer);
        if transfer {
            if let Some(queue) = &connections.queue {
                connections.table.unwatch_source(queue.as_fd());
            }
            connections.transfer_all();
        } else {
            connections.queue.iter_mut().for_each(Queue::set_ready);
        }
    }

    /// Ends retiring after `ms` at the latest, whatever is unfinished: for a worker that no master watches any more.
    pub fn give_up_after(&mut self, ms: u64) {
        self.connections.schedule.give_up_at(now_ms() + ms);
    }

    /// Tells whether [`Reactor::retire`] was called.
    pub fn is_retiring(&self) -> bool {
        self.connections.schedule.is_leaving()
    }

    /// A long call has begun, and the helper drives. Takes what is the worker's own out of the epoll set: a busy worker
    /// must not swallow what wakes an idle one.
    pub(crate) fn give_way(&mut self) {
        let connections = &mut self.connections;
        connections.schedule.change_driver(Driver::Helper);
        connections.table.poller().watch_wake(false);
        if let Some(control) = &self.control {
            connections.table.unwatch_source(control.as_fd());
        }
        self.acceptor.give_way(connections);
    }

    #[cfg(test)]
    pub(crate) fn is_driven_by_helper(&self) -> bool {
        self.connections.schedule.driver() == Driver::Helper
    }

    /// The worker is back. Returns whether the helper drove meanwhile.
    pub(crate) fn resume(&mut self) -> bool {
        let connections = &mut self.connections;
        if connections.schedule.change_driver(Driver::Worker) == Driver::Worker {
            return false;
        }
        connections.table.poller().watch_wake(true);
        if let Some(control) = &self.control {
            let _ = connections.table.watch_source(control.as_fd(), Source::Control);
        }
        if !self.acceptor.is_paused() {
            self.acceptor.watch(connections);
        }
        true
    }

    /// Drives the connections in the worker's stead: looks at those that can go on, and gives away those with complete
    /// requests. Stops when the worker is back. Returns how many milliseconds to wait at most.
    pub(crate) fn drive(&mut self, goes_on: impl Fn() -> bool) -> Option<u64> {
        let connections = &mut self.connections;
        let mut ready = 0;
        let began_ns = sys::clock::monotonic_ns();
        for _ in 0..connections.schedule.in_line() {
            if !goes_on() {
                return Some(0);
            }
            let Some(token) = connections.schedule.first_in_line() else { break };
            if connections.look_at(token) && !connections.transfer(token) {
                connections.line_up(token);
                ready += 1;
                if let Some(connection) = connections.table.get_mut(token) {
                    connection.ready_ns.get_or_insert(began_ns);
                }
            }
        }
        let now = now_ms();
        if connections.schedule.is_transferring() && connections.schedule.due_ms().is_some_and(|at| at <= now) {
            connections.transfer_all();
        }
        connections.expire(now);
        if connections.schedule.in_line() > ready {
            return Some(0);
        }
        let offer_at = connections.schedule.due_ms().filter(|_| connections.schedule.is_transferring());
        let again = (ready > 0 && connections.has_takers()).then_some(now + RETRY_MS);
        let due = [connections.table.earliest_deadline(), offer_at, again].into_iter().flatten().min();
        let timeout_ms = due.map(|due| due.saturating_sub(now));
        connections.flush_log_before(timeout_ms)
    }
}
