//! The supervisor itself.

use alloc::collections::{BTreeMap, VecDeque};

use crate::action::Action;
use crate::event::Event;
use crate::time::Instant;
use crate::types::{Config, Generation, WorkerId};
use crate::worker::Worker;

/// What the server is doing, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// [`Event::Start`] has not come yet.
    New,
    /// The first boot.
    Booting,
    /// Serving, and nothing else.
    Serving,
    /// Serving, while the next mold boots.
    Preparing,
    /// Serving, while workers are replaced slot by slot.
    Rolling,
    /// The new generation serves; old workers finish.
    Draining,
    /// A graceful stop was asked for, `shutdown_delay` runs.
    Delaying,
    /// Stopping.
    Stopping,
    /// [`Action::Exit`] was given out.
    Over,
}

/// The master's decisions.
#[derive(Debug)]
pub struct Supervisor {
    workers: BTreeMap<WorkerId, Worker>,
    actions: VecDeque<Action>,
}

impl Supervisor {
    /// A supervisor that waits for [`Event::Start`].
    pub fn new(config: Config) -> Self {
        let _ = config;
        Self { workers: BTreeMap::new(), actions: VecDeque::new() }
    }

    /// Takes in one event.
    pub fn handle(&mut self, now: Instant, event: Event) {
        let _ = (now, event);
    }

    /// The next deed, oldest first.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to send [`Event::Tick`] at the latest.
    pub fn next_deadline(&self) -> Option<Instant> {
        None
    }

    /// What the server is doing.
    pub fn phase(&self) -> Phase {
        Phase::New
    }

    /// The committed generation: the mold that new workers come from.
    pub fn generation(&self) -> Option<Generation> {
        None
    }

    /// How many workers are wanted.
    pub fn worker_processes(&self) -> u32 {
        0
    }

    /// All worker processes, retiring ones included.
    pub fn workers(&self) -> impl Iterator<Item = (WorkerId, &Worker)> {
        self.workers.iter().map(|(id, worker)| (*id, worker))
    }

    /// Slots that the new generation serves, and slots in all; `None` when no roll is on.
    pub fn roll_progress(&self) -> Option<(u32, u32)> {
        None
    }

    /// Whether load balancers should send requests here.
    pub fn readyz(&self) -> bool {
        false
    }
}
