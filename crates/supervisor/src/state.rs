//! The states of the server, and which of them takes which event.

use alloc::vec::Vec;

use crate::action::{Action, Fact, Failure, FailureReason, KillReason};
use crate::event::{Event, Signal};
use crate::fleet::{Fleet, MOLD_GRACE};
use crate::mold::{Mold, MoldState};
use crate::scale::Scale;
use crate::service::Wanted;
use crate::stop::{Stop, Verdict};
use crate::time::Instant;
use crate::types::{CauseId, Generation, Plan, Ticket, Way, WorkerId};
use crate::unit::{FAILED, Parting, Role, Unit};
use crate::up::{Next, Up};
use crate::worker::{Worker, WorkerState};

/// What the server is doing.
#[derive(Debug)]
pub(crate) enum State {
    /// [`Event::Start`] has not come.
    New {
        /// Requests that wait for the end of the boot.
        held: Vec<Event>,
    },
    /// The first mold boots.
    FirstMold {
        /// Its number.
        generation: Generation,
        /// Requests that wait for the end of the boot.
        held: Vec<Event>,
    },
    /// There is a mold, or was: workers boot and serve.
    Up(Up),
    /// Everything leaves.
    Stopping(Stop),
    /// Nothing is left.
    Over,
}

impl From<Next> for State {
    fn from(next: Next) -> Self {
        match next {
            Next::Up(up) => Self::Up(up),
            Next::Stopping(stop) => Self::Stopping(stop),
        }
    }
}

impl State {
    /// Takes in one event.
    pub(crate) fn on(mut self, fleet: &mut Fleet, now: Instant, event: Event) -> Self {
        if event.asks_for_change() {
            match &mut self {
                // As in Unicorn, what arrives during the boot is looked at after it.
                Self::New { held } | Self::FirstMold { held, .. } => {
                    held.push(event);
                    return self;
                }
                Self::Up(up) => {
                    if let Some(held) = up.held() {
                        held.push(event);
                        return self;
                    }
                }
                Self::Stopping(_) => {
                    fleet.refuse(event, FailureReason::Stopping.into());
                    fleet.log(Fact::IgnoredWhileStopping);
                    return self;
                }
                Self::Over => {}
            }
        }
        if let Self::Over = self {
            return over(fleet, event);
        }
        match event {
            Event::Unit { role, origin } => {
                fleet.unit = Unit { role, origin, parting: None };
                self
            }
            Event::Start => self.start(fleet, now),
            Event::Signal(signal) => self.signal(fleet, now, signal),
            Event::Reload { ticket } if fleet.config.has_config_file => self.reload(fleet, now, Some(ticket)),
            Event::Reload { ticket } => {
                fleet.log(Fact::NoConfigFile);
                self.upgrade(fleet, Some(ticket), None)
            }
            Event::Promote { ticket } => self.change_roll(|up| up.promote(fleet, ticket)),
            Event::Abort { ticket } => self.change_roll(|up| up.abort(fleet, now, ticket)),
            Event::GoBack { ticket } => self.change_roll(|up| up.go_back(fleet, now, ticket)),
            Event::CanaryWorse { cause } => self.change_roll(|up| up.canary_worse(fleet, now, cause)),
            Event::Stop { graceful, ticket } => self.stop_unit(fleet, now, !graceful, graceful, Some(ticket)),
            Event::Upgrade { ticket, way } => self.upgrade(fleet, Some(ticket), way),
            Event::MoldConfigured { generation, plan } => {
                fleet.mold_configured(generation, plan);
                self
            }
            Event::MoldReady { generation } => match fleet.mold_ready(now, generation) {
                Some(plan) => self.mold_ready(fleet, now, generation, plan),
                None => self,
            },
            Event::MoldFailed { generation, said, cause } => self.mold_failed(fleet, now, generation, said, cause),
            Event::MoldUnfit { generation, cause } => {
                self.mold_unfit(fleet, now, generation, FailureReason::MoldFailed.by(cause))
            }
            Event::MoldUnreachable { generation } => {
                fleet.mold_unreachable(now, generation);
                self
            }
            Event::MoldExited { generation, status, cause } => self.mold_exited(fleet, now, generation, status, cause),
            Event::WorkerReady { worker } => self.worker_ready(fleet, now, worker),
            Event::WorkerBootFailed { worker, cause } => self.worker_boot_failed(fleet, now, worker, cause),
            Event::ForkFailed { worker, cause } => self.fork_failed(fleet, now, worker, cause),
            Event::WorkerLeaves { worker } => self.worker_leaves(fleet, now, worker),
            Event::WorkerLied { worker, in_request } => self.worker_lied(fleet, now, worker, in_request),
            Event::WorkerUnreachable { worker } => {
                fleet.worker_unreachable(now, worker);
                self
            }
            Event::WorkerExited { worker, in_request, cause } => {
                self.worker_exited(fleet, now, worker, in_request, cause)
            }
            Event::WorkerWorn { worker, why } => self.change_roll(|up| up.worker_worn(fleet, worker, why)),
            Event::Size { count } => self.change_roll(|up| up.resize(fleet, count)),
            Event::WorkerServed { .. } | Event::ReforkPays | Event::NotPromoted { .. } => {
                self.refork_event(fleet, now, event)
            }
            Event::RequestOverdue { worker } => {
                fleet.request_overdue(worker);
                self
            }
            Event::SuccessorStarted => {
                fleet.successor_started();
                self
            }
            Event::SuccessorReady { takes_over } => {
                let quit_deferred = fleet.successor_ready(takes_over);
                if quit_deferred { self.stop(fleet, now, true, None) } else { self }
            }
            Event::SuccessorExited { cause } => {
                fleet.successor_gone(FailureReason::SuccessorExited.by(cause));
                self
            }
            Event::SuccessorFailed { cause } => {
                fleet.successor_gone(FailureReason::SuccessorFailed.by(cause));
                self
            }
            Event::AdminWanted { .. } | Event::AdminFailed | Event::AdminExited { .. } => {
                fleet.admin_event(now, event);
                self
            }
            Event::ServicePlanned { .. }
            | Event::ServiceStarted { .. }
            | Event::ServiceFailed { .. }
            | Event::ServiceExited { .. } => {
                fleet.service_event(now, event);
                self
            }
            Event::HandedOver => {
                fleet.unit.handed_over();
                self
            }
            Event::OriginGone => self.origin_gone(fleet, now),
            Event::PreflightPassed => {
                fleet.preflight_passed();
                self
            }
            Event::PreflightFailed { cause } => self.not_replaced(fleet, now, FailureReason::PreflightFailed.by(cause)),
            Event::NotReplaced { cause } => self.not_replaced(fleet, now, FailureReason::NotReplaced.by(cause)),
            Event::Replaced => self.replaced(fleet, now),
            Event::Tick => self,
        }
    }

    fn signal(self, fleet: &mut Fleet, now: Instant, signal: Signal) -> Self {
        match signal {
            Signal::Quit => {
                let deferred = matches!(self, Self::Up(_)) && fleet.defer_quit();
                if deferred { self } else { self.stop(fleet, now, true, None) }
            }
            Signal::Term => {
                let graceful = !self.term_quick(fleet);
                self.stop_unit(fleet, now, false, graceful, None)
            }
            Signal::Int => self.stop_unit(fleet, now, true, false, None),
            Signal::Hup if fleet.config.has_config_file => self.reload(fleet, now, None),
            Signal::Hup => {
                fleet.log(Fact::NoConfigFile);
                self.upgrade(fleet, None, None)
            }
            Signal::Usr1 => {
                fleet.emit(Action::ReopenLogs);
                self
            }
            Signal::Usr2 => self.upgrade(fleet, None, None),
            Signal::Ttin => self.scale(fleet, Scale::OneMore),
            Signal::Ttou => self.scale(fleet, Scale::OneLess),
            Signal::Winch { honoured: true } => self.scale(fleet, Scale::None),
            Signal::Winch { honoured: false } => {
                fleet.log(Fact::WinchIgnored);
                self
            }
        }
    }

    fn scale(self, fleet: &mut Fleet, scale: Scale) -> Self {
        match self {
            Self::Up(up) => Self::Up(up.scale(fleet, scale)),
            Self::New { .. } | Self::FirstMold { .. } | Self::Stopping(_) | Self::Over => self,
        }
    }

    fn reload(self, fleet: &mut Fleet, now: Instant, ticket: Option<Ticket>) -> Self {
        match self {
            Self::Up(up) if fleet.hold_reload(ticket) => Self::Up(up),
            Self::Up(up) => Self::Up(up.reload(fleet, now, ticket.into_iter().collect())),
            Self::New { .. } | Self::FirstMold { .. } | Self::Stopping(_) | Self::Over => self,
        }
    }

    /// Something of a reload is to change. Without a mold there is none.
    fn change_roll(self, change: impl FnOnce(Up) -> Up) -> Self {
        match self {
            Self::Up(up) => Self::Up(change(up)),
            Self::New { .. } | Self::FirstMold { .. } | Self::Stopping(_) | Self::Over => self,
        }
    }

    fn term_quick(&self, fleet: &Fleet) -> bool {
        match self {
            Self::New { .. } | Self::FirstMold { .. } | Self::Over => fleet.config.term_quick,
            Self::Up(up) => up.line.plan.term_quick,
            Self::Stopping(stop) => stop.plan.term_quick,
        }
    }

    fn start(self, fleet: &mut Fleet, now: Instant) -> Self {
        match self {
            Self::New { held } => Self::FirstMold { generation: fleet.start_mold(now), held },
            Self::FirstMold { .. } | Self::Up(_) | Self::Stopping(_) | Self::Over => self,
        }
    }
}

/// Stops and upgrades.
impl State {
    /// A stop was asked for.
    fn stop(self, fleet: &mut Fleet, now: Instant, graceful: bool, ticket: Option<Ticket>) -> Self {
        let (held, line) = match self {
            Self::New { held } | Self::FirstMold { held, .. } => (held, None),
            Self::Up(up) => {
                let line = up.line;
                (up.give_up(fleet, FailureReason::Stopping.into()), Some(line))
            }
            Self::Stopping(mut stop) => {
                stop.ask(fleet, now, graceful, ticket);
                return Self::Stopping(stop);
            }
            Self::Over => return Self::Over,
        };
        Self::Stopping(Stop::asked(fleet, now, held, line, graceful, ticket))
    }

    /// A stop was asked for that means the unit, and not this master alone. `quick` is for the new master: whether it
    /// finishes begun requests is for its own settings to say where it is not.
    fn stop_unit(self, fleet: &mut Fleet, now: Instant, quick: bool, graceful: bool, ticket: Option<Ticket>) -> Self {
        if fleet.unit.role != Role::Main {
            return self.stop(fleet, now, graceful, ticket);
        }
        fleet.stop_successor(quick);
        let state = self.stop(fleet, now, graceful, ticket);
        fleet.unit.parting = Some(Parting::EndsUnit);
        state
    }

    /// The master before this one is gone.
    fn origin_gone(self, fleet: &mut Fleet, now: Instant) -> Self {
        if !fleet.unit.origin_gone() {
            return self;
        }
        fleet.log(Fact::Orphaned);
        self.stop(fleet, now, true, None)
    }

    /// An upgrade was asked for, in this way or as configured.
    fn upgrade(self, fleet: &mut Fleet, ticket: Option<Ticket>, way: Option<Way>) -> Self {
        let Self::Up(up) = self else { return self };
        match way.unwrap_or(up.line.plan.upgrade) {
            Way::TwoMasters => fleet.upgrade(ticket),
            Way::InPlace => up.replace(fleet, ticket),
        }
        Self::Up(up)
    }

    /// This program goes on.
    fn not_replaced(self, fleet: &mut Fleet, now: Instant, why: Failure) -> Self {
        match self {
            Self::Up(up) => Self::Up(up.not_replaced(fleet, now, why)),
            // A stop has called it off.
            Self::New { .. } | Self::FirstMold { .. } | Self::Stopping(_) | Self::Over => self,
        }
    }

    /// This is the new program.
    fn replaced(self, fleet: &mut Fleet, now: Instant) -> Self {
        match (self, fleet.replaced()) {
            (Self::Up(up), Some(tickets)) => Self::Up(up.reload(fleet, now, tickets)),
            (state, _) => state,
        }
    }
}

/// What molds say.
impl State {
    fn mold_ready(self, fleet: &mut Fleet, now: Instant, generation: Generation, plan: Plan) -> Self {
        match self {
            Self::FirstMold { held, .. } => Self::Up(Up::first(fleet, generation, plan, held)),
            Self::Up(up) => Self::Up(up.mold_ready(fleet, now, generation, plan)),
            // A stop has killed the molds that were booting.
            Self::New { .. } | Self::Stopping(_) | Self::Over => self,
        }
    }

    fn mold_failed(self, fleet: &mut Fleet, now: Instant, generation: Generation, said: bool, cause: CauseId) -> Self {
        match fleet.molds.get(&generation) {
            Some(mold) if mold.boots() => {
                fleet.retire_mold(now, generation);
                let why = FailureReason::MoldFailed.by(cause);
                self.mold_lost(fleet, now, generation, why, Verdict::MoldFails { said })
            }
            Some(_) | None => self,
        }
    }

    fn mold_exited(
        mut self,
        fleet: &mut Fleet,
        now: Instant,
        generation: Generation,
        status: Option<u8>,
        cause: CauseId,
    ) -> Self {
        let Some(mold) = fleet.molds.remove(&generation) else { return self };
        match mold.state {
            MoldState::Starting { .. } | MoldState::Loading { .. } => {
                let reason = match (&self, status) {
                    (Self::FirstMold { .. }, Some(0)) => FailureReason::MoldLeft,
                    _ => FailureReason::MoldExited,
                };
                let verdict = Verdict::BootFailed(status.unwrap_or(FAILED));
                self.mold_lost(fleet, now, generation, reason.by(cause), verdict)
            }
            MoldState::Ready { since } | MoldState::Unreachable { since, .. } => match self {
                Self::Up(up) => up.ready_mold_lost(fleet, now, generation, since, cause).into(),
                Self::New { .. } | Self::FirstMold { .. } | Self::Stopping(_) | Self::Over => self,
            },
            MoldState::Retiring { .. } | MoldState::Killed => {
                if let Self::Stopping(stop) = &mut self {
                    stop.mold_exited(status);
                }
                self
            }
        }
    }

    /// A mold is of no use any more: it is killed, and its end is no news then.
    fn mold_unfit(self, fleet: &mut Fleet, now: Instant, generation: Generation, why: Failure) -> Self {
        let Some(&mold) = fleet.molds.get(&generation) else { return self };
        fleet.kill_mold(generation);
        match (self, mold.ready_since()) {
            (Self::Up(up), Some(since)) => up.ready_mold_lost(fleet, now, generation, since, why.cause).into(),
            (state, None) if mold.boots() => {
                state.mold_lost(fleet, now, generation, why, Verdict::MoldFails { said: true })
            }
            (state, _) => state,
        }
    }

    /// A mold will not become ready. `verdict` is what the server exits with if it is the first one.
    fn mold_lost(
        self,
        fleet: &mut Fleet,
        now: Instant,
        generation: Generation,
        why: Failure,
        verdict: Verdict,
    ) -> Self {
        match self {
            Self::FirstMold { generation: first, held } if first == generation => {
                Self::Stopping(Stop::boot_failed(fleet, now, held, why, verdict))
            }
            Self::Up(up) => Self::Up(up.booting_mold_lost(fleet, now, generation, why)),
            Self::New { .. } | Self::FirstMold { .. } | Self::Stopping(_) | Self::Over => self,
        }
    }
}

/// What workers do.
impl State {
    fn worker_ready(mut self, fleet: &mut Fleet, now: Instant, id: WorkerId) -> Self {
        let Some(worker) = fleet.workers.get_mut(&id) else { return self };
        match worker.state {
            WorkerState::Booting { .. } => {
                worker.state = WorkerState::Serving { since: now };
                if let Self::Up(up) = &mut self {
                    up.worker_ready();
                }
            }
            // It became ready just before it was told to leave: it finishes what it may have begun, then leaves.
            WorkerState::Abandoned { deadline } => {
                let (deadline, overdue) = match &self {
                    Self::Stopping(stop) => stop.limit().unwrap_or((deadline, KillReason::QuickStopTimeout)),
                    Self::New { .. } | Self::FirstMold { .. } | Self::Up(_) | Self::Over => {
                        (now + worker.allowance, KillReason::RetireTimeout)
                    }
                };
                worker.state = WorkerState::Retiring { deadline, overdue, hand_over: false };
            }
            WorkerState::Serving { .. }
            | WorkerState::Unreachable { .. }
            | WorkerState::Retiring { .. }
            | WorkerState::Quitting { .. }
            | WorkerState::Killed { .. } => {}
        }
        self
    }

    fn worker_boot_failed(self, fleet: &mut Fleet, now: Instant, id: WorkerId, cause: CauseId) -> Self {
        let Some(worker) = fleet.workers.get_mut(&id).filter(|worker| worker.boots()) else { return self };
        let failed = *worker;
        worker.state = WorkerState::Abandoned { deadline: now + MOLD_GRACE };
        self.boot_failed(fleet, now, failed, FailureReason::WorkerBootFailed(failed.slot).by(cause))
    }

    fn fork_failed(self, fleet: &mut Fleet, now: Instant, id: WorkerId, cause: CauseId) -> Self {
        match fleet.workers.remove(&id) {
            Some(worker) if worker.boots() => {
                self.boot_failed(fleet, now, worker, FailureReason::ForkFailed(worker.slot).by(cause))
            }
            // It was never there: the mold forks no workers.
            Some(worker) if worker.killed() == Some(KillReason::BootTimeout) => {
                let generation = worker.generation;
                if fleet.molds.contains_key(&generation) {
                    fleet.log(Fact::MoldForksNothing { generation });
                }
                self.mold_unfit(fleet, now, generation, FailureReason::MoldFailed.by(cause))
            }
            Some(_) | None => self,
        }
    }

    /// It counts as a death, and goes like one that was asked to: where workers are wanted it gives its connections away, and
    /// those that no worker can take yet wait for the next one. A stop asks it to leave anyway.
    fn worker_leaves(self, fleet: &mut Fleet, now: Instant, id: WorkerId) -> Self {
        let Some(&worker) = fleet.workers.get(&id) else { return self };
        match (self, worker.state) {
            (Self::Up(up), WorkerState::Serving { since }) => {
                let up = up.worker_died(fleet, now, worker, since, false);
                fleet.dismiss(now, id, up.has_takers(fleet));
                Self::Up(up)
            }
            (state, _) => state,
        }
    }

    /// It is killed, and that counts as a death of its own.
    fn worker_lied(self, fleet: &mut Fleet, now: Instant, id: WorkerId, in_request: bool) -> Self {
        let Some(&worker) = fleet.workers.get(&id) else { return self };
        fleet.kill(id, KillReason::Lied);
        match (self, worker.ready_since()) {
            (Self::Up(up), Some(since)) => Self::Up(up.worker_died(fleet, now, worker, since, in_request)),
            (state, None) if worker.boots() => {
                state.boot_failed(fleet, now, worker, FailureReason::WorkerUnfit(worker.slot).into())
            }
            (state, _) => state,
        }
    }

    /// A worker has closed its control socket and lives on. One that serves may be in a request: it is told to leave.
    fn worker_stays_unreachable(self, fleet: &mut Fleet, now: Instant, id: WorkerId, worker: Worker) -> Self {
        let Some(since) = worker.ready_since() else {
            fleet.kill(id, KillReason::Unreachable);
            return self.boot_failed(fleet, now, worker, FailureReason::WorkerUnfit(worker.slot).into());
        };
        fleet.log(Fact::WorkerUnreachable { slot: worker.slot });
        let state = match self {
            Self::Up(up) => Self::Up(up.worker_died(fleet, now, worker, since, false)),
            Self::New { .. } | Self::FirstMold { .. } | Self::Stopping(_) | Self::Over => self,
        };
        fleet.send_away(id, now + worker.allowance, KillReason::Unreachable);
        state
    }

    fn worker_exited(self, fleet: &mut Fleet, now: Instant, id: WorkerId, in_request: bool, cause: CauseId) -> Self {
        let Some(worker) = fleet.workers.remove(&id) else { return self };
        match worker.state {
            WorkerState::Booting { .. } | WorkerState::Unreachable { ready_since: None, .. } => {
                self.boot_failed(fleet, now, worker, FailureReason::WorkerExited(worker.slot).by(cause))
            }
            WorkerState::Serving { since } | WorkerState::Unreachable { ready_since: Some(since), .. } => match self {
                Self::Up(up) => Self::Up(up.worker_died(fleet, now, worker, since, in_request)),
                Self::New { .. } | Self::FirstMold { .. } | Self::Stopping(_) | Self::Over => self,
            },
            WorkerState::Retiring { .. }
            | WorkerState::Abandoned { .. }
            | WorkerState::Quitting { .. }
            | WorkerState::Killed { .. } => self,
        }
    }

    fn boot_failed(self, fleet: &mut Fleet, now: Instant, worker: Worker, why: Failure) -> Self {
        match self {
            Self::Up(up) => up.boot_failed(fleet, now, worker, why).into(),
            Self::New { .. } | Self::FirstMold { .. } | Self::Stopping(_) | Self::Over => self,
        }
    }
}

/// Time.
impl State {
    /// Acts on the deadlines of processes that have come.
    pub(crate) fn expire(mut self, fleet: &mut Fleet, now: Instant) -> Self {
        for id in fleet.select(|worker| worker.deadline().is_some_and(|(deadline, _)| deadline <= now)) {
            // What an earlier one of these caused may have given this one more time.
            let Some(&worker) = fleet.workers.get(&id) else { continue };
            let Some((deadline, why)) = worker.deadline() else { continue };
            if deadline > now {
                continue;
            }
            if let WorkerState::Unreachable { .. } = worker.state {
                self = self.worker_stays_unreachable(fleet, now, id, worker);
            } else {
                fleet.kill(id, why);
                if worker.boots() {
                    self = self.boot_failed(fleet, now, worker, FailureReason::WorkerBootTimeout(worker.slot).into());
                }
            }
        }
        let due = |mold: &Mold| mold.deadline().is_some_and(|deadline| deadline <= now);
        let molds: Vec<_> = fleet.molds.iter().filter(|(_, mold)| due(mold)).map(|(id, mold)| (*id, *mold)).collect();
        for (generation, _) in molds {
            self = self.mold_unfit(fleet, now, generation, FailureReason::MoldBootTimeout.into());
        }
        fleet.expire_services(now);
        if fleet.expire_preflight(now) {
            self = self.not_replaced(fleet, now, FailureReason::PreflightTimeout.into());
        }
        self
    }

    /// Brings about what the state wants: processes started, retired, and the next state when its time has come.
    pub(crate) fn settle(mut self, fleet: &mut Fleet, now: Instant) -> Self {
        loop {
            let put_off;
            (self, put_off) = match self {
                Self::Up(up) => {
                    let (up, put_off) = up.settle(fleet, now);
                    (Self::Up(up), put_off)
                }
                Self::Stopping(stop) => (stop.settle(fleet, now).map_or(Self::Over, Self::Stopping), None),
                Self::New { .. } | Self::FirstMold { .. } | Self::Over => (self, None),
            };
            let Some(events) = put_off else { break };
            self = events.into_iter().fold(self, |state, event| state.on(fleet, now, event));
        }
        if !matches!(self, Self::Over) {
            self.tend_admin(fleet, now);
        }
        fleet.tend_services(now, self.services(fleet));
        self
    }

    /// Which services are to run.
    fn services(&self, fleet: &Fleet) -> Wanted {
        match self {
            Self::Up(up) => up.services(fleet),
            Self::Stopping(stop) => Wanted::None { quick: stop.is_quick() },
            Self::New { .. } | Self::FirstMold { .. } | Self::Over => Wanted::None { quick: false },
        }
    }

    /// Starts or stops the admin process. Of two masters, the one that serves speaks for the service.
    fn tend_admin(&self, fleet: &mut Fleet, now: Instant) {
        let serves = matches!(self, Self::Up(_)) && fleet.any(Worker::serves);
        let another_speaks = fleet.unit.origin || fleet.successor.serves();
        if let Some(action) = fleet.admin.tend(now, serves || !another_speaks) {
            fleet.emit(action);
        }
    }
}

/// What is told in the round in which the exit was decided: only requests are answered.
fn over(fleet: &mut Fleet, event: Event) -> State {
    fleet.refuse(event, FailureReason::Stopping.into());
    if let Event::Stop { ticket, .. } = event {
        fleet.emit(Action::Outcome { ticket, result: Ok(()) });
    }
    State::Over
}
