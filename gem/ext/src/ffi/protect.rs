//! Where Ruby's jumps are caught: [`protect`], what it caught, and the proof that it is around.

use std::any::Any;
use std::marker::PhantomData;
use std::os::raw::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use magnus::rb_sys::{AsRawValue, FromRawValue};
use magnus::value::ReprValue;
use magnus::{Error, Exception, Ruby, Value};
use rb_sys::VALUE;

/// Proof that Ruby's jumps are caught here, and that this thread holds the lock of the interpreter.
#[derive(Clone, Copy)]
pub(crate) struct Rb<'p>(pub(super) PhantomData<Brand<'p>>);

/// Ties an [`Rb`] to one call of [`protect`] and to one thread.
pub(super) type Brand<'p> = (fn(&'p ()) -> &'p (), *const ());

/// How a call into Ruby ended when it did not return.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Escape {
    /// An exception.
    Raised(Exception),
    /// Something else that must go on its way: `throw`, or the end of the thread.
    Jump(c_int),
    /// This is a child that the application forked in the call, and has come back out of it. It shares sockets, epoll
    /// and scoreboard with its parent, which goes on with the request: all that is left to it is to end.
    Child(ChildEnd),
}

/// How a child came back out of the call in which it was forked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ChildEnd {
    /// By returning.
    Returned,
    /// By an exception.
    Raised(Exception),
    /// By something else.
    Jumped(c_int),
}

impl Escape {
    /// Returns the exception if it is one that applications are expected to raise.
    pub(crate) fn standard_error(&self) -> Option<Exception> {
        match self {
            Self::Raised(exception) if exception.is_kind_of(ruby().exception_standard_error()) => Some(*exception),
            _ => None,
        }
    }

    /// What is left to a child of the application that has come back with this outcome.
    pub(crate) fn of_child<T>(outcome: Result<T, Escape>) -> Self {
        Self::Child(match outcome {
            Ok(_) => ChildEnd::Returned,
            Err(Self::Raised(exception)) => ChildEnd::Raised(exception),
            Err(Self::Jump(state)) => ChildEnd::Jumped(state),
            Err(Self::Child(end)) => end,
        })
    }

    /// Turns it into what a method of the extension returns to have it go on.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Child(ChildEnd::Returned) => exit().into_error(),
            Self::Raised(exception) | Self::Child(ChildEnd::Raised(exception)) => Error::from(exception),
            Self::Jump(state) | Self::Child(ChildEnd::Jumped(state)) => {
                let outcome = magnus::rb_sys::protect(|| {
                    // SAFETY: `state` came from rb_protect and the error information was left as it was.
                    unsafe { rb_sys::rb_jump_tag(state) }
                });
                match outcome {
                    Err(error) => error,
                    Ok(_) => Error::new(ruby().exception_fatal(), "a jump came back"),
                }
            }
        }
    }
}

/// How a child that the application forked ends when it returns from the call: it is no worker.
fn exit() -> Escape {
    let kernel = ruby().module_kernel().as_value();
    match protect(|rb| rb.send(kernel, "exit", &[])) {
        Err(escape) => escape,
        // An application may have redefined it.
        Ok(_) => std::process::exit(0),
    }
}

/// The interpreter. Only for threads that hold its lock: everything in this extension but what runs in
/// `Rb::without_lock`.
pub(crate) fn ruby() -> Ruby {
    // SAFETY: methods of the extension and what they call run with the lock; `without_lock` takes closures of other
    // crates only.
    unsafe { Ruby::get_unchecked() }
}

pub(super) fn value(raw: VALUE) -> Value {
    // SAFETY: called with what Ruby's functions returned or passed to a callback, except Qundef.
    unsafe { Value::from_raw(raw) }
}

struct Call<F, T> {
    closure: Option<F>,
    outcome: Option<std::thread::Result<T>>,
}

extern "C" fn trampoline<F: FnOnce(Rb<'_>) -> T, T>(argument: VALUE) -> VALUE {
    // SAFETY: `argument` is the address of a `Call` on the stack of `protect`, which waits for us.
    let call = unsafe { &mut *(argument as *mut Call<F, T>) };
    if let Some(closure) = call.closure.take() {
        call.outcome = Some(catch_unwind(AssertUnwindSafe(|| closure(Rb(PhantomData)))));
    }
    rb_sys::Qnil as VALUE
}

/// Runs `closure`, which may call Ruby, and catches how Ruby may leave it. See rb_protect in Ruby's extension.rdoc.
pub(crate) fn protect<F: FnOnce(Rb<'_>) -> T, T>(closure: F) -> Result<T, Escape> {
    let mut call = Call { closure: Some(closure), outcome: None };
    let mut state = 0;
    // SAFETY: the trampoline gets the address of `call`, which outlives the call.
    unsafe { rb_sys::rb_protect(Some(trampoline::<F, T>), (&raw mut call) as VALUE, &raw mut state) };
    match call.outcome {
        _ if state != 0 => Err(escape(state)),
        Some(Ok(outcome)) => Ok(outcome),
        Some(Err(panic)) => resume_unwind(panic),
        None => Err(escape(state)),
    }
}

fn escape(state: c_int) -> Escape {
    // SAFETY: reads a field of the running thread.
    let info = value(unsafe { rb_sys::rb_errinfo() });
    match Exception::from_value(info) {
        Some(exception) => {
            // SAFETY: nil is what rb_set_errinfo takes to clear it.
            unsafe { rb_sys::rb_set_errinfo(rb_sys::Qnil as VALUE) };
            Escape::Raised(exception)
        }
        None => Escape::Jump(state),
    }
}

/// Keeps an object alive, at its place, for as long as the process lives.
pub(crate) fn keep<T: ReprValue>(object: T) -> T {
    ruby().gc_register_mark_object(object);
    object
}

/// A panic caught in a callback of Ruby, to be resumed behind Ruby's frames.
pub(super) type Panic = Box<dyn Any + Send>;

impl Rb<'_> {
    /// Goes on with what [`protect`] caught. Nothing between here and that `protect` has a destructor to run.
    pub(crate) fn resume(self, escape: Escape) -> ! {
        match escape {
            // SAFETY: within `protect`.
            Escape::Raised(exception) | Escape::Child(ChildEnd::Raised(exception)) => unsafe {
                rb_sys::rb_exc_raise(exception.as_raw())
            },
            // SAFETY: within `protect`; `state` came from rb_protect and the error information was left as it was.
            Escape::Jump(state) | Escape::Child(ChildEnd::Jumped(state)) => unsafe { rb_sys::rb_jump_tag(state) },
            Escape::Child(ChildEnd::Returned) => self.resume(exit()),
        }
    }

    /// Runs what signals and other threads asked of this thread; may raise what a trap raises.
    pub(crate) fn check_interrupts(self) {
        // SAFETY: within `protect`.
        unsafe { rb_sys::rb_thread_check_ints() };
    }
}
