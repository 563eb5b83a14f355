//! `systemctl reload`.

use super::unit::{Unit, flawless};

#[test]
fn a_reload_brings_new_code_and_one_of_broken_code_fails_and_changes_nothing() {
    for preload in [true, false] {
        let Some(unit) = Unit::install(&format!("preload_app {preload}\n")) else { return };
        let unit = unit.start();
        let (load, kept, main) = (unit.load(), unit.kept_load(), unit.main());
        for number in 2..=4 {
            unit.code(&format!("g{number}"));
            unit.systemd.must(["reload", "licorne"]);
            unit.assert_active();
            load.wait_until_seen(&format!("g{number}"));
        }
        let good = std::fs::read_to_string(unit.systemd.file("app/current/config.ru")).expect("it is there");
        unit.systemd.write("app/current/config.ru", "raise 'the new code is broken'");
        let mark = unit.systemd.mark();
        let failed = unit.systemd.systemctl(["reload", "licorne"]);
        assert!(!failed.status.success(), "{failed:#?}");
        // What `licorne reload --wait` prints is in the journal of the unit.
        unit.systemd.wait_for(mark, "reload failed:");
        unit.systemd.wait_for(mark, "the new code is broken");
        unit.assert_active();
        assert_eq!(unit.property("ReloadResult"), "exit-code");
        unit.systemd.wait_for_property("licorne", "StatusText", |text| text.contains("the last reload failed"));
        unit.systemd.write("app/current/config.ru", &good);
        unit.code("g5");
        unit.systemd.must(["reload", "licorne"]);
        load.wait_until_seen("g5");
        assert_eq!(unit.main(), main);
        assert!(!unit.property("StatusText").contains("failed"), "{}", unit.property("StatusText"));
        flawless(&format!("reload 4x and once of broken code, preload_app {preload}"), load);
        flawless("the same, kept-alive", kept);
        unit.stop();
    }
}

#[test]
fn a_reload_that_takes_longer_than_the_unit_allows_gets_the_time() {
    let Some(unit) = Unit::install("preload_app true\n") else { return };
    let unit = unit.service("TimeoutStartSec=2").start();
    let load = unit.load();
    unit.boot_seconds("4");
    unit.code("g2");
    unit.systemd.must(["reload", "licorne"]);
    load.wait_until_seen("g2");
    flawless("a slow reload", load);
    unit.stop();
}

#[test]
fn a_reload_by_hup_shows_as_one() {
    let Some(unit) = Unit::install("preload_app true\n") else { return };
    let unit = unit.start();
    let mut go = unit.fifo("app/go");
    unit.kill_main("HUP");
    unit.systemd.wait_for_property("licorne", "ActiveState", |state| state == "reloading");
    unit.systemd.wait_for_property("licorne", "StatusText", |text| text.starts_with("Reloading, the new code loads: "));
    go.tell("on");
    unit.systemd.wait_for_property("licorne", "ActiveState", |state| state == "active");
    unit.stop();
}
