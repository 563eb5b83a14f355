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
fn requests_and_responses_that_clients_cut_short_are_counted() {
    let mut server = Server::builder().workers(1).config("upgrade :in_place").start();
    let cut_short = |server: &Server| {
        let totals = totals(server);
        [totals["aborted_requests"].as_u64(), totals["aborted_responses"].as_u64()].map(Option::unwrap_or_default)
    };
    // These are none: a connection that says nothing, and one that is closed between two requests.
    drop(server.connect());
    let mut kept = server.connect();
    kept.send(Request::get("/pid").bytes());
    assert!(kept.receive().keep_alive);
    drop(kept);
    for begun in ["GET /pid HTT", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nfour"] {
        server.connect().send(begun);
    }
    server.eventually("two requests that were cut short", || (cut_short(&server) == [2, 0]).then_some(()));
    let mut connection = server.connect();
    connection.send(Request::get("/big?kib=40000").bytes());
    assert!(connection.take_some(64 * 1024, std::time::Duration::ZERO) > 0);
    // What it has not read is lost, so that the kernel resets the connection.
    drop(connection);
    server.eventually("a response that was cut short", || (cut_short(&server) == [2, 1]).then_some(()));
    let text = server.ctl(["status"]).stdout;
    assert!(text.contains("\n  clients cut short 2 requests, 1 response\n"), "{text}");

    let mark = server.mark();
    signal(server.workers()[0].pid, Signal::KILL).expect("it lives");
    server.wait_for(mark, "worker=0 ready");
    assert_eq!(server.ctl(["reload", "--wait"]).code(), 0);
    assert_eq!(server.ctl(["upgrade", "--wait"]).code(), 0);
    assert_eq!(cut_short(&server), [2, 1], "workers and program are others");
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
fn the_largest_counts_are_kept_through_deaths_and_upgrades() {
    let mut server = Server::builder().workers(2).unix_listeners(1).config("upgrade :in_place").start();
    let mut gate = Gate::new(&server);
    let status = |server: &Server| -> facts::Status {
        serde_json::from_str(&server.ctl(["status", "--json"]).stdout).expect("a status")
    };
    let before = status(&server);
    assert!(before.backlogs.iter().all(|backlog| backlog.most.is_none()), "{:#?}", before.backlogs);

    let held = [(); 2].map(|()| gate.hold(&server));
    server.eventually("10 ms without an idle worker", || {
        (status(&server).saturated_s > before.saturated_s.map(|seconds| seconds + 0.01)).then_some(())
    });
    // The master is not asked while they wait: a worker sees them when its request is over.
    let waiting = [0, 1, 1, 1].map(|listener| {
        let mut connection =
            Connection::connect(&server.endpoints()[listener], testkit::patience()).expect("there is room");
        connection.send(Request::get("/").close().bytes());
        connection
    });
    // Which of them ends first is not said.
    let (done, ends) = std::sync::mpsc::channel();
    for mut held in held {
        let done = done.clone();
        std::thread::spawn(move || done.send(held.connection.receive().status));
    }
    for _ in 0..2 {
        gate.open();
        assert_eq!(ends.recv_timeout(testkit::patience()), Ok(200));
    }
    let after = server.eventually("empty backlogs", || {
        let status = status(&server);
        status.backlogs.iter().all(|backlog| backlog.waiting == Some(0)).then_some(status)
    });
    let most = |status: &facts::Status| -> Vec<u64> {
        status.backlogs.iter().filter_map(|backlog| Some(backlog.most?.count)).collect()
    };
    assert_eq!((most(&after), after.busiest.map(|most| most.count)), (vec![1, 3], Some(2)), "{after:#?}");
    assert!(after.saturations > before.saturations, "{:?} {:?}", after.saturations, before.saturations);
    assert!(after.busiest.is_some_and(|most| most.at > before.started_at), "{:?}", after.busiest);
    for mut connection in waiting {
        assert_eq!(connection.receive().status, 200);
    }

    for worker in server.workers() {
        let mark = server.mark();
        signal(worker.pid, Signal::KILL).expect("it lives");
        server.wait_for(mark, &format!("worker={} ready", worker.number));
    }
    assert_eq!(server.ctl(["upgrade", "--wait"]).code(), 0);
    let last = status(&server);
    // Those after the deaths, and those that the upgrade has renewed.
    assert_eq!((before.starts, last.starts), (2, 6));
    assert!(last.workers.iter().all(|worker| worker.starts == 3), "{:#?}", last.workers);
    assert_eq!((most(&last), last.busiest.map(|most| most.count)), (vec![1, 3], Some(2)), "{last:#?}");
    server.stop();
}

#[test]
fn the_collector_and_the_last_request_of_a_worker_are_told() {
    let app = "run ->(env) { GC.start if env['PATH_INFO'] == '/gc'; [200, {}, []] }";
    let mut server =
        Server::builder().app(App::rackup(app)).workers(1).config("request_id true\nrequest_usage true").start();
    let status = |server: &Server| -> facts::Status {
        serde_json::from_str(&server.ctl(["status", "--json"]).stdout).expect("a status")
    };
    assert_eq!(status(&server).workers[0].last_request, None);
    server.request(Request::get("/gc?a=1").field("X-Request-Id", "c0ffee").close());
    wait_for_requests(&server, 1);
    let told = status(&server);
    let worker = &told.workers[0];
    let last = worker.last_request.as_ref().expect("it has served one");
    assert_eq!((last.line.as_str(), last.id.as_deref()), ("GET /gc?a=1", Some("c0ffee")));
    assert!(last.took_ms > 0.1 && last.ended_at > told.started_at, "{last:#?}");
    assert!(last.cpu_ms > Some(0.05) && last.cpu_ms < Some(last.took_ms + 5.0), "{last:#?}");
    assert!(last.allocated > Some(0), "{last:#?}");
    let gc = worker.gc;
    assert!(gc.major == Some(1) && gc.live_slots > Some(1_000) && gc.allocated > Some(0), "{gc:#?}");
    assert_eq!((told.totals.gc.major, told.totals.gc.time_ms), (1, gc.time_ms.unwrap_or(0)));
    let text = server.ctl(["status"]).stdout;
    assert!(text.contains(" 1 major, "), "{text}");

    let mark = server.mark();
    signal(server.workers()[0].pid, Signal::KILL).expect("it lives");
    server.wait_for(mark, "worker=0 ready");
    let after = status(&server);
    assert_eq!((after.totals.gc, after.workers[0].gc.major), (told.totals.gc, Some(0)), "the worker is another");
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
        assert!(300_000 < private && private <= pss && pss < memory.rss_bytes, "{memory:#?}");
        assert!(memory.rss_bytes < memory.virtual_bytes && memory.swap_bytes.is_some(), "{memory:#?}");
        assert!(memory.peak_rss_bytes >= Some(memory.rss_bytes), "{memory:#?}");
    }
    assert!(status.workers.iter().all(|worker| worker.cpu_ms.is_some() && worker.ready_at > Some(status.started_at)));
    let [generation] = &status.memory.generations[..] else { panic!("one generation: {:#?}", status.memory) };
    assert_eq!((generation.generation, generation.processes), (1, 3));
    let sum: u64 = status.workers.iter().filter_map(|worker| worker.memory.as_ref()?.pss_bytes).sum();
    assert!(generation.pss_bytes > Some(sum), "the mold is in it: {generation:#?}");
    server.stop();
}
