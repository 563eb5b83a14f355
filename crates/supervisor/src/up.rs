//! The server when it has, or had, a mold: what it wants, and what it makes of deaths.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;

use crate::action::{Action, Fact, Failure, FailureReason};
use crate::back_off::{BackOff, LIVED};
use crate::event::Event;
use crate::fleet::Fleet;
use crate::line::{Line, Previous, Reach, Source, Warmth};
use crate::scale::Scale;
use crate::service::Wanted;
use crate::stop::{Stop, Verdict};
use crate::time::Instant;
use crate::types::{CauseId, Generation, Plan, Ticket};
use crate::unit::FAILED;
use crate::worker::Worker;

/// A server that has, or had, a mold.
#[derive(Debug)]
pub(crate) struct Up {
    /// What workers are to be of.
    pub(crate) line: Line,
    /// How many workers are wanted: the configured number, changed by SIGTTIN, SIGTTOU and SIGWINCH, or by the load.
    pub(crate) target: u32,
    /// Whether such a signal came since the last reload: its word holds.
    pub(crate) by_hand: bool,
    /// Whether SIGWINCH sent the workers away and nothing has called any back.
    pub(crate) winched: bool,
    /// What goes on beside serving.
    pub(crate) course: Course,
    /// The line before, while its mold is kept.
    pub(crate) previous: Option<Box<Previous>>,
}

/// What goes on beside serving.
#[derive(Debug)]
pub(crate) enum Course {
    /// The first workers boot.
    FirstFork {
        /// Requests that wait for the end of the boot.
        held: Vec<Event>,
        /// Whether a worker has ever been ready: from then on, failures do not end the server.
        any_ready: bool,
    },
    /// Nothing.
    Steady,
    /// The next mold boots.
    Preparing {
        /// The next mold.
        next: Generation,
        /// Where it comes from.
        origin: Origin,
        /// The requests that wait for the reload.
        tickets: Vec<Ticket>,
    },
    /// Workers are replaced slot by slot; a failure puts the old line back.
    Rolling(Roll),
    /// Each slot is served by the new line; the old workers finish.
    Draining(Drain),
}

/// Where the next mold comes from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// It is started, with the newest code and settings.
    Disk {
        /// What was asked for since.
        scales: Vec<Scale>,
    },
    /// A worker of the line forks it: a refork.
    Worker,
}

/// What becomes of a server when one of its processes has failed.
#[derive(Debug)]
pub(crate) enum Next {
    /// It goes on.
    Up(Up),
    /// The first boot has failed.
    Stopping(Stop),
}

/// A roll that can still fail.
#[derive(Debug)]
pub(crate) struct Roll {
    /// What is put back if the roll fails.
    pub(crate) old: Box<Line>,
    /// How many workers were wanted before.
    pub(crate) old_target: u32,
    /// Whether an operator had said so.
    pub(crate) old_by_hand: bool,
    /// The requests that wait for this reload.
    pub(crate) tickets: Vec<Ticket>,
    /// The requests that wait for the reload after this one, if one was asked for.
    pub(crate) queued: Option<Vec<Ticket>>,
    /// The progress that was told last.
    pub(crate) told: Option<(u32, u32)>,
    /// How far it goes for now.
    pub(crate) reach: Reach,
}

/// A roll that has succeeded, except that old workers live.
#[derive(Debug)]
pub(crate) struct Drain {
    /// The line before; its mold may be lost.
    pub(crate) old: Box<Line>,
    /// The requests that wait for this reload.
    pub(crate) tickets: Vec<Ticket>,
    /// The requests that wait for the reload after this one, if one was asked for.
    pub(crate) queued: Option<Vec<Ticket>>,
}

impl Up {
    /// The first mold is ready.
    pub(crate) fn first(fleet: &mut Fleet, generation: Generation, plan: Plan, held: Vec<Event>) -> Self {
        fleet.in_force = plan;
        fleet.emit(Action::Commit { generation });
        let course = Course::FirstFork { held, any_ready: false };
        Self {
            line: Line::new(generation, plan),
            target: plan.worker_processes,
            by_hand: false,
            winched: false,
            course,
            previous: None,
        }
    }

    /// Where requests wait for the end of the boot, while that lasts.
    pub(crate) fn held(&mut self) -> Option<&mut Vec<Event>> {
        match &mut self.course {
            Course::FirstFork { held, .. } => Some(held),
            Course::Steady | Course::Preparing { .. } | Course::Rolling(_) | Course::Draining(_) => None,
        }
    }

    /// The server stops: no reload is awaited any more. Returns the requests that were put off.
    pub(crate) fn give_up(self, fleet: &mut Fleet, why: Failure) -> Vec<Event> {
        if let Source::Booting(generation) = self.line.source {
            fleet.emit(Action::Rollback { generation });
        }
        let (mut tickets, queued) = match self.course {
            Course::FirstFork { held, .. } => return held,
            Course::Steady => return Vec::new(),
            Course::Preparing { next, tickets, .. } => {
                fleet.emit(Action::Rollback { generation: next });
                (tickets, None)
            }
            Course::Rolling(roll) => (roll.tickets, roll.queued),
            Course::Draining(drain) => (drain.tickets, drain.queued),
        };
        tickets.extend(queued.into_iter().flatten());
        fleet.answer(&mut tickets, Err(why));
        Vec::new()
    }

    /// Changes the number of workers. The workers follow when the event has been handled.
    pub(crate) fn scale(mut self, fleet: &mut Fleet, scale: Scale) -> Self {
        match scale {
            Scale::OneMore => self.winched = false,
            Scale::OneLess => {}
            Scale::None => {
                self.winched = true;
                fleet.log(Fact::WinchStarted);
            }
        }
        self.by_hand = true;
        let before = self.target;
        self.target = scale.of(before);
        match &mut self.course {
            // The reload goes back to the configured number; what comes after it was asked for counts from there.
            Course::Preparing { origin: Origin::Disk { scales }, .. } => scales.push(scale),
            // A roll that fails goes back to the number before it, but not behind the operator's back: neither to workers
            // that were sent away, nor to none when the signal has left the new code some.
            Course::Rolling(roll) => {
                let least = u32::from(roll.old_target > 0 && self.target > 0);
                roll.old_target = scale.of(roll.old_target).max(least);
            }
            Course::FirstFork { .. }
            | Course::Steady
            | Course::Preparing { origin: Origin::Worker, .. }
            | Course::Draining(_) => {}
        }
        if self.target != before {
            fleet.emit(Action::WorkerProcesses { count: self.target });
        }
        self
    }

    /// A worker became ready.
    pub(crate) fn worker_ready(&mut self) {
        match &mut self.course {
            Course::FirstFork { any_ready, .. } => *any_ready = true,
            Course::Steady | Course::Preparing { .. } | Course::Rolling(_) | Course::Draining(_) => {}
        }
    }

    /// A worker that served died, or left without having been asked to. One that dies in a request booted well.
    pub(crate) fn worker_died(
        self,
        fleet: &mut Fleet,
        now: Instant,
        worker: Worker,
        since: Instant,
        in_request: bool,
    ) -> Self {
        let slot = worker.slot;
        if now.since(since) >= LIVED {
            fleet.back_offs.remove(&slot);
        } else if in_request {
            fleet.back_offs.entry(slot).or_default().died_at_work(since);
        } else if self.forks_for(worker.edition) {
            let mut back_off = fleet.back_offs.get(&slot).copied().unwrap_or_default();
            let delay = back_off.died_early(now, &mut fleet.dice);
            if !delay.is_zero() {
                if matches!(self.course, Course::Rolling(_)) && self.of_line(&worker) {
                    return self.roll_back(fleet, now, FailureReason::WorkerCrashLoop(slot).into());
                }
                fleet.log(Fact::BackOff { slot, failures: back_off.failures, delay });
            }
            fleet.back_offs.insert(slot, back_off);
        }
        self
    }

    /// A worker did not boot.
    pub(crate) fn boot_failed(self, fleet: &mut Fleet, now: Instant, worker: Worker, why: Failure) -> Next {
        // One of a line that is being replaced, or was rolled back, says nothing about this line.
        if !self.forks_for(worker.edition) {
            return Next::Up(self);
        }
        match self.course {
            Course::FirstFork { held, any_ready: false } => {
                return Next::Stopping(Stop::boot_failed(fleet, now, held, why, Verdict::BootFailed(FAILED)));
            }
            Course::Rolling(_) if self.of_line(&worker) => return Next::Up(self.roll_back(fleet, now, why)),
            Course::FirstFork { .. }
            | Course::Steady
            | Course::Preparing { .. }
            | Course::Rolling(_)
            | Course::Draining(_) => {}
        }
        let slot = worker.slot;
        let mut back_off = fleet.back_offs.get(&slot).copied().unwrap_or_default();
        let delay = back_off.boot_failed(now, &mut fleet.dice);
        fleet.back_offs.insert(slot, back_off);
        fleet.log(Fact::BackOff { slot, failures: back_off.failures, delay });
        Next::Up(self)
    }
}

/// Services.
impl Up {
    /// Which services are to run: those of the line that serves, or that has served last while workers of another one take
    /// its place and may yet fail to.
    pub(crate) fn services(&self, fleet: &Fleet) -> Wanted {
        let (line, alone) = match &self.course {
            Course::FirstFork { .. } => return Wanted::None { quick: false },
            Course::Steady | Course::Preparing { .. } | Course::Draining(_) => (&self.line, true),
            Course::Rolling(roll) => (&*roll.old, false),
        };
        // SIGWINCH makes room for another master.
        if self.winched && self.target == 0 {
            return Wanted::None { quick: false };
        }
        // A refork brings no other code: they go on.
        let (edition, generation, forks) = (line.code(), line.generation, line.source == Source::Ready);
        Wanted::Of { edition, generation, forks, shared: fleet.unit.origin, alone }
    }
}

/// Molds.
impl Up {
    /// A mold is ready: the next one of a reload, or one in place of a lost one.
    pub(crate) fn mold_ready(mut self, fleet: &mut Fleet, now: Instant, generation: Generation, plan: Plan) -> Self {
        if self.line.source == Source::Booting(generation) {
            fleet.in_force = plan;
            self.line.generation = generation;
            self.line.plan = plan;
            self.line.source = Source::Ready;
            self.line.warmth = Warmth { code: self.line.warmth.code, ..Warmth::default() };
            fleet.log(Fact::MoldRecovered { generation });
            fleet.emit(Action::Commit { generation });
            match self.course {
                // The old workers still accept on what this one dropped: it is settled when they are gone.
                Course::Draining(_) => {}
                Course::FirstFork { .. } | Course::Steady | Course::Preparing { .. } | Course::Rolling(_) => {
                    fleet.emit(Action::Settle { generation });
                }
            }
            if self.target != plan.worker_processes {
                fleet.emit(Action::WorkerProcesses { count: self.target });
            }
            return self;
        }
        match self.course {
            Course::Preparing { next, ref origin, ref mut tickets } if next == generation => {
                let tickets = mem::take(tickets);
                match origin {
                    Origin::Disk { scales } => {
                        let size = self.size(&plan, scales);
                        self.begin_roll(fleet, Line::new(generation, plan), size, plan.canary, tickets)
                    }
                    Origin::Worker => self.begin_refork(fleet, generation),
                }
            }
            Course::FirstFork { .. }
            | Course::Steady
            | Course::Preparing { .. }
            | Course::Rolling(_)
            | Course::Draining(_) => {
                // It is not awaited. That cannot happen: a mold that is not awaited any more is killed.
                fleet.retire_mold(now, generation);
                self
            }
        }
    }

    /// A mold will not become ready.
    pub(crate) fn booting_mold_lost(
        mut self,
        fleet: &mut Fleet,
        now: Instant,
        generation: Generation,
        why: Failure,
    ) -> Self {
        if self.line.source == Source::Booting(generation) {
            self.line.source = Source::Lost;
            let delay = self.line.back_off.boot_failed(now, &mut fleet.dice);
            fleet.log(Fact::MoldRecoveryFailed { generation, why, delay });
            fleet.emit(Action::Rollback { generation });
            return self;
        }
        match self.course {
            Course::Preparing { next, origin: Origin::Worker, .. } if next == generation => {
                self.course = Course::Steady;
                fleet.emit(Action::Rollback { generation });
                self.refork_failed(fleet, now, generation, why);
                self
            }
            Course::Preparing { next, mut tickets, .. } if next == generation => {
                fleet.log(Fact::ReloadFailed { generation, why });
                fleet.emit(Action::Rollback { generation });
                fleet.answer(&mut tickets, Err(why));
                Self { course: Course::Steady, ..self }
            }
            course => Self { course, ..self },
        }
    }

    /// A mold that was ready died.
    pub(crate) fn ready_mold_lost(
        mut self,
        fleet: &mut Fleet,
        now: Instant,
        generation: Generation,
        since: Instant,
        cause: CauseId,
    ) -> Next {
        let why = FailureReason::MoldExited.by(cause);
        if self.previous.take_if(|previous| previous.line.generation == generation).is_some() {
            fleet.log(Fact::PreviousGone { generation });
        } else if self.line.source == Source::Ready && self.line.generation == generation {
            self.line.source = Source::Lost;
            match self.course {
                Course::FirstFork { held, any_ready: false } => {
                    return Next::Stopping(Stop::boot_failed(fleet, now, held, why, Verdict::BootFailed(FAILED)));
                }
                Course::Rolling(_) => return Next::Up(self.roll_back(fleet, now, why)),
                Course::FirstFork { .. } | Course::Steady | Course::Preparing { .. } | Course::Draining(_) => {}
            }
            fleet.log(Fact::MoldLost { generation });
            if now.since(since) >= LIVED {
                self.line.back_off = BackOff::default();
            } else {
                self.line.back_off.died_early(now, &mut fleet.dice);
            }
        } else {
            match &mut self.course {
                // Nothing is forked from it unless the roll fails; then another is started.
                Course::Rolling(roll) if roll.old.generation == generation => {
                    roll.old.source = Source::Lost;
                    fleet.log(Fact::MoldLost { generation });
                }
                _ => {}
            }
        }
        Next::Up(self)
    }
}
