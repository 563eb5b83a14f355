//! What Ruby tells of its garbage collector. See `GC.stat`.

use rb_sys::VALUE;

use super::calls::id;
use super::protect::protect;

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
