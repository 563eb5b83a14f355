//! A client: what it asks for, and what it has still to take. It is never waited for.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use http1::Limits;
use http1::request::HeadParser;

use crate::answer::{Asked, Question, Response, asked};
use crate::events::{self, Events, Given};
use crate::hosts::Hosts;
use crate::source::{Answer, Source};

/// The longest head that is read, in bytes.
pub(crate) const HEAD_BYTES: usize = 8192;
/// How long a client may take to ask, and after that until it has its answer, or the event that it takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Client {
    pub(crate) stream: Stream,
    state: State,
    deadline: Instant,
}

enum State {
    /// It asks; this much of the head is there.
    Asking(Box<Asking>),
    /// It waits for the master's answer to the question of this number.
    Waiting(Question, u64),
    /// It wants to look on, from the event after this one: [`Client::admit`], or [`Client::refuse`].
    Coming(String),
    /// It looks on.
    Looking(Looker),
    /// It has this much of its answer still to take.
    Taking(Vec<u8>),
}

/// A head that is not whole yet.
#[derive(Default)]
struct Asking {
    received: Vec<u8>,
    parser: HeadParser,
}

/// A client of `/events`.
struct Looker {
    /// What it has still to take: at most one event. Those that come meanwhile are not for it; their points are in the
    /// next one that is.
    left: Vec<u8>,
    given: Given,
    /// When that was told by the master.
    told: Option<Instant>,
}

pub(crate) enum Stream {
    Tcp(std::net::TcpStream),
    Unix(UnixStream),
}

impl Stream {
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }

    #[cfg(test)]
    pub(crate) fn peer(&self) -> Option<std::net::SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    /// Writes what can be without waiting. Returns whether the client is still there.
    fn give(&mut self, left: &mut Vec<u8>) -> bool {
        let mut given = 0;
        let mut there = true;
        while there && given < left.len() {
            match self.write(&left[given..]) {
                Ok(count) => given += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => there = false,
            }
        }
        left.drain(..given);
        there
    }
}

impl Client {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, state: State::Asking(Box::default()), deadline: Instant::now() + PATIENCE }
    }

    /// Whether it has not asked yet.
    pub(crate) fn asks(&self) -> bool {
        matches!(self.state, State::Asking(_))
    }

    /// Whether it needs the master's answer.
    pub(crate) fn waits(&self) -> bool {
        matches!(self.state, State::Waiting(..))
    }

    /// Whether it takes an answer.
    pub(crate) fn takes(&self) -> bool {
        matches!(self.state, State::Taking(_))
    }

    /// Whether it wants to look on.
    pub(crate) fn comes(&self) -> bool {
        matches!(self.state, State::Coming(_))
    }

    /// Whether it looks on.
    pub(crate) fn looks(&self) -> bool {
        matches!(self.state, State::Looking(_))
    }

    /// Whether it is read from. One that looks on has nothing more to say but that it leaves.
    pub(crate) fn is_read(&self) -> bool {
        self.asks() || self.looks()
    }

    /// Whether it is written to.
    pub(crate) fn is_written(&self) -> bool {
        match &self.state {
            State::Taking(_) => true,
            State::Looking(looker) => !looker.left.is_empty(),
            State::Asking(_) | State::Waiting(..) | State::Coming(_) => false,
        }
    }

    /// When it has taken too long. One that looks on and has taken all may stay.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        (!self.looks() || self.is_written()).then_some(self.deadline)
    }

    /// Reads, or writes, what can be without waiting. Returns whether the connection is still needed.
    pub(crate) fn serve(&mut self, source: &Source, hosts: &Hosts) -> bool {
        match &mut self.state {
            State::Asking(asking) => match asking.hear(&mut self.stream, hosts) {
                Ok(None) => return true,
                Ok(Some(Ok(asked))) => {
                    self.state = match asked {
                        Asked::Status(question) => State::Waiting(question, source.next()),
                        Asked::Events(after) => State::Coming(after),
                    };
                    self.deadline = Instant::now() + PATIENCE;
                    return true;
                }
                Ok(Some(Err(response))) => {
                    self.state = State::Taking(response.bytes(asking.received.starts_with(b"HEAD ")));
                }
                Err(_) => return false,
            },
            State::Looking(_) => {
                let read = self.stream.read(&mut [0; 16]);
                if !read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
                    return false;
                }
            }
            State::Waiting(..) | State::Coming(_) | State::Taking(_) => {}
        }
        self.give()
    }

    /// Takes the master's answer, if that is the one it waits for. Returns whether the connection is still needed.
    pub(crate) fn hear(&mut self, answer: &Answer) -> bool {
        match &self.state {
            State::Waiting(question, number) if *number <= answer.number => {
                self.state = State::Taking(Response::to(question, answer.status.as_deref()).bytes(question.head_only));
                self.give()
            }
            _ => true,
        }
    }

    /// Lets it look on.
    pub(crate) fn admit(&mut self) {
        if let State::Coming(after) = &mut self.state {
            let after = std::mem::take(after);
            // One whose machine has vanished does not keep its place until the kernel gives up.
            sys::listener::give_up_after(self.stream.as_fd(), events::PATIENCE);
            self.state = State::Looking(Looker { left: events::head(), given: Given::before(after), told: None });
        }
    }

    /// Tells it that too many others look on. Returns whether the connection is still needed.
    pub(crate) fn refuse(&mut self) -> bool {
        self.state = State::Taking(Response::busy().bytes(false));
        self.give()
    }

    /// Gives it the newest event, if it looks on and has taken the one before. Returns whether the connection is still
    /// needed.
    pub(crate) fn tell(&mut self, events: &Events) -> bool {
        let State::Looking(looker) = &mut self.state else { return true };
        if looker.told.is_some() && !looker.left.is_empty() {
            return true;
        }
        let Some(told) = events.due(looker.told) else { return self.give() };
        looker.left.extend_from_slice(&events.newest(&mut looker.given));
        looker.told = Some(told);
        self.deadline = Instant::now() + PATIENCE;
        self.give()
    }

    /// Writes what can be without waiting. Returns whether the connection is still needed.
    fn give(&mut self) -> bool {
        match &mut self.state {
            State::Taking(left) => self.stream.give(left) && !left.is_empty(),
            State::Looking(looker) => self.stream.give(&mut looker.left),
            State::Asking(_) | State::Waiting(..) | State::Coming(_) => true,
        }
    }
}

impl Asking {
    /// Reads what is there. Returns what is asked, or what is answered at once, when that can be told.
    fn hear(&mut self, stream: &mut Stream, hosts: &Hosts) -> std::io::Result<Option<Result<Asked, Response>>> {
        let limits = Limits { section: HEAD_BYTES, ..Limits::default() };
        let mut buffer = [0; 1024];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                // What follows a head, were it the end of all that the client sends, changes nothing.
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
            match self.parser.parse(&self.received, &limits) {
                Ok(None) => {}
                Ok(Some(head)) => return Ok(Some(asked(head, &self.received, hosts))),
                Err(reject) => return Ok(Some(Err(Response::refused(reject)))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Master;
    use serde_json::json;

    fn pair() -> (Client, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Client::new(Stream::Unix(ours)), theirs)
    }

    fn no_master() -> Source {
        Source::new(Master::Socket("/nonexistent".into()), false).unwrap()
    }

    #[test]
    fn an_answer_that_fits_no_buffer_is_taken_piece_by_piece() {
        let (mut client, mut theirs) = pair();
        let answer: Vec<u8> = (0..4_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
        client.state = State::Taking(answer.clone());
        let (mut taken, mut piece) = (Vec::new(), vec![0; 100_000]);
        while client.serve(&no_master(), &Hosts::default()) {
            let count = theirs.read(&mut piece).unwrap();
            taken.extend_from_slice(&piece[..count]);
        }
        drop(client);
        theirs.read_to_end(&mut taken).unwrap();
        assert!(taken == answer, "{} of {} bytes arrived", taken.len(), answer.len());
    }

    #[test]
    fn a_head_without_end_is_not_read_for_ever() {
        let (mut client, mut theirs) = pair();
        theirs.write_all(&[b'x'; HEAD_BYTES + 2048]).unwrap();
        assert!(!client.serve(&no_master(), &Hosts::default()));
    }

    #[test]
    fn a_client_that_takes_no_events_holds_one_and_gets_the_points_of_the_others_later() {
        let (mut client, mut theirs) = pair();
        theirs.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        assert!(client.serve(&no_master(), &Hosts::default()) && client.comes());
        client.admit();
        let (mut events, start) = (Events::new("a".into()), Instant::now());
        let line = "x".repeat(300_000);
        for second in 0..100_u64 {
            let status = json!({ "schema": 1, "pid": 1, "totals": { "requests": second }, "line": line });
            events.hear(
                &Answer { number: second, status: Some(std::rc::Rc::new(status.into())) },
                start + Duration::from_secs(second),
            );
            assert!(client.tell(&events));
        }
        let State::Looking(looker) = &client.state else { panic!("it looks on") };
        assert!(!looker.left.is_empty() && looker.left.len() < 400_000, "{}", looker.left.len());
        assert!(client.deadline().is_some(), "it does not stay for ever");
        let (mut taken, mut piece) = (String::new(), vec![0; 1_000_000]);
        let mut take = |client: &mut Client| {
            while client.is_written() {
                let count = theirs.read(&mut piece).unwrap();
                taken.push_str(std::str::from_utf8(&piece[..count]).unwrap());
                assert!(client.serve(&no_master(), &Hosts::default()));
            }
        };
        take(&mut client);
        assert!(client.tell(&events));
        take(&mut client);
        assert!(client.deadline().is_none(), "it has taken all");
        drop(client);
        theirs.read_to_string(&mut taken).unwrap();
        let events: Vec<&str> = taken.split("\n\n").filter(|event| event.contains("event: status")).collect();
        assert_eq!(events.len(), 2, "the first and the last");
        assert!(events[1].contains("id: a-99\n"));
        assert_eq!(taken.matches("\"at_ms\"").count(), 99, "each point comes once");
    }

    #[test]
    fn a_client_that_leaves_is_noticed() {
        let (mut client, theirs) = pair();
        client.state = State::Coming(String::new());
        client.admit();
        assert!(client.serve(&no_master(), &Hosts::default()));
        drop(theirs);
        assert!(!client.serve(&no_master(), &Hosts::default()));
    }
}
