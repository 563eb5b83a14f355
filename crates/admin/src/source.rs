//! The master, as it is asked: one question at a time, which is never waited for.
//!
//! A flood of clients costs the master one question each [`PAUSE`]: all clients that came before a question was asked take
//! its answer.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::Value;
use sys::stdio::complain;

use crate::queries;
use crate::saturation::Saturation;
use crate::told::Told;

/// How long the master may take to answer before it counts as dead.
const MASTER_PATIENCE: Duration = Duration::from_secs(2);
/// How long after one question the next is asked at the soonest.
pub(crate) const PAUSE: Duration = Duration::from_millis(10);
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
    last: Option<Rc<Told>>,
    saturation: Saturation,
}

/// What the master can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Status,
    /// The last deaths, which the status counts.
    Deaths,
}

/// A question that is not answered yet.
#[derive(Debug)]
struct Question {
    about: About,
    /// `None`: it is asked on the pair.
    stream: Option<UnixStream>,
    received: Vec<u8>,
    deadline: Instant,
}

/// The end of a question.
#[derive(Debug)]
pub(crate) enum Heard {
    Status(Answer),
    /// A list, the newest first; `None` when the master does not tell them.
    Deaths(Option<Value>),
}

/// The end of a question for the status.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The number of the question.
    pub(crate) number: u64,
    /// `None` when the master does not answer.
    pub(crate) status: Option<Rc<Told>>,
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
        Ok(Self {
            master,
            show_queries,
            parent,
            question: None,
            asked: 0,
            asked_at: None,
            last: None,
            saturation: Saturation::default(),
        })
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

    /// When to look again. `pause`: how soon after one question the next is needed, if it is.
    pub(crate) fn deadline(&self, pause: Option<Duration>) -> Option<Instant> {
        let pause = || Some(self.asked_at? + pause?);
        self.question.as_ref().map(|question| question.deadline).or_else(pause)
    }

    /// Whether the last question is longer ago than this.
    pub(crate) fn may_be_asked(&self, pause: Duration, now: Instant) -> bool {
        self.asked_at.is_none_or(|at| now >= at + pause)
    }

    /// Asks, unless a question is under way or was asked just now.
    pub(crate) fn ask(&mut self, about: About, now: Instant) {
        if self.question.is_some() || !self.may_be_asked(PAUSE, now) {
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
            let _ = stream.write_all(about.line());
        }
        self.asked += u64::from(about == About::Status);
        self.asked_at = Some(now);
        self.question = Some(Question { about, stream, received: Vec::new(), deadline: now + MASTER_PATIENCE });
    }

    /// Takes in what the master has said. Returns the answer, when it is whole or given up.
    pub(crate) fn hear(&mut self, now: Instant) -> Option<Heard> {
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
                    let is_whole = question.received.ends_with(b"\n") || question.received.len() > ANSWER_BYTES;
                    if let Some(heard) = is_whole.then(|| self.answered(now)).flatten() {
                        return Some(heard);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let is_late = self.question.as_ref().is_some_and(|question| now >= question.deadline);
                    return if is_late { self.end(None, now) } else { None };
                }
                // The end; or a reset, when the question was there and not read.
                Ok(0) | Err(_) => {
                    if !has_own {
                        self.parent = None;
                    }
                    return if matches!(self.master, Master::Parent) {
                        self.end_with_last(now)
                    } else {
                        self.end(None, now)
                    };
                }
            }
        }
    }

    /// What was received is whole. `None`: it answers a question that was given up, or is the rest of such an answer, and
    /// this one's answer is to come.
    fn answered(&mut self, now: Instant) -> Option<Heard> {
        let question = self.question.as_mut()?;
        let mut lines = question.received.split_inclusive(|byte| *byte == b'\n');
        let told: Option<Value> = lines.next_back().and_then(|line| serde_json::from_slice(line).ok());
        let is_rest = question.stream.is_none() && told.is_none();
        if is_rest || question.about == About::Status && told.as_ref().is_some_and(|told| told["answer"] == "deaths") {
            question.received.clear();
            return None;
        }
        let mut told = match question.about {
            About::Status => told.filter(|told| told["answer"] == "status").and_then(|mut told| {
                told.as_object_mut()?.remove("answer");
                Some(told)
            }),
            About::Deaths => told.map(|mut told| told["deaths"].take()).filter(Value::is_array),
        };
        if !self.show_queries {
            told.as_mut().map(queries::hide);
        }
        self.end(told, now)
    }

    fn end(&mut self, told: Option<Value>, now: Instant) -> Option<Heard> {
        let Question { about, .. } = self.question.take()?;
        Some(match about {
            About::Status => {
                let status = told.map(|json| Rc::new(self.understand(json, now)));
                if status.is_some() {
                    self.last.clone_from(&status);
                }
                Heard::Status(Answer { number: self.asked, status })
            }
            About::Deaths => Heard::Deaths(told),
        })
    }

    fn understand(&mut self, json: Value, now: Instant) -> Told {
        let told = Told::from(json);
        match &told.facts {
            Ok(facts) => Told { saturation: self.saturation.hear(facts, now), ..told },
            Err(why) => {
                // Once, and not for each status.
                if self.last.as_ref().is_none_or(|last| last.facts.is_ok()) {
                    complain(format_args!(
                        "licorne admin: the master is of another version than this process, which has no metrics of it: {why}"
                    ));
                }
                told
            }
        }
    }

    /// The parent has closed the pair: while it executes another program, what the old one said last holds.
    fn end_with_last(&mut self, now: Instant) -> Option<Heard> {
        match self.question.as_ref()?.about {
            About::Status => {
                self.question = None;
                Some(Heard::Status(Answer { number: self.asked, status: self.last.clone() }))
            }
            About::Deaths => self.end(None, now),
        }
    }
}

impl About {
    fn line(self) -> &'static [u8] {
        match self {
            Self::Status => b"{\"command\":\"status\"}\n",
            Self::Deaths => b"{\"command\":\"deaths\"}\n",
        }
    }
}
