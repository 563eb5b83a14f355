//! Accepts connections, also when the process has no descriptors left. See accept4(2).
//!
//! Then accepting fails and the listener stays readable: a loop that polls it would spin. So the loop stops polling it
//! until accepting works again, and tries in each of its rounds.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::SocketFlags;

/// How long to wait at most before the next try, in nanoseconds.
const PAUSE_NS: u64 = 100_000_000;

/// Whether connections can be accepted now.
#[derive(Debug, Default)]
pub struct AcceptGate {
    is_closed: bool,
}

impl AcceptGate {
    /// Returns the listener to poll, unless no connection can be accepted.
    pub fn watched<'a>(&self, listener: &'a impl AsFd) -> Option<BorrowedFd<'a>> {
        (!self.is_closed).then(|| listener.as_fd())
    }

    /// Returns how many nanoseconds to wait at most, if the listener is not polled.
    pub fn longest_wait_ns(&self) -> Option<u64> {
        self.is_closed.then_some(PAUSE_NS)
    }

    /// Accepts a connection and makes it non-blocking. `None`: none waits, or none can be accepted. To be called in each
    /// round of the loop, until `None`; the listener must be non-blocking.
    pub fn accept(&mut self, listener: &impl AsFd) -> Option<OwnedFd> {
        loop {
            let accepted = rustix::net::accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC);
            match accepted {
                // That connection is gone again.
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Ok(_) | Err(_) => {
                    self.is_closed = accepted.as_ref().is_err_and(|errno| *errno != Errno::AGAIN);
                    return accepted.ok();
                }
            }
        }
    }
}
