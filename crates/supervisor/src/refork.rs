//! The refork: a worker that has served for a while forks the next mold, and the workers that this forks begin with all that
//! the first one has loaded, compiled and cached since its boot, and share it.
//!
//! It is a reload without other code: the same roll follows, with the same way back. Its mold is of a line of its own, so that
//! workers of the two are told apart, but of the same code: services go on, and the mold that is kept for a rollback stays.
//!
//! A refork that fails is not tried again before a worker has served as many requests again, nor before a delay that grows.

use alloc::vec::Vec;

use crate::action::{Action, Fact, Failure, FailureReason};
use crate::event::Event;
use crate::fleet::Fleet;
use crate::line::{Line, Source};
use crate::mold::{Mold, MoldState};
use crate::scale::Size;
use crate::state::State;
use crate::successor::Successor;
use crate::time::Instant;
use crate::types::{Generation, Plan, SlotId, Warm, WorkerId};
use crate::up::{Course, Drain, Origin, Up};
use crate::worker::{Worker, WorkerState};

impl Up {
    /// Begins a refork when it is time, and nothing else goes on.
    pub(crate) fn refork_when_due(self, fleet: &mut Fleet, now: Instant) -> Self {
        match self.limit() {
            Some(limit) => self.refork(fleet, now, limit),
            None => self,
        }
    }

    /// Begins a refork when nothing else goes on, from a worker that has served so many requests.
    fn refork(mut self, fleet: &mut Fleet, now: Instant, limit: u64) -> Self {
        if !self.may_refork(fleet) || self.line.warmth.back_off.due(false) > now {
            return self;
        }
        let Some((id, slot, requests)) = self.warmest(fleet) else { return self };
        if requests < self.line.warmth.spent.saturating_add(limit) {
            return self;
        }
        let next = fleet.promote(now, id, self.line.plan);
        fleet.log(Fact::ReforkStarted { generation: next, slot, requests });
        self.course = Course::Preparing { next, origin: Origin::Worker, tickets: Vec::new() };
        self
    }

    /// Whether nothing is in the way of a refork.
    fn may_refork(&self, fleet: &Fleet) -> bool {
        let free = matches!((&self.course, &fleet.successor), (Course::Steady, Successor::Absent));
        free && self.line.source == Source::Ready
    }

    /// The worker that has served most, of those that the mold in force has forked and that may be forked.
    fn warmest(&self, fleet: &Fleet) -> Option<(WorkerId, SlotId, u64)> {
        let serves = |worker: &Worker| matches!(worker.state, WorkerState::Serving { .. });
        let ours = fleet.workers.iter().filter(|(_, worker)| worker.generation == self.line.generation);
        let fit = ours.filter(|(_, worker)| serves(worker));
        fit.filter_map(|(id, worker)| Some((*id, worker.slot, worker.served?))).max_by_key(|(.., served)| *served)
    }

    /// Whether the workers are being forked anew from one of them.
    pub(crate) fn is_reforking(&self) -> bool {
        match &self.course {
            Course::Preparing { origin: Origin::Worker, .. } => true,
            Course::Rolling(roll) => roll.old.code() == self.line.code(),
            Course::Draining(drain) => drain.old.code() == self.line.code(),
            Course::FirstFork { .. } | Course::Steady | Course::Preparing { origin: Origin::Disk { .. }, .. } => false,
        }
    }

    /// Whether a refork comes when a worker has served enough.
    pub(crate) fn awaits_refork(&self) -> bool {
        matches!(self.course, Course::Steady) && self.limit().is_some()
    }

    /// The mold in force, while its workers serve and nothing else goes on.
    pub(crate) fn warm(&self, fleet: &Fleet) -> Option<Warm> {
        let Line { generation, warmth, .. } = &self.line;
        self.may_refork(fleet).then_some(Warm { generation: *generation, reforks: warmth.reforks })
    }

    /// How many requests a worker is to have answered before the next refork.
    fn limit(&self) -> Option<u64> {
        self.line.plan.refork_after.limit(self.line.warmth.reforks)
    }

    /// Gives up the refork that is under way, for what takes its place.
    pub(crate) fn leave_refork(mut self, fleet: &mut Fleet, now: Instant) -> Self {
        let why = FailureReason::Aborted.into();
        match self.course {
            Course::Preparing { next, .. } => {
                fleet.kill_mold(next);
                self.booting_mold_lost(fleet, now, next, why)
            }
            Course::Rolling(_) => self.roll_back(fleet, now, why),
            Course::Draining(Drain { old, queued, .. }) => {
                self.course = Course::Steady;
                self.keep(fleet, now, *old);
                match queued {
                    Some(tickets) => self.prepare(fleet, now, tickets),
                    None => self,
                }
            }
            Course::FirstFork { .. } | Course::Steady => self,
        }
    }

    /// The mold that a worker has forked is ready.
    pub(crate) fn begin_refork(self, fleet: &mut Fleet, generation: Generation) -> Self {
        let (line, size) = (self.line.reforked(generation), Size { target: self.target, by_hand: self.by_hand });
        self.begin_roll(fleet, line, size, None, Vec::new())
    }

    /// It came to nothing: what the workers have served by now has to be served again first.
    pub(crate) fn refork_failed(&mut self, fleet: &mut Fleet, now: Instant, generation: Generation, why: Failure) {
        let served = fleet.workers.values().filter(|worker| worker.generation == self.line.generation);
        let most = served.filter_map(|worker| worker.served).max().unwrap_or(0);
        let warmth = &mut self.line.warmth;
        warmth.spent = warmth.spent.max(most);
        warmth.back_off.boot_failed(now, &mut fleet.dice);
        fleet.log(Fact::ReforkFailed { generation, why });
    }

    /// The worker forks no mold. Where it never will, another one is asked when it has served enough.
    fn not_promoted(mut self, fleet: &mut Fleet, now: Instant, next: Generation, for_good: bool, why: Failure) -> Self {
        match self.course {
            Course::Preparing { next: awaited, origin: Origin::Worker, .. } if awaited == next && for_good => {
                self.course = Course::Steady;
                fleet.emit(Action::Rollback { generation: next });
                fleet.log(Fact::ReforkElsewhere { generation: next, why });
                self
            }
            Course::FirstFork { .. }
            | Course::Steady
            | Course::Preparing { .. }
            | Course::Rolling(_)
            | Course::Draining(_) => self.booting_mold_lost(fleet, now, next, why),
        }
    }
}

impl State {
    /// A worker has served more, all have grown, or one forks no mold, for now or for good.
    pub(crate) fn refork_event(self, fleet: &mut Fleet, now: Instant, event: Event) -> Self {
        match event {
            Event::WorkerServed { worker, requests } => fleet.worker_served(worker, requests),
            Event::ReforkPays => {
                return match self {
                    Self::Up(up) => Self::Up(up.refork(fleet, now, 1)),
                    state => state,
                };
            }
            Event::NotPromoted { worker, generation, for_good, cause } => {
                let boots = fleet.molds.remove(&generation).is_some_and(|mold| mold.boots());
                if let Some(worker) = fleet.workers.get_mut(&worker).filter(|_| for_good) {
                    worker.served = None;
                }
                let why = FailureReason::NotPromoted.by(cause);
                return match self {
                    Self::Up(up) if boots => Self::Up(up.not_promoted(fleet, now, generation, for_good, why)),
                    state => state,
                };
            }
            _ => {}
        }
        self
    }
}

impl Fleet {
    /// Has a worker fork a mold under a number that was never used. Its settings are known.
    fn promote(&mut self, now: Instant, worker: WorkerId, plan: Plan) -> Generation {
        self.last_generation += 1;
        let generation = Generation(self.last_generation);
        let state = MoldState::Loading { plan, deadline: now + plan.boot_timeout };
        self.molds.insert(generation, Mold { started: now, state });
        self.emit(Action::Promote { worker, generation });
        generation
    }

    /// A worker has answered so many requests.
    fn worker_served(&mut self, id: WorkerId, requests: u64) {
        if let Some(served) = self.workers.get_mut(&id).and_then(|worker| worker.served.as_mut()) {
            *served = requests.max(*served);
        }
    }
}
