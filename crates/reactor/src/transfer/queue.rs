//! The two ends of the queue, as one worker has them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use sys::channel::Channel;
use wire::{Handoff, INLINE_BYTES};

use crate::conn::{Connection, Requests};
use crate::table::is_readable;

use super::pack::Payload;
use super::unpack::{Unpacked, unpack};

/// Room for a message: what is inline, and the fields before it.
const MESSAGE_BYTES: usize = INLINE_BYTES + 64;
/// The connection, what was received, and a response: from memory, from a file, and from memory again.
const MOST_DESCRIPTORS: usize = 5;
/// How soon a full queue is tried again.
pub(crate) const RETRY_MS: u64 = 5;

/// The queue's two ends.
#[derive(Debug)]
pub(crate) struct Queue {
    send: Channel,
    receive: Channel,
    /// Something may be in it.
    ready: bool,
    /// Where messages are received, reused.
    buffer: Vec<u8>,
}

/// What was in the queue.
#[expect(clippy::large_enum_variant, reason = "it is moved once, into the table")]
#[derive(Debug)]
pub(crate) enum Arrival {
    Nothing,
    /// Another worker has no room for those that wait in a backlog.
    WakeUp,
    Connection(Unpacked),
    /// A connection that cannot be taken, and why.
    Lost(String),
}

impl Queue {
    pub(crate) fn new(send: OwnedFd, receive: OwnedFd) -> Self {
        Self { send: Channel::from_fd(send), receive: Channel::from_fd(receive), ready: false, buffer: Vec::new() }
    }

    pub(crate) fn set_ready(&mut self) {
        self.ready = true;
    }

    /// Tells whether something may be in it.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready
    }

    /// Sees whether there is something in it.
    pub(crate) fn look(&mut self) -> bool {
        self.ready = is_readable(&self.receive);
        self.ready
    }

    /// Sees whether as many descriptors can be opened as a message may hold: the kernel drops descriptors that do not
    /// fit, and with them the connection. See dup(2).
    pub(crate) fn try_for_descriptors(&self) -> Result<(), Errno> {
        let mut opened = [const { None }; MOST_DESCRIPTORS];
        for place in &mut opened {
            *place = Some(rustix::io::fcntl_dupfd_cloexec(&self.receive, 0)?);
        }
        Ok(())
    }

    /// Offers a connection to the other workers. False: the queue does not take it.
    pub(crate) fn offer(&self, connection: &Connection) -> bool {
        Payload::of(connection).and_then(|payload| self.send(&payload, connection)).is_ok()
    }

    fn send(&self, payload: &Payload, connection: &Connection) -> io::Result<()> {
        let message = payload.message(connection)?.encode();
        let failed = |error: sys::Error| io::Error::other(error.chain());
        self.send.send(&message, &payload.descriptors(connection)).map_err(failed)
    }

    /// Wakes a worker that sleeps.
    pub(crate) fn wake_one(&self) {
        // A full queue has woken others.
        let _ = self.send.send(&[], &[]);
    }

    /// Takes what is in it, by this worker's limits.
    pub(crate) fn take(&mut self, requests: &Requests) -> Arrival {
        self.buffer.resize(MESSAGE_BYTES, 0);
        let mut descriptors = Vec::new();
        let outcome = self.receive.try_recv_into(&mut self.buffer, &mut descriptors);
        // Whatever becomes of them, closing them is not to wait for a client. See socket(7), SO_LINGER.
        for descriptor in &descriptors {
            let _ = rustix::net::sockopt::set_socket_linger(descriptor, None);
        }
        match outcome {
            Ok(Some(0)) => Arrival::WakeUp,
            Ok(Some(count)) => {
                let unpacked = Handoff::decode(&self.buffer[..count])
                    .map_err(|error| io::Error::other(error.to_string()))
                    .and_then(|handoff| unpack(&handoff, descriptors, requests));
                match unpacked {
                    Ok(unpacked) => Arrival::Connection(unpacked),
                    Err(error) => Arrival::Lost(error.to_string()),
                }
            }
            Ok(None) => {
                self.ready = false;
                Arrival::Nothing
            }
            Err(error) => Arrival::Lost(error.chain()),
        }
    }
}

impl Queue {
    /// Both ends.
    pub(crate) fn ends(&self) -> [BorrowedFd<'_>; 2] {
        [self.receive.as_fd(), self.send.as_fd()]
    }
}

impl AsFd for Queue {
    /// What tells when there is something in it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.receive.as_fd()
    }
}
