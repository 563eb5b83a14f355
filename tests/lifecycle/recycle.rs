//! Promise: a worker that has had its time (`max_requests`, `max_age`, `max_memory`) is replaced without a gap: another one
//! serves first, and no request fails. One that cannot be replaced serves on.

use serde_json::Value;
use testkit::{App, Server};

const APP: &str = r#"
$leaked = []
run lambda { |env|
  $leaked << "x" * 1_000_000 if env["PATH_INFO"] == "/leak"
  [200, {}, [Process.pid.to_s]]
}
"#;

fn server(config: &str) -> Server {
    Server::builder().app(App::rackup(APP)).workers(2).preload(true).config(config).start()
}

fn status(server: &Server) -> Value {
    serde_json::from_str(&server.ctl(["status", "--json"]).stdout).expect("JSON")
}

/// Waits until so many workers were replaced for this reason.
#[track_caller]
fn wait_for_recycled(server: &Server, reason: &str, count: u64) -> Value {
    server.eventually(&format!("{count} workers replaced by {reason}"), || {
        let recycled = status(server)["recycled"].take();
        (recycled[reason].as_u64() >= Some(count)).then_some(recycled)
    })
}

/// Waits until the workers have been looked at, once at least: that is done each second.
#[track_caller]
fn wait_for_a_look(server: &Server) {
    server.eventually("three seconds", || (status(server)["uptime_s"].as_u64() >= Some(3)).then_some(()));
}

#[test]
fn workers_are_replaced_after_their_requests_and_none_fails() {
    let mut server = server("max_requests 200, jitter: 0.5\nupgrade :in_place");
    let (mark, before) = (server.mark(), server.workers());
    let load = server.load().clients(3).start();
    let recycled = wait_for_recycled(&server, "max_requests", 4);
    load.stop().assert_no_failure();
    assert_eq!((&recycled["max_age"], &recycled["max_memory"]), (&Value::from(0), &Value::from(0)));
    let line = server.wait_for(mark, "is replaced by max_requests: it has served ");
    assert!(line.contains("worker=") && line.contains(" requests in "), "{line}");
    assert!(before.iter().all(|worker| !server.workers().contains(worker)), "each has been replaced");
    assert!(server.workers().iter().all(|worker| worker.generation == Some(1)), "by the same mold");
    assert_eq!(server.ctl(["upgrade", "--wait"]).code(), 0);
    wait_for_recycled(&server, "max_requests", recycled["max_requests"].as_u64().expect("a number"));
    server.stop();
}

#[test]
fn workers_are_replaced_when_they_are_old_though_nothing_is_asked_of_them() {
    let mut server = server("max_age 1");
    let before = server.workers();
    wait_for_recycled(&server, "max_age", 2);
    server.eventually("other workers", || {
        let now = server.workers();
        (now.len() == 2 && now.iter().all(|worker| !before.contains(worker))).then_some(())
    });
    server.stop();
}

#[test]
fn worker_that_leaks_is_replaced_and_the_leak_with_it() {
    let mut server = server("max_memory '96M'");
    let mark = server.mark();
    for _ in 0..100 {
        server.get("/");
    }
    wait_for_a_look(&server);
    server.eventually("a worker replaced by max_memory", || {
        assert_eq!(server.get("/leak").status, 200);
        (status(&server)["recycled"]["max_memory"].as_u64() >= Some(1)).then_some(())
    });
    let line = server.wait_for(mark, "is replaced by max_memory: ");
    assert!(line.ends_with(" MiB private"), "{line}");
    server.stop();
}

#[test]
fn worker_that_starts_too_large_is_not_replaced_again_and_again() {
    let mut server = server("max_memory '256K'");
    let before = server.workers();
    let text = "has more private memory than max_memory right after its start: it is not replaced for that";
    server.log().eventually("what is told", || server.log().text().contains(text).then_some(()));
    for _ in 0..100 {
        server.get("/");
    }
    wait_for_a_look(&server);
    assert_eq!((server.workers(), &status(&server)["recycled"]["max_memory"]), (before, &Value::from(0)));
    assert_eq!(server.log().text().matches(text).count(), 1);
    server.stop();
}

#[test]
fn worker_that_cannot_be_replaced_serves_on_until_it_can() {
    let app = format!("raise 'no workers now' if File.exist?('../broken')\n{APP}");
    let mut server = Server::builder().app(App::rackup(&app)).workers(1).config("max_requests 20").start();
    let (mark, old) = (server.mark(), server.workers());
    server.write("broken", "");
    for _ in 0..30 {
        server.get("/");
    }
    server.wait_for(mark, "worker=0 gen=1 does not boot: no workers now");
    server.wait_for(mark, "worker=0 failed 2 times in a row");
    assert_eq!(server.get("/").text(), old[0].pid.to_string());
    std::fs::remove_file(server.file("broken")).expect("it is there");
    wait_for_recycled(&server, "max_requests", 1);
    assert_ne!(server.get("/").text(), old[0].pid.to_string());
    server.stop();
}
