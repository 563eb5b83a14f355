//! Lets clients in where the process may have no descriptors left. See accept4(2).
//!
//! Then accepting fails and the listener stays readable: a loop that waits for it would turn round and round. So it is
//! not waited for until accepting has worked again; each round of the loop tries.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::SocketFlags;

/// How long to wait at most before the next try, in nanoseconds.
const PAUSE_NS: u64 = 100_000_000;

/// Whether clients can be let in.
#[derive(Debug, Default)]
pub struct Door {
    is_full: bool,
}

impl Door {
    /// Returns the listener to poll, unless nobody can be let in.
    pub fn watched<'a>(&self, listener: &'a impl AsFd) -> Option<BorrowedFd<'a>> {
        (!self.is_full).then(|| listener.as_fd())
    }

    /// Returns how many nanoseconds to wait at most, if whoever waits outside is not watched.
    pub fn longest_wait_ns(&self) -> Option<u64> {
        self.is_full.then_some(PAUSE_NS)
    }

    /// Accepts a connection and makes it non-blocking. `None`: nobody is there, or nobody can be let in. To be called in
    /// each round of the loop, until `None`; the listener must be non-blocking.
    pub fn let_in(&mut self, listener: &impl AsFd) -> Option<OwnedFd> {
        loop {
            let accepted = rustix::net::accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC);
            match accepted {
                // That one is gone again.
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Ok(_) | Err(_) => {
                    self.is_full = accepted.as_ref().is_err_and(|errno| *errno != Errno::AGAIN);
                    return accepted.ok();
                }
            }
        }
    }
}
