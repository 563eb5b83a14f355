//! What the workers of the model do: they boot, serve, leave and die.

use std::time::Duration;

use supervisor::{CauseId, Event, WorkerId};

use crate::process::{Asked, Request, WorkerLife};
use crate::schedule::{CALM, Health};
use crate::world::{Next, World};

impl World {
    pub(crate) fn worker_born(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if !self.molds[&worker.generation].alive() {
            return;
        }
        if worker.fate == Health::ForkFails {
            self.tell(Event::ForkFailed { worker: id, cause: CauseId::NONE });
            return;
        }
        worker.life = WorkerLife::Booting;
        let delay = worker.dice.ms(5, 1500);
        let clean = worker.dice.percent(50);
        let fails_and_stays = worker.dice.percent(10);
        match worker.fate {
            Health::WorkerRaises => {
                worker.last_word = self.now + delay;
                self.after(delay, Next::Tell(Event::WorkerBootFailed { worker: id, cause: CauseId::NONE }));
                if !fails_and_stays {
                    self.after(delay, Next::WorkerDies(id, false));
                }
            }
            Health::WorkerDies => self.after(delay, Next::WorkerDies(id, clean)),
            Health::WorkerHangs => {}
            _ => self.after(delay, Next::WorkerBooted(id)),
        }
        // What was asked of it before it was there is asked now.
        let worker = &self.workers[&id];
        match worker.asked {
            Asked::Kill | Asked::Quick => self.worker_dies(id, false),
            Asked::Abandon | Asked::Retire => self.leave_when_free(id),
            Asked::Nothing => {}
        }
    }

    pub(crate) fn worker_booted(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.life == WorkerLife::Booting) else {
            return;
        };
        // It cannot say that it is ready.
        if worker.closed {
            return self.worker_dies(id, false);
        }
        worker.life = WorkerLife::Serving;
        let latency = worker.dice.ms(0, 5);
        worker.last_word = self.now + latency;
        let crash = (worker.fate == Health::WorkerCrashes).then(|| worker.dice.ms(0, 900));
        self.after(latency, Next::Tell(Event::WorkerReady { worker: id }));
        // Requests do not wait for the master to hear of it.
        self.after(latency / 2, Next::Request(id));
        if let Some(lives) = crash {
            self.after(lives, Next::WorkerDies(id, false));
        }
    }

    /// It was asked to leave: it does when it has nothing to do.
    pub(crate) fn leave_when_free(&mut self, id: WorkerId) {
        self.say_so(id);
        let calm = self.now >= CALM;
        let Some(worker) = self.workers.get_mut(&id) else { return };
        match worker.life {
            WorkerLife::Booting if worker.deaf || worker.asked == Asked::Retire => {}
            WorkerLife::Serving if worker.deaf && !calm || worker.request.is_some() => {}
            WorkerLife::Serving if worker.backlog > 0 => self.request(id),
            WorkerLife::Booting | WorkerLife::Serving => {
                let delay = worker.dice.ms(0, 30);
                self.after(delay, Next::WorkerDies(id, true));
            }
            WorkerLife::Unborn | WorkerLife::Dead => {}
        }
    }

    /// A worker that others have sent away tells the master when it gets to it, and finishes what has come in meanwhile.
    pub(crate) fn say_so(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let busy = worker.life != WorkerLife::Serving || worker.request.is_some();
        if busy || !worker.sent_away || worker.asked != Asked::Nothing || std::mem::replace(&mut worker.says_so, true) {
            return;
        }
        worker.backlog = u32::try_from(worker.dice.below(3)).unwrap();
        // Messages of a worker do not overtake each other.
        worker.last_word = worker.last_word.max(self.now + worker.dice.ms(0, 5));
        let arrives = worker.last_word;
        self.at(arrives, Next::Tell(Event::WorkerLeaves { worker: id }));
    }

    pub(crate) fn worker_dies(&mut self, id: WorkerId, clean: bool) {
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.is_born()) else { return };
        if worker.request.is_some() && clean && worker.asked != Asked::Quick {
            // It was about to leave and took on one more: it leaves when that is done.
            return;
        }
        worker.life = WorkerLife::Dead;
        let in_request = worker.request.take().is_some();
        let closed = worker.last_word.max(self.now + worker.dice.ms(0, 2));
        let reaped = closed + worker.dice.ms(0, 3);
        self.note(|| format!("worker {id} dies"));
        self.at(closed, Next::Tell(Event::WorkerUnreachable { worker: id }));
        self.at(reaped, Next::Tell(Event::WorkerExited { worker: id, in_request, cause: CauseId::NONE }));
    }

    pub(crate) fn request(&mut self, id: WorkerId) {
        let calm = self.now >= CALM;
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if worker.life != WorkerLife::Serving || worker.request.is_some() {
            return;
        }
        if worker.leaves() {
            if worker.backlog == 0 {
                return;
            }
            worker.backlog -= 1;
        }
        worker.requests += 1;
        let number = worker.requests;
        worker.request = Some(Request { number, began: self.now });
        let takes = match worker.dice.below(100) {
            0..3 => worker.dice.ms(1_000, 20_000),
            3 if !calm => Duration::from_secs(86_400),
            _ => worker.dice.ms(1, 300),
        };
        let timeout = worker.timeout;
        self.after(takes, Next::RequestEnds(id, number));
        self.after(timeout, Next::Overdue(id, number));
    }

    pub(crate) fn request_ends(&mut self, id: WorkerId, number: u32) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if worker.request.is_none_or(|request| request.number != number) {
            return;
        }
        worker.request = None;
        if worker.leaves() {
            self.leave_when_free(id);
        } else {
            let idle = worker.dice.ms(5, 1500);
            self.after(idle, Next::Request(id));
        }
    }
}
