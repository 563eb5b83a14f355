//! Promise: each signal does what Unicorn's SIGNALS page says it does, row by row; deliberate differences are named.

use rustix::process::Signal;
use testkit::output::Mark;
use testkit::process::signal;
use testkit::{Gate, Request, Server};

/// Signals that ask a master to finish, and whether a request that has begun is finished first.
///
/// TERM is graceful here: the first deliberate difference from Unicorn (`term_signal :quick` restores its way).
const STOPS: &[(Signal, bool)] = &[(Signal::QUIT, true), (Signal::TERM, true), (Signal::INT, false)];

#[test]
fn each_stop_signal_finishes_requests_or_cuts_them_as_promised() {
    for (stop, graceful) in STOPS {
        let mut server = Server::builder().workers(2).start();
        let mut gate = Gate::new(&server);
        let mut held = gate.hold(&server);
        server.signal(*stop);
        if *graceful {
            // The other worker leaves at once; the busy one when its request is done.
            server.wait_for(Mark::default(), "reaped*exit 0*worker=");
            assert_eq!(gate.release(held).text(), "waited for the gate\n", "{stop:?}");
        } else {
            assert_eq!(held.connection.read_to_end(), b"", "{stop:?}");
        }
        let status = server.wait_for_exit();
        assert!(status.success(), "{stop:?}: {status}");
        server.wait_for(Mark::default(), "master complete");
        server.assert_nothing_is_left();
    }
}

#[test]
fn term_is_quick_where_the_configuration_says_so() {
    let mut server = Server::builder().config("term_signal :quick").start();
    let mut gate = Gate::new(&server);
    let mut held = gate.hold(&server);
    server.signal(Signal::TERM);
    assert_eq!(held.connection.read_to_end(), b"");
    assert!(server.wait_for_exit().success());
}

#[test]
fn a_repeated_stop_is_the_same_stop_and_a_harder_one_is_harder() {
    let mut server = Server::builder().start();
    let mut gate = Gate::new(&server);
    let held = gate.hold(&server);
    for _ in 0..3 {
        server.signal(Signal::QUIT);
    }
    let mut held = held;
    assert!(!held.connection.is_stale(), "the request was cut");
    server.signal(Signal::INT);
    assert_eq!(held.connection.read_to_end(), b"");
    assert!(server.wait_for_exit().success());
    server.assert_nothing_is_left();
}

#[test]
fn hup_replaces_every_worker_and_keeps_the_master() {
    let mut server = Server::builder().workers(2).start();
    let before = server.workers();
    let mark = server.mark();
    server.signal(Signal::HUP);
    server.wait_for(mark, "reloading config_file=");
    server.wait_for(mark, "done reloading config_file=");
    let after = server.eventually("two new workers", || {
        let workers = server.workers();
        let new = workers.iter().all(|worker| before.iter().all(|old| old.pid != worker.pid));
        (new && workers.len() == 2).then_some(workers)
    });
    assert!(after.iter().all(|worker| worker.parent == server.pid() && worker.generation == Some(2)), "{after:#?}");
    assert_eq!(server.pid_in_file("server.pid"), Some(server.pid()));
    server.stop();
}

#[test]
fn usr1_reopens_the_logs_of_master_and_workers() {
    let config = "stderr_path File.join(ENV.fetch('TEST_DIR'), 'err.log')";
    let mut server = Server::builder().config(config).launch();
    assert_eq!(server.get("/").status, 200);
    let read = |name: &str| std::fs::read_to_string(server.file(name)).unwrap_or_default();
    server.eventually("a log", || read("err.log").contains("worker=0 ready").then_some(()));
    std::fs::rename(server.file("err.log"), server.file("old.log")).expect("renamed");
    server.signal(Signal::USR1);
    server.eventually("a new log of the master's", || {
        read("err.log").contains("master done reopening logs").then_some(())
    });
    server.eventually("a new log of the worker's", || {
        read("err.log").contains("worker=0 done reopening logs").then_some(())
    });
    assert!(read("old.log").contains("worker=0 reopening logs..."));
    server.get("/raise");
    server.eventually("an error in the new log", || read("err.log").contains("app error: as asked").then_some(()));
    server.stop();
}

#[test]
fn usr1_logs_as_many_lines_as_unicorn_does() {
    for preload in [false, true] {
        let mut server = Server::builder().workers(3).preload(preload).start();
        let mark = server.mark();
        server.signal(Signal::USR1);
        for worker in 0..3 {
            server.wait_for(mark, &format!("worker={worker} done reopening logs"));
        }
        let lines = server.log().since(mark, "reopening logs");
        // Two of the master's, two of each worker's: the differential tests show that these are Unicorn's.
        assert_eq!(lines.len(), 2 + 2 * 3, "{lines:#?}");
        server.stop();
    }
}

#[test]
fn ttin_adds_a_worker_and_ttou_takes_one_down_to_none() {
    let mut server = Server::builder().workers(1).start();
    server.signal(Signal::TTIN);
    server.wait_for_slots(&[0, 1]);
    server.signal(Signal::TTOU);
    server.wait_for_slots(&[0]);
    server.signal(Signal::TTOU);
    server.wait_for_slots(&[]);
    server.signal(Signal::TTIN);
    server.wait_for_slots(&[0]);
    assert_eq!(server.get("/").status, 200);
    server.stop();
}

#[test]
fn winch_stops_the_workers_and_hup_brings_the_configured_number_back() {
    let mut server = Server::builder().workers(2).start();
    server.signal(Signal::WINCH);
    server.wait_for(Mark::default(), "gracefully stopping all workers");
    server.wait_for_slots(&[]);
    let status = server.ctl(["status"]).stdout;
    assert!(status.contains(" no workers (SIGWINCH) generation=1 "), "{status}");
    let status: serde_json::Value = serde_json::from_str(&server.ctl(["status", "--json"]).stdout).expect("JSON");
    assert_eq!(status["phase"], "winched");
    server.signal(Signal::TTIN);
    server.wait_for_slots(&[0]);
    server.signal(Signal::HUP);
    server.wait_for_slots(&[0, 1]);
    assert_eq!(server.get("/").status, 200);
    // Perhaps in the middle of the roll that HUP began.
    server.stop();
}

#[test]
fn a_worker_finishes_its_request_on_quit_and_is_replaced() {
    for stop in [Signal::QUIT, Signal::TERM] {
        let mut server = Server::builder().workers(1).start();
        let mut gate = Gate::new(&server);
        let held = gate.hold(&server);
        let pid = held.worker;
        signal(pid, stop).expect("the worker is there");
        assert_eq!(gate.release(held).status, 200, "{stop:?}");
        server.wait_for(Mark::default(), &format!("reaped*pid {pid} exit 0*worker=0"));
        server.eventually("a new worker", || server.workers().iter().any(|worker| worker.pid != pid).then_some(()));
        assert_eq!(server.get("/").status, 200);
        server.stop();
    }
}

#[test]
fn a_worker_leaves_at_once_on_int_and_is_replaced() {
    let mut server = Server::builder().workers(1).start();
    let mut gate = Gate::new(&server);
    let mut held = gate.hold(&server);
    signal(held.worker, Signal::INT).expect("the worker is there");
    assert_eq!(held.connection.read_to_end(), b"");
    assert_eq!(server.get("/").status, 200);
    server.stop();
}

#[test]
fn a_worker_ignores_what_is_meant_for_the_master() {
    let mut server = Server::builder().workers(1).start();
    let worker = server.workers()[0].pid;
    for ignored in [Signal::HUP, Signal::USR2, Signal::WINCH, Signal::TTIN, Signal::TTOU] {
        signal(worker, ignored).expect("the worker is there");
    }
    let pid: u32 = server.get("/pid").text().trim().parse().expect("a pid");
    assert_eq!(pid, worker);
    assert_eq!(server.workers().len(), 1);
    server.stop();
}

#[test]
fn a_worker_reopens_its_logs_on_usr1() {
    let mut server = Server::builder().workers(1).start();
    let worker = server.workers()[0].pid;
    signal(worker, Signal::USR1).expect("the worker is there");
    server.wait_for(Mark::default(), "worker=0 reopening logs...");
    server.wait_for(Mark::default(), "worker=0 done reopening logs");
    assert_eq!(server.workers()[0].pid, worker);
    server.stop();
}

/// Lines that a boot, or a reload, logs one after the other: a signal may come at each of these moments.
const MOMENTS: &[&str] =
    &["worker=0 spawning", "worker=0 spawned", "Refreshing Gem list", "worker=1 spawning", "worker=0 ready"];

#[test]
fn a_stop_at_any_moment_of_a_boot_is_a_stop() {
    for moment in ["inherited addr="].iter().chain(MOMENTS) {
        for stop in [Signal::QUIT, Signal::INT] {
            let mut server = Server::builder().workers(2).launch();
            server.wait_for(Mark::default(), moment);
            server.signal(stop);
            let status = server.try_wait_for_exit(testkit::patience());
            assert!(status.is_some_and(|status| status.success()), "{stop:?} at {moment:?}: {status:?}");
            server.assert_nothing_is_left();
        }
    }
}

#[test]
fn a_stop_at_any_moment_of_a_reload_is_a_stop() {
    for moment in ["reloading config_file=", "gen=2 is ready"].iter().chain(MOMENTS) {
        for stop in [Signal::QUIT, Signal::INT] {
            let mut server = Server::builder().workers(2).start();
            let mark = server.mark();
            server.signal(Signal::HUP);
            server.wait_for(mark, moment);
            server.signal(stop);
            let status = server.try_wait_for_exit(testkit::patience());
            assert!(status.is_some_and(|status| status.success()), "{stop:?} at {moment:?}: {status:?}");
            server.assert_nothing_is_left();
        }
    }
}

#[test]
fn a_mold_that_gets_a_signal_of_the_master_s_does_not_mind() {
    let mut server = Server::builder().workers(1).preload(true).start();
    let mold = *server.titled("mold").first().expect("a mold");
    let signals = [Signal::INT, Signal::TERM, Signal::QUIT, Signal::HUP, Signal::USR1, Signal::USR2, Signal::WINCH];
    for ignored in signals {
        signal(mold, ignored).expect("the mold is there");
    }
    // It can still fork.
    signal(server.workers()[0].pid, Signal::KILL).expect("the worker is there");
    server.wait_for(Mark::default(), "SIGKILL (signal 9)*worker=0");
    assert_eq!(server.request(Request::get("/")).status, 200);
    assert_eq!(server.titled("mold"), [mold]);
    server.stop();
}
