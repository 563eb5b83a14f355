//! Bodies that the application reads while they arrive (`request_buffering false`).

use std::os::fd::AsFd;

use http1::chunked::{Decoder, Step};
use http1::response;
use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::connection::{BODY_READ_BYTES, Connection, Phase, receive};
use crate::deadlines::Patience;
use crate::reactor::{Reactor, now_ms};
use crate::slab::Token;

/// What is still to come of a body, and where what was received of it lies in the intake.
#[derive(Debug)]
pub(crate) struct Inflow {
    rest: Rest,
    at: usize,
    /// The client waits to be invited.
    invite: bool,
    begun: bool,
}

#[derive(Debug)]
enum Rest {
    Sized(u64),
    Chunked(Box<Decoder>),
    Nothing,
}

/// How reading a body went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// There were bytes.
    Some,
    /// Nothing now: wait until the connection can be read.
    Wait,
    /// The body has ended.
    End,
}

/// Why a body will never be complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The client is gone.
    Gone,
    /// It is to be answered with this status.
    Refused(u16),
}

impl Inflow {
    /// Begins with a body of so many bytes, or a chunked one, whose first byte would lie at `at`.
    pub(crate) fn new(bytes: Option<u64>, at: usize, invite: bool) -> Self {
        let rest = bytes.map_or_else(|| Rest::Chunked(Box::default()), Rest::Sized);
        Self { rest, at, invite, begun: false }
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.rest, Rest::Nothing)
    }
}

impl Reactor {
    /// Appends to `out` what there is of the body of the running request, without waiting. Invites a client that wants to
    /// be asked for its body.
    ///
    /// # Errors
    /// The client is gone, too slow, or sends what is no body; [`Reactor::refuse`] answers it.
    pub fn read_body(&mut self, token: Token, out: &mut Vec<u8>) -> Result<Read, Fault> {
        let Some(connection) = self.slab.get_mut(token) else { return Err(Fault::Gone) };
        let read = connection.read_body(out, &self.settings.limits)?;
        let now = now_ms();
        if connection.begin_body() {
            connection.pace.restart(Patience::Body, now);
        }
        let slow = read == Read::Wait && connection.pace.is_too_slow(Patience::Body, &self.settings, now);
        if slow { Err(Fault::Refused(408)) } else { Ok(read) }
    }

    /// Tells whether the application reads the body itself, and how many bytes it has if the head says so.
    pub fn streamed_body(&self, token: Token) -> Option<Option<u64>> {
        match &self.slab.get(token)?.phase {
            Phase::Open(Inflow { rest: Rest::Sized(bytes), .. }) => Some(Some(*bytes)),
            Phase::Open(_) => Some(None),
            _ => None,
        }
    }

    /// Tells whether all of the body was read, so that another request may follow.
    pub fn body_is_read(&self, token: Token) -> bool {
        self.slab.get(token).is_some_and(|connection| connection.body_is_read())
    }
}

impl Connection {
    pub(crate) fn body_is_read(&self) -> bool {
        if let Phase::Open(inflow) = &self.phase { inflow.has_ended() } else { true }
    }

    /// The position in the input is unknown, or nobody wants it: whatever comes is to be thrown away.
    pub(crate) fn spoil_input(&mut self) {
        if let Some(intake) = &mut self.intake {
            intake.filled = intake.filled.max(1);
            intake.next = 0;
        }
    }

    /// Tells whether this is the first look at the body.
    fn begin_body(&mut self) -> bool {
        if let Phase::Open(inflow) = &mut self.phase { !std::mem::replace(&mut inflow.begun, true) } else { false }
    }

    fn read_body(&mut self, out: &mut Vec<u8>, limits: &http1::Limits) -> Result<Read, Fault> {
        let (Phase::Open(inflow), Some(intake)) = (&mut self.phase, &mut self.intake) else { return Ok(Read::End) };
        let head_len = intake.parser.head().len;
        if std::mem::take(&mut inflow.invite) {
            let _ = rustix::net::send(&self.fd, response::CONTINUE, SendFlags::NOSIGNAL);
        }
        let before = out.len();
        loop {
            while inflow.at < intake.filled && !inflow.has_ended() {
                let bytes = &intake.buffer[inflow.at..intake.filled];
                match &mut inflow.rest {
                    Rest::Nothing => break,
                    Rest::Sized(left) => {
                        let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                        out.extend_from_slice(&bytes[..taken]);
                        inflow.at += taken;
                        *left -= taken as u64;
                        if *left == 0 {
                            inflow.rest = Rest::Nothing;
                        }
                    }
                    Rest::Chunked(decoder) => match decoder.decode(bytes, limits) {
                        Ok(Step::Need) => inflow.at = intake.filled,
                        Ok(Step::Data { skip, len }) => {
                            out.extend_from_slice(&bytes[skip..skip + len]);
                            inflow.at += skip + len;
                        }
                        Ok(Step::Done { consumed }) => {
                            inflow.at += consumed;
                            inflow.rest = Rest::Nothing;
                        }
                        Err(reject) => return Err(Fault::Refused(reject.status)),
                    },
                }
            }
            intake.next = inflow.at;
            if out.len() > before {
                return Ok(Read::Some);
            }
            let ask = match &inflow.rest {
                Rest::Nothing => return Ok(Read::End),
                Rest::Sized(left) => usize::try_from(*left).unwrap_or(usize::MAX).min(BODY_READ_BYTES),
                Rest::Chunked(_) => BODY_READ_BYTES,
            };
            (intake.filled, inflow.at) = (head_len, head_len);
            intake.reserve(ask);
            match receive(self.fd.as_fd(), &mut intake.buffer[head_len..head_len + ask]) {
                Ok(0) => return Err(Fault::Gone),
                Ok(count) => {
                    intake.filled += count;
                    self.pace.count(count);
                }
                Err(Errno::AGAIN) => return Ok(Read::Wait),
                Err(_) => return Err(Fault::Gone),
            }
        }
    }
}
