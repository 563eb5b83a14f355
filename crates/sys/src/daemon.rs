//! Going to the background, with an honest answer to the process that asked for it.
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

    /// Tells the launcher why there will be no service.
    pub fn failed(self, why: &str) {
        // The colon keeps a message of digits from being taken for a process id.
        let _ = std::fs::File::from(self.0).write_all(format!(":{why}").as_bytes());
    }
}

impl Answer {
    /// Waits for the daemon. Returns its process id.
    ///
    /// # Errors
    /// It could not start, and this is why; the text is empty when it died without a word.
    pub fn wait(self) -> std::result::Result<u32, String> {
        let mut bytes = Vec::new();
        let _ = std::fs::File::from(self.0).read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        match text.parse::<u32>() {
            Ok(pid) if pid > 1 => Ok(pid),
            _ => Err(text.strip_prefix(':').unwrap_or_default().to_string()),
        }
    }
}
