//! Memory goes back to the kernel when a burst is over. The heap grows with a thousand clients that send at once; what
//! they leave is free, but lies between what is not, and glibc by itself returns only the end of its heap.
//!
//! Large buffers that are freed are counted here; a second after the last of them the heap is trimmed. A worker whose
//! clients send and take little never pays for it, nor does one in the middle of a long burst. See malloc_trim(3).

use std::sync::atomic::{AtomicUsize, Ordering};

/// How much has to be let go of: below that trimming costs more than it brings.
const MUCH_BYTES: usize = 8 << 20;
/// How long after the last of it the heap is trimmed.
const QUIET_MS: u64 = 1_000;

/// Bytes that were let go of. The heap is the process's, so is this.
static LET_GO: AtomicUsize = AtomicUsize::new(0);

/// Notes that so many bytes went back to the heap.
pub(crate) fn let_go(bytes: usize) {
    LET_GO.fetch_add(bytes, Ordering::Relaxed);
}

/// Tells whether much was let go of since this was last true.
fn take_much() -> bool {
    LET_GO.load(Ordering::Relaxed) >= MUCH_BYTES && LET_GO.swap(0, Ordering::Relaxed) >= MUCH_BYTES
}

/// When the heap is to be trimmed.
#[derive(Debug, Default)]
pub(crate) struct Trim {
    at_ms: Option<u64>,
}

impl Trim {
    /// Plans to trim when much was let go of. Returns when it is due.
    pub(crate) fn plan(&mut self, now_ms: impl Fn() -> u64) -> Option<u64> {
        if take_much() {
            self.at_ms = Some(now_ms() + QUIET_MS);
        }
        self.at_ms
    }

    /// Trims, if it is time.
    pub(crate) fn run(&mut self, now_ms: u64) {
        if self.at_ms.is_some_and(|at| at <= now_ms) {
            self.at_ms = None;
            sys::heap::trim();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn much_is_told_once() {
        let_go(MUCH_BYTES - 1);
        assert!(!take_much());
        let_go(1);
        assert!(take_much());
        assert!(!take_much());
    }
}
