//! Data that the lock of the interpreter guards.

use magnus::Ruby;

/// Data that only threads holding the interpreter's lock touch.
pub(crate) struct Locked<T>(T);

// SAFETY: `get` asks for the proof that the lock is held, so that no two threads use the data at once. It is dropped by
// the garbage collector, which holds the lock too.
unsafe impl<T> Send for Locked<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Locked<T> {}

impl<T> Locked<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self(inner)
    }

    /// Returns the data to a thread that holds the lock.
    pub(crate) fn get(&self, _lock: &Ruby) -> &T {
        &self.0
    }
}
