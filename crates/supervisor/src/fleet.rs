//! The processes: which live, what was asked of each, and the deeds that await the shell.
//!
//! Everything here outlives the states of the server. It knows how to ask a process for something, but not when: that
//! is decided in the modules of the states.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use crate::action::{Action, Fact, Failure, KillReason};
use crate::admin::Admin;
use crate::back_off::{BackOff, Dice, LIVED};
use crate::event::Event;
use crate::line::Line;
use crate::mold::{Mold, MoldState};
use crate::service::{Services, Wanted};
use crate::successor::Successor;
use crate::time::Instant;
use crate::types::{Config, Generation, Plan, SlotId, Ticket, WorkerId};
use crate::unit::Unit;
use crate::worker::{Worker, WorkerState};

/// How long a process may live on after the end of its control socket until it is not taken for one that dies: what a
/// process does last takes no longer.
const LAST_BREATH: Duration = Duration::from_secs(1);
/// How long a mold may take to leave when it is asked to.
pub(crate) const MOLD_GRACE: Duration = Duration::from_secs(1);
/// How long a worker keeps connections that it is to give away and that no other takes: as long as the full queue of a busy
/// server may take to be emptied.
const HAND_OVER_LINGER: Duration = Duration::from_secs(10);
/// How long a worker may take to leave when it is told to leave at once.
pub(crate) const QUICK_GRACE: Duration = Duration::from_secs(2);
/// How long a retiring worker may take beyond `timeout` and `linger`: `at_exit` blocks, and the master's own latency.
pub(crate) const RETIRE_GRACE: Duration = Duration::from_secs(5);

/// All processes, and what lasts beside them.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) config: Config,
    pub(crate) workers: BTreeMap<WorkerId, Worker>,
    pub(crate) molds: BTreeMap<Generation, Mold>,
    pub(crate) back_offs: BTreeMap<SlotId, BackOff>,
    pub(crate) unit: Unit,
    pub(crate) admin: Admin,
    pub(crate) services: Services,
    pub(crate) successor: Successor,
    pub(crate) dice: Dice,
    /// The settings in force: those that were committed last.
    pub(crate) in_force: Plan,
    pub(crate) last_generation: u32,
    pub(crate) last_worker: u32,
    actions: VecDeque<Action>,
}

impl Fleet {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            workers: BTreeMap::new(),
            molds: BTreeMap::new(),
            back_offs: BTreeMap::new(),
            unit: Unit::default(),
            admin: Admin::default(),
            services: Services::default(),
            successor: Successor::Absent,
            dice: Dice::new(config.seed),
            in_force: Plan { boot_timeout: config.boot_timeout, ..Plan::default() },
            last_generation: 0,
            last_worker: 0,
            actions: VecDeque::new(),
        }
    }

    pub(crate) fn emit(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub(crate) fn log(&mut self, fact: Fact) {
        self.emit(Action::Log(fact));
    }

    /// Answers the requests that wait, and forgets them.
    pub(crate) fn answer(&mut self, tickets: &mut Vec<Ticket>, result: Result<(), Failure>) {
        for ticket in tickets.drain(..) {
            self.emit(Action::Outcome { ticket, result });
        }
    }

    /// Answers the ticket of a request that will not be looked at.
    pub(crate) fn refuse(&mut self, event: Event, why: Failure) {
        if let Event::Reload { ticket }
        | Event::Upgrade { ticket, .. }
        | Event::Promote { ticket }
        | Event::Abort { ticket }
        | Event::GoBack { ticket } = event
        {
            self.emit(Action::Outcome { ticket, result: Err(why) });
        }
    }

    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The earliest deadline of a process.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let workers = self.workers.values().filter_map(Worker::deadline).map(|(deadline, _)| deadline);
        let molds = self.molds.values().filter_map(Mold::deadline);
        let services = self.services.next_deadline();
        workers.chain(molds).chain(services).chain(self.successor.preflight_deadline()).min()
    }
}

/// Molds.
impl Fleet {
    /// Starts a mold under a number that was never used.
    pub(crate) fn start_mold(&mut self, now: Instant) -> Generation {
        self.last_generation += 1;
        let generation = Generation(self.last_generation);
        let state = MoldState::Starting { deadline: now + self.in_force.boot_timeout };
        self.molds.insert(generation, Mold { started: now, state });
        self.emit(Action::StartMold { generation });
        generation
    }

    /// Whether the mold of this generation is there and forks, as far as is known.
    pub(crate) fn forks(&self, generation: Generation) -> bool {
        self.molds.get(&generation).is_some_and(|mold| mold.ready_since().is_some())
    }

    /// A mold's settings are prepared: lets it go on.
    pub(crate) fn mold_configured(&mut self, generation: Generation, plan: Plan) {
        let Some(mold) = self.molds.get_mut(&generation) else { return };
        if let MoldState::Starting { .. } = mold.state {
            mold.state = MoldState::Loading { plan, deadline: mold.started + plan.boot_timeout };
            self.emit(Action::Proceed { generation });
        }
    }

    /// A mold is ready. Returns its settings, unless it is not wanted any more.
    pub(crate) fn mold_ready(&mut self, now: Instant, generation: Generation) -> Option<Plan> {
        let mold = self.molds.get_mut(&generation)?;
        let MoldState::Loading { plan, .. } = mold.state else { return None };
        mold.state = MoldState::Ready { since: now };
        Some(plan)
    }

    /// A mold's control socket has ended, as with workers. One that boots has a deadline, which comes sooner now.
    pub(crate) fn mold_unreachable(&mut self, now: Instant, generation: Generation) {
        let Some(mold) = self.molds.get_mut(&generation) else { return };
        let soon = now + LAST_BREATH;
        match &mut mold.state {
            MoldState::Starting { deadline } | MoldState::Loading { deadline, .. } => *deadline = soon.min(*deadline),
            MoldState::Ready { since } => mold.state = MoldState::Unreachable { since: *since, deadline: soon },
            MoldState::Unreachable { .. } | MoldState::Retiring { .. } | MoldState::Killed => {}
        }
    }

    /// Asks a mold to leave, if it has not been asked yet.
    pub(crate) fn retire_mold(&mut self, now: Instant, generation: Generation) {
        let Some(mold) = self.molds.get_mut(&generation) else { return };
        match mold.state {
            MoldState::Starting { .. }
            | MoldState::Loading { .. }
            | MoldState::Ready { .. }
            | MoldState::Unreachable { .. } => {
                mold.state = MoldState::Retiring { deadline: now + MOLD_GRACE };
                self.emit(Action::RetireMold { generation });
            }
            MoldState::Retiring { .. } | MoldState::Killed => {}
        }
    }

    /// Kills a mold.
    pub(crate) fn kill_mold(&mut self, generation: Generation) {
        let Some(mold) = self.molds.get_mut(&generation) else { return };
        if mold.state != MoldState::Killed {
            mold.state = MoldState::Killed;
            self.emit(Action::KillMold { generation });
        }
    }
}

/// The admin process, and services.
impl Fleet {
    /// Something has happened to the admin process, or other settings want it.
    pub(crate) fn admin_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::AdminWanted { place, anew } => self.admin.want(place, anew),
            Event::AdminFailed => self.admin.failed(),
            Event::AdminExited { no_address, cause } => {
                let facts = self.admin.exited(now, no_address, cause);
                facts.into_iter().flatten().for_each(|fact| self.log(fact));
            }
            _ => {}
        }
    }

    /// Starts and stops services as it is wanted.
    pub(crate) fn tend_services(&mut self, now: Instant, wanted: Wanted) {
        self.actions.extend(self.services.tend(now, wanted, &self.molds));
    }

    /// Something has happened to a service.
    pub(crate) fn service_event(&mut self, now: Instant, event: Event) {
        let Self { services, dice, .. } = self;
        let fact = match event {
            Event::ServicePlanned { generation, name, terms } => {
                services.plan(generation, name, terms);
                None
            }
            Event::ServiceStarted { service } => {
                services.started(now, service);
                None
            }
            Event::ServiceFailed { service } => services.failed(now, service, dice),
            Event::ServiceExited { service } => services.exited(now, service, dice),
            _ => None,
        };
        self.actions.extend(fact.map(Action::Log));
    }

    /// Kills the services whose time is over.
    pub(crate) fn expire_services(&mut self, now: Instant) {
        self.actions.extend(self.services.expire(now, &mut self.dice));
    }
}

/// Workers.
impl Fleet {
    /// Forks a worker for a slot from the line's mold.
    pub(crate) fn fork(&mut self, now: Instant, slot: SlotId, line: &Line) {
        self.last_worker += 1;
        let (worker, generation, edition) = (WorkerId(self.last_worker), line.generation, line.edition);
        let state = WorkerState::Booting { deadline: now + line.plan.boot_timeout };
        let allowance = line.plan.timeout.saturating_add(line.plan.linger).saturating_add(RETIRE_GRACE);
        let served = Some(0);
        self.workers.insert(worker, Worker { slot, generation, edition, allowance, served, state, worn: None });
        self.emit(Action::Fork { worker, slot, generation });
    }

    /// Asks a worker that serves to finish and leave, and one that boots to leave; others were asked already.
    pub(crate) fn dismiss(&mut self, now: Instant, id: WorkerId, hand_over: bool) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        match worker.state {
            WorkerState::Serving { since } => {
                let deadline = now + worker.allowance;
                worker.state = WorkerState::Retiring { deadline, overdue: KillReason::RetireTimeout, hand_over };
                if now.since(since) >= LIVED {
                    self.back_offs.remove(&worker.slot);
                }
                self.ask_to_retire(id, false, hand_over);
            }
            WorkerState::Unreachable { ready_since: Some(_), .. } => {
                let deadline = now + worker.allowance;
                self.send_away(id, deadline, KillReason::RetireTimeout);
            }
            WorkerState::Booting { .. } | WorkerState::Unreachable { ready_since: None, .. } => self.abandon(now, id),
            WorkerState::Retiring { .. }
            | WorkerState::Abandoned { .. }
            | WorkerState::Quitting { .. }
            | WorkerState::Killed { .. } => {}
        }
    }

    /// Tells a worker to leave that hears nothing: it is asked with a signal, and keeps its connections.
    pub(crate) fn send_away(&mut self, id: WorkerId, deadline: Instant, overdue: KillReason) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.state = WorkerState::Retiring { deadline, overdue, hand_over: false };
        self.emit(Action::Abandon { worker: id });
    }

    /// No worker takes connections any more: tells those that give theirs away to keep them.
    pub(crate) fn withdraw_takers(&mut self, drain: bool) {
        let mut asked = Vec::new();
        for (id, worker) in &mut self.workers {
            if let WorkerState::Retiring { hand_over: hand_over @ true, .. } = &mut worker.state {
                *hand_over = false;
                asked.push(*id);
            }
        }
        asked.into_iter().for_each(|id| self.ask_to_retire(id, drain, false));
    }

    /// Asks a worker to retire, and says how long it may keep idle connections. One that drains leaves none behind that an idle
    /// connection could wait for.
    pub(crate) fn ask_to_retire(&mut self, worker: WorkerId, drain: bool, hand_over: bool) {
        let linger = match (hand_over, drain) {
            (true, _) => HAND_OVER_LINGER.min(self.in_force.timeout),
            (false, true) => Duration::ZERO,
            (false, false) => self.in_force.linger,
        };
        self.emit(Action::Retire { worker, drain, hand_over, linger });
    }

    /// Tells a worker that boots to leave.
    pub(crate) fn abandon(&mut self, now: Instant, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if worker.boots() {
            worker.state = WorkerState::Abandoned { deadline: now + QUICK_GRACE };
            self.emit(Action::Abandon { worker: id });
        }
    }

    /// Tells a worker to leave at once, whatever it does.
    pub(crate) fn quick(&mut self, now: Instant, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let deadline = now + QUICK_GRACE;
        let deadline = worker.deadline().map_or(deadline, |(earlier, _)| earlier.min(deadline));
        match worker.state {
            WorkerState::Booting { .. }
            | WorkerState::Serving { .. }
            | WorkerState::Unreachable { .. }
            | WorkerState::Retiring { .. }
            | WorkerState::Abandoned { .. } => {
                worker.state = WorkerState::Quitting { deadline };
                self.emit(Action::Quick { worker: id });
            }
            WorkerState::Quitting { .. } | WorkerState::Killed { .. } => {}
        }
    }

    /// Kills a worker.
    pub(crate) fn kill(&mut self, id: WorkerId, why: KillReason) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        match mem::replace(&mut worker.state, WorkerState::Killed { why }) {
            WorkerState::Killed { why } => worker.state = WorkerState::Killed { why },
            WorkerState::Booting { .. }
            | WorkerState::Serving { .. }
            | WorkerState::Unreachable { .. }
            | WorkerState::Retiring { .. }
            | WorkerState::Abandoned { .. }
            | WorkerState::Quitting { .. } => self.emit(Action::Kill { worker: id, why }),
        }
    }

    /// A worker's request has taken too long. One that boots has none.
    pub(crate) fn request_overdue(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get(&id) else { return };
        match worker.state {
            WorkerState::Serving { .. }
            | WorkerState::Unreachable { .. }
            | WorkerState::Retiring { .. }
            | WorkerState::Abandoned { .. }
            | WorkerState::Quitting { .. } => self.kill(id, KillReason::RequestTimeout),
            WorkerState::Booting { .. } | WorkerState::Killed { .. } => {}
        }
    }

    /// A worker's control socket has ended. One that is about to die closes it too, a moment before: time tells.
    pub(crate) fn worker_unreachable(&mut self, now: Instant, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let deadline = now + LAST_BREATH;
        match worker.state {
            WorkerState::Booting { deadline: earlier } => {
                worker.state = WorkerState::Unreachable { ready_since: None, deadline: deadline.min(earlier) };
            }
            WorkerState::Serving { since } => {
                worker.state = WorkerState::Unreachable { ready_since: Some(since), deadline };
            }
            // It may not have heard what it was asked for.
            WorkerState::Retiring { deadline, overdue, .. } => self.send_away(id, deadline, overdue),
            // These leave, or are killed when their time is over.
            WorkerState::Unreachable { .. }
            | WorkerState::Abandoned { .. }
            | WorkerState::Quitting { .. }
            | WorkerState::Killed { .. } => {}
        }
    }

    /// The numbers of the workers of which something is true, oldest first.
    pub(crate) fn select(&self, wanted: impl Fn(&Worker) -> bool) -> Vec<WorkerId> {
        self.workers.iter().filter(|(_, worker)| wanted(worker)).map(|(id, _)| *id).collect()
    }

    /// Whether there is a worker of which something is true.
    pub(crate) fn any(&self, wanted: impl Fn(&Worker) -> bool) -> bool {
        self.workers.values().any(wanted)
    }
}
