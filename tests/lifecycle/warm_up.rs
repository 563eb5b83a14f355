//! Promise: before an application is ready it answers what `warm_up` says, through the whole Rack stack: in the mold when
//! it is preloaded, else in each worker. No client waits for what that loads. What fails there is told, and ends nothing.

use testkit::{App, Server};

/// An application that needs the first request to load something, and tells in which process that was.
const APP: &str = r##"
loaded = nil
run(lambda do |env|
  raise "no such table" if env["PATH_INFO"] == "/raises"
  next [200, {}, [loaded.inspect]] unless env["PATH_INFO"] == "/load"
  loaded ||= [Process.pid, env["licorne.warm_up"], env["HTTP_HOST"]]
  [200, {}, ["fine"]]
end)
"##;

fn server(preload: bool, config: &str) -> Server {
    Server::builder().app(App::rackup(APP)).workers(2).preload(preload).config(config).start()
}

/// The process that has loaded what there is to load, as the workers tell.
#[track_caller]
fn loaded_in(server: &Server) -> Vec<u32> {
    let answers = server.workers().into_iter().map(|_| server.get("/").text());
    answers
        .map(|text| {
            let (pid, rest) = text.trim_start_matches('[').split_once(", ").expect("it was warmed up");
            assert_eq!(rest, "true, \"example.com\"]", "{text}");
            pid.parse().expect("a pid")
        })
        .collect()
}

const CONFIG: &str = "warm_up '/load', headers: { 'Host' => 'example.com' }";

#[test]
fn a_preloaded_application_is_warmed_up_in_the_mold_for_all_workers() {
    let mut server = server(true, CONFIG);
    let workers: Vec<u32> = server.workers().iter().map(|worker| worker.pid).collect();
    for pid in loaded_in(&server) {
        assert!(!workers.contains(&pid), "the mold has loaded it, not a worker: {pid} {workers:?}");
    }
    let log = server.log().text();
    let warmed = log.find("warm_up GET /load: 200 in ").expect("it is told");
    assert!(warmed < log.find("worker=0 spawning...").expect("workers are forked"), "{log}");
    assert_eq!(log.matches("warm_up GET").count(), 1, "{log}");
    let status: serde_json::Value = serde_json::from_str(&server.ctl(["status", "--json"]).stdout).expect("JSON");
    assert_eq!(status["totals"]["requests"], 2, "only clients' requests count");
    server.stop();
}

#[test]
fn each_worker_is_warmed_up_before_it_is_ready_when_it_loads_the_application_itself() {
    let mut server = server(false, CONFIG);
    let workers: Vec<u32> = server.workers().iter().map(|worker| worker.pid).collect();
    for pid in loaded_in(&server) {
        assert!(workers.contains(&pid), "{pid} {workers:?}");
    }
    let log = server.log().text();
    for slot in [0, 1] {
        let warmed = log.find(&format!("worker={slot} warm_up GET /load: 200 in ")).expect("it is told");
        assert!(warmed < log.find(&format!("worker={slot} ready")).expect("it is ready"), "{log}");
    }
    server.stop();
}

#[test]
fn a_failure_in_a_warm_up_is_told_and_the_server_serves() {
    let config =
        "warm_up('/raises', '/load', headers: { host: 'example.com' }) { |app, server| raise server.class.name }";
    let mut server = server(true, config);
    loaded_in(&server);
    let log = server.log().text();
    for told in [
        "WARN -- : warm_up GET /raises: no such table (RuntimeError)",
        "config.ru:",
        "WARN -- : warm_up block: Licorne::Server (RuntimeError)",
    ] {
        assert!(log.contains(told), "{told}: {log}");
    }
    server.stop();
}

#[test]
fn a_reload_warms_the_new_code_up_while_the_old_serves() {
    let mut server = server(true, CONFIG);
    let before = loaded_in(&server);
    let load = server.load().clients(2).start();
    let finished = server.ctl(["reload", "--wait"]);
    assert_eq!(finished.code(), 0, "{finished:#?}");
    load.stop().assert_no_failure();
    let after = loaded_in(&server);
    assert!(after.iter().all(|pid| !before.contains(pid)), "another mold has loaded it: {before:?} {after:?}");
    server.stop();
}
