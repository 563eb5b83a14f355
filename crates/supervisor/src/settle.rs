//! From what is wanted to what is done: which workers are forked, which retire, when a roll has succeeded.
//!
//! One rule serves boot, deaths, scaling, rolls and their roll-back: each slot below the wanted number is to be served by
//! one worker of the line that has not had its time; any other that serves it goes when that one is ready, and not before.

use alloc::vec;
use alloc::vec::Vec;

use crate::action::{Action, Fact};
use crate::event::Event;
use crate::fleet::Fleet;
use crate::line::{Line, Source};
use crate::time::Instant;
use crate::types::{SlotId, WorkerId};
use crate::up::{Course, Drain, Up};
use crate::worker::Worker;

/// How a wanted slot is covered.
#[derive(Clone, Copy, Debug, Default)]
struct Cover {
    /// A worker of the line that the slot is to be of serves, and has not had its time.
    served: bool,
    /// Such a one boots.
    booting: bool,
    /// A worker of the newest line serves.
    renewed: bool,
    /// Another one serves, or boots and has not been told to leave.
    foreign: bool,
    /// One of them is of the right line, and has had its time.
    worn: bool,
    /// The newest of them that serves, of the right line if one is.
    substitute: Option<WorkerId>,
}

impl Up {
    /// Does what can be done now. Returns what was put off until now when the course changed: then there may be more to do,
    /// whether or not there is any such request.
    pub(crate) fn settle(self, fleet: &mut Fleet, now: Instant) -> (Self, Option<Vec<Event>>) {
        // First, so that nothing is forked for a course that is over.
        let (mut up, again) = self.advance(fleet, now);
        up.forget_previous(fleet, now);
        if again.is_none() {
            up = up.begin_waiting_upgrade(fleet, now).refork_when_due(fleet, now);
            up.recover_mold(fleet, now);
            up.thin_out(fleet, now);
            up.fill(fleet, now);
            if !up.has_takers(fleet) {
                fleet.withdraw_takers(false);
            }
        }
        (up, again)
    }

    /// Starts a mold in place of a lost one, except while a reload brings another anyway.
    fn recover_mold(&mut self, fleet: &mut Fleet, now: Instant) {
        let free = match self.course {
            Course::FirstFork { .. } | Course::Steady | Course::Draining(_) => true,
            Course::Preparing { .. } | Course::Rolling(_) => false,
        };
        if free && self.line.source == Source::Lost && self.line.back_off.due(is_alone(fleet)) <= now {
            self.line.source = Source::Booting(fleet.start_mold(now));
        }
    }

    /// Whether workers that leave can give their connections to others that serve, or will.
    pub(crate) fn has_takers(&self, fleet: &Fleet) -> bool {
        self.target > 0 || fleet.successor.takes_over()
    }

    /// Sends away the workers that are not wanted any more.
    fn thin_out(&self, fleet: &mut Fleet, now: Instant) {
        let cover = self.cover(fleet);
        // Slots beyond the wanted number: workers of the line go at once, since the operator says so. Others stay while a
        // roll that makes the server smaller can fail, if its failure brought their slot back; and as many stay as there are
        // wanted slots that no worker serves. More, or two in one slot, would take the place of those that the roll has yet to
        // fork.
        let slots = self.slots();
        let mut substitutes = cover.iter().filter(|cover| !cover.served && !cover.foreign).count();
        for id in fleet.select(|worker| worker.serves() || worker.boots()) {
            let Some(&worker) = fleet.workers.get(&id) else { continue };
            let worker = &worker;
            let superfluous = match cover.get(worker.slot.0 as usize) {
                // Two of other lines serve a slot when a roll began while the one before was being rolled back.
                Some(cover) => {
                    let needed = worker.boots() && !cover.worn || cover.substitute == Some(id);
                    !self.is_wanted(worker) && (cover.served || !needed) && !self.is_last_of_old(fleet, worker)
                }
                None if self.of_line(worker) => true,
                None if (worker.slot.0 as usize) < slots => {
                    let of_slot = |other: &Worker| other.slot == worker.slot && !self.of_line(other);
                    let newer = fleet.workers.range(id..).skip(1);
                    worker.serves() && newer.into_iter().any(|(_, other)| of_slot(other) && other.serves())
                }
                None if substitutes == 0 => true,
                None => {
                    substitutes -= 1;
                    false
                }
            };
            if superfluous {
                if cover.get(worker.slot.0 as usize).is_some_and(|cover| cover.served) {
                    self.tell_recycled(fleet, id);
                }
                fleet.dismiss(now, id, self.has_takers(fleet));
            }
        }
    }

    /// Forks workers for the slots that want one, those that no worker serves first.
    fn fill(&self, fleet: &mut Fleet, now: Instant) {
        if self.line.source != Source::Ready {
            return;
        }
        let cover = self.cover(fleet);
        let is_served = |worker: &Worker| cover.get(worker.slot.0 as usize).is_some_and(|cover| cover.served);
        // An old worker that stays beside a new one takes no other's place.
        let stays = fleet.any(|worker| is_served(worker) && self.is_last_of_old(fleet, worker));
        let limit = self.slots() + self.line.surge() + usize::from(stays);
        // Workers that leave slots which are gone do not stand in the way of one that is missing elsewhere.
        let occupied = fleet.workers.values().map(|worker| worker.slot.0 as usize + 1).max().unwrap_or(0);
        let limit_for_empty = limit.max(occupied + self.line.surge());
        let wanting = || (0..).map(SlotId).zip(&cover).filter(|(_, cover)| !cover.served && !cover.booting);
        for (slot, _) in wanting().filter(|(_, cover)| !cover.foreign) {
            if fleet.workers.len() >= limit_for_empty {
                break;
            }
            if let Some(line) = self.line_for_empty(slot) {
                self.fork(fleet, now, slot, line);
            }
        }
        for (slot, _) in wanting().filter(|(_, cover)| cover.foreign && (!cover.worn || self.is_settled())) {
            if fleet.workers.len() >= limit {
                break;
            }
            let line = self.wanted(slot);
            if line.source == Source::Ready {
                self.fork(fleet, now, slot, line);
            }
        }
    }

    /// The worker that is at work in each wanted slot.
    fn cover(&self, fleet: &Fleet) -> Vec<Cover> {
        let mut cover = vec![Cover::default(); self.target as usize];
        for (id, worker) in &fleet.workers {
            let Some(cover) = cover.get_mut(worker.slot.0 as usize) else { continue };
            let wanted = self.is_wanted(worker);
            cover.served |= worker.serves() && wanted;
            cover.booting |= worker.boots() && wanted;
            cover.renewed |= worker.serves() && self.of_line(worker);
            cover.foreign |= (worker.serves() || worker.boots()) && !wanted;
            let worn = worker.serves() && self.is_worn(worker);
            if worker.serves() && !wanted && (worn || !cover.worn) {
                cover.substitute = Some(*id);
            }
            cover.worn |= worn;
        }
        cover
    }

    /// Forks a worker, unless its slot has to wait: after failures, or for a worker of the same mold that has not left. One that
    /// has had its time may be there still: while it serves, or when no other one does.
    fn fork(&self, fleet: &mut Fleet, now: Instant, slot: SlotId, line: &Line) {
        let waits = fleet.back_offs.get(&slot).is_some_and(|back_off| back_off.due(is_alone(fleet)) > now);
        let served = fleet.any(|worker| worker.slot == slot && worker.serves());
        let goes = |worker: &Worker| worker.worn.is_some() && (worker.serves() || !served);
        let taken = fleet.any(|other| other.slot == slot && other.generation == line.generation && !goes(other));
        if !waits && !taken {
            fleet.fork(now, slot, line);
        }
    }

    /// Goes from one course to the next when its end is reached.
    fn advance(mut self, fleet: &mut Fleet, now: Instant) -> (Self, Option<Vec<Event>>) {
        match self.course {
            Course::FirstFork { held, any_ready } => {
                let tried = |slot| {
                    fleet.back_offs.contains_key(&slot)
                        || fleet.any(|worker: &Worker| worker.slot == slot && worker.serves())
                };
                if !(self.target == 0 || fleet.any(Worker::serves) && (0..self.target).map(SlotId).all(tried)) {
                    self.course = Course::FirstFork { held, any_ready };
                    return (self, None);
                }
                fleet.emit(Action::Serving);
                self.course = Course::Steady;
                (self, Some(held))
            }
            Course::Steady | Course::Preparing { .. } => (self, None),
            Course::Rolling(_) => self.advance_roll(fleet, now),
            Course::Draining(_) if fleet.any(|worker| !self.of_line(worker)) => (self, None),
            Course::Draining(Drain { old, mut tickets, queued }) => {
                self.course = Course::Steady;
                let generation = self.line.generation;
                let same_code = old.code() == self.line.code();
                fleet.log(if same_code { Fact::ReforkDone { generation } } else { Fact::RollDone { generation } });
                self.keep(fleet, now, *old);
                fleet.emit(Action::Settle { generation });
                fleet.answer(&mut tickets, Ok(()));
                let up = match queued {
                    Some(tickets) => self.prepare(fleet, now, tickets),
                    None => self,
                };
                (up, Some(Vec::new()))
            }
        }
    }

    /// Tells the progress of a roll. When nothing remains to be replaced the roll has succeeded.
    fn advance_roll(mut self, fleet: &mut Fleet, now: Instant) -> (Self, Option<Vec<Event>>) {
        let progress = self.progress(fleet);
        let on_trial = self.goes_on_trial(fleet, now);
        match self.course {
            Course::Rolling(mut roll) => {
                if roll.told != Some(progress) {
                    roll.told = Some(progress);
                    let (done, total) = progress;
                    fleet.emit(Action::Progress { done, total });
                }
                if on_trial || progress.0 < progress.1 {
                    self.course = Course::Rolling(roll);
                    return (self, None);
                }
                fleet.log(Fact::RollServing { generation: self.line.generation });
                self.course = Course::Draining(Drain { old: roll.old, tickets: roll.tickets, queued: roll.queued });
                (self, Some(Vec::new()))
            }
            Course::FirstFork { .. } | Course::Steady | Course::Preparing { .. } | Course::Draining(_) => (self, None),
        }
    }
}

/// What is wanted, and how far it is.
impl Up {
    /// Whether a worker is of the wanted line.
    pub(crate) fn of_line(&self, worker: &Worker) -> bool {
        worker.edition == self.line.edition
    }

    /// Slots that the line serves, and slots in all.
    pub(crate) fn progress(&self, fleet: &Fleet) -> (u32, u32) {
        let done = self.renewed(fleet).filter(|renewed| *renewed).count();
        (u32::try_from(done).unwrap_or(self.target), self.target)
    }

    /// Of each wanted slot, whether a worker of the line serves it.
    pub(crate) fn renewed(&self, fleet: &Fleet) -> impl Iterator<Item = bool> {
        self.cover(fleet).into_iter().map(|cover| cover.renewed)
    }

    /// How many slots there are, those included that a roll is about to close.
    fn slots(&self) -> usize {
        let slots = match &self.course {
            Course::FirstFork { .. } | Course::Steady | Course::Preparing { .. } | Course::Draining(_) => self.target,
            Course::Rolling(roll) => self.target.max(roll.old_target),
        };
        slots as usize
    }

    /// When something that waits after failures is to be tried again.
    pub(crate) fn next_deadline(&self, fleet: &Fleet, now: Instant) -> Option<Instant> {
        let slots = fleet.back_offs.iter().filter(|(slot, _)| slot.0 < self.target).map(|(_, back_off)| *back_off);
        let mold = (self.line.source == Source::Lost).then_some(self.line.back_off);
        let alone = is_alone(fleet);
        let retries = slots.chain(mold).map(|back_off| back_off.due(alone));
        let trial = self.trial_ends();
        let previous = self.previous.as_ref().map(|previous| previous.until);
        retries.chain(trial).chain(previous).filter(|moment| *moment > now).min()
    }
}

/// Whether no worker serves, and none is about to: clients wait, so what failed is tried again soon.
fn is_alone(fleet: &Fleet) -> bool {
    !fleet.any(|worker| worker.serves() || worker.boots())
}
