//! Waiting without the lock of the interpreter, so that the application's other threads run meanwhile.

use std::os::fd::RawFd;
use std::os::raw::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use reactor::Waker;

use super::protect::{Panic, Rb};

struct Wait<F> {
    closure: Option<F>,
    panic: Option<Panic>,
}

extern "C" fn run<F: FnOnce()>(argument: *mut c_void) -> *mut c_void {
    // SAFETY: `argument` is the address of a `Wait` on the stack of `without_lock`, which waits for us.
    let wait = unsafe { &mut *argument.cast::<Wait<F>>() };
    if let Some(closure) = wait.closure.take() {
        wait.panic = catch_unwind(AssertUnwindSafe(closure)).err();
    }
    std::ptr::null_mut()
}

/// Called by Ruby to end a wait: from other threads, and from signal handlers.
extern "C" fn wake(argument: *mut c_void) {
    // SAFETY: `argument` is the address of the waker that `without_lock` borrows for the whole wait.
    unsafe { &*argument.cast::<Waker>() }.wake();
}

impl Rb<'_> {
    /// Runs `closure`, which only waits and touches no Ruby object, without the lock. Signals and other threads end the
    /// wait through `waker`; what they asked for is done before this returns, and may raise.
    ///
    /// See rb_nogvl in Ruby's thread.c: `wake` is one write(2), so it may be called in a signal handler, and a signal
    /// that comes between Ruby's last look and our wait is not lost.
    pub(crate) fn without_lock<F: FnOnce()>(self, waker: &Waker, closure: F) {
        let mut wait = Wait { closure: Some(closure), panic: None };
        // SAFETY: both arguments outlive the call, and the functions take them as what they are.
        unsafe {
            rb_sys::rb_nogvl(
                Some(run::<F>),
                (&raw mut wait).cast(),
                Some(wake),
                std::ptr::from_ref(waker).cast_mut().cast(),
                rb_sys::RB_NOGVL_UBF_ASYNC_SAFE as c_int,
            );
        }
        if let Some(panic) = wait.panic {
            resume_unwind(panic);
        }
    }

    /// Waits until a descriptor can be read, as Ruby's own input does.
    pub(crate) fn wait_readable(self, fd: RawFd) {
        // SAFETY: within `protect`; raises if the descriptor is not open.
        unsafe { rb_sys::rb_thread_wait_fd(fd) };
    }
}
