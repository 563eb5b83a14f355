//! Processes: exits by pidfd, signals, commands that run to their end.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, WaitStatus};

use crate::procfs;

/// A pipe: what is written into the second comes out of the first. Programs that are executed do not get it by accident.
#[must_use]
pub fn pipe() -> (File, File) {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("descriptors are left");
    (reader.into(), writer.into())
}

/// The children that this process started itself; every other child was orphaned by one of them.
static STARTED: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// A handle on a process, child or not. It cannot be mistaken for a later process of the same number.
#[derive(Debug)]
pub struct Watch {
    /// The process id.
    pub pid: u32,
    pidfd: OwnedFd,
}

impl Watch {
    /// Takes a handle; `None` when there is no such process. See pidfd_open(2).
    #[must_use]
    pub fn on(pid: u32) -> Option<Watch> {
        let pidfd = rustix::process::pidfd_open(raw(pid)?, PidfdFlags::empty()).ok()?;
        Some(Watch { pid, pidfd })
    }

    /// Waits until the process has exited (a zombie has). Returns whether it did within `patience`.
    #[must_use]
    pub fn wait(&self, patience: Duration) -> bool {
        readable(self.pidfd.as_fd(), Instant::now() + patience)
    }

    /// Whether it is running still.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.wait(Duration::ZERO)
    }

    /// Sends a signal; nothing happens when the process is gone.
    pub fn signal(&self, signal: Signal) {
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, signal);
    }
}

/// Sends a signal to a process id.
///
/// # Errors
/// `ESRCH` when there is no such process.
pub fn signal(pid: u32, signal: Signal) -> Result<(), Errno> {
    rustix::process::kill_process(raw(pid).ok_or(Errno::SRCH)?, signal)
}

/// Waits until `fd` can be read (or has ended), or the deadline passes. Returns whether it can.
pub(crate) fn readable(fd: BorrowedFd<'_>, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).expect("a test's patience fits");
        match poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(Errno::INTR) => {}
            Err(error) => panic!("failed to poll: {error}"),
        }
    }
}

/// Makes this process adopt what its children orphan. See prctl(2), `PR_SET_CHILD_SUBREAPER`.
pub(crate) fn adopt_orphans() {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("a process can be a subreaper");
}

/// Remembers that `pid` is a child of ours, not an orphan.
pub(crate) fn started(pid: u32) {
    STARTED.lock().expect("no test panics with it").insert(pid);
}

/// Forgets a child that has been waited for.
pub(crate) fn waited_for(pid: u32) {
    STARTED.lock().expect("no test panics with it").remove(&pid);
}

/// What the servers of this test have orphaned, zombies left out, with all their descendants.
///
/// Zombies among them are reaped here: this process is their parent now.
#[must_use]
pub fn orphans() -> Vec<procfs::Process> {
    let ours = STARTED.lock().expect("no test panics with it").clone();
    let mut alive = Vec::new();
    for child in procfs::children(std::process::id()).into_iter().filter(|child| !ours.contains(&child.pid)) {
        if child.state == 'Z' {
            reap(child.pid);
        } else {
            alive.extend(procfs::descendants(child.pid).into_iter().filter(|process| process.state != 'Z'));
            alive.push(child);
        }
    }
    alive
}

/// Takes the status of an exited child of this process. `None` when it is not ours or has not exited.
pub fn reap(pid: u32) -> Option<WaitStatus> {
    let (_, status) = rustix::process::waitpid(raw(pid), WaitOptions::NOHANG).ok()??;
    Some(status)
}

fn raw(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// How a command ended, and what it printed.
#[derive(Debug)]
pub struct Finished {
    /// The exit status.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// The exit code; a death by signal is a failure of the test.
    #[must_use]
    #[track_caller]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("the command was killed: {self:#?}"))
    }
}

/// Runs a command to its end, with nothing on its standard input. One that outlives `patience` is killed: a failure.
#[track_caller]
pub fn run(command: &mut Command, patience: Duration) -> Finished {
    adopt_orphans();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("failed to start {command:?}: {error}"));
    started(child.id());
    let watch = Watch::on(child.id()).expect("a child that was not waited for is there");
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let in_time = watch.wait(patience);
    if !in_time {
        watch.signal(Signal::KILL);
    }
    let status = child.wait().expect("a child can be waited for");
    waited_for(child.id());
    if !in_time {
        // A grandchild may hold the pipes: what was printed is not waited for.
        panic!("{command:?} did not end within {patience:?}");
    }
    let text = |thread: std::thread::JoinHandle<String>| thread.join().expect("the reader does not panic");
    Finished { status, stdout: text(stdout), stderr: text(stderr) }
}

/// Runs the program under test to its end.
#[track_caller]
pub fn licorne<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Finished {
    run(Command::new(crate::program::path()).args(arguments), crate::patience())
}

/// The SHA-256 digest of `content`, in hexadecimal. See sha256sum(1).
#[must_use]
pub fn sha256(content: &[u8]) -> String {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::io::Write::write_all(&mut file, content).expect("a temporary file can be written");
    let finished = run(Command::new("sha256sum").arg(file.path()), crate::patience());
    finished.stdout.split(' ').next().unwrap_or("").to_owned()
}

fn drain(source: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut source) = source {
            let _ = source.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_yields_its_status_and_both_outputs() {
        let finished = run(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]), crate::patience());
        assert_eq!((finished.code(), &*finished.stdout, &*finished.stderr), (3, "out\n", "err\n"));
    }

    #[test]
    fn the_exit_of_an_orphan_is_seen_and_the_orphan_reaped() {
        let finished = run(Command::new("sh").args(["-c", "sleep 60 >/dev/null 2>&1 & echo $!"]), crate::patience());
        let pid: u32 = finished.stdout.trim().parse().expect("a pid");
        let watch = Watch::on(pid).expect("it sleeps");
        assert!(watch.is_alive());
        assert!(orphans().iter().any(|orphan| orphan.pid == pid));
        watch.signal(Signal::KILL);
        assert!(watch.wait(crate::patience()));
        assert!(orphans().iter().all(|orphan| orphan.pid != pid));
    }
}
