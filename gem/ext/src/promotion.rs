//! The promotion of a worker: it forks a mold between two requests, which has nothing of the connections.

use std::cell::Cell;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;

use magnus::{Error, Ruby, Value};

use crate::core::{Core, engine_left};
use crate::ffi::{self, Locked};
use crate::seat::{forget_pages, inherit_pages};

/// What the master has asked for and is not done: the generation of a mold, and its control socket.
#[derive(Default)]
pub(crate) struct Promotions(Cell<Option<(u32, OwnedFd)>>);

impl Promotions {
    /// The master asks for one. Without a socket it is none.
    pub(crate) fn ask(&self, generation: u32, descriptors: Vec<OwnedFd>) {
        self.0.set(descriptors.into_iter().next().map(|control| (generation, control)));
    }

    /// Whether one waits.
    pub(crate) fn has_one(&self) -> bool {
        let waiting = self.0.take();
        let has_one = waiting.is_some();
        self.0.set(waiting);
        has_one
    }

    /// Takes it.
    pub(crate) fn take(&self) -> Option<(u32, i32)> {
        self.0.take().map(|(generation, control)| (generation, control.into_raw_fd()))
    }
}

/// The numbers of the sockets that are the server's own.
pub(crate) fn sockets(core: &Core) -> Vec<i32> {
    core.reactor().sockets().map(|fd| fd.as_raw_fd()).collect()
}

/// Yields, and what is forked meanwhile has none of the memory that this worker shares with the master and other workers.
///
/// # Errors
/// What the block raises.
pub(crate) fn apart(ruby: &Ruby, core: &Core) -> Result<Value, Error> {
    let inherit = |inherits| {
        inherit_pages(inherits);
        core.seat.inherit_board(inherits);
    };
    inherit(false);
    let outcome = ruby.yield_value(());
    inherit(true);
    outcome
}

/// For the mold that was forked so: lets go of all that is the worker's.
pub(crate) fn let_go(core: &Arc<Locked<Core>>, ruby: &Ruby) {
    engine_left();
    // The lock that the helper may hold is never released here, and parts of the engine are the helper's: it stays, empty.
    std::mem::forget(Arc::clone(core));
    let core = core.get(ruby);
    let board = core.seat.board().as_fd().as_raw_fd();
    core.shared.leave_to_parent().into_iter().chain([board]).for_each(ffi::close_abandoned);
    forget_pages();
}
