//! The way out of a response: pieces framed as the head promised, sent as far as the socket takes them, kept within
//! bounds when the client is slow.

use std::os::fd::{AsFd, OwnedFd};

use http1::response::{Body, BodyFraming};
use magnus::Value;
use reactor::After;
use sys::clock::monotonic_ns;

use crate::exchange::Exchange;
use crate::ffi::{Escape, Flow, Rb, element, ids, length, protect, with_all_bytes, with_block, with_bytes};
use crate::socket::{close_socket, ruby_socket};

use super::content::Content;

/// Bodies up to this size are copied behind the head: one small copy is cheaper than the kernel's gathering.
const COPIED_BYTES: usize = 8 * 1024;
/// More than the room for responses that may be in memory.
const SLACK_BYTES: usize = 64 * 1024;
/// Files up to this size are read and sent with the head.
const SMALL_FILE_BYTES: u64 = 64 * 1024;

/// How it went to write a body.
pub(crate) struct Written {
    /// What the body raised, if it did.
    pub(crate) outcome: Result<(), Escape>,
    /// How its `close` went, if it was called already.
    pub(crate) closed: Option<Result<(), Escape>>,
}

/// Where the pieces of one body go.
pub(crate) struct Sink<'e, 'x> {
    exchange: &'e Exchange<'x>,
    body: Body,
    /// What was not given to the socket yet: the head, until there is something to send with it.
    pending: Vec<u8>,
    begun: bool,
    gone: bool,
    /// The connection is closed right behind the body.
    last: bool,
    /// To wait for the client with.
    socket: Option<OwnedFd>,
}

impl<'e, 'x> Sink<'e, 'x> {
    pub(crate) fn new(exchange: &'e Exchange<'x>, head: Vec<u8>, framing: BodyFraming) -> Self {
        Self { exchange, body: Body::new(framing), pending: head, begun: false, gone: false, last: false, socket: None }
    }

    /// Says that nothing takes time between the end of the body and the end of the connection.
    pub(crate) fn close_follows(&mut self) {
        self.last = true;
    }

    /// Gives back the buffer that the head was written to.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.pending
    }

    /// Tells whether a byte may have reached the client.
    pub(crate) fn is_begun(&self) -> bool {
        self.begun
    }

    /// Tells whether the client got, or will get, all that the head promised.
    pub(crate) fn is_complete(&self) -> bool {
        self.body.is_complete() && !self.gone
    }

    /// Tells whether the client left before it had all.
    pub(super) fn is_cut(&self) -> bool {
        self.gone
    }

    /// Tells whether only the end of the connection shows where the body ends.
    pub(crate) fn ends_by_close(&self) -> bool {
        self.body.ends_by_close()
    }

    /// Returns what becomes of the connection.
    pub(super) fn after(&self, keep_alive: bool, body_ended_well: bool) -> After {
        if !body_ended_well || !self.is_complete() {
            After::Abort
        } else if keep_alive {
            After::KeepAlive
        } else if self.ends_by_close() {
            After::End
        } else {
            After::Close
        }
    }

    /// Sends a body.
    pub(crate) fn write(&mut self, content: &Content, body: Value) -> Written {
        let by_itself = |outcome| Written { outcome, closed: None };
        if self.body.framing() == BodyFraming::None {
            self.end();
            return by_itself(Ok(()));
        }
        let Written { outcome, closed } = match content {
            Content::Nothing | Content::Stream => by_itself(Ok(())),
            Content::Strings(array, bytes) => by_itself(self.strings(*array, *bytes)),
            Content::File(file, bytes) if self.body.framing() == BodyFraming::Length(*bytes) => {
                self.file(file, *bytes);
                by_itself(Ok(()))
            }
            Content::File(..) | Content::Pieces => self.pieces(body),
        };
        if outcome.is_ok() {
            self.end();
        }
        Written { outcome, closed }
    }

    /// Sends what the body yields, in whatever thread, and closes it: what it still says then belongs to it.
    fn pieces(&mut self, body: Value) -> Written {
        let exchange = self.exchange;
        let mut visitor = |rb: Rb<'_>, piece, _| {
            let piece = rb.to_string(piece);
            self.piece(rb, piece)
        };
        let written = with_block(&mut visitor, |block| {
            let outcome = exchange.core.away(|| protect(|rb| rb.each_to(body, block)));
            // A child that the application forked leaves the body to its parent.
            let own = !matches!(outcome, Err(Escape::Child(_)));
            Written { outcome, closed: own.then(|| exchange.close_body(body)) }
        });
        written.unwrap_or_else(|escape| Written { outcome: Err(escape), closed: Some(Ok(())) })
    }

    /// Sends all strings at once, straight from Ruby's memory.
    fn strings(&mut self, array: Value, bytes: u64) -> Result<(), Escape> {
        if self.body.framing() != BodyFraming::Length(bytes) {
            return protect(|rb| rb.each_element(array, |rb, piece| self.piece(rb, piece)));
        }
        self.body.written_elsewhere();
        if bytes as usize <= COPIED_BYTES {
            for index in 0..length(array) {
                with_bytes(element(array, index), |part| self.pending.extend_from_slice(part));
            }
            return Ok(());
        }
        let head = std::mem::take(&mut self.pending);
        self.begun = true;
        let outcome =
            with_all_bytes(array, &head, |parts| self.exchange.core.reactor().active(self.exchange.token).send(parts));
        self.gone |= outcome.is_err();
        if self.gone {
            return Ok(());
        }
        // There was no file to put it aside.
        protect(|rb| self.wait_for_client(rb)).map(drop)
    }

    /// Sends a file without reading it into memory, unless it is small.
    fn file(&mut self, file: &std::fs::File, bytes: u64) {
        use std::os::unix::fs::FileExt;
        self.body.written_elsewhere();
        if bytes <= SMALL_FILE_BYTES {
            let start = self.pending.len();
            self.pending.resize(start + bytes as usize, 0);
            self.gone |= file.read_exact_at(&mut self.pending[start..], 0).is_err();
            return;
        }
        self.flush_pending();
        let mut reactor = self.exchange.core.reactor();
        let outcome = file
            .try_clone()
            .map_err(|_| ())
            .and_then(|file| reactor.active(self.exchange.token).send_file(file, 0, bytes).map_err(|_| ()));
        self.gone |= outcome.is_err();
    }

    /// Sends one piece of a body.
    fn piece(&mut self, rb: Rb<'_>, piece: Value) -> Flow {
        with_bytes(piece, |bytes| {
            let framed = self.body.piece(bytes);
            if !framed.is_empty() {
                self.send(&framed.parts());
            }
        });
        if self.gone {
            return Flow::Break;
        }
        if self.wait_for_client(rb) { Flow::Continue } else { Flow::Break }
    }

    fn send(&mut self, parts: &[&[u8]]) {
        if self.gone {
            return;
        }
        self.begun = true;
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        let mut reactor = self.exchange.core.reactor();
        let mut active = reactor.active(self.exchange.token);
        let outcome = if bytes <= COPIED_BYTES {
            parts.iter().for_each(|part| self.pending.extend_from_slice(part));
            if self.last && self.body.is_ended() {
                active.send_last(&[&self.pending])
            } else {
                active.send(&[&self.pending])
            }
        } else {
            let mut all: Vec<&[u8]> = Vec::with_capacity(parts.len() + 1);
            all.push(&self.pending);
            all.extend(parts.iter().filter(|part| !part.is_empty()));
            active.send(&all)
        };
        self.pending.clear();
        self.gone |= outcome.is_err();
    }

    fn flush_pending(&mut self) {
        if !self.pending.is_empty() {
            self.send(&[]);
        }
    }

    /// Ends a body that came to its end.
    fn end(&mut self) {
        let rest = self.body.end();
        if !rest.is_empty() {
            self.send(&[rest]);
        }
        self.flush_pending();
    }

    /// Waits, without the interpreter's lock, until a slow client has taken enough. False when it takes nothing more.
    fn wait_for_client(&mut self, rb: Rb<'_>) -> bool {
        // A little more is collected there before it goes to a file.
        self.drain(rb, self.exchange.core.responses.buffer_bytes + SLACK_BYTES)
    }

    /// Waits until at most `allowed` bytes are queued.
    fn drain(&mut self, rb: Rb<'_>, allowed: usize) -> bool {
        let core = self.exchange.core;
        let token = self.exchange.token;
        let mut queued = core.reactor().active(token).queued_bytes();
        let mut since = monotonic_ns();
        while queued > allowed {
            // A descriptor of our own, since others may use the reactor meanwhile; owned by the sink, since the wait
            // may be left by a jump.
            if self.socket.is_none() {
                self.socket = core.reactor().active(token).descriptor().and_then(|fd| fd.try_clone_to_owned().ok());
            }
            let Some(socket) = &self.socket else {
                self.gone = true;
                return false;
            };
            rb.without_lock(&core.waker, || {
                core.poller.wait_writable(socket.as_fd(), core.responses.write_ms);
            });
            let outcome = core.reactor().active(token).flush();
            match outcome {
                Ok(now) if now < queued => {
                    queued = now;
                    since = monotonic_ns();
                }
                Ok(_) if monotonic_ns() - since < core.responses.write_ms * 1_000_000 => {}
                _ => {
                    core.reactor().active(token).not_taken();
                    self.gone = true;
                    return false;
                }
            }
        }
        true
    }

    /// Sends the head, then gives the socket to the application.
    ///
    /// # Errors
    /// What the application raised.
    pub(crate) fn give_socket(&mut self, callable: Value) -> Result<(), Escape> {
        self.flush_pending();
        let core = self.exchange.core;
        let drained = if self.gone { Ok(false) } else { core.away(|| protect(|rb| self.drain(rb, 0))) };
        if !matches!(drained, Ok(true)) {
            core.reactor().active(self.exchange.token).finish(After::Abort);
            return drained.map(drop);
        }
        let Some((fd, _lost)) = core.reactor().active(self.exchange.token).detach() else { return Ok(()) };
        let socket = protect(|rb| ruby_socket(rb, fd))?;
        let socket = match socket {
            Ok(socket) => socket,
            Err(_) => return Ok(()),
        };
        core.current.hijack(socket);
        let outcome = core.away(|| {
            protect(|rb| {
                rb.call(callable, ids().call, &[socket]);
            })
        });
        // The application gave up: its client must not wait until the garbage collector closes the socket. A child that
        // it forked leaves the connection to its parent, and a jump must find Ruby as it left it.
        if matches!(outcome, Err(Escape::Raised(_))) {
            close_socket(socket);
        }
        outcome
    }
}
