//! What the operator should know. The same trouble with each client is told once.

use std::collections::VecDeque;
use std::io;

use rustix::io::Errno;

/// How often it is told that connections cannot be accepted.
const TELL_MS: u64 = 60_000;

/// Something that the operator should know.
#[derive(Debug)]
pub enum Notice {
    /// Connections cannot be accepted for now: no descriptors or memory left. Told once a minute.
    CannotAccept(Errno),
    /// A request body could not be stored in a temporary file.
    CannotStoreBody(io::Error),
    /// What a slow client has not taken of a response could not be stored in a temporary file: it stays in memory, and
    /// the application waits for that client.
    CannotStoreResponse(io::Error),
    /// A connection without the proxy's header was closed: what was wrong. Told once until one has it.
    NoProxyHeader(&'static str),
    /// The access log cannot be written: its lines are lost until it can.
    CannotLog(Errno),
    /// The access log is written again; so many lines were lost.
    LogsAgain(u64),
    /// A connection that another worker gave away could not be taken, and is lost.
    CannotTakeOver(String),
}

/// What was not told yet.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    waiting: VecDeque<Notice>,
    /// When it was told that connections cannot be accepted.
    told_accept_ms: Option<u64>,
    /// The last connection that had to begin with a proxy's header did not.
    proxy_missing: bool,
}

impl Notices {
    pub(crate) fn take(&mut self) -> Option<Notice> {
        self.waiting.pop_front()
    }

    pub(crate) fn add(&mut self, notice: Notice) {
        self.waiting.push_back(notice);
    }

    /// Connections cannot be accepted.
    pub(crate) fn cannot_accept(&mut self, errno: Errno, now_ms: u64) {
        if self.told_accept_ms.is_none_or(|at| now_ms - at >= TELL_MS) {
            self.told_accept_ms = Some(now_ms);
            self.add(Notice::CannotAccept(errno));
        }
    }

    /// A connection without the proxy's header is closed.
    pub(crate) fn no_proxy_header(&mut self, reason: &'static str) {
        if !std::mem::replace(&mut self.proxy_missing, true) {
            self.add(Notice::NoProxyHeader(reason));
        }
    }

    /// A connection had the proxy's header.
    pub(crate) fn proxy_header_came(&mut self) {
        self.proxy_missing = false;
    }
}
