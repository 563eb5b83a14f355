//! The master, as it is asked: one question at a time, which is never waited for.
//!
//! A flood of clients costs the master one question each [`PAUSE`]: all clients that came before a question was asked take
//! its answer.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::queries;

/// How long the master may take to answer before it counts as dead.
const MASTER_PATIENCE: Duration = Duration::from_secs(2);
/// How long after one question the next is asked at the soonest.
const PAUSE: Duration = Duration::from_millis(10);
/// No status is longer, in bytes.
const ANSWER_BYTES: usize = 64 << 20;

/// Where the master is asked for its status.
#[derive(Clone, Debug)]
pub enum Master {
    /// On its control socket.
    Socket(PathBuf),
    /// On standard input, a socket pair on which it tells nothing else; its end is the end of this process.
    Parent,
}

/// Asks the master, and keeps what it said last.
#[derive(Debug)]
pub(crate) struct Source {
    master: Master,
    show_queries: bool,
    /// The pair with the parent. `None` when it has ended.
    parent: Option<UnixStream>,
    question: Option<Question>,
    /// How many questions have been asked.
    asked: u64,
    asked_at: Option<Instant>,
    last: Option<Value>,
}

/// A question that is not answered yet.
#[derive(Debug)]
struct Question {
    /// `None`: it is asked on the pair.
    stream: Option<UnixStream>,
    received: Vec<u8>,
    deadline: Instant,
}

/// The end of a question.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The number of the question.
    pub(crate) number: u64,
    /// `None` when the master does not answer.
    pub(crate) status: Option<Value>,
}

impl Source {
    /// # Errors
    /// Standard input is not open.
    pub(crate) fn new(master: Master, show_queries: bool) -> std::io::Result<Self> {
        let parent = match &master {
            Master::Socket(_) => None,
            Master::Parent => {
                let stream = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
                stream.set_nonblocking(true)?;
                Some(stream)
            }
        };
        Ok(Self { master, show_queries, parent, question: None, asked: 0, asked_at: None, last: None })
    }

    /// The number of the question whose answer a client that asks now has to wait for. A question that is under way was asked
    /// before.
    pub(crate) fn next(&self) -> u64 {
        self.asked + 1
    }

    /// The descriptor to poll: answers come there, and the end of the master.
    pub(crate) fn readable(&self) -> Option<BorrowedFd<'_>> {
        let stream = self.question.as_ref().and_then(|question| question.stream.as_ref());
        stream.or(self.parent.as_ref()).map(AsFd::as_fd)
    }

    /// Whether the parent has closed the pair.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.master, Master::Parent) && self.parent.is_none()
    }

    /// When to look again. `is_awaited`: some client waits for an answer.
    pub(crate) fn deadline(&self, is_awaited: bool) -> Option<Instant> {
        let pause = || self.asked_at.filter(|_| is_awaited).map(|at| at + PAUSE);
        self.question.as_ref().map(|question| question.deadline).or_else(pause)
    }

    /// Asks, unless a question is under way or was asked just now.
    pub(crate) fn ask(&mut self, now: Instant) {
        if self.question.is_some() || self.asked_at.is_some_and(|at| now < at + PAUSE) {
            return;
        }
        let stream = match &self.master {
            Master::Parent => {
                // An answer that came too late is not that to this question.
                while matches!(self.parent.as_mut().map(|parent| parent.read(&mut [0; 4096])), Some(Ok(1..))) {}
                None
            }
            // One that cannot be had is a question whose answer has come to its end.
            Master::Socket(path) => {
                let connect =
                    || sys::listener::connect(path).ok().filter(|stream| stream.set_nonblocking(true).is_ok());
                connect().or_else(|| UnixStream::pair().ok().map(|(ours, _)| ours))
            }
        };
        if let Some(mut stream) = stream.as_ref().or(self.parent.as_ref()) {
            // What cannot be sent shows as an answer that does not come.
            let _ = stream.write_all(b"{\"command\":\"status\"}\n");
        }
        self.asked += 1;
        self.asked_at = Some(now);
        self.question = Some(Question { stream, received: Vec::new(), deadline: now + MASTER_PATIENCE });
    }

    /// Takes in what the master has said. Returns the answer, when it is whole or given up.
    pub(crate) fn hear(&mut self, now: Instant) -> Option<Answer> {
        let mut buffer = [0; 16_384];
        loop {
            let own = self.question.as_mut().and_then(|question| question.stream.as_mut());
            let has_own = own.is_some();
            let read = match own.or(self.parent.as_mut()) {
                Some(stream) => stream.read(&mut buffer),
                None => Ok(0),
            };
            match read {
                Ok(count @ 1..) => {
                    // Without a question it is an answer that came too late.
                    let Some(question) = &mut self.question else { continue };
                    question.received.extend_from_slice(&buffer[..count]);
                    if question.received.ends_with(b"\n") || question.received.len() > ANSWER_BYTES {
                        return self.answered();
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let is_late = self.question.as_ref().is_some_and(|question| now >= question.deadline);
                    return if is_late { self.end(None) } else { None };
                }
                // The end; or a reset, when the question was there and not read.
                Ok(0) | Err(_) => {
                    if !has_own {
                        self.parent = None;
                    }
                    // While a master executes another program it is what the old one said last.
                    let last = self.last.clone().filter(|_| matches!(self.master, Master::Parent));
                    return self.end(last);
                }
            }
        }
    }

    fn answered(&mut self) -> Option<Answer> {
        let received = self.question.as_ref().map(|question| question.received.as_slice()).unwrap_or_default();
        let mut status = serde_json::from_slice(received).ok();
        let is_one = status.as_mut().and_then(Value::as_object_mut).is_some_and(|map| map.remove("answer").is_some());
        let mut status = status.filter(|_| is_one);
        if !self.show_queries {
            status.as_mut().map(queries::hide);
        }
        if status.is_some() {
            self.last.clone_from(&status);
        }
        self.end(status)
    }

    fn end(&mut self, status: Option<Value>) -> Option<Answer> {
        self.question.take().map(|_| Answer { number: self.asked, status })
    }
}
