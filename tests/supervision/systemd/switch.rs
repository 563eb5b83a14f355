//! Two masters behind one socket unit.

use testkit::load::{Load, Plan};
use testkit::{Connection, Endpoint, Request};

use super::unit::{Unit, flawless, tcp};

impl Unit {
    /// The units of `deploy/systemd/two-masters` instead of the single one.
    #[track_caller]
    fn two_masters(self) -> Unit {
        self.systemd.deploy("two-masters/licorne.socket");
        self.systemd.deploy("two-masters/licorne@.service");
        self.systemd.must(["daemon-reload"]);
        self.systemd.must(["start", "licorne.socket"]);
        self
    }

    #[track_caller]
    fn switch(&self) -> (bool, String) {
        let done = self.systemd.run(["licorne", "switch"]);
        (done.status.success(), format!("{}{}", done.stdout, done.stderr))
    }

    #[track_caller]
    fn states(&self) -> [String; 2] {
        ["licorne@1", "licorne@2"].map(|unit| self.systemd.property(unit, "ActiveState"))
    }

    fn unix_load(&self) -> Load {
        Plan::new(&Endpoint::Unix(self.systemd.path("/run/licorne.sock"))).start()
    }

    /// Stops both and the sockets.
    #[track_caller]
    fn stop_both(&self) {
        self.systemd.must(["stop", "licorne.socket", "licorne@1", "licorne@2"]);
        assert_eq!(self.states(), ["inactive", "inactive"]);
        assert!(self.systemd.titled("licorne").is_empty());
    }
}

#[test]
fn a_switch_drops_nobody_and_lets_nobody_wait_for_a_boot() {
    for blocking in [false, true] {
        let Some(unit) = Unit::install("") else { return };
        if blocking {
            // Then systemd makes the sockets of the one that serves blocking when it starts the other.
            unit.systemd.unit("licorne@.service.d/test.conf", "[Service]\nNonBlocking=no\n");
        }
        let unit = unit.two_masters();
        unit.systemd.must(["start", "licorne@1"]);
        // A boot of so long would show as a wait of as much.
        let boot_seconds = 4.0;
        unit.boot_seconds(&boot_seconds.to_string());
        let (load, kept, local) = (unit.load(), unit.kept_load(), unit.unix_load());
        for (number, serves) in [(2, 2), (3, 1)] {
            unit.code(&format!("g{number}"));
            let (done, said) = unit.switch();
            assert!(done, "{said}");
            assert_eq!(
                said.trim(),
                format!("licorne@{serves}.service serves, licorne@{}.service has left", 3 - serves)
            );
            assert_eq!(unit.states()[serves - 1], "active");
            assert_eq!(unit.states()[2 - serves], "inactive");
            for load in [&load, &kept, &local] {
                load.wait_until_seen(&format!("g{number}"));
            }
        }
        let how = if blocking { ", NonBlocking=no" } else { "" };
        let report = load.stop();
        super::unit::row(&format!("blue/green switch 2x, boot 4 s{how}"), &report);
        report.assert_no_failure();
        assert!(report.longest_wait.as_secs_f64() < boot_seconds, "somebody waited for a boot: {report:#?}");
        flawless("the same, kept-alive", kept);
        flawless("the same, UNIX socket", local);
        unit.stop_both();
    }
}

#[test]
fn a_switch_to_broken_code_fails_and_changes_nothing() {
    let Some(unit) = Unit::install("") else { return };
    let unit = unit.two_masters();
    unit.systemd.must(["start", "licorne@1"]);
    let load = unit.load();
    let good = std::fs::read_to_string(unit.systemd.file("app/current/config.ru")).expect("it is there");
    unit.systemd.write("app/current/config.ru", "raise 'the new code is broken'");
    let (done, said) = unit.switch();
    assert!(!done && said.contains("licorne@2.service did not start; licorne@1.service serves on"), "{said}");
    assert!(said.contains("the new code is broken"), "{said}");
    load.wait_for_successes(20);
    assert_eq!(unit.states(), ["active", "inactive"]);
    // By hand, as the documentation has it.
    unit.systemd.write("app/current/config.ru", &good);
    unit.code("g2");
    unit.systemd.must(["start", "licorne@2"]);
    unit.systemd.must(["stop", "licorne@1"]);
    load.wait_until_seen("g2");
    flawless("switch to broken code, then by hand", load);
    unit.stop_both();
}

#[test]
fn an_interrupted_switch_is_finished_and_a_connection_starts_a_unit_that_is_down() {
    let Some(unit) = Unit::install("") else { return };
    let unit = unit.two_masters();
    assert_eq!(unit.states(), ["inactive", "inactive"]);
    assert_eq!(Connection::open(&tcp()).request(&Request::get("/").close()).status, 200);
    unit.systemd.wait_for_property("licorne@1", "ActiveState", |state| state == "active");
    assert_eq!(unit.states(), ["active", "inactive"]);
    unit.systemd.must(["start", "licorne@2"]);
    let (done, said) = unit.switch();
    assert!(done, "{said}");
    assert_eq!(unit.states(), ["inactive", "active"]);
    unit.stop_both();
}
