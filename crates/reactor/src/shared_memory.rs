//! Memory that the large request bodies of one worker share.
//!
//! A temporary file costs more than twice the CPU time of memory (1 MiB: 745 against 372 us per request), but memory for
//! every body that some client may announce would have no bound. So there is a fixed amount for all of them together,
//! and a file for who comes too late.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The part of it that one body may take.
const PART: usize = 4;

/// An amount of memory, in bytes.
#[derive(Clone, Debug)]
pub struct SharedMemory {
    left: Arc<AtomicUsize>,
    most_for_one: usize,
}

impl SharedMemory {
    /// Makes it so large. 0 gives nothing to anybody.
    pub fn new(bytes: usize) -> Self {
        Self { left: Arc::new(AtomicUsize::new(bytes)), most_for_one: bytes / PART }
    }
}

/// What one body takes of it, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    of: SharedMemory,
    bytes: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// How much of a body may be in memory.
#[derive(Clone, Debug)]
pub(crate) struct Allowance {
    /// What every body may have.
    pub(crate) each: usize,
    /// Where more comes from.
    pub(crate) shared: SharedMemory,
}

impl Allowance {
    /// Whether a body that has `share` may be of so many bytes. Takes more if it has to.
    pub(crate) fn allows(&self, share: &mut Option<Box<Share>>, bytes: usize) -> bool {
        let has = share.as_ref().map_or(0, |share| share.bytes);
        if bytes <= self.each.max(has) {
            return true;
        }
        if bytes > self.shared.most_for_one {
            return false;
        }
        // A body that grows takes twice what it had, so that it does not ask for each piece.
        let wants = bytes.max(has * 2).min(self.shared.most_for_one);
        let more = wants - has;
        let take = |left: usize| left.checked_sub(more);
        if self.shared.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            return false;
        }
        match share {
            Some(share) => share.bytes = wants,
            None => *share = Some(Box::new(Share { of: self.shared.clone(), bytes: wants })),
        }
        true
    }
}
