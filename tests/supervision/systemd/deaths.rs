//! A master that dies, and the sockets that it leaves to systemd.

use rustix::process::Signal;
use testkit::load::Plan;
use testkit::process::signal;
use testkit::{Connection, Endpoint, Request};

use super::unit::{Unit, flawless, row};

#[test]
fn a_crash_of_the_master_refuses_nobody() {
    for (mode, socket) in [("process", false), ("control-group", false), ("mixed", false), ("process", true)] {
        let Some(mut unit) = Unit::install("") else { return };
        unit = unit.service(&format!("KillMode={mode}"));
        if socket {
            unit = unit.socket();
        }
        let unit = unit.start();
        assert_eq!(unit.property("NFileDescriptorStore"), if socket { "0" } else { "1" });
        let load = unit.load();
        for _ in 0..3 {
            let old = unit.main();
            signal(old, Signal::KILL).expect("it is there");
            unit.wait_for_another_main(old);
            load.wait_for_successes(20);
        }
        let kept = if socket { "a socket unit" } else { "the store" };
        let scenario = format!("kill -9 of the master 3x, KillMode={mode}, sockets in {kept}");
        if mode == "mixed" {
            // systemd kills the workers in the middle of what they do.
            let report = load.stop();
            row(&scenario, &report);
            assert!(report.failures.iter().all(|failure| !failure.contains("Refused")), "{report:#?}");
            assert!(report.failed() <= 3 * 2 * 2, "more than two connections of each worker: {report:#?}");
        } else {
            flawless(&scenario, load);
        }
        if socket {
            unit.systemd.must(["stop", "licorne.socket"]);
        }
        unit.stop();
    }
}

#[test]
fn a_request_that_has_begun_outlives_its_master() {
    for mode in ["process", "control-group"] {
        let Some(unit) = Unit::install("") else { return };
        let unit = unit.service(&format!("KillMode={mode}")).start();
        let mut held = unit.hold();
        let old = unit.main();
        let mark = unit.systemd.mark();
        signal(old, Signal::KILL).expect("it is there");
        unit.systemd.wait_for(mark, "Main process exited");
        held.let_go();
        held.assert_answered();
        unit.wait_for_another_main(old);
        unit.stop();
    }
}

#[test]
fn the_store_follows_what_the_configuration_listens_on() {
    let Some(unit) = Unit::install("listen 8080\nlisten \"/run/licorne/a.sock\"\n") else { return };
    let unit = unit.start();
    unit.systemd.wait_for_property("licorne", "NFileDescriptorStore", |count| count == "2");
    let write = |lines: &str| unit.systemd.write("app/current/config/unicorn.rb", lines);
    write("listen 8080\nlisten \"/run/licorne/a.sock\"\nlisten \"127.0.0.1:8081\"\n");
    unit.systemd.must(["reload", "licorne"]);
    unit.systemd.wait_for_property("licorne", "NFileDescriptorStore", |count| count == "3");
    write("listen 8080\n");
    unit.systemd.must(["reload", "licorne"]);
    unit.systemd.wait_for_property("licorne", "NFileDescriptorStore", |count| count == "1");
    // What a master of another configuration has left is given back, and closed.
    write("listen 8080\nlisten \"127.0.0.1:8081\"\n");
    unit.systemd.must(["reload", "licorne"]);
    unit.systemd.wait_for_property("licorne", "NFileDescriptorStore", |count| count == "2");
    write("listen 8080\n");
    unit.systemd.must(["restart", "licorne"]);
    unit.systemd.wait_for_property("licorne", "NFileDescriptorStore", |count| count == "1");
    let refused =
        testkit::Connection::connect(&testkit::Endpoint::Tcp(([127, 0, 0, 1], 8081).into()), testkit::patience());
    assert!(refused.is_err(), "somebody listens on what nobody asked for");
    flawless("after the store has changed", unit.load());
    unit.stop();
}

const UNIX: &str = "/run/licorne/web.sock";

#[test]
fn a_unix_socket_in_the_runtime_directory_is_there_over_restarts_and_crashes() {
    let Some(unit) = Unit::install(&format!("listen {UNIX:?}\n")) else { return };
    let unit = unit.start();
    let load = Plan::new(&Endpoint::Unix(unit.systemd.path(UNIX))).start();
    for number in 1..=3 {
        unit.systemd.must(["restart", "licorne"]);
        load.wait_for_successes(20 * number);
    }
    flawless("restart 3x, a UNIX socket in the unit's directory", load);
    let load = Plan::new(&Endpoint::Unix(unit.systemd.path(UNIX))).start();
    for number in 1..=3 {
        let old = unit.main();
        signal(old, Signal::KILL).expect("it is there");
        unit.wait_for_another_main(old);
        load.wait_for_successes(20 * number);
    }
    // With KillMode=mixed systemd kills the workers in the middle of what they do.
    let report = load.stop();
    row("`kill -9` of the master 3x, a UNIX socket in the unit's directory", &report);
    assert!(
        report.failures.iter().all(|failure| !failure.contains("Refused") && !failure.contains("NotFound")),
        "{report:#?}"
    );
    assert_eq!(unit.property("NFileDescriptorStore"), "1");
    unit.stop();
}

#[test]
fn of_a_unix_socket_that_was_bound_anew_the_store_has_the_new_one_alone() {
    let Some(unit) = Unit::install(&format!("listen {UNIX:?}\n")) else { return };
    // The directory goes with each restart, and the file of the socket with it.
    let unit = unit.service("RuntimeDirectoryPreserve=no").start();
    let answers = || {
        let mut connection = Connection::open(&Endpoint::Unix(unit.systemd.path(UNIX)));
        connection.send(Request::get("/").close().bytes());
        assert_eq!(connection.receive().status, 200);
        unit.systemd.wait_for_property("licorne", "NFileDescriptorStore", |count| count == "1");
    };
    for _ in 0..3 {
        unit.systemd.must(["restart", "licorne"]);
        answers();
        // This turns the order in which systemd gives them back.
        unit.systemd.must(["daemon-reload"]);
    }
    // A cleaner of old files takes it, and the next reload puts it back.
    std::fs::remove_file(unit.systemd.path(UNIX)).expect("it is there");
    unit.systemd.must(["reload", "licorne"]);
    answers();
    unit.systemd.unit("licorne.service.d/test.conf", "[Service]\nRuntimeDirectoryPreserve=yes\n");
    for _ in 0..2 {
        unit.systemd.must(["daemon-reload"]);
        unit.systemd.must(["restart", "licorne"]);
        answers();
    }
    unit.stop();
}
