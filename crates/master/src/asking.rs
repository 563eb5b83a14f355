//! What the operator asks of workers, and what they answer: where their threads are.
//!
//! A worker is asked by a word in its seat and a signal, which interrupts what it does in Ruby and what it waits for. It
//! answers by a message, which is heard like all others.

use facts::{Backtrace, State};
use supervisor::{SlotId, Ticket, WorkerId};
use sys::clock::Moment;

use crate::backtraces::{PATIENCE, QUESTIONS};
use crate::children::worker::Worker;
use crate::control::protocol::Answer;
use crate::master::Master;
use crate::owners::Owners;
use crate::report::workers;

impl Master {
    /// Asks the workers of this slot, or all of them, for their backtraces.
    pub(crate) fn ask_backtraces(&mut self, ticket: Ticket, slot: Option<u32>) {
        let now_ns = sys::clock::monotonic_ns();
        let mut workers: Vec<(SlotId, WorkerId)> = self.core.workers().map(|(id, worker)| (worker.slot, id)).collect();
        workers.sort_unstable();
        let known = |slot: u32| workers.iter().any(|(of, _)| of.0 == slot);
        if let Some(unknown) = slot.filter(|slot| !known(*slot)) {
            return self.refuse(ticket, no_worker(unknown, &workers));
        }
        let Some(number) = self.owners.backtraces.next_number(now_ns) else {
            return self.refuse(ticket, format!("{QUESTIONS} other questions for backtraces are open: ask again"));
        };
        workers.retain(|(of, _)| slot.is_none_or(|slot| slot == of.0));
        let asked: Vec<(WorkerId, Option<Backtrace>)> = workers
            .into_iter()
            .map(|(_, id)| {
                let Owners { children, report, .. } = &mut self.owners;
                let refused = children.ask_backtraces(id, number, &report.log).err();
                (id, refused.map(|why| self.backtrace(id, Err(why.to_string()))))
            })
            .collect();
        self.owners.backtraces.asked(ticket, number, now_ns, asked.into_iter());
    }

    /// A worker has answered.
    pub(crate) fn backtraces_told(&mut self, id: WorkerId, number: u64, text: String) {
        if let Some(worker) = self.owners.children.worker_mut(id) {
            worker.note_backtraces(number, &text);
        }
        let told = self.backtrace(id, Ok(text));
        self.owners.backtraces.hear(id, number, &told);
    }

    /// Answers the clients whose questions are closed.
    pub(crate) fn answer_backtraces(&mut self) {
        if self.owners.backtraces.is_empty() {
            return;
        }
        let mut backtraces = std::mem::take(&mut self.owners.backtraces);
        let closed = backtraces.close(sys::clock::monotonic_ns(), |id, is_late| {
            let why = match self.owners.children.worker(id) {
                None => "it has ended".to_string(),
                Some(worker) if is_late => silence(worker),
                Some(_) => return None,
            };
            Some(self.backtrace(id, Err(why)))
        });
        self.owners.backtraces = backtraces;
        for (ticket, workers) in closed {
            self.owners.control.answer(ticket, &Answer::Backtraces { workers });
        }
    }

    /// The program that is executed now knows of no question.
    pub(crate) fn break_off_backtraces(&mut self) {
        for ticket in self.owners.backtraces.break_off() {
            self.refuse(ticket, "the master is replaced in place: ask again".to_string());
        }
    }

    fn refuse(&mut self, ticket: Ticket, reason: String) {
        self.owners.control.answer(ticket, &Answer::Failed { reason, backtrace: None });
    }

    /// What is known of a worker now, and what it tells, or why it does not.
    fn backtrace(&self, id: WorkerId, told: Result<String, String>) -> Backtrace {
        let (worker, known) = (self.owners.children.worker(id), self.core.worker(id));
        let request = worker.and_then(|worker| workers::request(worker, Moment::now()));
        let (text, missing) = match told {
            Ok(text) => (Some(text), None),
            Err(why) => (None, Some(why)),
        };
        Backtrace {
            slot: known.map(|worker| worker.slot.0),
            generation: known.map_or(0, |worker| worker.generation.0),
            pid: worker.and_then(Worker::pid),
            state: known.map_or(State::Unknown, |known| workers::state(known, request.is_some())),
            request,
            text,
            missing,
        }
    }
}

/// Why a worker that lives has not answered: what the kernel knows of it.
fn silence(worker: &Worker) -> String {
    let seen = worker.pid().and_then(sys::process::main_thread).map_or_else(String::new, |seen| format!("; {seen}"));
    let seconds = PATIENCE.as_secs();
    format!("it did not answer within {seconds} s: no Ruby ran, as when C code keeps Ruby's lock{seen}")
}

fn no_worker(unknown: u32, workers: &[(SlotId, WorkerId)]) -> String {
    let mut slots: Vec<String> = workers.iter().map(|(slot, _)| slot.to_string()).collect();
    slots.dedup();
    match slots.as_slice() {
        [] => format!("there is no worker {unknown}: there are none"),
        [only] => format!("there is no worker {unknown}: there is only {only}"),
        [.., last] => format!("there is no worker {unknown}: there are {} to {last}", slots[0]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_worker_is_told_beside_those_that_there_are() {
        let told =
            |slots: &[u32]| no_worker(9, &slots.iter().map(|slot| (SlotId(*slot), WorkerId(1))).collect::<Vec<_>>());
        assert_eq!(told(&[]), "there is no worker 9: there are none");
        assert_eq!(told(&[0, 0]), "there is no worker 9: there is only 0");
        assert_eq!(told(&[0, 1, 1, 2]), "there is no worker 9: there are 0 to 2");
    }
}
