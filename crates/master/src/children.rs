//! Molds and workers: their processes, channels and seats, and what each may say when.
//!
//! What a child says is a claim. A worker runs the application's code, as the application's user, and may say anything at
//! any time: see [`Worker::judge`] and [`Mold::judge`].

use std::os::fd::{AsFd, BorrowedFd};

use supervisor::{Generation, KillReason, SlotId};
use sys::channel::Channel;
use sys::claims::{Claim, Claims};
use sys::pidfd::Child;
use sys::process::Kill;
use wire::{MAX_MESSAGE_BYTES, Message};

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
    pub(crate) link: Link,
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
    pub(crate) link: Link,
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

/// What to make of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may be said.
    Heard,
    /// It means nothing.
    Idle,
    /// It may not be said.
    Lie,
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

    /// Tells what to make of a message of its own, and notes how far it has come by that.
    pub(crate) fn judge(&mut self, message: &Message) -> Verdict {
        let unborn = matches!(self.process, Process::Unborn { .. });
        self.stage = match (message, self.stage) {
            (Message::Forked, stage) if unborn => stage,
            _ if unborn => return Verdict::Lie,
            (Message::Ready, WorkerStage::Booting) => WorkerStage::Ready,
            (Message::Failed { .. }, WorkerStage::Booting) => WorkerStage::Failed,
            // It says so as often as it is told to.
            (Message::Leaving, WorkerStage::Ready) => WorkerStage::Ready,
            _ => return Verdict::Lie,
        };
        Verdict::Heard
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
    /// Tells what to make of a message of its own, and notes how far it has come by that.
    pub(crate) fn judge(&mut self, message: &Message) -> Verdict {
        let stage = match (message, self.stage) {
            (Message::Settings { .. }, MoldStage::Starting) => MoldStage::Configured,
            (Message::Ready, MoldStage::Configured) => MoldStage::Ready,
            (Message::Failed { text }, MoldStage::Starting | MoldStage::Configured) if text.is_empty() => {
                MoldStage::Done
            }
            (Message::Failed { .. }, MoldStage::Starting | MoldStage::Configured) => MoldStage::Failed,
            (Message::ReopenLogs, stage) if self.reopening > 0 => {
                self.reopening -= 1;
                stage
            }
            // Whether an answer is awaited is known where it was asked for.
            (Message::ForkFailed { .. } | Message::ExecEnvironment { .. }, stage) => stage,
            (Message::ReopenLogs, _) => return Verdict::Idle,
            _ => return Verdict::Lie,
        };
        self.stage = stage;
        Verdict::Heard
    }

    /// Asks it to reopen its logs.
    pub(crate) fn reopen_logs(&mut self) {
        if self.link.send(&Message::ReopenLogs, &[]) {
            self.reopening += 1;
        }
    }
}

/// A control socket.
#[derive(Debug)]
pub(crate) struct Link {
    socket: Socket,
    /// How many messages that mean nothing may still come.
    idle_words: u32,
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
pub(crate) enum Heard {
    /// A message, and the process that sent it.
    Message(Message, u32),
    /// A message of another process than the child: one that the application has forked.
    Stranger,
    /// Nothing (more).
    Nothing,
    /// The child closed its end; the link is closed.
    End,
    /// What is no message of a child; nothing more is heard.
    Lie(String),
}

impl Link {
    /// A link to a child, which has the other end of the channel.
    pub(crate) fn new(channel: Channel) -> sys::Result<Self> {
        Ok(Self { socket: Socket::Open(Claims::of(channel)?), idle_words: IDLE_WORDS })
    }

    /// A link whose other end is gone.
    pub(crate) fn closed() -> Self {
        Self { socket: Socket::Closed, idle_words: 0 }
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
    pub(crate) fn send(&self, message: &Message, descriptors: &[BorrowedFd<'_>]) -> bool {
        match &self.socket {
            Socket::Open(claims) => claims.send(&message.encode(), descriptors).is_ok(),
            Socket::Ignored(_) | Socket::Closed => false,
        }
    }

    /// Takes one message that waits, of this process if that is known.
    pub(crate) fn hear(&mut self, from: Option<u32>) -> Heard {
        let Socket::Open(claims) = &self.socket else { return Heard::Nothing };
        let lie = match claims.hear(MAX_MESSAGE_BYTES) {
            Ok(Claim::Empty) => return Heard::Nothing,
            Ok(Claim::Message(_, sender)) if from.is_some_and(|known| known != sender) => return Heard::Stranger,
            Ok(Claim::Message(bytes, sender)) => match Message::decode(&bytes) {
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

    /// Everything that can be said, by kind.
    fn everything() -> Vec<Message> {
        vec![
            Message::Boot { json: text() },
            Message::Proceed,
            Message::Fork { slot: 0, generation: 0, seat: 0, names: vec![], proxies: vec![] },
            Message::WorkerExited { slot: None, pid: 1, status: 0 },
            Message::WorkerProcesses { count: u32::MAX },
            Message::PidPath { path: text() },
            Message::BeforeExec,
            Message::Log { severity: wire::Severity::Info, text: text() },
            Message::ReopenLogs,
            Message::Retire { drain: true, hand_over: true, linger_ms: 0 },
            Message::Settings { json: text() },
            Message::ExecEnvironment { json: text() },
            Message::ForkFailed { slot: 0, text: text() },
            Message::Ready,
            Message::Failed { text: text() },
            Message::Forked,
            Message::Leaving,
        ]
    }

    fn heard(mut judge: impl FnMut(&Message) -> Verdict) -> Vec<u8> {
        everything().iter().filter(|message| judge(message) == Verdict::Heard).map(Message::kind).collect()
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
        let unborn = || Process::Unborn { waiting: None };
        let (booting, ready, failed) = (WorkerStage::Booting, WorkerStage::Ready, WorkerStage::Failed);
        assert_eq!(heard(|said| worker(unborn(), booting).judge(said)), [16], "that it is there, before all else");
        let heard = |stage| heard(|said| worker(Process::Gone(7), stage).judge(said));
        assert_eq!(heard(booting), [14, 15], "that it is ready, or why not");
        assert_eq!(heard(ready), [17], "that it leaves");
        assert!(heard(failed).is_empty(), "nothing more");
        let mut once = worker(Process::Gone(7), booting);
        assert_eq!(once.judge(&Message::Ready), Verdict::Heard);
        assert_eq!((once.stage, once.judge(&Message::Ready)), (ready, Verdict::Lie));
    }

    #[test]
    fn a_mold_says_each_thing_in_its_time() {
        let mold = |stage, reopening| Mold {
            pid: 7,
            link: Link::closed(),
            stage,
            reopening,
            settings: None,
            listeners: Listeners::new(),
            release: Release::default(),
        };
        let heard = |stage, reopening| heard(|message| mold(stage, reopening).judge(message));
        assert_eq!(heard(MoldStage::Starting, 1), [9, 11, 12, 13, 15]);
        assert_eq!(heard(MoldStage::Configured, 0), [12, 13, 14, 15]);
        assert_eq!(heard(MoldStage::Ready, 0), [12, 13]);
        assert_eq!(heard(MoldStage::Failed, 0), [12, 13]);
        let mut once = mold(MoldStage::Ready, 1);
        assert_eq!(once.judge(&Message::ReopenLogs), Verdict::Heard);
        assert_eq!(once.judge(&Message::ReopenLogs), Verdict::Idle, "it was not asked again");
    }

    #[test]
    fn idle_talk_ends_some_time() {
        let (ours, _theirs) = Channel::pair().unwrap();
        let mut link = Link::new(ours).unwrap();
        assert_eq!((1..).find(|_| link.is_idle_talk()), Some(IDLE_WORDS));
    }
}
