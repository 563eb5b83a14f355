//! A master that dies, and the sockets that it leaves to systemd.

use rustix::process::Signal;
use testkit::process::signal;

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
