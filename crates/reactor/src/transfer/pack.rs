//! What goes with a connection to another worker.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};

use http1::proxy::Versions;
use rustix::fs::MemfdFlags;
use wire::{BodyApart, Bytes, Handoff, INLINE_BYTES, Part, Proxy, Then, Unsent};

use crate::conn::{After, Body, Connection, Content, Phase, Proxied, Queued};

/// What goes with a connection beside the facts.
#[derive(Default)]
pub(super) struct Payload {
    received: Vec<u8>,
    /// What was received, where it is too long for a message.
    aside: Option<File>,
    body: Option<(BodyApart, File)>,
    unsent: Option<Unsent>,
    /// What the parts of the response are in.
    response: Vec<File>,
}

impl Payload {
    /// Packs what a connection has.
    ///
    /// # Errors
    /// No descriptors or memory left, or its response cannot be completed.
    pub(super) fn of(connection: &Connection) -> io::Result<Self> {
        let mut payload = match connection.phase {
            Phase::Writing { after } => Self::of_response(connection, after)?,
            _ => Self::of_request(connection)?,
        };
        if payload.received.len() > INLINE_BYTES {
            payload.aside = Some(in_memory_file(&payload.received)?);
        }
        Ok(payload)
    }

    fn of_request(connection: &Connection) -> io::Result<Self> {
        let Some(intake) = &connection.intake else { return Ok(Self::default()) };
        let body = match &connection.phase {
            Phase::Complete(Content::Apart(Body::Memory(bytes))) => {
                Some((BodyApart { in_file: false, length: bytes.len() as u64 }, in_memory_file(bytes)?))
            }
            Phase::Complete(Content::Apart(Body::File { file, bytes })) => {
                Some((BodyApart { in_file: true, length: *bytes }, file.try_clone()?))
            }
            _ => None,
        };
        let received = if body.is_some() {
            // Between the head and the next request lie some bytes of the body.
            let head = intake.parser.head().len;
            [&intake.buffer[..head], &intake.buffer[intake.next..intake.filled]].concat()
        } else {
            intake.buffer[..intake.filled].to_vec()
        };
        Ok(Self { received, body, ..Self::default() })
    }

    /// Packs a response that its client has not taken yet, and what came behind its request.
    fn of_response(connection: &Connection, after: After) -> io::Result<Self> {
        let then = match after {
            After::KeepAlive => Then::KeepAlive,
            After::Close => Then::Close,
            After::End => Then::End,
            After::Abort => return Err(io::ErrorKind::Unsupported.into()),
        };
        let behind = connection.intake.as_ref().map_or(&[][..], |intake| &intake.buffer[intake.next..intake.filled]);
        // What can be no request any more is thrown away on the other side: all that counts is whether there is any.
        let received = if after == After::KeepAlive { behind } else { &behind[..behind.len().min(1)] };
        let (mut parts, mut response) = (Vec::new(), Vec::new());
        for queued in connection.outbox.parts() {
            let (file, offset, length) = match queued {
                Queued::Bytes(bytes) => (in_memory_file(bytes)?, 0, bytes.len() as u64),
                Queued::File(file, offset, length) => (file.try_clone()?, offset, length),
            };
            parts.push(Part { offset, length });
            response.push(file);
        }
        Ok(Self { received: received.to_vec(), unsent: Some(Unsent { then, parts }), response, ..Self::default() })
    }

    /// Returns the message that describes it.
    ///
    /// # Errors
    /// More was received than a message can say.
    pub(super) fn message(&self, connection: &Connection) -> io::Result<Handoff<'_>> {
        let received = match self.aside {
            Some(_) => Bytes::Descriptor(u32::try_from(self.received.len()).map_err(io::Error::other)?),
            None => Bytes::Inline(&self.received),
        };
        let proxy = match (&connection.phase, connection.proxied.as_deref()) {
            (Phase::Proxy(Versions::V1), _) => Proxy::Awaited(Some(1)),
            (Phase::Proxy(Versions::V2), _) => Proxy::Awaited(Some(2)),
            (Phase::Proxy(Versions::Any), _) => Proxy::Awaited(None),
            (_, Some(&Proxied { source, destination })) => Proxy::Said { source, destination },
            (_, None) => Proxy::Silent,
        };
        Ok(Handoff {
            served: connection.served,
            peer: connection.peer.ip(),
            proxy,
            pipelined: connection.pipelined,
            body: self.body.as_ref().map(|(body, _)| *body),
            unsent: self.unsent.clone(),
            received,
        })
    }

    /// Returns the descriptors that go with the message, in its order.
    pub(super) fn descriptors<'a>(&'a self, connection: &'a Connection) -> Vec<BorrowedFd<'a>> {
        let mut descriptors = vec![connection.as_fd()];
        descriptors.extend(self.aside.as_ref().map(AsFd::as_fd));
        descriptors.extend(self.body.as_ref().map(|(_, file)| file.as_fd()));
        descriptors.extend(self.response.iter().map(AsFd::as_fd));
        descriptors
    }
}

/// Puts bytes into memory that a descriptor stands for. See memfd_create(2).
fn in_memory_file(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("licorne-handoff", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}
