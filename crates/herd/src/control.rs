//! The herder's control socket: one line from the client, `reload` or `reload wait`, one line back, `ok TEXT` or
//! `failed TEXT`. Mode 0600; nothing here can block the herder.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use herder::Ticket;
use sys::line_server::{LineServer, Reply};

/// The longest request, in bytes; all of ours are far shorter.
const REQUEST_BYTES: usize = 64;

/// Where the herder with this process id, run by this user, puts its socket.
pub(crate) fn usual_path(pid: u32, uid: u32) -> PathBuf {
    match uid {
        0 => PathBuf::from(format!("/run/licorne/herd-{pid}.ctl")),
        _ => PathBuf::from(format!("/tmp/licorne-{uid}/herd-{pid}.ctl")),
    }
}

/// The socket, and the clients that are connected to it.
#[derive(Debug)]
pub(crate) struct Control {
    server: LineServer<Ticket>,
    next: Ticket,
}

impl Control {
    /// Binds the socket.
    ///
    /// # Errors
    /// The path cannot be written, or another process listens there.
    pub(crate) fn open(path: Option<&Path>) -> sys::Result<Self> {
        let usual = usual_path(sys::process::own_pid(), sys::process::own_uid());
        let server = match path {
            Some(path) => LineServer::bind(path, None, REQUEST_BYTES)?,
            None => LineServer::bind_default(&usual, None, REQUEST_BYTES)?,
        };
        Ok(Self { server, next: 0 })
    }

    /// Descriptors to poll.
    pub(crate) fn readable(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.server.readable()
    }

    /// Descriptors to poll for writing.
    pub(crate) fn writable(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.server.writable()
    }

    /// How many nanoseconds to wait at most, if a client may wait outside that is not watched.
    pub(crate) fn longest_wait_ns(&self) -> Option<u64> {
        self.server.longest_wait_ns()
    }

    /// Takes what clients ask for: each entry is a reload, and its ticket if the client waits for the outcome.
    pub(crate) fn take(&mut self) -> Vec<Option<Ticket>> {
        let (mut asked, next) = (Vec::new(), &mut self.next);
        self.server.take(|line, _| match line.map(<[u8]>::trim_ascii) {
            Ok(b"reload wait") => {
                *next += 1;
                asked.push(Some(*next));
                Reply::Wait(*next)
            }
            Ok(b"reload") => {
                asked.push(None);
                Reply::Last(text(&Ok("restart asked for".into())))
            }
            _ => Reply::Last(text(&Err("not understood".into()))),
        });
        asked
    }

    /// Answers a client that waits.
    pub(crate) fn answer(&mut self, ticket: Ticket, outcome: &Result<String, String>) {
        self.server.answer(ticket, &text(outcome), true);
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.server.path());
    }
}

fn text(outcome: &Result<String, String>) -> Vec<u8> {
    match outcome {
        Ok(text) => format!("ok {}\n", text.replace('\n', " | ")),
        Err(text) => format!("failed {}\n", text.trim_end().replace('\n', " | ")),
    }
    .into_bytes()
}
