//! A control socket: typed messages of one child in, messages to it out. Nothing here waits for it.

use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd};

use sys::channel::Channel;
use sys::claims::{Claim, Claims};
use sys::image::adopt;
use wire::{MAX_MESSAGE_BYTES, Message};

use crate::children::error::Lie;

/// How many messages that mean nothing a child may send in its life. An honest one sends a few: that it leaves, when it was
/// told so twice; an answer that is not awaited any more.
const IDLE_WORDS: u32 = 1_000;

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
    Lie(Lie),
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

    /// The link of a child that the program before this one had, if it was open.
    ///
    /// # Errors
    /// There is no such descriptor.
    pub(crate) fn load(control: Option<i32>) -> sys::Result<Self> {
        let Some(channel) = control.map(adopt).transpose()?.map(Channel::from_fd) else { return Ok(Self::closed()) };
        Self::new(channel)
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
                Err(error) => Lie::NoMessage { error, bytes: bytes.len() },
            },
            Ok(Claim::End) => {
                self.socket = Socket::Closed;
                return Heard::End;
            }
            Ok(Claim::Descriptors) => Lie::Descriptors,
            Ok(Claim::TooLong(bytes)) => Lie::TooLong(bytes),
            Err(error) => error.into(),
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

/// The kinds of those messages that may be said.
#[cfg(test)]
pub(crate) fn accepted<M: Message>(all: &[M], mut accept: impl FnMut(&M) -> bool) -> Vec<u8> {
    all.iter().filter(|message| accept(message)).map(Message::kind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{FromMold, FromWorker, ToWorker};

    #[test]
    fn idle_talk_ends_some_time() {
        let (ours, _theirs) = Channel::pair().unwrap();
        let mut link = Link::<FromWorker, ToWorker>::new(ours).unwrap();
        assert_eq!((1..).find(|_| link.is_idle_talk()), Some(IDLE_WORDS));
    }

    #[test]
    fn a_message_that_is_not_a_childs_to_send_is_a_lie() {
        let (ours, theirs) = Channel::pair().unwrap();
        let mut link = Link::<FromWorker, ToWorker>::new(ours).unwrap();
        theirs.send(&FromMold::Settings { json: String::new() }.encode(), &[]).unwrap();
        theirs.send(&FromWorker::Forked.encode(), &[]).unwrap();
        let heard = [link.hear(None), link.hear(None)];
        let told = "unexpected message of kind 11 (6 bytes)";
        assert!(matches!(&heard, [Heard::Lie(what), Heard::Nothing] if what.to_string() == told), "{heard:?}");
    }
}
