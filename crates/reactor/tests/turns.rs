//! The reactor as a worker drives it, with real sockets and without Ruby.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

mod support;

use reactor::{After, Leave, Settings, Turn};
use support::{Worker, ask, expect_ok, settings};

#[test]
fn connections_with_requests_take_turns_with_new_ones() {
    let mut worker = Worker::new(Settings::default());
    let mut flood = worker.connect();
    flood.write_all(&b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n".repeat(50)).unwrap();
    assert_eq!(worker.serve(1), ["/flood"]);
    let mut other = worker.connect();
    ask(&mut other, "/other");
    let paths = worker.serve(6);
    assert!(paths.iter().any(|path| path == "/other"), "{paths:?}");
}

#[test]
fn a_request_sent_while_the_worker_was_busy_is_served_although_its_time_is_over() {
    let mut worker = Worker::new(settings(|settings| settings.timeouts.keepalive_ms = 30));
    let mut kept = worker.connect();
    ask(&mut kept, "/1");
    worker.serve(1);
    expect_ok(&mut kept);
    let mut other = worker.connect();
    ask(&mut other, "/long");
    let (token, _) = worker.next().unwrap();
    ask(&mut kept, "/2");
    // The application is busy for longer than an idle connection may last.
    busy_for(Duration::from_millis(60));
    worker.answer(token);
    assert_eq!(worker.serve(1), ["/2"]);
    expect_ok(&mut kept);
}

#[test]
fn idle_connections_are_closed_in_time_although_the_backlog_is_never_empty() {
    let mut worker = Worker::new(settings(|settings| settings.timeouts.keepalive_ms = 30));
    let mut kept = worker.connect();
    ask(&mut kept, "/1");
    worker.serve(1);
    expect_ok(&mut kept);
    let began = std::time::Instant::now();
    kept.set_nonblocking(true).unwrap();
    while !matches!(kept.read(&mut [0; 8]), Ok(0)) {
        assert!(began.elapsed() < Duration::from_secs(30), "the idle connection stays");
        let clients: Vec<_> = (0..20)
            .map(|_| {
                let mut client = worker.connect();
                ask(&mut client, "/");
                client
            })
            .collect();
        for _ in &clients {
            let (token, _) = worker.next().unwrap();
            worker.reactor.note_time(sys::clock::monotonic_ns());
            worker.answer(token);
        }
    }
}

/// Spends time as an application does.
fn busy_for(time: Duration) {
    let start = std::time::Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

#[test]
fn without_connections_there_is_no_timeout_and_an_idle_one_has_its_own() {
    let mut worker = Worker::new(Settings::default());
    assert_eq!(worker.reactor.turn(), Turn::Wait(None));
    let mut kept = worker.connect();
    ask(&mut kept, "/");
    worker.serve(1);
    let turn = worker.reactor.turn();
    assert!(matches!(turn, Turn::Wait(Some(ms)) if (30_000..=75_000).contains(&ms)), "{turn:?}");
    drop(kept);
    worker.reactor.poller().wait(&mut worker.events, None);
    worker.reactor.absorb(&mut worker.events);
    assert_eq!(worker.reactor.turn(), Turn::Wait(None));
    assert_eq!(worker.reactor.connections(), 0);
}

#[test]
fn a_worker_that_retires_serves_what_it_has_and_ends() {
    let mut worker = Worker::new(Settings::default());
    let mut kept = worker.connect();
    ask(&mut kept, "/kept");
    worker.serve(1);
    let mut waiting: Vec<TcpStream> = (0..20).map(|_| worker.connect()).collect();
    waiting.iter_mut().for_each(|client| ask(client, "/waiting"));
    worker.reactor.retire(Leave { drain: true, transfer: false, linger_ms: 20 });
    assert_eq!(worker.serve(20), vec!["/waiting"; 20]);
    assert!(worker.next().is_none());
    assert_eq!(worker.reactor.connections(), 0);
}

#[test]
fn a_response_that_the_socket_does_not_take_is_written_while_others_are_served() {
    // In memory, and in a file.
    for response_buffer_bytes in [64 << 20, 1 << 20] {
        write_late(settings(|settings| settings.responses.buffer_bytes = response_buffer_bytes));
    }
}

fn write_late(settings: Settings) {
    let in_memory = settings.responses.buffer_bytes > 20_000_000;
    let mut worker = Worker::new(settings);
    let mut slow = worker.connect();
    ask(&mut slow, "/slow");
    let (token, _) = worker.next().unwrap();
    let body = vec![b'x'; 20_000_000];
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n";
    worker.reactor.active(token).send(&[head, &body]).unwrap();
    assert_eq!(worker.reactor.active(token).queued_bytes() > 0, in_memory);
    worker.reactor.active(token).finish(After::KeepAlive);
    let mut other = worker.connect();
    ask(&mut other, "/other");
    assert_eq!(worker.serve(1), ["/other"]);
    expect_ok(&mut other);
    let reader = std::thread::spawn(move || {
        let mut bytes = vec![0; head.len() + body.len()];
        slow.read_exact(&mut bytes).unwrap();
        ask(&mut slow, "/next");
        slow
    });
    assert_eq!(worker.serve(1), ["/next"]);
    expect_ok(&mut reader.join().unwrap());
}

#[test]
fn clients_that_drip_their_heads_make_room_for_new_ones_the_oldest_first() {
    let mut worker = Worker::new(settings(|settings| settings.connections = 3));
    let mut drippers: Vec<TcpStream> = (1..=3).map(|count| drips(&mut worker, count)).collect();
    // A further byte does not make the oldest one younger.
    drippers[0].write_all(b"E").unwrap();
    worker.reactor.poller().wait(&mut worker.events, None);
    worker.reactor.absorb(&mut worker.events);
    let mut silent = worker.connect();
    assert!(worker.next_until(|_| closed(&drippers[0])).is_none());
    let mut next = worker.connect();
    next.write_all(b"G").unwrap();
    assert!(worker.next_until(|_| closed(&drippers[1])).is_none());
    ask(&mut silent, "/silent");
    assert_eq!(worker.serve(1), ["/silent"]);
    expect_ok(&mut silent);
    // An idle connection goes before one whose head is awaited.
    let mut new = worker.connect();
    ask(&mut new, "/new");
    assert_eq!(worker.serve(1), ["/new"]);
    expect_ok(&mut new);
    assert_eq!(silent.read(&mut [0; 1]).unwrap(), 0);
    for (client, rest) in [(&mut drippers[2], "ET"), (&mut next, "ET")] {
        write!(client, "{rest} /dripped HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(worker.serve(1), ["/dripped"]);
        expect_ok(client);
    }
}

#[test]
fn a_connection_whose_body_arrives_or_whose_response_is_written_is_not_closed_for_a_new_one() {
    let mut worker = Worker::new(settings(|settings| settings.connections = 2));
    let mut slow = worker.connect();
    ask(&mut slow, "/slow");
    let (token, _) = worker.next().unwrap();
    let body = vec![b'x'; 20_000_000];
    worker.reactor.active(token).send(&[b"HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n", &body]).unwrap();
    worker.reactor.active(token).finish(After::Close);
    let mut uploads = worker.connect();
    uploads.write_all(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n1").unwrap();
    assert!(worker.next_until(|reactor| reactor.connections() == 2).is_none());
    let mut new = worker.connect();
    ask(&mut new, "/new");
    // It finds no connection to close, and waits.
    worker.reactor.poller().wait(&mut worker.events, None);
    worker.reactor.absorb(&mut worker.events);
    assert!(worker.next_until(|_| true).is_none());
    uploads.write_all(b"2").unwrap();
    assert_eq!(worker.serve(2), ["/upload", "/new"]);
    expect_ok(&mut new);
    let reader = std::thread::spawn(move || slow.read_to_end(&mut Vec::new()).unwrap());
    assert!(worker.next_until(|reactor| reactor.connections() <= 1).is_none());
    assert!(reader.join().unwrap() > body.len());
}

/// Connects, sends the first byte of a head, and waits until the worker has so many connections and has seen it.
fn drips(worker: &mut Worker, connections: usize) -> TcpStream {
    let mut client = worker.connect();
    client.write_all(b"G").unwrap();
    assert!(worker.next_until(|reactor| reactor.connections() == connections).is_none());
    client
}

/// Tells whether the worker has closed a connection.
fn closed(client: &TcpStream) -> bool {
    client.set_nonblocking(true).unwrap();
    let read = (&mut &*client).read(&mut [0; 1]);
    client.set_nonblocking(false).unwrap();
    match read {
        Ok(0) => true,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        Ok(_) => false,
    }
}

#[test]
fn connections_end_in_stages_where_more_may_come_and_make_room_first() {
    let mut worker = Worker::new(settings(|settings| (settings.connections, settings.timeouts.keepalive_ms) = (2, 0)));
    // A client that says that it is done, and sent no body: nothing can come.
    let mut done = worker.connect();
    done.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    worker.serve(1);
    assert_eq!(worker.reactor.connections(), 0);
    let requests: [&[u8]; 2] = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
    ];
    let mut clients = requests.map(|request| {
        let mut client = worker.connect();
        client.write_all(request).unwrap();
        worker.serve(1);
        client
    });
    assert_eq!(worker.reactor.connections(), 2, "both may send more");
    // The one that had its response first makes room; it is over for both anyway.
    let mut third = worker.connect();
    third.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    worker.serve(1);
    assert_eq!(worker.reactor.connections(), 1);
    for client in &mut clients {
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).unwrap();
        assert!(bytes.ends_with(b"ok"));
    }
    let [_, second] = clients;
    drop(second);
    assert!(worker.next_until(|reactor| reactor.connections() == 0).is_none());
}
