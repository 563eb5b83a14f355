//! What befalls the server of the model from outside, and children that fall silent.

use supervisor::{CauseId, Event, Generation, Wear, WorkerId};

use crate::process::MoldLife;
use crate::schedule::Incident;
use crate::world::{Next, World};

impl World {
    pub(crate) fn befall(&mut self, incident: Incident) {
        self.note(|| format!("{incident:?}"));
        match incident {
            Incident::Signal(signal) => self.signal(signal),
            Incident::Reload => {
                let ticket = self.ticket();
                self.tell(Event::Reload { ticket });
            }
            Incident::Upgrade(way) => {
                let ticket = self.ticket();
                self.tell(Event::Upgrade { ticket, way });
            }
            Incident::Promote => {
                let ticket = self.ticket();
                self.tell(Event::Promote { ticket });
            }
            Incident::Abort => {
                let ticket = self.ticket();
                self.tell(Event::Abort { ticket });
            }
            Incident::GoBack => {
                let ticket = self.ticket();
                self.tell(Event::GoBack { ticket });
            }
            Incident::CanaryWorse => self.tell(Event::CanaryWorse { cause: CauseId::NONE }),
            Incident::Stop { graceful } => self.stop(graceful),
            Incident::Deploy(code) => self.code = code,
            Incident::KillWorker(nth) => {
                if let Some(id) = self.nth_worker(nth) {
                    self.worker_dies(id, false);
                }
            }
            Incident::QuitWorker(nth) => {
                if let Some(id) = self.nth_worker(nth) {
                    self.workers.get_mut(&id).unwrap().sent_away = true;
                    self.leave_when_free(id);
                }
            }
            Incident::Size(count) => self.tell(Event::Size { count }),
            Incident::WorkerWears(nth) => {
                if let Some(worker) = self.nth_worker(nth) {
                    self.tell(Event::WorkerWorn { worker, why: Wear::Requests });
                }
            }
            Incident::WorkerLies(nth) => {
                if let Some(id) = self.nth_worker(nth) {
                    let in_request = self.workers[&id].request.is_some();
                    self.last_word_of_worker(id, Event::WorkerLied { worker: id, in_request });
                }
            }
            Incident::WorkerCloses(nth) => {
                if let Some(id) = self.nth_worker(nth) {
                    self.last_word_of_worker(id, Event::WorkerUnreachable { worker: id });
                }
            }
            Incident::MoldLies(nth) => {
                if let Some(generation) = self.nth_mold(nth) {
                    self.last_word_of_mold(generation, Event::MoldUnfit { generation, cause: CauseId::NONE });
                }
            }
            Incident::MoldCloses(nth) => {
                if let Some(generation) = self.nth_mold(nth) {
                    self.last_word_of_mold(generation, Event::MoldUnreachable { generation });
                }
            }
            Incident::KillMold(nth) => {
                if let Some(generation) = self.nth_mold(nth) {
                    self.mold_dies(generation, None);
                }
            }
            Incident::StandStill(time) => self.stand_still(time),
            Incident::KillService(nth) => self.kill_nth_service(nth),
            Incident::KillAdmin => self.kill_admin(),
            Incident::KillSuccessor => self.kill_successor(),
            Incident::OriginEnds { hands_over } => self.origin_ends(hands_over),
        }
    }

    fn nth_worker(&self, nth: usize) -> Option<WorkerId> {
        let living: Vec<_> = self.workers.iter().filter(|(_, worker)| worker.is_born()).map(|(id, _)| *id).collect();
        living.get(nth % living.len().max(1)).copied()
    }

    fn nth_mold(&self, nth: usize) -> Option<Generation> {
        let living: Vec<_> = self.molds.iter().filter(|(_, mold)| mold.alive()).map(|(id, _)| *id).collect();
        living.get(nth % living.len().max(1)).copied()
    }

    /// Whether an event is of one that is gone, or behind the end of its control socket.
    pub(crate) fn is_unheard(&mut self, event: &Event) -> bool {
        let (worker, mold) = match *event {
            Event::WorkerReady { worker } | Event::WorkerBootFailed { worker, .. } | Event::WorkerLeaves { worker } => {
                return self.workers.get(&worker).is_none_or(|worker| worker.closed);
            }
            Event::MoldReady { generation }
            | Event::MoldConfigured { generation, .. }
            | Event::MoldFailed { generation, .. } => {
                return self.molds[&generation].closed;
            }
            Event::WorkerLied { worker, .. } | Event::WorkerUnreachable { worker } => {
                (self.workers.get_mut(&worker), None)
            }
            Event::MoldUnfit { generation, .. } | Event::MoldUnreachable { generation } => {
                (None, self.molds.get_mut(&generation).filter(|mold| mold.life != MoldLife::Gone))
            }
            Event::SuccessorReady { .. } | Event::SuccessorExited { .. } => return !self.beside.has_successor(),
            Event::OriginGone => return !self.beside.has_origin(),
            Event::AdminExited { .. } => return !self.admin.is_there(),
            Event::ServiceStarted { service } | Event::ServiceFailed { service } | Event::ServiceExited { service } => {
                return self.services.is_gone(service);
            }
            Event::ForkFailed { worker, .. } | Event::WorkerWorn { worker, .. } => {
                return !self.workers.contains_key(&worker);
            }
            Event::NotPromoted { generation, .. } => {
                return self.molds.get(&generation).is_none_or(|mold| mold.life != MoldLife::Unborn);
            }
            _ => return false,
        };
        match (worker, mold) {
            (Some(worker), _) => std::mem::replace(&mut worker.closed, true),
            (None, Some(mold)) => std::mem::replace(&mut mold.closed, true),
            (None, None) => true,
        }
    }

    /// What ends a worker's control socket comes behind all that it has said before.
    fn last_word_of_worker(&mut self, id: WorkerId, event: Event) {
        let worker = self.workers.get_mut(&id).unwrap();
        worker.last_word = worker.last_word.max(self.now);
        let arrives = worker.last_word;
        self.at(arrives, Next::Tell(event));
    }

    fn last_word_of_mold(&mut self, generation: Generation, event: Event) {
        let mold = self.molds.get_mut(&generation).unwrap();
        mold.last_word = mold.last_word.max(self.now);
        let arrives = mold.last_word;
        self.at(arrives, Next::Tell(event));
    }
}
