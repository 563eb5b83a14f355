//! Molds and workers: their processes, channels and seats, and what each may say when.
//!
//! What a child says is a claim. A worker runs the application's code, as the application's user, and may say anything at
//! any time: see [`Worker::accept`] and [`Mold::accept`]. What is not its to say at all is no message to it ([`Link`]).

use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd};

use supervisor::{Generation, KillReason, SlotId};
use sys::channel::Channel;
use sys::claims::{Claim, Claims};
use sys::pidfd::Child;
use sys::process::Kill;
use wire::{FromMold, FromWorker, MAX_MESSAGE_BYTES, Message, ToMold, ToWorker};

use crate::listeners::Listeners;
use crate::log::Log;
use crate::revision::Release;
use crate::settings::Settings;

/// How many messages that mean nothing a child may send in its life. An honest one sends a few: that it leaves, when it was
/// told so twice; an answer that is not awaited any more.
const IDLE_WORDS: u32 = 1_000;

/// A mold process.
#[derive(Debug)]
pub(crate) struct Mold {
    pub(crate) pid: u32,
    pub(crate) link: Link<FromMold, ToMold>,
    pub(crate) stage: MoldStage,
    /// How often it was asked to reopen its logs and has not answered.
    pub(crate) reopening: u32,
    /// What it answered, once it has evaluated the configuration.
    pub(crate) settings: Option<Settings>,
    /// What its workers listen on.
    pub(crate) listeners: Listeners,
    /// The release that it is of, known with its settings.
    pub(crate) release: Release,
}

/// How far a mold has come, as far as it has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MoldStage {
    /// It evaluates the configuration.
    Starting,
    /// It has told its settings.
    Configured,
    /// It forks.
    Ready,
    /// It has said why it leaves.
    Failed,
    /// It has said that it leaves as the configuration wants it, which has told the reason itself.
    Done,
}

/// A worker process.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) process: Process,
    pub(crate) link: Link<FromWorker, ToWorker>,
    pub(crate) slot: SlotId,
    pub(crate) generation: Generation,
    /// Its seat in the scoreboard.
    pub(crate) seat: usize,
    pub(crate) stage: WorkerStage,
    /// Why the master killed it, if it did.
    pub(crate) killed: Option<KillReason>,
}

/// How far a worker has come, as far as it has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkerStage {
    /// It boots.
    Booting,
    /// It serves, or leaves: its requests are watched.
    Ready,
    /// It has said why it cannot boot.
    Failed,
}

/// What is known of the process of a worker.
#[derive(Debug)]
pub(crate) enum Process {
    /// The fork is under way.
    Unborn {
        /// A signal that waits for it.
        waiting: Option<Kill>,
    },
    /// It has announced itself, and is a child of this process.
    Born(Child),
    /// It had been reaped when its announcement was heard.
    Gone(u32),
}

impl Worker {
    /// Its process id, once it is known.
    pub(crate) fn pid(&self) -> Option<u32> {
        match &self.process {
            Process::Unborn { .. } => None,
            Process::Born(child) => Some(child.pid()),
            Process::Gone(pid) => Some(*pid),
        }
    }

    /// Whether it may say this now, and notes how far it has come by that.
    pub(crate) fn accept(&mut self, message: &FromWorker) -> bool {
        let unborn = matches!(self.process, Process::Unborn { .. });
        let boots = !unborn && self.stage == WorkerStage::Booting;
        match message {
            FromWorker::Forked => return unborn,
            FromWorker::Ready if boots => self.stage = WorkerStage::Ready,
            FromWorker::Failed { .. } if boots => self.stage = WorkerStage::Failed,
            FromWorker::Ready | FromWorker::Failed { .. } => return false,
            // It says so as often as it is told to.
            FromWorker::Leaving => return !unborn && self.stage == WorkerStage::Ready,
        }
        true
    }

    /// Whether it has reported ready.
    pub(crate) fn is_ready(&self) -> bool {
        self.stage == WorkerStage::Ready
    }

    /// Sends it a signal, or has the signal wait for it.
    pub(crate) fn signal(&mut self, signal: Kill, log: &Log) {
        match &mut self.process {
            // The last signal counts: they only get harder.
            Process::Unborn { waiting } => *waiting = Some(signal),
            Process::Born(child) => {
                if let Err(error) = child.kill(signal) {
                    log.error(format_args!("cannot signal PID:{}: {}", child.pid(), error.chain()));
                }
            }
            Process::Gone(_) => {}
        }
    }
}

impl Mold {
    /// Whether it may say this now, and notes how far it has come by that.
    pub(crate) fn accept(&mut self, message: &FromMold) -> bool {
        self.stage = match (message, self.stage) {
            (FromMold::Settings { .. }, MoldStage::Starting) => MoldStage::Configured,
            (FromMold::Ready, MoldStage::Configured) => MoldStage::Ready,
            (FromMold::Failed { text }, MoldStage::Starting | MoldStage::Configured) if text.is_empty() => {
                MoldStage::Done
            }
            (FromMold::Failed { .. }, MoldStage::Starting | MoldStage::Configured) => MoldStage::Failed,
            (FromMold::Settings { .. } | FromMold::Ready | FromMold::Failed { .. }, _) => return false,
            // Whether an answer is awaited is known where it was asked for.
            (FromMold::ReopenLogs | FromMold::ForkFailed { .. } | FromMold::ExecEnvironment { .. }, stage) => stage,
        };
        true
    }

    /// Asks it to reopen its logs.
    pub(crate) fn reopen_logs(&mut self) {
        if self.link.send(&ToMold::ReopenLogs, &[]) {
            self.reopening += 1;
        }
    }

    /// It has reopened its logs. Returns whether it was asked to.
    pub(crate) fn has_reopened(&mut self) -> bool {
        let asked = self.reopening > 0;
        self.reopening = self.reopening.saturating_sub(1);
        asked
    }
}

/// A control socket, on which `In` comes and `Out` goes.
#[derive(Debug)]
pub(crate) struct Link<In, Out> {
    socket: Socket,
    /// How many messages that mean nothing may still come.
    idle_words: u32,
    carries: PhantomData<(In, Out)>,
}

#[derive(Debug)]
enum Socket {
    /// It is listened to.
    Open(Claims),
    /// What came is not believed, and nothing more is listened to. It is kept until the child is killed: one that finds it
    /// closed leaves as if the master were gone.
    Ignored(Claims),
    /// The child has closed its end.
    Closed,
}

/// What a look at a link brought.
#[derive(Debug)]
pub(crate) enum Heard<In> {
    /// A message, and the process that sent it.
    Message(In, u32),
    /// A message of another process than the child: one that the application has forked.
    Stranger,
    /// Nothing (more).
    Nothing,
    /// The child closed its end; the link is closed.
    End,
    /// What is no message of this child; nothing more is heard.
    Lie(String),
}

impl<In: Message, Out: Message> Link<In, Out> {
    /// A link to a child, which has the other end of the channel.
    pub(crate) fn new(channel: Channel) -> sys::Result<Self> {
        Ok(Self { socket: Socket::Open(Claims::of(channel)?), idle_words: IDLE_WORDS, carries: PhantomData })
    }

    /// A link whose other end is gone.
    pub(crate) fn closed() -> Self {
        Self { socket: Socket::Closed, idle_words: 0, carries: PhantomData }
    }

    /// Whether the child has closed its end.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.socket, Socket::Closed)
    }

    /// A descriptor to poll, while the link is listened to.
    pub(crate) fn readable(&self) -> Option<BorrowedFd<'_>> {
        match &self.socket {
            Socket::Open(claims) => Some(claims.as_fd()),
            Socket::Ignored(_) | Socket::Closed => None,
        }
    }

    /// Listens to nothing more.
    pub(crate) fn ignore(&mut self) {
        self.socket = match std::mem::replace(&mut self.socket, Socket::Closed) {
            Socket::Open(claims) | Socket::Ignored(claims) => Socket::Ignored(claims),
            Socket::Closed => Socket::Closed,
        };
    }

    /// Sends a message. A child that is gone or does not read is found out by other means: its exit, its deadline.
    pub(crate) fn send(&self, message: &Out, descriptors: &[BorrowedFd<'_>]) -> bool {
        match &self.socket {
            Socket::Open(claims) => claims.send(&message.encode(), descriptors).is_ok(),
            Socket::Ignored(_) | Socket::Closed => false,
        }
    }

    /// Takes one message that waits, of this process if that is known.
    pub(crate) fn hear(&mut self, from: Option<u32>) -> Heard<In> {
        let Socket::Open(claims) = &self.socket else { return Heard::Nothing };
        let lie = match claims.hear(MAX_MESSAGE_BYTES) {
            Ok(Claim::Empty) => return Heard::Nothing,
            Ok(Claim::Message(_, sender)) if from.is_some_and(|known| known != sender) => return Heard::Stranger,
            Ok(Claim::Message(bytes, sender)) => match In::decode(&bytes) {
                Ok(message) => return Heard::Message(message, sender),
                Err(error) => format!("{error} ({} bytes)", bytes.len()),
            },
            Ok(Claim::End) => {
                self.socket = Socket::Closed;
                return Heard::End;
            }
            Ok(Claim::Descriptors) => "message with descriptors".to_string(),
            Ok(Claim::TooLong(bytes)) => format!("message of {bytes} bytes"),
            Err(error) => error.chain(),
        };
        self.ignore();
        Heard::Lie(lie)
    }

    /// Takes note of a message that means nothing. Returns whether there were too many.
    pub(crate) fn is_idle_talk(&mut self) -> bool {
        self.idle_words = self.idle_words.saturating_sub(1);
        self.idle_words == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> String {
        String::new()
    }

    /// The kinds of those that may be said.
    fn accepted<M: Message>(all: &[M], mut accept: impl FnMut(&M) -> bool) -> Vec<u8> {
        all.iter().filter(|message| accept(message)).map(Message::kind).collect()
    }

    #[test]
    fn a_worker_says_each_thing_in_its_time() {
        let worker = |process, stage| Worker {
            process,
            link: Link::closed(),
            slot: SlotId(0),
            generation: Generation(1),
            seat: 0,
            stage,
            killed: None,
        };
        let everything =
            [FromWorker::Ready, FromWorker::Failed { text: text() }, FromWorker::Forked, FromWorker::Leaving];
        let unborn = || Process::Unborn { waiting: None };
        let (booting, ready, failed) = (WorkerStage::Booting, WorkerStage::Ready, WorkerStage::Failed);
        let first = accepted(&everything, |said| worker(unborn(), booting).accept(said));
        assert_eq!(first, [16], "that it is there, before all else");
        let heard = |stage| accepted(&everything, |said| worker(Process::Gone(7), stage).accept(said));
        assert_eq!(heard(booting), [14, 15], "that it is ready, or why not");
        assert_eq!(heard(ready), [17], "that it leaves");
        assert!(heard(failed).is_empty(), "nothing more");
        let mut once = worker(Process::Gone(7), booting);
        assert!(once.accept(&FromWorker::Ready));
        assert_eq!((once.stage, once.accept(&FromWorker::Ready)), (ready, false));
    }

    #[test]
    fn a_mold_says_each_thing_in_its_time() {
        let mold = |stage| Mold {
            pid: 7,
            link: Link::closed(),
            stage,
            reopening: 1,
            settings: None,
            listeners: Listeners::new(),
            release: Release::default(),
        };
        let everything = [
            FromMold::ReopenLogs,
            FromMold::Settings { json: text() },
            FromMold::ExecEnvironment { json: text() },
            FromMold::ForkFailed { slot: 0, text: text() },
            FromMold::Ready,
            FromMold::Failed { text: text() },
        ];
        let heard = |stage| accepted(&everything, |message| mold(stage).accept(message));
        assert_eq!(heard(MoldStage::Starting), [9, 11, 12, 13, 15]);
        assert_eq!(heard(MoldStage::Configured), [9, 12, 13, 14, 15]);
        assert_eq!(heard(MoldStage::Ready), [9, 12, 13]);
        assert_eq!(heard(MoldStage::Failed), [9, 12, 13]);
        let mut once = mold(MoldStage::Ready);
        assert!(once.has_reopened());
        assert!(!once.has_reopened(), "it was not asked again");
    }

    #[test]
    fn idle_talk_ends_some_time() {
        let (ours, _theirs) = Channel::pair().unwrap();
        let mut link = Link::<FromWorker, ToWorker>::new(ours).unwrap();
        assert_eq!((1..).find(|_| link.is_idle_talk()), Some(IDLE_WORDS));
    }

    #[test]
    fn what_is_not_a_childs_to_say_is_a_lie() {
        let (ours, theirs) = Channel::pair().unwrap();
        let mut link = Link::<FromWorker, ToWorker>::new(ours).unwrap();
        theirs.send(&FromMold::Settings { json: text() }.encode(), &[]).unwrap();
        theirs.send(&FromWorker::Forked.encode(), &[]).unwrap();
        let heard = [link.hear(None), link.hear(None)];
        assert!(
            matches!(&heard, [Heard::Lie(what), Heard::Nothing] if what == "unexpected message of kind 11 (6 bytes)"),
            "{heard:?}"
        );
    }
}
