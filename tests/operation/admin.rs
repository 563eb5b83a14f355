//! Promise: `/livez`, `/readyz`, `/status` and `/metrics` are answered however busy the workers are, and `/readyz` fails
//! before anything else does.

use std::collections::BTreeSet;
use std::process::Command;

use rustix::process::Signal;
use testkit::output::Mark;
use testkit::process::{Watch, run, signal};
use testkit::{Builder, Connection, Endpoint, Gate, Request, Response, Server, procfs};

const LISTEN: &str = "admin_listen File.join(ENV.fetch('TEST_DIR'), 'admin.sock')";

fn builder() -> Builder {
    Server::builder().config(LISTEN)
}

fn admin(server: &Server) -> Endpoint {
    Endpoint::Unix(server.file("admin.sock"))
}

/// The answer, once there is one.
#[track_caller]
fn ask(server: &Server, path: &str) -> Response {
    let endpoint = admin(server);
    server.eventually("the admin process", || {
        let deadline = std::time::Instant::now() + testkit::patience();
        let mut connection = Connection::connect(&endpoint, testkit::patience()).ok()?;
        // One that is just being replaced may leave without an answer.
        connection.try_send(&Request::get(path).close().bytes(), deadline).ok()?;
        connection.try_receive("GET", deadline).ok()
    })
}

#[track_caller]
fn wait_for_status(server: &Server, path: &str, status: u16) {
    server.eventually(path, || (ask(server, path).status == status).then_some(()));
}

#[test]
fn health_is_told_while_every_worker_is_busy() {
    let mut server = builder().workers(1).start();
    let mut gate = Gate::new(&server);
    let held = gate.hold(&server);
    assert_eq!((ask(&server, "/livez").status, ask(&server, "/readyz").status), (200, 200));
    let status: serde_json::Value = serde_json::from_str(&ask(&server, "/status").text()).expect("JSON");
    assert_eq!(status["workers"][0]["request"]["line"], "GET /wait");
    assert_eq!(status["workers"][0]["connections"], 1);
    let metrics = ask(&server, "/metrics").text();
    assert!(metrics.contains("licorne_workers{state=\"busy\"} 1\n"), "{metrics}");
    assert_eq!(ask(&server, "/nowhere").status, 404);
    assert_eq!(gate.release(held).status, 200);
    server.stop();
}

#[test]
fn query_strings_are_shown_only_when_the_configuration_says_so() {
    let mut server = builder().workers(1).start();
    let mut gate = Gate::new(&server);
    let request = || Request::get("/wait?token=secret");
    let line = || {
        let status: serde_json::Value = serde_json::from_str(&ask(&server, "/status").text()).expect("JSON");
        status["workers"][0]["request"]["line"].as_str().map(str::to_string)
    };
    let held = gate.hold_request(&server, request());
    assert_eq!(line().as_deref(), Some("GET /wait"));
    assert_eq!(gate.release(held).status, 200);
    server.append_config("admin_show_queries true");
    assert_eq!(server.ctl(["reload", "--wait"]).code(), 0);
    let held = gate.hold_request(&server, request());
    let shown = || line().filter(|line| line == "GET /wait?token=secret").map(drop);
    server.eventually("the admin process that shows it", shown);
    assert_eq!(gate.release(held).status, 200);
    server.stop();
}

#[test]
fn each_metric_is_explained_and_no_other_is() {
    let mut server = builder().workers(1).config("memory_budget '100G'").start();
    let text = ask(&server, "/metrics").text();
    let told: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let page = std::fs::read_to_string(testkit::program::repository().join("docs/metrics.md")).expect("a page");
    let explained: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert_eq!(told, explained);
    assert!(text.contains("licorne_memory_bytes{generation=\"serving\",kind=\"pss\"}"), "{text}");
    server.stop();
}

#[test]
fn metrics_are_valid_for_promtool() {
    let mut server = builder().workers(1).start();
    assert_eq!(server.get("/").status, 200);
    server.write("metrics", &ask(&server, "/metrics").text());
    let mut promtool = Command::new("sh");
    promtool.args(["-c", "promtool check metrics < \"$0\""]).arg(server.file("metrics"));
    let finished = run(&mut promtool, testkit::patience());
    let said = [finished.stdout.as_str(), &finished.stderr].concat();
    // The old name of a counter, which stays for a release.
    let old = "licorne_worker_busy_milliseconds_total use base unit \"seconds\" instead of \"milliseconds\"";
    assert_eq!(said.trim(), old, "{finished:#?}");
    server.stop();
}

#[test]
fn readiness_ends_while_requests_are_still_served() {
    let mut server = builder().workers(1).config("shutdown_delay 600").start();
    wait_for_status(&server, "/readyz", 200);
    server.signal(Signal::TERM);
    wait_for_status(&server, "/readyz", 503);
    assert_eq!(ask(&server, "/livez").status, 200);
    assert_eq!(server.get("/").status, 200, "requests are served until the delay is over");
    server.signal(Signal::INT);
    assert!(server.wait_for_exit().success());
    server.assert_nothing_is_left();
}

#[test]
fn a_process_that_is_killed_is_replaced_and_its_address_may_change() {
    let mut server = builder().workers(1).start();
    wait_for_status(&server, "/livez", 200);
    let first = *server.titled("admin").first().expect("the admin process");
    // Old enough to be worth a restart, however long the boot before it has taken.
    let answered = uptime(&server);
    server.eventually("a second of age", || (uptime(&server) >= answered + 2).then_some(()));
    signal(first, Signal::KILL).expect("it is there");
    wait_for_status(&server, "/readyz", 200);
    let second = *server.titled("admin").first().expect("another one");
    assert_ne!(first, second);
    let config = std::fs::read_to_string(server.file("config.rb")).expect("a configuration");
    server.write("config.rb", &config.replace("admin.sock", "other.sock"));
    assert_eq!(server.ctl(["reload", "--wait"]).code(), 0);
    let other = Endpoint::Unix(server.file("other.sock"));
    server.eventually("the other address", || {
        let mut connection = Connection::connect(&other, testkit::patience()).ok()?;
        (connection.request(&Request::get("/readyz").close()).status == 200).then_some(())
    });
    assert!(Watch::on(second).is_none_or(|watch| watch.wait(testkit::patience())));
    server.stop();
}

fn uptime(server: &Server) -> u64 {
    let status: serde_json::Value = serde_json::from_str(&ask(server, "/status").text()).expect("JSON");
    status["uptime_s"].as_u64().expect("a number")
}

#[test]
fn it_goes_on_over_an_upgrade_in_place() {
    let mut server = builder().workers(1).config("upgrade :in_place").start();
    wait_for_status(&server, "/readyz", 200);
    let first = Watch::on(*server.titled("admin").first().expect("the admin process")).expect("it is there");
    let finished = server.ctl(["upgrade", "--wait"]);
    assert_eq!(finished.code(), 0, "{finished:#?}");
    assert!(first.wait(testkit::patience()), "the old one leaves");
    wait_for_status(&server, "/readyz", 200);
    server.stop();
}

#[test]
fn an_address_that_cannot_be_bound_costs_the_service_nothing() {
    let mut server = Server::builder().workers(1).config("admin_listen '/nowhere/admin.sock'").start();
    server.wait_for(Mark::default(), "admin");
    assert_eq!(server.get("/").status, 200);
    server.stop();
}

#[test]
fn its_process_is_neither_roots_nor_the_applications() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mut server = builder().workers(1).start();
    wait_for_status(&server, "/readyz", 200);
    let admin = *server.titled("admin").first().expect("the admin process");
    let uids = procfs::status(admin, "Uid").expect("a status");
    assert!(uids.split_whitespace().all(|uid| uid != "0"), "{uids}");
    let groups = procfs::status(admin, "Groups").expect("a status");
    assert!(groups.split_whitespace().all(|group| group != "0"), "{groups}");
    server.stop();
}

#[test]
fn a_client_that_has_said_all_is_answered() {
    use std::io::{Read, Write};
    let mut server = builder().workers(1).start();
    wait_for_status(&server, "/readyz", 200);
    let mut client = std::os::unix::net::UnixStream::connect(server.file("admin.sock")).expect("it listens");
    client.set_read_timeout(Some(testkit::patience())).expect("a limit");
    client.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    client.shutdown(std::net::Shutdown::Write).expect("half closed");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    server.stop();
}

#[test]
fn silent_connections_push_out_none_that_asks() {
    let mut server = builder().workers(1).start();
    wait_for_status(&server, "/readyz", 200);
    let mut silent = Vec::new();
    for _ in 0..5 {
        silent.extend((0..100).filter_map(|_| std::os::unix::net::UnixStream::connect(server.file("admin.sock")).ok()));
        assert_eq!(ask(&server, "/livez").status, 200);
    }
    drop(silent);
    server.stop();
}

#[test]
fn an_address_that_is_in_use_is_told_at_once_and_tried_again_by_a_reload() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = taken.local_addr().expect("it is bound");
    let mut server =
        Server::builder().workers(1).config(&format!("admin_listen '{address}'; admin_hosts 'example.com'")).start();
    server.wait_for(Mark::default(), &format!("licorne admin: {address} is in use by another process: trying for *"));
    server.wait_for(Mark::default(), &format!("admin_listen={address}: nothing answers health checks there*"));
    drop(taken);
    assert_eq!(server.ctl(["reload", "--wait"]).code(), 0);
    let endpoint = Endpoint::Tcp(address);
    server.eventually("an answer", || {
        let deadline = std::time::Instant::now() + testkit::patience();
        let mut connection = Connection::connect(&endpoint, testkit::patience()).ok()?;
        connection.try_send(&Request::get("/livez").close().bytes(), deadline).ok()?;
        connection.try_receive("GET", deadline).ok().filter(|answer| answer.status == 200)
    });
    server.stop();
}

#[test]
fn a_name_that_an_attacker_could_have_led_here_is_refused() {
    let mut server = Server::builder()
        .workers(1)
        .config("admin_listen '127.0.0.1:0'")
        .config("admin_hosts ['metrics.example.com', '.internal']")
        .start();
    let port = server.eventually("the admin process", || procfs::port(*server.titled("admin").first()?));
    let status = |host: &str| {
        let mut connection = Connection::open(&Endpoint::Tcp(([127, 0, 0, 1], port).into()));
        connection.send(format!("GET /status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
        connection.receive().status
    };
    for known in ["127.0.0.1", "localhost:9293", "health", "metrics.example.com", "web1.internal:80"] {
        assert_eq!(status(known), 200, "{known}");
    }
    assert_eq!(status("evil.example"), 403);
    // A change is a change of the process.
    let config = std::fs::read_to_string(server.file("config.rb")).expect("a configuration");
    server.write(
        "config.rb",
        &config.replace("metrics.example.com", "evil.example").replace(":0'", &format!(":{port}'")),
    );
    assert_eq!(server.ctl(["reload", "--wait"]).code(), 0);
    server.eventually("the other names", || {
        procfs::port(*server.titled("admin").first()?).filter(|again| *again == port)?;
        (status("evil.example") == 200).then_some(())
    });
    server.stop();
}

#[test]
fn a_master_that_hangs_is_told_to_all_that_ask() {
    use std::io::{Read, Write};
    let mut server = builder().workers(1).start();
    wait_for_status(&server, "/readyz", 200);
    server.suspended(server.pid(), || {
        let mut asking: Vec<_> = (0..100)
            .map(|_| {
                let mut client =
                    std::os::unix::net::UnixStream::connect(server.file("admin.sock")).expect("it listens");
                client.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
                client
            })
            .collect();
        for client in &mut asking {
            client.set_read_timeout(Some(testkit::patience())).expect("a limit");
            let mut answer = String::new();
            client.read_to_string(&mut answer).expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        }
    });
    wait_for_status(&server, "/livez", 200);
    server.stop();
}

#[test]
fn its_process_can_ask_for_nothing_but_the_status_and_the_deaths() {
    use std::io::{Read, Write};
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mut server = builder().workers(1).start();
    wait_for_status(&server, "/readyz", 200);
    let admin = *server.titled("admin").first().expect("the admin process");
    let handle = rustix::process::Pid::from_raw(i32::try_from(admin).expect("a pid")).expect("a pid");
    let handle = rustix::process::pidfd_open(handle, rustix::process::PidfdFlags::empty()).expect("it is there");
    let pair = rustix::process::pidfd_getfd(handle, 0, rustix::process::PidfdGetfdFlags::empty()).expect("root may");
    // An attacker that has taken the process over has this, and a user without rights.
    server.suspended(admin, || {
        let mut pair = std::os::unix::net::UnixStream::from(pair);
        for command in ["stop", "reload", "upgrade"] {
            pair.write_all(format!("{{\"command\":\"{command}\"}}\n").as_bytes()).expect("sent");
            let mut answer = Vec::new();
            server.eventually("an answer", || {
                let mut piece = [0; 4096];
                let count = pair.read(&mut piece).ok()?;
                assert!(count > 0, "the end of the master");
                answer.extend_from_slice(&piece[..count]);
                answer.ends_with(b"\n").then_some(())
            });
            let answer: serde_json::Value = serde_json::from_slice(&answer).expect("JSON");
            assert_eq!((&answer["answer"], &answer["phase"]), (&"status".into(), &"serving".into()), "{command}");
        }
    });
    assert_eq!(server.get("/").status, 200);
    let status: serde_json::Value = serde_json::from_str(&ask(&server, "/status").text()).expect("JSON");
    assert_eq!(status["generation"], 1);
    server.stop();
}

#[test]
fn a_master_of_another_version_has_no_metrics_rather_than_wrong_ones() {
    use std::io::{BufRead, BufReader, Write};
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path().join("admin.sock");
    let (master, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let (reader, writer) = testkit::process::pipe();
    let mut command = Command::new(testkit::program::path());
    command.args(["admin", "--with-parent", "--listen"]).arg(&at);
    let mut child = command.stdin(std::os::fd::OwnedFd::from(theirs)).stderr(writer).spawn().expect("it starts");
    drop(command);
    let log = testkit::output::Log::collect(reader);
    let questions = BufReader::new(master.try_clone().expect("a descriptor is left"));
    let mut answers = master.try_clone().expect("a descriptor is left");
    let answering = std::thread::spawn(move || {
        for _ in questions.lines().map_while(Result::ok) {
            let told = b"{\"answer\":\"status\",\"schema\":1,\"pid\":7,\"ready\":true,\"workers\":7}\n";
            answers.write_all(told).expect("it is taken");
        }
    });
    let ask = |path: &str| {
        log.eventually("the admin process", || {
            let mut connection = Connection::connect(&Endpoint::Unix(at.clone()), testkit::patience()).ok()?;
            Some(connection.request(&Request::get(path).close()))
        })
    };
    let metrics = ask("/metrics");
    let why =
        "the master is of another version than this process: workers: invalid type: integer `7`, expected a sequence\n";
    assert_eq!((metrics.status, &*metrics.text()), (503, why));
    assert_eq!(ask("/readyz").status, 200);
    assert_eq!(ask("/metrics").status, 503);
    master.shutdown(std::net::Shutdown::Both).expect("it is connected");
    answering.join().expect("the master answers");
    assert!(child.wait().expect("it ends").success());
    let line =
        "licorne admin: the master is of another version than this process, which has no metrics of it: workers: ";
    assert_eq!(log.text().matches(line).count(), 1, "{}", log.text());
}
