//! epoll, and the event descriptor that interrupts it. See epoll(7), eventfd(2).

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::slab::Token;

/// How many events one wait returns at most. More stay in the kernel for the next one.
const EVENTS: usize = 256;
const SPECIAL: u64 = 1 << 63;
const CONTROL: u64 = SPECIAL | 1 << 62;
const WAKE: u64 = CONTROL | 1;
const QUEUE: u64 = CONTROL | 2;

/// What became ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Connection(Token),
    Listener(usize),
    Control,
    Queue,
    Wake,
}

impl Source {
    fn to_u64(self) -> u64 {
        match self {
            Self::Connection(token) => token.to_u64(),
            Self::Listener(index) => SPECIAL | index as u64,
            Self::Control => CONTROL,
            Self::Queue => QUEUE,
            Self::Wake => WAKE,
        }
    }

    fn from_u64(word: u64) -> Self {
        match word {
            CONTROL => Self::Control,
            QUEUE => Self::Queue,
            WAKE => Self::Wake,
            word if word & SPECIAL != 0 => Self::Listener((word & u64::from(u32::MAX)) as usize),
            word => Self::Connection(Token::from_u64(word)),
        }
    }
}

/// A place for the events of one wait, reused.
pub struct Events(Vec<Event>);

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.sources()).finish()
    }
}

impl Default for Events {
    fn default() -> Self {
        Self(Vec::with_capacity(EVENTS))
    }
}

impl Events {
    pub(crate) fn sources(&self) -> impl Iterator<Item = Source> + '_ {
        self.0.iter().map(|event| Source::from_u64(event.data.u64()))
    }

    /// Tells whether there was room for more: nothing else happened.
    pub(crate) fn are_complete(&self) -> bool {
        self.0.len() < EVENTS
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[derive(Debug)]
struct Inner {
    epoll: OwnedFd,
    wake: OwnedFd,
}

/// Waits for events. A handle that is cheap to clone and needs no lock on the reactor.
#[derive(Clone, Debug)]
pub struct Poller(Arc<Inner>);

/// Interrupts a [`Poller`], from any thread and from signal handlers.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Inner>);

impl Waker {
    /// Makes the current wait, or else the next one, return at once. One write(2): async-signal-safe.
    pub fn wake(&self) {
        // A full counter (EAGAIN) wakes as well.
        let _ = rustix::io::write(&self.0.wake, &1_u64.to_ne_bytes());
    }
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &wake, EventData::new_u64(WAKE), EventFlags::IN)?;
        Ok(Self(Arc::new(Inner { epoll, wake })))
    }

    /// Makes a waker for this poller.
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.0))
    }

    /// The descriptors that a process has of it.
    pub(crate) fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.0.epoll.as_fd(), self.0.wake.as_fd()]
    }

    /// Waits for at most `timeout_ms` (`None`: until something happens) and collects what happened.
    /// A signal ends the wait early, with no events.
    pub fn wait(&self, events: &mut Events, timeout_ms: Option<u64>) {
        events.0.clear();
        let timeout = timeout_ms.map(timespec);
        // The only errors are EINTR, which is no error here, and misuse that the types exclude.
        let _ = epoll::wait(&self.0.epoll, rustix::buffer::spare_capacity(&mut events.0), timeout.as_ref());
    }

    /// The same for the helper thread: `relief` ends the wait too, and is read.
    ///
    /// It asks poll(2) first: of what epoll gives to one waiter, another that waits as well hears nothing.
    pub(crate) fn wait_or(&self, relief: BorrowedFd<'_>, events: &mut Events, timeout_ms: Option<u64>) {
        let mut fds = [
            PollFd::from_borrowed_fd(self.0.epoll.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(relief, PollFlags::IN),
        ];
        let timeout = timeout_ms.map(timespec);
        let _ = rustix::event::poll(&mut fds, timeout.as_ref());
        if !fds[1].revents().is_empty() {
            let _ = rustix::io::read(relief, &mut [0; 8]);
        }
        events.0.clear();
        if !fds[0].revents().is_empty() {
            self.wait(events, Some(0));
        }
    }

    /// Has the waker interrupt [`Poller::wait`], or not.
    pub(crate) fn watch_wake(&self, watch: bool) {
        if watch {
            let _ = epoll::add(&self.0.epoll, &self.0.wake, EventData::new_u64(WAKE), EventFlags::IN);
        } else {
            self.delete(self.0.wake.as_fd());
        }
    }

    /// Waits until `fd` takes bytes, its peer is gone, the waker is used or `timeout_ms` has passed.
    /// Returns whether `fd` is worth a try.
    pub fn wait_writable(&self, fd: BorrowedFd<'_>, timeout_ms: u64) -> bool {
        self.wait_for(fd, PollFlags::OUT, timeout_ms)
    }

    /// The same until `fd` has bytes.
    pub fn wait_readable(&self, fd: BorrowedFd<'_>, timeout_ms: u64) -> bool {
        self.wait_for(fd, PollFlags::IN, timeout_ms)
    }

    fn wait_for(&self, fd: BorrowedFd<'_>, what: PollFlags, timeout_ms: u64) -> bool {
        let mut fds =
            [PollFd::from_borrowed_fd(fd, what), PollFd::from_borrowed_fd(self.0.wake.as_fd(), PollFlags::IN)];
        let outcome = rustix::event::poll(&mut fds, Some(&timespec(timeout_ms)));
        let (ready, woken) = (!fds[0].revents().is_empty(), !fds[1].revents().is_empty());
        if woken {
            // Otherwise the next wait would end at once.
            self.drain_wake();
        }
        match outcome {
            Ok(_) | Err(Errno::INTR) => ready,
            Err(_) => true,
        }
    }

    pub(crate) fn add(&self, fd: BorrowedFd<'_>, source: Source, write: bool) -> io::Result<()> {
        let flags = match source {
            // Wakes one idle worker for a connection instead of all of them.
            Source::Listener(_) | Source::Queue => EventFlags::IN | EventFlags::EXCLUSIVE,
            _ => interest(write),
        };
        Ok(epoll::add(&self.0.epoll, fd, EventData::new_u64(source.to_u64()), flags)?)
    }

    pub(crate) fn modify(&self, fd: BorrowedFd<'_>, source: Source, write: bool) -> io::Result<()> {
        Ok(epoll::modify(&self.0.epoll, fd, EventData::new_u64(source.to_u64()), interest(write))?)
    }

    /// Ends the registration. Closing alone would not: a child that the application forked may hold the descriptor.
    pub(crate) fn delete(&self, fd: BorrowedFd<'_>) {
        // Fails only if it was not registered.
        let _ = epoll::delete(&self.0.epoll, fd);
    }

    pub(crate) fn drain_wake(&self) {
        let mut counter = [0; 8];
        let _ = rustix::io::read(&self.0.wake, &mut counter);
    }
}

/// Tells whether a descriptor has something now: bytes, a message, a connection, or its end. See poll(2).
pub(crate) fn is_readable(fd: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    rustix::event::poll(&mut fds, Some(&timespec(0))).is_ok_and(|ready| ready > 0)
}

fn interest(write: bool) -> EventFlags {
    if write { EventFlags::OUT } else { EventFlags::IN | EventFlags::RDHUP }
}

fn timespec(ms: u64) -> Timespec {
    Timespec { tv_sec: (ms / 1_000) as i64, tv_nsec: (ms % 1_000 * 1_000_000) as i64 }
}
