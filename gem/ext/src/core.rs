//! What the objects of the engine share: the connections, and what is known of the request that runs.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use reactor::{Access, Poller, SharedReactor, Waker};
use sys::clock::monotonic_ns;

use crate::ffi::{self, Escape, Locked};
use crate::fork::own;
use crate::gc::Collector;
use crate::request::current::Current;
use crate::request::env::Template;
use crate::request::streaming::Streaming;
use crate::seat::WorkerSeat;
use crate::usage::Usage;

pub(crate) use crate::request::current::Running;

/// Buffers larger than this are not kept.
const KEPT_BUFFER_BYTES: usize = 64 * 1024;

/// What the engine's objects share. Only the thread that holds the interpreter's lock uses it.
pub(crate) struct Core {
    pub(crate) shared: SharedReactor,
    pub(crate) poller: Poller,
    pub(crate) waker: Waker,
    pub(crate) template: Template,
    pub(crate) current: Current,
    pub(crate) seat: WorkerSeat,
    pub(crate) collector: Collector,
    pub(crate) usage: Usage,
    pub(crate) responses: Responses,
    /// What the application's input needs to know when it reads from the connection.
    pub(crate) streaming: Streaming,
    pub(crate) early_hints: bool,
    pub(crate) check_client: bool,
    /// For the heads of responses, reused.
    pub(crate) buffer: RefCell<Vec<u8>>,
    /// Whether this is a child that has let go of its parent's connections.
    pub(crate) abandoned: Cell<bool>,
}

/// What the configuration says about responses.
pub(crate) struct Responses {
    /// How long a client may take nothing of one.
    pub(crate) write_ms: u64,
    /// How much of one may be in memory before the application waits for the client.
    pub(crate) buffer_bytes: usize,
    /// Whether a body that has `to_ary` may have none of it after all, but pieces that take their time.
    pub(crate) asks_for_arrays: bool,
    /// The reason phrases that Rack has otherwise than the registry.
    pub(crate) reasons: BTreeMap<u16, Vec<u8>>,
}

/// The engine that runs in this process.
static RUNNING: Mutex<Option<Arc<Locked<Core>>>> = Mutex::new(None);

/// Notes which engine runs in this process.
pub(crate) fn engine_runs(core: &Arc<Locked<Core>>) {
    *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(core));
}

/// Notes that none does any more.
pub(crate) fn engine_left() {
    *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Returns the engine that runs in this process.
pub(crate) fn running_engine() -> Option<Arc<Locked<Core>>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl Core {
    /// Gives access to the connections, for a moment. A child that the application forked has none.
    pub(crate) fn reactor(&self) -> Access<'_> {
        if ffi::is_forked() && !self.abandoned.replace(true) {
            self.shared.abandon();
        }
        self.shared.access()
    }

    /// Runs what may take long in the application; the other connections are looked after meanwhile. A child that was
    /// forked in there, and comes back, is told apart here: [`Escape::Child`].
    pub(crate) fn away<T>(&self, work: impl FnOnce() -> Result<T, Escape>) -> Result<T, Escape> {
        self.shared.lend();
        let outcome = own(work());
        if !matches!(outcome, Err(Escape::Child(_))) {
            self.shared.take_back();
        }
        outcome
    }

    /// Does between two requests what the collector has to do, if no other worker does: see [`Collector::is_due`]. Others
    /// take the connections that have something to do meanwhile. Returns whether it did something.
    pub(crate) fn collect_garbage(&self) -> Result<bool, Escape> {
        let began_ns = monotonic_ns();
        let lease = || !self.reactor().is_retiring() && self.seat.take_lease(began_ns);
        if !self.collector.is_due(began_ns, lease) {
            return Ok(false);
        }
        self.shared.lend_for_long();
        let outcome = own(self.collector.work());
        self.shared.take_back();
        self.seat.give_back_lease();
        self.seat.look(|seat| self.collector.note(seat));
        outcome.map(|()| true)
    }

    /// Lends an empty buffer.
    pub(crate) fn lend_buffer(&self) -> Vec<u8> {
        let mut buffer = self.buffer.take();
        buffer.reserve(1_024);
        buffer
    }

    /// Takes a buffer back to lend it again, unless it grew large.
    pub(crate) fn take_back(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= KEPT_BUFFER_BYTES {
            buffer.clear();
            self.buffer.replace(buffer);
        }
    }
}
