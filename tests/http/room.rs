//! Promise: connections are spread over the workers, and one that has no room closes nothing as long as another has room.

use rustix::process::Signal;
use testkit::load::{Outcome, Plan};
use testkit::{App, Connection, Endpoint, Load, Request, Server, procfs};

/// Takes a moment for an answer.
const APP: &str = "run ->(_env) { sleep 0.003; [200, {}, [\"done\\n\"]] }";

/// How many connections to its listeners each worker has, by its sockets.
fn spread(server: &Server) -> Vec<usize> {
    let count = |pid| procfs::descriptors(pid).values().filter(|what| what.starts_with("socket:")).count();
    server.workers().iter().map(|worker| count(worker.pid)).collect()
}

#[track_caller]
fn settle(server: &Server, count: usize) -> Vec<Connection> {
    testkit::swarm::allow_many_descriptors();
    let settle = |number: usize| {
        let mut connection = Connection::open(&server.endpoints()[number % server.endpoints().len()]);
        assert_eq!(connection.request(&Request::get("/")).status, 200);
        connection
    };
    (0..count).map(settle).collect()
}

#[track_caller]
fn assert_none_closed(idle: &[Connection]) {
    assert_eq!(idle.iter().filter(|connection| connection.is_stale()).count(), 0, "closed by the server");
}

#[test]
fn clients_that_fit_into_all_workers_together_lose_no_connection() {
    for preload in [false, true] {
        let app = App::rackup(APP);
        let server = Server::builder().app(app).workers(4).preload(preload).unix_listeners(1);
        let mut server = server.config("worker_connections 8").start();
        let load = server.load().clients(24).keep_alive(true).think(std::time::Duration::ZERO).start();
        load.wait_for_successes(1_000);
        load.stop().assert_kept(24);
        // Those that have connected and say nothing yet are not closed for others either.
        for endpoint in server.endpoints() {
            let mut silent: Vec<_> = (0..24).map(|_| Connection::open(endpoint)).collect();
            for connection in &mut silent {
                assert_eq!(connection.request(&Request::get("/")).status, 200);
            }
            assert_none_closed(&silent);
        }
        server.stop();
    }
}

#[test]
fn a_worker_without_descriptors_leaves_newcomers_to_others() {
    // The first hook runs before the worker finds out how many connections it may have, the second one behind its back.
    for hook in ["after_fork", "after_worker_ready"] {
        with_few_descriptors_in_one_worker(hook);
    }
}

/// Takes descriptors from the first worker.
fn few_descriptors(hook: &str) -> String {
    format!(
        "{hook} {{ |server, worker|
           Process.setrlimit(:NOFILE, 40) if worker.nr.zero?
           server.logger.info(\"worker=#{{worker.nr}} ready\")
         }}"
    )
}

#[track_caller]
fn with_few_descriptors_in_one_worker(hook: &str) {
    let config = few_descriptors(hook);
    let app = App::rackup(APP);
    let server = Server::builder().app(app).workers(4).tcp_listeners(1).unix_listeners(1);
    let mut server = server.config(&config).start();
    // More than the other three take before it is the first worker's turn.
    let mut idle = settle(&server, 300);
    let plan = |endpoint: &Endpoint| Plan::new(endpoint).clients(24).think(std::time::Duration::ZERO).start();
    let loads: Vec<_> = server.endpoints().iter().map(plan).collect();
    for load in loads {
        load.wait_for_successes(1_500);
        load.stop().assert_no_failure();
    }
    assert_none_closed(&idle);
    for connection in &mut idle {
        assert_eq!(connection.request(&Request::get("/")).status, 200);
    }
    let told = server.log().text().matches("cannot accept connections").count();
    let most = usize::from(hook == "after_worker_ready");
    assert_eq!(told, most, "once a minute is told what no limit foresaw: {}", server.log().text());
    server.stop();
}

/// Stops a server under load: each request is answered, or its connection was refused since the server was gone.
#[track_caller]
fn assert_stop_loses_nothing(server: &mut Server, mut loads: Vec<Load>, stop: Signal, state: &str) {
    loads.iter_mut().for_each(Load::last_attempts);
    server.signal(stop);
    assert!(server.wait_for_exit().success());
    server.assert_nothing_is_left();
    for load in loads {
        let report = load.stop();
        let lost = report.outcomes.keys().any(|outcome| !matches!(outcome, Outcome::Ok | Outcome::Refused));
        assert!(!lost, "{state}, {stop:?}: {report:#?}");
    }
}

#[test]
fn a_stop_while_workers_have_no_room_loses_no_request() {
    for config in ["worker_connections 8", &few_descriptors("after_worker_ready")] {
        for stop in [Signal::QUIT, Signal::TERM] {
            let server = Server::builder().app(App::rackup(APP)).workers(4).unix_listeners(1).config(config);
            let mut server = server.start();
            let _idle = settle(&server, 100);
            let plan = |endpoint: &Endpoint| Plan::new(endpoint).clients(30).think(std::time::Duration::ZERO).start();
            let loads: Vec<_> = server.endpoints().iter().map(plan).collect();
            server.signal(Signal::WINCH);
            server.wait_for_slots(&[]);
            server.signal(Signal::HUP);
            server.wait_for_slots(&[0, 1, 2, 3]);
            loads.iter().for_each(|load| load.wait_for_successes(200));
            assert_stop_loses_nothing(&mut server, loads, stop, config);
        }
    }
}

#[test]
fn a_server_with_all_workers_full_closes_idle_connections_and_serves() {
    let mut server = Server::builder().workers(2).config("worker_connections 4").start();
    let idle = settle(&server, 30);
    let open = idle.iter().filter(|connection| !connection.is_stale()).count();
    assert!((1..=8).contains(&open), "{open} are open");
    assert_eq!(server.get("/").status, 200);
    server.stop();
}

#[test]
fn idle_connections_are_spread_and_outlive_a_reload_when_they_just_fit() {
    const CONNECTIONS: usize = 1_200;
    let config = "worker_connections 400";
    let mut server = Server::builder().workers(4).preload(true).unix_listeners(1).config(config).start();
    let mut idle = settle(&server, CONNECTIONS);
    let counts = spread(&server);
    assert!(counts.iter().all(|count| *count > CONNECTIONS / 16), "one worker has nearly none: {counts:?}");
    for generation in 2..=3 {
        server.signal(Signal::HUP);
        server.eventually("workers of the next generation only", || {
            let workers = server.workers();
            let new = workers.iter().all(|worker| worker.generation == Some(generation));
            (new && workers.len() == 4).then_some(())
        });
        assert_none_closed(&idle);
    }
    for connection in &mut idle {
        assert_eq!(connection.request(&Request::get("/")).status, 200);
    }
    server.stop();
}

/// A body that will never be complete.
const ENDLESS: &str = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n";

/// One worker with few descriptors, and bodies that may be as slow as they like.
fn with_descriptors(count: usize) -> Server {
    let config = format!(
        "after_fork {{ |_server, _worker| Process.setrlimit(:NOFILE, {count}) }}
         body_memory 0
         body_timeout 3_600
         minimum_body_rate 0"
    );
    Server::builder().unix_listeners(1).config(&config).start()
}

/// Clients that have begun a body, and go on as slowly as it is allowed.
#[track_caller]
fn slow_bodies(server: &Server, count: usize) -> Vec<Connection> {
    testkit::swarm::allow_many_descriptors();
    let begin = |number: usize| {
        let mut connection = Connection::open(&server.endpoints()[number % server.endpoints().len()]);
        connection.send(format!("{ENDLESS}{}", "x".repeat(260)));
        connection
    };
    (0..count).map(begin).collect()
}

#[test]
fn slow_bodies_make_room_and_fast_ones_are_kept() {
    for (descriptors, clients) in [(256, 300), (1_024, 1_100)] {
        let mut server = with_descriptors(descriptors);
        // It is larger than what memory may hold, and has sent enough for the length of the test.
        let bytes = Request::post("/echo", vec![b'x'; 16 << 20]).bytes();
        let (first, rest) = bytes.split_at(bytes.len() - 1_000);
        let mut fast = server.connect();
        fast.send(first);
        let slow = slow_bodies(&server, clients);
        for endpoint in server.endpoints() {
            for _ in 0..20 {
                let mut normal = Connection::open(endpoint);
                assert_eq!(normal.request(&Request::get("/").close()).status, 200);
            }
            // It needs a file.
            let upload = Request::post("/echo", vec![b'y'; 1 << 20]).close();
            let response = Connection::open(endpoint).request(&upload);
            assert!(response.text().starts_with("1048576 "), "{}", response.text());
        }
        assert!(slow.iter().any(Connection::is_stale), "none of them made room");
        fast.send(rest);
        let response = fast.receive();
        assert!(response.text().starts_with("16777216 "), "{}", response.text());
        server.stop();
    }
}

#[test]
fn an_announced_body_opens_no_descriptor() {
    let mut server = with_descriptors(256);
    let before = procfs::descriptors(server.workers()[0].pid).len();
    let slow = slow_bodies(&server, 50);
    server.eventually("all of them to be let in", || {
        assert_eq!(server.get("/").status, 200);
        (spread(&server)[0] >= slow.len()).then_some(())
    });
    let files = procfs::descriptors(server.workers()[0].pid).values().filter(|what| what.contains("deleted")).count();
    let after = procfs::descriptors(server.workers()[0].pid).len();
    assert!(files < 10 && after < before + slow.len() + 10, "{files} files, {before} before, {after} now");
    server.stop();
}

#[test]
fn workers_of_one_byte_chunks_store_them_together() {
    let mut server = Server::builder().config("client_body_buffer_size 0\nbody_memory 0").start();
    let worker = server.workers()[0].pid;
    let chunks = "1\r\nx\r\n".repeat(200_000);
    let request = format!("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
    let before = writes(worker);
    let mut connection = server.connect();
    connection.send(&request);
    let (response, count) = (connection.receive(), writes(worker) - before);
    let whole = server.request(Request::post("/echo", vec![b'x'; 200_000]));
    assert_eq!(response.text(), whole.text());
    assert!(count < 20_000, "{count} writes for 200,000 chunks");
    server.stop();
}

/// How often a process has called write(2) and the like. See proc(5), `/proc/PID/io`.
#[track_caller]
fn writes(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).expect("it is ours");
    text.lines().find_map(|line| line.strip_prefix("syscw: ")).and_then(|count| count.parse().ok()).expect("a count")
}

/// Before a body is a second old it does not count as slow, and the newest connection makes room for the next.
fn wait_until_slow(server: &Server) {
    let began = std::time::Instant::now();
    server.eventually("bodies that are slow", || (began.elapsed() > std::time::Duration::from_secs(2)).then_some(()));
}

#[test]
fn a_stop_among_slow_bodies_loses_no_request() {
    for stop in [Signal::QUIT, Signal::TERM] {
        let mut server = with_descriptors(256);
        let _slow = slow_bodies(&server, 300);
        wait_until_slow(&server);
        let plan = |endpoint: &Endpoint| Plan::new(endpoint).clients(4).think(std::time::Duration::ZERO).start();
        let loads: Vec<_> = server.endpoints().iter().map(plan).collect();
        loads.iter().for_each(|load| load.wait_for_successes(20));
        assert_stop_loses_nothing(&mut server, loads, stop, "slow bodies");
    }
}

#[test]
fn workers_that_leave_among_slow_bodies_lose_no_request() {
    let mut server = with_descriptors(256);
    let _slow = slow_bodies(&server, 300);
    wait_until_slow(&server);
    let plan = |endpoint: &Endpoint| Plan::new(endpoint).clients(4).think(std::time::Duration::ZERO).start();
    let loads: Vec<_> = server.endpoints().iter().map(plan).collect();
    loads.iter().for_each(|load| load.wait_for_successes(20));
    server.signal(Signal::WINCH);
    server.wait_for_slots(&[]);
    // Those that came meanwhile wait in the backlog.
    server.signal(Signal::HUP);
    server.wait_for_slots(&[0]);
    for load in loads {
        load.wait_for_successes(20);
        load.stop().assert_no_failure();
    }
    server.stop();
}

/// How many requests each worker has answered, by slot.
fn requests_by_worker(server: &Server) -> Vec<u64> {
    let status: facts::Status = serde_json::from_str(&server.ctl(["status", "--json"]).stdout).expect("JSON");
    status.workers.iter().map(|worker| worker.requests).collect()
}

/// The most requests that a worker answered, and the fewest.
fn extremes(requests: &[u64]) -> (u64, u64) {
    (*requests.iter().max().expect("workers"), *requests.iter().min().expect("workers"))
}

#[test]
fn an_even_balance_gives_each_worker_its_turn() {
    // Without it the first one gets nearly all. A worker that has answered and does not sleep yet may take the next one.
    let app = App::rackup("run ->(_env) { [200, {}, ['hello']] }");
    let mut server = Server::builder().app(app).workers(4).unix_listeners(1).config("balance :even").start();
    for endpoint in server.endpoints() {
        let before = requests_by_worker(&server);
        for _ in 0..200 {
            assert_eq!(Connection::open(endpoint).request(&Request::get("/").close()).status, 200);
        }
        let requests: Vec<u64> = requests_by_worker(&server).iter().zip(before).map(|(now, then)| now - then).collect();
        let (most, fewest) = extremes(&requests);
        assert!(most <= fewest * 3, "new connections: {requests:?}");
    }
    let before = requests_by_worker(&server);
    let mut kept = settle(&server, 80);
    for _ in 0..10 {
        kept.iter_mut().for_each(|connection| assert_eq!(connection.request(&Request::get("/")).status, 200));
    }
    let requests: Vec<u64> = requests_by_worker(&server).iter().zip(before).map(|(now, then)| now - then).collect();
    let (most, fewest) = extremes(&requests);
    assert!(most <= fewest * 3, "kept alive: {requests:?}");
    server.stop();
}
