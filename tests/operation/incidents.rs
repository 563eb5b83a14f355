//! Promise: what went wrong can be read from each face of the server alone: the status, `licorne top`, the page, the
//! metrics, the log.

use rustix::process::Signal;
use serde_json::Value;
use testkit::output::Mark;
use testkit::process::signal;
use testkit::{App, Builder, Connection, Endpoint, Gate, MemoryGroup, Request, Server, Terminal, program};

/// An application that fails on demand.
const APP: &str = r#"
require "socket"

LEAK = 80
FILLER = File.join(ENV.fetch("TEST_DIR"), "disk", "filler")
DATABASE = Addrinfo.unix(File.join(ENV.fetch("TEST_DIR"), "database.sock"))

run lambda { |env|
  case env["PATH_INFO"]
  when "/query" then DATABASE.connect { |socket| socket.write("SELECT 1"); socket.readpartial(100) }
  when "/slow" then sleep 0.05
  when "/die" then exit!(9)
  when "/leak"
    held = [Array.new(LEAK) { "x" * 1_000_000 }]
    DATABASE.connect { |socket| socket.readpartial(100) }
    loop { held << ("x" * 1_000_000) }
  when "/fill"
    File.open(FILLER, "w") { |file| loop { file.syswrite("x" * 4096) } rescue Errno::ENOSPC }
  when "/empty" then File.unlink(FILLER)
  # The last page of the file has room for some lines.
  when "/raise" then raise "no such column" * 400
  end
  [200, {}, ["ok"]]
}
"#;

fn builder() -> Builder {
    Server::builder().config("admin_listen File.join(ENV.fetch('TEST_DIR'), 'admin.sock')")
}

/// What the server tells: the text for people, the screen of `licorne top` and of its deaths, the status, the metrics, the
/// page's first event.
#[derive(Debug)]
struct Faces {
    text: String,
    top: String,
    status: Value,
    metrics: String,
    page: String,
}

impl Faces {
    #[track_caller]
    fn of(server: &Server) -> Self {
        Self {
            text: server.ctl(["status"]).stdout,
            top: top(server),
            status: serde_json::from_str(&server.ctl(["status", "--json"]).stdout).expect("JSON"),
            metrics: ask(server, "/metrics"),
            page: events(server, "\"workers\":"),
        }
    }

    /// The value of a sample.
    fn metric(&self, name: &str) -> f64 {
        let line = self.metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} in\n{}", self.metrics)).parse().expect("a number")
    }
}

/// What `licorne top` shows of the server and its workers, and of deaths.
#[track_caller]
fn top(server: &Server) -> String {
    let pid_file = server.file("server.pid").display().to_string();
    let terminal = Terminal::start(&program::path(), &["top", "--pid-file", &pid_file], &[], 50, 160);
    terminal.wait_for_text(" wanted: ");
    let workers = terminal.text();
    terminal.press("d");
    let deaths = terminal.wait_for("deaths", |shown| {
        (shown.contains("deaths, the newest first") && !shown.contains("asking")).then(|| shown.to_string())
    });
    format!("{workers}\n{deaths}")
}

/// A connection to the admin process, once there is one.
#[track_caller]
fn admin(server: &Server) -> Connection {
    let endpoint = Endpoint::Unix(server.file("admin.sock"));
    server.eventually("the admin process", || Connection::connect(&endpoint, testkit::patience()).ok())
}

#[track_caller]
fn ask(server: &Server, path: &str) -> String {
    admin(server).request(&Request::get(path).close()).text()
}

/// The events of the page, up to the one that tells this.
#[track_caller]
fn events(server: &Server, awaited: &str) -> String {
    let mut connection = admin(server);
    connection.send(Request::get("/events").field("Accept", "text/event-stream").bytes());
    let mut seen = String::new();
    while !seen.contains(awaited) || !seen.ends_with("\n\n") {
        seen = String::from_utf8_lossy(connection.peek_at_least(seen.len() + 1)).into_owned();
    }
    seen
}

#[test]
fn a_stuck_request_is_shown_with_its_worker_and_age() {
    let mut server = builder().workers(2).start();
    let mut gate = Gate::new(&server);
    let held = gate.hold(&server);
    let faces = Faces::of(&server);
    assert!(faces.text.contains("GET /wait"), "{}", faces.text);
    let workers = faces.status["workers"].as_array().expect("workers");
    let busy: Vec<&Value> = workers.iter().filter(|worker| worker["state"] == "busy").collect();
    assert!(busy.len() == 1 && busy[0]["pid"] == held.worker && busy[0]["request"]["age_ms"].is_u64(), "{busy:#?}");
    assert_eq!(faces.metric("licorne_workers{state=\"busy\"}"), 1.0);
    assert!(faces.page.contains("GET /wait"), "{}", faces.page);
    let row = faces.top.lines().find(|line| line.contains("GET /wait")).unwrap_or_else(|| panic!("{}", faces.top));
    assert!(row.contains("busy"), "{row}");
    let slot = busy[0]["slot"].to_string();
    let backtrace = server.ctl(["backtrace", &slot]).stdout;
    assert!(backtrace.contains("main thread") && backtrace.contains("GET /wait"), "{backtrace}");
    assert_eq!(gate.release(held).status, 200);
    server.stop();
}

#[test]
fn a_crash_loop_is_shown_with_its_slot_and_cause() {
    let config = "after_fork { |_server, worker| exit!(9) if worker.nr == 1 && \
                  File.exist?(File.join(ENV.fetch('TEST_DIR'), 'broken')) }";
    let mut server = builder().workers(2).config(config).start();
    server.write("broken", "");
    let victim = server.workers().into_iter().find(|worker| worker.number == 1).expect("there are two").pid;
    signal(victim, Signal::KILL).expect("it is there");
    server.wait_for(Mark::default(), "worker=1 failed 3 times in a row, next try in");
    let faces = Faces::of(&server);
    assert!(faces.text.contains("worker=1 failed"), "{}", faces.text);
    assert!(faces.top.contains("worker 1 failed to boot") && faces.top.contains("exit status 9"), "{}", faces.top);
    assert_eq!(faces.status["troubles"][0]["slot"], 1, "{}", faces.status);
    assert!(faces.metric("licorne_deaths_total{cause=\"exit\"}") >= 2.0);
    assert!(faces.metric("licorne_workers{state=\"idle\"}") < faces.metric("licorne_worker_processes"));
    assert!(faces.page.contains("\"troubles\":[{"), "{}", faces.page);
    let deaths = server.ctl(["deaths"]).stdout;
    assert!(deaths.contains("exit status 9"), "{deaths}");
    std::fs::remove_file(server.file("broken")).expect("it is there");
    server.wait_for(Mark::default(), "worker=1 ready");
    server.stop();
}

#[test]
fn a_saturated_server_shows_that_no_worker_is_idle_and_that_requests_wait() {
    let mut server = builder().app(App::rackup(APP)).workers(1).start();
    let clients: Vec<Connection> = (0..8)
        .map(|_| {
            let mut client = server.connect();
            client.send(Request::get("/slow").close().bytes());
            client
        })
        .collect();
    for mut client in clients {
        assert_eq!(client.receive().status, 200);
    }
    let faces = server.eventually("eight requests", || {
        let faces = Faces::of(&server);
        (faces.status["totals"]["queue"]["count"] == 8).then_some(faces)
    });
    assert!(faces.status["saturated_s"].as_f64() > Some(0.3), "{}", faces.status["saturated_s"]);
    assert!(faces.metric("licorne_saturated_seconds_total") > 0.3);
    server.eventually("its share of the last minute", || {
        let told = ask(&server, "/metrics");
        let share = told.lines().find_map(|line| line.strip_prefix("licorne_saturation "))?;
        (share.parse::<f64>().expect("a number") > 0.0).then_some(())
    });
    assert!(faces.metric("licorne_request_queue_seconds_sum") > 0.7, "{}", faces.metrics);
    assert!(faces.status["totals"]["queue"]["p95_ms"].as_f64() > Some(200.0), "{}", faces.status["totals"]["queue"]);
    assert!(faces.text.contains("queue"), "{}", faces.text);

    // While it lasts: what waits in the kernel.
    let database = std::os::unix::net::UnixListener::bind(server.file("database.sock")).expect("a socket");
    let mut clients = vec![server.connect()];
    clients[0].send(Request::get("/query").close().bytes());
    let mut asked = database.accept().expect("a query").0;
    clients.extend((0..3).map(|_| server.connect()));
    clients[1..].iter_mut().for_each(|client| client.send(Request::get("/").close().bytes()));
    let faces = Faces::of(&server);
    assert!(faces.text.contains("3 connections of at most "), "{}", faces.text);
    let backlog = faces.top.lines().find(|line| line.starts_with("backlog ")).expect("top tells it");
    assert!(backlog.contains(" 3 of ") && faces.top.contains("1 wanted: 1 busy"), "{}", faces.top);
    assert_eq!(faces.metric(&format!("licorne_backlog_connections{{listener=\"{}\"}}", server.endpoint())), 3.0);
    assert_eq!(status_of(&faces.page)["backlogs"][0]["waiting"], 3, "{}", faces.page);
    std::io::Write::write_all(&mut asked, b"1").expect("it reads");
    clients.iter_mut().for_each(|client| assert_eq!(client.receive().status, 200));
    server.stop();
}

#[test]
fn a_deploy_that_failed_is_shown_with_its_reason() {
    let mut server = builder().workers(1).start();
    server.write("app/config.ru", "raise 'no such table: users'");
    let reload = server.ctl(["reload", "--wait"]);
    assert!(reload.code() == 1 && reload.stderr.contains("no such table: users"), "{reload:#?}");
    let faces = Faces::of(&server);
    assert!(faces.text.contains("no such table: users"), "{}", faces.text);
    assert_eq!(faces.metric("licorne_last_reload_succeeded"), 0.0);
    let reloads = &faces.status["reloads"];
    assert!(reloads["failed"] == 1 && reloads["recent"][0]["failure"].as_str().is_some(), "{reloads:#}");
    assert!(faces.top.contains("last reload failed") && faces.top.contains("no such table: users"), "{}", faces.top);
    assert_eq!(faces.metric("licorne_reloads_total{result=\"failed\"}"), 1.0);
    assert_eq!(faces.metric("licorne_ready"), 1.0, "the old code serves");
    assert!(faces.page.contains("no such table: users"), "{}", faces.page);
    server.wait_for(Mark::default(), "the generation before it serves on");
    assert_eq!(server.get("/").status, 200);
    server.stop();
}

#[test]
fn a_database_that_hangs_is_the_same_frame_in_each_worker() {
    let mut server = builder().app(App::rackup(APP)).workers(2).config("slow_request 0.2").start();
    let database = std::os::unix::net::UnixListener::bind(server.file("database.sock")).expect("a socket");
    let mut clients: Vec<Connection> = (0..2).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.send(Request::get("/query").close().bytes()));
    let asked: Vec<_> = (0..2).map(|_| database.accept().expect("a query").0).collect();
    let backtraces = server.ctl(["backtrace"]).stdout;
    assert_eq!(backtraces.matches("readpartial").count(), 2, "{backtraces}");
    let faces = Faces::of(&server);
    assert_eq!(faces.metric("licorne_workers{state=\"busy\"}"), 2.0);
    assert_eq!(faces.text.matches("GET /query").count(), 2, "{}", faces.text);
    assert_eq!(faces.top.matches("GET /query").count(), 2 + 1, "in both rows, and of the selected one: {}", faces.top);
    assert_eq!(faces.page.matches("GET /query").count(), 2, "{}", faces.page);
    let reports = server.log().wait_for_count(Mark::default(), "request is slow", 2, testkit::patience());
    assert!(reports.is_some(), "each request that waits is reported");
    for mut database in asked {
        std::io::Write::write_all(&mut database, b"1").expect("it reads");
    }
    for mut client in clients {
        assert_eq!(client.receive().status, 200);
    }
    server.stop();
}

#[test]
fn a_worker_that_died_in_a_request_is_shown_with_that_request() {
    let mut server = builder().app(App::rackup(APP)).workers(1).start();
    assert_eq!(server.connect().request_raw("GET /die HTTP/1.1\r\nHost: x\r\n\r\n"), b"");
    server.eventually("the death", || (Faces::of(&server).status["deaths"]["total"] == 1).then_some(()));
    // The faces are asked one after the other: from now on each knows of it.
    let faces = Faces::of(&server);
    assert!(events(&server, "GET /die").contains("exit status 9"));
    assert_eq!(faces.status["deaths"]["by_cause"]["exit"], 1);
    assert!(faces.text.contains("exit status 9"), "{}", faces.text);
    assert!(faces.top.contains("exit status 9") && faces.top.contains("in GET /die"), "{}", faces.top);
    assert_eq!(faces.metric("licorne_deaths_total{cause=\"exit\"}"), 1.0);
    assert!(server.ctl(["deaths"]).stdout.contains("GET /die"));
    server.wait_for(Mark::default(), "died: exit status 9, after ");
    server.stop();
}

#[test]
fn a_leak_until_the_kernel_kills_is_shown_with_its_request_and_the_memory_it_took() {
    let Some(group) = MemoryGroup::limited(320 << 20) else { return };
    let mut server = builder().within(&group).app(App::rackup(APP)).workers(2).start();
    let database = std::os::unix::net::UnixListener::bind(server.file("database.sock")).expect("a socket");
    let before = Faces::of(&server);
    let mut client = server.connect();
    client.send(Request::get("/leak").close().bytes());
    let mut leaking = database.accept().expect("it leaks").0;

    // Which worker grows, and in which request.
    let faces = Faces::of(&server);
    let megabytes = |row: &str| -> u64 {
        let sizes = row.split_whitespace().filter_map(|word| word.strip_suffix('M')?.parse().ok());
        sizes.max().unwrap_or_else(|| panic!("{row}"))
    };
    for shown in [&faces.text, &faces.top] {
        let row = shown.lines().find(|line| line.contains("GET /leak")).unwrap_or_else(|| panic!("{shown}"));
        assert!(row.contains("busy") && megabytes(row) >= 80, "{row}");
    }
    for status in [&faces.status, &status_of(&faces.page)] {
        let leaks = |worker: &&Value| worker["request"]["line"] == "GET /leak";
        let worker = status["workers"].as_array().expect("workers").iter().find(leaks).expect("one of them");
        assert!(worker["memory"]["rss_bytes"].as_u64() > Some(80_000_000), "{worker:#}");
    }
    let resident = "licorne_memory_bytes{generation=\"serving\",kind=\"rss\"}";
    assert!(faces.metric(resident) > before.metric(resident) + 70e6, "{}", faces.metrics);

    std::io::Write::write_all(&mut leaking, b"1").expect("it reads");
    let told =
        "worker=* died: killed by the kernel: out of memory, after * ms in \"GET /leak\", with * MiB resident at most";
    let line = server.wait_for(Mark::default(), told);
    let ready = server.log().wait_for_count(Mark::default(), "worker=*ready", 3, testkit::patience());
    assert!(ready.is_some(), "another takes its place");
    let faces = Faces::of(&server);
    assert!(line.contains(" MiB"), "{line}");
    for shown in [&faces.text, &faces.top, &server.ctl(["deaths"]).stdout] {
        let is_told = ["killed by the kernel: out of memory", "GET /leak", "M resident at most"];
        assert!(is_told.iter().all(|text| shown.contains(text)), "{shown}");
    }
    assert_eq!(faces.status["deaths"]["by_cause"]["oom"], 1);
    assert_eq!(faces.metric("licorne_deaths_total{cause=\"oom\"}"), 1.0);
    let page = events(&server, "GET /leak");
    assert!(page.contains("\"cause\":\"oom\"") && page.contains("\"peak_rss_bytes\":"), "{page}");
    server.stop();
}

#[test]
fn a_full_disk_is_shown_with_the_lines_that_it_cost() {
    let config = "stderr_path File.join(ENV.fetch('TEST_DIR'), 'disk', 'error.log')\n\
                  access_log File.join(ENV.fetch('TEST_DIR'), 'disk', 'access.log'), format: '{path}'";
    let mut server = builder().small_disk("disk", "64k").app(App::rackup(APP)).workers(1).config(config).launch();
    assert_eq!(server.get("/fill").status, 200);
    for _ in 0..4 {
        assert_eq!(server.get("/raise").status, 500);
    }
    let status = server.ctl(["status", "--json"]).stdout;
    let status: Value = serde_json::from_str(&status).expect("JSON");
    assert!(status["logs"]["server"]["lost_lines"].as_u64() >= Some(3), "workers count, too: {:#}", status["logs"]);
    assert_eq!(server.ctl(["reload", "--wait"]).code(), 0, "a full disk keeps no new code back");
    assert_eq!(server.get("/raise").status, 500);
    let faces = server.eventually("losses", || {
        let faces = Faces::of(&server);
        (faces.status["logs"]["access"]["lost_lines"].as_u64() >= Some(4)).then_some(faces)
    });
    let page = status_of(&faces.page);
    for log in ["server", "access"] {
        for told in [&faces.status["logs"][log], &page["logs"][log]] {
            assert_eq!(told["last_error"], "No space left on device", "{log}: {told:#}");
            assert!(told["last_at"].as_f64() > Some(1.7e9), "{log}: {told:#}");
        }
        assert!(faces.metric(&format!("licorne_log_lost_lines_total{{log=\"{log}\"}}")) >= 4.0, "{}", faces.metrics);
    }
    for shown in [&faces.text, &faces.top] {
        for log in ["lines of the log were lost", "lines of the access log were lost"] {
            let line = shown.lines().find(|line| line.contains(log)).unwrap_or_else(|| panic!("{shown}"));
            assert!(line.trim_end().ends_with("ago: No space left on device"), "{line}");
        }
    }

    assert_eq!(server.get("/empty").status, 200);
    let log = |name: &str| {
        let path = server.file("disk").join(name);
        let path = format!("/proc/{}/root{}", server.pid(), path.display());
        std::fs::read_to_string(path).unwrap_or_default()
    };
    server.eventually("the log to tell it, too", || {
        server.signal(Signal::TTIN);
        server.signal(Signal::TTOU);
        log("error.log").contains("log lines were lost: standard error took no more").then_some(())
    });
    server.eventually("the access log to go on", || {
        assert_eq!(server.get("/after").status, 200);
        log("access.log").lines().any(|line| line == "/after").then_some(())
    });
    assert!(log("error.log").contains("the access log is written again; "), "{}", log("error.log"));
    server.stop();
}

/// The status in the first event of the page.
#[track_caller]
fn status_of(page: &str) -> Value {
    let data = page.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or_else(|| panic!("{page}"));
    serde_json::from_str::<Value>(data).expect("JSON")["status"].take()
}
