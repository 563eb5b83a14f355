//! Promise: new code that does not boot changes nothing: the old generation serves on, and `reload --wait` says why.

use rustix::process::Signal;
use testkit::{App, Server};

const GOOD: &str = "run ->(_env) { [200, { 'X-Generation' => 'good' }, ['ok']] }\n";

/// How new code can fail: its text, and what the report of the failure must contain.
struct Failure {
    name: &'static str,
    code: &'static str,
    told: &'static [&'static str],
}

const FAILURES: &[Failure] = &[
    Failure { name: "raises", code: "\nraise 'no such setting'\n", told: &["no such setting", "config.ru:"] },
    Failure { name: "does not parse", code: "run ->(env) {\n", told: &["SyntaxError", "config.ru"] },
    Failure { name: "misses a library", code: "require 'no_such_library'\n", told: &["no_such_library", "LoadError"] },
    Failure { name: "exits", code: "exit 0\n", told: &["exit"] },
    Failure { name: "is killed", code: "Process.kill(:KILL, $$)\nsleep\n", told: &["SIGKILL"] },
    Failure { name: "hangs", code: "sleep\n", told: &["in time"] },
];

#[track_caller]
fn check(failure: &Failure, preload: bool) {
    let name = failure.name;
    let server = Server::builder().app(App::rackup(GOOD)).workers(2).preload(preload);
    // Long enough for the code that boots, on a slow machine too.
    let mut server = if name == "hangs" { server.config("boot_timeout 10") } else { server }.start();
    let before = server.workers();
    let load = server.load().clients(2).start();
    server.write("app/config.ru", failure.code);

    let finished = server.ctl(["reload", "--wait"]);
    assert_eq!(finished.code(), 1, "code that {name}, preload {preload}: {finished:#?}");
    for told in failure.told {
        assert!(finished.stderr.contains(told), "code that {name}, preload {preload}: {finished:#?}");
    }
    // As it was: the same processes, and nothing of the failed generation.
    server.eventually("the old generation alone", || (server.workers() == before).then_some(()));
    server.eventually("one mold", || (server.titled("mold").len() == 1).then_some(()));

    server.write("app/config.ru", &GOOD.replace("good", "better"));
    let finished = server.ctl(["reload", "--wait"]);
    assert_eq!(finished.code(), 0, "after code that {name}, preload {preload}: {finished:#?}");
    load.wait_until_seen("better");
    let report = load.stop();
    report.assert_no_failure();
    server.stop();
}

#[track_caller]
fn check_named(name: &str) {
    let failure = FAILURES.iter().find(|failure| failure.name == name).expect("it is in the table");
    for preload in [true, false] {
        check(failure, preload);
    }
}

#[test]
fn new_code_that_raises_changes_nothing() {
    check_named("raises");
}

#[test]
fn new_code_that_does_not_parse_changes_nothing() {
    check_named("does not parse");
}

#[test]
fn new_code_that_misses_a_library_changes_nothing() {
    check_named("misses a library");
}

#[test]
fn new_code_that_exits_changes_nothing() {
    check_named("exits");
}

#[test]
fn new_code_that_is_killed_while_it_boots_changes_nothing() {
    check_named("is killed");
}

#[test]
fn new_code_that_hangs_changes_nothing() {
    check_named("hangs");
}

#[test]
fn a_broken_configuration_changes_nothing() {
    for (broken, told) in
        [("worker_proceses 3", "worker_processes"), ("raise 'no'", "no (RuntimeError)"), ("timeout 'x'", "timeout")]
    {
        let mut server = Server::builder().workers(1).start();
        let before = server.workers();
        let mark = server.mark();
        let config = std::fs::read_to_string(server.file("config.rb")).expect("a configuration");
        server.append_config(broken);
        server.signal(Signal::HUP);
        server.wait_for(mark, "error reloading config_file=");
        assert_eq!(server.workers(), before, "{broken}");
        let finished = server.ctl(["reload", "--wait"]);
        assert_eq!(finished.code(), 1, "{broken}: {finished:#?}");
        assert!(finished.stderr.contains(told), "{broken}: {finished:#?}");
        let status = server.ctl(["status"]).stdout;
        let line = status.lines().find(|line| line.starts_with("last reload ")).unwrap_or_default();
        assert!(line.contains("generation 3 failed: ") && line.contains(told), "{broken}: {status}");
        let status: serde_json::Value = serde_json::from_str(&server.ctl(["status", "--json"]).stdout).expect("JSON");
        assert_eq!((&status["last_reload"]["generation"], &status["generation"]), (&3.into(), &1.into()), "{broken}");
        server.write("config.rb", &config);
        assert_eq!(server.ctl(["reload", "--wait"]).code(), 0, "after {broken}");
        let status: serde_json::Value = serde_json::from_str(&server.ctl(["status", "--json"]).stdout).expect("JSON");
        let last = (&status["last_reload"]["generation"], &status["last_reload"]["failure"]);
        assert_eq!(last, (&4.into(), &serde_json::Value::Null), "after {broken}");
        server.stop();
    }
}

#[test]
fn a_new_generation_that_boots_for_one_worker_only_is_rolled_back() {
    // The second worker to boot fails: the first of the new generation serves already, and must go again. The old mold
    // holds the old code, so that it can take the slot back.
    let mut server = Server::builder().app(App::rackup(GOOD)).workers(2).preload(true).start();
    let load = server.load().clients(2).start();
    server.append_config("after_fork { |_server, worker| raise 'only one of us boots' if worker.nr == 1 }");
    let finished = server.ctl(["reload", "--wait"]);
    assert_eq!(finished.code(), 1, "{finished:#?}");
    assert!(finished.stderr.contains("only one of us boots"), "{finished:#?}");
    server.eventually("two workers of the old generation", || {
        let workers = server.workers();
        (workers.len() == 2 && workers.iter().all(|worker| worker.generation == Some(1))).then_some(())
    });
    load.stop().assert_no_failure();
    server.stop();
}

#[test]
fn a_worker_of_new_code_stays_where_the_old_code_cannot_come_back() {
    // Without preloading an old worker loads what is on the disk now, which is broken: the slot that the new code has
    // taken already is better served by it than not at all.
    let code = r#"
raise "only one of us boots" if File.exist?(File.join(ENV.fetch("TEST_DIR"), "booted"))
File.write(File.join(ENV.fetch("TEST_DIR"), "booted"), "")
run ->(_env) { [200, { "X-Generation" => "half" }, []] }
"#;
    let server = Server::builder().app(App::rackup(GOOD)).workers(2).start();
    let load = server.load().clients(2).start();
    server.write("app/config.ru", code);
    let finished = server.ctl(["reload", "--wait"]);
    assert_eq!(finished.code(), 1, "{finished:#?}");
    assert!(finished.stderr.contains("only one of us boots"), "{finished:#?}");
    load.wait_for_successes(20);
    let kept = server.workers().into_iter().any(|worker| worker.generation == Some(1) && worker.number == 1);
    assert!(kept, "the slot that was not replaced keeps its worker");
    load.stop().assert_no_failure();
}
