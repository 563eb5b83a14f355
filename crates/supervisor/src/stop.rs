//! The stop, graceful or quick, and the boot that failed, which ends in the same way.
//!
//! A stop may be asked for again: the same one changes nothing, a quick one after a graceful one makes it quick.
//! Nothing is forked any more from the moment a stop begins, not even during `shutdown_delay`: a stop signal that was
//! sent to the whole process group reaches the workers too, and those must not come back.

use alloc::vec::Vec;
use core::time::Duration;

use crate::action::{Action, Fact, Failure, FailureReason, KillReason};
use crate::event::Event;
use crate::fleet::Fleet;
use crate::line::Line;
use crate::mold::Mold;
use crate::time::Instant;
use crate::types::{Generation, Plan, Ticket};
use crate::unit::{FAILED, Parting, RESTART};
use crate::worker::WorkerState;

/// A stop that goes on.
#[derive(Debug)]
pub(crate) struct Stop {
    stage: Stage,
    verdict: Verdict,
    /// The requests that wait for it.
    tickets: Vec<Ticket>,
    /// The settings that were committed last.
    pub(crate) plan: Plan,
    /// The mold that workers came from last.
    pub(crate) generation: Option<Generation>,
}

/// What the exit status is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The server was asked to stop.
    Asked,
    /// The boot has failed, with this status.
    BootFailed(u8),
    /// The first mold has failed, and has not exited: `exit 7` in the configuration is honoured.
    MoldFails {
        /// Whether there is anything to say of it: then 0 is no status of its.
        said: bool,
    },
}

impl Verdict {
    fn status(self) -> u8 {
        match self {
            Self::Asked => 0,
            Self::BootFailed(status) => status,
            Self::MoldFails { .. } => FAILED,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Serving on while load balancers learn of it.
    Delaying { until: Instant },
    /// Workers finish what waits in the backlog.
    Graceful { deadline: Instant },
    /// Workers leave at once.
    Quick,
}

impl Stop {
    /// A stop was asked for. `line`: the one that workers came from, if there was any.
    pub(crate) fn asked(
        fleet: &mut Fleet,
        now: Instant,
        held: Vec<Event>,
        line: Option<Line>,
        graceful: bool,
        ticket: Option<Ticket>,
    ) -> Self {
        let mut stop = Self::begin(fleet, now, held, FailureReason::Stopping.into());
        let unknown = Plan { term_quick: fleet.config.term_quick, ..Plan::default() };
        stop.plan = line.map_or(unknown, |line| line.plan);
        stop.generation = line.map(|line| line.generation);
        stop.stage = Stage::Delaying { until: now + stop.plan.shutdown_delay };
        if graceful {
            let delay = if stop.has_to_wait(fleet, now) { stop.plan.shutdown_delay } else { Duration::ZERO };
            fleet.log(Fact::StopStarted { graceful, delay });
        }
        stop.ask(fleet, now, graceful, ticket);
        stop
    }

    /// The first boot failed: tears everything down.
    pub(crate) fn boot_failed(
        fleet: &mut Fleet,
        now: Instant,
        held: Vec<Event>,
        why: Failure,
        verdict: Verdict,
    ) -> Self {
        fleet.emit(Action::BootFailed(why));
        let mut stop = Self::begin(fleet, now, held, why);
        stop.verdict = verdict;
        fleet.emit(Action::StopListening);
        stop
    }

    /// What every stop begins with: nothing boots any more, and nothing that boots is awaited.
    fn begin(fleet: &mut Fleet, now: Instant, held: Vec<Event>, why: Failure) -> Self {
        for event in held {
            fleet.refuse(event, why);
        }
        fleet.unit.part(fleet.successor.serves());
        fleet.leave_successor();
        let booting: Vec<_> = fleet.molds.iter().filter(|(_, mold)| mold.boots()).map(|(id, _)| *id).collect();
        for generation in booting {
            fleet.kill_mold(generation);
        }
        for id in fleet.select(|worker| worker.boots()) {
            fleet.abandon(now, id);
        }
        Self {
            stage: Stage::Quick,
            verdict: Verdict::Asked,
            tickets: Vec::new(),
            plan: Plan::default(),
            generation: None,
        }
    }

    /// What the server will exit with, as far as is known.
    pub(crate) fn status(&self) -> u8 {
        self.verdict.status()
    }

    /// A mold has exited that was told to leave, or has said that it does.
    pub(crate) fn mold_exited(&mut self, status: Option<u8>) {
        match self.verdict {
            Verdict::Asked | Verdict::BootFailed(_) => {}
            Verdict::MoldFails { said } => {
                self.verdict = Verdict::BootFailed(status.filter(|status| !said || *status != 0).unwrap_or(FAILED));
            }
        }
    }

    /// Whether a worker serves during `shutdown_delay`.
    fn has_to_wait(&self, fleet: &Fleet, now: Instant) -> bool {
        match self.stage {
            Stage::Delaying { until } => until > now && fleet.any(|worker| worker.serves()),
            Stage::Graceful { .. } | Stage::Quick => false,
        }
    }

    /// Asked for (again): only a quick stop after a graceful one changes anything.
    pub(crate) fn ask(&mut self, fleet: &mut Fleet, now: Instant, graceful: bool, ticket: Option<Ticket>) {
        self.tickets.extend(ticket);
        if graceful || self.stage == Stage::Quick {
            return;
        }
        fleet.log(Fact::StopStarted { graceful, delay: Duration::ZERO });
        if let Stage::Delaying { .. } = self.stage {
            fleet.emit(Action::StopListening);
        }
        self.stage = Stage::Quick;
        for id in fleet.select(|_| true) {
            fleet.quick(now, id);
        }
    }

    /// Closes the doors and lets the workers finish what has come in.
    fn drain(&mut self, fleet: &mut Fleet, now: Instant) {
        let deadline = now + self.plan.timeout;
        self.stage = Stage::Graceful { deadline };
        fleet.emit(Action::StopListening);
        let hand_over = fleet.successor.takes_over();
        let (mut asked, mut unreachable) = (Vec::new(), Vec::new());
        for (id, worker) in &mut fleet.workers {
            match worker.state {
                WorkerState::Serving { .. } => {
                    worker.state = WorkerState::Retiring { deadline, overdue: KillReason::StopTimeout, hand_over };
                    asked.push(*id);
                }
                WorkerState::Retiring { deadline: later, hand_over, .. } if later > deadline => {
                    worker.state = WorkerState::Retiring { deadline, overdue: KillReason::StopTimeout, hand_over };
                }
                WorkerState::Unreachable { ready_since: Some(_), .. } => unreachable.push(*id),
                WorkerState::Booting { .. }
                | WorkerState::Unreachable { ready_since: None, .. }
                | WorkerState::Retiring { .. }
                | WorkerState::Abandoned { .. }
                | WorkerState::Quitting { .. }
                | WorkerState::Killed { .. } => {}
            }
        }
        asked.into_iter().for_each(|id| fleet.ask_to_retire(id, true, hand_over));
        unreachable.into_iter().for_each(|id| fleet.send_away(id, deadline, KillReason::StopTimeout));
    }

    /// When a worker that became ready too late has to be gone, and what is said of it then; `None` when it has no more
    /// time than it had before.
    pub(crate) fn limit(&self) -> Option<(Instant, KillReason)> {
        match self.stage {
            // The drain, when it begins, gives it as long as all others.
            Stage::Delaying { .. } => Some((Instant::NEVER, KillReason::StopTimeout)),
            Stage::Graceful { deadline } => Some((deadline, KillReason::StopTimeout)),
            Stage::Quick => None,
        }
    }

    /// Whether everything is to leave at once.
    pub(crate) fn is_quick(&self) -> bool {
        matches!(self.stage, Stage::Quick)
    }

    /// Whether `shutdown_delay` runs.
    pub(crate) fn delays(&self) -> bool {
        matches!(self.stage, Stage::Delaying { .. })
    }

    /// The end of `shutdown_delay`.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Delaying { until } => Some(until),
            Stage::Graceful { .. } | Stage::Quick => None,
        }
    }

    /// Goes on as far as the processes allow; `None` when nothing is left. Molds stay until the last worker is gone: they run
    /// `after_worker_exit`.
    pub(crate) fn settle(mut self, fleet: &mut Fleet, now: Instant) -> Option<Self> {
        if self.delays() && !self.has_to_wait(fleet, now) {
            self.drain(fleet, now);
        }
        if !fleet.successor.takes_over() {
            fleet.withdraw_takers(true);
        }
        if !fleet.workers.is_empty() {
            return Some(self);
        }
        let idle = |mold: &Mold| mold.ready_since().is_some();
        let molds: Vec<_> = fleet.molds.iter().filter(|(_, mold)| idle(mold)).map(|(id, _)| *id).collect();
        for generation in molds {
            fleet.retire_mold(now, generation);
        }
        if !fleet.molds.is_empty() {
            return Some(self);
        }
        if !fleet.services.is_empty() {
            return Some(self);
        }
        let status = match fleet.unit.parting {
            Some(Parting::EndsUnit) if fleet.successor.runs() => return Some(self),
            Some(Parting::EndsUnit | Parting::Alone) | None => self.status(),
            // When the new master has taken over, the status has no effect. When it dies in this very moment, unnoticed, the
            // status says that the unit is not as it should be.
            Some(Parting::HandsOver) => {
                fleet.emit(if fleet.successor.runs() { Action::HandOver } else { Action::Log(Fact::SuccessorLost) });
                RESTART
            }
        };
        fleet.emit(Action::Exit { code: status });
        // Those who asked go on when they hear it: nothing of this master may be left by then.
        fleet.answer(&mut self.tickets, Ok(()));
        None
    }
}
