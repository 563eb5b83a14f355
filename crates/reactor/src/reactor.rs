//! The worker's turns: what is done when `schedule` says what is next, what the caller waits for, and what becomes of
//! a connection.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;

use crate::accept::Listeners;
use crate::colleagues::Colleagues;
use crate::connection::{Phase, Progress};
use crate::date::HttpDate;
use crate::deadlines::{Deadlines, Patience};
use crate::handoff::{Queue, RETRY_MS};
use crate::heap;
use crate::intake::Pool;
use crate::pace::Pace;
use crate::poller::{Events, Poller, Source, is_readable};
use crate::schedule::{Next, Schedule};
use crate::settings::Settings;
use crate::slab::{Slab, Token};
use sys::memory::Shared;

const SCRATCH_BYTES: usize = 16 * 1024;

/// What the caller is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Serve this request, then [`Reactor::finish`] or [`Reactor::detach`] its connection.
    Request(Token),
    /// Wait for at most so many milliseconds (`None`: until something happens), then [`Reactor::absorb`].
    Wait(Option<u64>),
    /// Read what is on the control socket.
    Control,
    /// Every connection was completed. Leave.
    Retired,
}

/// Something that the operator should know.
#[derive(Debug)]
pub enum Notice {
    /// Connections cannot be accepted for now: no descriptors or memory left. Told once until it works again.
    CannotAccept(Errno),
    /// A request body could not be stored in a temporary file.
    CannotStoreBody(io::Error),
    /// What a slow client has not taken of a response could not be stored in a temporary file: it stays in memory, and the
    /// application waits for that client.
    CannotStoreResponse(io::Error),
    /// A connection without the proxy's header was closed: what was wrong. Told once until one has it.
    NoProxyHeader(&'static str),
    /// A connection that another worker gave away could not be taken, and is lost.
    CannotTakeOver(String),
}

/// All connections of a worker.
#[derive(Debug)]
pub struct Reactor {
    pub(crate) poller: Poller,
    pub(crate) settings: Settings,
    pub(crate) listeners: Listeners,
    pub(crate) slab: Slab,
    pub(crate) deadlines: Deadlines,
    pub(crate) runnable: VecDeque<Token>,
    pub(crate) retiring: bool,
    /// The queue between the workers.
    pub(crate) queue: Option<Queue>,
    /// It retires, and others take what it has.
    pub(crate) handing_over: bool,
    /// When to offer again what the queue did not take.
    pub(crate) offer_at_ms: Option<u64>,
    /// When to give memory back to the kernel.
    trim_at_ms: Option<u64>,
    /// The control socket, while it is watched.
    control: Option<OwnedFd>,
    /// The worker is in a long call; somebody stands in.
    away: bool,
    /// Who else may be idle.
    pub(crate) colleagues: Option<Colleagues>,
    /// The connection whose request was handed out.
    pub(crate) serving: Option<Token>,
    pub(crate) give_up_at_ms: Option<u64>,
    pub(crate) notices: VecDeque<Notice>,
    pub(crate) pool: Pool,
    pub(crate) date: HttpDate,
    pub(crate) scratch: Vec<u8>,
    /// What is next.
    schedule: Schedule,
    /// The last connection that had to begin with a proxy's header did not.
    proxy_missing: bool,
    /// Whether the queue is asked before the listeners: they take turns.
    queue_first: bool,
    /// A connection that came is watched by epoll since the worker last slept.
    pub(crate) came_to_stay: bool,
}

impl Reactor {
    /// Makes a reactor without listeners.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn new(settings: Settings) -> io::Result<Self> {
        let patience = |kind| match kind {
            Patience::Fresh | Patience::Head => settings.head_ms,
            Patience::Idle => settings.keepalive_ms,
            Patience::Body => settings.body_ms,
            Patience::Write => settings.write_ms,
            Patience::Discard => settings.discard_ms,
        };
        Ok(Self {
            poller: Poller::new()?,
            deadlines: Deadlines::new(patience),
            listeners: Listeners::default(),
            slab: Slab::default(),
            runnable: VecDeque::new(),
            retiring: false,
            queue: None,
            handing_over: false,
            offer_at_ms: None,
            trim_at_ms: None,
            control: None,
            away: false,
            colleagues: None,
            serving: None,
            give_up_at_ms: None,
            notices: VecDeque::new(),
            pool: Pool::default(),
            date: HttpDate::default(),
            scratch: vec![0; SCRATCH_BYTES],
            schedule: Schedule::new(),
            proxy_missing: false,
            queue_first: false,
            came_to_stay: false,
            settings,
        })
    }

    /// Returns the handle to wait with.
    pub fn poller(&self) -> Poller {
        self.poller.clone()
    }

    /// Watches a control socket; [`Turn::Control`] tells when it can be read.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn watch_control(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let fd = fd.try_clone_to_owned()?;
        self.poller.add(fd.as_fd(), Source::Control, false)?;
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
            self.poller.delete(fd.as_fd());
        }
    }

    /// Returns how many connections are open.
    pub fn connections(&self) -> usize {
        self.slab.len()
    }

    /// Tells whether the response to this request may announce that the connection stays open.
    pub fn keeps_alive(&self, token: Token) -> bool {
        let row = self.slab.get(token).map_or(0, |connection| connection.pipelined);
        let limit = self.settings.pipeline;
        (!self.retiring || self.handing_over) && self.settings.keepalive_ms > 0 && (limit == 0 || row < limit)
    }

    /// Returns the current time as the `Date` field shows it.
    pub fn date(&mut self) -> &[u8] {
        self.date.current()
    }

    /// Takes something that the operator should know.
    pub fn take_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Decides what to do next. Never blocks.
    pub fn turn(&mut self) -> Turn {
        loop {
            match self.schedule.next() {
                Next::Control => {
                    self.schedule.heard();
                    if self.control.as_ref().is_some_and(is_readable) {
                        return Turn::Control;
                    }
                }
                Next::Known => {
                    if let Some(token) = self.runnable.pop_front()
                        && self.look_at(token)
                        && !(self.schedule.is_round_long() && self.somebody_is_idle() && self.hand_over(token))
                    {
                        return self.hand_out(token);
                    }
                }
                Next::Timers => {
                    let (now, silent_until) = (self.schedule.now_ms(), self.schedule.silent_until_ms());
                    if let Some(turn) = self.run_timers(now, silent_until) {
                        return turn;
                    }
                }
                Next::Newcomer => {
                    if let Some(token) = self.newcomer() {
                        self.schedule.let_in();
                        if self.look_at(token) {
                            return self.hand_out(token);
                        }
                    } else if let Some(turn) = self.rest() {
                        return turn;
                    }
                }
                Next::Ask => return Turn::Wait(Some(0)),
            }
        }
    }

    /// There is no newcomer: decides how to go on (`None`: look again).
    fn rest(&mut self) -> Option<Turn> {
        if self.retiring && self.slab.len() == 0 {
            // What others gave away before they learned that nobody is left.
            return match self.last_look() {
                Some(token) => self.look_at(token).then(|| self.hand_out(token)),
                None => Some(Turn::Retired),
            };
        }
        if !self.runnable.is_empty() {
            return Some(Turn::Wait(Some(0)));
        }
        self.wait_or_expire()
    }

    /// Tells what time it is: at a request's beginning, and at its end.
    pub fn note_time(&mut self, now_ns: u64) {
        self.schedule.note_time(now_ns);
    }

    /// Tells where the other workers show what they do, and which seat is this one's.
    pub fn watch_colleagues(&mut self, page: Arc<Shared>, seat: usize) {
        self.colleagues = Some(Colleagues { page, seat });
    }

    fn somebody_is_idle(&self) -> bool {
        self.colleagues.as_ref().is_some_and(Colleagues::somebody_is_idle)
    }

    fn hand_out(&mut self, token: Token) -> Turn {
        self.schedule.serve();
        self.serving = Some(token);
        Turn::Request(token)
    }

    /// Takes a connection from a backlog or from another worker, in turns.
    fn newcomer(&mut self) -> Option<Token> {
        let token = if self.queue_first {
            self.take_over().or_else(|| self.accept())
        } else {
            self.accept().or_else(|| self.take_over())
        };
        self.queue_first ^= token.is_some();
        token
    }

    /// Decides how long to wait, or closes those whose patience is over (`None`: look again).
    fn wait_or_expire(&mut self) -> Option<Turn> {
        self.let_others_go_first();
        if heap::take_much() {
            self.trim_at_ms = Some(now_ms() + heap::QUIET_MS);
        }
        let own = [self.give_up_at_ms, self.offer_at_ms, self.trim_at_ms, self.deadlines.earliest()];
        let Some(due) = own.into_iter().chain([self.listeners.resume_at_ms()]).flatten().min() else {
            return Some(Turn::Wait(None));
        };
        let now = now_ms();
        if due > now {
            return Some(Turn::Wait(Some(due - now)));
        }
        if !self.schedule.is_up_to_date() {
            // While a request was served its bytes may have arrived.
            return Some(Turn::Wait(Some(0)));
        }
        if self.trim_at_ms.is_some_and(|at| at <= now) {
            self.trim_at_ms = None;
            sys::memory::trim_heap();
        }
        self.run_timers(now, now)
    }

    /// Does what is due, and closes connections whose time was over at a moment until which they were silent for certain.
    fn run_timers(&mut self, now: u64, silent_until: u64) -> Option<Turn> {
        if self.give_up_at_ms.is_some_and(|at| at <= now) {
            return Some(Turn::Retired);
        }
        if self.offer_at_ms.is_some_and(|at| at <= now) {
            self.hand_over_all();
        }
        self.resume_accepting(now);
        self.expire(silent_until);
        None
    }

    /// Closes those whose patience is over.
    fn expire(&mut self, now: u64) {
        while let Some((index, kind)) = self.deadlines.take_due(now) {
            let Some(token) = self.slab.token_at(index) else { continue };
            self.give_up_on(token, kind);
        }
    }

    /// Takes in what a wait brought.
    pub fn absorb(&mut self, events: &mut Events) {
        let (mut control, complete) = (false, events.are_complete());
        for source in events.sources() {
            match source {
                Source::Connection(token) if self.away && self.has_request(token) => self.unwatch(token),
                Source::Connection(token) => self.queue(token),
                Source::Listener(index) => self.listeners.set_ready(index),
                Source::Control => control = true,
                Source::Queue => {
                    if let Some(queue) = &mut self.queue {
                        queue.set_ready();
                    }
                }
                Source::Wake => self.poller.drain_wake(),
            }
        }
        if !self.away {
            self.schedule.begin_round(self.runnable.len(), control, complete);
        }
        events.clear();
    }

    /// Tells whether the application has the connection's request, or can have it.
    fn has_request(&self, token: Token) -> bool {
        self.slab.get(token).is_some_and(|connection| matches!(connection.phase, Phase::Complete(_) | Phase::Open(_)))
    }

    /// Stops watching a connection whose request is not served yet: epoll would tell again and again of the next one, or
    /// of a body that the application has not asked for.
    fn unwatch(&mut self, token: Token) {
        if let Some(connection) = self.slab.get_mut(token)
            && connection.registered.take().is_some()
        {
            self.poller.delete(connection.as_fd());
        }
    }

    /// Goes on with a connection. True when it has a complete request.
    fn look_at(&mut self, token: Token) -> bool {
        let Some(connection) = self.slab.get_mut(token) else { return false };
        connection.queued = false;
        match connection.phase {
            Phase::Writing { after } => {
                self.go_on_writing(token, after);
                return false;
            }
            Phase::Discarding => {
                if !connection.discard(&mut self.scratch) {
                    self.close(token);
                }
                return false;
            }
            _ => {}
        }
        match connection.read(&mut self.pool, &self.settings) {
            Progress::Request => {
                connection.pace = Pace::default();
                self.proxy_missing &= connection.proxied.is_none();
                self.deadlines.clear(token.index);
                return !(self.handing_over && self.hand_over(token));
            }
            Progress::Wait(patience) => self.wait_for(token, patience),
            Progress::Yield => self.queue(token),
            Progress::Gone => self.close(token),
            Progress::NoProxy(reason) => {
                if !std::mem::replace(&mut self.proxy_missing, true) {
                    self.notices.push_back(Notice::NoProxyHeader(reason));
                }
                self.close(token);
            }
            Progress::Refuse(status) => self.refuse(token, status),
            // Its file needs a descriptor. Each attempt costs a connection, so that this ends.
            Progress::Storage(error) if is_full(&error) && self.make_room() => self.queue(token),
            Progress::Storage(error) => {
                self.notices.push_back(Notice::CannotStoreBody(error));
                self.refuse(token, 500);
            }
        }
        false
    }

    /// Looks at a connection again after the others.
    pub(crate) fn queue(&mut self, token: Token) {
        if let Some(connection) = self.slab.get_mut(token)
            && !connection.queued
        {
            connection.queued = true;
            self.runnable.push_back(token);
        }
    }

    /// Has epoll tell when a connection can go on, and starts its patience anew.
    pub(crate) fn wait_for(&mut self, token: Token, patience: Patience) {
        let may_go = matches!(patience, Patience::Fresh | Patience::Idle | Patience::Head | Patience::Write);
        if self.handing_over && may_go {
            if self.hand_over(token) {
                return;
            }
            self.offer_at_ms.get_or_insert_with(|| now_ms() + RETRY_MS);
        }
        let Some(connection) = self.slab.get_mut(token) else { return };
        let write = patience == Patience::Write;
        if connection.registered != Some(write) {
            let source = Source::Connection(token);
            let outcome = match connection.registered {
                None => self.poller.add(connection.as_fd(), source, write),
                Some(_) => self.poller.modify(connection.as_fd(), source, write),
            };
            if outcome.is_err() {
                // No memory or no watches left: without epoll the connection would hang for ever.
                self.close(token);
                return;
            }
            self.came_to_stay |= connection.registered.is_none();
            connection.registered = Some(write);
        }
        let now = now_ms();
        if !self.deadlines.is_set(token.index, patience) {
            connection.pace.restart(patience, now);
        } else {
            connection.pace.count(connection.outbox.take_flushed());
            if connection.pace.is_too_slow(patience, &self.settings, now) {
                return self.give_up_on(token, patience);
            }
        }
        // Bytes of a proxy's header do not start the first patience anew: it may be dripped, but not for ever.
        if patience != Patience::Fresh || !self.deadlines.is_set(token.index, Patience::Fresh) {
            self.deadlines.set(token.index, patience, now);
        }
    }

    /// Ends a connection whose client was too slow at this.
    fn give_up_on(&mut self, token: Token, patience: Patience) {
        match patience {
            Patience::Head | Patience::Body => self.refuse(token, 408),
            Patience::Fresh | Patience::Idle | Patience::Write | Patience::Discard => self.close(token),
        }
    }
}

/// The worker is in a long call, and the helper thread stands in.
impl Reactor {
    /// Takes what is the worker's own out of the epoll set: a busy worker must not swallow what wakes an idle one.
    pub(crate) fn step_back(&mut self) {
        self.away = true;
        self.poller.watch_wake(false);
        if let Some(control) = &self.control {
            self.poller.delete(control.as_fd());
        }
        self.unwatch_newcomers();
    }

    #[cfg(test)]
    pub(crate) fn is_away(&self) -> bool {
        self.away
    }

    /// The worker is back. Returns whether anybody stood in.
    pub(crate) fn step_in(&mut self) -> bool {
        if !std::mem::take(&mut self.away) {
            return false;
        }
        self.poller.watch_wake(true);
        if let Some(control) = &self.control {
            let _ = self.poller.add(control.as_fd(), Source::Control, false);
        }
        if !self.listeners.is_paused() {
            self.watch_newcomers();
        }
        true
    }

    /// Looks at connections that can go on, and gives away those with complete requests. Stops when the worker is back.
    /// Returns how many milliseconds to wait at most.
    pub(crate) fn stand_in(&mut self, goes_on: impl Fn() -> bool) -> Option<u64> {
        let mut ready = 0;
        for _ in 0..self.runnable.len() {
            if !goes_on() {
                return Some(0);
            }
            let Some(token) = self.runnable.pop_front() else { break };
            if self.look_at(token) && !self.hand_over(token) {
                self.queue(token);
                ready += 1;
            }
        }
        let now = now_ms();
        if self.offer_at_ms.is_some_and(|at| at <= now) {
            self.hand_over_all();
        }
        self.expire(now);
        if self.runnable.len() > ready {
            return Some(0);
        }
        let again = (ready > 0 && self.may_hand_over()).then_some(now + RETRY_MS);
        let due = [self.deadlines.earliest(), self.offer_at_ms, again].into_iter().flatten().min();
        due.map(|due| due.saturating_sub(now))
    }
}

/// Tells whether there was no descriptor left.
fn is_full(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// The monotonic clock in milliseconds.
pub(crate) fn now_ms() -> u64 {
    sys::clock::monotonic_ns() / 1_000_000
}
