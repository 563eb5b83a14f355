//! Upgrades with two masters: the unit follows, and is right whatever dies in between.

use rustix::process::Signal;
use testkit::process::{Watch, signal};
use testkit::upgrade::RECIPE;

use super::unit::{Unit, flawless, row};

const TWO_MASTERS: &str = "upgrade :two_masters\npid \"/run/licorne/pid\"\n";

impl Unit {
    /// The masters beside the main process.
    fn others(&self) -> Vec<u32> {
        let main = self.systemd.main_process("licorne");
        let masters = self.systemd.titled("licorne master");
        masters.iter().map(|process| process.pid).filter(|pid| Some(*pid) != main).collect()
    }

    /// Upgrades, and returns the new master as soon as it is there.
    #[track_caller]
    fn begin_upgrade(&self) -> u32 {
        self.kill_main("USR2");
        self.systemd.eventually("a second master", || self.others().first().copied())
    }

    /// Upgrades, and returns the new master when it serves.
    #[track_caller]
    fn upgrade(&self) -> u32 {
        let mark = self.systemd.mark();
        let new = self.begin_upgrade();
        self.systemd.wait_for(mark, "the new master serves");
        new
    }
}

#[test]
fn the_unit_follows_one_upgrade_after_another() {
    let Some(unit) = Unit::install(TWO_MASTERS) else { return };
    let unit = unit.start();
    let (load, kept) = (unit.load(), unit.kept_load());
    for number in 2..=5 {
        let old = Watch::on(unit.main()).expect("it is there");
        unit.code(&format!("g{number}"));
        let new = unit.upgrade();
        assert_eq!(unit.main(), old.pid, "until the old master leaves, the unit is about it");
        unit.systemd.wait_for_property("licorne", "StatusText", |text| text.contains("serves too"));
        unit.kill_main("QUIT");
        assert!(old.wait(testkit::patience()), "the old master stays");
        assert_eq!(unit.wait_for_another_main(old.pid), new);
        unit.assert_active();
        load.wait_until_seen(&format!("g{number}"));
        assert!(unit.others().is_empty());
    }
    assert_eq!(unit.property("NFileDescriptorStore"), "1");
    assert_eq!(unit.property("NRestarts"), "0");
    // What is the unit's own still works: the reload by its main process, the watchdog, the store.
    unit.code("g6");
    unit.systemd.must(["reload", "licorne"]);
    load.wait_until_seen("g6");
    flawless("upgrade, two masters, 4x", load);
    flawless("the same, kept-alive", kept);
    // And systemd waits for it in a stop: KillMode=mixed kills what a main process that is not its own child has left.
    let mut held = unit.hold();
    unit.systemd.must(["stop", "--no-block", "licorne"]);
    unit.systemd.wait_for_property("licorne", "ActiveState", |state| state == "deactivating");
    held.let_go();
    held.assert_answered();
    unit.stop();
}

#[test]
fn the_usual_recipe_works_under_systemd() {
    let Some(unit) = Unit::install(&format!("{TWO_MASTERS}{RECIPE}")) else { return };
    let unit = unit.start();
    let load = unit.load();
    for number in 2..=4 {
        let old = unit.main();
        unit.code(&format!("g{number}"));
        unit.kill_main("USR2");
        unit.wait_for_another_main(old);
        load.wait_until_seen(&format!("g{number}"));
        unit.assert_active();
    }
    flawless("upgrade by before_fork's QUIT, 3x", load);
    unit.stop();
}

#[test]
fn a_watchdog_watches_the_new_master() {
    let Some(unit) = Unit::install(TWO_MASTERS) else { return };
    let unit = unit.service("WatchdogSec=6").start();
    let old = unit.main();
    let new = unit.upgrade();
    unit.kill_main("QUIT");
    assert_eq!(unit.wait_for_another_main(old), new);
    let mark = unit.systemd.mark();
    assert!(unit.systemd.journal().wait_for(mark, "Watchdog", std::time::Duration::from_secs(13)).is_none());
    signal(new, Signal::STOP).expect("it is there");
    unit.systemd.wait_for(mark, "Watchdog timeout");
    unit.wait_for_another_main(new);
    unit.stop();
}

#[test]
fn a_new_master_that_dies_while_it_boots_changes_nothing() {
    let Some(unit) = Unit::install(TWO_MASTERS) else { return };
    let unit = unit.start();
    let (load, main) = (unit.load(), unit.main());
    unit.boot_seconds("60");
    for _ in 0..3 {
        let mark = unit.systemd.mark();
        let new = unit.begin_upgrade();
        // The blind QUIT of an init script waits for a new master, and is dropped with it.
        unit.kill_main("QUIT");
        unit.systemd.wait_for(mark, "the new master is not ready yet");
        signal(new, Signal::KILL).expect("it is there");
        unit.systemd.wait_for(mark, "the new master died before it served");
        unit.assert_active();
    }
    assert_eq!((unit.main(), unit.property("NRestarts")), (main, "0".into()));
    flawless("kill -9 of the new master while it boots, 3x", load);
    unit.stop();
}

#[test]
fn a_new_master_that_dies_while_both_serve_leaves_the_old_one() {
    // The new master's workers are alone then: they finish, and leave.
    let Some(unit) = Unit::install(TWO_MASTERS) else { return };
    let unit = unit.start();
    let (load, main) = (unit.load(), unit.main());
    for _ in 0..3 {
        let mark = unit.systemd.mark();
        let new = unit.upgrade();
        signal(new, Signal::KILL).expect("it is there");
        unit.systemd.wait_for(mark, "the new master has left");
        unit.assert_active();
        load.wait_for_successes(20);
    }
    assert_eq!((unit.main(), unit.property("NRestarts")), (main, "0".into()));
    flawless("kill -9 of the new master while both serve, 3x", load);
    unit.stop();
}

#[test]
fn a_new_master_that_dies_while_the_old_one_leaves_has_the_unit_started_again() {
    let Some(unit) = Unit::install(TWO_MASTERS) else { return };
    let unit = unit.service("KillMode=process").start();
    let load = unit.load();
    let mut held = unit.hold();
    let old = unit.main();
    let new = unit.upgrade();
    unit.kill_main("QUIT");
    unit.systemd.wait_for_property("licorne", "StatusText", |text| text.starts_with("Leaving to the new master"));
    unit.assert_active();
    let mark = unit.systemd.mark();
    signal(new, Signal::KILL).expect("it is there");
    unit.systemd.wait_for(mark, "the new master has left");
    held.let_go();
    held.assert_answered();
    unit.systemd.wait_for(mark, "the unit has to be started again");
    unit.wait_for_another_main(old);
    assert_eq!(unit.property("NRestarts"), "1");
    load.wait_for_successes(20);
    flawless("kill -9 of the new master while the old one leaves", load);
    unit.stop();
}

#[test]
fn a_new_master_that_dies_after_the_hand_over_is_started_again() {
    let Some(unit) = Unit::install(TWO_MASTERS) else { return };
    let unit = unit.service("KillMode=process").start();
    let load = unit.load();
    let old = unit.main();
    let new = unit.upgrade();
    unit.kill_main("QUIT");
    assert_eq!(unit.wait_for_another_main(old), new);
    signal(new, Signal::KILL).expect("it is there");
    unit.wait_for_another_main(new);
    assert_eq!(unit.property("NRestarts"), "1");
    load.wait_for_successes(20);
    flawless("kill -9 of the new master after the hand-over", load);
    unit.stop();
}

#[test]
fn an_old_master_that_dies_in_an_upgrade_has_the_unit_started_again_with_one_master() {
    for (mode, boot_seconds) in [("process", "0"), ("process", "60"), ("control-group", "0"), ("mixed", "0")] {
        let Some(unit) = Unit::install(TWO_MASTERS) else { return };
        let unit = unit.service(&format!("KillMode={mode}")).start();
        let load = unit.load();
        let old = unit.main();
        unit.boot_seconds(boot_seconds);
        let new = if boot_seconds == "0" { unit.upgrade() } else { unit.begin_upgrade() };
        let new = Watch::on(new).expect("it is there");
        unit.boot_seconds("0");
        signal(old, Signal::KILL).expect("it is there");
        unit.wait_for_another_main(old);
        assert!(new.wait(testkit::patience()), "a master of nobody's was left");
        unit.systemd.eventually("one master", || unit.others().is_empty().then_some(()));
        load.wait_for_successes(20);
        let scenario = format!("kill -9 of the old master, new one boots {boot_seconds} s, KillMode={mode}");
        if mode == "mixed" {
            // systemd kills the workers while they serve; no connection is refused.
            let report = load.stop();
            row(&scenario, &report);
            assert!(report.failures.iter().all(|failure| !failure.contains("Refused")), "{report:#?}");
        } else {
            flawless(&scenario, load);
        }
        unit.stop();
    }
}

#[test]
fn a_stop_in_an_upgrade_stops_both_masters_gracefully() {
    for mode in ["mixed", "control-group", "process"] {
        let Some(unit) = Unit::install(TWO_MASTERS) else { return };
        let unit = unit.service(&format!("KillMode={mode}")).start();
        let _ = unit.upgrade();
        // Whichever master's worker has it.
        let mut held = unit.hold();
        let mark = unit.systemd.mark();
        unit.systemd.must(["stop", "--no-block", "licorne"]);
        unit.systemd.wait_for(mark, "stopping the new master");
        unit.systemd.wait_for_property("licorne", "ActiveState", |state| state == "deactivating");
        held.let_go();
        held.assert_answered();
        unit.systemd.wait_for_property("licorne", "ActiveState", |state| state == "inactive");
        assert_eq!(unit.property("Result"), "success", "{mode}");
        assert!(unit.systemd.titled("licorne").is_empty());
    }
}

#[test]
fn an_upgrade_in_place_keeps_the_unit_its_sockets_and_its_watchdog() {
    let Some(unit) = Unit::install("upgrade :auto\nlisten \"systemd:web\", tcp_nodelay: true\n") else { return };
    let unit = unit.service("WatchdogSec=6").socket().start();
    let (load, main) = (unit.load(), unit.main());
    for number in 2..=4 {
        unit.code(&format!("g{number}"));
        unit.kill_main("USR2");
        load.wait_until_seen(&format!("g{number}"));
        unit.systemd.wait_for_property("licorne", "SubState", |state| state == "running");
    }
    let mark = unit.systemd.mark();
    assert!(unit.systemd.journal().wait_for(mark, "Watchdog", std::time::Duration::from_secs(13)).is_none());
    assert_eq!((unit.main(), unit.property("NRestarts")), (main, "0".into()));
    unit.code("g5");
    unit.systemd.must(["reload", "licorne"]);
    load.wait_until_seen("g5");
    flawless("upgrade in place 3x, and a reload", load);
    unit.systemd.must(["stop", "licorne.socket"]);
    unit.stop();
}
