//! Who is who among the children of this process.
//!
//! What is decided about a mold or a worker (its slot, its generation, what it is told) the supervisor knows; here is what
//! is done with: processes, channels, seats.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

use supervisor::{Generation, WorkerId};
use sys::memory::Shared;

use crate::children::mold::Mold;
use crate::children::seats::Seats;
use crate::children::worker::{Process, Worker};
use crate::report::log::Log;

/// What a child of this process is. All others are strangers: descendants of the application that were orphaned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The mold of this generation.
    Mold(Generation),
    /// This worker, which has announced itself.
    Worker(WorkerId),
    /// The new master.
    Successor,
    /// What answers health checks.
    Admin,
    /// The program that is to take this one's place, while it is looked at.
    Preflight,
}

/// All children.
pub(crate) struct Children {
    /// By process id, from the start of each (of a worker: from its announcement) until it is reaped.
    known: BTreeMap<u32, Who>,
    molds: BTreeMap<Generation, Mold>,
    workers: BTreeMap<WorkerId, Worker>,
    pub(crate) seats: Seats,
}

impl Children {
    /// None yet.
    pub(crate) fn none(scoreboard: Shared) -> Self {
        let seats = Seats::of(scoreboard);
        Self { known: BTreeMap::new(), molds: BTreeMap::new(), workers: BTreeMap::new(), seats }
    }

    /// Who this is.
    pub(crate) fn who(&self, pid: u32) -> Option<Who> {
        self.known.get(&pid).copied()
    }

    /// A child was started.
    pub(crate) fn register(&mut self, pid: u32, who: Who) {
        self.known.insert(pid, who);
    }

    /// A child was reaped, or is a stranger from now on. Returns who it was.
    pub(crate) fn forget(&mut self, pid: u32) -> Option<Who> {
        self.known.remove(&pid)
    }

    /// What to poll.
    pub(crate) fn readable(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let molds = self.molds.values().filter_map(|mold| mold.link.readable());
        molds.chain(self.workers.values().filter_map(|worker| worker.link.readable()))
    }
}

/// Molds.
impl Children {
    /// All of them, oldest first.
    pub(crate) fn molds(&self) -> impl Iterator<Item = (Generation, &Mold)> {
        self.molds.iter().map(|(generation, mold)| (*generation, mold))
    }

    /// The same, to be changed.
    pub(crate) fn molds_mut(&mut self) -> impl Iterator<Item = &mut Mold> {
        self.molds.values_mut()
    }

    /// The mold of this generation.
    pub(crate) fn mold(&self, generation: Generation) -> Option<&Mold> {
        self.molds.get(&generation)
    }

    /// The same, to be changed.
    pub(crate) fn mold_mut(&mut self, generation: Generation) -> Option<&mut Mold> {
        self.molds.get_mut(&generation)
    }

    /// A mold was started.
    pub(crate) fn add_mold(&mut self, generation: Generation, mold: Mold) {
        self.register(mold.pid, Who::Mold(generation));
        self.molds.insert(generation, mold);
    }

    /// A mold was reaped.
    pub(crate) fn remove_mold(&mut self, generation: Generation) -> Option<Mold> {
        self.molds.remove(&generation)
    }
}

/// Workers.
impl Children {
    /// All of them, oldest first.
    pub(crate) fn workers(&self) -> impl Iterator<Item = (WorkerId, &Worker)> {
        self.workers.iter().map(|(id, worker)| (*id, worker))
    }

    /// This worker.
    pub(crate) fn worker(&self, id: WorkerId) -> Option<&Worker> {
        self.workers.get(&id)
    }

    /// The same, to be changed.
    pub(crate) fn worker_mut(&mut self, id: WorkerId) -> Option<&mut Worker> {
        self.workers.get_mut(&id)
    }

    /// A mold was asked for a worker, or the program before this one had it. It has its seat.
    pub(crate) fn add_worker(&mut self, id: WorkerId, worker: Worker) {
        if let Some(pid) = worker.pid() {
            self.register(pid, Who::Worker(id));
        }
        self.workers.insert(id, worker);
    }

    /// A worker is there, as this process: it gets the signal that waits for it.
    pub(crate) fn announce(&mut self, id: WorkerId, process: Process, log: &Log) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let before = std::mem::replace(&mut worker.process, process);
        if let Process::Unborn { waiting: Some(signal) } = before {
            worker.signal(signal, log);
        }
        if let Some(pid) = worker.pid() {
            self.register(pid, Who::Worker(id));
        }
    }

    /// A worker was reaped, or never came to be: frees its seat. Returns how many requests it has served.
    pub(crate) fn remove_worker(&mut self, id: WorkerId) -> Option<u64> {
        let worker = self.workers.remove(&id)?;
        Some(self.seats.free(worker.seat))
    }

    /// What is written on the seat of this worker.
    pub(crate) fn seat(&self, id: WorkerId) -> Option<scoreboard::Seat<'_>> {
        self.seats.seat(self.worker(id)?.seat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::children::link::Link;
    use crate::children::worker::WorkerStage;
    use supervisor::SlotId;
    use sys::pidfd::Child;

    fn children() -> Children {
        Children::none(Shared::create("test-scoreboard", scoreboard::BYTES).unwrap())
    }

    #[test]
    fn a_child_is_known_until_it_is_reaped() {
        let mut children = children();
        children.register(7, Who::Admin);
        children.register(8, Who::Preflight);
        assert_eq!((children.who(7), children.who(9)), (Some(Who::Admin), None));
        assert_eq!((children.forget(8), children.forget(8)), (Some(Who::Preflight), None));
        assert_eq!((children.who(7), children.who(8)), (Some(Who::Admin), None));
    }

    #[test]
    fn a_worker_is_known_from_its_announcement_on_and_has_a_seat_from_the_start() {
        let mut children = children();
        let (id, slot, generation) = (WorkerId(1), SlotId(0), Generation(1));
        let seat = children.seats.take(slot, generation).unwrap();
        let process = Process::Unborn { waiting: None };
        children.add_worker(id, Worker { process, link: Link::closed(), seat, stage: WorkerStage::Booting });
        assert_eq!(children.seat(id).unwrap().generation(), 1);
        assert_ne!(children.seats.take(slot, generation).unwrap(), seat, "it is taken");

        let mut process = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = process.id();
        assert_eq!(children.who(pid), None);
        children.announce(id, Process::Born(Child::of(pid).unwrap()), &Log::default());
        assert_eq!(children.who(pid), Some(Who::Worker(id)));
        let worker = children.worker_mut(id).unwrap();
        worker.kill(&Log::default());
        assert_eq!((worker.is_killed(), worker.pid()), (true, Some(pid)), "it is there until it is reaped");
        assert!(!process.wait().unwrap().success());

        assert_eq!(children.forget(pid), Some(Who::Worker(id)));
        children.seat(id).unwrap().begin_request(1, b"GET", b"/");
        children.seat(id).unwrap().end_request(2, scoreboard::State::Idle);
        assert_eq!(children.remove_worker(id), Some(1), "requests are not lost with the worker");
        assert_eq!(children.seats.take(slot, generation), Ok(seat), "it is free again");
    }
}
