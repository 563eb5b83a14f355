//! Unicorn and Licorne, started the same way, and a client that reads whatever they answer.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use testkit::http::Parser;
use testkit::{Builder, Endpoint, Server, program};

/// The server to compare with: 6.0.0, as Debian 12 has it.
pub(crate) const UNICORN: &str = "/usr/bin/unicorn";

/// Whether a server is the one to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Which {
    /// Debian's Unicorn.
    Unicorn,
    /// The program under test.
    Licorne,
}

impl Which {
    /// The program.
    pub(crate) fn program(self) -> std::path::PathBuf {
        match self {
            Which::Unicorn => UNICORN.into(),
            Which::Licorne => program::path(),
        }
    }
}

/// Starts both, one after the other, has `ask` talk to each, stops it, and returns the answers.
#[track_caller]
pub(crate) fn each<T>(describe: impl Fn() -> Builder, mut ask: impl FnMut(&Server) -> T) -> (T, T) {
    let mut one = |which: Which| {
        let mut server = describe().program(which.program()).start();
        let answer = ask(&server);
        server.stop();
        answer
    };
    (one(Which::Unicorn), one(Which::Licorne))
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The server closed, or reset, the connection.
    Closed,
    /// The response was complete and the connection is kept.
    Kept,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// As it came.
    pub(crate) bytes: Vec<u8>,
    /// What happened then.
    pub(crate) end: End,
}

/// What the client does once it has sent all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It waits for the response.
    Wait,
    /// It says that nothing more will come (`SHUT_WR`), so that a server that wants more sees the end.
    Finish,
}

/// Sends bytes on a connection of its own, and reads until the server closes it or has answered completely.
#[track_caller]
pub(crate) fn exchange(endpoint: &Endpoint, send: &[u8], then: Then) -> Reply {
    let deadline = Instant::now() + testkit::patience();
    match endpoint {
        Endpoint::Tcp(address) => {
            let stream = TcpStream::connect(address).expect("the server listens");
            stream.set_read_timeout(Some(testkit::patience())).expect("a timeout");
            stream.set_write_timeout(Some(testkit::patience())).expect("a timeout");
            let finish = || then == Then::Finish && stream.shutdown(Shutdown::Write).is_ok();
            talk(&stream, &stream, send, finish, deadline)
        }
        Endpoint::Unix(path) => {
            let stream = UnixStream::connect(path).expect("the server listens");
            stream.set_read_timeout(Some(testkit::patience())).expect("a timeout");
            stream.set_write_timeout(Some(testkit::patience())).expect("a timeout");
            let finish = || then == Then::Finish && stream.shutdown(Shutdown::Write).is_ok();
            talk(&stream, &stream, send, finish, deadline)
        }
    }
}

#[track_caller]
fn talk(
    mut from: impl Read,
    mut to: impl Write,
    send: &[u8],
    finish: impl FnOnce() -> bool,
    deadline: Instant,
) -> Reply {
    // A server may answer, and close, before it has read all.
    let _ = to.write_all(send);
    finish();
    let method = if send.starts_with(b"HEAD ") { "HEAD" } else { "GET" };
    // After the last response the server closes: whatever it sends until then counts.
    let says = |text: &[u8]| send.windows(text.len()).any(|window| window == text);
    let is_last = says(b"Connection: close\r\n") || (says(b" HTTP/1.0\r\n") && !says(b"Connection: keep-alive\r\n"));
    let mut parser = (!is_last).then(|| Parser::new(method));
    let mut bytes = Vec::new();
    let mut buffer = [0; 65536];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Reply { bytes, end: End::Closed },
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                return Reply { bytes, end: End::Closed };
            }
            Err(error) => panic!("{error} after {} to {}", bytes.escape_ascii(), send.escape_ascii()),
        };
        bytes.extend_from_slice(&buffer[..count]);
        assert!(
            deadline.saturating_duration_since(Instant::now()) > Duration::ZERO,
            "no end to {}",
            bytes.escape_ascii()
        );
        // What is no response is read until the server closes.
        parser = parser.take().and_then(|mut parser| parser.feed(&buffer[..count]).is_ok().then_some(parser));
        if parser.as_ref().is_some_and(Parser::is_complete) {
            let response = parser.take().expect("there is one").into_response();
            if response.keep_alive {
                return Reply { bytes, end: End::Kept };
            }
        }
    }
}
