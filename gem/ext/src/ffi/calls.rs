//! Method calls, and callbacks for what Ruby iterates over.

use std::os::raw::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use magnus::Value;
use magnus::rb_sys::AsRawValue;
use rb_sys::{ID, VALUE};

use super::forks::is_forked;
use super::protect::{Escape, Panic, Rb, protect, value};
use super::strings;

/// A method name.
#[derive(Clone, Copy)]
pub(crate) struct Id(pub(super) ID);

/// The method names that are called for each request.
pub(crate) struct Ids {
    pub(crate) call: Id,
    pub(crate) close: Id,
    pub(crate) each: Id,
    pub(crate) to_ary: Id,
    pub(crate) to_i: Id,
    pub(crate) to_path: Id,
}

/// Returns the method names, made once.
pub(crate) fn ids() -> &'static Ids {
    static IDS: OnceLock<Ids> = OnceLock::new();
    IDS.get_or_init(|| Ids {
        call: id("call"),
        close: id("close"),
        each: id("each"),
        to_ary: id("to_ary"),
        to_i: id("to_i"),
        to_path: id("to_path"),
    })
}

pub(super) fn id(name: &str) -> Id {
    // SAFETY: the pointer and length are of one string; Ruby copies.
    Id(unsafe { rb_sys::rb_intern2(name.as_ptr().cast(), name.len() as i64) })
}

/// Whether an iteration goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Give the next.
    Continue,
    /// Stop, as `break` does.
    Break,
}

/// A closure lent to Ruby for one iteration.
struct Visit<'v> {
    visitor: &'v mut dyn FnMut(Rb<'_>, Value, Value) -> Flow,
    panic: Option<Panic>,
}

impl Visit<'_> {
    fn run(&mut self, first: Value, second: Value) -> Flow {
        let visitor = &mut self.visitor;
        match catch_unwind(AssertUnwindSafe(|| visitor(Rb(std::marker::PhantomData), first, second))) {
            Ok(flow) => flow,
            Err(panic) => {
                self.panic = Some(panic);
                Flow::Break
            }
        }
    }
}

/// A block that is lent to Ruby. Ruby gets its number, not its address: an object may keep the block that it was given,
/// and other threads may call it.
struct Lent {
    number: VALUE,
    /// The thread that lends it.
    owner: VALUE,
    /// The fiber whose `each` has it; none before and afterwards.
    iterates: Option<VALUE>,
    holder: Holder,
}

/// Where the visitor of a block is.
enum Holder {
    /// There for the next call.
    Free(*mut c_void),
    /// In a call, in this thread.
    Call(VALUE),
}

// SAFETY: only threads that hold the interpreter's lock follow the address, one at a time: see `visit_yielded`.
unsafe impl Send for Lent {}

/// The blocks that are lent now. Locked for a moment each time, by threads that hold the interpreter's lock.
static LENT: Mutex<Vec<Lent>> = Mutex::new(Vec::new());
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A block for [`Rb::each_to`].
#[derive(Clone, Copy)]
pub(crate) struct Block(VALUE);

/// What a call of a block finds.
enum Found {
    Visitor(*mut c_void),
    Busy(VALUE),
    Over,
}

fn lent() -> MutexGuard<'static, Vec<Lent>> {
    LENT.lock().unwrap_or_else(PoisonError::into_inner)
}

fn this_thread() -> VALUE {
    // SAFETY: reads the running thread.
    unsafe { rb_sys::rb_thread_current() }
}

/// Takes the visitor of a block for a call in this thread.
fn take(number: VALUE) -> Found {
    let mut lent = lent();
    let Some(entry) = lent.iter_mut().find(|entry| entry.number == number) else { return Found::Over };
    match entry.holder {
        Holder::Free(visit) => {
            entry.holder = Holder::Call(this_thread());
            Found::Visitor(visit)
        }
        Holder::Call(thread) => Found::Busy(thread),
    }
}

/// Gives it back. True when this very thread and fiber iterate, so that they can leave the iteration.
fn give_back(number: VALUE, visit: *mut c_void) -> bool {
    let mut lent = lent();
    let Some(entry) = lent.iter_mut().find(|entry| entry.number == number) else { return false };
    entry.holder = Holder::Free(visit);
    entry.owner == this_thread() && entry.iterates == Some(this_fiber())
}

/// Notes which fiber iterates, if any does.
fn note_iteration(number: VALUE, iterates: Option<VALUE>) {
    if let Some(entry) = lent().iter_mut().find(|entry| entry.number == number) {
        entry.iterates = iterates;
    }
}

fn this_fiber() -> VALUE {
    // SAFETY: returns the running fiber.
    unsafe { rb_sys::rb_fiber_current() }
}

/// Ends the life of a block. False: a call of another thread is still in it.
fn withdraw(number: VALUE) -> bool {
    let (mut lent, here) = (lent(), this_thread());
    // A child that the application forked has none of its parent's other threads.
    let busy = |entry: &Lent| matches!(entry.holder, Holder::Call(thread) if thread != here) && !is_forked();
    if lent.iter().any(|entry| entry.number == number && busy(entry)) {
        return false;
    }
    lent.retain(|entry| entry.number != number);
    true
}

/// Lends a block for as long as `work` lasts, which gets it and gives it to Ruby. Calls of other threads are served
/// too, one at a time; calls afterwards raise. Call it outside of [`protect`], or where nothing jumps out of `work`.
///
/// # Errors
/// What was asked of this thread while it waited for another one to leave the block.
pub(crate) fn with_block<T>(
    visitor: &mut dyn FnMut(Rb<'_>, Value, Value) -> Flow,
    work: impl FnOnce(Block) -> T,
) -> Result<T, Escape> {
    let mut visit = Visit { visitor, panic: None };
    let number = NEXT.fetch_add(1, Ordering::Relaxed) as VALUE;
    let holder = Holder::Free((&raw mut visit).cast());
    lent().push(Lent { number, owner: this_thread(), iterates: None, holder });
    let outcome = catch_unwind(AssertUnwindSafe(|| work(Block(number))));
    let mut asked = None;
    while !withdraw(number) {
        if let Err(escape) = protect(|rb| rb.pause()) {
            asked = Some(escape);
        }
    }
    if let Some(panic) = visit.panic {
        resume_unwind(panic);
    }
    let outcome = outcome.unwrap_or_else(|panic| resume_unwind(panic));
    asked.map_or(Ok(outcome), Err)
}

extern "C" fn visit_pair(key: VALUE, object: VALUE, argument: VALUE) -> c_int {
    // SAFETY: `argument` is the address of a `Visit` on the stack of `each_pair`, which waits for us.
    let visit = unsafe { &mut *(argument as *mut Visit<'_>) };
    match visit.run(value(key), value(object)) {
        Flow::Continue => rb_sys::st_retval::ST_CONTINUE as c_int,
        Flow::Break => rb_sys::st_retval::ST_STOP as c_int,
    }
}

extern "C" fn visit_yielded(
    first: VALUE,
    argument: VALUE,
    count: c_int,
    arguments: *const VALUE,
    _block: VALUE,
) -> VALUE {
    let rb = Rb(std::marker::PhantomData);
    let visit = loop {
        match take(argument) {
            Found::Visitor(visit) => break visit,
            Found::Over => rb.raise_io_error(c"the response is over: what comes now reaches no client"),
            Found::Busy(thread) if thread == this_thread() || is_forked() => {
                rb.raise_io_error(c"the body yields while it is asked for what it yielded")
            }
            Found::Busy(_) => rb.pause(),
        }
    };
    let nil = value(rb_sys::Qnil as VALUE);
    let second = if count > 1 {
        // SAFETY: there are `count` arguments.
        value(unsafe { *arguments.add(1) })
    } else {
        nil
    };
    let first = if count > 0 { value(first) } else { nil };
    // SAFETY: it is the address of a `Visit` on the stack of `with_block`, which waits for us, and of which this call
    // has the only reference until it is given back.
    let outcome = protect(|_| unsafe { &mut *visit.cast::<Visit<'_>>() }.run(first, second));
    let iterates = give_back(argument, visit);
    match outcome {
        Ok(Flow::Break) if iterates => {
            // SAFETY: we are in a block called by rb_block_call, below; nothing here has a destructor to run.
            unsafe { rb_sys::rb_iter_break() }
        }
        // Other threads and fibers, and the body's `close`, cannot leave an iteration that is not theirs, or over.
        Ok(Flow::Break) => rb.raise_io_error(c"the client has left: what comes now reaches no client"),
        Ok(Flow::Continue) => rb_sys::Qnil as VALUE,
        Err(escape) => rb.resume(escape),
    }
}

impl Rb<'_> {
    /// Calls a public or private method.
    pub(crate) fn call(self, object: Value, method: Id, arguments: &[Value]) -> Value {
        // SAFETY: `Value` is a transparent wrapper of VALUE; pointer and length are of one slice, which lives on the
        // stack of the caller, where Ruby finds the objects.
        value(unsafe {
            rb_sys::rb_funcallv(object.as_raw(), method.0, arguments.len() as c_int, arguments.as_ptr().cast())
        })
    }

    /// Calls a method by its name.
    pub(crate) fn send(self, object: Value, method: &str, arguments: &[Value]) -> Value {
        self.call(object, id(method), arguments)
    }

    /// Tells whether an object has a public method.
    pub(crate) fn responds(self, object: Value, method: Id) -> bool {
        // SAFETY: within `protect`; may call `respond_to?` or `respond_to_missing?`.
        unsafe { rb_sys::rb_respond_to(object.as_raw(), method.0) != 0 }
    }

    /// Visits the entries of a Hash.
    pub(crate) fn each_pair(self, hash: Value, mut visitor: impl FnMut(Rb<'_>, Value, Value) -> Flow) {
        let mut visit = Visit { visitor: &mut visitor, panic: None };
        // SAFETY: it is a Hash (the caller looked), and `visit` outlives the call. Ruby declares the callback without
        // types; it is called with key, value and the argument.
        unsafe {
            rb_sys::rb_hash_foreach(hash.as_raw(), Some(visit_pair), (&raw mut visit) as VALUE);
        }
        if let Some(panic) = visit.panic {
            resume_unwind(panic);
        }
    }

    /// Calls `each` and visits what it yields: the first two arguments, nil where there are fewer.
    pub(crate) fn each(self, object: Value, mut visitor: impl FnMut(Rb<'_>, Value, Value) -> Flow) {
        let outcome = with_block(&mut visitor, |block| protect(|rb| rb.each_to(object, block)));
        if let Err(escape) | Ok(Err(escape)) = outcome {
            self.resume(escape);
        }
    }

    /// Calls `each` with a block that is lent. Raises what it raises.
    pub(crate) fn each_to(self, object: Value, block: Block) {
        note_iteration(block.0, Some(this_fiber()));
        let outcome = protect(|_| {
            // SAFETY: within `protect`; the callback looks the number up.
            unsafe {
                rb_sys::rb_block_call(object.as_raw(), ids().each.0, 0, std::ptr::null(), Some(visit_yielded), block.0);
            }
        });
        note_iteration(block.0, None);
        if let Err(escape) = outcome {
            self.resume(escape);
        }
    }

    /// Lets other threads run for a moment.
    fn pause(self) {
        let millisecond = rb_sys::timeval { tv_sec: 0, tv_usec: 1_000 };
        // SAFETY: within `protect`, or in a callback of Ruby; may raise what was asked of this thread.
        unsafe { rb_sys::rb_thread_wait_for(millisecond) };
    }

    /// Raises an IOError, as writing to a closed connection does.
    fn raise_io_error(self, text: &std::ffi::CStr) -> ! {
        // SAFETY: within `protect`, or in a callback of Ruby; the text is the format, without conversions.
        unsafe { rb_sys::rb_raise(rb_sys::rb_eIOError, text.as_ptr()) }
    }

    /// Visits what an array, or anything with `each`, holds.
    pub(crate) fn each_element(self, object: Value, mut visitor: impl FnMut(Rb<'_>, Value) -> Flow) {
        if !strings::is_array(object) {
            return self.each(object, |rb, element, _| visitor(rb, element));
        }
        let mut index = 0;
        while index < strings::length(object) {
            if visitor(self, strings::element(object, index)) == Flow::Break {
                return;
            }
            index += 1;
        }
    }

    /// Loads a library.
    pub(crate) fn require(self, library: &std::ffi::CStr) {
        // SAFETY: within `protect`; the name is a C string.
        unsafe { rb_sys::rb_require(library.as_ptr()) };
    }
}
