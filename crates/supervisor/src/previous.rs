//! The way back: the mold of the line before is kept for a while, so that its workers can serve again without a boot.

use alloc::boxed::Box;
use alloc::vec;
use core::mem;

use crate::action::{Action, Fact, FailureReason};
use crate::fleet::Fleet;
use crate::line::{Line, Previous, Source};
use crate::time::Instant;
use crate::types::Ticket;
use crate::up::{Course, Drain, Up};

impl Up {
    /// The last worker of this line is gone: its mold is kept in the place of the one that was, or leaves.
    pub(crate) fn keep(&mut self, fleet: &mut Fleet, now: Instant, old: Line) {
        let (generation, time) = (old.generation, self.line.plan.keep_previous);
        // What a refork leaves behind is of the same code: there is nothing to go back to.
        if old.code() == self.line.code() || time.is_zero() || !is_ready(fleet, &old) {
            fleet.retire_mold(now, generation);
            return;
        }
        if let Some(before) = self.previous.replace(Box::new(Previous { line: old, until: now + time })) {
            fleet.retire_mold(now, before.line.generation);
        }
        fleet.log(Fact::PreviousKept { generation, time });
    }

    /// Lets the kept mold go when its time is over.
    pub(crate) fn forget_previous(&mut self, fleet: &mut Fleet, now: Instant) {
        if let Some(previous) = self.previous.take_if(|previous| previous.until <= now) {
            let generation = previous.line.generation;
            fleet.retire_mold(now, generation);
            fleet.log(Fact::PreviousGone { generation });
        }
    }

    /// The code before is to serve again.
    pub(crate) fn go_back(mut self, fleet: &mut Fleet, now: Instant, ticket: Ticket) -> Self {
        if self.is_reforking() {
            if self.previous.is_none() {
                return self.stay(fleet, ticket, FailureReason::NoPrevious);
            }
            self = self.leave_refork(fleet, now);
        }
        match self.course {
            // It does: nothing but what the reload has done so far has to go.
            Course::Preparing { .. } | Course::Rolling(_) => self.abort(fleet, now, ticket),
            Course::FirstFork { .. } | Course::Steady | Course::Draining(_) if fleet.is_being_replaced() => {
                self.stay(fleet, ticket, FailureReason::UpgradeUnderWay)
            }
            Course::Draining(Drain { ref old, ref mut tickets, ref mut queued }) if is_ready(fleet, old) => {
                let line = old.clone();
                let mut tickets = mem::take(tickets);
                let queued = queued.take();
                fleet.answer(&mut tickets, Err(FailureReason::Aborted.into()));
                let mut up = self.roll_to(fleet, *line, ticket);
                if let Course::Rolling(roll) = &mut up.course {
                    roll.queued = queued;
                }
                up
            }
            Course::Steady => match self.previous.take() {
                Some(previous) => self.roll_to(fleet, previous.line, ticket),
                None => self.stay(fleet, ticket, FailureReason::NoPrevious),
            },
            // While old workers finish, what was kept before them is two steps back.
            Course::FirstFork { .. } | Course::Draining(_) => self.stay(fleet, ticket, FailureReason::NoPrevious),
        }
    }

    fn stay(self, fleet: &mut Fleet, ticket: Ticket, why: FailureReason) -> Self {
        fleet.emit(Action::Outcome { ticket, result: Err(why.into()) });
        self
    }

    fn roll_to(mut self, fleet: &mut Fleet, line: Line, ticket: Ticket) -> Self {
        self.winched = false;
        self.recover_no_mold(fleet);
        fleet.log(Fact::GoesBack { generation: line.generation });
        let size = self.size(&line.plan, &[]);
        self.begin_roll(fleet, line, size, None, vec![ticket])
    }
}

fn is_ready(fleet: &Fleet, line: &Line) -> bool {
    line.source == Source::Ready && fleet.forks(line.generation)
}
