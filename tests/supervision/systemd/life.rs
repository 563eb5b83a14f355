//! Start and stop.

use super::unit::{Unit, flawless};

#[test]
fn the_unit_is_started_when_it_serves_and_stopped_when_it_is_gone() {
    let Some(unit) = Unit::install("") else { return };
    let unit = unit.start();
    let load = unit.load();
    unit.assert_active();
    let status = unit.property("StatusText");
    assert!(status.starts_with("Serving: 2 workers, "), "{status}");
    // The control socket of a unit is found from outside, whatever private directories it has.
    let told = unit.systemd.run(["licorne", "status", "--json", "--pid", &unit.property("MainPID")]);
    assert!(told.status.success() && told.stdout.contains("\"phase\": \"serving\""), "{told:#?}");
    flawless("start", load);
    unit.stop();
}

#[test]
fn a_unit_that_does_not_boot_fails_and_is_started_when_it_does() {
    let Some(unit) = Unit::install("") else { return };
    unit.systemd.write("app/current/config.ru", "raise 'the code is broken'");
    let mark = unit.systemd.mark();
    assert!(!unit.systemd.systemctl(["start", "licorne"]).status.success());
    unit.systemd.wait_for(mark, "the code is broken");
    unit.systemd.wait_for_property("licorne", "StatusText", |text| text.contains("Failed to boot: the code is broken"));
    unit.systemd.wait_for(mark, "Main process exited, code=exited, status=1/FAILURE");
    // systemd goes on trying, and the unit's properties are soon those of the next try.
    unit.systemd.write("app/current/config.ru", "run ->(_env) { [200, {}, [\"mended\"]] }");
    unit.systemd.wait_for_property("licorne", "ActiveState", |state| state == "active");
    flawless("start after a failed one", unit.load());
    unit.stop();
}

#[test]
fn a_boot_and_a_stop_that_take_longer_than_the_unit_allows_get_the_time() {
    let Some(unit) = Unit::install("preload_app true\n") else { return };
    let unit = unit.service("TimeoutStartSec=2\nTimeoutStopSec=2");
    unit.boot_seconds("4");
    let unit = unit.start();
    let mut held = unit.hold();
    let mark = unit.systemd.mark();
    unit.systemd.must(["stop", "--no-block", "licorne"]);
    unit.systemd.wait_for_property("licorne", "ActiveState", |state| state == "deactivating");
    // Twice the limit of the unit.
    assert!(unit.systemd.journal().wait_for(mark, "timed out", std::time::Duration::from_secs(4)).is_none());
    held.let_go();
    held.assert_answered();
    unit.systemd.wait_for_property("licorne", "ActiveState", |state| state == "inactive");
    assert_eq!(unit.property("Result"), "success");
}

#[test]
fn a_restart_refuses_nobody_in_any_kill_mode() {
    for mode in ["mixed", "control-group", "process"] {
        let Some(unit) = Unit::install("") else { return };
        let unit = unit.service(&format!("KillMode={mode}")).start();
        let load = unit.load();
        let kept = unit.kept_load();
        let mut held = unit.hold();
        for _ in 0..3 {
            let mark = unit.systemd.mark();
            let old = unit.main();
            unit.systemd.must(["restart", "--no-block", "licorne"]);
            unit.systemd.wait_for_property("licorne", "ActiveState", |state| state == "deactivating");
            held.let_go();
            unit.wait_for_another_main(old);
            held.assert_answered();
            load.wait_for_successes(20);
            // Exactly two workers were forked: none for one that the stop had reached first.
            unit.systemd.wait_for(mark, "master process ready");
            let forked = unit.systemd.journal().since(mark, "spawned pid=");
            assert_eq!(forked.len(), 2, "{mode}: {forked:#?}");
            held.again();
        }
        held.let_go();
        held.assert_answered();
        flawless(&format!("restart 3x, KillMode={mode}, sockets in the store"), load);
        flawless(&format!("the same, kept-alive, KillMode={mode}"), kept);
        unit.stop();
    }
}

#[test]
fn a_worker_that_a_stop_reaches_as_well_is_not_replaced() {
    let Some(unit) = Unit::install("") else { return };
    let unit = unit.service("Restart=no");
    for signal in ["TERM", "QUIT", "TERM", "QUIT", "TERM"] {
        let mark = unit.systemd.mark();
        unit.systemd.must(["start", "licorne"]);
        let mut held = unit.hold();
        // To every process of the unit: the idle worker leaves at once, while the master waits for the other one.
        unit.systemd.must(["kill", "-s", signal, "licorne"]);
        unit.systemd.wait_for_property("licorne", "StatusText", |text| text.starts_with("Stopping: "));
        held.let_go();
        held.assert_answered();
        drop(held);
        unit.systemd.wait_for_property("licorne", "ActiveState", |state| state == "inactive");
        unit.systemd.wait_for(mark, "master complete");
        let forked = unit.systemd.journal().since(mark, "spawned pid=");
        assert_eq!(forked.len(), 2, "{signal}: {forked:#?}");
        assert_eq!(unit.property("Result"), "success");
    }
}

#[test]
fn a_master_that_hangs_is_killed_and_replaced() {
    let Some(unit) = Unit::install("") else { return };
    let unit = unit.service("WatchdogSec=6").start();
    let old = unit.main();
    // It answers for itself as long as it turns: several periods long.
    let mark = unit.systemd.mark();
    assert!(unit.systemd.journal().wait_for(mark, "Watchdog", std::time::Duration::from_secs(13)).is_none());
    assert_eq!(unit.main(), old);
    testkit::process::signal(old, rustix::process::Signal::STOP).expect("it is there");
    unit.systemd.wait_for(mark, "Watchdog timeout");
    unit.wait_for_another_main(old);
    flawless("after the watchdog", unit.load());
    unit.stop();
}
