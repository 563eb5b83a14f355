//! The calls on a connection's socket that several files need.

use std::os::fd::BorrowedFd;

use http1::response;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

/// What one read of a body asks for, unless there is memory for all of it.
pub(crate) const BODY_READ_BYTES: usize = 64 * 1024;

/// Receives what there is. See recv(2); `EINTR` is retried.
pub(super) fn receive(fd: BorrowedFd<'_>, room: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match rustix::net::recv(fd, &mut *room, RecvFlags::empty()) {
            Ok((_, count)) => return Ok(count),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Invites a client to send the body that it announced. If the socket does not even take this, the client's own time
/// limit helps.
pub(super) fn invite(fd: BorrowedFd<'_>) {
    let _ = rustix::net::send(fd, response::CONTINUE, SendFlags::NOSIGNAL);
}

/// Tells whether the client has closed both directions. See poll(2), `POLLHUP`.
pub(super) fn is_hung_up(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(&fd, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}
