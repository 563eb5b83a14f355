//! One connection: how it gets from bytes to a complete request.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use http1::Limits;
use http1::chunked::{Decoder, Step};
use http1::proxy::{self, Ends, Versions};
use http1::request::Framing;
use rustix::io::Errno;
use rustix::net::RecvFlags;

use super::body::{Body, Sink};
use super::inflow::{Fault, Inflow, Read};
use super::intake::{Intake, Pool};
use super::outbox::Outbox;
use super::pace::Pace;
use super::patience::Patience;
use super::peer::Peer;
use super::phase::{Aborted, After, Content, Phase, Progress};
use super::proxied::Proxied;
use super::record::Record;
use super::settings::{Requests, Responses};
use super::socket::{BODY_READ_BYTES, invite, is_hung_up, receive};

/// How many reads a connection gets before others have their turn.
const READS_AT_ONCE: usize = 16;
/// Room for body bytes behind the largest head.
pub(crate) const SLACK_BYTES: usize = 4 * 1024;

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
    /// It has had a response.
    pub(crate) served: bool,
    /// Since when its complete request waits for the worker, where that was seen (CLOCK_MONOTONIC, ns).
    pub(crate) ready_ns: Option<u64>,
    /// What is noted of the request that is served, where the configuration asks for it.
    pub(crate) record: Option<Box<Record>>,
    /// What its client has cut short.
    pub(crate) aborted: Option<Aborted>,
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
            served: false,
            ready_ns: None,
            record: None,
            aborted: None,
            pipelined: 0,
        }
    }

    /// What it is doing, in words.
    pub(crate) fn doing(&self) -> &'static str {
        match self.phase {
            Phase::Proxy(_) => "begins with the header of a proxy",
            Phase::Head if self.intake.as_ref().is_some_and(|intake| intake.filled > 0) => {
                "sends the head of a request"
            }
            Phase::Head if self.served => "is kept alive",
            Phase::Head => "has sent nothing yet",
            Phase::Sized { .. } | Phase::Chunked { .. } => "sends the body of a request",
            Phase::Open(_) => "sends a body that the application reads",
            Phase::Complete(_) => "waits for the worker with a request",
            Phase::Writing { .. } => "takes a response",
            Phase::Discarding => "is being closed",
        }
    }

    /// For how long no bytes have come, as the kernel knows it: of a UNIX socket it does not.
    pub(crate) fn silence_ns(&self) -> Option<u64> {
        self.peer.ip().and_then(|_| sys::tcp::silence_ns(self.fd.as_fd()))
    }

    /// Reads until a request is complete or nothing more comes.
    pub(crate) fn read(&mut self, pool: &mut Pool, settings: &Requests) -> Progress {
        let mut intake = self.intake.take().unwrap_or_else(|| pool.take());
        let progress = self.read_into(&mut intake, settings);
        if matches!(progress, Progress::Gone) && self.is_within_request(&intake) {
            self.aborted = Some(Aborted::Request);
        }
        if intake.filled == 0 && matches!(progress, Progress::Wait(_) | Progress::Gone) {
            pool.give_back(intake);
        } else {
            self.intake = Some(intake);
        }
        progress
    }

    fn read_into(&mut self, intake: &mut Intake, settings: &Requests) -> Progress {
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

    /// Tells whether the client has begun a request; line ends that some send behind a body are none.
    fn is_within_request(&self, intake: &Intake) -> bool {
        match self.phase {
            Phase::Head => intake.buffer[..intake.filled].iter().any(|byte| !b"\r\n".contains(byte)),
            Phase::Sized { .. } | Phase::Chunked { .. } => true,
            _ => false,
        }
    }

    fn patience(&self, intake: &Intake) -> Patience {
        match self.phase {
            Phase::Head if intake.filled > 0 => Patience::Head,
            Phase::Head if self.served => Patience::Idle,
            Phase::Head | Phase::Proxy(_) => Patience::Fresh,
            _ => Patience::Body,
        }
    }

    /// Has the connection begin with a header of the PROXY protocol.
    pub(crate) fn expect_proxy(&mut self, versions: Versions) {
        self.phase = Phase::Proxy(versions);
    }

    /// Looks for the header in what was received, and for a request behind it. `None`: read on.
    fn parse_proxy(&mut self, versions: Versions, intake: &mut Intake, settings: &Requests) -> Option<Progress> {
        let header = match proxy::parse(&intake.buffer[..intake.filled], versions) {
            Ok(Some(header)) => header,
            Ok(None) => return None,
            Err(reject) => return Some(Progress::NoProxy(reject.reason)),
        };
        match header.ends {
            Ends::Unknown => {}
            Ends::Unix => self.peer = Peer::Local,
            Ends::Tcp { source, destination } => {
                self.peer = Peer::Ip(source.ip());
                self.proxied = Some(Box::new(Proxied { source, destination }));
            }
        }
        self.phase = Phase::Head;
        intake.next = header.len;
        if intake.advance() > 0 { self.parse(intake, settings) } else { None }
    }

    /// Looks for a head in what was received. `None`: read on.
    fn parse(&mut self, intake: &mut Intake, settings: &Requests) -> Option<Progress> {
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
            invite(self.fd.as_fd());
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

    /// Returns the number of bytes of the complete request, as far as they are known: of a body that the application reads
    /// itself none are.
    pub(crate) fn request_bytes(&self) -> u64 {
        self.intake.as_ref().map_or(0, |intake| intake.parser.head().len as u64) + self.body_bytes()
    }

    /// Tells whether something may come behind the request that was served: the client means to go on, or its body may
    /// be longer than it said. A client that sent no body and said that it is done sends nothing.
    pub(crate) fn may_send_more(&self) -> bool {
        self.intake.as_ref().is_some_and(|intake| {
            let head = intake.parser.head();
            head.keep_alive || !matches!(head.framing, Framing::None | Framing::Length(0))
        })
    }

    /// Tells whether the client has closed its side already.
    pub(crate) fn client_left(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match rustix::net::recv(&self.fd, &mut [0; 1], flags) {
            // A UNIX client that only shut down its writing side still reads, as Unicorn's users expect.
            Ok((_, 0)) => !self.peer.is_local() || is_hung_up(self.fd.as_fd()),
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => false,
            Err(_) => true,
        }
    }

    /// Returns what was received behind the request, and gives the buffer back.
    pub(crate) fn take_rest(&mut self, pool: &mut Pool) -> Vec<u8> {
        let mut rest = Vec::new();
        if let Some(intake) = self.intake.take() {
            if intake.next > 0 && intake.next < intake.filled {
                rest.extend_from_slice(&intake.buffer[intake.next..intake.filled]);
            }
            pool.give_back(intake);
        }
        rest
    }

    /// Tells whether another worker could go on with it, unless its request is being served. Of a body that the
    /// application reads itself, nothing is read before the application has the request.
    pub(crate) fn can_go(&self) -> bool {
        match self.phase {
            Phase::Proxy(_) | Phase::Head | Phase::Complete(_) | Phase::Open(_) => self.outbox.is_empty(),
            Phase::Writing { after } => after != After::Abort,
            Phase::Sized { .. } | Phase::Chunked { .. } | Phase::Discarding => false,
        }
    }

    /// Tells whether the head of its request was understood.
    pub(crate) fn has_head(&self) -> bool {
        matches!(self.phase, Phase::Sized { .. } | Phase::Chunked { .. } | Phase::Open(_) | Phase::Complete(_))
    }

    /// Tells whether the application has the request, or can have it.
    pub(crate) fn has_request(&self) -> bool {
        matches!(self.phase, Phase::Complete(_) | Phase::Open(_))
    }

    /// Tells whether the application reads the body itself, and how many bytes it has if the head says so.
    pub(crate) fn streamed_body(&self) -> Option<Option<u64>> {
        if let Phase::Open(inflow) = &self.phase { Some(inflow.bytes()) } else { None }
    }

    /// Tells whether all of the body was read, so that another request may follow.
    pub(crate) fn body_is_read(&self) -> bool {
        if let Phase::Open(inflow) = &self.phase { inflow.has_ended() } else { true }
    }

    /// Has whatever comes thrown away, because its position in the input is unknown, or because nothing needs it.
    pub(crate) fn spoil_input(&mut self) {
        if let Some(intake) = &mut self.intake {
            intake.filled = intake.filled.max(1);
            intake.next = 0;
        }
    }

    /// Appends to `out` what there is of a body that the application reads itself.
    ///
    /// # Errors
    /// The client is gone, or sends what is no body.
    pub(crate) fn read_body(&mut self, out: &mut Vec<u8>, limits: &Limits) -> Result<Read, Fault> {
        let (Phase::Open(inflow), Some(intake)) = (&mut self.phase, &mut self.intake) else { return Ok(Read::End) };
        inflow.read(self.fd.as_fd(), intake, &mut self.pace, out, limits)
    }

    /// Tells whether this is the first look at the body.
    pub(crate) fn begin_body(&mut self) -> bool {
        if let Phase::Open(inflow) = &mut self.phase { inflow.begin() } else { false }
    }

    /// Sends parts of a response in order. What the socket does not take now is kept. With `last` the connection's end
    /// follows at once, and the kernel waits for it up to 0.2 s, to send both in one segment.
    ///
    /// # Errors
    /// The client is gone.
    pub(crate) fn send(&mut self, parts: &[&[u8]], last: bool, responses: Responses) -> Result<(), Errno> {
        let outcome = if last {
            self.outbox.send_last(self.fd.as_fd(), parts, responses)
        } else {
            self.outbox.send(self.fd.as_fd(), parts, responses)
        };
        self.note(outcome)
    }

    /// Sends what the socket takes now.
    ///
    /// # Errors
    /// The client is gone.
    pub(crate) fn flush(&mut self) -> Result<(), Errno> {
        let outcome = self.outbox.flush(self.fd.as_fd());
        self.note(outcome)
    }

    /// Sends a part of a file behind what was sent before.
    ///
    /// # Errors
    /// The client is gone, or the file is shorter than that.
    pub(crate) fn send_file(&mut self, file: File, offset: u64, bytes: u64) -> Result<(), Errno> {
        let outcome = self.outbox.send_file(self.fd.as_fd(), file, offset, bytes);
        self.note(outcome)
    }

    /// Notes a response that its client did not take. That a file was cut short is no fault of the client's.
    fn note(&mut self, outcome: Result<(), Errno>) -> Result<(), Errno> {
        if outcome.is_err_and(|errno| errno != Errno::IO) {
            self.aborted.get_or_insert(Aborted::Response);
        }
        outcome
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
