//! Hears what molds and workers say, and tells apart what is theirs to say and what is not.
//!
//! Nothing here waits, and nothing is taken for true that can be looked up: the kernel says which process sends a message, and
//! whose child that is.

use sys::pidfd::Child;
use sys::process::Exited;
use wire::{FromMold, FromWorker, Message};

use supervisor::{Generation, WorkerId};

use crate::children::error::Lie;
use crate::children::link::Heard;
use crate::children::registry::Children;
use crate::children::worker::Process;
use crate::log::lines::Log;

/// How many messages of one child are heard before others have their turn.
const AT_ONCE: usize = 64;

/// What was heard of a mold.
#[derive(Debug)]
pub(crate) enum MoldNews {
    /// It says what it may say now.
    Said(FromMold),
    /// It has closed its end.
    Closed,
    /// It says what is not its to say.
    Lied(Lie),
}

/// What was heard of a worker.
#[derive(Debug)]
pub(crate) enum WorkerNews {
    Ready,
    /// It has said why it cannot boot.
    Failed(String),
    Leaves,
    /// Where its threads are: the answer to a question.
    Backtraces {
        /// The number of the question, as it says.
        question: u64,
        text: String,
    },
    /// It forks no mold.
    NotPromoted {
        /// Of the mold.
        generation: Generation,
        /// Whether it never will.
        for_good: bool,
        text: String,
    },
    /// It has closed its end.
    Closed,
    /// It says what is not its to say.
    Lied(Lie),
}

/// Whose turn it is among the children of one kind.
pub(crate) struct Turns<Id> {
    next: std::vec::IntoIter<Id>,
    now: Option<Id>,
    /// How many of its messages are heard before the next one's.
    left: usize,
}

impl<Id: Copy> Turns<Id> {
    /// One turn for each of these.
    pub(crate) fn of(ids: impl Iterator<Item = Id>) -> Self {
        Self { next: ids.collect::<Vec<_>>().into_iter(), now: None, left: 0 }
    }

    /// Whose next message is to be heard.
    fn take(&mut self) -> Option<Id> {
        if self.left == 0 {
            self.now = self.next.next();
            self.left = AT_ONCE;
        }
        self.left -= 1;
        self.now
    }

    /// This one has no more to say.
    fn pass(&mut self) {
        self.left = 0;
    }
}

/// The next news of a mold in this round.
pub(crate) fn hear_mold(children: &mut Children, turns: &mut Turns<Generation>) -> Option<(Generation, MoldNews)> {
    while let Some(generation) = turns.take() {
        let Some(mold) = children.mold_mut(generation) else {
            turns.pass();
            continue;
        };
        // What was started as Ruby may be a script that has started it.
        let news = match mold.link.hear(None) {
            Heard::Nothing => {
                turns.pass();
                continue;
            }
            Heard::Message(message, _) if mold.accept(&message) => MoldNews::Said(message),
            Heard::Message(message, _) => MoldNews::Lied(Lie::Unexpected(message.kind())),
            Heard::Stranger if mold.link.is_idle_talk() => MoldNews::Lied(Lie::Endless),
            Heard::Stranger => continue,
            Heard::End => MoldNews::Closed,
            Heard::Lie(what) => MoldNews::Lied(what),
        };
        return Some((generation, news));
    }
    None
}

/// The next news of a worker in this round. `reaped` has ended in it, and is looked at behind this.
pub(crate) fn hear_worker(
    children: &mut Children,
    turns: &mut Turns<WorkerId>,
    reaped: &[Exited],
    log: &Log,
) -> Option<(WorkerId, WorkerNews)> {
    while let Some(id) = turns.take() {
        let awaited = children.reforks.awaited_from(id);
        let Some(worker) = children.worker_mut(id) else {
            turns.pass();
            continue;
        };
        let news = match worker.link.hear(worker.pid()) {
            Heard::Nothing => {
                turns.pass();
                continue;
            }
            // What it was asked for.
            Heard::Message(FromWorker::Backtraces { question, text }, _) if worker.owes_backtraces() => {
                WorkerNews::Backtraces { question, text }
            }
            Heard::Message(FromWorker::NotPromoted { generation, for_good, text }, _)
                if awaited == Some(Generation(generation)) =>
            {
                WorkerNews::NotPromoted { generation: Generation(generation), for_good, text }
            }
            // Unasked a worker never has much to say.
            Heard::Message(..) | Heard::Stranger if worker.link.is_idle_talk() => WorkerNews::Lied(Lie::Endless),
            Heard::Stranger => continue,
            Heard::Message(message, _) if !worker.accept(&message) => WorkerNews::Lied(Lie::Unexpected(message.kind())),
            Heard::Message(FromWorker::Forked, sender) => match announced(children, sender, reaped) {
                Ok(process) => {
                    children.announce(id, process, log);
                    continue;
                }
                Err(what) => WorkerNews::Lied(what),
            },
            Heard::Message(FromWorker::Ready, _) => WorkerNews::Ready,
            Heard::Message(FromWorker::Failed { text }, _) => WorkerNews::Failed(text),
            Heard::Message(FromWorker::Leaving, _) => WorkerNews::Leaves,
            Heard::Message(FromWorker::Backtraces { .. } | FromWorker::NotPromoted { .. }, _) => continue,
            Heard::End => WorkerNews::Closed,
            Heard::Lie(what) => WorkerNews::Lied(what),
        };
        return Some((id, news));
    }
    None
}

/// A worker that announces itself names no process: the one that has sent this is meant, which has to be a child of this one
/// that is nothing else yet.
pub(crate) fn announced(children: &Children, sender: u32, reaped: &[Exited]) -> Result<Process, Lie> {
    if children.who(sender).is_some() {
        return Err(Lie::Known(sender));
    }
    match Child::of(sender) {
        Some(child) => Ok(Process::Born(child)),
        None if reaped.iter().any(|exited| exited.pid == sender) => Ok(Process::Gone(sender)),
        None => Err(Lie::Stranger(sender)),
    }
}
