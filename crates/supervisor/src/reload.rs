//! The reload: the next mold, the roll it begins, and the way back.
//!
//! Reloads do not overlap. One that comes while the next mold boots takes its place, since it wants the newest code; one
//! that comes during a roll waits for the end of that roll, since the code on disk may have changed after the roll began.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;

use crate::action::{Action, Fact, Failure};
use crate::fleet::Fleet;
use crate::line::{Line, Source};
use crate::scale::{Scale, Size};
use crate::time::Instant;
use crate::types::{Canary, Plan, Ticket};
use crate::up::{Course, Drain, Origin, Roll, Up};

impl Up {
    /// A reload was asked for.
    pub(crate) fn reload(mut self, fleet: &mut Fleet, now: Instant, mut tickets: Vec<Ticket>) -> Self {
        if mem::take(&mut self.winched) {
            // The roll-back of an upgrade: the workers come back at once, from the code that is loaded already. If the
            // code on disk is broken they serve all the same.
            self.target = self.line.plan.worker_processes;
            fleet.emit(Action::WorkerProcesses { count: self.target });
        }
        match &mut self.course {
            // A request that comes during the first boot is held back before it gets here.
            Course::FirstFork { .. } | Course::Steady => {}
            Course::Preparing { next, tickets: waiting, .. } => {
                let dropped = *next;
                let mut waiting = mem::take(waiting);
                waiting.append(&mut tickets);
                tickets = waiting;
                fleet.log(Fact::ReloadRestarted { dropped });
                fleet.kill_mold(dropped);
                fleet.emit(Action::Rollback { generation: dropped });
            }
            Course::Rolling(Roll { queued, .. }) | Course::Draining(Drain { queued, .. }) => {
                queued.get_or_insert_default().append(&mut tickets);
                fleet.log(Fact::ReloadQueued);
                return self;
            }
        }
        self.prepare(fleet, now, tickets)
    }

    /// Starts the next mold.
    pub(crate) fn prepare(mut self, fleet: &mut Fleet, now: Instant, tickets: Vec<Ticket>) -> Self {
        self.recover_no_mold(fleet);
        let next = fleet.start_mold(now);
        fleet.log(Fact::ReloadStarted { generation: next });
        self.course = Course::Preparing { next, origin: Origin::Disk { scales: Vec::new() }, tickets };
        self
    }

    /// Another mold takes the place of one that boots for a lost one: at most one boots at any time.
    pub(crate) fn recover_no_mold(&mut self, fleet: &mut Fleet) {
        if let Source::Booting(generation) = self.line.source {
            self.line.source = Source::Lost;
            fleet.kill_mold(generation);
            fleet.emit(Action::Rollback { generation });
        }
    }

    /// How many workers a roll to these settings begins with. What the load has brought it still needs; what an operator
    /// has asked for since the next mold boots counts from there.
    pub(crate) fn size(&self, plan: &Plan, scales: &[Scale]) -> Size {
        let begins_with = if self.by_hand { plan.worker_processes } else { plan.sized(self.target) };
        let target = scales.iter().fold(begins_with, |count, scale| scale.of(count));
        Size { target, by_hand: !scales.is_empty() }
    }

    /// The mold of this line is ready: workers are to be of it from now on, the first ones on trial if that is asked for.
    pub(crate) fn begin_roll(
        mut self,
        fleet: &mut Fleet,
        line: Line,
        size: Size,
        canary: Option<Canary>,
        tickets: Vec<Ticket>,
    ) -> Self {
        let Line { generation, plan, .. } = line;
        fleet.in_force = plan;
        fleet.back_offs.clear();
        let old = Box::new(mem::replace(&mut self.line, line));
        let old_target = mem::replace(&mut self.target, size.target);
        let old_by_hand = mem::replace(&mut self.by_hand, size.by_hand);
        fleet.emit(Action::Commit { generation });
        if size.target != plan.worker_processes {
            fleet.emit(Action::WorkerProcesses { count: size.target });
        }
        fleet.log(Fact::RollStarted { generation, total: self.target });
        self.course = Course::Rolling(Roll {
            old,
            old_target,
            old_by_hand,
            tickets,
            queued: None,
            told: None,
            reach: canary.into(),
        });
        self
    }

    /// The roll failed: workers are to be of the old line again. Those of the new line that serve go on until the old
    /// line serves their slot.
    pub(crate) fn roll_back(mut self, fleet: &mut Fleet, now: Instant, why: Failure) -> Self {
        let mut roll = match mem::replace(&mut self.course, Course::Steady) {
            Course::Rolling(roll) => roll,
            course @ (Course::FirstFork { .. } | Course::Steady | Course::Preparing { .. } | Course::Draining(_)) => {
                self.course = course;
                return self;
            }
        };
        let failed = mem::replace(&mut self.line, *roll.old);
        self.target = roll.old_target;
        self.by_hand |= roll.old_by_hand;
        fleet.in_force = self.line.plan;
        fleet.back_offs.clear();
        for id in fleet.select(|worker| worker.edition == failed.edition && worker.boots()) {
            fleet.abandon(now, id);
        }
        if failed.code() == self.line.code() {
            self.refork_failed(fleet, now, failed.generation, why);
        } else {
            fleet.log(Fact::RollBack { generation: failed.generation, why });
        }
        fleet.emit(Action::Rollback { generation: failed.generation });
        fleet.retire_mold(now, failed.generation);
        if self.target != failed.plan.worker_processes || self.target != self.line.plan.worker_processes {
            fleet.emit(Action::WorkerProcesses { count: self.target });
        }
        fleet.answer(&mut roll.tickets, Err(why));
        match roll.queued {
            Some(tickets) => self.prepare(fleet, now, tickets),
            None => self,
        }
    }
}
