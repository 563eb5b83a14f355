//! Handles on processes, children or not. See pidfd_open(2).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};

use crate::process;
use crate::signals::Signal;
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
    /// The process belongs to another user.
    pub fn send(&self, signal: Signal) -> Result<()> {
        match rustix::process::pidfd_send_signal(&self.fd, signal.raw()) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(Error::call("pidfd_send_signal")(errno)),
        }
    }
}

/// A child of this process that has not been reaped: its process id cannot become another's.
#[derive(Debug)]
pub struct Child {
    pid: u32,
    /// Without one (no descriptors left) the process id has to do.
    handle: Option<Pidfd>,
}

impl Child {
    /// The child with this process id; `None` when that is none of this process, or one that was reaped. See waitid(2),
    /// `WNOWAIT`.
    pub fn of(pid: u32) -> Option<Self> {
        let raw = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        rustix::process::waitid(WaitId::Pid(raw), look).ok()?;
        Some(Self { pid, handle: Pidfd::open(pid) })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal; that the process is gone is no error.
    ///
    /// # Errors
    /// The process has become one that this process may not signal.
    pub fn kill(&self, signal: Signal) -> Result<()> {
        match &self.handle {
            Some(handle) => handle.send(signal),
            None => process::kill(self.pid, signal),
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
    fn only_children_that_were_not_reaped_count_as_children() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let handle = Child::of(child.id()).unwrap();
        assert_eq!(handle.pid(), child.id());
        let parent = rustix::process::getppid().unwrap().as_raw_nonzero().get() as u32;
        for other in [0, 1, u32::MAX, parent, process::own_pid()] {
            assert!(Child::of(other).is_none(), "{other}");
        }
        handle.kill(Signal::Kill).unwrap();
        child.wait().unwrap();
        assert!(Child::of(child.id()).is_none());
        handle.kill(Signal::Kill).unwrap();
    }

    #[test]
    fn a_handle_outlives_its_process() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let handle = Pidfd::open(child.id()).unwrap();
        assert!(!handle.has_exited());
        handle.send(Signal::Term).unwrap();
        child.wait().unwrap();
        assert!(handle.has_exited());
        handle.send(Signal::Kill).unwrap();
        assert!(Pidfd::open(child.id()).is_none());
    }
}
