//! Going to the background, with an honest answer to whoever asked for it.
//!
//! The caller's process stays until the daemon reports; see daemon(7) for why there are two forks: the daemon is no
//! session leader and so never gets a controlling terminal.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use nix::unistd::ForkResult;

use crate::{Error, Result};

/// Which process returned from [`fork_to_background`].
#[derive(Debug)]
pub enum Side {
    /// The process that was started by the user: wait for the answer, then leave.
    Launcher(Answer),
    /// The daemon: go on, and report.
    Daemon(Reporter),
}

/// What the launcher waits on.
#[derive(Debug)]
pub struct Answer(OwnedFd);

/// What the daemon reports to.
#[derive(Debug)]
pub struct Reporter(OwnedFd);

/// Forks twice and makes a new session. Standard input of the daemon becomes `/dev/null`.
///
/// # Errors
/// No processes or descriptors left.
///
/// # Panics
/// Never; but call it only while the process has a single thread, else locks that others hold stay locked for ever.
pub fn fork_to_background() -> Result<Side> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(Error::call("pipe2"))?;
    // SAFETY: the caller promises a single thread, so that the child may run any code.
    match unsafe { nix::unistd::fork() }.map_err(Error::call("fork"))? {
        ForkResult::Parent { child } => {
            drop(write);
            let _ = nix::sys::wait::waitpid(child, None);
            return Ok(Side::Launcher(Answer(read)));
        }
        ForkResult::Child => drop(read),
    }
    nix::unistd::setsid().map_err(Error::call("setsid"))?;
    // SAFETY: as above.
    if let ForkResult::Parent { .. } = unsafe { nix::unistd::fork() }.map_err(Error::call("fork"))? {
        // SAFETY: _exit(2) runs no destructors, which belong to the original process.
        unsafe { nix::libc::_exit(0) };
    }
    let null = std::fs::File::open("/dev/null").map_err(Error::path("open", "/dev/null"))?;
    rustix::stdio::dup2_stdin(&null).map_err(Error::call("dup2"))?;
    Ok(Side::Daemon(Reporter(write)))
}

impl Reporter {
    /// Tells the launcher that the service is up. A launcher that is gone is no error.
    pub fn ready(self) {
        let _ = std::fs::File::from(self.0).write_all(format!("{}", std::process::id()).as_bytes());
    }
}

impl Answer {
    /// Waits for the daemon. Returns its process id, or `None` when it died before it was ready.
    pub fn wait(self) -> Option<u32> {
        let mut text = String::new();
        std::fs::File::from(self.0).read_to_string(&mut text).ok()?;
        text.parse().ok().filter(|pid| *pid > 1)
    }
}
