//! A request and its response: what the caller sees of the one, and how the other gets out.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use http1::request::Head;
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown};

use crate::body::Body;
use crate::connection::{Connection, Phase};
use crate::deadlines::Patience;
use crate::peer::Peer;
use crate::proxied::Proxied;
use crate::reactor::{Notice, Reactor};
use crate::slab::Token;

/// A complete request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its head; spans refer to `buffer`.
    pub head: &'a Head,
    /// The bytes as received.
    pub buffer: &'a [u8],
    /// Who sent it.
    pub peer: Peer,
    /// What the proxy's header said, where there is one.
    pub proxied: Option<Proxied>,
    /// The size of its body.
    pub body_bytes: u64,
}

/// What becomes of a connection after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It waits for the next request.
    KeepAlive,
    /// It is closed once the response is out.
    Close,
    /// The same, and that tells the client where the body ends: see that it does, whoever else holds the descriptor.
    End,
    /// It is closed at once: the response cannot be completed.
    Abort,
}

impl Reactor {
    /// Returns the request that [`crate::Turn::Request`] announced.
    pub fn request(&self, token: Token) -> Option<Request<'_>> {
        let connection = self.slab.get(token)?;
        let intake = connection.intake.as_ref()?;
        Some(Request {
            head: intake.parser.head(),
            buffer: &intake.buffer[..intake.filled],
            peer: connection.peer,
            proxied: connection.proxied.as_deref().copied(),
            body_bytes: connection.body_bytes(),
        })
    }

    /// Takes the body of the request.
    pub fn take_body(&mut self, token: Token) -> Body {
        self.slab.get_mut(token).map_or(Body::Empty, Connection::take_body)
    }

    /// Tells whether the client has closed its side already.
    pub fn client_left(&self, token: Token) -> bool {
        let Some(connection) = self.slab.get(token) else { return true };
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match rustix::net::recv(connection, &mut [0; 1], flags) {
            // A UNIX client that only shut down its writing side still reads, as Unicorn's users expect.
            Ok((_, 0)) => !connection.peer.is_local() || connection.peer_hung_up(),
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => false,
            Err(_) => true,
        }
    }

    /// Sends parts of a response in order. What the socket does not take now is copied, to memory or to a file, and sent
    /// later. When more is in memory than [`crate::Settings::response_buffer_bytes`] no file would take it.
    ///
    /// # Errors
    /// The client is gone; [`Reactor::finish`] with [`After::Abort`] is all that is left.
    pub fn send(&mut self, token: Token, parts: &[&[u8]]) -> Result<(), Errno> {
        let connection = self.slab.get_mut(token).ok_or(Errno::PIPE)?;
        connection.outbox.send(connection.fd.as_fd(), parts, self.settings.room())?;
        self.notice_spill(token);
        Ok(())
    }

    /// Sends the last parts of a response after which the connection closes. [`Reactor::finish`] has to follow at once: the
    /// kernel waits up to 0.2 s for it, to send the data and the end of the connection in one segment. That saves a
    /// quarter of what a connection for one request costs.
    ///
    /// # Errors
    /// As [`Reactor::send`].
    pub fn send_last(&mut self, token: Token, parts: &[&[u8]]) -> Result<(), Errno> {
        let connection = self.slab.get_mut(token).ok_or(Errno::PIPE)?;
        connection.outbox.send_last(connection.fd.as_fd(), parts, self.settings.room())?;
        self.notice_spill(token);
        Ok(())
    }

    /// Tells the operator when a response could not be put aside in a file.
    fn notice_spill(&mut self, token: Token) {
        let error = self.slab.get_mut(token).and_then(|connection| connection.outbox.take_trouble());
        if let Some(error) = error {
            self.notices.push_back(Notice::CannotStoreResponse(error));
        }
    }

    /// Sends a part of a file behind what was sent before, without reading it into memory.
    ///
    /// # Errors
    /// As [`Reactor::send`], or the file is shorter than that.
    pub fn send_file(&mut self, token: Token, file: File, offset: u64, bytes: u64) -> Result<(), Errno> {
        let connection = self.slab.get_mut(token).ok_or(Errno::PIPE)?;
        connection.outbox.send_file(connection.fd.as_fd(), file, offset, bytes)
    }

    /// Sends what the socket takes now. Returns the bytes that are still held in memory for this client.
    ///
    /// # Errors
    /// As [`Reactor::send`].
    pub fn flush(&mut self, token: Token) -> Result<usize, Errno> {
        let connection = self.slab.get_mut(token).ok_or(Errno::PIPE)?;
        connection.outbox.flush(connection.fd.as_fd())?;
        Ok(connection.outbox.queued_bytes())
    }

    /// Returns the bytes that are held in memory for this client.
    pub fn queued_bytes(&self, token: Token) -> usize {
        self.slab.get(token).map_or(0, |connection| connection.outbox.queued_bytes())
    }

    /// Returns the connection's descriptor.
    pub fn descriptor(&self, token: Token) -> Option<BorrowedFd<'_>> {
        self.slab.get(token).map(AsFd::as_fd)
    }

    /// Ends a response that was sent. What the client has not taken yet is written while others are served.
    pub fn finish(&mut self, token: Token, after: After) {
        self.serving = self.serving.filter(|serving| *serving != token);
        let Some(connection) = self.slab.get_mut(token) else { return };
        let mut after = after;
        let ends = matches!(after, After::Close | After::End);
        // What is still to come of the body would be taken for the next request; and what comes behind the last request of
        // a connection would destroy the response on its way, if the connection were closed before it comes.
        if (after != After::Abort && !connection.body_is_read()) || (ends && connection.may_send_more()) {
            connection.spoil_input();
            after = After::Close;
        }
        if after == After::Abort {
            // Not merely closed: a child that the application forked may hold the descriptor, and the client would wait.
            let _ = rustix::net::shutdown(&connection.fd, Shutdown::Both);
            self.close(token);
        } else if connection.outbox.is_empty() {
            self.after_response(token, after);
        } else {
            connection.phase = Phase::Writing { after };
            self.wait_for(token, Patience::Write);
        }
    }

    /// Gives the connection away with what was received behind the request.
    pub fn detach(&mut self, token: Token) -> Option<(OwnedFd, Vec<u8>)> {
        self.serving = self.serving.filter(|serving| *serving != token);
        let (connection, rest) = self.remove(token)?;
        Some((connection.fd, rest))
    }

    /// Answers with an error and closes: for requests whose body turned out to be none.
    pub fn refuse(&mut self, token: Token, status: u16) {
        let mut response = Vec::with_capacity(128);
        http1::response::write_error(&mut response, status, self.date.current());
        if self.send_last(token, &[&response]).is_err() {
            return self.close(token);
        }
        // The position in the input is unknown: whatever comes is thrown away.
        if let Some(connection) = self.slab.get_mut(token) {
            connection.intake.get_or_insert_with(|| self.pool.take());
            connection.spoil_input();
        }
        self.finish(token, After::Close);
    }

    pub(crate) fn go_on_writing(&mut self, token: Token, after: After) {
        let Some(connection) = self.slab.get_mut(token) else { return };
        if connection.outbox.flush(connection.fd.as_fd()).is_err() {
            self.close(token);
        } else if connection.outbox.is_empty() {
            self.after_response(token, after);
        } else {
            self.wait_for(token, Patience::Write);
        }
    }

    fn after_response(&mut self, token: Token, after: After) {
        let Some(connection) = self.slab.get_mut(token) else { return };
        let rest = connection.intake.as_mut().map_or(0, |intake| intake.advance());
        if after == After::KeepAlive {
            connection.served = true;
            connection.phase = Phase::Head;
            if rest > 0 {
                connection.pipelined = connection.pipelined.saturating_add(1);
                return self.queue(token);
            }
            connection.pipelined = 0;
            if let Some(intake) = connection.intake.take() {
                self.pool.give_back(intake);
            }
            return self.wait_for(token, Patience::Idle);
        }
        if rest == 0 {
            if after == After::End {
                let _ = rustix::net::shutdown(&connection.fd, Shutdown::Write);
            }
            return self.close(token);
        }
        // Closing with unread input would send a reset, which can destroy the response on its way, and so would a close
        // that input follows: the client closes first (RFC 9112, section 9.6), or its patience ends.
        connection.phase = Phase::Discarding;
        if rustix::net::shutdown(&connection.fd, Shutdown::Write).is_err() {
            return self.close(token);
        }
        if connection.discard(&mut self.scratch) {
            self.wait_for(token, Patience::Discard);
        } else {
            self.close(token);
        }
    }

    /// Closes a connection.
    pub(crate) fn close(&mut self, token: Token) {
        self.remove(token);
    }

    fn remove(&mut self, token: Token) -> Option<(Connection, Vec<u8>)> {
        let mut connection = self.slab.remove(token)?;
        self.deadlines.clear(token.index);
        if connection.registered.is_some() {
            self.poller.delete(connection.as_fd());
        }
        let mut rest = Vec::new();
        if let Some(intake) = connection.intake.take() {
            if intake.next > 0 && intake.next < intake.filled {
                rest.extend_from_slice(&intake.buffer[intake.next..intake.filled]);
            }
            self.pool.give_back(intake);
        }
        Some((connection, rest))
    }
}
