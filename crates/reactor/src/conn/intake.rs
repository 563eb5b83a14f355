//! What was read from a connection and not used yet, with the parser that looks at it. Borrowed from a pool for as long
//! as a request is being read or served: an idle connection holds none.

use std::os::fd::BorrowedFd;

use http1::request::HeadParser;
use rustix::io::Errno;

use super::heap;
use super::socket::receive;

/// The first size of a buffer; nearly all heads fit.
const BUFFER_BYTES: usize = 16 * 1024;
/// Buffers that grew beyond this are not kept.
const KEPT_BYTES: usize = 128 * 1024;
/// How many intakes are kept for reuse.
const KEPT: usize = 64;

/// A buffer and its parser.
#[derive(Clone, Debug)]
pub(crate) struct Intake {
    pub(crate) parser: HeadParser,
    /// All of it is initialised; `buffer[..filled]` was received.
    pub(crate) buffer: Vec<u8>,
    pub(crate) filled: usize,
    /// Where the next request begins, once this one is complete.
    pub(crate) next: usize,
}

impl Intake {
    fn new() -> Box<Self> {
        Box::new(Self { parser: HeadParser::new(), buffer: vec![0; BUFFER_BYTES], filled: 0, next: 0 })
    }

    /// Makes room for at least one more byte, up to `limit` bytes in all. False when the limit is reached.
    pub(crate) fn make_room(&mut self, limit: usize) -> bool {
        if self.filled < self.buffer.len() {
            return true;
        }
        if self.buffer.len() >= limit {
            return false;
        }
        self.buffer.resize((self.buffer.len() * 2).min(limit), 0);
        true
    }

    /// Makes `bytes` of room behind what is filled.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        if self.buffer.len() < self.filled + bytes {
            self.buffer.resize(self.filled + bytes, 0);
        }
    }

    /// Receives at most so many bytes behind what is filled. Returns how many were asked for, and what came.
    pub(crate) fn receive(&mut self, fd: BorrowedFd<'_>, bytes: usize) -> (usize, Result<usize, Errno>) {
        self.reserve(bytes);
        let received = receive(fd, &mut self.buffer[self.filled..self.filled + bytes]);
        self.filled += received.unwrap_or(0);
        (bytes, received)
    }

    /// Forgets the request that was served; what was received behind it moves to the front. Returns how much that is.
    pub(crate) fn advance(&mut self) -> usize {
        let rest = self.filled - self.next;
        if rest > 0 && self.next > 0 {
            self.buffer.copy_within(self.next..self.filled, 0);
        }
        self.filled = rest;
        self.next = 0;
        rest
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        heap::let_go(self.buffer.capacity());
    }
}

/// Intakes that are not in use.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "they move between the pool and connections, a pointer at a time")]
pub(crate) struct Pool(Vec<Box<Intake>>);

impl Pool {
    pub(crate) fn take(&mut self) -> Box<Intake> {
        self.0.pop().unwrap_or_else(Intake::new)
    }

    pub(crate) fn give_back(&mut self, mut intake: Box<Intake>) {
        if intake.buffer.len() <= KEPT_BYTES && self.0.len() < KEPT {
            intake.parser.reset();
            intake.filled = 0;
            intake.next = 0;
            self.0.push(intake);
        }
    }
}
