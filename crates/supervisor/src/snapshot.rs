//! What the decisions of an upgrade in place depend on, handed from one program to the next.
//!
//! It is taken only while nothing rolls, so that there is no roll to remember. Processes may be in any state. Its form is part of the state that is kept compatible between
//! versions: a field that is added has a default (`#[serde(default)]`), none changes its meaning.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::back_off::{BackOff, Dice};
use crate::fleet::Fleet;
use crate::line::{Line, Previous, Source};
use crate::mold::Mold;
use crate::service::Services;
use crate::state::State;
use crate::successor::{InPlace, Stage, Successor};
use crate::supervisor::Supervisor;
use crate::time::Instant;
use crate::types::{Config, Generation, Plan, SlotId, Ticket, WorkerId};
use crate::up::{Course, Up};
use crate::worker::Worker;

/// What a supervisor knows while it serves and nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    line: Line,
    #[serde(flatten)]
    wanted: Wanted,
    #[serde(default)]
    previous: Option<Box<Previous>>,
    workers: BTreeMap<WorkerId, Worker>,
    molds: BTreeMap<Generation, Mold>,
    back_offs: BTreeMap<SlotId, BackOff>,
    boot_timeout: Duration,
    last_generation: u32,
    last_worker: u32,
    dice: Dice,
    #[serde(default)]
    services: Services,
    /// The moment of the latest event.
    now: Instant,
    /// What waits for the upgrade.
    #[serde(flatten)]
    waiting: Waiting,
}

/// How many workers are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Wanted {
    target: u32,
    #[serde(default)]
    by_hand: bool,
    winched: bool,
}

/// The requests that wait for an upgrade.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Waiting {
    /// Those for the upgrade itself.
    tickets: Vec<Ticket>,
    /// Those for a reload that was asked for meanwhile, if one was.
    reload: Option<Vec<Ticket>>,
}

/// Why a snapshot is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotError(&'static str);

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl core::error::Error for SnapshotError {}

impl Supervisor {
    /// What the next program has to know, while an upgrade in place is under way; a stop calls it off. What is executed with
    /// it is executed after [`crate::Action::Execute`], when all actions have been performed.
    pub fn snapshot(&self) -> Option<Snapshot> {
        let (State::Up(up), Successor::InPlace(in_place)) = (&self.state, &self.fleet.successor) else { return None };
        let fleet = &self.fleet;
        matches!(up.course, Course::Steady).then(|| Snapshot {
            line: up.line,
            wanted: Wanted { target: up.target, by_hand: up.by_hand, winched: up.winched },
            previous: up.previous.clone(),
            workers: fleet.workers.clone(),
            molds: fleet.molds.clone(),
            back_offs: fleet.back_offs.clone(),
            boot_timeout: fleet.in_force.boot_timeout,
            last_generation: fleet.last_generation,
            last_worker: fleet.last_worker,
            dice: fleet.dice,
            services: fleet.services.clone(),
            now: self.now,
            waiting: Waiting { tickets: in_place.tickets.clone(), reload: in_place.reload.clone() },
        })
    }

    /// The supervisor that goes on where another one was. Tell it [`crate::Event::Replaced`], or
    /// [`crate::Event::NotReplaced`] when this is the program that had been replaced.
    ///
    /// # Errors
    /// The snapshot contradicts itself.
    pub fn restore(config: Config, snapshot: Snapshot) -> Result<Self, SnapshotError> {
        snapshot.check()?;
        let Snapshot { line, wanted: Wanted { target, by_hand, winched }, previous, .. } = snapshot;
        let up = Up { line, target, by_hand, winched, course: Course::Steady, previous };
        let mut fleet = Fleet::new(config);
        fleet.workers = snapshot.workers;
        fleet.molds = snapshot.molds;
        fleet.back_offs = snapshot.back_offs;
        fleet.in_force = Plan { boot_timeout: snapshot.boot_timeout, ..snapshot.line.plan };
        fleet.last_generation = snapshot.last_generation;
        fleet.last_worker = snapshot.last_worker;
        fleet.dice = snapshot.dice;
        fleet.services = snapshot.services;
        fleet.successor = Successor::InPlace(InPlace {
            stage: Stage::Executing,
            tickets: snapshot.waiting.tickets,
            reload: snapshot.waiting.reload,
        });
        Ok(Self { state: State::Up(up), fleet, now: snapshot.now })
    }
}

impl Snapshot {
    fn check(&self) -> Result<(), SnapshotError> {
        let source = match &self.line.source {
            Source::Ready => self.molds.get(&self.line.generation).is_some_and(|mold| mold.ready_since().is_some()),
            Source::Booting(generation) => self.molds.get(generation).is_some_and(Mold::boots),
            Source::Lost => true,
        };
        if !source {
            return Err(SnapshotError("the mold in force is missing"));
        }
        let is_ready =
            |kept: &Previous| self.molds.get(&kept.line.generation).is_some_and(|mold| mold.ready_since().is_some());
        if !self.previous.as_deref().is_none_or(is_ready) {
            return Err(SnapshotError("the mold that is kept is missing"));
        }
        if self.workers.keys().any(|id| id.0 > self.last_worker) {
            return Err(SnapshotError("a worker has a number that was never given out"));
        }
        if self.molds.keys().any(|generation| generation.0 > self.last_generation) {
            return Err(SnapshotError("a mold has a number that was never given out"));
        }
        Ok(())
    }
}
