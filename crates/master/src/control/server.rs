//! The master's end of the control socket: [`Request`]s come in, [`Answer`]s go out.

use std::os::fd::BorrowedFd;
use std::path::Path;

use supervisor::Ticket;
use sys::image::adopt;
use sys::line_server::{Client, LineServer, Reply, TooLong};
use sys::peer::Peer;
use sys::user::User;
use wire::state;

use crate::carried::{self, Number};
use crate::control::protocol::{Answer, Request};

/// The longest request, in bytes; all of ours are far shorter.
const REQUEST_BYTES: usize = 4096;

/// The socket and the clients that are connected to it. Without a socket it has no clients and does nothing.
#[derive(Debug, Default)]
pub(crate) struct ControlServer {
    server: Option<LineServer<Ticket>>,
    /// The number of the last request.
    tickets: u64,
}

impl ControlServer {
    /// Binds the socket, mode 0600; by default in a directory of its own.
    ///
    /// # Errors
    /// Another process listens there, or the path cannot be written.
    pub(crate) fn open(&mut self, path: &Path, is_default: bool, user: Option<User>) -> sys::Result<()> {
        let bind = if is_default { LineServer::bind_default } else { LineServer::bind };
        self.server = Some(bind(path, user, REQUEST_BYTES)?);
        Ok(())
    }

    /// Takes the socket and the clients of the program before this one.
    ///
    /// # Errors
    /// One of them is not there.
    pub(crate) fn load(control: Option<&state::Control>, tickets: u64, user: Option<User>) -> sys::Result<Self> {
        let Some(control) = control else { return Ok(Self { server: None, tickets }) };
        let client = |client: &state::Client| {
            let stream = adopt(client.stream)?;
            let waits_for = client.waits_for.map(Ticket);
            Client::adopt(stream, client.received.0.clone(), waits_for)
        };
        let (listener, path) = (adopt(control.socket)?, carried::path(&control.path));
        let clients = control.clients.iter().map(client).collect::<sys::Result<_>>()?;
        let server = Some(LineServer::adopt(listener, path, clients, user, REQUEST_BYTES));
        Ok(Self { server, tickets })
    }

    /// What the next program takes over, beside [`Self::last_ticket`].
    ///
    /// # Errors
    /// No descriptors left.
    pub(crate) fn save(&self, number: &mut Number<'_>) -> sys::Result<Option<state::Control>> {
        let Some(server) = &self.server else { return Ok(None) };
        let socket = number(server.listener())?;
        let client = |client: &Client<Ticket>| {
            Ok(state::Client {
                stream: number(client.stream())?,
                received: state::Bytes(client.received().to_vec()),
                waits_for: client.waits_for().map(|ticket| ticket.0),
            })
        };
        let clients = server.clients().map(client).collect::<sys::Result<_>>()?;
        Ok(Some(state::Control { socket, path: carried::bytes(server.path()), clients }))
    }

    /// The number of the last request.
    pub(crate) fn last_ticket(&self) -> u64 {
        self.tickets
    }

    /// Where the socket is.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.server.as_ref().map(LineServer::path)
    }

    /// Moves the socket's file, so that another master can bind the old path.
    pub(crate) fn rename(&mut self, to: &Path) -> sys::Result<()> {
        self.server.as_mut().map_or(Ok(()), |server| server.rename(to))
    }

    /// Removes the socket's file. Those who wait may still be answered.
    pub(crate) fn remove_file(&self) {
        if let Some(server) = &self.server {
            server.remove_file();
        }
    }

    /// Descriptors to poll.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.server.iter().flat_map(LineServer::readable)
    }

    /// Descriptors to poll for writing.
    pub(crate) fn writable(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.server.iter().flat_map(LineServer::writable)
    }

    /// How many nanoseconds to wait at most, if a client may wait outside that is not watched.
    pub(crate) fn longest_wait_ns(&self) -> Option<u64> {
        self.server.as_ref().and_then(LineServer::longest_wait_ns)
    }

    /// Takes new clients and their requests, each with its number and the process that asks.
    pub(crate) fn hear(&mut self) -> Vec<(Request, Ticket, Peer)> {
        let mut requests = Vec::new();
        let failed = |reason| Reply::Last(Answer::Failed { reason, backtrace: None }.line());
        if let Some(server) = &mut self.server {
            server.take(|line, peer| match line.map(serde_json::from_slice) {
                Ok(Ok(request)) => {
                    self.tickets += 1;
                    let number = Ticket(self.tickets);
                    requests.push((request, number, peer));
                    Reply::Wait(number)
                }
                Ok(Err(error)) => failed(format!("not understood: {error}")),
                Err(TooLong) => failed(format!("a request is at most {REQUEST_BYTES} bytes long")),
            });
        }
        requests
    }

    /// Answers the client that waits for `ticket`; a last answer ends the connection.
    pub(crate) fn answer(&mut self, ticket: Ticket, answer: &Answer) {
        let is_last = !matches!(answer, Answer::Accepted | Answer::Progress { .. });
        if let Some(server) = &mut self.server {
            server.answer(ticket, &answer.line(), is_last);
        }
    }

    /// Tells all that wait how far a roll is.
    pub(crate) fn progress(&mut self, done: u32, total: u32, watch_s: Option<u32>) {
        if let Some(server) = &mut self.server {
            server.tell_waiting(&Answer::Progress { done, total, watch_s }.line());
        }
    }
}
