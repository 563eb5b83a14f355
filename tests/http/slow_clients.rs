//! Promise: a client that is slow, in either direction, costs no worker, and one that is too slow is sent away; a disk
//! that is full costs the one request that needs it.

use std::time::Duration;

use testkit::output::Mark;
use testkit::{Connection, Request, Server};

const MIB: usize = 1 << 20;

#[test]
fn a_client_that_drips_a_head_or_a_body_is_answered_408() {
    let config = "minimum_rate_grace 1\nminimum_header_rate 100\nminimum_body_rate 100";
    let mut server = Server::builder().config(config).start();
    let body = format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n{}", "x".repeat(9999));
    let chunked =
        format!("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{}", "1\r\nx\r\n".repeat(999));
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{}", "X: y\r\n".repeat(50));
    for (at_once, dripped) in [("", &*head), body.split_at(60), chunked.split_at(70)] {
        let mut connection = server.connect();
        connection.send(at_once);
        let sent = connection.drip(dripped.as_bytes(), Duration::from_millis(50));
        assert!(sent < dripped.len(), "all of it was taken: {at_once}{dripped}");
        let response = connection.receive();
        assert_eq!((response.status, response.keep_alive), (408, false));
    }
    // A client that sent much at once may pause.
    let mut connection = server.connect();
    let (fast, slow) = body.split_at(body.len() - 30);
    connection.send(fast);
    connection.drip(slow.as_bytes(), Duration::from_millis(70));
    assert_eq!(connection.receive().status, 200);
    server.stop();
}

#[test]
fn a_client_that_takes_a_response_too_slowly_is_closed() {
    let config = "minimum_rate_grace 0.5\nminimum_write_rate 100_000_000";
    let mut server = Server::builder().config(config).start();
    let mut connection = server.connect();
    connection.send(Request::get("/big?kib=40000").bytes());
    let mut got = 0;
    while got < 40_000 * 1024 {
        // It reads on, in small portions.
        let more = connection.take_some(64 * 1024, Duration::from_millis(20));
        if more == 0 {
            break;
        }
        got += more;
    }
    assert!(got < 40_000 * 1024, "all of it came");
    server.stop();
}

#[test]
fn a_large_response_frees_its_worker_at_once_and_little_memory_is_used() {
    let mut server = Server::builder().start();
    let worker = server.workers()[0].pid;
    // Warm: Ruby has the strings, the allocator has its arenas.
    assert_eq!(server.get("/big?kib=20480").body.len(), 20 * MIB);
    let before = testkit::procfs::memory(worker).rss_kib;
    let mut slow: Vec<Connection> = (0..10).map(|_| server.connect()).collect();
    for connection in &mut slow {
        connection.send(Request::get("/big?kib=20480").close().bytes());
        // There is one worker: it can only answer when it does not wait for that client.
        assert_eq!(server.get("/").status, 200);
    }
    let grown = testkit::procfs::memory(worker).rss_kib.saturating_sub(before);
    assert!(grown < 40 * 1024, "ten slow readers of 20 MiB took {grown} KiB");
    for connection in &mut slow {
        let response = connection.receive();
        assert_eq!((response.status, response.body.len()), (200, 20 * MIB));
        assert!(response.body.chunks(16).all(|piece| piece == b"0123456789abcdef"));
    }
    server.stop();
}

#[test]
fn a_slow_reader_does_not_hold_up_a_reload_and_loses_nothing() {
    for preload in [false, true] {
        let mut server = Server::builder().workers(2).preload(preload).unix_listeners(1).start();
        let mut slow: Vec<Connection> = (0..8).map(|n| Connection::open(&server.endpoints()[n % 2])).collect();
        for (number, connection) in slow.iter_mut().enumerate() {
            let request = Request::get(["/big?kib=20480", "/stream?lines=2000000"][number / 4]);
            connection.send(if number % 4 < 2 { request.bytes() } else { request.close().bytes() });
            connection.peek_at_least(1);
        }
        for generation in 2..=4 {
            server.signal(rustix::process::Signal::HUP);
            // The old workers are not killed because of their clients: none has taken anything meanwhile.
            server.eventually(&format!("two workers of generation {generation} and no other"), || {
                let all = server.workers();
                (all.len() == 2 && all.iter().all(|worker| worker.generation == Some(generation))).then_some(())
            });
        }
        for (number, connection) in slow.iter_mut().enumerate() {
            let response = connection.receive();
            let whole = if number < 4 { 20 * MIB } else { response.body.len().max(10_000_000) };
            assert_eq!((response.status, response.body.len()), (200, whole), "{number}");
            if number % 4 < 2 {
                assert_eq!(connection.request(&Request::get("/")).status, 200, "{number}");
            }
        }
        assert!(!server.log().text().contains("ERROR"), "{}", server.log().text());
        server.stop();
    }
}

/// A server whose temporary files are on a disk of 2 MiB.
fn with_small_disk(config: &str) -> Server {
    let config = format!("ENV['TMPDIR'] = File.join(ENV.fetch('TEST_DIR'), 'tmp')\n{config}");
    Server::builder().small_disk("tmp", "2m").config(&config).start()
}

#[test]
fn a_full_disk_costs_the_request_whose_body_needs_it_and_no_other() {
    let mut server = with_small_disk("body_memory 0");
    let large = Request::post("/echo", vec![b'x'; 4 * MIB]);
    for _ in 0..3 {
        assert_eq!(server.request(large.clone()).status, 500);
        assert_eq!(server.request(Request::post("/echo", vec![b'x'; MIB])).status, 200);
        assert_eq!(server.get("/").status, 200);
    }
    server.wait_for(Mark::default(), "cannot store a request body: No space left");
    server.stop();
}

#[test]
fn a_full_disk_makes_the_application_wait_for_a_slow_client_and_nothing_is_lost() {
    let mut server = with_small_disk("response_buffer_size 100_000");
    for target in ["/big?kib=20480", "/stream?lines=1000000"] {
        let mark = server.mark();
        let mut connection = server.connect();
        connection.send(Request::get(target).close().bytes());
        let response = connection.receive();
        if target.starts_with("/big") {
            // The other may be as fast as its client.
            server.wait_for(mark, "cannot store a response, waiting for its client: No space left");
        }
        assert_eq!(response.status, 200);
        assert!(response.body.len() > 10_000_000, "{target}: {}", response.body.len());
        assert_eq!(server.get("/").status, 200);
    }
    server.stop();
}
