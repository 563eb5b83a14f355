//! A program that is executed in the place of this one, pinned by a descriptor, and what it inherits.
//!
//! See execve(2): the process, its id, its children, its pending signals and its signal mask stay; handlers go back to
//! the defaults, so that signals are held from before the execution until the new program has its own handlers.

use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;

use nix::libc;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::{Error, Result};

/// A program that cannot be exchanged between the moment it was looked at and the moment it is executed.
#[derive(Debug)]
pub struct Image(OwnedFd);

impl Image {
    /// The program that runs, even if its file has been replaced or removed. See proc_pid_exe(5).
    ///
    /// # Errors
    /// `/proc` is not there.
    pub fn running() -> Result<Self> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let fd = rustix::fs::open("/proc/self/exe", flags, Mode::empty());
        fd.map(Self).map_err(Error::path("open", "/proc/self/exe"))
    }

    /// Takes over a descriptor of a program.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Executes it in the place of this program. It returns only when that fails. See execveat(2).
    pub fn execute(&self, arguments: &[OsString], environment: &[OsString]) -> Error {
        let (Some(arguments), Some(environment)) = (Block::new(arguments), Block::new(environment)) else {
            return Error::call("execveat")(Errno::INVAL);
        };
        // SAFETY: both blocks are live and end with a null pointer.
        unsafe { execute(self.0.as_raw_fd(), arguments.pointers.as_ptr(), environment.pointers.as_ptr()) };
        Error::call("execveat")(std::io::Error::last_os_error())
    }
}

impl AsFd for Image {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Arguments or an environment, as execve(2) takes them.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) pointers: Vec<*const libc::c_char>,
    /// What the pointers point to.
    _texts: Vec<CString>,
}

impl Block {
    /// `None` when a text contains a NUL.
    pub(crate) fn new(texts: &[OsString]) -> Option<Self> {
        let texts: Vec<CString> =
            texts.iter().map(|text| CString::new(text.clone().into_vec()).ok()).collect::<Option<_>>()?;
        let pointers = texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect();
        Some(Self { pointers, _texts: texts })
    }
}

/// # Safety
/// Both arrays end with a null pointer, and all others in them point to texts that end with NUL. Async-signal-safe.
pub(crate) unsafe fn execute(
    fd: RawFd,
    arguments: *const *const libc::c_char,
    environment: *const *const libc::c_char,
) {
    // SAFETY: the caller promises the arrays; the empty path with AT_EMPTY_PATH means the descriptor itself.
    unsafe { libc::syscall(libc::SYS_execveat, fd, c"".as_ptr(), arguments, environment, libc::AT_EMPTY_PATH) };
}

/// Copies of descriptors that the next program inherits. The originals stay as they are; the copies are closed when the
/// execution fails and this is dropped.
#[derive(Debug, Default)]
pub struct Inheritance(Vec<OwnedFd>);

impl Inheritance {
    /// Makes a copy that survives the execution, and returns its number.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn add(&mut self, fd: BorrowedFd<'_>) -> Result<RawFd> {
        // SAFETY: F_DUPFD takes an integer and touches no memory.
        let copy = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD, 3) };
        if copy < 0 {
            return Err(Error::call("fcntl(F_DUPFD)")(std::io::Error::last_os_error()));
        }
        // SAFETY: it was made just now, nothing else owns it.
        self.0.push(unsafe { OwnedFd::from_raw_fd(copy) });
        Ok(copy)
    }
}

/// A copy of an inherited descriptor, close-on-exec. The inherited one stays for the program that may have to be executed again;
/// see [`release`].
///
/// # Errors
/// It is not open; no descriptors left.
pub fn adopt(number: RawFd) -> Result<OwnedFd> {
    let path = || format!("file descriptor {number}");
    // SAFETY: F_DUPFD_CLOEXEC takes an integer and touches no memory.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    if copy < 0 {
        return Err(Error::path("adopt", path())(std::io::Error::last_os_error()));
    }
    // SAFETY: it was made just now, nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Closes inherited descriptors of which there are copies.
pub fn release(numbers: impl IntoIterator<Item = RawFd>) {
    for number in numbers.into_iter().filter(|number| *number > 2) {
        // SAFETY: close takes an integer; the caller names descriptors that were inherited for it, each once, and that
        // nothing in this process owns.
        unsafe { libc::close(number) };
    }
}

/// The directory that this process was in; it is in it again when this is dropped.
#[derive(Debug)]
pub struct Back(OwnedFd);

/// Goes to a directory: the program that is executed starts in it. The one before need not have a name any more.
///
/// # Errors
/// It cannot be entered.
pub fn enter(directory: &std::path::Path) -> Result<Back> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let here = rustix::fs::open(".", flags, Mode::empty()).map_err(Error::path("open", "."))?;
    rustix::process::chdir(directory).map_err(Error::path("chdir", directory))?;
    Ok(Back(here))
}

impl Drop for Back {
    fn drop(&mut self) {
        // Where it was a moment ago it may be again.
        let _ = rustix::process::fchdir(&self.0);
    }
}

/// The signals that a fault of the program sends, and that of a time limit (alarm(2)).
pub(crate) const FAULTS: [i32; 7] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT, libc::SIGSYS, libc::SIGALRM];

/// Signals that are held back, until this is dropped.
#[derive(Debug)]
pub struct Held(libc::sigset_t);

/// Holds back all signals, except those that a program sends to itself by a fault. See sigprocmask(2).
///
/// # Errors
/// None that is known.
pub fn hold_signals() -> Result<Held> {
    let mut all = empty();
    // SAFETY: `all` is a live local.
    unsafe { libc::sigfillset(&raw mut all) };
    for number in FAULTS {
        // SAFETY: `all` is initialised and the numbers are those of signals.
        unsafe { libc::sigdelset(&raw mut all, number) };
    }
    let mut before = empty();
    // SAFETY: both are live locals. The process has one thread.
    let result = unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const all, &raw mut before) };
    if result == 0 { Ok(Held(before)) } else { Err(Error::call("sigprocmask")(std::io::Error::last_os_error())) }
}

/// Lets go of signals that the program before this one has held back: they arrive now.
pub fn let_signals_go() {
    drop(Held(empty()));
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: the set is initialised; the old one is not asked for. It cannot fail with these arguments.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut()) };
    }
}

fn empty() -> libc::sigset_t {
    // SAFETY: sigset_t is plain bits, and sigemptyset initialises it.
    let mut none: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `none` is a live local.
    unsafe { libc::sigemptyset(&raw mut none) };
    none
}

/// Names this process as ps(1) and pgrep(1) know it: a program that is executed by a descriptor has its number as name.
/// See prctl(2), `PR_SET_NAME`: 15 bytes of it are kept.
pub fn set_name(name: &str) {
    if let Ok(name) = CString::new(name) {
        // It fails for no reason that is known, and the name is for people.
        let _ = rustix::thread::set_name(&name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn copies_survive_and_go_with_the_inheritance() {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let mut inheritance = Inheritance::default();
        let number = inheritance.add(writer.as_fd()).unwrap();
        let copy = adopt(number).unwrap();
        let flags = |fd: BorrowedFd<'_>| rustix::io::fcntl_getfd(fd).unwrap();
        assert!(flags(copy.as_fd()).contains(rustix::io::FdFlags::CLOEXEC));
        assert!(!flags(inheritance.0[0].as_fd()).contains(rustix::io::FdFlags::CLOEXEC));
        drop((inheritance, copy, writer));
        let mut nothing = Vec::new();
        assert_eq!(std::fs::File::from(reader).read_to_end(&mut nothing).unwrap(), 0, "the end: no copy is left");
    }

    #[test]
    fn a_file_that_cannot_be_executed_is_an_error_and_changes_nothing() {
        let file = std::fs::File::open("/proc/self/status").unwrap();
        let error = Image::from_fd(file.into()).execute(&["x".into()], &[]);
        assert!(error.chain().starts_with("execveat failed: "), "{}", error.chain());
        assert!(adopt(-1).is_err());
    }

    #[test]
    fn held_signals_arrive_afterwards() {
        let mut signals = crate::signals::Signals::listen().unwrap();
        let held = hold_signals().unwrap();
        // For this thread: the harness has another one, which would take a signal for the process.
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGHUP).unwrap();
        assert!(signals.take().is_empty());
        drop(held);
        assert_eq!(signals.take()[0].signal, crate::signals::Signal::Hup);
    }
}
