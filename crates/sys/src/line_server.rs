//! A UNIX socket for commands: a client sends one line, may wait for the outcome, and gets lines as the answer.
//!
//! Nothing here waits or grows without bound: lines and the number of clients have a limit; what a client does not take
//! at once of its answers waits for it, up to [`crate::unsent::MOST_BYTES`]; and when descriptors run out, waiting clients do not make the
//! loop spin. Only root and this process's own user are heard.

use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::accept_gate::AcceptGate;
use crate::claims::ClaimStream;
use crate::listener::{Address, Listener, Options, in_use};
use crate::peer::Peer;
use crate::unsent::Unsent;
use crate::user::User;
use crate::{Error, Result, runtime_directory, safe_open};

/// How many clients may be connected at once; a further one replaces the oldest.
const CLIENTS: usize = 64;

/// The socket and the clients that are connected to it. `T` names the outcome that a client waits for.
#[derive(Debug)]
pub struct LineServer<T> {
    listener: OwnedFd,
    path: PathBuf,
    gate: AcceptGate,
    clients: Vec<Client<T>>,
    /// The longest line, in bytes.
    longest: usize,
    /// The user that the application runs as: the socket may be in a directory of that user's.
    user: Option<User>,
}

/// A connected client.
#[derive(Debug)]
pub struct Client<T> {
    stream: UnixStream,
    peer: Peer,
    received: Vec<u8>,
    waits_for: Option<T>,
    /// What it has not taken yet of its answers.
    unsent: Unsent,
    /// It had its last answer: when it has taken the rest, its connection is closed.
    leaves: bool,
}

/// What becomes of a client whose line was heard.
#[derive(Debug)]
pub enum Reply<T> {
    /// It waits for this outcome.
    Wait(T),
    /// It gets this, and the connection is closed.
    Last(Vec<u8>),
}

/// A line that is longer than the server's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl<T: Copy + PartialEq> LineServer<T> {
    /// Binds the socket, mode 0600, for lines of at most `longest` bytes.
    ///
    /// # Errors
    /// Another process listens there, or the path cannot be written.
    pub fn bind(path: &Path, user: Option<User>, longest: usize) -> Result<Self> {
        let options = Options { umask: 0o177, backlog: Some(16), ..Options::default() };
        let listener = Listener::bind_as(user.as_ref(), &Address::Unix(path.to_path_buf()), &options)?;
        Ok(Self::adopt(listener.into_fd(), path.to_path_buf(), Vec::new(), user, longest))
    }

    /// The same at a path that is named after this process, in a directory that is made, mode 0700, and swept. Where a
    /// process of this id in another pid namespace listens there, beside it.
    ///
    /// # Errors
    /// As [`LineServer::bind`], and those of [`runtime_directory::make`].
    pub fn bind_default(path: &Path, user: Option<User>, longest: usize) -> Result<Self> {
        if let Some(directory) = path.parent() {
            runtime_directory::make(directory)?;
            runtime_directory::sweep(directory);
        }
        match (Self::bind(path, user.clone(), longest), runtime_directory::beside(path)) {
            (Err(error), Some(second)) if in_use(&error) => Self::bind(&second, user, longest),
            (bound, _) => bound,
        }
    }

    /// Goes on with the socket and the clients of another program.
    pub fn adopt(
        listener: OwnedFd,
        path: PathBuf,
        clients: Vec<Client<T>>,
        user: Option<User>,
        longest: usize,
    ) -> Self {
        Self { listener, path, gate: AcceptGate::default(), clients, longest, user }
    }

    /// Where the socket is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Moves the socket's file, so that another process can bind the old path.
    ///
    /// # Errors
    /// Those of rename(2).
    pub fn rename(&mut self, to: &Path) -> Result<()> {
        let rename = || std::fs::rename(&self.path, to).map_err(Error::path("rename", to));
        safe_open::act_on(&[&self.path, to], self.user.as_ref(), rename)?;
        self.path = to.to_path_buf();
        Ok(())
    }

    /// Removes the socket's file. Those who are connected may still be answered.
    pub fn remove_file(&self) {
        let remove = || std::fs::remove_file(&self.path).map_err(Error::path("unlink", &self.path));
        let _ = safe_open::act(&self.path, self.user.as_ref(), remove);
    }

    /// The listening socket.
    pub fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// The connected clients, the oldest first; not those for which a part of an answer waits.
    pub fn clients(&self) -> impl Iterator<Item = &Client<T>> {
        self.clients.iter().filter(|client| client.unsent.is_empty())
    }

    /// Descriptors to poll for reading.
    pub fn readable(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let listener = self.gate.watched(&self.listener).into_iter();
        let heard = self.clients.iter().filter(|client| !client.leaves);
        listener.chain(heard.map(|client| client.stream.as_fd()))
    }

    /// Descriptors to poll for writing.
    pub fn writable(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.clients.iter().filter(|client| !client.unsent.is_empty()).map(|client| client.stream.as_fd())
    }

    /// How many nanoseconds to wait at most, if a client may wait outside that is not watched.
    pub fn longest_wait_ns(&self) -> Option<u64> {
        self.gate.longest_wait_ns()
    }

    /// Accepts new clients, reads what they say, and sends what waits for them. Each line is handed to `hear`, which tells
    /// what becomes of its client.
    pub fn take(&mut self, mut hear: impl FnMut(std::result::Result<&[u8], TooLong>, Peer) -> Reply<T>) {
        while let Some(stream) = self.gate.accept(&self.listener) {
            // In a directory of the application's user the socket belongs to that user, which gives it no right to command.
            let Some(peer) = Peer::of(&stream).ok().filter(|peer| peer.is_trusted()) else {
                drop(ClaimStream::of(stream.into()));
                continue;
            };
            if self.clients.len() >= CLIENTS {
                self.clients.remove(0);
            }
            self.clients.push(Client::new(stream.into(), peer));
        }
        let longest = self.longest;
        self.clients.retain_mut(|client| {
            if !client.flush() {
                return false;
            }
            if client.leaves {
                return true;
            }
            let line = match client.read(longest) {
                Heard::Nothing => return true,
                Heard::End => return false,
                Heard::Line(line) => hear(Ok(&line), client.peer),
                Heard::TooLong => hear(Err(TooLong), client.peer),
            };
            match line {
                Reply::Wait(outcome) => {
                    client.waits_for = Some(outcome);
                    true
                }
                Reply::Last(answer) => client.write(&answer, true),
            }
        });
    }

    /// Answers the client that waits for `outcome`; after the last answer its connection is closed.
    pub fn answer(&mut self, outcome: T, answer: &[u8], is_last: bool) {
        let others = |client: &Client<T>| client.waits_for != Some(outcome) || client.leaves;
        self.clients.retain_mut(|client| others(client) || client.write(answer, is_last));
    }

    /// Tells all clients that wait.
    pub fn tell_waiting(&mut self, line: &[u8]) {
        let others = |client: &Client<T>| client.waits_for.is_none() || client.leaves;
        self.clients.retain_mut(|client| others(client) || client.write(line, false));
    }
}

enum Heard {
    Nothing,
    Line(Vec<u8>),
    TooLong,
    End,
}

impl<T: Copy> Client<T> {
    fn new(stream: UnixStream, peer: Peer) -> Self {
        Self { stream, peer, received: Vec::new(), waits_for: None, unsent: Unsent::default(), leaves: false }
    }

    /// A client of another program, with what it had said and what it waits for.
    ///
    /// # Errors
    /// It is no connection.
    pub fn adopt(stream: OwnedFd, received: Vec<u8>, waits_for: Option<T>) -> Result<Self> {
        let peer = Peer::of(&stream)?;
        Ok(Self { received, waits_for, ..Self::new(stream.into(), peer) })
    }

    /// Its connection.
    pub fn stream(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// What it has said of a line that is not whole yet.
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    /// The outcome that it waits for.
    pub fn waits_for(&self) -> Option<T> {
        self.waits_for
    }

    fn read(&mut self, longest: usize) -> Heard {
        let mut bytes = [0; 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Heard::End,
                // One line, one connection. What follows it is read once a round, so that it keeps no loop busy.
                Ok(_) if self.waits_for.is_some() => return Heard::Nothing,
                Ok(count) => self.received.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Heard::Nothing,
                Err(_) => return Heard::End,
            }
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line = self.received.drain(..=end).collect::<Vec<u8>>();
                return Heard::Line(line);
            }
            if self.received.len() > longest {
                return Heard::TooLong;
            }
        }
    }

    /// Writes what the client takes at once, and keeps the rest. False when there is nothing more to do with it.
    fn write(&mut self, line: &[u8], is_last: bool) -> bool {
        self.leaves |= is_last;
        self.unsent.add(line);
        self.flush()
    }

    /// Writes what is left and the client takes. False when there is nothing more to do with it.
    fn flush(&mut self) -> bool {
        self.unsent.send(&mut self.stream) && !(self.leaves && self.unsent.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    /// Hears everything that is said.
    fn take(server: &mut LineServer<u32>) -> Vec<String> {
        let mut heard = Vec::new();
        server.take(|line, _| {
            heard.push(String::from_utf8_lossy(line.unwrap_or(b"too long")).trim_end().to_owned());
            Reply::Wait(1)
        });
        heard
    }

    #[test]
    fn accepting_pauses_without_spinning_when_descriptors_run_out() {
        let path = std::env::temp_dir().join(format!("licorne-lines-{}.sock", std::process::id()));
        let mut server = LineServer::bind(&path, None, 100).unwrap();
        let own = std::process::id().to_string();
        let limited = std::process::Command::new("prlimit").args(["--nofile=100:", "--pid", &own]).status().unwrap();
        assert!(limited.success());
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(b"status\n").unwrap();
        let all: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        assert!(take(&mut server).is_empty());
        assert_eq!(server.readable().count(), 0, "the listener is not watched");
        assert!(server.longest_wait_ns().is_some(), "it is tried again");
        drop(all);
        assert_eq!(take(&mut server), ["status"]);
        assert_eq!((server.readable().count(), server.longest_wait_ns()), (2, None));
        server.remove_file();
        assert!(!path.exists());
    }

    #[test]
    fn lines_come_in_pieces_and_have_a_longest_and_the_oldest_client_makes_room() {
        let path = std::env::temp_dir().join(format!("licorne-many-lines-{}.sock", std::process::id()));
        let mut server = LineServer::bind(&path, None, 100).unwrap();
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            clients.push(UnixStream::connect(&path).unwrap());
            assert!(take(&mut server).is_empty());
        }
        clients[0].write_all(b"sta").unwrap();
        assert!(take(&mut server).is_empty());
        clients[0].write_all(b"tus\nmore\n").unwrap();
        clients[2].write_all(&[b'x'; 101]).unwrap();
        assert_eq!(take(&mut server), ["status", "too long"]);
        clients.push(UnixStream::connect(&path).unwrap());
        assert!(take(&mut server).is_empty());
        assert_eq!(server.clients().count(), CLIENTS);
        assert_eq!(clients[0].read(&mut [0]).unwrap(), 0, "the oldest is gone");
        server.answer(1, b"done\n", true);
        let mut answer = String::new();
        clients[2].read_to_string(&mut answer).unwrap();
        assert_eq!((answer.as_str(), server.clients().count()), ("done\n", CLIENTS - 1));
        server.remove_file();
    }
    #[test]
    fn a_client_that_takes_a_long_answer_slowly_gets_all_of_it() {
        let path = std::env::temp_dir().join(format!("licorne-long-lines-{}.sock", std::process::id()));
        let mut server = LineServer::bind(&path, None, 100).unwrap();
        let mut slow = UnixStream::connect(&path).unwrap();
        slow.write_all(b"everything\n").unwrap();
        assert_eq!(take(&mut server), ["everything"]);
        let long = "x".repeat(4 << 20) + "\n";
        server.answer(1, long.as_bytes(), true);
        assert_eq!((server.writable().count(), server.clients().count()), (1, 0));
        assert_eq!(server.readable().count(), 1, "nothing more is heard of it");
        server.answer(1, b"more\n", true);
        server.tell_waiting(b"more\n");
        slow.set_nonblocking(true).unwrap();
        let mut answer = Vec::new();
        loop {
            match slow.read_to_end(&mut answer) {
                Ok(_) => break,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            assert!(take(&mut server).is_empty());
        }
        assert_eq!((answer.len(), server.writable().count()), (long.len(), 0));
        let mut endless = UnixStream::connect(&path).unwrap();
        endless.write_all(b"everything\n").unwrap();
        assert_eq!(take(&mut server), ["everything"]);
        (0..20).for_each(|_| server.answer(1, long.as_bytes(), false));
        assert_eq!(server.writable().count(), 0, "a client that takes nothing does not fill the memory");
        server.remove_file();
    }
}
