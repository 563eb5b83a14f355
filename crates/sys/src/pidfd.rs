//! Handles on processes that may be anybody's children. See pidfd_open(2).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, Signal};

use crate::signals;
use crate::{Error, Result};

/// A handle on one process: it cannot be mistaken for a later process of the same number, and it can be polled: it is
/// readable once the process has exited.
#[derive(Debug)]
pub struct Pidfd {
    pid: u32,
    fd: OwnedFd,
}

impl Pidfd {
    /// Takes a handle; `None` when there is no such process.
    pub fn open(pid: u32) -> Option<Self> {
        let raw = Pid::from_raw(i32::try_from(pid).ok()?)?;
        Some(Self { pid, fd: rustix::process::pidfd_open(raw, PidfdFlags::empty()).ok()? })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the process has exited; a zombie has.
    pub fn has_exited(&self) -> bool {
        crate::poll::wait(&[self.fd.as_fd()], &[], Some(0)).is_ok_and(|ready| ready.first() == Some(&true))
    }

    /// Sends a signal; that the process is gone is no error. See pidfd_send_signal(2).
    ///
    /// # Errors
    /// The process belongs to somebody else.
    pub fn send(&self, signal: signals::Signal) -> Result<()> {
        self.send_raw(match signal {
            signals::Signal::Quit => Signal::QUIT,
            signals::Signal::Term => Signal::TERM,
            signals::Signal::Int => Signal::INT,
            signals::Signal::Hup => Signal::HUP,
            signals::Signal::Usr1 => Signal::USR1,
            signals::Signal::Usr2 => Signal::USR2,
            signals::Signal::Ttin => Signal::TTIN,
            signals::Signal::Ttou => Signal::TTOU,
            signals::Signal::Winch => Signal::WINCH,
            signals::Signal::Chld => Signal::CHILD,
        })
    }

    /// Sends `SIGKILL`.
    ///
    /// # Errors
    /// As [`Pidfd::send`].
    pub fn kill(&self) -> Result<()> {
        self.send_raw(Signal::KILL)
    }

    fn send_raw(&self, signal: Signal) -> Result<()> {
        match rustix::process::pidfd_send_signal(&self.fd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(Error::call("pidfd_send_signal")(errno)),
        }
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_outlives_its_process() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let handle = Pidfd::open(child.id()).unwrap();
        assert!(!handle.has_exited());
        handle.send(signals::Signal::Term).unwrap();
        child.wait().unwrap();
        assert!(handle.has_exited());
        handle.kill().unwrap();
        assert!(Pidfd::open(child.id()).is_none());
    }
}
