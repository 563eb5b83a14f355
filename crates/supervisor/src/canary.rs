//! The canary: a roll that stops at the first slots until their workers have proven themselves.
//!
//! Meanwhile the other slots are kept as they are: a worker that dies there is replaced from the old mold. One worker of the
//! old line serves on in any case, so that there is something to compare with. Whether the new workers are worse the shell
//! finds out ([`crate::Event::CanaryWorse`]); what follows is the roll-back of any roll that has failed.

use crate::action::{Action, Fact, Failure, FailureReason};
use crate::fleet::Fleet;
use crate::line::{Line, Reach, Source};
use crate::time::Instant;
use crate::types::{Canary, CauseId, Generation, SlotId, Ticket, Trial};
use crate::up::{Course, Roll, Up};
use crate::worker::Worker;

/// Which line a slot is to be of.
impl Up {
    /// The roll that waits for workers on trial.
    pub(crate) fn on_trial(&self) -> Option<(&Roll, Canary, Option<Instant>)> {
        match &self.course {
            Course::Rolling(roll) => match roll.reach {
                Reach::Canary { plan, until } => Some((roll, plan, until)),
                Reach::All => None,
            },
            Course::FirstFork { .. } | Course::Steady | Course::Preparing { .. } | Course::Draining(_) => None,
        }
    }

    /// The workers on trial.
    pub(crate) fn trial(&self) -> Option<Trial> {
        let (_, plan, until) = self.on_trial()?;
        Some(Trial { edition: self.line.edition, workers: self.slots_on_trial(plan), watch: plan.watch, until })
    }

    /// When the trial is over, as far as time is concerned.
    pub(crate) fn trial_ends(&self) -> Option<Instant> {
        self.on_trial().and_then(|(_, _, until)| until)
    }

    /// How many slots are on trial: one is left to the old line where there are two.
    fn slots_on_trial(&self, plan: Canary) -> u32 {
        plan.workers.min(self.target.saturating_sub(1)).max(1)
    }

    /// The line that a slot is to be of.
    pub(crate) fn wanted(&self, slot: SlotId) -> &Line {
        match self.on_trial() {
            Some((roll, plan, _)) if slot.0 >= self.slots_on_trial(plan) && slot.0 < self.target => &roll.old,
            Some(_) | None => &self.line,
        }
    }

    /// Whether a worker is of the line that its slot is to be of, and has not had its time.
    pub(crate) fn is_wanted(&self, worker: &Worker) -> bool {
        worker.edition == self.wanted(worker.slot).edition && worker.worn.is_none()
    }

    /// Whether workers of this line are forked: their failures are to be made something of.
    pub(crate) fn forks_for(&self, edition: Generation) -> bool {
        edition == self.line.edition || self.on_trial().is_some_and(|(roll, ..)| roll.old.edition == edition)
    }

    /// The line that a slot gets a worker of that has none at all. Rather one of the new line than none, if the old mold is
    /// lost; but slots that the new settings add can wait.
    pub(crate) fn line_for_empty(&self, slot: SlotId) -> Option<&Line> {
        let wanted = self.wanted(slot);
        if wanted.edition == self.line.edition {
            return Some(wanted);
        }
        let (roll, ..) = self.on_trial()?;
        let line = if wanted.source == Source::Ready { wanted } else { &self.line };
        (slot.0 < roll.old_target).then_some(line)
    }

    /// Whether this is the only worker left of the old line while the new one is on trial.
    pub(crate) fn is_last_of_old(&self, fleet: &Fleet, worker: &Worker) -> bool {
        let Some((roll, ..)) = self.on_trial() else { return false };
        let is_old = |worker: &Worker| worker.serves() && worker.edition == roll.old.edition;
        is_old(worker) && fleet.workers.values().filter(|worker| is_old(worker)).count() == 1
    }
}

/// How a trial goes.
impl Up {
    /// Whether a roll waits for workers on trial, after what time and they have brought.
    pub(crate) fn goes_on_trial(&mut self, fleet: &mut Fleet, now: Instant) -> bool {
        let Some((roll, plan, until)) = self.on_trial() else { return false };
        // Without old workers there is nothing to compare with, and without slots nothing to try.
        if self.target == 0 || roll.old_target == 0 {
            self.reach_all(fleet);
            return false;
        }
        let (generation, workers) = (self.line.generation, self.slots_on_trial(plan));
        let all_serve = self.renewed(fleet).take(workers as usize).all(|renewed| renewed);
        match until {
            None if all_serve => {
                let watch = plan.watch;
                self.set_reach(Reach::Canary { plan, until: Some(now + watch) });
                fleet.log(Fact::CanaryServing { generation, workers, watch });
                self.goes_on_trial(fleet, now)
            }
            Some(until) if all_serve && until <= now => {
                fleet.log(Fact::CanaryPassed { generation, promoted: false });
                self.reach_all(fleet);
                false
            }
            None | Some(_) => true,
        }
    }

    /// An operator has seen enough.
    pub(crate) fn promote(mut self, fleet: &mut Fleet, ticket: Ticket) -> Self {
        if self.on_trial().is_none() {
            fleet.emit(Action::Outcome { ticket, result: Err(FailureReason::NoCanary.into()) });
            return self;
        }
        fleet.log(Fact::CanaryPassed { generation: self.line.generation, promoted: true });
        self.reach_all(fleet);
        if let Course::Rolling(roll) = &mut self.course {
            roll.tickets.push(ticket);
        }
        self
    }

    /// The workers on trial are worse.
    pub(crate) fn canary_worse(self, fleet: &mut Fleet, now: Instant, cause: CauseId) -> Self {
        match self.on_trial() {
            Some(_) => self.roll_back(fleet, now, FailureReason::CanaryWorse.by(cause)),
            None => self,
        }
    }

    /// An operator wants what was before the reload under way.
    pub(crate) fn abort(self, fleet: &mut Fleet, now: Instant, ticket: Ticket) -> Self {
        let why: Failure = FailureReason::Aborted.into();
        let (up, result) = match self.course {
            Course::Preparing { next, .. } => {
                fleet.kill_mold(next);
                (self.booting_mold_lost(fleet, now, next, why), Ok(()))
            }
            Course::Rolling(_) => (self.roll_back(fleet, now, why), Ok(())),
            Course::FirstFork { .. } | Course::Steady | Course::Draining(_) => {
                (self, Err(FailureReason::NoReload.into()))
            }
        };
        fleet.emit(Action::Outcome { ticket, result });
        up
    }

    /// Each slot is to be of the new line. What failed before says nothing of that.
    fn reach_all(&mut self, fleet: &mut Fleet) {
        fleet.back_offs.clear();
        self.set_reach(Reach::All);
    }

    fn set_reach(&mut self, reach: Reach) {
        if let Course::Rolling(roll) = &mut self.course {
            roll.reach = reach;
        }
    }
}
