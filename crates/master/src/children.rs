//! Molds and workers: their processes, channels and seats.

use std::os::fd::BorrowedFd;

use supervisor::{Generation, KillReason, SlotId};
use sys::channel::{Channel, Received};
use sys::process::Kill;
use wire::Message;

use crate::listeners::Listeners;
use crate::revision::Release;
use crate::settings::Settings;

/// A mold process.
#[derive(Debug)]
pub(crate) struct Mold {
    pub(crate) pid: u32,
    pub(crate) link: Link,
    /// What it answered, once it has evaluated the configuration.
    pub(crate) settings: Option<Settings>,
    /// What its workers listen on.
    pub(crate) listeners: Listeners,
    /// Whether it has said itself why it leaves.
    pub(crate) failed: bool,
    /// The release that it is of, known with its settings.
    pub(crate) release: Release,
}

/// A worker process.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Known once the process between mold and worker has told it.
    pub(crate) pid: Option<u32>,
    pub(crate) link: Link,
    pub(crate) slot: SlotId,
    pub(crate) generation: Generation,
    /// Its seat in the scoreboard.
    pub(crate) seat: usize,
    /// Whether it has reported ready: only then its requests are watched.
    pub(crate) ready: bool,
    /// A signal that waits for the pid.
    pub(crate) waiting: Option<Kill>,
    /// Why the master killed it, if it did.
    pub(crate) killed: Option<KillReason>,
}

/// A control socket, until its other end is gone.
#[derive(Debug)]
pub(crate) struct Link(Option<Channel>);

/// What a look at a link brought.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A message. Children attach no descriptors.
    Message(Message),
    /// Nothing (more).
    Nothing,
    /// The child closed its end, or sent what is no message of ours; the link is closed.
    End(Option<String>),
}

impl Link {
    pub(crate) fn new(channel: Channel) -> Self {
        Self(Some(channel))
    }

    /// A link whose other end is gone.
    pub(crate) fn closed() -> Self {
        Self(None)
    }

    /// A descriptor to poll, while the link is open.
    pub(crate) fn readable(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(std::os::fd::AsFd::as_fd)
    }

    /// Sends a message. A child that is gone or does not read is found out by other means: its exit, its deadline.
    pub(crate) fn send(&self, message: &Message, descriptors: &[BorrowedFd<'_>]) -> bool {
        self.0.as_ref().is_some_and(|channel| channel.send(&message.encode(), descriptors).is_ok())
    }

    /// Takes one message that waits.
    pub(crate) fn hear(&mut self) -> Heard {
        let Some(channel) = &self.0 else { return Heard::Nothing };
        let trouble = match channel.try_recv() {
            Ok(Received::Empty) => return Heard::Nothing,
            Ok(Received::Datagram(bytes, _)) => match Message::decode(&bytes) {
                Ok(message) => return Heard::Message(message),
                Err(error) => Some(error.to_string()),
            },
            Ok(Received::End) => None,
            Err(error) => Some(error.chain()),
        };
        self.0 = None;
        Heard::End(trouble)
    }
}
