//! Promise: a reload puts new code in service while not one request fails, nor waits.

use std::time::Duration;

use rustix::process::Signal;
use testkit::output::Mark;
use testkit::{App, Server, process};

/// The longest time without a success that is promised.
const GAP: Duration = Duration::from_millis(50);

/// An application that takes 2 s to boot, and tells in each response which text of `generation` it was booted with.
const SLOW_BOOT: &str = r#"
generation = File.read("../generation").chomp
sleep Float(ENV.fetch("BOOT_SECONDS", "2"))
run ->(_env) { [200, { "Content-Type" => "text/plain", "Content-Length" => "3", "X-Generation" => generation }, ["ok\n"]] }
"#;

fn slow_server(workers: u32, preload: bool, boot_seconds: &str) -> Server {
    let server = Server::builder().app(App::rackup(SLOW_BOOT)).workers(workers).preload(preload);
    // The file must be there before the first boot reads it.
    let server =
        server.config("path = File.expand_path('../generation'); File.write(path, 'g1') unless File.exist?(path)");
    server.env("BOOT_SECONDS", boot_seconds).start()
}

#[track_caller]
fn wait_for_generation(server: &Server, generation: u32, workers: usize) {
    server.eventually(&format!("{workers} workers of generation {generation}, and no other"), || {
        let all = server.workers();
        (all.len() == workers && all.iter().all(|worker| worker.generation == Some(generation))).then_some(())
    });
}

#[track_caller]
fn check_reloads_under_load(preload: bool) {
    let mut server = slow_server(2, preload, "2");
    let close = server.load().clients(3).start();
    let kept = server.load().clients(3).keep_alive(true).start();
    let rounds = testkit::rounds(10);
    for number in 2..=rounds + 1 {
        server.write("generation", &format!("g{number}"));
        server.signal(Signal::HUP);
        close.wait_until_seen(&format!("g{number}"));
        kept.wait_until_seen(&format!("g{number}"));
        wait_for_generation(&server, number, 2);
    }
    let (close, kept) = (close.stop(), kept.stop());
    close.assert_flawless(GAP);
    kept.assert_flawless(GAP);
    assert_eq!(close.seen.len(), rounds as usize + 1, "{:?}", close.seen);
    server.stop();
}

#[test]
fn reloads_under_load_lose_no_request() {
    check_reloads_under_load(false);
}

#[test]
fn reloads_of_a_preloaded_application_under_load_lose_no_request() {
    check_reloads_under_load(true);
}

#[test]
fn reloads_asked_for_in_a_burst_end_with_the_newest_code() {
    let mut server = slow_server(2, true, "0");
    let load = server.load().start();
    for number in 2..=6 {
        server.write("generation", &format!("g{number}"));
        server.signal(Signal::HUP);
    }
    load.wait_until_seen("g6");
    server.eventually("two workers", || (server.workers().len() == 2).then_some(()));
    load.stop().assert_flawless(GAP);
    server.stop();
}

#[test]
fn a_reload_follows_a_changed_configuration() {
    let mut server = Server::builder().workers(1).start();
    server.append_config("worker_processes 3");
    server.signal(Signal::HUP);
    wait_for_generation(&server, 2, 3);
    server.append_config("worker_processes 1");
    server.signal(Signal::HUP);
    wait_for_generation(&server, 3, 1);
    assert_eq!(server.get("/").status, 200);
    server.stop();
}

#[test]
fn a_reload_binds_new_listeners_and_closes_dropped_ones() {
    let mut server = Server::builder().workers(1).start();
    let path = server.file("more.sock");
    server.append_config(&format!("listen {path:?}"));
    server.signal(Signal::HUP);
    wait_for_generation(&server, 2, 1);
    let more = testkit::Endpoint::Unix(path.clone());
    assert_eq!(testkit::Connection::open(&more).request(&testkit::Request::get("/").close()).status, 200);
    let config = std::fs::read_to_string(server.file("config.rb")).expect("a configuration");
    server.write("config.rb", &config.replace("listen ", "# listen "));
    server.signal(Signal::HUP);
    wait_for_generation(&server, 3, 1);
    server.eventually("the dropped listener closed", || (!testkit::procfs::listens_on_path(&path)).then_some(()));
    server.stop();
}

#[test]
fn a_reload_follows_a_moved_symlink() {
    // Capistrano's way: `current` points to a release, and the server was started in `current`.
    let app = |text: &str| format!("run ->(_env) {{ [200, {{ 'X-Generation' => '{text}' }}, []] }}");
    let mut server = Server::builder()
        .config("root = ENV.fetch('TEST_DIR'); current = File.join(root, 'current')")
        .config("File.symlink('app', current) unless File.symlink?(current)")
        .config("working_directory current")
        .app(App::rackup(app("first")))
        .start();
    assert_eq!(server.get("/").field("X-Generation"), Some("first"));
    std::fs::create_dir(server.file("second")).expect("made");
    server.write("second/config.ru", &app("second"));
    std::os::unix::fs::symlink("second", server.file("next")).expect("linked");
    std::fs::rename(server.file("next"), server.file("current")).expect("renamed");
    server.signal(Signal::HUP);
    wait_for_generation(&server, 2, 1);
    assert_eq!(server.get("/").field("X-Generation"), Some("second"));
    server.stop();
}

#[test]
fn a_touched_file_asks_for_a_reload() {
    let server = Server::builder().app(App::rackup(SLOW_BOOT)).workers(1).env("BOOT_SECONDS", "0");
    let config = "File.write(File.expand_path('../generation'), 'g1')\nrestart_file '../tmp/restart.txt'";
    let mut server = server.config(config).start();
    std::fs::create_dir(server.file("tmp")).expect("made");
    server.write("tmp/other.txt", "");
    server.write("tmp/restart.txt", "");
    wait_for_generation(&server, 2, 1);
    std::fs::rename(server.file("tmp"), server.file("former")).expect("renamed");
    std::fs::create_dir(server.file("tmp")).expect("made");
    server.write("tmp/restart.txt", "");
    wait_for_generation(&server, 3, 1);
    server.append_config("restart_file '../restart.txt'");
    server.write("tmp/restart.txt", "again");
    wait_for_generation(&server, 4, 1);
    server.write("restart.txt", "");
    wait_for_generation(&server, 5, 1);
    server.stop();
    let output = server.whole_output();
    assert_eq!(output.matches("restart.txt was touched").count(), 4, "{output}");
}

#[test]
fn reload_wait_returns_when_the_new_code_serves() {
    let mut server = slow_server(2, true, "0");
    server.write("generation", "g2");
    let finished = server.ctl(["reload", "--wait"]);
    assert_eq!(finished.code(), 0, "{finished:#?}");
    assert!(finished.stdout.contains("generation 2 serves"), "{finished:#?}");
    // It has returned: every request from now on is answered by the new code.
    for _ in 0..20 {
        assert_eq!(server.get("/").field("X-Generation"), Some("g2"));
    }
    server.stop();
}

#[test]
fn status_tells_who_serves() {
    let mut server = Server::builder().workers(2).start();
    let finished = server.ctl(["status", "--json"]);
    assert_eq!(finished.code(), 0, "{finished:#?}");
    let status: serde_json::Value = serde_json::from_str(&finished.stdout).expect("JSON");
    assert_eq!(status["pid"], server.pid());
    assert_eq!(status["generation"], 1);
    let workers = status["workers"].as_array().expect("workers");
    let pids: Vec<u64> = workers.iter().filter_map(|worker| worker["pid"].as_u64()).collect();
    assert_eq!(pids, server.workers().iter().map(|worker| u64::from(worker.pid)).collect::<Vec<_>>());
    assert_eq!(server.ctl(["status"]).code(), 0);
    server.stop();
}

#[test]
fn stop_returns_when_the_server_has_stopped() {
    let mut server = Server::builder().config("control File.join(ENV.fetch('TEST_DIR'), 'control.sock')").start();
    let names = ["server.pid", "control.sock"].map(|name| server.file(name));
    assert!(names.iter().all(|path| path.exists()), "{names:?}");
    let finished = process::licorne(["stop", "--control", &names[1].display().to_string()]);
    assert_eq!(finished.code(), 0, "{finished:#?}");
    // Looked at before anything else: what comes after `stop` in a script may be the next server.
    assert!(!names.iter().any(|path| path.exists()), "{names:?}");
    assert!(server.wait_for_exit().success());
    server.assert_nothing_is_left();
    let again = server.ctl(["stop"]);
    assert_eq!(again.code(), 1, "{again:#?}");
}

#[test]
fn a_rails_application_is_reloaded_under_load() {
    let mut server = Server::builder().app(App::rails()).workers(2).preload(true).start();
    let load = server.load().clients(2).start();
    server.write("app/config/initializers/generation.rb", "GENERATION = 'second'\n");
    server.signal(Signal::HUP);
    load.wait_until_seen("second");
    wait_for_generation(&server, 2, 2);
    // A boot of Rails takes a core for long, and a request milliseconds: only failures count here.
    load.stop().assert_no_failure();
    server.stop();
}

#[test]
fn a_sinatra_application_is_reloaded_under_load() {
    let mut server = Server::builder().app(App::sinatra()).workers(2).start();
    let load = server.load().clients(2).start();
    let code = std::fs::read_to_string(server.file("app/app.rb")).expect("the application");
    server.write("app/app.rb", &code.replace("\"first\"", "\"second\""));
    server.signal(Signal::HUP);
    load.wait_until_seen("second");
    wait_for_generation(&server, 2, 2);
    load.stop().assert_flawless(GAP);
    server.stop();
}

#[test]
fn a_request_that_began_before_a_reload_is_finished_by_the_old_code() {
    let mut server = Server::builder().workers(1).start();
    let mut gate = testkit::Gate::new(&server);
    let held = gate.hold(&server);
    server.signal(Signal::HUP);
    // The new worker serves while the old one still works.
    server.wait_for_slots(&[0, 0]);
    server.eventually("an answer of the new worker's", || {
        let pid: u32 = server.get("/pid").text().trim().parse().ok()?;
        (pid != held.worker).then_some(())
    });
    assert_eq!(gate.release(held).status, 200);
    wait_for_generation(&server, 2, 1);
    server.wait_for(Mark::default(), "done reloading");
    server.stop();
}
