//! Bodies that the application reads while they arrive (`request_buffering false`).

use std::os::fd::BorrowedFd;

use http1::Limits;
use http1::chunked::{Decoder, Step};
use rustix::io::Errno;

use super::intake::Intake;
use super::pace::Pace;
use super::socket::{BODY_READ_BYTES, invite, receive};

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

    /// Tells whether all of it was read.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.rest, Rest::Nothing)
    }

    /// Returns how many bytes are still to come, if the head said so.
    pub(crate) fn bytes(&self) -> Option<u64> {
        if let Rest::Sized(bytes) = self.rest { Some(bytes) } else { None }
    }

    /// Tells whether this is the first look at it.
    pub(crate) fn begin(&mut self) -> bool {
        !std::mem::replace(&mut self.begun, true)
    }

    /// Appends to `out` what there is, without waiting. Invites a client that wants to be asked for its body.
    ///
    /// # Errors
    /// The client is gone, or sends what is no body.
    pub(crate) fn read(
        &mut self,
        fd: BorrowedFd<'_>,
        intake: &mut Intake,
        pace: &mut Pace,
        out: &mut Vec<u8>,
        limits: &Limits,
    ) -> Result<Read, Fault> {
        let head_len = intake.parser.head().len;
        if std::mem::take(&mut self.invite) {
            invite(fd);
        }
        let before = out.len();
        loop {
            while self.at < intake.filled && !self.has_ended() {
                let bytes = &intake.buffer[self.at..intake.filled];
                match &mut self.rest {
                    Rest::Nothing => break,
                    Rest::Sized(left) => {
                        let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                        out.extend_from_slice(&bytes[..taken]);
                        self.at += taken;
                        *left -= taken as u64;
                        if *left == 0 {
                            self.rest = Rest::Nothing;
                        }
                    }
                    Rest::Chunked(decoder) => match decoder.decode(bytes, limits) {
                        Ok(Step::Need) => self.at = intake.filled,
                        Ok(Step::Data { skip, len }) => {
                            out.extend_from_slice(&bytes[skip..skip + len]);
                            self.at += skip + len;
                        }
                        Ok(Step::Done { consumed }) => {
                            self.at += consumed;
                            self.rest = Rest::Nothing;
                        }
                        Err(reject) => return Err(Fault::Refused(reject.status)),
                    },
                }
            }
            intake.next = self.at;
            if out.len() > before {
                return Ok(Read::Some);
            }
            let ask = match &self.rest {
                Rest::Nothing => return Ok(Read::End),
                Rest::Sized(left) => usize::try_from(*left).unwrap_or(usize::MAX).min(BODY_READ_BYTES),
                Rest::Chunked(_) => BODY_READ_BYTES,
            };
            (intake.filled, self.at) = (head_len, head_len);
            intake.reserve(ask);
            match receive(fd, &mut intake.buffer[head_len..head_len + ask]) {
                Ok(0) => return Err(Fault::Gone),
                Ok(count) => {
                    intake.filled += count;
                    pace.count(count);
                }
                Err(Errno::AGAIN) => return Ok(Read::Wait),
                Err(_) => return Err(Fault::Gone),
            }
        }
    }
}
