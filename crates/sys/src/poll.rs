//! Waits for descriptors. See poll(2): level-triggered and stateless, right for tens of descriptors.

use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::{Error, Result};

/// Waits until one of `readers` can be read (or its peer is gone), one of `writers` written, or `timeout_ns` has passed
/// (`None`: for ever). Returns for each whether it is ready, readers first. `EINTR` returns with nothing ready: a
/// signal's own pipe tells.
///
/// # Errors
/// Only for lack of memory.
pub fn wait(readers: &[BorrowedFd<'_>], writers: &[BorrowedFd<'_>], timeout_ns: Option<u64>) -> Result<Vec<bool>> {
    let mut fds: Vec<PollFd<'_>> = readers.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    fds.extend(writers.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::OUT)));
    let timeout =
        timeout_ns.map(|ns| Timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as i64 });
    match rustix::event::poll(&mut fds, timeout.as_ref()) {
        Ok(_) => Ok(fds.iter().map(|fd| !fd.revents().is_empty()).collect()),
        Err(Errno::INTR) => Ok(vec![false; fds.len()]),
        Err(errno) => Err(Error::call("poll")(errno)),
    }
}
