//! The request that is being served: what the caller sees of it, and how its response gets out.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use http1::request::Head;
use rustix::io::Errno;

use crate::conn::{Aborted, After, Body, Connection, Fault, Patience, Peer, Proxied, Read, RequestId};
use crate::connections::{Connections, now_ms};
use crate::table::Token;

/// A complete request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its head; spans refer to `buffer`.
    pub head: &'a Head,
    /// The bytes as received.
    pub buffer: &'a [u8],
    /// The client that sent it.
    pub peer: Peer,
    /// What the proxy's header said, where there is one.
    pub proxied: Option<Proxied>,
    /// The size of its body.
    pub body_bytes: u64,
}

/// The request that `Turn::Request` announced, until [`ActiveRequest::finish`] or [`ActiveRequest::detach`]. Of one
/// whose connection is gone there is nothing, and nothing can be sent.
#[derive(Debug)]
pub struct ActiveRequest<'a> {
    connections: &'a mut Connections,
    token: Token,
}

impl<'a> ActiveRequest<'a> {
    pub(crate) fn new(connections: &'a mut Connections, token: Token) -> Self {
        Self { connections, token }
    }

    fn connection(&self) -> Option<&Connection> {
        self.connections.table.get(self.token)
    }

    fn connection_mut(&mut self) -> Result<&mut Connection, Errno> {
        self.connections.table.get_mut(self.token).ok_or(Errno::PIPE)
    }

    /// Returns head and facts.
    pub fn request(&self) -> Option<Request<'_>> {
        let connection = self.connection()?;
        let intake = connection.intake.as_ref()?;
        Some(Request {
            head: intake.parser.head(),
            buffer: &intake.buffer[..intake.filled],
            peer: connection.peer,
            proxied: connection.proxied.as_deref().copied(),
            body_bytes: connection.body_bytes(),
        })
    }

    /// Begins the record of the request, where the configuration asks for one: it goes to the application at this moment,
    /// and has waited so long. Returns its id.
    pub fn begin(&mut self, start_ns: u64, waited_ns: u64) -> Option<RequestId> {
        let records = self.connections.records.as_mut()?;
        records.begin(self.connections.table.get_mut(self.token)?, start_ns, waited_ns)
    }

    /// Notes the status of the response whose head, of so many bytes, is about to be sent.
    pub fn respond(&mut self, status: u16, head_bytes: usize) {
        if let Ok(Connection { record: Some(record), .. }) = self.connection_mut() {
            record.respond(status, head_bytes);
        }
    }

    /// Tells whether the response may announce that the connection stays open.
    pub fn keeps_alive(&self) -> bool {
        let row = self.connection().map_or(0, |connection| connection.pipelined);
        let settings = &self.connections.settings;
        self.connections.schedule.has_takers()
            && settings.timeouts.keepalive_ms > 0
            && (settings.pipeline == 0 || row < settings.pipeline)
    }

    /// Takes the body.
    pub fn take_body(&mut self) -> Body {
        self.connection_mut().map_or(Body::Empty, Connection::take_body)
    }

    /// Tells whether the application reads the body itself, and how many bytes it has if the head says so.
    pub fn streamed_body(&self) -> Option<Option<u64>> {
        self.connection()?.streamed_body()
    }

    /// Appends to `out` what there is of a body that the application reads itself, without waiting. Invites a client
    /// that wants to be asked for its body.
    ///
    /// # Errors
    /// The client is gone, too slow, or sends what is no body; [`ActiveRequest::refuse`] answers it.
    pub fn read_body(&mut self, out: &mut Vec<u8>) -> Result<Read, Fault> {
        let settings = &self.connections.settings;
        let Some(connection) = self.connections.table.get_mut(self.token) else { return Err(Fault::Gone) };
        let before = out.len();
        let read = connection.read_body(out, &settings.requests.limits).inspect_err(|fault| {
            if *fault == Fault::Gone {
                connection.aborted.get_or_insert(Aborted::Request);
            }
        })?;
        let received = (out.len() - before) as u64;
        self.connections.traffic.received_bytes += received;
        if let Some(record) = &mut connection.record {
            record.received_bytes += received;
        }
        let now = now_ms();
        if connection.begin_body() {
            connection.pace.restart(Patience::Body, now);
        }
        let slow = read == Read::Wait && connection.pace.is_too_slow(Patience::Body, &settings.rates, now);
        if slow { Err(Fault::Refused(408)) } else { Ok(read) }
    }

    /// Tells whether all of the body was read, so that another request may follow.
    pub fn body_is_read(&self) -> bool {
        self.connection().is_some_and(Connection::body_is_read)
    }

    /// Tells whether the client has closed its side already.
    pub fn client_left(&self) -> bool {
        self.connection().is_none_or(Connection::client_left)
    }

    /// Sends parts of a response in order. What the socket does not take now is copied, to memory or to a file, and
    /// sent later. When more is in memory than [`crate::Responses::buffer_bytes`] no file would take it.
    ///
    /// # Errors
    /// The client is gone; [`ActiveRequest::finish`] with [`After::Abort`] is all that is left.
    pub fn send(&mut self, parts: &[&[u8]]) -> Result<(), Errno> {
        self.connections.send(self.token, parts, false)
    }

    /// Sends the last parts of a response after which the connection closes. [`ActiveRequest::finish`] has to follow at
    /// once: the kernel waits up to 0.2 s for it, to send the data and the end of the connection in one segment. That
    /// saves a quarter of what a connection for one request costs.
    ///
    /// # Errors
    /// As [`ActiveRequest::send`].
    pub fn send_last(&mut self, parts: &[&[u8]]) -> Result<(), Errno> {
        self.connections.send(self.token, parts, true)
    }

    /// Sends a part of a file behind what was sent before, without reading it into memory.
    ///
    /// # Errors
    /// As [`ActiveRequest::send`], or the file is shorter than that.
    pub fn send_file(&mut self, file: File, offset: u64, bytes: u64) -> Result<(), Errno> {
        let connection = self.connection_mut()?;
        connection.send_file(file, offset, bytes)?;
        if let Some(record) = &mut connection.record {
            record.sent_bytes += bytes;
        }
        self.connections.traffic.sent_bytes += bytes;
        Ok(())
    }

    /// Sends what the socket takes now. Returns the bytes that are still held in memory for this client.
    ///
    /// # Errors
    /// As [`ActiveRequest::send`].
    pub fn flush(&mut self) -> Result<usize, Errno> {
        let connection = self.connection_mut()?;
        connection.flush()?;
        Ok(connection.outbox.queued_bytes())
    }

    /// Returns the bytes that are held in memory for this client.
    pub fn queued_bytes(&self) -> usize {
        self.connection().map_or(0, |connection| connection.outbox.queued_bytes())
    }

    /// Returns the connection's descriptor.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.connection().map(AsFd::as_fd)
    }

    /// Notes that the client takes no more of the response: it left, or is too slow.
    pub fn not_taken(&mut self) {
        self.connections.abort(self.token, Aborted::Response);
    }

    /// Ends a response that was sent. What the client has not taken yet is written while others are served.
    pub fn finish(self, after: After) {
        self.connections.finish(self.token, after);
    }

    /// Answers with an error and closes: for requests whose body turned out to be none.
    pub fn refuse(self, status: u16) {
        if status == 408 {
            self.connections.abort(self.token, Aborted::Request);
        }
        self.connections.refuse(self.token, status);
    }

    /// Gives the connection away with what was received behind the request.
    pub fn detach(self) -> Option<(OwnedFd, Vec<u8>)> {
        let (connection, rest) = self.connections.detach(self.token)?;
        Some((connection.fd, rest))
    }
}
