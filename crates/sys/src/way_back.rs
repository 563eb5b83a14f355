//! The way back: while a new program has not taken over yet, any fault of it executes the program before it again.
//!
//! Everything that the execution needs is laid out beforehand and never freed, so that a signal handler can use it
//! (signal-safety(7): execve). A program that hangs is ended by alarm(2).

use std::ffi::{CStr, CString, OsString};
use std::os::fd::{IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

use nix::libc;
use nix::libc::c_char;

use crate::image::{Block, FAULTS, execute, release};
use crate::{Error, Result};

/// How long a program may take to take over, in seconds.
const LIMIT_S: u32 = 30;
/// The variable by which the program before learns why it is executed again.
pub const REASON_VARIABLE: &str = "LICORNE_UPGRADE_FAILED";

/// What to execute: -1 when there is no way back (any more).
static PROGRAM: AtomicI32 = AtomicI32::new(-1);
static ARGUMENTS: AtomicPtr<*const c_char> = AtomicPtr::new(std::ptr::null_mut());
static ENVIRONMENT: AtomicPtr<*const c_char> = AtomicPtr::new(std::ptr::null_mut());
/// Where in the environment the reason belongs.
static REASON: AtomicPtr<*const c_char> = AtomicPtr::new(std::ptr::null_mut());

/// Prepares the way back to `program`.
///
/// # Errors
/// A text contains a NUL.
pub fn prepare(program: OwnedFd, arguments: &[OsString], environment: &[OsString]) -> Result<()> {
    let invalid = || Error::call("execveat")(rustix::io::Errno::INVAL);
    let mut environment = environment.to_vec();
    environment.push(format!("{REASON_VARIABLE}=").into());
    let place = environment.len() - 1;
    // They are kept for as long as the program runs.
    let arguments = Box::leak(Box::new(Block::new(arguments).ok_or_else(invalid)?));
    let environment = Box::leak(Box::new(Block::new(&environment).ok_or_else(invalid)?));
    ARGUMENTS.store(arguments.pointers.as_mut_ptr(), Ordering::Relaxed);
    REASON.store(&raw mut environment.pointers[place], Ordering::Relaxed);
    ENVIRONMENT.store(environment.pointers.as_mut_ptr(), Ordering::Relaxed);
    PROGRAM.store(program.into_raw_fd(), Ordering::Release);
    for number in FAULTS {
        // SAFETY: sigaction is plain integers and a pointer, for which zero is a value.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = fault as extern "C" fn(i32) as usize;
        action.sa_flags = libc::SA_ONSTACK | libc::SA_NODEFER;
        // SAFETY: `action` is initialised, and the handler makes async-signal-safe calls only.
        unsafe { libc::sigaction(number, &raw const action, std::ptr::null_mut()) };
    }
    // SAFETY: alarm takes an integer.
    unsafe { libc::alarm(LIMIT_S) };
    Ok(())
}

/// Whether there is a way back.
pub fn is_open() -> bool {
    PROGRAM.load(Ordering::Acquire) >= 0
}

/// The new program has taken over: closes the way back.
pub fn close() {
    let program = PROGRAM.swap(-1, Ordering::AcqRel);
    if program < 0 {
        return;
    }
    // SAFETY: alarm takes an integer.
    unsafe { libc::alarm(0) };
    for number in FAULTS {
        // SAFETY: SIG_DFL is a valid disposition for these.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    release([program]);
}

/// Executes the program before this one again, and tells it why. It returns only when there is no way back, or it fails.
pub fn take(reason: &str) -> Error {
    let text = format!("{REASON_VARIABLE}={}", reason.replace('\0', " "));
    let text = CString::new(OsString::from(text).into_vec()).unwrap_or_default();
    go(&text);
    Error::call("execveat")(std::io::Error::last_os_error())
}

extern "C" fn fault(number: i32) {
    go(match number {
        libc::SIGSEGV => c"LICORNE_UPGRADE_FAILED=it crashed (SIGSEGV)",
        libc::SIGBUS => c"LICORNE_UPGRADE_FAILED=it crashed (SIGBUS)",
        libc::SIGILL => c"LICORNE_UPGRADE_FAILED=it crashed (SIGILL)",
        libc::SIGFPE => c"LICORNE_UPGRADE_FAILED=it crashed (SIGFPE)",
        libc::SIGABRT => c"LICORNE_UPGRADE_FAILED=it crashed (SIGABRT)",
        libc::SIGSYS => c"LICORNE_UPGRADE_FAILED=it crashed (SIGSYS)",
        _ => c"LICORNE_UPGRADE_FAILED=it did not take over in time",
    });
    // SAFETY: _exit is async-signal-safe. Nothing else is left to do.
    unsafe { libc::_exit(128 + number) };
}

fn go(reason: &CStr) {
    let program = PROGRAM.load(Ordering::Acquire);
    if program < 0 {
        return;
    }
    // SAFETY: alarm takes an integer. It would go on counting for the program before.
    unsafe { libc::alarm(0) };
    // SAFETY: `prepare` has stored pointers into memory that is never freed; a process with one thread writes here, and
    // the text outlives the execution, which copies it.
    unsafe { REASON.load(Ordering::Relaxed).write(reason.as_ptr()) };
    // SAFETY: both arrays were laid out by `Block`, and end with a null pointer.
    unsafe { execute(program, ARGUMENTS.load(Ordering::Relaxed), ENVIRONMENT.load(Ordering::Relaxed)) };
}
