//! Promise: what the workers have done is counted once, and told in status, whatever becomes of the workers and of the
//! master's program.

use rustix::process::Signal;
use scoreboard::histogram::Counts;
use serde_json::Value;
use testkit::process::signal;
use testkit::{App, Connection, Gate, Request, Server};

const APP: &str = r#"
run lambda { |env|
  raise "no" if env["PATH_INFO"] == "/raise"
  [Integer(env["PATH_INFO"][1..]), {}, ["0123456789"]]
}
"#;

/// What status tells of all workers.
#[track_caller]
fn totals(server: &Server) -> Value {
    let finished = server.ctl(["status", "--json"]);
    let mut status: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    status["totals"].take()
}

/// A count, once it is this: a worker notes a response when its client has it already.
#[track_caller]
fn wait_for_requests(server: &Server, count: u64) -> Value {
    server.eventually(&format!("{count} requests"), || {
        let totals = totals(server);
        let times = [&totals["service"]["count"], &totals["queue"]["count"]];
        (totals["requests"] == count && times.iter().all(|times| **times == count)).then_some(totals)
    })
}

#[test]
fn counts_survive_a_death_a_reload_and_an_upgrade_in_place() {
    let mut server = Server::builder().app(App::rackup(APP)).workers(2).config("upgrade :in_place").start();
    for path in ["/200", "/204", "/302", "/404", "/raise"] {
        server.get(path);
    }
    let before = wait_for_requests(&server, 5);
    assert_eq!(before["responses"], serde_json::json!({ "1xx": 0, "2xx": 2, "3xx": 1, "4xx": 1, "5xx": 1 }));
    assert!(before["received_bytes"].as_u64() > Some(100) && before["sent_bytes"].as_u64() > Some(200), "{before:#}");
    assert!(before["service"]["p99_ms"].is_f64() && before["queue"]["p50_ms"].is_f64(), "{before:#}");

    for worker in server.workers() {
        let mark = server.mark();
        signal(worker.pid, Signal::KILL).expect("it lives");
        server.wait_for(mark, &format!("worker={} ready", worker.number));
    }
    assert_eq!(wait_for_requests(&server, 5), before, "the workers are others");
    assert_eq!(server.ctl(["reload", "--wait"]).code(), 0);
    assert_eq!(server.ctl(["upgrade", "--wait"]).code(), 0);
    assert_eq!(wait_for_requests(&server, 5), before, "the program is another");
    server.get("/200");
    assert_eq!(wait_for_requests(&server, 6)["responses"]["2xx"], 3);
    server.stop();
}

#[test]
fn connections_that_wait_for_a_worker_are_told_for_each_listener() {
    let mut server = Server::builder().workers(1).unix_listeners(1).start();
    let mut gate = Gate::new(&server);
    let held = gate.hold(&server);
    let waiting: Vec<Connection> = [0, 1, 1]
        .map(|listener| Connection::connect(&server.endpoints()[listener], testkit::patience()).expect("there is room"))
        .into();
    let backlogs = |server: &Server| -> Vec<Value> {
        let status: Value = serde_json::from_str(&server.ctl(["status", "--json"]).stdout).expect("JSON");
        status["backlogs"].as_array().expect("a list").clone()
    };
    let told = server.eventually("one connection that waits at the first listener, and two at the second", || {
        let told = backlogs(&server);
        let waiting: Vec<_> = told.iter().map(|told| told["waiting"].as_u64()).collect();
        (waiting == [Some(1), Some(2)]).then_some(told)
    });
    assert!(told.iter().all(|told| told["limit"].as_u64() > Some(1)), "{told:#?}");
    assert_eq!(gate.release(held).status, 200);
    server.eventually("an empty backlog", || backlogs(&server).iter().all(|told| told["waiting"] == 0).then_some(()));
    drop(waiting);
    server.stop();
}

#[test]
fn saturation_is_the_time_in_which_no_worker_was_idle() {
    let mut server = Server::builder().workers(2).config("upgrade :in_place").start();
    let mut gate = Gate::new(&server);
    let saturated = |server: &Server| -> f64 {
        let status: Value = serde_json::from_str(&server.ctl(["status", "--json"]).stdout).expect("JSON");
        status["saturated_s"].as_f64().expect("a number")
    };
    let stands_still = |server: &Server| {
        server.eventually("an idle worker", || {
            let seen = saturated(server);
            (saturated(server) == seen).then_some(seen)
        })
    };
    let first = gate.hold(&server);
    let before = stands_still(&server);
    let second = gate.hold(&server);
    server.eventually("time without an idle worker", || (saturated(&server) > before).then_some(()));
    // Which of them ends first is not said.
    gate.open();
    let after = stands_still(&server);
    assert!(after > before, "{after} {before}");
    gate.open();
    for mut held in [first, second] {
        assert_eq!(held.connection.receive().status, 200);
    }
    assert_eq!(server.ctl(["upgrade", "--wait"]).code(), 0);
    assert_eq!(stands_still(&server), after, "the program is another");
    server.stop();
}

#[test]
fn the_queue_time_is_that_of_a_proxy_that_is_believed() {
    let config = "trusted_proxies '127.0.0.1'";
    let mut server = Server::builder().app(App::rackup(APP)).workers(1).config(config).start();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is later than 1970");
    let start = format!("t={:.3}", now.as_secs_f64() - 20.0);
    server.request(Request::get("/200").field("X-Request-Start", &start).close());
    let queue = wait_for_requests(&server, 1)["queue"].take();
    assert!(queue["p50_ms"].as_f64() > Some(17_000.0), "{queue:#}");
    assert!(queue["sum_ms"].as_f64() >= Some(19_999.0), "{queue:#}");
    server.stop();
}

#[test]
fn the_queue_time_of_an_overloaded_server_is_what_its_clients_measure() {
    const CLIENTS: usize = 24;
    const SERVICE_MS: f64 = 50.0;
    let app = App::rackup("run ->(_) { sleep 0.05; [200, {}, []] }");
    let server = Server::builder().app(app).workers(2).start();
    for keep_alive in [false, true] {
        let before = totals(&server);
        let clients = || {
            let address = server.endpoints()[0].clone();
            std::thread::spawn(move || {
                let mut kept = None;
                let times = (0..3).map(|_| {
                    let began = std::time::Instant::now();
                    let connect = || Connection::connect(&address, testkit::patience()).expect("there is room");
                    let mut connection = kept.take().unwrap_or_else(connect);
                    let request = Request::get("/");
                    let request = if keep_alive { request } else { request.close() };
                    assert_eq!(connection.request(&request).status, 200);
                    kept = keep_alive.then_some(connection);
                    began.elapsed().as_secs_f64() * 1e3 - SERVICE_MS
                });
                times.collect::<Vec<f64>>()
            })
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| clients()).collect();
        let mut measured: Vec<f64> = clients.into_iter().flat_map(|client| client.join().expect("it ends")).collect();
        measured.sort_by(f64::total_cmp);
        let measured = measured[measured.len() * 95 / 100];
        let count = before["requests"].as_u64().expect("a number") + 3 * CLIENTS as u64;
        let [before, after] = [before, wait_for_requests(&server, count)].map(|totals| counts(&totals["queue"]));
        let told = after.since(&before).percentile_ns(0.95).expect("it has counted") as f64 / 1e6;
        assert!(
            (0.85..1.15).contains(&(told / measured)),
            "kept alive: {keep_alive}: {told} ms, {measured} ms measured"
        );
    }
}

/// What a histogram of the status counts.
fn counts(times: &Value) -> Counts {
    let buckets: Vec<(usize, u64)> = serde_json::from_value(times["buckets"].clone()).expect("buckets");
    Counts::heard(buckets, 0).expect("known buckets")
}

#[test]
fn memory_and_processor_time_are_told_of_each_process_and_generation() {
    let mut server = Server::builder().workers(2).start();
    let status: facts::Status = server.eventually("readings of all", || {
        let status: facts::Status = serde_json::from_str(&server.ctl(["status", "--json"]).stdout).ok()?;
        let memory = status.workers.iter().map(|worker| &worker.memory).chain(status.molds.iter().map(|it| &it.memory));
        let is_read = |memory: &Option<facts::Memory>| memory.as_ref().is_some_and(|it| it.pss_bytes.is_some());
        let are_read = memory.chain([&status.memory.master]).all(is_read);
        are_read.then_some(status)
    });
    for memory in status.workers.iter().filter_map(|worker| worker.memory.as_ref()) {
        let (pss, private) = (memory.pss_bytes.unwrap_or(0), memory.private_bytes.unwrap_or(0));
        assert!(1_000_000 < private && private <= pss && pss < memory.rss_bytes, "{memory:#?}");
    }
    assert!(status.workers.iter().all(|worker| worker.cpu_ms.is_some() && worker.ready_at > Some(status.started_at)));
    let [generation] = &status.memory.generations[..] else { panic!("one generation: {:#?}", status.memory) };
    assert_eq!((generation.generation, generation.processes), (1, 3));
    let sum: u64 = status.workers.iter().filter_map(|worker| worker.memory.as_ref()?.pss_bytes).sum();
    assert!(generation.pss_bytes > Some(sum), "the mold is in it: {generation:#?}");
    server.stop();
}
