//! Recycling: a worker that has had its time is replaced by one of the same mold.
//!
//! That it has the shell finds out ([`crate::Event::WorkerWorn`]): requests, age, memory. From then on it is one that its slot
//! does not want, though nothing better is there: what a roll does with workers of old code is done with it. The other one is
//! forked first, within `surge`, and when that is ready this one leaves. If the other one cannot boot, this one serves on, and
//! the next try waits as after any failure.
//!
//! A roll replaces each worker anyway, and one on trial is to be compared with others that are let alone: while it lasts nothing
//! is recycled.

use crate::action::Fact;
use crate::fleet::Fleet;
use crate::types::{Wear, WorkerId};
use crate::up::{Course, Up};
use crate::worker::Worker;

impl Up {
    /// A worker has had its time. However short that was, its slot forks at most ten workers a second.
    pub(crate) fn worker_worn(self, fleet: &mut Fleet, id: WorkerId, why: Wear) -> Self {
        let Some(worker) = fleet.workers.get_mut(&id).filter(|worker| worker.worn.is_none()) else { return self };
        if let Some(since) = worker.ready_since() {
            worker.worn = Some(why);
            fleet.back_offs.entry(worker.slot).or_default().died_at_work(since);
        }
        self
    }

    /// Whether no workers are replaced, but for those that have had their time.
    pub(crate) fn is_settled(&self) -> bool {
        match &self.course {
            Course::Steady | Course::Preparing { .. } | Course::Draining(_) => true,
            Course::FirstFork { .. } | Course::Rolling(_) => false,
        }
    }

    /// Whether a worker is of the code that its slot is to be of, and has had its time.
    pub(crate) fn is_worn(&self, worker: &Worker) -> bool {
        worker.worn.is_some() && worker.edition == self.wanted(worker.slot).edition
    }

    /// Tells of a worker that leaves since another one of the same code serves in its place.
    pub(crate) fn tell_recycled(&self, fleet: &mut Fleet, worker: WorkerId) {
        let known = fleet.workers.get(&worker).filter(|worker| worker.serves() && self.is_worn(worker));
        if let Some(&Worker { slot, worn: Some(why), .. }) = known {
            fleet.log(Fact::WorkerRecycled { worker, slot, why });
        }
    }
}
