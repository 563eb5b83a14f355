//! The loop's decisions: who is looked at next, what the caller waits for, and what becomes of a connection.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use http1::request::Head;
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown};

use crate::accept::Listeners;
use crate::body::Body;
use crate::connection::{Connection, Phase, Progress};
use crate::date::HttpDate;
use crate::deadlines::{Deadlines, Patience};
use crate::intake::Pool;
use crate::peer::Peer;
use crate::poller::{Events, Poller, Source};
use crate::settings::Settings;
use crate::slab::{Slab, Token};

/// How many connections are accepted and served in a row before the others, and the control socket, are asked.
const ACCEPTS_IN_A_ROW: u32 = 16;
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
}

/// A complete request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its head; spans refer to `buffer`.
    pub head: &'a Head,
    /// The bytes as received.
    pub buffer: &'a [u8],
    /// Who sent it.
    pub peer: Peer,
    /// The size of its body.
    pub body_bytes: u64,
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
    pub(crate) give_up_at_ms: Option<u64>,
    pub(crate) notices: VecDeque<Notice>,
    pool: Pool,
    date: HttpDate,
    scratch: Vec<u8>,
    /// How many of `runnable` are to be looked at before new connections are accepted.
    batch: usize,
    accepts_in_a_row: u32,
    /// Nothing was served since epoll was asked, so nobody can have been overlooked.
    polled: bool,
    control_ready: bool,
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
            give_up_at_ms: None,
            notices: VecDeque::new(),
            pool: Pool::default(),
            date: HttpDate::default(),
            scratch: vec![0; SCRATCH_BYTES],
            batch: 0,
            accepts_in_a_row: 0,
            polled: false,
            control_ready: false,
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
    pub fn watch_control(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.poller.add(fd, Source::Control, false)
    }

    /// Stops watching a control socket, for instance because its end was read.
    pub fn forget_control(&self, fd: impl AsFd) {
        self.poller.delete(fd.as_fd());
    }

    /// Returns how many connections are open.
    pub fn connections(&self) -> usize {
        self.slab.len()
    }

    /// Tells whether a response may announce that the connection stays open.
    pub fn keeps_alive(&self) -> bool {
        !self.retiring && self.settings.keepalive_ms > 0
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
            if self.control_ready {
                self.control_ready = false;
                return Turn::Control;
            }
            if self.batch > 0 {
                self.batch -= 1;
                if let Some(token) = self.runnable.pop_front() {
                    if self.look_at(token) {
                        self.polled = false;
                        return Turn::Request(token);
                    }
                }
                continue;
            }
            if self.accepts_in_a_row < ACCEPTS_IN_A_ROW {
                if let Some(token) = self.accept() {
                    self.accepts_in_a_row += 1;
                    if self.look_at(token) {
                        self.polled = false;
                        return Turn::Request(token);
                    }
                    continue;
                }
            }
            if self.retiring && self.slab.len() == 0 {
                return Turn::Retired;
            }
            if !self.runnable.is_empty() || self.accepts_in_a_row >= ACCEPTS_IN_A_ROW {
                return Turn::Wait(Some(0));
            }
            if let Some(wait) = self.wait_or_expire() {
                return wait;
            }
        }
    }

    /// Decides how long to wait, or closes those whose patience is over (`None`: look again).
    fn wait_or_expire(&mut self) -> Option<Turn> {
        let times = [self.deadlines.earliest(), self.listeners.resume_at_ms(), self.give_up_at_ms];
        let Some(due) = times.into_iter().flatten().min() else { return Some(Turn::Wait(None)) };
        let now = now_ms();
        if due > now {
            return Some(Turn::Wait(Some(due - now)));
        }
        if !self.polled {
            // While a request was served its bytes may have arrived.
            return Some(Turn::Wait(Some(0)));
        }
        if self.give_up_at_ms.is_some_and(|at| at <= now) {
            return Some(Turn::Retired);
        }
        self.resume_accepting(now);
        while let Some((index, kind)) = self.deadlines.take_due(now) {
            let Some(token) = self.slab.token_at(index) else { continue };
            match kind {
                Patience::Head | Patience::Body => self.refuse(token, 408),
                Patience::Fresh | Patience::Idle | Patience::Write | Patience::Discard => self.close(token),
            }
        }
        None
    }

    /// Takes in what a wait brought.
    pub fn absorb(&mut self, events: &mut Events) {
        self.polled = true;
        self.accepts_in_a_row = 0;
        for source in events.sources() {
            match source {
                Source::Connection(token) => {
                    if let Some(connection) = self.slab.get_mut(token) {
                        if !connection.queued {
                            connection.queued = true;
                            self.runnable.push_back(token);
                        }
                    }
                }
                Source::Listener(index) => self.listeners.set_ready(index),
                Source::Control => self.control_ready = true,
                Source::Wake => self.poller.drain_wake(),
            }
        }
        self.batch = self.runnable.len();
        events.clear();
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
                self.deadlines.clear(token.index);
                return true;
            }
            Progress::Wait(patience) => self.wait_for(token, patience),
            Progress::Yield => self.queue(token),
            Progress::Gone => self.close(token),
            Progress::Refuse(status) => self.refuse(token, status),
            Progress::Storage(error) => {
                self.notices.push_back(Notice::CannotStoreBody(error));
                self.refuse(token, 500);
            }
        }
        false
    }

    /// Looks at a connection again after the others.
    fn queue(&mut self, token: Token) {
        if let Some(connection) = self.slab.get_mut(token) {
            if !connection.queued {
                connection.queued = true;
                self.runnable.push_back(token);
            }
        }
    }

    /// Has epoll tell when a connection can go on, and starts its patience anew.
    fn wait_for(&mut self, token: Token, patience: Patience) {
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
            connection.registered = Some(write);
        }
        self.deadlines.set(token.index, patience, now_ms());
    }

    /// Returns the request that [`Turn::Request`] announced.
    pub fn request(&self, token: Token) -> Option<Request<'_>> {
        let connection = self.slab.get(token)?;
        let intake = connection.intake.as_ref()?;
        Some(Request {
            head: intake.parser.head(),
            buffer: &intake.buffer[..intake.filled],
            peer: connection.peer,
            body_bytes: connection.body_bytes(),
        })
    }

    /// Takes the body of the request.
    pub fn take_body(&mut self, token: Token) -> Body {
        self.slab.get_mut(token).map_or(Body::Empty, Connection::take_body)
    }

    /// Tells whether the client has closed its side already.
    pub fn client_left(&self, token: Token) -> bool {
        let Some(connection) = self.slab.get(token) else { return true };
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match rustix::net::recv(connection, &mut [0; 1], flags) {
            // A UNIX client that only shut down its writing side still reads, as Unicorn's users expect.
            Ok((_, 0)) => !connection.peer.is_local() || connection.peer_hung_up(),
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => false,
            Err(_) => true,
        }
    }

    /// Sends parts of a response in order. What the socket does not take now is copied and sent later.
    ///
    /// # Errors
    /// The client is gone; [`Reactor::finish`] with [`After::Abort`] is all that is left.
    pub fn send(&mut self, token: Token, parts: &[&[u8]]) -> Result<(), Errno> {
        let connection = self.slab.get_mut(token).ok_or(Errno::PIPE)?;
        connection.outbox.send(connection.fd.as_fd(), parts)
    }

    /// Sends a part of a file behind what was sent before, without reading it into memory.
    ///
    /// # Errors
    /// As [`Reactor::send`], or the file is shorter than that.
    pub fn send_file(&mut self, token: Token, file: File, offset: u64, bytes: u64) -> Result<(), Errno> {
        let connection = self.slab.get_mut(token).ok_or(Errno::PIPE)?;
        connection.outbox.send_file(connection.fd.as_fd(), file, offset, bytes)
    }

    /// Sends what the socket takes now. Returns the bytes that are still held in memory for this client.
    ///
    /// # Errors
    /// As [`Reactor::send`].
    pub fn flush(&mut self, token: Token) -> Result<usize, Errno> {
        let connection = self.slab.get_mut(token).ok_or(Errno::PIPE)?;
        connection.outbox.flush(connection.fd.as_fd())?;
        Ok(connection.outbox.queued_bytes())
    }

    /// Returns the bytes that are held in memory for this client.
    pub fn queued_bytes(&self, token: Token) -> usize {
        self.slab.get(token).map_or(0, |connection| connection.outbox.queued_bytes())
    }

    /// Returns the connection's descriptor.
    pub fn descriptor(&self, token: Token) -> Option<BorrowedFd<'_>> {
        self.slab.get(token).map(AsFd::as_fd)
    }

    /// Ends a response that was sent. What the client has not taken yet is written while others are served.
    pub fn finish(&mut self, token: Token, after: After) {
        let Some(connection) = self.slab.get_mut(token) else { return };
        if after == After::Abort {
            // Not merely closed: a child that the application forked may hold the descriptor, and the client would wait.
            let _ = rustix::net::shutdown(&connection.fd, Shutdown::Both);
            self.close(token);
        } else if connection.outbox.is_empty() {
            self.after_response(token, after);
        } else {
            connection.phase = Phase::Writing { after };
            self.wait_for(token, Patience::Write);
        }
    }

    /// Gives the connection away with what was received behind the request.
    pub fn detach(&mut self, token: Token) -> Option<(OwnedFd, Vec<u8>)> {
        let (connection, rest) = self.remove(token)?;
        Some((connection.fd, rest))
    }

    /// Answers with an error and closes.
    pub(crate) fn refuse(&mut self, token: Token, status: u16) {
        let mut response = Vec::with_capacity(128);
        http1::response::write_error(&mut response, status, self.date.current());
        if self.send(token, &[&response]).is_err() {
            return self.close(token);
        }
        // The position in the input is unknown: whatever comes is thrown away.
        if let Some(connection) = self.slab.get_mut(token) {
            if let Some(intake) = &mut connection.intake {
                intake.filled = intake.filled.max(1);
                intake.next = 0;
            } else {
                let mut intake = self.pool.take();
                intake.filled = 1;
                connection.intake = Some(intake);
            }
        }
        self.finish(token, After::Close);
    }

    fn go_on_writing(&mut self, token: Token, after: After) {
        let Some(connection) = self.slab.get_mut(token) else { return };
        if connection.outbox.flush(connection.fd.as_fd()).is_err() {
            self.close(token);
        } else if connection.outbox.is_empty() {
            self.after_response(token, after);
        } else {
            self.wait_for(token, Patience::Write);
        }
    }

    fn after_response(&mut self, token: Token, after: After) {
        let Some(connection) = self.slab.get_mut(token) else { return };
        let rest = connection.intake.as_mut().map_or(0, |intake| intake.advance());
        if after == After::KeepAlive {
            connection.served = true;
            connection.phase = Phase::Head;
            if rest > 0 {
                return self.queue(token);
            }
            if let Some(intake) = connection.intake.take() {
                self.pool.give_back(intake);
            }
            return self.wait_for(token, Patience::Idle);
        }
        if rest == 0 {
            if after == After::End {
                let _ = rustix::net::shutdown(&connection.fd, Shutdown::Write);
            }
            return self.close(token);
        }
        // Closing with unread input would send a reset, which can destroy the response on its way.
        connection.phase = Phase::Discarding;
        if rustix::net::shutdown(&connection.fd, Shutdown::Write).is_err() {
            return self.close(token);
        }
        if connection.discard(&mut self.scratch) {
            self.wait_for(token, Patience::Discard);
        } else {
            self.close(token);
        }
    }

    /// Closes a connection.
    pub(crate) fn close(&mut self, token: Token) {
        self.remove(token);
    }

    fn remove(&mut self, token: Token) -> Option<(Connection, Vec<u8>)> {
        let mut connection = self.slab.remove(token)?;
        self.deadlines.clear(token.index);
        if connection.registered.is_some() {
            self.poller.delete(connection.as_fd());
        }
        let mut rest = Vec::new();
        if let Some(intake) = connection.intake.take() {
            if intake.next > 0 && intake.next < intake.filled {
                rest.extend_from_slice(&intake.buffer[intake.next..intake.filled]);
            }
            self.pool.give_back(intake);
        }
        Some((connection, rest))
    }
}

/// What becomes of a connection after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It waits for the next request.
    KeepAlive,
    /// It is closed once the response is out.
    Close,
    /// The same, and that tells the client where the body ends: see that it does, whoever else holds the descriptor.
    End,
    /// It is closed at once: the response cannot be completed.
    Abort,
}

/// The monotonic clock in milliseconds.
pub(crate) fn now_ms() -> u64 {
    sys::clock::monotonic_ns() / 1_000_000
}
