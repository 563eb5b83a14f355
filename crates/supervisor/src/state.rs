//! The states of the server, and which of them takes which event.

use alloc::vec::Vec;

use crate::action::{Action, Fact, Failure, FailureReason, KillReason};
use crate::event::{Event, Signal};
use crate::fleet::{Fleet, LAST_BREATH, MOLD_GRACE};
use crate::mold::{Mold, MoldState};
use crate::scale::Scale;
use crate::stop::{Stop, Verdict};
use crate::time::Instant;
use crate::types::{CauseId, Generation, Plan, Ticket, WorkerId};
use crate::unit::{FAILED, Unit};
use crate::up::Up;
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

impl State {
    /// Takes in one event.
    pub(crate) fn on(mut self, fleet: &mut Fleet, now: Instant, event: Event) -> Self {
        if asks_for_change(event) {
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
                    refuse(fleet, event, FailureReason::Stopping.into());
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
                mold_unreachable(fleet, now, generation);
                self
            }
            Event::MoldExited { generation, status, cause } => self.mold_exited(fleet, now, generation, status, cause),
            Event::WorkerReady { worker } => self.worker_ready(fleet, now, worker),
            Event::WorkerBootFailed { worker, cause } => self.worker_boot_failed(fleet, now, worker, cause),
            Event::ForkFailed { worker, cause } => self.fork_failed(fleet, now, worker, cause),
            Event::WorkerLeaves { worker } => self.worker_leaves(fleet, now, worker),
            Event::WorkerLied { worker, in_request } => self.worker_lied(fleet, now, worker, in_request),
            Event::WorkerUnreachable { worker } => {
                worker_unreachable(fleet, now, worker);
                self
            }
            Event::WorkerExited { worker, in_request, cause } => {
                self.worker_exited(fleet, now, worker, in_request, cause)
            }
            Event::RequestOverdue { worker } => {
                request_overdue(fleet, worker);
                self
            }
            Event::SuccessorStarted => {
                fleet.successor_started();
                self
            }
            Event::SuccessorReady { takes_over } => self.successor_ready(fleet, now, takes_over),
            Event::SuccessorExited { cause } => {
                fleet.successor_gone(FailureReason::SuccessorExited.by(cause));
                self
            }
            Event::SuccessorFailed { cause } => {
                fleet.successor_gone(FailureReason::SuccessorFailed.by(cause));
                self
            }
            Event::AdminWanted { place, anew } => {
                fleet.admin_wanted(place, anew);
                self
            }
            Event::AdminFailed => {
                fleet.admin_failed();
                self
            }
            Event::AdminExited { no_address, cause } => {
                fleet.admin_exited(now, no_address, cause);
                self
            }
            Event::HandedOver => self.handed_over(fleet),
            Event::OriginGone => self.origin_gone(fleet, now),
            Event::PreflightPassed => self.preflight_passed(fleet),
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
                Self::Up(up) => up.ready_mold_lost(fleet, now, generation, since, cause),
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
            (Self::Up(up), Some(since)) => up.ready_mold_lost(fleet, now, generation, since, why.cause),
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

    /// It counts as a death, and goes like one that was asked to: with another worker there to take its connections it gives
    /// them away. A stop asks it to leave anyway.
    fn worker_leaves(self, fleet: &mut Fleet, now: Instant, id: WorkerId) -> Self {
        let Some(&worker) = fleet.workers.get(&id) else { return self };
        match (self, worker.state) {
            (Self::Up(up), WorkerState::Serving { since }) => {
                let up = up.worker_died(fleet, now, worker, since, false);
                let others = fleet.workers.iter().any(|(other, worker)| *other != id && worker.serves());
                fleet.dismiss(now, id, others && up.has_takers(fleet));
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
        fleet.dismiss(now, id, false);
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
            Self::Up(up) => up.boot_failed(fleet, now, worker, why),
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
        self.expire_preflight(fleet, now)
    }

    /// Brings about what the state wants: processes started, retired, and the next state when its time has come.
    pub(crate) fn settle(mut self, fleet: &mut Fleet, now: Instant) -> Self {
        loop {
            let again;
            (self, again) = match self {
                Self::Up(up) => up.settle(fleet, now),
                Self::Stopping(stop) => (stop.settle(fleet, now), false),
                Self::New { .. } | Self::FirstMold { .. } | Self::Over => (self, false),
            };
            if !again {
                if !matches!(self, Self::Over) {
                    self.tend_admin(fleet, now);
                }
                return self;
            }
        }
    }
}

/// Whether an event asks for something that a boot puts off and a stop refuses.
fn asks_for_change(event: Event) -> bool {
    match event {
        Event::Reload { .. } | Event::Upgrade { .. } => true,
        Event::Signal(signal) => match signal {
            Signal::Hup | Signal::Usr2 | Signal::Ttin | Signal::Ttou | Signal::Winch { .. } => true,
            Signal::Quit | Signal::Term | Signal::Int | Signal::Usr1 => false,
        },
        Event::Unit { .. }
        | Event::Start
        | Event::Stop { .. }
        | Event::MoldConfigured { .. }
        | Event::MoldReady { .. }
        | Event::MoldFailed { .. }
        | Event::MoldUnfit { .. }
        | Event::MoldUnreachable { .. }
        | Event::MoldExited { .. }
        | Event::WorkerReady { .. }
        | Event::WorkerBootFailed { .. }
        | Event::ForkFailed { .. }
        | Event::WorkerLeaves { .. }
        | Event::WorkerLied { .. }
        | Event::WorkerUnreachable { .. }
        | Event::WorkerExited { .. }
        | Event::RequestOverdue { .. }
        | Event::SuccessorStarted
        | Event::SuccessorReady { .. }
        | Event::SuccessorExited { .. }
        | Event::SuccessorFailed { .. }
        | Event::AdminWanted { .. }
        | Event::AdminFailed
        | Event::AdminExited { .. }
        | Event::HandedOver
        | Event::OriginGone
        | Event::PreflightPassed
        | Event::PreflightFailed { .. }
        | Event::NotReplaced { .. }
        | Event::Replaced
        | Event::Tick => false,
    }
}

/// What is told in the round in which the exit was decided: only requests are answered.
fn over(fleet: &mut Fleet, event: Event) -> State {
    refuse(fleet, event, FailureReason::Stopping.into());
    if let Event::Stop { ticket, .. } = event {
        fleet.emit(Action::Outcome { ticket, result: Ok(()) });
    }
    State::Over
}

/// Answers the ticket of a request that will not be looked at.
pub(crate) fn refuse(fleet: &mut Fleet, event: Event, why: Failure) {
    if let Event::Reload { ticket } | Event::Upgrade { ticket, .. } = event {
        fleet.emit(Action::Outcome { ticket, result: Err(why) });
    }
}

fn request_overdue(fleet: &mut Fleet, id: WorkerId) {
    let Some(worker) = fleet.workers.get(&id) else { return };
    match worker.state {
        WorkerState::Serving { .. }
        | WorkerState::Unreachable { .. }
        | WorkerState::Retiring { .. }
        | WorkerState::Abandoned { .. }
        | WorkerState::Quitting { .. } => fleet.kill(id, KillReason::RequestTimeout),
        WorkerState::Booting { .. } | WorkerState::Killed { .. } => {}
    }
}

/// One that is about to die closes its socket too, a moment before: time tells.
fn worker_unreachable(fleet: &mut Fleet, now: Instant, id: WorkerId) {
    let Some(worker) = fleet.workers.get_mut(&id) else { return };
    let deadline = now + LAST_BREATH;
    match worker.state {
        WorkerState::Booting { deadline: earlier } => {
            worker.state = WorkerState::Unreachable { ready_since: None, deadline: deadline.min(earlier) };
        }
        WorkerState::Serving { since } => {
            worker.state = WorkerState::Unreachable { ready_since: Some(since), deadline };
        }
        // It may not have heard what it was asked for.
        WorkerState::Retiring { deadline, overdue, .. } => fleet.send_away(id, deadline, overdue),
        // These leave, or are killed when their time is over.
        WorkerState::Unreachable { .. }
        | WorkerState::Abandoned { .. }
        | WorkerState::Quitting { .. }
        | WorkerState::Killed { .. } => {}
    }
}

/// As with workers. One that boots has a deadline, which comes sooner now.
fn mold_unreachable(fleet: &mut Fleet, now: Instant, generation: Generation) {
    let Some(mold) = fleet.molds.get_mut(&generation) else { return };
    let soon = now + LAST_BREATH;
    match &mut mold.state {
        MoldState::Starting { deadline } | MoldState::Loading { deadline, .. } => *deadline = soon.min(*deadline),
        MoldState::Ready { since } => mold.state = MoldState::Unreachable { since: *since, deadline: soon },
        MoldState::Unreachable { .. } | MoldState::Retiring { .. } | MoldState::Killed => {}
    }
}
