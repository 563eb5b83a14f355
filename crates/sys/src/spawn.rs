//! Starts programs with an explicit list of what they inherit.
//!
//! A child begins with no signal blocked and all dispositions at their defaults, whatever this process inherited
//! (supervisord, for one, ignores SIGPIPE and SIGXFSZ; see signal(7)).

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use nix::libc;
use rustix::fs::{Mode, OFlags};

use crate::signals::Signal;
use crate::user::User;
use crate::{Error, Result};

/// What to start.
#[derive(Debug)]
pub struct Program<'a> {
    /// The program: a path, or a name that is looked up in `PATH`.
    pub path: OsString,
    /// Its arguments, without the program itself.
    pub arguments: Vec<OsString>,
    /// Variables to set.
    pub set: Vec<(OsString, OsString)>,
    /// Variables to remove.
    pub unset: Vec<OsString>,
    /// Whether to begin with an empty environment (then `set` is all there is).
    pub clear: bool,
    /// The directory to start in.
    pub directory: Option<PathBuf>,
    /// Whether it leads a session of its own: signals to this process's group do not reach it. See setsid(2).
    pub session: bool,
    /// The user that it runs as, where that is another one and this process is root.
    pub user: Option<User>,
    /// The signal that it gets when this process ends. See prctl(2), `PR_SET_PDEATHSIG`.
    pub parting: Option<Signal>,
    /// Descriptors that it gets, and the numbers under which it gets them.
    pub inherit: Vec<(BorrowedFd<'a>, RawFd)>,
}

impl<'a> Program<'a> {
    /// A program without arguments, with this process's environment and no descriptors but 0, 1 and 2.
    pub fn new(path: impl AsRef<OsStr>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            arguments: Vec::new(),
            set: Vec::new(),
            unset: Vec::new(),
            clear: false,
            directory: None,
            session: false,
            user: None,
            parting: None,
            inherit: Vec::new(),
        }
    }

    /// Starts it and returns its process id. The caller reaps it (`process::reap`).
    ///
    /// # Errors
    /// The program cannot be executed, the directory not be entered, no process be made.
    pub fn spawn(&self) -> Result<u32> {
        let _held = self.hold_numbers()?;
        let child = self.command().spawn().map_err(|source| self.failed(source))?;
        Ok(child.id())
    }

    /// Starts it as a child of this process's own parent, beside this process, and returns its process id. It is that
    /// parent who reaps it. See clone(2), `CLONE_PARENT`.
    ///
    /// # Errors
    /// As [`Program::spawn`].
    ///
    /// # Panics
    /// Never; but call it only while the process has a single thread, else locks that others hold stay locked for ever.
    pub fn spawn_beside(&self) -> Result<u32> {
        let mut command = self.command();
        let _held = self.hold_numbers()?;
        let (reader, writer) = pipe()?;
        let flags = libc::CLONE_PARENT | libc::SIGCHLD;
        // SAFETY: without CLONE_VM this is a fork (the stack is null: the child goes on on its copy of this one), and the
        // caller promises a single thread, so that the child may run any code.
        let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
        if pid == 0 {
            let error = command.exec();
            let _ = rustix::io::write(&writer, &error.raw_os_error().unwrap_or(0).to_ne_bytes());
            // SAFETY: _exit(2) runs no destructors, which belong to the original process.
            unsafe { libc::_exit(127) };
        }
        if pid < 0 {
            return Err(self.failed(std::io::Error::last_os_error()));
        }
        drop(writer);
        let mut errno = [0; 4];
        // The end of the pipe without a word: it was executed.
        match rustix::io::retry_on_intr(|| rustix::io::read(&reader, &mut errno)) {
            Ok(4) => Err(self.failed(std::io::Error::from_raw_os_error(i32::from_ne_bytes(errno)))),
            _ => Ok(u32::try_from(pid).unwrap_or(0)),
        }
    }

    /// The first number above all those that the program gets.
    fn floor(&self) -> RawFd {
        self.inherit.iter().map(|(_, to)| *to).max().unwrap_or(2) + 1
    }

    /// Takes all free numbers below [`Program::floor`]. A child that cannot execute the program says so on a pipe, which
    /// must not be where the child puts what the program is to get: then it would say it to a listener, and not to us.
    fn hold_numbers(&self) -> Result<Vec<OwnedFd>> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let mut held = Vec::new();
        loop {
            let fd = rustix::fs::open("/", flags, Mode::empty()).map_err(Error::path("open", "/"))?;
            if fd.as_raw_fd() >= self.floor() {
                return Ok(held);
            }
            held.push(fd);
        }
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::Path { call: "exec", path: PathBuf::from(&self.path), source }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments);
        if self.clear {
            command.env_clear();
        }
        for name in &self.unset {
            command.env_remove(name);
        }
        command.envs(self.set.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let moves: Vec<(RawFd, RawFd)> = self.inherit.iter().map(|(fd, to)| (fd.as_raw_fd(), *to)).collect();
        let floor = self.floor();
        // Room for the descriptors that have to be moved out of the way, made before the fork: no allocation after it.
        let mut staged = vec![0; moves.len()];
        let session = self.session;
        let user = self.user.clone().filter(User::is_other);
        let parting = self.parting.map(|signal| signal as i32);
        let parent = rustix::process::getpid();
        let prepare = move || {
            reset_signals()?;
            if session {
                // SAFETY: setsid takes nothing; a process that was just forked leads no group, so that it cannot fail.
                unsafe { libc::setsid() };
            }
            if let Some(user) = &user {
                become_user(user)?;
            }
            // Behind that: a change of user takes it back.
            if let Some(number) = parting {
                // SAFETY: PR_SET_PDEATHSIG takes a number and touches no memory.
                check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, number) })?;
                if rustix::process::getppid() != Some(parent) {
                    return Err(std::io::Error::from_raw_os_error(libc::ESRCH));
                }
            }
            // First everything above the targets, so that no target overwrites a source.
            for (place, (from, _)) in staged.iter_mut().zip(&moves) {
                *place = duplicate_above(*from, floor)?;
            }
            for (from, (_, to)) in staged.iter().zip(&moves) {
                duplicate_to(*from, *to)?;
            }
            Ok(())
        };
        // SAFETY: between fork and exec the closure makes only async-signal-safe calls (signal-safety(7)): signal,
        // sigprocmask, setsid, setgroups, setresgid, setresuid, prctl, getppid, fcntl and dup2, and allocates nothing.
        unsafe { command.pre_exec(prepare) };
        command
    }
}

/// A pipe, both ends close-on-exec: reader, then writer. See pipe2(2).
///
/// # Errors
/// No descriptors left.
pub fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(Error::call("pipe2"))
}

/// The same with a reader that never waits; the writer does.
///
/// # Errors
/// No descriptors left.
pub fn pipe_to_look_into() -> Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = pipe()?;
    rustix::io::ioctl_fionbio(&reader, true).map_err(Error::call("ioctl(FIONBIO)"))?;
    Ok((reader, writer))
}

/// Takes over a descriptor that this process was started with, and makes it close-on-exec. `None` when it is not open.
pub fn inherited(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: F_SETFD takes an integer and touches no memory; it fails when the descriptor is not open.
    let open = number > 2 && unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } == 0;
    // SAFETY: it is open, and was passed to this process by number, so that nothing else in it owns it.
    open.then(|| unsafe { OwnedFd::from_raw_fd(number) })
}

fn reset_signals() -> std::io::Result<()> {
    for number in 1..32 {
        if number != libc::SIGKILL && number != libc::SIGSTOP {
            // SAFETY: SIG_DFL is a valid disposition for every signal but those two.
            unsafe { libc::signal(number, libc::SIG_DFL) };
        }
    }
    // SAFETY: sigset_t is plain bits, and sigemptyset initialises it.
    let mut none: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `none` is a live local.
    unsafe { libc::sigemptyset(&raw mut none) };
    // SAFETY: `none` is initialised; the old mask is not asked for.
    check(unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) })
}

/// Makes this process one of a user's, for good. The system calls themselves: the process has one thread.
fn become_user(user: &User) -> std::io::Result<()> {
    let (uid, gid) = (user.uid, user.gid);
    // SAFETY: the pointer and the count are those of a slice that lives.
    let groups = unsafe { libc::syscall(libc::SYS_setgroups, user.groups.len(), user.groups.as_ptr()) };
    check(i32::from(groups == 0) - 1)?;
    // SAFETY: they take numbers and touch no memory.
    check(i32::from(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) } == 0) - 1)?;
    // SAFETY: as before.
    check(i32::from(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) } == 0) - 1)
}

fn duplicate_above(fd: RawFd, floor: RawFd) -> std::io::Result<RawFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes an integer and touches no memory.
    let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, floor) };
    if copy < 0 { Err(std::io::Error::last_os_error()) } else { Ok(copy) }
}

fn duplicate_to(from: RawFd, to: RawFd) -> std::io::Result<()> {
    // SAFETY: dup2 takes integers and touches no memory; in the child nothing owns `to`.
    let result = unsafe { libc::dup2(from, to) };
    check(result.min(0))
}

fn check(result: i32) -> std::io::Result<()> {
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsFd;

    #[test]
    fn a_child_gets_just_the_listed_descriptors_under_their_numbers() {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let (_other_read, other) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let pipe = format!("pipe:[{}]", rustix::fs::fstat(&write).unwrap().st_ino);
        let mut program = Program::new("sh");
        program.arguments =
            vec!["-c".into(), "echo $NAME >&4; for fd in /proc/$$/fd/*; do echo $fd $(readlink $fd); done >&4".into()];
        program.set = vec![("NAME".into(), "value".into())];
        program.inherit = vec![(other.as_fd(), 3), (write.as_fd(), 4)];
        let pid = program.spawn().unwrap();
        drop(write);
        let mut text = String::new();
        std::fs::File::from(read).read_to_string(&mut text).unwrap();
        assert!(text.starts_with("value\n"), "{text}");
        // While the loop runs, the shell's standard output is the pipe too, and 10 or so its saved original.
        let ours: Vec<&str> = text.lines().filter(|line| line.ends_with(&pipe)).collect();
        assert_eq!(ours.len(), 2, "{text}");
        assert!(ours[1].ends_with(&format!("/fd/4 {pipe}")), "{text}");
        rustix::process::waitpid(rustix::process::Pid::from_raw(pid as i32), rustix::process::WaitOptions::empty())
            .unwrap();
    }

    #[test]
    fn a_program_beside_this_one_has_the_same_parent() {
        let (reader, writer) = pipe().unwrap();
        let mut program = Program::new("sh");
        program.arguments = vec!["-c".into(), "echo $PPID >&3".into()];
        program.inherit = vec![(writer.as_fd(), 3)];
        program.spawn_beside().unwrap();
        drop(writer);
        let mut text = String::new();
        std::fs::File::from(reader).read_to_string(&mut text).unwrap();
        assert_eq!(text.trim(), rustix::process::getppid().unwrap().as_raw_nonzero().to_string());
        let missing = Program::new("/no/such/program").spawn_beside().unwrap_err();
        assert!(missing.chain().contains("/no/such/program"), "{}", missing.chain());
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let error = Program::new("/no/such/program").spawn().unwrap_err();
        assert!(error.chain().contains("/no/such/program"), "{}", error.chain());
    }

    #[test]
    fn a_program_that_is_missing_is_named_whatever_it_was_to_inherit() {
        let (_reader, writer) = pipe().unwrap();
        let mut program = Program::new("/no/such/program");
        program.inherit = (3..60).map(|number| (writer.as_fd(), number)).collect();
        assert!(program.spawn().is_err());
        assert!(program.spawn_beside().is_err());
    }
}
