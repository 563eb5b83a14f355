//! Promise: with `worker_processes 1..4` the number of workers follows the load, no request fails by it, and what an operator
//! says holds until the next reload.

use rustix::process::Signal;
use serde_json::Value;
use testkit::{App, Server};

/// A worker does fifty of them in a second.
const APP: &str = "run lambda { |env| sleep(0.02); [200, {}, ['done']] }";

fn server(config: &str) -> Server {
    Server::builder().app(App::rackup(APP)).preload(true).config(config).start()
}

fn status(server: &Server) -> Value {
    serde_json::from_str(&server.ctl(["status", "--json"]).stdout).expect("JSON")
}

#[track_caller]
fn wait_for_workers(server: &Server, right: impl Fn(u64) -> bool) -> u64 {
    server.eventually("another number of workers", || {
        status(server)["worker_processes"].as_u64().filter(|count| right(*count))
    })
}

#[test]
fn burst_brings_workers_and_they_go_when_it_is_over() {
    let mut server = server("worker_processes 1..4");
    let mark = server.mark();
    assert_eq!(server.workers().len(), 1);
    let load = server.load().clients(8).start();
    wait_for_workers(&server, |count| count == 4);
    server.wait_for_slots(&[0, 1, 2, 3]);
    server.wait_for(mark, "workers from now on; there were 1");
    assert_eq!(server.ctl(["reload", "--wait"]).code(), 0);
    assert_eq!(status(&server)["worker_processes"], 4, "a reload takes the number over");
    load.stop().assert_no_failure();
    // It waits for longer than a test waits for anything.
    let over = status(&server)["uptime_s"].as_u64().expect("a number");
    server.eventually("half a minute", || (status(&server)["uptime_s"].as_u64() >= Some(over + 30)).then_some(()));
    wait_for_workers(&server, |count| count == 1);
    server.wait_for_slots(&[0]);
    server.stop();
}

#[test]
fn word_of_an_operator_holds_until_the_next_reload() {
    let mut server = server("worker_processes 1, 4");
    assert_eq!(status(&server)["worker_range"], serde_json::json!({ "least": 1, "most": 4, "by_hand": false }));
    server.signal(Signal::TTIN);
    server.wait_for_slots(&[0, 1]);
    assert_eq!(status(&server)["worker_range"]["by_hand"], true);
    let shown = server.ctl(["config"]).stdout;
    let line = shown.lines().find(|line| line.contains("worker_processes ")).expect("it is shown");
    assert!(line.contains(" 2 ") && line.contains("SIGTTIN"), "{line}");
    assert_eq!(server.ctl(["reload", "--wait"]).code(), 0);
    let status = status(&server);
    assert_eq!((&status["worker_processes"], &status["worker_range"]["by_hand"]), (&1.into(), &false.into()));
    server.stop();
}
