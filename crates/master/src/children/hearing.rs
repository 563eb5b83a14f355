//! What molds and workers say, and what becomes of one that says what is not its to say.
//!
//! Nothing here waits, and nothing is taken for true that can be looked up: the kernel says which process sends a message, and
//! whose child that is.

use supervisor::{CauseId, Event, Generation, SlotId, WorkerId};
use sys::pidfd::Child;
use sys::process::Exited;
use wire::{DecodeError, FromMold, FromWorker, Message};

use crate::children::link::Heard;
use crate::children::worker::Process;
use crate::shell::Shell;
use crate::upgrade::replacement::Replacement;
use crate::upgrade::successor::Successor;

/// How many messages of one child are heard before others have their turn.
const AT_ONCE: usize = 64;

impl Shell {
    pub(crate) fn hear_molds(&mut self) {
        let generations: Vec<Generation> = self.children.molds().map(|(generation, _)| generation).collect();
        for generation in generations {
            for _ in 0..AT_ONCE {
                let Some(mold) = self.children.mold_mut(generation) else { break };
                // What was started as Ruby may be a script that has started it.
                match mold.link.hear(None) {
                    Heard::Nothing => break,
                    Heard::Message(message, _) => self.mold_said(generation, message),
                    Heard::Stranger => self.mold_talks(generation),
                    Heard::End => self.event(Event::MoldUnreachable { generation }),
                    Heard::Lie(what) => self.mold_lied(generation, &what),
                }
            }
        }
    }

    fn mold_said(&mut self, generation: Generation, message: FromMold) {
        let Some(mold) = self.children.mold_mut(generation) else { return };
        if !mold.accept(&message) {
            return self.mold_lied(generation, &unexpected(&message));
        }
        match message {
            FromMold::ReopenLogs if mold.has_reopened() => self.reopen_logs_of_workers(generation),
            FromMold::Settings { json } => self.configured(generation, &json),
            FromMold::Ready => self.event(Event::MoldReady { generation }),
            FromMold::Failed { text } => {
                let said = !text.is_empty();
                let cause = self.causes.note(text);
                self.event(Event::MoldFailed { generation, said, cause });
            }
            FromMold::ExecEnvironment { json } if self.awaits_environment(generation) => self.environment_told(&json),
            FromMold::ForkFailed { slot, text } => match self.awaited_from(generation, SlotId(slot)) {
                Some(worker) => {
                    let cause = self.worker_failed(worker, text);
                    self.forget_worker(worker);
                    self.event(Event::ForkFailed { worker, cause });
                }
                None => self.mold_talks(generation),
            },
            FromMold::ExecEnvironment { .. } | FromMold::ReopenLogs => self.mold_talks(generation),
        }
    }

    /// Whether this mold was asked to run `before_exec`, and the answer is awaited.
    fn awaits_environment(&self, generation: Generation) -> bool {
        let awaited =
            matches!(self.successor, Successor::Preparing) || matches!(self.replacement, Replacement::Preparing);
        awaited && self.supervisor.generation() == Some(generation)
    }

    /// The worker for this slot that the mold was asked for and has not forked yet.
    fn awaited_from(&self, generation: Generation, slot: SlotId) -> Option<WorkerId> {
        let asked =
            self.supervisor.workers().filter(|(_, worker)| (worker.generation, worker.slot) == (generation, slot));
        let is_unborn = |id: &WorkerId| self.children.worker(*id).is_some_and(|worker| worker.pid().is_none());
        asked.map(|(id, _)| id).find(is_unborn)
    }

    /// A mold has said what means nothing.
    fn mold_talks(&mut self, generation: Generation) {
        if self.children.mold_mut(generation).is_some_and(|mold| mold.link.is_idle_talk()) {
            self.mold_lied(generation, "messages without end");
        }
    }

    fn mold_lied(&mut self, generation: Generation, what: &str) {
        let Some(mold) = self.children.mold_mut(generation) else { return };
        mold.link.ignore();
        let text = format!("mold gen={generation} pid={} broke the protocol: {what}", mold.pid);
        self.log.error(format_args!("{text}; killing it"));
        let cause = self.causes.note(text);
        self.event(Event::MoldUnfit { generation, cause });
    }

    /// `reaped` has ended in this round, and is looked at behind this.
    pub(crate) fn hear_workers(&mut self, reaped: &[Exited]) {
        let ids: Vec<WorkerId> = self.children.workers().map(|(id, _)| id).collect();
        for id in ids {
            for _ in 0..AT_ONCE {
                let Some(worker) = self.children.worker_mut(id) else { break };
                match worker.link.hear(worker.pid()) {
                    Heard::Nothing => break,
                    // A worker never has much to say.
                    Heard::Message(..) | Heard::Stranger if worker.link.is_idle_talk() => {
                        self.worker_lied(id, "messages without end");
                    }
                    Heard::Message(message, sender) => self.worker_said(id, message, sender, reaped),
                    Heard::Stranger => {}
                    Heard::End => self.worker_closed(id),
                    Heard::Lie(what) => self.worker_lied(id, &what),
                }
            }
        }
    }

    fn worker_said(&mut self, id: WorkerId, message: FromWorker, sender: u32, reaped: &[Exited]) {
        let Some(worker) = self.children.worker_mut(id) else { return };
        if !worker.accept(&message) {
            return self.worker_lied(id, &unexpected(&message));
        }
        match message {
            FromWorker::Forked => self.worker_announced(id, sender, reaped),
            FromWorker::Ready => self.event(Event::WorkerReady { worker: id }),
            FromWorker::Failed { text } => {
                let cause = self.worker_failed(id, text);
                self.event(Event::WorkerBootFailed { worker: id, cause });
            }
            FromWorker::Leaving => self.event(Event::WorkerLeaves { worker: id }),
        }
    }

    /// A worker is there. It names no process: the one that has sent this is meant, which has to be a child of this one that
    /// is nothing else yet.
    fn worker_announced(&mut self, id: WorkerId, sender: u32, reaped: &[Exited]) {
        if self.children.who(sender).is_some() {
            return self.worker_lied(id, &format!("PID:{sender} is something else already"));
        }
        let process = match Child::of(sender) {
            Some(child) => Process::Born(child),
            None if reaped.iter().any(|exited| exited.pid == sender) => Process::Gone(sender),
            None => return self.worker_lied(id, &format!("PID:{sender} is no child of this process")),
        };
        self.children.announce(id, process, &self.log);
    }

    /// A worker's socket has ended. With a process its exit will be reaped, or it has to be made to leave. Without one it
    /// was never forked.
    fn worker_closed(&mut self, id: WorkerId) {
        match self.children.worker(id).map(|worker| &worker.process) {
            Some(Process::Unborn { .. }) => {
                self.forget_worker(id);
                self.event(Event::ForkFailed { worker: id, cause: CauseId::NONE });
            }
            Some(Process::Born(_) | Process::Killed(_)) => self.event(Event::WorkerUnreachable { worker: id }),
            Some(Process::Gone(_)) | None => {}
        }
    }

    /// A worker has said what is not its to say. One that is not there yet finds its socket closed, and leaves.
    fn worker_lied(&mut self, id: WorkerId, what: &str) {
        let in_request = self.is_in_request(id);
        let (Some(known), Some(worker)) = (self.supervisor.worker(id), self.children.worker_mut(id)) else { return };
        worker.link.ignore();
        let pid = worker.pid().map_or_else(|| "?".to_string(), |pid| pid.to_string());
        self.log.error(format_args!("worker={} PID:{pid} broke the protocol: {what}", known.slot));
        if worker.pid().is_none() {
            return self.worker_closed(id);
        }
        self.event(Event::WorkerLied { worker: id, in_request });
    }
}

/// Its kind, and not what is in it: that may be long, and is the application's word.
fn unexpected(message: &impl Message) -> String {
    DecodeError::Kind(message.kind()).to_string()
}
