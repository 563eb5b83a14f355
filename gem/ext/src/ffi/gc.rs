//! What Ruby tells of its garbage collector. See `GC.stat`.

use rb_sys::VALUE;

use super::calls::id;
use super::protect::{Rb, protect};

/// How often the collector ran in this process, and before it was forked. It costs nothing.
pub(crate) fn gc_count() -> u64 {
    // SAFETY: the call reads a number, and never raises.
    unsafe { rb_sys::rb_gc_count() }
}

/// A number that `GC.stat` tells; none in a Ruby that does not have it.
#[derive(Clone, Copy)]
pub(crate) struct GcNumber(Option<VALUE>);

impl GcNumber {
    /// The one of this name.
    pub(crate) fn named(name: &str) -> Self {
        // SAFETY: a Symbol that was made from a name of the program's own is never collected, and is no address.
        let symbol = unsafe { rb_sys::rb_id2sym(id(name).0) };
        Self(read(symbol).map(|_| symbol))
    }

    /// What it is now.
    pub(crate) fn now(self) -> Option<u64> {
        self.0.and_then(read)
    }
}

fn read(symbol: VALUE) -> Option<u64> {
    // SAFETY: it is a Symbol; an ArgumentError for one that is not known is caught here.
    protect(|_| unsafe { rb_sys::rb_gc_stat(symbol) }).ok()
}

/// Why the next collection has to be of all objects. A Ruby before 3.3 does not tell.
#[derive(Clone, Copy)]
pub(crate) struct MajorNeed(VALUE);

impl MajorNeed {
    /// `None` in a Ruby that does not tell.
    pub(crate) fn of_this_ruby() -> Option<Self> {
        // SAFETY: see `GcNumber::named`.
        let symbol = unsafe { rb_sys::rb_id2sym(id("need_major_by").0) };
        Self(symbol).read().is_some().then_some(Self(symbol))
    }

    /// Whether it has to be.
    pub(crate) fn is_there(self) -> bool {
        self.read().unwrap_or(false)
    }

    fn read(self) -> Option<bool> {
        // SAFETY: it is a Symbol; an ArgumentError for one that is not known is caught here.
        let reason = protect(|_| unsafe { rb_sys::rb_gc_latest_gc_info(self.0) }).ok()?;
        Some(reason != rb_sys::Qnil as VALUE)
    }
}

/// Ends what the last collection has left to do, which is what `GC.disable` begins with.
pub(crate) fn finish_collection(_: Rb<'_>) {
    // SAFETY: within `protect`, as the argument says.
    let was_disabled = unsafe { rb_sys::rb_gc_disable() };
    if was_disabled == rb_sys::Qfalse as VALUE {
        // SAFETY: see above.
        unsafe { rb_sys::rb_gc_enable() };
    }
}

/// `GC.start`. The C function of this name leaves finalizers, which are Ruby code, to the next request.
pub(crate) fn collect_all(_: Rb<'_>) {
    // SAFETY: within `protect`, as the argument says; a call without arguments reads none.
    unsafe { rb_sys::rb_funcallv(rb_sys::rb_mGC, id("start").0, 0, std::ptr::null()) };
}
