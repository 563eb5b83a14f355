//! A worker's reactor, driven as a worker does, with real sockets and without Ruby.
#![allow(dead_code, clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use reactor::{After, Events, Reactor, Settings, Token, Turn};

/// A reactor, its listener and its events.
pub(crate) struct Worker {
    pub(crate) reactor: Reactor,
    pub(crate) events: Events,
    pub(crate) listener: TcpListener,
}

impl Worker {
    /// A reactor with one listener.
    pub(crate) fn new(settings: Settings) -> Self {
        let mut reactor = Reactor::new(settings).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        reactor.add_listener(listener.try_clone().unwrap().into(), None).unwrap();
        Self { reactor, events: Events::default(), listener }
    }

    /// Connects to it.
    pub(crate) fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        client
    }

    /// Goes on until there is a request, or nothing is left.
    pub(crate) fn next(&mut self) -> Option<(Token, String)> {
        self.next_until(|_| false)
    }

    /// The same, or until it would wait and `enough` holds.
    pub(crate) fn next_until(&mut self, enough: impl Fn(&Reactor) -> bool) -> Option<(Token, String)> {
        loop {
            match self.reactor.turn() {
                Turn::Request(token) => {
                    let active = self.reactor.active(token);
                    let request = active.request().unwrap();
                    let path = String::from_utf8(request.head.path.of(request.buffer).to_vec()).unwrap();
                    return Some((token, path));
                }
                Turn::Wait(_) if enough(&self.reactor) => return None,
                Turn::Wait(timeout_ms) => {
                    self.reactor.poller().wait(&mut self.events, timeout_ms);
                    self.reactor.absorb(&mut self.events);
                }
                Turn::Control => unreachable!("no control socket is watched"),
                Turn::Retired => return None,
            }
        }
    }

    /// Answers a request with `ok`.
    pub(crate) fn answer(&mut self, token: Token) {
        let mut active = self.reactor.active(token);
        let keep_alive = active.request().unwrap().head.keep_alive && active.keeps_alive();
        active.send(&[b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"ok"]).unwrap();
        active.finish(if keep_alive { After::KeepAlive } else { After::Close });
    }

    /// Answers so many requests and returns their paths.
    pub(crate) fn serve(&mut self, count: usize) -> Vec<String> {
        (0..count)
            .map(|_| {
                let (token, path) = self.next().unwrap();
                self.answer(token);
                path
            })
            .collect()
    }
}

/// The settings of a configuration that is silent, but for one change.
pub(crate) fn settings(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = Settings::default();
    change(&mut settings);
    settings
}

/// Sends a request.
pub(crate) fn ask(client: &mut TcpStream, path: &str) {
    write!(client, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
}

/// Takes the response of [`Worker::answer`].
#[track_caller]
pub(crate) fn expect_ok(client: &mut TcpStream) {
    let mut bytes = [0; 40];
    client.read_exact(&mut bytes).unwrap();
    assert!(bytes.ends_with(b"\r\n\r\nok"), "{}", bytes.escape_ascii());
}
