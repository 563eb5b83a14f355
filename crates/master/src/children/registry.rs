//! What each child of this process is.
//!
//! What is decided about a mold or a worker (its slot, its generation, what it is told) the supervisor knows; here is what
//! is done with: processes, channels, seats.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use scoreboard::Totals;
use supervisor::{Generation, ServiceId, SlotId, WorkerId};
use sys::channel::Channel;
use sys::process::Exited;
use sys::signals::Signal;
use wire::{ToMold, ToWorker, state};

use crate::carried::Number;
use crate::children::error::Error;
use crate::children::link::Link;
use crate::children::marks::Marks;
use crate::children::mold::{Mold, MoldStage};
use crate::children::post_mortem::{self, OomKills, PostMortem};
use crate::children::reforks::Reforks;
use crate::children::seats::{Layout, Seats};
use crate::children::spawn;
use crate::children::worker::{Process, Wanted, Worker};
use crate::config::owner::Boot;
use crate::log::lines::Log;
use crate::signals;
use crate::sockets::bound::Listeners;

/// How many workers that are not there yet a mold is asked for at once.
const MOST_ASKED: usize = 32;

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
    /// A process of a service, which has announced itself if a mold has forked it.
    Service(ServiceId),
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
    /// What workers have done that are no more.
    pub(crate) past: Totals,
    /// The most that waited at each address.
    pub(crate) marks: Marks,
    /// How many workers each slot has had.
    pub(crate) starts: BTreeMap<SlotId, u64>,
    pub(crate) oom_kills: OomKills,
    pub(crate) reforks: Reforks,
}

impl Children {
    /// None yet.
    pub(crate) fn none(seats: Seats) -> Self {
        let (known, molds, workers) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (past, marks, oom_kills) = (Totals::default(), Marks::default(), OomKills::now());
        let (starts, reforks) = (BTreeMap::new(), Reforks::default());
        Self { known, molds, workers, seats, past, marks, starts, oom_kills, reforks }
    }

    /// What this process is, if it is a known child.
    pub(crate) fn who(&self, pid: u32) -> Option<Who> {
        self.known.get(&pid).copied()
    }

    /// A child was started.
    pub(crate) fn register(&mut self, pid: u32, who: Who) {
        self.known.insert(pid, who);
    }

    /// A child was reaped, or is a stranger from now on. Returns what it was.
    pub(crate) fn forget(&mut self, pid: u32) -> Option<Who> {
        self.known.remove(&pid)
    }

    /// What to poll.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let molds = self.molds.values().filter_map(|mold| mold.link.readable());
        let workers = self.workers.values().filter_map(|worker| worker.link.readable());
        molds.chain(workers).chain(self.reforks.fds())
    }
}

/// Molds.
impl Children {
    /// All of them, oldest first.
    pub(crate) fn molds(&self) -> impl Iterator<Item = (Generation, &Mold)> {
        self.molds.iter().map(|(generation, mold)| (*generation, mold))
    }

    /// The mold of this generation.
    pub(crate) fn mold(&self, generation: Generation) -> Option<&Mold> {
        self.molds.get(&generation)
    }

    /// The same, to be changed.
    pub(crate) fn mold_mut(&mut self, generation: Generation) -> Option<&mut Mold> {
        self.molds.get_mut(&generation)
    }

    /// Starts the mold of this generation.
    ///
    /// # Errors
    /// No process can be made.
    pub(crate) fn start_mold(
        &mut self,
        generation: Generation,
        boot: &Boot,
        pid_file: Option<&Path>,
    ) -> sys::Result<()> {
        let (ours, theirs) = Channel::pair()?;
        let link = Link::new(ours)?;
        let pid = spawn::start_mold(boot, &theirs)?;
        link.send(&ToMold::Boot { json: boot.json.clone() }, &[self.seats.board()]);
        if let Some(path) = pid_file {
            link.send(&ToMold::PidPath { path: path.to_string_lossy().into_owned() }, &[]);
        }
        self.add_mold(generation, Mold::started(pid, link));
        Ok(())
    }

    /// A mold was started.
    pub(crate) fn add_mold(&mut self, generation: Generation, mold: Mold) {
        self.register(mold.pid, Who::Mold(generation));
        self.molds.insert(generation, mold);
    }

    /// A mold was reaped.
    pub(crate) fn remove_mold(&mut self, generation: Generation) -> Option<Mold> {
        let mold = self.molds.remove(&generation);
        self.leave_former_seats();
        mold
    }

    /// Tells the mold of this generation. Returns whether there is one that takes it.
    pub(crate) fn tell_mold(&self, generation: Generation, message: &ToMold) -> bool {
        self.mold(generation).is_some_and(|mold| mold.link.send(message, &[]))
    }

    /// Tells all molds.
    pub(crate) fn tell_molds(&self, message: &ToMold) {
        for mold in self.molds.values() {
            mold.link.send(message, &[]);
        }
    }

    /// Tells all molds where the pid file is: hooks ask `server.pid`.
    pub(crate) fn tell_pid_path(&self, path: Option<&Path>) {
        self.tell_molds(&ToMold::PidPath { path: path.map_or_else(String::new, |path| path.to_string_lossy().into()) });
    }

    /// Has all molds open their logs anew.
    pub(crate) fn reopen_logs_of_molds(&mut self) {
        self.molds.values_mut().for_each(Mold::reopen_logs);
    }

    /// No mold forks workers that listen any more.
    pub(crate) fn stop_listening(&mut self) {
        self.molds.values_mut().for_each(|mold| mold.listeners.clear());
    }

    /// The mold is at fault, and nothing it says is listened to any more. Returns its process.
    pub(crate) fn ignore_mold(&mut self, generation: Generation) -> Option<u32> {
        let mold = self.molds.get_mut(&generation)?;
        mold.link.ignore();
        Some(mold.pid)
    }

    /// Kills a mold.
    pub(crate) fn kill_mold(&mut self, generation: Generation, log: &Log) {
        let Some(mold) = self.mold_mut(generation) else { return };
        if mold.link.is_closed() && !matches!(mold.stage, MoldStage::Failed | MoldStage::Done) {
            log.error(format_args!("mold gen={generation} pid={} cannot be reached, killing", mold.pid));
        }
        mold.is_killed = true;
        signals::send(mold.pid, Signal::Kill, log);
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

    /// Plans a worker that the mold of this generation is to fork.
    ///
    /// # Errors
    /// It cannot be had: the text says why.
    pub(crate) fn fork(&mut self, id: WorkerId, slot: SlotId, generation: Generation) -> Result<(), Error> {
        let (ours, theirs) = Channel::pair()?;
        let link = Link::new(ours)?;
        let mold = self.molds.get_mut(&generation).ok_or(Error::MoldGone)?;
        let seat = self.seats.take(slot, generation, mold.layout)?;
        mold.forks.planned.push_back((id, slot, theirs));
        let mut worker = Worker::booting(Process::Unborn { waiting: None }, link, seat);
        worker.listeners = mold.listener_names();
        self.add_worker(id, worker);
        *self.starts.entry(slot).or_default() += 1;
        Ok(())
    }

    /// Asks molds for the workers that are planned, as many as they may be asked for; they get these ends of the queue.
    pub(crate) fn ask_for_planned(&mut self, queue: [BorrowedFd<'_>; 2]) {
        let Self { molds, workers, .. } = self;
        for (generation, mold) in molds.iter_mut().filter(|(_, mold)| !mold.forks.planned.is_empty()) {
            mold.forks.asked.retain(|id| workers.get(id).is_some_and(Worker::is_unborn));
            while mold.forks.asked.len() < MOST_ASKED {
                let Some((id, slot, control)) = mold.forks.planned.pop_front() else { break };
                // One that the mold cannot be asked for finds its end closed: it was never forked.
                let Some(worker) = workers.get(&id) else { continue };
                if mold.ask_for_worker(slot, *generation, &worker.seat, &control, queue) {
                    mold.forks.asked.push(id);
                }
            }
        }
    }

    /// Whether molds have yet to be asked for workers: the program that is executed next knows nothing of it.
    pub(crate) fn has_planned(&self) -> bool {
        self.molds.values().any(|mold| !mold.forks.planned.is_empty())
    }

    /// A mold is to fork a worker, or the program before this one had it. It has its seat.
    fn add_worker(&mut self, id: WorkerId, worker: Worker) {
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

    /// A worker was reaped, or never came to be: frees its seat, and keeps what it has done.
    pub(crate) fn remove_worker(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.remove(&id) else { return };
        self.marks.note_seat(worker.seat.look(), &worker.listeners, sys::clock::monotonic_ns());
        self.past.add(&worker.totals());
        self.seats.free(&worker.seat);
        self.leave_former_seats();
    }

    /// Takes over what workers that live have noted of the backlogs.
    pub(crate) fn gather_marks(&mut self, now_ns: u64) {
        let Self { workers, marks, .. } = self;
        workers.values().for_each(|worker| marks.note_seat(worker.seat.look(), &worker.listeners, now_ns));
    }

    /// What all workers have done, those that are no more included.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = self.past.clone();
        self.workers.values().for_each(|worker| totals.add(&worker.totals()));
        totals
    }

    /// For how long no worker was idle since then: workers cannot have been so for longer.
    pub(crate) fn saturated_ns(&self, now_ns: u64, started_ns: u64) -> u64 {
        self.seats.saturated_ns(now_ns).min(now_ns.saturating_sub(started_ns))
    }

    /// The seats of a program before this one are let go with its last mold and worker.
    fn leave_former_seats(&mut self) {
        if self.molds.values().all(|mold| mold.layout != Layout::Shared) {
            self.seats.leave_shared();
        }
    }

    /// What is written on the seat of this worker.
    pub(crate) fn seat(&self, id: WorkerId) -> Option<scoreboard::Seat<'_>> {
        self.worker(id).map(|worker| worker.seat.look())
    }

    /// Whether a worker is in a request, as its seat says.
    pub(crate) fn is_in_request(&self, id: WorkerId) -> bool {
        self.seat(id).is_some_and(|seat| seat.request_start_ns().is_some())
    }

    /// Tells a worker to finish and leave.
    pub(crate) fn retire(&self, id: WorkerId, drain: bool, hand_over: bool, linger: Duration) {
        let linger_ms = u32::try_from(linger.as_millis()).unwrap_or(u32::MAX);
        if let Some(worker) = self.worker(id) {
            worker.link.send(&ToWorker::Retire { drain, hand_over, linger_ms }, &[]);
        }
    }

    /// Sends a worker a signal.
    pub(crate) fn signal(&mut self, id: WorkerId, signal: Signal, log: &Log) {
        if let Some(worker) = self.worker_mut(id) {
            worker.signal(signal, log);
        }
    }

    /// Kills a worker.
    pub(crate) fn kill(&mut self, id: WorkerId, log: &Log) {
        if let Some(worker) = self.worker_mut(id) {
            worker.kill(log);
        }
    }

    /// Has the worker report the request that began then, unless that is over. A worker that cannot is killed later, as
    /// it would have been.
    pub(crate) fn ask_for_report(&mut self, id: WorkerId, start_ns: u64, why: Wanted, question: u64, log: &Log) {
        let Some(seat) = self.seat(id) else { return };
        // The worker compares this with its request: the signal may reach it during the next one.
        match why {
            Wanted::SinceItEnds => seat.ask_report(start_ns),
            Wanted::SinceItIsSlow => seat.ask_slow_report(start_ns),
        }
        let is_in_it = seat.request_start_ns() == Some(start_ns);
        let Some(worker) = self.worker_mut(id).filter(|worker| is_in_it && worker.pid().is_some()) else { return };
        // It tells the master as well where it is, for the report of its death. One that cannot has its log.
        if worker.ask_backtraces(question, log).is_err() {
            worker.signal(Signal::Urg, log);
        }
    }

    /// Asks a worker where its threads are.
    ///
    /// # Errors
    /// It cannot answer: the text says why.
    pub(crate) fn ask_backtraces(&mut self, id: WorkerId, question: u64, log: &Log) -> Result<(), &'static str> {
        self.worker_mut(id).ok_or("it has ended")?.ask_backtraces(question, log)
    }

    /// Has these workers open their logs anew.
    pub(crate) fn reopen_logs_of_workers(&self, workers: impl Iterator<Item = WorkerId>) {
        for worker in workers.filter_map(|id| self.worker(id)) {
            worker.link.send(&ToWorker::ReopenLogs, &[]);
        }
    }

    /// What a worker died of, when something other than its own end took it. `decided` is known of it.
    pub(crate) fn post_mortem(
        &mut self,
        id: WorkerId,
        decided: &supervisor::Worker,
        exited: Exited,
    ) -> Option<PostMortem> {
        let worker = self.workers.get(&id)?;
        post_mortem::worker(exited, decided, worker, &mut self.oom_kills)
    }
}

/// The upgrade in place.
impl Children {
    /// What the next program is told of the molds; `sockets` are all that there are.
    ///
    /// # Errors
    /// No descriptors left.
    pub(crate) fn save_molds(&self, sockets: &Listeners, number: &mut Number<'_>) -> sys::Result<Vec<state::Mold>> {
        self.molds.iter().map(|(generation, mold)| mold.save(*generation, sockets, number)).collect()
    }

    /// What the next program is told of the workers that `decided` knows.
    ///
    /// # Errors
    /// No descriptors left.
    pub(crate) fn save_workers<'a>(
        &self,
        decided: impl Iterator<Item = (WorkerId, &'a supervisor::Worker)>,
        number: &mut Number<'_>,
    ) -> sys::Result<Vec<state::Worker>> {
        let present = decided.filter_map(|(id, decided)| Some((id, decided, self.worker(id)?)));
        present.map(|(id, decided, worker)| worker.save(id, decided, number)).collect()
    }

    /// Takes the molds that the program before this one had; `sockets` are all that there are, and the one that serves was
    /// started in `place`.
    ///
    /// # Errors
    /// Something of them is missing.
    pub(crate) fn load_molds(
        &mut self,
        molds: &[state::Mold],
        sockets: &Listeners,
        place: Option<&Path>,
    ) -> Result<(), Error> {
        for mold in molds {
            self.add_mold(Generation(mold.generation), Mold::load(mold, sockets, place)?);
        }
        Ok(())
    }

    /// Takes the workers that the program before this one had; `decided` knows what is decided about each.
    ///
    /// # Errors
    /// Something of them is missing.
    pub(crate) fn load_workers<'a>(
        &mut self,
        workers: &[state::Worker],
        decided: impl Fn(WorkerId) -> Option<&'a supervisor::Worker>,
    ) -> Result<(), Error> {
        for worker in workers {
            let id = WorkerId(worker.id);
            let is_killed = decided(id).ok_or(Error::Undecided)?.killed().is_some();
            let seat = self.seats.keep(worker)?;
            let mold = self.mold(Generation(worker.generation));
            let listeners = mold.map(Mold::listener_names).unwrap_or_default();
            let mut worker = Worker::load(worker, seat, is_killed)?;
            worker.listeners = listeners;
            self.add_worker(id, worker);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use sys::channel::Received;
    use sys::pidfd::Child;
    use wire::{FromWorker, Message};

    fn children() -> Children {
        Children::none(Seats::begin().unwrap())
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
        let seat = children.seats.take(slot, generation, Layout::Pages).unwrap();
        let number = seat.number();
        let process = Process::Unborn { waiting: None };
        children.add_worker(id, Worker::booting(process, Link::closed(), seat));
        assert_eq!(children.seat(id).unwrap().generation(), 1);
        assert_ne!(children.seats.take(slot, generation, Layout::Pages).unwrap().number(), number, "it is taken");

        let mut process = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = process.id();
        assert_eq!(children.who(pid), None);
        children.announce(id, Process::Born(Child::of(pid).unwrap()), &Log::default());
        assert_eq!(children.who(pid), Some(Who::Worker(id)));
        children.seat(id).unwrap().begin_request(1, b"GET", b"/up");
        children.seat(id).unwrap().end_request(2, scoreboard::State::Idle);
        assert_eq!(children.totals().requests, 0, "what it does before it is ready is for no client");
        children.seat(id).unwrap().forget_requests();
        let worker = children.worker_mut(id).unwrap();
        assert!(worker.accept(&FromWorker::Ready));
        worker.kill(&Log::default());
        assert_eq!((worker.is_killed(), worker.pid()), (true, Some(pid)), "it is there until it is reaped");
        assert!(!process.wait().unwrap().success());

        assert_eq!(children.forget(pid), Some(Who::Worker(id)));
        children.seat(id).unwrap().begin_request(1, b"GET", b"/");
        children.seat(id).unwrap().end_request(2, scoreboard::State::Idle);
        assert_eq!(children.totals().requests, 1);
        children.remove_worker(id);
        assert_eq!((children.past.requests, children.totals().requests), (1, 1), "they are not lost with the worker");
        let next = children.seats.take(slot, generation, Layout::Pages).unwrap();
        assert_eq!(next.number(), number, "it is free again");
    }

    #[test]
    fn a_mold_is_asked_for_a_few_workers_at_a_time_and_for_none_that_is_not_wanted_any_more() {
        let mut children = children();
        let generation = Generation(1);
        let (ours, theirs) = Channel::pair().unwrap();
        children.add_mold(generation, Mold::started(1 << 30, Link::new(ours).unwrap()));
        let many = u32::try_from(MOST_ASKED).unwrap() + 3;
        for number in 0..many {
            children.fork(WorkerId(number), SlotId(number), generation).unwrap();
        }
        let null = std::fs::File::open("/dev/null").unwrap();
        let heard = |children: &mut Children| {
            children.ask_for_planned([null.as_fd(), null.as_fd()]);
            let next = || match theirs.try_recv().unwrap() {
                Received::Datagram(bytes, descriptors) => match ToMold::decode(&bytes).unwrap() {
                    ToMold::Fork { slot, .. } => Some((slot, descriptors)),
                    other => panic!("{other:?}"),
                },
                Received::Empty | Received::End => None,
            };
            std::iter::from_fn(next).collect::<Vec<_>>()
        };
        let first = heard(&mut children);
        assert_eq!(first.len(), MOST_ASKED);
        assert!(heard(&mut children).is_empty() && children.has_planned());
        let mut process = std::process::Command::new("true").spawn().unwrap();
        children.announce(WorkerId(0), Process::Born(Child::of(process.id()).unwrap()), &Log::default());
        children.remove_worker(WorkerId(1));
        children.remove_worker(WorkerId(many - 3));
        let slots: Vec<u32> = heard(&mut children).iter().map(|(slot, _)| *slot).collect();
        assert_eq!(slots, [many - 2, many - 1]);
        assert!(!children.has_planned());
        process.wait().unwrap();
    }
}
