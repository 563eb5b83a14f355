//! Promise: with `memory_budget` an application that leaks is not killed for lack of memory: workers that have grown are replaced
//! before. One that needs more than its budget is let alone, and the log says so.

use serde_json::Value;
use testkit::{App, MemoryGroup, Server};

const APP: &str = r#"
$leaked = []
run lambda { |env|
  $leaked << "x" * 1_000_000 if env["PATH_INFO"] == "/leak"
  [200, {}, ["done"]]
}
"#;

fn status(server: &Server) -> Value {
    serde_json::from_str(&server.ctl(["status", "--json"]).stdout).expect("JSON")
}

#[test]
fn application_that_leaks_is_not_killed_for_lack_of_memory() {
    let Some(group) = MemoryGroup::limited(320 << 20) else { return };
    let app = Server::builder().app(App::rackup(APP)).workers(2).preload(true);
    let mut server = app.config("memory_budget 0.6").within(&group).start();
    let mark = server.mark();
    let told = server.eventually("workers that were replaced", || {
        assert_eq!(server.get("/leak").status, 200);
        let status = status(&server);
        (status["recycled"]["memory_budget"].as_u64() >= Some(4)).then_some(status)
    });
    assert_eq!(told["deaths"]["total"], 0, "{told:#}");
    let budget = (320_u64 << 20) * 6 / 10;
    assert_eq!(told["memory"]["budget_bytes"], budget);
    server.wait_for(mark, "is replaced by memory_budget: ");
    server.stop();
}

#[test]
fn application_that_leaks_a_little_loses_no_request() {
    let Some(group) = MemoryGroup::limited(320 << 20) else { return };
    let leak = r#"$leaked = []; run lambda { |_env| $leaked << "x" * 6_000; [200, {}, ["done"]] }"#;
    let app = Server::builder().app(App::rackup(leak)).workers(2).preload(true);
    let mut server = app.config("memory_budget 0.6").within(&group).start();
    let requests = if testkit::rounds(100) == 100 { 150_000 } else { 30_000 };
    let (close, kept) = (server.load().clients(2).start(), server.load().clients(4).keep_alive(true).start());
    (0..requests / 10_000).for_each(|_| kept.wait_for_successes(10_000));
    let told = status(&server);
    for report in [close.stop(), kept.stop()] {
        report.assert_no_failure();
    }
    assert_eq!(told["deaths"]["total"], 0, "{told:#}");
    assert!(told["recycled"]["memory_budget"].as_u64() >= Some((requests as u64 / 50_000).max(1)), "{told:#}");
    server.stop();
}

#[test]
fn application_that_needs_more_is_told_of_and_serves_on() {
    let app = Server::builder().app(App::rackup(APP)).preload(true);
    let mut server = app.config("worker_processes 1..3\nmemory_budget '1M'").start();
    let before = server.workers();
    let text = "and memory_budget is 1 MiB: no worker has grown, and there are no fewer";
    server.log().eventually("what is told", || server.log().text().contains(text).then_some(()));
    let load = server.load().clients(4).start();
    server.eventually("some seconds", || (status(&server)["uptime_s"].as_u64() >= Some(5)).then_some(()));
    load.stop().assert_no_failure();
    assert_eq!(server.workers(), before, "there is no room for more, and none is replaced");
    assert_eq!(server.log().text().matches(text).count(), 1);
    server.stop();
}
