//! Processes: reaping, killing, adopting.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::Access;
use rustix::process::Pid;

use crate::signals::Signal;
use crate::{Error, Result};

/// A child that ended: its process id, its raw wait status, and what it took. See wait4(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exited {
    /// The process id.
    pub pid: u32,
    /// The raw status.
    pub status: i32,
    /// The most memory that it, or a child that it waited for, had resident at once.
    pub peak_rss_bytes: u64,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It called exit with this status.
    Exit(i32),
    /// This signal killed it.
    Signal(i32),
}

impl Exited {
    /// Decodes the status. See wait(2), `WIFEXITED` and the like.
    pub fn ending(&self) -> Ending {
        let signal = self.status & 0x7f;
        if signal == 0 { Ending::Exit((self.status >> 8) & 0xff) } else { Ending::Signal(signal) }
    }

    /// The status as Ruby's `Process::Status#inspect` prints it: `#<Process::Status: pid 7 SIGKILL (signal 9)>`.
    pub fn ruby_inspect(&self) -> String {
        match self.ending() {
            Ending::Exit(code) => format!("#<Process::Status: pid {} exit {code}>", self.pid),
            Ending::Signal(number) => {
                let core = if self.status & 0x80 != 0 { " (core dumped)" } else { "" };
                format!("#<Process::Status: pid {} {} (signal {number}){core}>", self.pid, signal_name(number))
            }
        }
    }
}

/// The name of a signal, `SIGKILL`; `SIG` and the number for one without a name. See signal(7).
pub fn signal_name(number: i32) -> String {
    nix::sys::signal::Signal::try_from(number).map_or_else(|_| format!("SIG{number}"), |s| s.as_str().to_string())
}

/// Reaps one dead child. Call until it returns `None`: one `SIGCHLD` may stand for many deaths. See wait4(2).
pub fn reap() -> Option<Exited> {
    let mut status = 0;
    // SAFETY: `rusage` is plain integers, for which zero is a value.
    let mut usage: nix::libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live locals.
    let pid = unsafe { nix::libc::wait4(-1, &raw mut status, nix::libc::WNOHANG, &raw mut usage) };
    // 0 or an error: no child, or none that is dead. EINTR cannot happen with WNOHANG.
    let pid = u32::try_from(pid).ok().filter(|pid| *pid > 0)?;
    let peak_rss_bytes = u64::try_from(usage.ru_maxrss).unwrap_or(0).saturating_mul(1024);
    Some(Exited { pid, status, peak_rss_bytes })
}

/// Closes a descriptor by the exit of another process: an exit waits for no socket (socket(7), `SO_LINGER`), and if it
/// waits for something else, this process does not. That process is a child of this one: reap it. If none can be made,
/// the descriptor stays open. See fork(2), close_range(2).
pub fn close_apart(descriptor: Option<OwnedFd>) {
    let Some(descriptor) = descriptor else { return };
    let Ok((reader, writer)) = crate::spawn::pipe() else { return std::mem::forget(descriptor) };
    // SAFETY: the child makes but system calls, none of which allocates or takes a lock.
    match unsafe { nix::libc::fork() } {
        0 => {
            drop(writer);
            // Ends when the parent has closed its descriptor, and the one here is the last.
            let _ = rustix::io::retry_on_intr(|| rustix::io::read(&reader, &mut [0; 1]));
            // However long the exit of this process takes, it holds nothing else: no listener, no log.
            let number = descriptor.as_raw_fd() as u32;
            for (first, last) in [(0, number.wrapping_sub(1)), (number + 1, u32::MAX)] {
                // SAFETY: the descriptors are this process's own, which uses none of them any more.
                unsafe { nix::libc::syscall(nix::libc::SYS_close_range, first, last, 0) };
            }
            // SAFETY: _exit(2) runs no destructors, which belong to the original process.
            unsafe { nix::libc::_exit(0) };
        }
        1.. => {
            drop(descriptor);
            drop(writer);
        }
        _ => std::mem::forget(descriptor),
    }
}

/// Makes orphaned descendants this process's own children. See prctl(2), `PR_SET_CHILD_SUBREAPER`.
///
/// # Errors
/// A kernel older than 3.4.
pub fn become_subreaper() -> Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(Error::call("prctl(PR_SET_CHILD_SUBREAPER)"))
}

/// This process's id.
pub fn own_pid() -> u32 {
    std::process::id()
}

/// The name of the parent's program, as ps(1) shows it. See proc_pid_comm(5).
pub fn parent_name() -> Option<String> {
    let parent = rustix::process::getppid()?.as_raw_nonzero();
    Some(std::fs::read_to_string(format!("/proc/{parent}/comm")).ok()?.trim_end().to_string())
}

/// A number that no other process of this boot has had: the inode of its pidfd. See pidfd_open(2), `LISTEN_PIDFDID` in
/// sd_listen_fds(3). `None` where the kernel tells none.
pub fn own_identity() -> Option<u64> {
    let pidfd = rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty()).ok()?;
    rustix::fs::fstat(&pidfd).ok().map(|meta| meta.st_ino)
}

/// Sends a signal. A process that is gone already is no error. See kill(2).
///
/// # Errors
/// The process belongs to another user (`EPERM`).
pub fn kill(pid: u32, signal: Signal) -> Result<()> {
    let Some(pid) = pid_of(pid) else { return Ok(()) };
    match rustix::process::kill_process(pid, signal.raw()) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(errno) => Err(Error::call("kill")(errno)),
    }
}

/// Kills a child that has not been reaped, and all processes of the group that it leads, if it leads one. See kill(2).
pub fn kill_with_group(pid: u32) {
    let Some(pid) = pid_of(pid) else { return };
    let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

/// Whether a process with this id exists. One that may not be signalled counts as existing. See kill(2), signal 0.
pub fn is_alive(pid: u32) -> bool {
    pid_of(pid).is_some_and(|pid| !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH)))
}

fn pid_of(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

/// How many processes of this control group the kernel has killed for lack of memory. See cgroups(7): `memory.events` of
/// version 2, `memory.oom_control` of version 1. Returns `None` where no group counts them.
pub fn oom_kills() -> Option<u64> {
    oom_kills_below(Path::new("/"))
}

/// The same where `/proc` and `/sys` are below `root`.
fn oom_kills_below(root: &Path) -> Option<u64> {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mount = root.join("sys/fs/cgroup");
    groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, group) = (parts.next()?, parts.next()?.trim_start_matches('/'));
        let (mount, file) = match controllers {
            "" => (mount.clone(), "memory.events"),
            // Version 1; several controllers may share a hierarchy, which is mounted by all of their names.
            some if some.split(',').any(|name| name == "memory") => (mount.join("memory"), "memory.oom_control"),
            _ => return None,
        };
        // In a container the group may be named as the host sees it; then its own is what is mounted.
        let found = [mount.join(group).join(file), mount.join(file)];
        let events = found.iter().find_map(|path| std::fs::read_to_string(path).ok())?;
        events.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
    })
}

/// The name of this machine. See uname(2).
pub fn host_name() -> Option<String> {
    rustix::system::uname().nodename().to_str().ok().filter(|name| !name.is_empty()).map(str::to_string)
}

/// The effective user id.
pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The login name of a user. See getpwuid(3).
pub fn user_name(uid: u32) -> Option<String> {
    Some(nix::unistd::User::from_uid(uid.into()).ok()??.name)
}

/// The user that a process belongs to. See proc(5).
pub fn owner_of(pid: u32) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(format!("/proc/{pid}")).ok().map(|meta| meta.uid())
}

/// The effective user id of a process. (The files of one that has changed its user are root's.) See proc_pid_status(5).
pub fn effective_uid_of(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)?.parse().ok()
}

/// What the main thread of a process does, as the kernel sees it: whether it runs, or where it waits. See
/// proc_pid_stat(5), proc_pid_wchan(5).
pub fn main_thread(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program is in parentheses, and may have some itself.
    let state = stat.rsplit_once(')')?.1.trim_start().chars().next()?;
    let place = std::fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
    let place = Some(place.trim()).filter(|place| !place.is_empty() && *place != "0");
    Some(match (state, place) {
        ('R', _) => "its main thread runs".to_string(),
        ('T' | 't', _) => "it is stopped by a signal".to_string(),
        ('Z' | 'X', _) => "it has ended".to_string(),
        (_, Some(place)) => format!("its main thread waits in the kernel, in {place}"),
        (_, None) => "its main thread waits in the kernel".to_string(),
    })
}

/// The directory that a process is in, without symbolic links, if it is there and may be looked at. See proc_pid_cwd(5).
pub fn directory_of(pid: u32) -> Option<std::path::PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/cwd")).ok().filter(|path| path.is_dir())
}

/// A variable of the environment that a process was started with, if that may be looked at. See proc_pid_environ(5).
pub fn variable_of(pid: u32, name: &str) -> Option<String> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut variables = environment.split(|byte| *byte == 0).filter_map(|variable| std::str::from_utf8(variable).ok());
    variables.find_map(|variable| variable.strip_prefix(name)?.strip_prefix('=').map(str::to_string))
}

/// Whether this process may write a file, or make one in a directory. See access(2).
///
/// # Errors
/// It may not, and why.
pub fn may_write(path: &std::path::Path) -> std::io::Result<()> {
    let wanted = if path.is_dir() { Access::WRITE_OK | Access::EXEC_OK } else { Access::WRITE_OK };
    Ok(rustix::fs::access(path, wanted)?)
}

/// How many files this process may have open at once; `None` where there is no limit. See getrlimit(2).
pub fn open_files_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

/// Whether standard input is a terminal. See isatty(3).
pub fn stdin_is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stdin())
}

/// The same of standard error.
pub fn stderr_is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_read_as_ruby_prints_them() {
        #[track_caller]
        fn check(status: i32, want: &str) {
            assert_eq!(
                Exited { pid: 7, status, peak_rss_bytes: 0 }.ruby_inspect(),
                format!("#<Process::Status: pid 7 {want}>")
            );
        }
        check(0, "exit 0");
        check(77 << 8, "exit 77");
        check(9, "SIGKILL (signal 9)");
        check(11 | 0x80, "SIGSEGV (signal 11) (core dumped)");
        check(40, "SIG40 (signal 40)");
    }

    #[test]
    fn kills_for_lack_of_memory_are_counted_by_either_version_of_control_groups() {
        #[track_caller]
        fn check(groups: &str, files: &[(&str, &str)], want: Option<u64>) {
            let line = std::panic::Location::caller().line();
            let root = std::env::temp_dir().join(format!("licorne-cgroup-{}-{line}", std::process::id()));
            for (name, text) in [("proc/self/cgroup", groups)].iter().chain(files) {
                let path = root.join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            let found = oom_kills_below(&root);
            std::fs::remove_dir_all(&root).unwrap();
            assert_eq!(found, want, "{groups}");
        }
        let events = "low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 0\n";
        let control = "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n";
        check(
            "0::/system.slice/app.service\n",
            &[("sys/fs/cgroup/system.slice/app.service/memory.events", events)],
            Some(2),
        );
        check("0::/\n", &[("sys/fs/cgroup/memory.events", events)], Some(2));
        let old = "12:pids:/a\n9:cpu,memory:/docker/1\n1:name=systemd:/a\n0::/a\n";
        check(old, &[("sys/fs/cgroup/memory/docker/1/memory.oom_control", control)], Some(5));
        check(old, &[("sys/fs/cgroup/memory/memory.oom_control", control)], Some(5));
        // A kernel that does not count, and none that tells.
        check("9:memory:/a\n", &[("sys/fs/cgroup/memory/a/memory.oom_control", "under_oom 0\n")], None);
        check("0::/\n", &[], None);
    }

    #[test]
    fn a_process_that_is_gone_is_neither_alive_nor_an_error_to_kill() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        assert!(is_alive(pid));
        child.wait().unwrap();
        assert!(!is_alive(pid));
        assert!(kill(pid, Signal::Term).is_ok());
    }
}
