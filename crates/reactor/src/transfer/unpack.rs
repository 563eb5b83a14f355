//! A connection that another worker gave away, made of its message. What the message says is a claim: each length, and
//! what each descriptor is, is checked.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};

use http1::proxy::Versions;
use rustix::net::SocketType;
use wire::{BodyApart, Bytes, Handoff, Proxy, Then, Unsent};

use crate::conn::{
    After, BODY_READ_BYTES, Body, Connection, Outbox, Peer, Phase, Pool, Proxied, Requests, SLACK_BYTES,
};

/// What is received with a connection is believed up to this in any case.
const MOST_RECEIVED_BYTES: usize = 4 << 20;

/// A connection, what was received, and a body that is complete.
#[derive(Debug)]
pub(crate) struct Unpacked {
    connection: Connection,
    received: Vec<u8>,
    body: Option<Body>,
}

impl Unpacked {
    /// Returns the connection, with what was received in a buffer of the pool.
    pub(crate) fn into_connection(self, pool: &mut Pool, requests: &Requests) -> Connection {
        let Self { mut connection, received, body } = self;
        if !received.is_empty() {
            let mut intake = pool.take();
            intake.reserve(received.len());
            intake.buffer[..received.len()].copy_from_slice(&received);
            intake.filled = received.len();
            connection.intake = Some(intake);
        }
        if let Some(body) = body {
            connection.body_came_apart(body, &requests.limits);
        }
        connection
    }
}

/// Makes a connection of a message and its descriptors.
///
/// # Errors
/// They do not belong together, or a descriptor is not what the message says.
pub(super) fn unpack(handoff: &Handoff<'_>, descriptors: Vec<OwnedFd>, requests: &Requests) -> io::Result<Unpacked> {
    if descriptors.len() != handoff.descriptors() {
        return Err(io::Error::other(format!(
            "{} descriptors instead of {}",
            descriptors.len(),
            handoff.descriptors()
        )));
    }
    let mut descriptors = descriptors.into_iter();
    let mut next = || descriptors.next().ok_or_else(|| io::Error::other("a descriptor is missing"));
    let fd = next()?;
    if rustix::net::sockopt::socket_type(&fd)? != SocketType::STREAM || rustix::net::sockopt::socket_acceptconn(&fd)? {
        return Err(io::Error::other("what was given away is no connection"));
    }
    rustix::io::ioctl_fionbio(&fd, true)?;
    let received = match handoff.received {
        Bytes::Inline(bytes) => bytes.to_vec(),
        Bytes::Descriptor(length) if u64::from(length) > most_received(requests) => {
            return Err(io::Error::other("more was received, it says, than any head and what follows it may be"));
        }
        Bytes::Descriptor(length) => read_whole(&File::from(next()?), length.into())?,
    };
    let body = match handoff.body {
        None => None,
        Some(BodyApart { in_file, length }) => {
            let file = File::from(next()?);
            let in_memory = !in_file && length <= requests.body_buffer_bytes as u64;
            Some(if in_memory {
                Body::Memory(read_whole(&file, length)?.into())
            } else {
                check_laid_aside(&file, length)?;
                Body::File { file, bytes: length }
            })
        }
    };
    let mut connection = Connection::new(fd, handoff.peer.map_or(Peer::Local, Peer::Ip));
    connection.served = handoff.served;
    connection.pipelined = handoff.pipelined;
    if let Some(unsent) = &handoff.unsent {
        let (outbox, after) = unpack_response(unsent, next)?;
        connection.outbox = outbox;
        connection.phase = Phase::Writing { after };
    }
    match handoff.proxy {
        Proxy::Silent => {}
        Proxy::Said { source, destination } => connection.proxied = Some(Box::new(Proxied { source, destination })),
        Proxy::Awaited(version) => connection.expect_proxy(match version {
            Some(1) => Versions::V1,
            Some(_) => Versions::V2,
            None => Versions::Any,
        }),
    }
    Ok(Unpacked { connection, received, body })
}

/// Makes the outbox of a connection whose client has not taken all of a response.
fn unpack_response(unsent: &Unsent, mut next: impl FnMut() -> io::Result<OwnedFd>) -> io::Result<(Outbox, After)> {
    let mut outbox = Outbox::default();
    for part in &unsent.parts {
        let file = File::from(next()?);
        check_file(&file, part.offset.checked_add(part.length))?;
        outbox.queue_file(file, part.offset, part.length);
    }
    let after = match unsent.then {
        Then::KeepAlive => After::KeepAlive,
        Then::Close => After::Close,
        Then::End => After::End,
    };
    Ok((outbox, after))
}

/// Returns how much a connection may have received that another worker gave away. A file without content costs its
/// maker nothing and may claim to be of any length, so this is bounded; the other worker's limit for heads may have
/// been larger.
fn most_received(requests: &Requests) -> u64 {
    requests.limits.section.saturating_add(SLACK_BYTES + BODY_READ_BYTES).max(MOST_RECEIVED_BYTES) as u64
}

/// Refuses a descriptor that is not what another worker lays bytes aside in: memory, or a file without a name, of so
/// many bytes at least. A length is a claim, and behind `/dev/zero` there is no end. What becomes shorter afterwards is
/// an error when it is read.
fn check_laid_aside(file: &File, bytes: u64) -> io::Result<()> {
    match check_file(file, Some(bytes))?.nlink() {
        0 => Ok(()),
        _ => Err(io::Error::other("a file that was given away has a name")),
    }
}

/// Refuses what is no regular file, or shorter than up to `end`. A part of a response may lie in a file of the
/// application's, which has a name.
fn check_file(file: &File, end: Option<u64>) -> io::Result<Metadata> {
    let metadata = file.metadata()?;
    match end {
        Some(end) if metadata.is_file() && metadata.len() >= end => Ok(metadata),
        _ => Err(io::Error::other("a descriptor that was given away is not what the message says")),
    }
}

/// Reads what another worker has laid aside. `length` is bounded by the caller.
fn read_whole(file: &File, length: u64) -> io::Result<Vec<u8>> {
    check_laid_aside(file, length)?;
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}
