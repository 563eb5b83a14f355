//! Promise: a request that is about to be killed for its age is reported first, where it is and with every thread; and so is
//! a slow one, if that is wanted.

use std::time::Duration;

use rustix::process::Signal;
use testkit::output::Mark;
use testkit::process::{Watch, signal};
use testkit::{App, Gate, Server};

/// `/stuck` never returns, `/extended` has asked for time before, `/native` keeps Ruby from doing anything else.
const STUCK: &str = r#"
require "fiddle"

def wait_in_the_application = sleep

def wait_in_the_helper(begun)
  begun << true
  sleep
end

# A lock that is taken twice, waited for in C with the interpreter's lock held.
def wait_in_c
  take = Fiddle::Function.new(Fiddle.dlopen(nil)["pthread_mutex_lock"], [Fiddle::TYPE_VOIDP], Fiddle::TYPE_INT, need_gvl: true)
  lock = "\0" * 64
  2.times { take.call(lock) }
end

run lambda { |env|
  case env["PATH_INFO"]
  when "/stuck"
    begun = Queue.new
    Thread.new { wait_in_the_helper(begun) }
    begun.pop
    Thread.current[:user] = "unicorn-7"
    wait_in_the_application
  when "/extended"
    env["licorne.timeout"].extend_deadline(2)
    wait_in_the_application
  when "/native" then wait_in_c
  else [200, {}, ["ok\n"]]
  end
}
"#;

/// Sends a request whose worker will be killed, and waits until that has happened.
#[track_caller]
fn outlive(server: &Server, path: &str) {
    let answer = server.connect().request_raw(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_eq!(answer, b"");
    server.wait_for(Mark::default(), "reaped*SIGKILL (signal 9)*worker=0");
    assert_eq!(server.get("/").text(), "ok\n", "another worker has come");
}

#[test]
fn the_report_of_a_request_that_hangs_goes_into_the_log_that_there_is_now() {
    let config = "timeout 6\ntimeout_cleanup 3\nstderr_path File.join(ENV.fetch('TEST_DIR'), 'err.log')";
    let mut server = Server::builder().app(App::rackup(STUCK)).workers(1).config(config).launch();
    assert_eq!(server.get("/").text(), "ok\n");
    let read = |name: &str| std::fs::read_to_string(server.file(name)).unwrap_or_default();
    let stuck = std::thread::scope(|scope| {
        let stuck = scope.spawn(|| server.connect().request_raw("GET /stuck HTTP/1.1\r\nHost: x\r\n\r\n"));
        server.eventually("a request that hangs", || {
            let status: serde_json::Value = serde_json::from_str(&server.ctl(["status", "--json"]).stdout).ok()?;
            (status["workers"][0]["request"]["line"] == "GET /stuck").then_some(())
        });
        std::fs::rename(server.file("err.log"), server.file("old.log")).expect("renamed");
        server.signal(Signal::USR1);
        stuck.join().expect("no panic")
    });
    assert_eq!(stuck, b"");
    server.eventually("a report", || read("err.log").contains("wait_in_the_application").then_some(()));
    assert!(!read("old.log").contains("timeout is near"), "{}", read("old.log"));
    server.stop();
}

/// How old the request was by the line that matches this, in ms.
#[track_caller]
fn age_ms(server: &Server, pattern: &str) -> u64 {
    let line = server.wait_for(Mark::default(), pattern);
    let age = line.split_once(" after ").and_then(|(_, rest)| rest.split_once(" ms"));
    age.and_then(|(age, _)| age.parse().ok()).unwrap_or_else(|| panic!("no age in {line:?}"))
}

#[test]
fn a_request_is_reported_with_every_thread_before_its_worker_is_killed() {
    // In Pitchfork's words.
    let config = r#"
timeout 20, cleanup: 10
after_worker_timeout do |server, worker, info|
  info.copy_thread_variables!
  facts = [worker.nr, info.rack_env["PATH_INFO"], info.thread == Thread.main, info.elapsed >= 10, Thread.current[:user]]
  server.logger.info("hook: #{facts.join(" ")}")
  raise "the hook failed"
end
"#;
    let mut server = Server::builder().app(App::rackup(STUCK)).workers(1).config(config).start();
    let worker = server.workers()[0].pid;
    outlive(&server, "/stuck");
    let told = [
        &format!("ERROR -- : worker=0 gen=1 pid={worker} timeout is near, after * ms in \"GET /stuck\""),
        "main thread",
        "config.ru:*wait_in_the_application",
        "#<Thread:*sleep",
        "config.ru:*wait_in_the_helper",
        "hook: 0 /stuck true true unicorn-7",
        "after_worker_timeout: the hook failed (RuntimeError)",
        &format!("worker=0 PID:{worker} timeout (*s > 20s), killing"),
    ];
    let lines = server.log().lines();
    let mut rest = lines.iter();
    for pattern in told {
        assert!(rest.any(|line| testkit::output::matches(pattern, line)), "{pattern} in its place in {lines:#?}");
    }
    assert!(age_ms(&server, "timeout is near") >= 10_000);
    assert_eq!(server.log().since(Mark::default(), "timeout is near").len(), 1);
    server.stop();
}

#[test]
fn a_request_that_ends_after_its_report_is_answered_by_a_worker_that_lives_on() {
    let mut server = Server::builder().workers(1).config("timeout 20\ntimeout_cleanup 15").start();
    let mut gate = Gate::new(&server);
    for count in 1..=2 {
        let held = gate.hold(&server);
        let worker = held.worker;
        // Not the master's: it means nothing, now and after the report.
        signal(worker, Signal::URG).expect("the worker is there");
        let reports = server.log().wait_for_count(Mark::default(), "timeout is near", count, testkit::patience());
        assert_eq!(reports.expect("a report of each request").len(), count);
        signal(worker, Signal::URG).expect("the worker is there");
        assert_eq!(gate.release(held).status, 200);
        assert_eq!(server.log().since(Mark::default(), "timeout is near").len(), count);
        assert_eq!(server.workers()[0].pid, worker);
    }
    assert_eq!(server.log().since(Mark::default(), "killing").len(), 0);
    server.stop();
}

#[test]
fn a_slow_request_is_reported_once_and_served_on() {
    let config = "slow_request 0.5\nafter_worker_timeout { |server, worker, info| server.logger.info('hook') }";
    let mut server = Server::builder().workers(1).config(config).start();
    let mut gate = Gate::new(&server);
    assert_eq!(server.get("/").status, 200);
    for count in 1..=2 {
        let held = gate.hold(&server);
        let worker = held.worker;
        let reports = server.log().wait_for_count(Mark::default(), "request is slow", count, testkit::patience());
        let told = format!("WARN -- : worker=0 gen=1 pid={worker} request is slow, after * ms in \"GET /wait\"");
        assert!(testkit::output::matches(&told, reports.expect("a report of each request").last().expect("one")));
        // Not the master's.
        signal(worker, Signal::URG).expect("the worker is there");
        assert_eq!(gate.release(held).status, 200);
        assert_eq!(server.workers()[0].pid, worker);
    }
    server.wait_for(Mark::default(), "main thread");
    assert!(age_ms(&server, "request is slow") >= 500);
    assert_eq!(server.log().since(Mark::default(), "request is slow").len(), 2);
    for never in ["hook", "timeout is near", "killing"] {
        assert_eq!(server.log().since(Mark::default(), never).len(), 0, "{never}");
    }
    server.stop();
}

#[test]
fn a_request_has_one_report_of_each_kind_also_after_an_upgrade_in_place() {
    let config = "timeout 60\ntimeout_cleanup 54\nslow_request 1\nupgrade :in_place";
    let mut server = Server::builder().workers(1).config(config).start();
    let mut gate = Gate::new(&server);
    let held = gate.hold(&server);
    server.wait_for(Mark::default(), "request is slow");
    let mark = server.mark();
    assert_eq!(server.ctl(["upgrade"]).code(), 0);
    server.wait_for(mark, "has taken over");
    server.wait_for(mark, "timeout is near");
    assert_eq!(gate.release(held).status, 200);
    server.wait_for(mark, "done reloading");
    for once in ["request is slow", "timeout is near"] {
        assert_eq!(server.log().since(Mark::default(), once).len(), 1, "{once}");
    }
    server.stop();
}

#[test]
fn a_request_gets_its_time_after_everybody_stood_still() {
    // As in a container that is paused, or on a machine that is suspended.
    let mut server = Server::builder().workers(1).config("timeout 10").start();
    let mut gate = Gate::new(&server);
    let held = gate.hold(&server);
    let mark = server.mark();
    server.suspended(held.worker, || {
        server.suspended(server.pid(), || {
            let master = Watch::on(server.pid()).expect("the master is there");
            assert!(!master.wait(Duration::from_secs(20)), "nobody runs");
        });
        // Its answer tells that it has looked.
        assert_eq!(server.ctl(["status"]).code(), 0);
    });
    assert_eq!(gate.release(held).text(), "waited for the gate\n");
    assert_eq!(server.log().since(mark, "killing").len(), 0);
    server.stop();
}

#[test]
fn an_application_that_asked_for_time_is_reported_and_killed_that_much_later() {
    let mut server = Server::builder().app(App::rackup(STUCK)).workers(1).config("timeout 6").start();
    outlive(&server, "/extended");
    assert!(age_ms(&server, "timeout is near") >= 5_000);
    assert!(age_ms(&server, "died: killed by the master") >= 8_000);
    server.stop();
}

#[test]
fn a_worker_that_cannot_run_ruby_is_killed_without_a_report() {
    let mut server = Server::builder().app(App::rackup(STUCK)).workers(1).config("timeout 3").start();
    outlive(&server, "/native");
    assert!(age_ms(&server, "died: killed by the master*GET /native") >= 3_000);
    assert_eq!(server.log().since(Mark::default(), "timeout is near").len(), 0);
    server.stop();
}

#[test]
fn without_cleanup_nothing_is_reported() {
    let mut server = Server::builder().app(App::rackup(STUCK)).workers(1).config("timeout 3, cleanup: 0").start();
    outlive(&server, "/stuck");
    assert_eq!(server.log().since(Mark::default(), "timeout is near").len(), 0);
    server.stop();
}
