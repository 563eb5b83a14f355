//! Method calls, and callbacks for what Ruby iterates over.

use std::cell::{Cell, RefCell};
use std::os::raw::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::OnceLock;

use magnus::Value;
use magnus::rb_sys::AsRawValue;
use rb_sys::{ID, VALUE};

use super::{Panic, Rb, strings, value};

/// A method name.
#[derive(Clone, Copy)]
pub(crate) struct Id(ID);

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

fn id(name: &str) -> Id {
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

thread_local! {
    /// The iterations over `each` that are going on in this thread. Ruby gets their number, not their address: an object
    /// may keep the block that it was given.
    static ACTIVE: RefCell<Vec<(VALUE, *mut c_void)>> = const { RefCell::new(Vec::new()) };
    static NEXT: Cell<VALUE> = const { Cell::new(0) };
}

/// Returns how many iterations are going on.
pub(super) fn active_depth() -> usize {
    ACTIVE.with_borrow(Vec::len)
}

/// Takes out the iterations that were begun since there were `depth`: they are over.
pub(super) fn forget_active(depth: usize) {
    ACTIVE.with_borrow_mut(|active| active.truncate(depth));
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
    let Some(visit) =
        ACTIVE.with_borrow(|active| active.iter().find(|(number, _)| *number == argument).map(|(_, v)| *v))
    else {
        // The object kept the block and calls it after its `each` was over.
        return rb_sys::Qnil as VALUE;
    };
    // SAFETY: it is the address of a `Visit` on the stack of `each`, which waits for us: entries of calls that are over
    // are taken out, also when they were left by a jump (`protect` does that).
    let visit = unsafe { &mut *visit.cast::<Visit<'_>>() };
    let nil = value(rb_sys::Qnil as VALUE);
    let second = if count > 1 {
        // SAFETY: there are `count` arguments.
        value(unsafe { *arguments.add(1) })
    } else {
        nil
    };
    let first = if count > 0 { value(first) } else { nil };
    if visit.run(first, second) == Flow::Break {
        // SAFETY: we are in a block called by rb_block_call, below; nothing here has a destructor to run.
        unsafe { rb_sys::rb_iter_break() };
    }
    rb_sys::Qnil as VALUE
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
        let mut visit = Visit { visitor: &mut visitor, panic: None };
        let number = NEXT.replace(NEXT.get() + 1);
        let depth = active_depth();
        ACTIVE.with_borrow_mut(|active| active.push((number, (&raw mut visit).cast())));
        // SAFETY: within `protect`; the callback looks the number up.
        unsafe {
            rb_sys::rb_block_call(object.as_raw(), ids().each.0, 0, std::ptr::null(), Some(visit_yielded), number);
        }
        forget_active(depth);
        if let Some(panic) = visit.panic {
            resume_unwind(panic);
        }
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
