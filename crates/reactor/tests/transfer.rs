//! Connections that go from one worker to another, with real sockets and without Ruby.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

mod support;

use reactor::{After, Body, Events, Leave, Notice, Responses, Settings, Turn};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use scoreboard::board::{self, Place};
use support::{Worker, ask, expect_ok, settings};
use sys::memory::Shared;

const GIVE_AWAY: Leave = Leave { drain: false, transfer: true, linger_ms: 10_000 };
const STAY: Leave = Leave { drain: false, transfer: false, linger_ms: 0 };

/// The two ends of a queue, which the test keeps as a master does.
struct Queue {
    receive: OwnedFd,
    send: OwnedFd,
}

impl Queue {
    fn new() -> Self {
        let (receive, send) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        Self { receive, send }
    }
}

fn worker(queue: &Queue, settings: Settings) -> Worker {
    let mut worker = Worker::new(settings);
    worker.reactor.join_queue(queue.send.try_clone().unwrap(), queue.receive.try_clone().unwrap()).unwrap();
    worker
}

fn two() -> (Queue, Worker, Worker) {
    let queue = Queue::new();
    let (one, other) = (worker(&queue, Settings::default()), worker(&queue, Settings::default()));
    (queue, one, other)
}

#[test]
fn an_idle_connection_of_a_worker_that_leaves_is_served_by_another() {
    let (_queue, mut one, mut other) = two();
    let mut client = one.connect();
    ask(&mut client, "/1");
    one.serve(1);
    expect_ok(&mut client);
    one.reactor.retire(GIVE_AWAY);
    assert!(one.next().is_none(), "nothing is left");
    ask(&mut client, "/2");
    let (token, path) = other.next().unwrap();
    assert_eq!(path, "/2");
    let active = other.reactor.active(token);
    assert_eq!(active.request().unwrap().peer.to_string(), "127.0.0.1");
    other.answer(token);
    expect_ok(&mut client);
}

/// Waits until a thread of this process sleeps.
fn wait_until_asleep(thread: rustix::thread::Pid) {
    let stat = format!("/proc/self/task/{thread}/stat");
    while !std::fs::read_to_string(&stat).unwrap().contains(") S ") {
        std::thread::yield_now();
    }
}

#[test]
fn a_connection_that_woke_a_worker_which_leaves_is_served_by_another() {
    for leave in [GIVE_AWAY, STAY] {
        let (_queue, mut one, mut other) = two();
        other.reactor.add_listener(one.listener.try_clone().unwrap().into(), None).unwrap();
        for worker in [&mut one, &mut other] {
            assert!(worker.next_until(|_| true).is_none());
        }
        let address = one.listener.local_addr().unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        // The one that began to wait first is woken, alone.
        let poller = one.reactor.poller();
        let waits = std::thread::spawn(move || {
            tell.send(rustix::thread::gettid()).unwrap();
            poller.wait(&mut Events::default(), Some(30_000));
        });
        wait_until_asleep(told.recv().unwrap());
        let mut client = TcpStream::connect(address).unwrap();
        ask(&mut client, "/waits");
        waits.join().unwrap();
        one.reactor.retire(leave);
        other.reactor.poller().wait(&mut other.events, Some(30_000));
        other.reactor.absorb(&mut other.events);
        let (token, path) = other.next_until(|_| true).expect("the other one was told");
        assert_eq!(path, "/waits");
        other.answer(token);
        expect_ok(&mut client);
    }
}

#[test]
fn bytes_received_are_transferred_with_the_connection() {
    let (_queue, mut one, mut other) = two();
    // The beginning of a head, of which some more follows the connection; and a request that is complete.
    let mut half = one.connect();
    half.write_all(b"GET /half HTTP/1.1\r\nHo").unwrap();
    let mut whole = one.connect();
    ask(&mut whole, "/whole");
    let (held, path) = one.next().unwrap();
    assert_eq!(path, "/whole");
    ask(&mut whole, "/pipelined");
    assert!(one.next_until(|reactor| reactor.connections() == 2).is_none());
    one.reactor.retire(GIVE_AWAY);
    assert_eq!(one.reactor.connections(), 1, "the one that is served stays");
    one.answer(held);
    assert!(one.next().is_none());
    half.write_all(b"st: a\r\n\r\n").unwrap();
    let mut paths = other.serve(2);
    paths.sort();
    assert_eq!(paths, ["/half", "/pipelined"]);
    expect_ok(&mut whole);
    expect_ok(&mut whole);
    expect_ok(&mut half);
}

/// Sends this request in pieces, so that its body is kept apart, and has it transferred.
fn transfer_with_body(settings: Settings, request: &[u8]) -> (Vec<u8>, bool) {
    let queue = Queue::new();
    let (mut one, mut other) = (worker(&queue, settings.clone()), worker(&queue, settings));
    let mut held = one.connect();
    ask(&mut held, "/held");
    let (token, _) = one.next().unwrap();
    one.answer(token);
    let mut client = one.connect();
    client.set_nodelay(true).unwrap();
    let (first, rest) = request.split_at(request.len() / 2);
    client.write_all(first).unwrap();
    assert!(one.next_until(|reactor| reactor.connections() == 2).is_none());
    one.reactor.retire(GIVE_AWAY);
    let rest = rest.to_vec();
    let writer = std::thread::spawn(move || {
        client.write_all(&rest).unwrap();
        write!(client, "GET /behind HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        client
    });
    assert!(one.next().is_none(), "it reads the body to its end and gives it away");
    let (token, path) = other.next().unwrap();
    assert_eq!(path, "/body");
    let length = other.reactor.active(token).request().unwrap().body_bytes;
    let (bytes, in_file) = match other.reactor.active(token).take_body() {
        Body::Empty => (Vec::new(), false),
        Body::Memory(bytes) => (bytes.to_vec(), false),
        Body::File { file, bytes } => {
            let mut content = vec![0; bytes as usize];
            file.read_exact_at(&mut content, 0).unwrap();
            (content, true)
        }
    };
    assert_eq!(bytes.len() as u64, length);
    other.answer(token);
    assert_eq!(other.serve(1), ["/behind"]);
    let mut client = writer.join().unwrap();
    expect_ok(&mut client);
    expect_ok(&mut client);
    (bytes, in_file)
}

#[test]
fn bodies_are_transferred_in_memory_and_in_files() {
    for (length, in_file) in [(10, false), (100_000, false), (400_000, true)] {
        let body: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
        let mut request = format!("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n").into_bytes();
        request.extend(&body);
        let got = transfer_with_body(Settings::default(), &request);
        assert!(got == (body, in_file), "{length} bytes");
    }
    let mut request = b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..100 {
        request.extend(b"10\r\n0123456789abcdef\r\n");
    }
    request.extend(b"0\r\n\r\n");
    let got = transfer_with_body(Settings::default(), &request);
    assert_eq!(got, (b"0123456789abcdef".repeat(100), false));
}

/// Has a response of some pieces transferred, twice, whose client begins to take it only then, and returns what it got.
fn transfer_response(settings: Settings, pieces: &[Vec<u8>], file: Option<File>, after: After) -> Vec<u8> {
    let queue = Queue::new();
    let (mut one, mut between) = (worker(&queue, settings.clone()), worker(&queue, settings.clone()));
    let mut other = worker(&queue, settings);
    let mut client = one.connect();
    ask(&mut client, "/slow");
    let (token, _) = one.next().unwrap();
    for piece in pieces {
        one.reactor.active(token).send(&[piece]).unwrap();
    }
    if let Some(file) = file {
        let bytes = file.metadata().unwrap().len();
        one.reactor.active(token).send_file(file, 1, bytes - 1).unwrap();
    }
    one.reactor.active(token).finish(after);
    assert_eq!(one.reactor.connections(), 1, "the client took all of it; the test proves nothing");
    one.reactor.retire(GIVE_AWAY);
    assert!(one.next().is_none());
    assert!(between.next_until(|reactor| reactor.connections() == 1).is_none());
    between.reactor.retire(GIVE_AWAY);
    assert!(between.next().is_none());
    assert!(other.next_until(|reactor| reactor.connections() == 1).is_none());
    let reader = std::thread::spawn(move || {
        let mut got = Vec::new();
        if after == After::KeepAlive {
            ask(&mut client, "/next");
        }
        client.read_to_end(&mut got).unwrap();
        got
    });
    if after == After::KeepAlive {
        assert_eq!(other.serve(1), ["/next"]);
    }
    other.reactor.retire(STAY);
    assert!(other.next().is_none());
    reader.join().unwrap()
}

#[test]
fn the_unsent_rest_of_a_response_is_transferred() {
    let large = vec![(0..20_000_000_u32).map(|n| (n / 7) as u8).collect::<Vec<u8>>()];
    let pieces: Vec<Vec<u8>> = (0..9_000_u32).map(|n| vec![n as u8; 1_000 + n as usize % 700]).collect();
    let in_memory = settings(|settings| settings.responses.buffer_bytes = 64 << 20);
    let in_both = settings(|settings| settings.responses.buffer_bytes = 100_000);
    let file_is_full = settings(|settings| {
        settings.responses = Responses { buffer_bytes: 100_000, file_bytes: 500_000 };
    });
    for settings in [in_memory, in_both, file_is_full] {
        for body in [&large, &pieces] {
            for after in [After::KeepAlive, After::Close, After::End] {
                let got = transfer_response(settings.clone(), body, None, after);
                let want = body.concat();
                assert!(got.starts_with(&want), "{after:?}: {} of {} bytes", got.len(), want.len());
                let next = &got[want.len()..];
                assert_eq!(next.ends_with(b"\r\n\r\nok"), after == After::KeepAlive, "{}", next.escape_ascii());
            }
        }
    }
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&large[0]).unwrap();
    let head = vec![b"head".to_vec()];
    let got = transfer_response(Settings::default(), &head, Some(file), After::Close);
    assert!(got == [&b"head"[..], &large[0][1..]].concat());
}

#[test]
fn input_too_long_for_a_message_is_transferred_in_a_descriptor() {
    let queue = Queue::new();
    let settings = settings(|settings| settings.pipeline = 0);
    let (mut one, mut other) = (worker(&queue, settings.clone()), worker(&queue, settings));
    let mut client = one.connect();
    ask(&mut client, "/first");
    let (token, _) = one.next().unwrap();
    let flood = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2_000);
    let writer = {
        let mut client = client.try_clone().unwrap();
        std::thread::spawn(move || client.write_all(&flood).unwrap())
    };
    one.answer(token);
    let (token, _) = one.next().unwrap();
    one.reactor.retire(GIVE_AWAY);
    one.answer(token);
    assert!(one.next().is_none());
    let reader = std::thread::spawn(move || (0..2_001).for_each(|_| expect_ok(&mut client)));
    assert_eq!(other.serve(1_999), vec!["/next"; 1_999]);
    reader.join().unwrap();
    writer.join().unwrap();
}

#[test]
fn connections_that_a_full_queue_refuses_stay_and_are_offered_again() {
    let (queue, mut one, mut other) = two();
    // The least that the kernel allows: a few messages.
    rustix::net::sockopt::set_socket_send_buffer_size(&queue.send, 1).unwrap();
    let mut clients: Vec<TcpStream> = (0..60).map(|_| one.connect()).collect();
    clients.iter_mut().for_each(|client| ask(client, "/1"));
    one.serve(60);
    clients.iter_mut().for_each(expect_ok);
    one.reactor.retire(GIVE_AWAY);
    let left = one.reactor.connections();
    assert!(left > 0, "the queue took all; the test proves nothing");
    while one.reactor.connections() > 0 {
        let before = one.reactor.connections();
        other.reactor.poller().wait(&mut other.events, None);
        other.reactor.absorb(&mut other.events);
        assert!(other.next_until(|_| true).is_none());
        assert!(one.next_until(|reactor| reactor.connections() < before).is_none());
    }
    clients.iter_mut().for_each(|client| ask(client, "/2"));
    assert_eq!(other.serve(60), vec!["/2"; 60]);
    clients.iter_mut().for_each(expect_ok);
}

#[test]
fn the_last_worker_that_leaves_serves_what_is_in_the_queue() {
    let (_queue, mut one, mut other) = two();
    let mut client = one.connect();
    ask(&mut client, "/1");
    one.serve(1);
    ask(&mut client, "/2");
    one.reactor.retire(GIVE_AWAY);
    assert!(one.next().is_none());
    other.reactor.retire(STAY);
    assert_eq!(other.serve(1), ["/2"]);
    assert!(other.next().is_none());
    expect_ok(&mut client);
    expect_ok(&mut client);
    assert_eq!(client.read(&mut [0]).unwrap(), 0, "no worker is left to keep it");
}

#[test]
fn connections_stay_in_the_queue_when_descriptors_run_out() {
    let (_queue, mut one, mut other) = two();
    let mut client = one.connect();
    ask(&mut client, "/1");
    one.serve(1);
    expect_ok(&mut client);
    ask(&mut client, "/2");
    one.reactor.retire(GIVE_AWAY);
    assert!(one.next().is_none());

    let limit = getrlimit(Resource::Nofile);
    // All that may be opened are open.
    setrlimit(Resource::Nofile, Rlimit { current: Some(3), ..limit }).unwrap();
    other.reactor.poller().wait(&mut other.events, None);
    other.reactor.absorb(&mut other.events);
    assert!(matches!(other.reactor.turn(), Turn::Wait(Some(1..))), "it neither spins nor waits for ever");
    assert!(matches!(other.reactor.take_notice(), Some(Notice::CannotAccept(Errno::MFILE))));
    assert_eq!(other.reactor.connections(), 0);

    setrlimit(Resource::Nofile, limit).unwrap();
    assert_eq!(other.serve(1), ["/2"]);
    expect_ok(&mut client);
}

#[test]
fn a_full_worker_leaves_new_connections_to_one_that_shows_room_but_not_for_ever() {
    let board = Arc::new(Shared::create("test-board", board::BOARD_BYTES).unwrap());
    for number in 0..2 {
        Place::take(board.words(), number);
    }
    let other = board::place(board.words(), 1).unwrap();
    other.set_serving(true);
    let mut requests = 0;
    for (shows_room, serves) in [(true, true), (true, false), (false, false)] {
        other.set_full(!shows_room);
        let mut worker = Worker::new(settings(|settings| settings.connections = 2));
        worker.reactor.watch_peers(Arc::clone(&board), 0);
        let mut idle: Vec<_> = (0..2).map(|_| worker.connect()).collect();
        for client in &mut idle {
            ask(client, "/idle");
            worker.serve(1);
            expect_ok(client);
        }
        let mut new = worker.connect();
        ask(&mut new, "/new");
        let began = Instant::now();
        let patience = Duration::from_millis(2_000);
        let served = loop {
            match worker.reactor.turn() {
                Turn::Request(_) => break true,
                Turn::Wait(_) if began.elapsed() > patience => break false,
                Turn::Wait(timeout_ms) => {
                    worker.reactor.poller().wait(&mut worker.events, timeout_ms);
                    worker.reactor.absorb(&mut worker.events);
                }
                turn => panic!("{turn:?}"),
            }
            if serves {
                requests += 1;
                other.set_movement(requests, 0);
            }
        };
        assert_eq!(served, !(shows_room && serves), "shows room: {shows_room}, serves: {serves}");
        assert_eq!(worker.reactor.connections(), 2);
        assert!(worker.reactor.is_full());
        if shows_room {
            assert!(began.elapsed() > Duration::from_millis(500), "nothing was left to the other");
        }
    }
}

#[test]
fn at_the_limit_of_connections_the_longest_idle_one_makes_room() {
    let queue = Queue::new();
    let mut worker = worker(&queue, settings(|settings| settings.connections = 3));
    let mut clients: Vec<TcpStream> = (0..3).map(|_| worker.connect()).collect();
    for client in &mut clients {
        ask(client, "/");
        worker.serve(1);
        expect_ok(client);
    }
    let mut fourth = worker.connect();
    ask(&mut fourth, "/fourth");
    assert_eq!(worker.serve(1), ["/fourth"]);
    expect_ok(&mut fourth);
    assert_eq!(worker.reactor.connections(), 3);
    assert_eq!(clients[0].read(&mut [0]).unwrap(), 0, "the first was idle for longest");
    ask(&mut clients[1], "/second");
    assert_eq!(worker.serve(1), ["/second"]);
}

#[test]
fn accept_pauses_without_spinning_while_all_connections_send_bodies() {
    let queue = Queue::new();
    let mut worker = worker(&queue, settings(|settings| settings.connections = 2));
    let mut begun: Vec<TcpStream> = (0..2).map(|_| worker.connect()).collect();
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\n1";
    begun.iter_mut().for_each(|client| client.write_all(head).unwrap());
    assert!(worker.next_until(|reactor| reactor.connections() == 2).is_none());
    let mut third = worker.connect();
    ask(&mut third, "/third");
    let (mut pauses, mut waits) = (0, 0);
    while pauses < 3 {
        match worker.reactor.turn() {
            Turn::Wait(timeout_ms) => {
                waits += 1;
                pauses += usize::from(timeout_ms.is_some_and(|ms| (1..=100).contains(&ms)));
                assert!(waits <= 20, "it spins");
                worker.reactor.poller().wait(&mut worker.events, timeout_ms);
                worker.reactor.absorb(&mut worker.events);
            }
            turn => panic!("{turn:?}"),
        }
    }
    begun[0].write_all(b"2").unwrap();
    let (token, path) = worker.next().unwrap();
    assert_eq!(path, "/");
    worker.reactor.active(token).finish(After::Close);
    assert_eq!(worker.serve(1), ["/third"]);
    expect_ok(&mut third);
}

/// Puts a message into the queue as a worker does, or as a worker that lies.
fn put(queue: &Queue, handoff: &wire::Handoff<'_>, descriptors: &[BorrowedFd<'_>]) {
    let queue = sys::channel::Channel::from_fd(queue.send.try_clone().unwrap());
    queue.send(&handoff.encode(), descriptors).unwrap();
}

/// A connection with a request.
fn honest() -> wire::Handoff<'static> {
    wire::Handoff {
        served: false,
        peer: None,
        proxy: wire::Proxy::Silent,
        pipelined: 0,
        body: None,
        unsent: None,
        received: wire::Bytes::Inline(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    }
}

#[test]
fn a_message_that_lies_about_its_descriptors_costs_at_most_itself() {
    let queue = Queue::new();
    let mut worker = worker(&queue, Settings::default());
    let honest = honest();
    let (connection, _client) = UnixStream::pair().unwrap();
    let listener = worker.listener.try_clone().unwrap();
    let zero = File::open("/dev/zero").unwrap();
    let named = tempfile::NamedTempFile::new().unwrap();
    let short = tempfile::tempfile().unwrap();
    short.write_all_at(b"short", 0).unwrap();
    let sparse = tempfile::tempfile().unwrap();
    sparse.set_len(u32::MAX.into()).unwrap();
    let (datagram, _end) = UnixDatagram::pair().unwrap();
    let body = |in_file, length| Some(wire::BodyApart { in_file, length });
    let part =
        |offset, length| Some(wire::Unsent { then: wire::Then::Close, parts: vec![wire::Part { offset, length }] });
    let whole = |length| wire::Handoff { received: wire::Bytes::Descriptor(length), ..honest.clone() };
    let lies: Vec<(wire::Handoff<'_>, Vec<BorrowedFd<'_>>)> = vec![
        (whole(u32::MAX), vec![connection.as_fd(), zero.as_fd()]),
        (whole(6), vec![connection.as_fd(), short.as_fd()]),
        (whole(u32::MAX), vec![connection.as_fd(), sparse.as_fd()]),
        (whole(0), vec![connection.as_fd(), named.as_file().as_fd()]),
        (whole(1), vec![connection.as_fd()]),
        (wire::Handoff { body: body(true, u64::MAX), ..honest.clone() }, vec![connection.as_fd(), zero.as_fd()]),
        (wire::Handoff { body: body(true, 6), ..honest.clone() }, vec![connection.as_fd(), short.as_fd()]),
        (wire::Handoff { body: body(false, 1 << 40), ..honest.clone() }, vec![connection.as_fd(), short.as_fd()]),
        (wire::Handoff { body: body(false, 100), ..honest.clone() }, vec![connection.as_fd(), zero.as_fd()]),
        (wire::Handoff { unsent: part(0, 1 << 40), ..honest.clone() }, vec![connection.as_fd(), zero.as_fd()]),
        (wire::Handoff { unsent: part(u64::MAX, 2), ..honest.clone() }, vec![connection.as_fd(), short.as_fd()]),
        (wire::Handoff { unsent: part(3, 3), ..honest.clone() }, vec![connection.as_fd(), short.as_fd()]),
        (honest.clone(), vec![zero.as_fd()]),
        (honest.clone(), vec![datagram.as_fd()]),
        (honest.clone(), vec![listener.as_fd()]),
        (honest.clone(), vec![]),
        (honest.clone(), vec![connection.as_fd(), short.as_fd()]),
    ];
    for (number, (lie, descriptors)) in lies.iter().enumerate() {
        put(&queue, lie, descriptors);
        // What comes next in the queue is served.
        let (theirs, mut client) = UnixStream::pair().unwrap();
        put(&queue, &honest, &[theirs.as_fd()]);
        let (token, _) = worker.next().unwrap();
        worker.answer(token);
        let mut bytes = [0; 40];
        client.read_exact(&mut bytes).unwrap();
        assert!(bytes.ends_with(b"ok"), "lie {number}: {}", bytes.escape_ascii());
        let notice = worker.reactor.take_notice();
        assert!(matches!(notice, Some(Notice::CannotTakeOver(_))), "lie {number}: {notice:?}");
    }
}

#[test]
fn closing_a_transferred_connection_never_waits() {
    let queue = Queue::new();
    let mut worker = worker(&queue, Settings::default());
    let began = Instant::now();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (connection, _) = listener.accept().unwrap();
    connection.set_nonblocking(true).unwrap();
    while (&connection).write(&[b'x'; 65_536]).is_ok() {}
    connection.set_nonblocking(false).unwrap();
    rustix::net::sockopt::set_socket_linger(&connection, Some(Duration::from_secs(600))).unwrap();
    put(&queue, &wire::Handoff { peer: None, ..honest() }, &[connection.as_fd(), connection.as_fd()]);
    drop(connection);
    let (theirs, mut client) = UnixStream::pair().unwrap();
    put(&queue, &honest(), &[theirs.as_fd()]);
    let (token, _) = worker.next().unwrap();
    worker.answer(token);
    client.read_exact(&mut [0; 40]).unwrap();
    assert!(began.elapsed() < Duration::from_secs(300), "it was waited for");
}
