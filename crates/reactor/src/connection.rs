//! One connection: what it waits for, and how it gets from bytes to a complete request.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use http1::chunked::{Decoder, Step};
use http1::proxy::Versions;
use http1::request::Framing;
use http1::{Limits, response};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use crate::body::{Body, Sink};
use crate::deadlines::Patience;
use crate::exchange::After;
use crate::intake::{Intake, Pool};
use crate::outbox::Outbox;
use crate::pace::Pace;
use crate::peer::Peer;
use crate::proxied::Proxied;
use crate::settings::Settings;
use crate::streamed::Inflow;

/// What one read of a body asks for, unless there is memory for all of it.
pub(crate) const BODY_READ_BYTES: usize = 64 * 1024;
/// How many reads a connection gets before others have their turn.
const READS_AT_ONCE: usize = 16;
/// Room for body bytes behind the largest head.
pub(crate) const SLACK_BYTES: usize = 4 * 1024;

/// What a connection is doing.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Waiting for the header of a proxy, or reading it.
    Proxy(Versions),
    /// Waiting for a request, or reading its head.
    Head,
    /// Reading a body of so many more bytes.
    Sized { sink: Box<Sink>, left: u64 },
    /// Reading a chunked body.
    Chunked { sink: Box<Sink>, decoder: Box<Decoder> },
    /// The head is complete; the application reads the body while it arrives.
    Open(Inflow),
    /// The request is complete; its body waits to be taken.
    Complete(Content),
    /// Writing the rest of a response.
    Writing { after: After },
    /// The response is out and no more is sent; input is thrown away until the client closes.
    Discarding,
}

/// The body of a complete request.
#[derive(Debug)]
pub(crate) enum Content {
    /// It lies in the intake's buffer.
    Inline(Range<usize>),
    /// It is kept apart.
    Apart(Body),
}

/// How reading went.
#[derive(Debug)]
pub(crate) enum Progress {
    /// A request is complete.
    Request,
    /// Nothing more to read now.
    Wait(Patience),
    /// There may be more to read, but others are waiting.
    Yield,
    /// The client is gone, or closed between two requests.
    Gone,
    /// Answer with this status and close.
    Refuse(u16),
    /// The proxy's header is missing or wrong: close. Holds what is wrong.
    NoProxy(&'static str),
    /// The body could not be stored. Answer 500 and close.
    Storage(io::Error),
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) fd: OwnedFd,
    /// The client; behind a proxy that says so, the proxy's client.
    pub(crate) peer: Peer,
    /// What the proxy said.
    pub(crate) proxied: Option<Box<Proxied>>,
    pub(crate) intake: Option<Box<Intake>>,
    pub(crate) phase: Phase,
    pub(crate) outbox: Outbox,
    /// How fast its client is.
    pub(crate) pace: Pace,
    /// Whether epoll knows it, and then whether for writing.
    pub(crate) registered: Option<bool>,
    /// It is in the queue of those to be looked at.
    pub(crate) queued: bool,
    /// It has had a response.
    pub(crate) served: bool,
    /// How many requests in a row were there before the response to the one before was out.
    pub(crate) pipelined: u32,
}

impl Connection {
    pub(crate) fn new(fd: OwnedFd, peer: Peer) -> Self {
        Self {
            fd,
            peer,
            proxied: None,
            intake: None,
            phase: Phase::Head,
            outbox: Outbox::default(),
            pace: Pace::default(),
            registered: None,
            queued: false,
            served: false,
            pipelined: 0,
        }
    }

    /// Reads until a request is complete or nothing more comes.
    pub(crate) fn read(&mut self, pool: &mut Pool, settings: &Settings) -> Progress {
        let mut intake = self.intake.take().unwrap_or_else(|| pool.take());
        let progress = self.read_into(&mut intake, settings);
        if intake.filled == 0 && matches!(progress, Progress::Wait(_) | Progress::Gone) {
            pool.give_back(intake);
        } else {
            self.intake = Some(intake);
        }
        progress
    }

    fn read_into(&mut self, intake: &mut Intake, settings: &Settings) -> Progress {
        // What is left of the previous request, or came with the connection from another worker, comes first.
        if intake.filled > 0 {
            let progress = match self.phase {
                Phase::Head => self.parse(intake, settings),
                Phase::Proxy(versions) => self.parse_proxy(versions, intake, settings),
                // There was no place for it yet.
                Phase::Sized { .. } | Phase::Chunked { .. } if intake.filled > intake.parser.head().len => {
                    self.take_body_bytes(intake, &settings.limits)
                }
                _ => None,
            };
            if let Some(progress) = progress {
                return progress;
            }
        }
        for _ in 0..READS_AT_ONCE {
            let fd = self.fd.as_fd();
            let (asked, received) = match &mut self.phase {
                Phase::Head | Phase::Proxy(_) => {
                    if !intake.make_room(settings.limits.section.saturating_add(SLACK_BYTES)) {
                        return Progress::Refuse(431);
                    }
                    intake.receive(fd, intake.buffer.len() - intake.filled)
                }
                Phase::Sized { sink, left } => match sink.room(*left) {
                    Some(room) => {
                        let (asked, received) = (room.len(), receive(fd, room));
                        let count = received.unwrap_or(0);
                        sink.filled(count);
                        *left -= count as u64;
                        (asked, received)
                    }
                    None => intake.receive(fd, usize::try_from(*left).unwrap_or(usize::MAX).min(BODY_READ_BYTES)),
                },
                Phase::Chunked { .. } => intake.receive(fd, BODY_READ_BYTES),
                Phase::Complete(_) | Phase::Open(_) | Phase::Writing { .. } | Phase::Discarding => {
                    return Progress::Request;
                }
            };
            let count = match received {
                Ok(0) => return Progress::Gone,
                Ok(count) => count,
                Err(Errno::AGAIN) => return Progress::Wait(self.patience(intake)),
                Err(_) => return Progress::Gone,
            };
            self.pace.count(count);
            let outcome = match self.phase {
                Phase::Head => self.parse(intake, settings),
                Phase::Proxy(versions) => self.parse_proxy(versions, intake, settings),
                _ => self.take_body_bytes(intake, &settings.limits),
            };
            if let Some(progress) = outcome {
                return progress;
            }
            if count < asked {
                // The socket is empty, or epoll will tell.
                return Progress::Wait(self.patience(intake));
            }
        }
        Progress::Yield
    }

    fn patience(&self, intake: &Intake) -> Patience {
        match self.phase {
            Phase::Head if intake.filled > 0 => Patience::Head,
            Phase::Head if self.served => Patience::Idle,
            Phase::Head | Phase::Proxy(_) => Patience::Fresh,
            _ => Patience::Body,
        }
    }

    /// Looks for a head in what was received. `None`: read on.
    pub(crate) fn parse(&mut self, intake: &mut Intake, settings: &Settings) -> Option<Progress> {
        let head = match intake.parser.parse(&intake.buffer[..intake.filled], &settings.limits) {
            Ok(Some(head)) => head,
            Ok(None) => return None,
            Err(reject) => return Some(Progress::Refuse(reject.status)),
        };
        let (framing, start, expects) = (head.framing, head.len, head.expect_continue);
        let received = intake.filled - start;
        match framing {
            Framing::None | Framing::Length(0) => {
                intake.next = start;
                self.phase = Phase::Complete(Content::Apart(Body::Empty));
                return Some(Progress::Request);
            }
            Framing::Length(bytes) if bytes <= received.min(settings.body_buffer_bytes) as u64 => {
                intake.next = start + bytes as usize;
                self.phase = Phase::Complete(Content::Inline(start..intake.next));
                return Some(Progress::Request);
            }
            Framing::Length(_) | Framing::Chunked if settings.stream_bodies => {
                let bytes = if let Framing::Length(bytes) = framing { Some(bytes) } else { None };
                intake.next = start;
                self.phase = Phase::Open(Inflow::new(bytes, start, expects && received == 0));
                return Some(Progress::Request);
            }
            Framing::Length(bytes) => {
                let sink = Sink::with_size(bytes, settings.allowance());
                self.phase = Phase::Sized { sink: Box::new(sink), left: bytes };
            }
            Framing::Chunked => {
                let sink = Sink::new(settings.allowance());
                self.phase = Phase::Chunked { sink: Box::new(sink), decoder: Box::default() };
            }
        }
        if expects && received == 0 {
            // If the socket does not even take this, the client's own time limit helps.
            let _ = rustix::net::send(&self.fd, response::CONTINUE, SendFlags::NOSIGNAL);
        }
        self.take_body_bytes(intake, &settings.limits)
    }

    /// Moves body bytes from behind the head to the sink. `None`: read on. When there is no place for them nothing has
    /// happened, and it can be tried again.
    fn take_body_bytes(&mut self, intake: &mut Intake, limits: &Limits) -> Option<Progress> {
        let start = intake.parser.head().len;
        match &mut self.phase {
            Phase::Sized { sink, left } => {
                let received = intake.filled - start;
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(received);
                if let Err(error) = sink.push(&intake.buffer[start..start + taken]) {
                    return Some(Progress::Storage(error));
                }
                *left -= taken as u64;
                if *left > 0 {
                    intake.filled = start;
                    return None;
                }
                intake.next = start + taken;
            }
            Phase::Chunked { sink, decoder } => {
                let coded = &intake.buffer[start..intake.filled];
                // Counted only where it matters: near the end of the memory that the body may have.
                let most = coded.len();
                let bytes = if sink.has_place(most) { most } else { content_bytes(decoder, coded, limits) };
                if let Err(error) = sink.prepare(bytes) {
                    return Some(Progress::Storage(error));
                }
                // The content moves together, over the framing, and is stored at once: a chunk may be a byte.
                let (mut at, mut end) = (start, start);
                let ended = loop {
                    match decoder.decode(&intake.buffer[at..intake.filled], limits) {
                        Ok(Step::Need) => break false,
                        Ok(Step::Data { skip, len }) => {
                            intake.buffer.copy_within(at + skip..at + skip + len, end);
                            end += len;
                            at += skip + len;
                        }
                        Ok(Step::Done { consumed }) => {
                            intake.next = at + consumed;
                            break true;
                        }
                        Err(reject) => return Some(Progress::Refuse(reject.status)),
                    }
                };
                if let Err(error) = sink.push(&intake.buffer[start..end]) {
                    return Some(Progress::Storage(error));
                }
                if !ended {
                    intake.filled = start;
                    return None;
                }
            }
            _ => return Some(Progress::Request),
        }
        if let Phase::Sized { sink, .. } | Phase::Chunked { sink, .. } =
            std::mem::replace(&mut self.phase, Phase::Complete(Content::Apart(Body::Empty)))
        {
            self.phase = Phase::Complete(Content::Apart(sink.finish()));
        }
        Some(Progress::Request)
    }

    /// The request was complete when it came from another worker, which had taken its body out of what it received.
    pub(crate) fn body_came_apart(&mut self, body: Body, limits: &Limits) {
        let Some(intake) = &mut self.intake else { return };
        // A head that does not pass here, by other limits, is refused when the connection is looked at.
        if let Ok(Some(head)) = intake.parser.parse(&intake.buffer[..intake.filled], limits) {
            intake.next = head.len;
            self.phase = Phase::Complete(Content::Apart(body));
        }
    }

    /// Takes the body of the complete request.
    pub(crate) fn take_body(&mut self) -> Body {
        let Phase::Complete(content) = &mut self.phase else { return Body::Empty };
        match std::mem::replace(content, Content::Apart(Body::Empty)) {
            Content::Apart(body) => body,
            Content::Inline(range) => {
                self.intake.as_ref().map_or(Body::Empty, |intake| Body::Memory(intake.buffer[range].to_vec().into()))
            }
        }
    }

    /// Returns the number of body bytes of the complete request.
    pub(crate) fn body_bytes(&self) -> u64 {
        match &self.phase {
            Phase::Complete(Content::Inline(range)) => range.len() as u64,
            Phase::Complete(Content::Apart(Body::Memory(bytes))) => bytes.len() as u64,
            Phase::Complete(Content::Apart(Body::File { bytes, .. })) => *bytes,
            _ => 0,
        }
    }

    /// Tells whether something may come behind the request that was served: the client means to go on, or its body may be
    /// longer than it said. A client that sent no body and said that it is done sends nothing.
    pub(crate) fn may_send_more(&self) -> bool {
        self.intake.as_ref().is_some_and(|intake| {
            let head = intake.parser.head();
            head.keep_alive || !matches!(head.framing, Framing::None | Framing::Length(0))
        })
    }

    /// Tells whether the client has closed both directions. See poll(2), `POLLHUP`.
    pub(crate) fn peer_hung_up(&self) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut fds, Some(&now)).is_ok()
            && fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
    }

    /// Throws input away. False when there is no more.
    pub(crate) fn discard(&self, scratch: &mut [u8]) -> bool {
        for _ in 0..READS_AT_ONCE {
            match receive(self.fd.as_fd(), scratch) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(Errno::AGAIN) => return true,
                Err(_) => return false,
            }
        }
        true
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Counts the content in a piece of a chunked body, up to where it ends or is malformed.
fn content_bytes(decoder: &Decoder, coded: &[u8], limits: &Limits) -> usize {
    let (mut decoder, mut at, mut bytes) = (decoder.clone(), 0, 0);
    while let Ok(Step::Data { skip, len }) = decoder.decode(&coded[at..], limits) {
        at += skip + len;
        bytes += len;
    }
    bytes
}

pub(crate) fn receive(fd: BorrowedFd<'_>, room: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match rustix::net::recv(fd, &mut *room, RecvFlags::empty()) {
            Ok((_, count)) => return Ok(count),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
