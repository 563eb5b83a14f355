//! What a process notes about a signal that may end it, to be read after its end.
//!
//! wait(2) tells which signal ended a process, but not whether a fault of its own raised it, or which process sent it. Here a
//! handler writes that into shared memory and then lets happen what would have happened without it: it calls the handler
//! that was there before (Ruby's, which prints a `[BUG]` report and aborts), or else the default acts. Nothing is noted
//! in a child that the process forks.
//!
//! A note alone proves nothing: Ruby survives the fault of a stack that overflows. It counts only if the signal that it is
//! about has ended the process.
//!
//! See sigaction(2), `si_code`; signal-safety(7): the handler stores words and calls getpid(2), sigaltstack(2),
//! sigaction(2) and raise(3).

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use nix::libc;

use crate::{Error, Result};

/// How many words a note has.
pub const WORDS: usize = 2;

/// The signals that a process mostly raises by itself: by a fault, or by abort(3).
const SIGNALS: [c_int; 7] =
    [libc::SIGABRT, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGSEGV, libc::SIGSYS, libc::SIGTRAP];

/// Whether a fault raises this signal: memory that is not there, an instruction that is none, a division by 0.
pub fn is_of_a_fault(signal: i32) -> bool {
    [libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGSEGV].contains(&signal)
}

/// What a process has noted last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// The signal.
    pub signal: i32,
    /// The signal in whose handler it came; otherwise the same signal. The first of the two tells the cause.
    pub first: i32,
    /// Where the first one came from.
    pub origin: Origin,
    /// Whether a handler that was there before was called: Ruby's, which prints a report.
    pub was_handled: bool,
}

/// Where a signal came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The kernel: the process has done what it may not (it read where no memory is).
    Fault,
    /// The process, which sent it to itself: abort(3), kill(2).
    Itself,
    /// Another process. Its id is 0 when it is in another pid namespace.
    Sender {
        /// Its process id.
        pid: u32,
        /// Its user.
        uid: u32,
    },
}

impl Note {
    /// Reads what [`note`] has written; `None` where nothing was.
    pub fn read(words: &[AtomicU64]) -> Option<Self> {
        let [kind, sender] = words else { return None };
        Self::decode(kind.load(Ordering::Relaxed), sender.load(Ordering::Relaxed))
    }

    fn decode(kind: u64, sender: u64) -> Option<Self> {
        let origin = match kind >> 16 & 0xff {
            1 => Origin::Fault,
            2 => Origin::Itself,
            3 => Origin::Sender { pid: sender as u32, uid: (sender >> 32) as u32 },
            _ => return None,
        };
        let was_handled = match kind >> 24 {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(Self { signal: i32::from(kind as u8), first: i32::from((kind >> 8) as u8), origin, was_handled })
    }

    fn encode(self) -> (u64, u64) {
        let (origin, sender) = match self.origin {
            Origin::Fault => (1, 0),
            Origin::Itself => (2, 0),
            Origin::Sender { pid, uid } => (3, u64::from(uid) << 32 | u64::from(pid)),
        };
        (
            u64::from(self.was_handled) << 24
                | origin << 16
                | (self.first as u64 & 0xff) << 8
                | self.signal as u64 & 0xff,
            sender,
        )
    }
}

/// What the handler needs, set before it is there: what was there before, in the order of [`SIGNALS`].
struct Plan {
    before: [libc::sigaction; SIGNALS.len()],
}

static PLAN: OnceLock<Plan> = OnceLock::new();
/// The process that notes, ...
static OWNER: AtomicU32 = AtomicU32::new(0);
/// ... and the first of the words where it does.
static WORD: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());

/// Has the process note the signals that are about to end it in the first [`WORDS`] words, from now on. In a process that was
/// forked by one which does, the handlers are there already.
///
/// # Errors
/// sigaction(2) fails, which it does for no signal of these.
pub fn note(words: &'static [AtomicU64]) -> Result<()> {
    if words.len() < WORDS {
        return Ok(());
    }
    // What was a parent's is not written any more when the words are changed.
    OWNER.store(0, Ordering::SeqCst);
    WORD.store(words.as_ptr().cast_mut(), Ordering::SeqCst);
    OWNER.store(std::process::id(), Ordering::SeqCst);
    if PLAN.get().is_some() {
        return Ok(());
    }
    let mut before = [const { default_action() }; SIGNALS.len()];
    for (signal, before) in SIGNALS.into_iter().zip(&mut before) {
        // SAFETY: reads the present action into a struct that lives for the call.
        check(unsafe { libc::sigaction(signal, ptr::null(), before) })?;
    }
    if PLAN.set(Plan { before }).is_err() {
        return Ok(());
    }
    for (signal, before) in SIGNALS.into_iter().zip(&before) {
        if before.sa_sigaction == libc::SIG_IGN {
            continue;
        }
        let mut action = *before;
        action.sa_sigaction = handle as *const () as usize;
        action.sa_flags |= libc::SA_SIGINFO;
        // abort(3) in the handler of a fault is known by the stack that it is on: it must not have one of its own.
        if signal != libc::SIGABRT {
            action.sa_flags |= libc::SA_ONSTACK;
        }
        // SAFETY: the handler has the form of SA_SIGINFO, and calls nothing but what signal-safety(7) allows.
        check(unsafe { libc::sigaction(signal, &action, ptr::null_mut()) })?;
    }
    Ok(())
}

const fn default_action() -> libc::sigaction {
    // SAFETY: all zero is a valid sigaction: SIG_DFL, no flags, an empty mask.
    unsafe { std::mem::zeroed() }
}

fn check(result: c_int) -> Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(Error::Call { call: "sigaction", source: std::io::Error::last_os_error() }),
    }
}

extern "C" fn handle(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let Some(plan) = PLAN.get() else { return };
    let own = std::process::id();
    // SAFETY: SA_SIGINFO: the kernel gives a siginfo_t. The sender is there for signals that kill(2) and its like sent, which
    // have a code of 0 or less, and read for these alone.
    let (code, sender) =
        unsafe { ((*info).si_code, ((*info).si_code <= 0).then(|| ((*info).si_pid(), (*info).si_uid()))) };
    let Some(before) = SIGNALS.iter().position(|known| *known == signal).and_then(|place| plan.before.get(place))
    else {
        return;
    };
    if own == OWNER.load(Ordering::SeqCst) {
        let origin = match sender {
            None => Origin::Fault,
            Some((pid, _)) if pid as u32 == own => Origin::Itself,
            Some((pid, uid)) => Origin::Sender { pid: pid as u32, uid },
        };
        let was_handled = before.sa_sigaction != libc::SIG_DFL;
        // SAFETY: `note` was given that many words, which live as long as this process.
        let words = unsafe { std::slice::from_raw_parts(WORD.load(Ordering::SeqCst), WORDS) };
        write(words, Note { signal, first: signal, origin, was_handled });
    }
    if before.sa_sigaction == libc::SIG_DFL {
        let default = default_action();
        // SAFETY: restores the default. A fault happens again when the handler returns, and acts by default; what was sent
        // is sent once more, and is delivered when the handler returns.
        unsafe {
            libc::sigaction(signal, &default, ptr::null_mut());
            if code <= 0 {
                libc::raise(signal);
            }
        }
    } else if before.sa_flags & libc::SA_SIGINFO != 0 {
        // SAFETY: what was there is a handler of this form, and gets what it would have got. It may leave by longjmp(3), as
        // Ruby's does when a stack overflows: no value of these frames needs to be dropped.
        unsafe {
            let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                std::mem::transmute(before.sa_sigaction);
            handler(signal, info, context);
        }
    } else {
        // SAFETY: what was there is a handler of the older form.
        unsafe {
            let handler: extern "C" fn(c_int) = std::mem::transmute(before.sa_sigaction);
            handler(signal);
        }
    }
}

fn write(words: &[AtomicU64], note: Note) {
    let [kind, sender] = words else { return };
    let mut note = note;
    // Ruby handles a fault on a stack apart, and ends by abort(3) there.
    if note.signal == libc::SIGABRT && note.origin == Origin::Itself && on_signal_stack() {
        if let Some(before) = Note::read(words) {
            note = Note { signal: note.signal, ..before };
        }
    }
    let (kind_of, sender_of) = note.encode();
    sender.store(sender_of, Ordering::Relaxed);
    kind.store(kind_of, Ordering::Relaxed);
}

/// Whether this runs on the stack that is for handlers. See sigaltstack(2).
fn on_signal_stack() -> bool {
    // SAFETY: all zero is a valid stack_t; the call writes into it and changes nothing.
    unsafe {
        let mut stack: libc::stack_t = std::mem::zeroed();
        libc::sigaltstack(ptr::null(), &mut stack) == 0 && stack.ss_flags & libc::SS_ONSTACK != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_as_they_were_written() {
        let words = [const { AtomicU64::new(0) }; WORDS];
        assert_eq!(Note::read(&words), None);
        for note in [
            Note { signal: 11, first: 11, origin: Origin::Fault, was_handled: true },
            Note { signal: 6, first: 11, origin: Origin::Fault, was_handled: true },
            Note { signal: 6, first: 6, origin: Origin::Itself, was_handled: false },
            Note { signal: 7, first: 7, origin: Origin::Sender { pid: u32::MAX, uid: 1000 }, was_handled: false },
        ] {
            write(&words, note);
            assert_eq!(Note::read(&words), Some(note));
        }
    }

    #[test]
    fn a_process_that_wrote_nothing_has_no_note() {
        assert_eq!(Note::decode(u64::MAX, u64::MAX), None);
        assert_eq!(Note::decode(11, 0), None);
    }
}
