//! The herder's control socket: one line from the client, `reload` or `reload wait`, one line back, `ok TEXT` or
//! `failed TEXT`. Mode 0600; nothing here can block the herder.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use sys::door::Door;
use sys::peer::Peer;
use sys::runtime_directory;

use crate::machine::Ticket;

/// Longer requests are nobody's.
const REQUEST_BYTES: usize = 64;
/// More clients at once are nobody's either; the oldest goes first.
const CLIENTS: usize = 64;

/// Where the herder with this process id, run by this user, puts its socket.
pub(crate) fn usual_path(pid: u32, uid: u32) -> PathBuf {
    match uid {
        0 => PathBuf::from(format!("/run/licorne/herd-{pid}.ctl")),
        _ => PathBuf::from(format!("/tmp/licorne-{uid}/herd-{pid}.ctl")),
    }
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    received: Vec<u8>,
    /// Its end was read.
    is_gone: bool,
    ticket: Option<Ticket>,
}

/// The socket, and who is connected to it.
#[derive(Debug)]
pub(crate) struct Control {
    listener: OwnedFd,
    path: PathBuf,
    door: Door,
    clients: Vec<Client>,
    next: Ticket,
}

impl Control {
    /// Binds the socket.
    ///
    /// # Errors
    /// The path cannot be written, or another process listens there.
    pub(crate) fn open(path: Option<&Path>) -> sys::Result<Self> {
        use sys::listener::{Address, Listener, Options};
        let usual = usual_path(sys::process::own_pid(), sys::process::own_uid());
        let options = Options { umask: 0o177, backlog: Some(16), ..Options::default() };
        let bind = |path: &Path| Listener::bind(&Address::Unix(path.to_path_buf()), &options);
        let (bound, path) = match path {
            Some(path) => (bind(path)?, path.to_path_buf()),
            None => {
                if let Some(directory) = usual.parent() {
                    runtime_directory::make(directory)?;
                    runtime_directory::sweep(directory);
                }
                match (bind(&usual), runtime_directory::beside(&usual)) {
                    // A process of this id listens there, in another pid namespace.
                    (Err(error), Some(second)) if sys::listener::in_use(&error) => (bind(&second)?, second),
                    (bound, _) => (bound?, usual),
                }
            }
        };
        Ok(Self { listener: bound.into_fd(), path, door: Door::default(), clients: Vec::new(), next: 0 })
    }

    /// Descriptors to poll.
    pub(crate) fn readable(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let listener = self.door.watched(&self.listener).into_iter();
        listener.chain(self.clients.iter().map(|client| client.stream.as_fd()))
    }

    /// Returns how many nanoseconds to wait at most, if somebody may wait who is not watched.
    pub(crate) fn longest_wait_ns(&self) -> Option<u64> {
        self.door.longest_wait_ns()
    }

    /// Takes what clients ask for: each entry is a reload, and its ticket if the client waits for the outcome.
    pub(crate) fn take(&mut self) -> Vec<Option<Ticket>> {
        while let Some(stream) = self.door.let_in(&self.listener) {
            if !Peer::of(&stream).is_ok_and(Peer::is_trusted) {
                continue;
            }
            if self.clients.len() >= CLIENTS {
                self.clients.remove(0);
            }
            self.clients.push(Client { stream: stream.into(), received: Vec::new(), is_gone: false, ticket: None });
        }
        let (mut asked, mut next) = (Vec::new(), self.next);
        self.clients.retain_mut(|client| {
            let Some(line) = client.line() else { return client.is_open() };
            match line.as_str() {
                "reload wait" => {
                    next += 1;
                    client.ticket = Some(next);
                    asked.push(client.ticket);
                    return true;
                }
                "reload" => {
                    asked.push(None);
                    client.tell(&Ok("restart asked for".into()));
                }
                _ => client.tell(&Err("not understood".into())),
            }
            false
        });
        self.next = next;
        asked
    }

    /// Answers a client that waits.
    pub(crate) fn answer(&mut self, ticket: Ticket, outcome: &Result<String, String>) {
        self.clients.retain_mut(|client| {
            let waits = client.ticket == Some(ticket);
            if waits {
                client.tell(outcome);
            }
            !waits
        });
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Client {
    /// The request, once it is whole.
    fn line(&mut self) -> Option<String> {
        let mut bytes = [0; REQUEST_BYTES];
        while self.received.len() <= REQUEST_BYTES
            && let Ok(count) = self.stream.read(&mut bytes)
        {
            if count == 0 {
                self.is_gone = true;
                break;
            }
            self.received.extend_from_slice(&bytes[..count]);
        }
        let end = self.received.iter().position(|byte| *byte == b'\n')?;
        let line = self.received.drain(..=end).collect::<Vec<u8>>();
        Some(String::from_utf8_lossy(&line).trim().to_string())
    }

    /// Whether the client is still there and says nothing senseless.
    fn is_open(&self) -> bool {
        !self.is_gone && self.received.len() <= REQUEST_BYTES
    }

    fn tell(&mut self, outcome: &Result<String, String>) {
        let line = match outcome {
            Ok(text) => format!("ok {}\n", text.replace('\n', " | ")),
            Err(text) => format!("failed {}\n", text.trim_end().replace('\n', " | ")),
        };
        let _ = self.stream.write_all(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn who_cannot_be_let_in_waits_and_keeps_nobody_busy() {
        let path = std::env::temp_dir().join(format!("licorne-herd-{}.ctl", std::process::id()));
        let mut control = Control::open(Some(&path)).unwrap();
        let own = std::process::id().to_string();
        let limited = std::process::Command::new("prlimit").args(["--nofile=100:", "--pid", &own]).status().unwrap();
        assert!(limited.success());
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(b"reload wait\n").unwrap();
        let all: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        assert!(control.take().is_empty());
        assert_eq!(control.readable().count(), 0, "it is not waited for");
        assert!(control.longest_wait_ns().is_some(), "it is tried again");
        drop(all);
        assert_eq!(control.take(), [Some(1)]);
        assert_eq!((control.readable().count(), control.longest_wait_ns()), (2, None));
    }
}
