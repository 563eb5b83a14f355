//! Connections that go from one worker to another: the queue that all workers share.
//!
//! A connection that waits for its next request, reads a head, has a complete request, or whose client takes a response
//! slowly can go. What was received goes with it and is parsed again on the other side; no state of a parser crosses.
//! When the queue does not take a connection it stays where it is. One that lies in the queue is nobody's: no time limit
//! looks at it until somebody takes it.
//!
//! A worker takes from the queue as it accepts: only when it has nothing else to serve. See `wire::Handoff` for the
//! message. An empty one carries no connection: a worker without room wakes another with it, for the listeners.

use std::fs::{File, Metadata};
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};

use http1::proxy::Versions;
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::net::SocketType;
use sys::channel::Channel;
use wire::{BodyApart, Bytes, Handoff, INLINE_BYTES, Part, Proxy, Then, Unsent};

use crate::body::Body;
use crate::colleagues::Colleagues;
use crate::connection::{BODY_READ_BYTES, Connection, Content, Phase, SLACK_BYTES};
use crate::exchange::After;
use crate::outbox::{Outbox, Queued};
use crate::peer::Peer;
use crate::poller::{Source, is_readable};
use crate::proxied::Proxied;
use crate::reactor::{Notice, Reactor, now_ms};
use crate::settings::Settings;
use crate::slab::Token;

/// Room for a message: what is inline, and the fields before it.
const MESSAGE_BYTES: usize = INLINE_BYTES + 64;
/// The connection, what was received, and a response: from memory, from a file, and from memory again.
const MOST_DESCRIPTORS: usize = 5;
/// What is received with a connection is believed up to this in any case.
const MOST_RECEIVED_BYTES: usize = 4 << 20;
/// How soon a full queue is tried again.
pub(crate) const RETRY_MS: u64 = 5;

/// The queue's two ends, as one worker has them.
#[derive(Debug)]
pub(crate) struct Queue {
    send: Channel,
    receive: Channel,
    /// Something may be in it.
    ready: bool,
    /// Where messages are received, reused.
    buffer: Vec<u8>,
}

impl Queue {
    pub(crate) fn set_ready(&mut self) {
        self.ready = true;
    }

    /// Sees whether there is something in it.
    fn look(&mut self) -> bool {
        self.ready = is_readable(&self.receive);
        self.ready
    }

    /// Sees whether as many descriptors can be opened as a message may hold. See dup(2).
    fn try_for_descriptors(&self) -> Result<(), Errno> {
        let mut opened = [const { None }; MOST_DESCRIPTORS];
        for place in &mut opened {
            *place = Some(rustix::io::fcntl_dupfd_cloexec(&self.receive, 0)?);
        }
        Ok(())
    }
}

impl AsFd for Queue {
    /// What tells when there is something in it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.receive.as_fd()
    }
}

/// What goes with a connection beside the facts.
#[derive(Default)]
struct Luggage {
    received: Vec<u8>,
    body: Option<(BodyApart, File)>,
    unsent: Option<Unsent>,
    /// What the parts of the response are in.
    response: Vec<File>,
}

impl Reactor {
    /// Joins the queue through which workers give connections to each other.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn join_queue(&mut self, send: OwnedFd, receive: OwnedFd) -> io::Result<()> {
        let receive = Channel::from_fd(receive);
        self.poller.add(receive.as_fd(), Source::Queue, false)?;
        let send = Channel::from_fd(send);
        self.queue = Some(Queue { send, receive, ready: false, buffer: Vec::new() });
        Ok(())
    }

    /// Tells whether somebody may take what this worker gives away.
    pub(crate) fn may_hand_over(&self) -> bool {
        self.queue.is_some() && (!self.retiring || self.handing_over)
    }

    /// Gives a connection to whoever takes it. False: it stays.
    pub(crate) fn hand_over(&mut self, token: Token) -> bool {
        self.may_hand_over() && self.put_into_queue(token)
    }

    /// Gives a connection to the one that takes it, be it this worker itself. False: it stays.
    pub(crate) fn put_into_queue(&mut self, token: Token) -> bool {
        if self.serving == Some(token) {
            return false;
        }
        let (Some(queue), Some(connection)) = (&self.queue, self.slab.get(token)) else { return false };
        if !connection.can_go() || send(&queue.send, connection).is_err() {
            return false;
        }
        self.close(token);
        true
    }

    /// Gives away all connections that can go. Those that the queue does not take are offered again soon.
    pub(crate) fn hand_over_all(&mut self) {
        self.offer_at_ms = None;
        for index in 0..self.slab.places() {
            let Some(token) = self.slab.token_at(index) else { continue };
            let can_go = self.slab.get(token).is_some_and(Connection::can_go) && self.serving != Some(token);
            if can_go && !self.hand_over(token) {
                self.offer_at_ms = Some(now_ms() + RETRY_MS);
                return;
            }
        }
    }

    /// Wakes a worker that sleeps and has room, with an empty message: the kernel wakes one for each newcomer, and that was
    /// this one.
    pub(crate) fn wake_another(&self) {
        if let Some(queue) = &self.queue
            && self.colleagues.as_ref().is_some_and(Colleagues::another_sleeps_with_room)
        {
            // A full queue has woken others.
            let _ = queue.send.send(&[], &[]);
        }
    }

    /// Takes a connection from the queue.
    pub(crate) fn take_over(&mut self) -> Option<Token> {
        if self.handing_over || self.listeners.is_paused() || !self.queue.as_ref().is_some_and(|queue| queue.ready) {
            return None;
        }
        // No room is made for what is not there.
        if self.is_full() && !self.queue.as_mut().is_some_and(Queue::look) {
            return None;
        }
        if !self.has_room() {
            return None;
        }
        let queue = self.queue.as_mut()?;
        // The kernel drops descriptors that do not fit, and with them the connection.
        if let Err(errno) = queue.try_for_descriptors() {
            if queue.look() {
                self.cannot_accept(errno);
            }
            return None;
        }
        queue.buffer.resize(MESSAGE_BYTES, 0);
        let mut descriptors = Vec::new();
        let outcome = queue.receive.try_recv_into(&mut queue.buffer, &mut descriptors);
        // Whatever becomes of them, closing them is not to wait for a client. See socket(7), SO_LINGER.
        for descriptor in &descriptors {
            let _ = rustix::net::sockopt::set_socket_linger(descriptor, None);
        }
        let count = match outcome {
            Ok(Some(0)) => {
                // Another worker has no room for those that wait in a backlog.
                self.listeners.set_all_ready();
                return self.accept();
            }
            Ok(Some(count)) => count,
            Ok(None) => {
                queue.ready = false;
                return None;
            }
            Err(error) => {
                self.notices.push_back(Notice::CannotTakeOver(error.chain()));
                return None;
            }
        };
        let queue = self.queue.as_mut()?;
        let unpacked = Handoff::decode(&queue.buffer[..count])
            .map_err(|error| io::Error::other(error.to_string()))
            .and_then(|handoff| unpack(&handoff, descriptors, &self.settings));
        match unpacked {
            Ok((mut connection, received, body)) => {
                if !received.is_empty() {
                    let mut intake = self.pool.take();
                    intake.reserve(received.len());
                    intake.buffer[..received.len()].copy_from_slice(&received);
                    intake.filled = received.len();
                    connection.intake = Some(intake);
                }
                if let Some(body) = body {
                    connection.body_came_apart(body, &self.settings.limits);
                }
                Some(self.slab.insert(connection))
            }
            Err(error) => {
                self.notices.push_back(Notice::CannotTakeOver(error.to_string()));
                None
            }
        }
    }
}

impl Connection {
    /// Tells whether another worker could go on with it, unless its request is being served. Nobody else has read of a
    /// body that the application reads itself.
    fn can_go(&self) -> bool {
        match self.phase {
            Phase::Proxy(_) | Phase::Head | Phase::Complete(_) | Phase::Open(_) => self.outbox.is_empty(),
            Phase::Writing { after } => after != After::Abort,
            Phase::Sized { .. } | Phase::Chunked { .. } | Phase::Discarding => false,
        }
    }
}

fn send(queue: &Channel, connection: &Connection) -> io::Result<()> {
    let luggage = pack(connection)?;
    let aside = if luggage.received.len() > INLINE_BYTES { Some(in_memory_file(&luggage.received)?) } else { None };
    let received = match aside {
        Some(_) => Bytes::Descriptor(u32::try_from(luggage.received.len()).map_err(io::Error::other)?),
        None => Bytes::Inline(&luggage.received),
    };
    let proxy = match (&connection.phase, connection.proxied.as_deref()) {
        (Phase::Proxy(Versions::V1), _) => Proxy::Awaited(Some(1)),
        (Phase::Proxy(Versions::V2), _) => Proxy::Awaited(Some(2)),
        (Phase::Proxy(Versions::Any), _) => Proxy::Awaited(None),
        (_, Some(&Proxied { source, destination })) => Proxy::Said { source, destination },
        (_, None) => Proxy::Silent,
    };
    let handoff = Handoff {
        served: connection.served,
        peer: connection.peer.ip(),
        proxy,
        pipelined: connection.pipelined,
        body: luggage.body.as_ref().map(|(body, _)| *body),
        unsent: luggage.unsent.clone(),
        received,
    };
    let mut descriptors = vec![connection.as_fd()];
    descriptors.extend(aside.as_ref().map(AsFd::as_fd));
    descriptors.extend(luggage.body.as_ref().map(|(_, file)| file.as_fd()));
    descriptors.extend(luggage.response.iter().map(AsFd::as_fd));
    queue.send(&handoff.encode(), &descriptors).map_err(|error| io::Error::other(error.chain()))
}

fn pack(connection: &Connection) -> io::Result<Luggage> {
    if let Phase::Writing { after } = connection.phase {
        return pack_response(connection, after);
    }
    let Some(intake) = &connection.intake else { return Ok(Luggage::default()) };
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
    Ok(Luggage { received, body, ..Luggage::default() })
}

/// Packs a response that its client has not taken yet, and what came behind its request.
fn pack_response(connection: &Connection, after: After) -> io::Result<Luggage> {
    let then = match after {
        After::KeepAlive => Then::KeepAlive,
        After::Close => Then::Close,
        After::End => Then::End,
        After::Abort => return Err(io::ErrorKind::Unsupported.into()),
    };
    let behind = connection.intake.as_ref().map_or(&[][..], |intake| &intake.buffer[intake.next..intake.filled]);
    // What no request can be any more is thrown away on the other side: all that counts is whether there is any.
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
    Ok(Luggage { received: received.to_vec(), body: None, unsent: Some(Unsent { then, parts }), response })
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

/// Puts bytes into memory that a descriptor stands for. See memfd_create(2).
fn in_memory_file(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("licorne-handoff", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// A connection, what was received, and a body that is complete.
type Unpacked = (Connection, Vec<u8>, Option<Body>);

fn unpack(handoff: &Handoff<'_>, descriptors: Vec<OwnedFd>, settings: &Settings) -> io::Result<Unpacked> {
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
        Bytes::Descriptor(length) if u64::from(length) > most_received(settings) => {
            return Err(io::Error::other("more was received, it says, than any head and what follows it may be"));
        }
        Bytes::Descriptor(length) => read_whole(&File::from(next()?), length.into())?,
    };
    let body = match handoff.body {
        None => None,
        Some(BodyApart { in_file, length }) => {
            let file = File::from(next()?);
            let in_memory = !in_file && length <= settings.body_buffer_bytes as u64;
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
    Ok((connection, received, body))
}

/// Returns how much a connection may have received that is given away. A file without content costs its maker nothing and
/// may claim to be of any length, so this is bounded; another worker's limit for heads may have been larger.
fn most_received(settings: &Settings) -> u64 {
    settings.limits.section.saturating_add(SLACK_BYTES + BODY_READ_BYTES).max(MOST_RECEIVED_BYTES) as u64
}

/// Refuses a descriptor that is not what another worker lays bytes aside in: memory, or a file without a name, of so many
/// bytes at least. A length is a claim, and behind `/dev/zero` there is no end. What becomes shorter afterwards is an
/// error when it is read.
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
