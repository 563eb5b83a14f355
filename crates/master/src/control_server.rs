//! The master's end of the control socket. Nothing here can block the master or grow without bound.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use supervisor::Ticket;
use sys::claims::ClaimStream;
use sys::door::Door;
use sys::listener::{Address, Listener, Options};
use sys::peer::Peer;
use sys::runtime_directory;
use sys::user::User;

use wire::state;

use crate::control::{Answer, Request};
use crate::hand_over::Number;
use crate::take_over;

/// The longest request, in bytes; all of ours are far shorter.
const REQUEST_BYTES: usize = 4096;
/// How many clients may be connected at once; the oldest goes first.
const CLIENTS: usize = 64;

/// The socket and whoever is connected to it. Without a socket it has no clients and does nothing.
#[derive(Debug, Default)]
pub(crate) struct ControlServer {
    socket: Option<(UnixListener, PathBuf)>,
    clients: Vec<Client>,
    door: Door,
    /// The user that the application runs as: the socket may be in a directory of that user's.
    user: Option<User>,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    peer: Peer,
    received: Vec<u8>,
    /// Whom the outcome is for, once the client has asked and waits.
    waits_for: Option<Ticket>,
}

impl ControlServer {
    /// Binds the socket, mode 0600. The directory of a default path is made, mode 0700.
    ///
    /// # Errors
    /// Another process listens there, or the path cannot be written.
    pub(crate) fn open(&mut self, path: &Path, make_directory: bool, user: Option<User>) -> Result<(), String> {
        self.user = user;
        if make_directory && let Some(directory) = path.parent() {
            runtime_directory::make(directory).map_err(|error| error.chain())?;
            runtime_directory::sweep(directory);
        }
        let options = Options { umask: 0o177, backlog: Some(16), ..Options::default() };
        let bind = |path: &Path| {
            let bound = Listener::bind_as(self.user.as_ref(), &Address::Unix(path.to_path_buf()), &options)?;
            Ok((UnixListener::from(bound.into_fd()), path.to_path_buf()))
        };
        let bound = match (bind(path), runtime_directory::beside(path).filter(|_| make_directory)) {
            // A process of this id listens there, in another pid namespace.
            (Err(error), Some(second)) if sys::listener::in_use(&error) => bind(&second),
            (bound, _) => bound,
        };
        self.socket = Some(bound.map_err(|error: sys::Error| error.chain())?);
        Ok(())
    }

    /// Takes over the socket and the clients of the program before this one.
    ///
    /// # Errors
    /// One of them is not there.
    pub(crate) fn take_over(handed: &state::Control, user: Option<User>) -> Result<Self, String> {
        let client = |client: &state::Client| {
            let stream = UnixStream::from(take_over::adopt(client.stream)?);
            let peer = Peer::of(&stream).map_err(|error| error.chain())?;
            Ok(Client { stream, peer, received: client.received.0.clone(), waits_for: client.waits_for.map(Ticket) })
        };
        let listener = UnixListener::from(take_over::adopt(handed.socket)?);
        let clients = handed.clients.iter().map(client).collect::<Result<_, String>>()?;
        Ok(Self { socket: Some((listener, take_over::path(&handed.path))), clients, door: Door::default(), user })
    }

    /// What the next program takes over.
    pub(crate) fn describe(&self, number: &mut Number<'_>) -> sys::Result<Option<state::Control>> {
        let Some((listener, path)) = &self.socket else { return Ok(None) };
        let socket = number(listener.as_fd())?;
        let client = |client: &Client| {
            Ok(state::Client {
                stream: number(client.stream.as_fd())?,
                received: state::Bytes(client.received.clone()),
                waits_for: client.waits_for.map(|ticket| ticket.0),
            })
        };
        let clients = self.clients.iter().map(client).collect::<sys::Result<_>>()?;
        Ok(Some(state::Control { socket, path: state::Bytes(path.as_os_str().as_bytes().to_vec()), clients }))
    }

    /// Where the socket is.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.socket.as_ref().map(|(_, path)| path.as_path())
    }

    /// Moves the socket's file, so that another master can bind the old path.
    pub(crate) fn rename(&mut self, to: &Path) -> sys::Result<()> {
        if let Some((_, path)) = &mut self.socket {
            let rename = || std::fs::rename(&*path, to).map_err(sys::Error::path("rename", to));
            sys::safe_open::act_on(&[path.as_path(), to], self.user.as_ref(), rename)?;
            *path = to.to_path_buf();
        }
        Ok(())
    }

    /// Removes the socket's file.
    pub(crate) fn remove(&mut self) {
        if let Some((_, path)) = self.socket.take() {
            let remove = || std::fs::remove_file(&path).map_err(sys::Error::path("unlink", &path));
            let _ = sys::safe_open::act(&path, self.user.as_ref(), remove);
        }
    }

    /// Descriptors to poll.
    pub(crate) fn readable(&self) -> Vec<BorrowedFd<'_>> {
        let listener = self.socket.iter().filter_map(|(listener, _)| self.door.watched(listener));
        listener.chain(self.clients.iter().map(|client| client.stream.as_fd())).collect()
    }

    /// Takes new clients and their requests, each with the process that asks. `ticket` numbers those that wait.
    pub(crate) fn take(&mut self, mut ticket: impl FnMut() -> Ticket) -> Vec<(Request, Ticket, Peer)> {
        while let Some((listener, _)) = &self.socket
            && let Some(stream) = self.door.let_in(listener)
        {
            // In a directory of the application's user the socket belongs to that user, which gives it no right to command.
            let Some(peer) = Peer::of(&stream).ok().filter(|peer| peer.is_trusted()) else {
                drop(ClaimStream::of(stream.into()));
                continue;
            };
            if self.clients.len() >= CLIENTS {
                self.clients.remove(0);
            }
            self.clients.push(Client { stream: stream.into(), peer, received: Vec::new(), waits_for: None });
        }
        let mut requests = Vec::new();
        self.clients.retain_mut(|client| match client.read() {
            Heard::Open => true,
            Heard::Request(request) => {
                let number = ticket();
                client.waits_for = Some(number);
                requests.push((request, number, client.peer));
                true
            }
            Heard::Malformed(reason) => {
                client.answer(&Answer::Failed { reason, backtrace: None });
                false
            }
            Heard::Gone => false,
        });
        requests
    }

    /// Answers the client that waits for `ticket`; a last answer ends the connection.
    pub(crate) fn answer(&mut self, ticket: Ticket, answer: &Answer) {
        let last = !matches!(answer, Answer::Accepted | Answer::Progress { .. });
        self.clients.retain_mut(|client| client.waits_for != Some(ticket) || (client.answer(answer) && !last));
    }

    /// Tells all that wait how far a roll is.
    pub(crate) fn progress(&mut self, done: u32, total: u32) {
        let answer = Answer::Progress { done, total };
        self.clients.retain_mut(|client| client.waits_for.is_none() || client.answer(&answer));
    }
}

enum Heard {
    Open,
    Request(Request),
    Malformed(String),
    Gone,
}

impl Client {
    fn read(&mut self) -> Heard {
        let mut bytes = [0; 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Heard::Gone,
                // One request, one connection. What follows it is read once a round, so that nobody keeps the master busy.
                Ok(_) if self.waits_for.is_some() => return Heard::Open,
                Ok(count) => self.received.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Heard::Open,
                Err(_) => return Heard::Gone,
            }
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line = self.received.drain(..=end).collect::<Vec<u8>>();
                return match serde_json::from_slice(&line) {
                    Ok(request) => Heard::Request(request),
                    Err(error) => Heard::Malformed(format!("not understood: {error}")),
                };
            }
            if self.received.len() > REQUEST_BYTES {
                return Heard::Malformed(format!("a request is at most {REQUEST_BYTES} bytes long"));
            }
        }
    }

    /// Sends one line. A client that does not read its few lines is not worth a buffer: false drops it.
    fn answer(&mut self, answer: &Answer) -> bool {
        let Ok(mut line) = serde_json::to_vec(answer) else { return false };
        line.push(b'\n');
        self.stream.write_all(&line).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn who_cannot_be_let_in_waits_and_keeps_nobody_busy() {
        let path = std::env::temp_dir().join(format!("licorne-control-{}.sock", std::process::id()));
        let mut server = ControlServer::default();
        server.open(&path, false, None).unwrap();
        let own = std::process::id().to_string();
        let limited = std::process::Command::new("prlimit").args(["--nofile=100:", "--pid", &own]).status().unwrap();
        assert!(limited.success());
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(b"{\"command\":\"status\"}\n").unwrap();
        let all: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        assert!(server.take(|| Ticket(1)).is_empty());
        assert!(server.readable().is_empty(), "it is not waited for");
        drop(all);
        let own = Peer { pid: std::process::id(), uid: sys::process::own_uid() };
        assert_eq!(server.take(|| Ticket(1)), [(Request::Status, Ticket(1), own)]);
        assert_eq!(server.readable().len(), 2);
        server.remove();
    }
}
