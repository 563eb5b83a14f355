//! Promise: under `licorne herd` Unicorn, Gunicorn and Licorne are restarted without a lost request, and the command
//! that asked for it reports the result.

use rustix::process::Signal;
use testkit::herd::pid_of;
use testkit::output::Mark;
use testkit::process::{Watch, signal};
use testkit::{Gate, Herded, Server, procfs};

const ALL: [Herded; 4] = [Herded::Unicorn, Herded::Gunicorn, Herded::GunicornOfToday, Herded::Licorne];

/// TERM to the herder, which must leave with 0 and nothing behind.
#[track_caller]
fn stop(server: &mut Server) {
    server.signal(Signal::TERM);
    let status = server.wait_for_exit();
    assert_eq!(status.code(), Some(0), "{status}");
    server.assert_nothing_is_left();
}

#[track_caller]
fn check_reloads(herded: Herded, options: &[&str], seconds_of_boot: &str) {
    let mut server = herded.builder(options).env("BOOT_SECONDS", seconds_of_boot).launch();
    server.wait_for_herd();
    let herder = server.pid();
    let load = server.load().start();
    for generation in ["g2", "g3", "g4"] {
        server.write("generation", generation);
        let finished = server.herd_reload(["--wait"]);
        assert_eq!(finished.code(), 0, "{finished:#?}");
        load.wait_until_seen(generation);
    }
    load.wait_for_successes(50);
    load.stop().assert_no_failure();
    assert_eq!(server.pid(), herder);
    stop(&mut server);
}

#[test]
fn unicorn_is_restarted_without_a_lost_request() {
    check_reloads(Herded::Unicorn, &[], "0");
}

#[test]
fn a_unicorn_that_boots_slowly_is_waited_for() {
    check_reloads(Herded::Unicorn, &["-o", "60"], "2");
}

#[test]
fn a_unicorn_that_daemonizes_is_restarted_without_a_lost_request() {
    check_reloads(Herded::Unicorn, &["--daemonize", "-p", "unicorn.pid"], "0");
}

#[test]
fn gunicorn_is_restarted_without_a_lost_request() {
    check_reloads(Herded::Gunicorn, &[], "0");
}

#[test]
fn a_gunicorn_that_daemonizes_is_restarted_without_a_lost_request() {
    check_reloads(Herded::Gunicorn, &["--daemonize"], "1");
}

#[test]
fn the_gunicorn_of_today_is_restarted_without_a_lost_request() {
    check_reloads(Herded::GunicornOfToday, &[], "1");
}

#[test]
fn licorne_is_restarted_without_a_lost_request() {
    check_reloads(Herded::Licorne, &[], "0");
}

/// Every setup in which it is known when the new code does not boot.
#[track_caller]
fn check_failed_reload(herded: Herded, preload: bool) {
    let mut server = herded.builder(&[]).preload(preload).launch();
    let master = server.wait_for_herd();
    // The file is not read any more.
    let loads = if preload { 1 } else { 2 };
    let loaded = server.log().wait_for_count(Mark::default(), "application loaded", loads, testkit::patience());
    assert!(loaded.is_some(), "not every worker has loaded the application");
    let load = server.load().start();
    server.write("generation", "broken");
    let finished = server.herd_reload(["--wait"]);
    assert_eq!(finished.code(), 1, "{finished:#?}");
    assert!(finished.stderr.contains("restart failed: "), "{finished:#?}");
    server.wait_for(Mark::default(), &format!("Restart failed: *PID {master} serves on."));
    // The old master is as it was: the next restart works.
    server.write("generation", "g2");
    assert_eq!(server.herd_reload(["--wait"]).code(), 0);
    load.wait_until_seen("g2");
    let report = load.stop();
    report.assert_no_failure();
    assert_eq!(report.seen.keys().collect::<Vec<_>>(), ["g1", "g2"]);
    stop(&mut server);
}

#[test]
fn new_code_that_does_not_boot_leaves_unicorn_as_it_was() {
    check_failed_reload(Herded::Unicorn, true);
    check_failed_reload(Herded::Unicorn, false);
}

#[test]
fn new_code_that_does_not_boot_leaves_gunicorn_as_it_was() {
    check_failed_reload(Herded::Gunicorn, false);
    check_failed_reload(Herded::GunicornOfToday, false);
}

#[test]
fn new_code_that_does_not_boot_leaves_licorne_as_it_was() {
    check_failed_reload(Herded::Licorne, true);
}

#[test]
fn a_hook_that_stops_the_old_master_is_no_outage() {
    // unicornherder killed the new master then: it had lost the old one.
    let mut server = Herded::Unicorn.builder(&[]).config(testkit::upgrade::RECIPE).launch();
    let old = server.wait_for_herd();
    let load = server.load().start();
    server.write("generation", "g2");
    assert_eq!(server.herd_reload(["--wait"]).code(), 0);
    load.wait_until_seen("g2");
    load.stop().assert_no_failure();
    assert!(Watch::on(old).is_none(), "the old master");
    stop(&mut server);
}

#[test]
fn an_upgrade_by_somebody_else_is_followed() {
    let mut server = Herded::Unicorn.builder(&[]).config(testkit::upgrade::RECIPE).launch();
    let old = server.wait_for_herd();
    let load = server.load().start();
    server.write("generation", "g2");
    signal(old, Signal::USR2).expect("the master is there");
    let new = pid_of(&server.wait_for(Mark::default(), &format!("changed PID (was {old}, now ")));
    load.wait_until_seen("g2");
    load.stop().assert_no_failure();
    assert!(Watch::on(old).is_none_or(|watch| watch.wait(testkit::patience())));
    assert_eq!(server.pid_in_file("server.pid"), Some(new));
    stop(&mut server);
}

#[test]
fn two_masters_that_somebody_left_are_both_stopped() {
    let mut server = Herded::Unicorn.builder(&["-p", "{dir}/server.pid"]).launch();
    let old = server.wait_for_herd();
    signal(old, Signal::USR2).expect("the master is there");
    server.wait_for(Mark::default(), &format!("changed PID (was {old}, now "));
    let finished = server.herd_reload(["--wait"]);
    assert_eq!(finished.code(), 1);
    assert!(finished.stderr.contains("both serve since somebody sent USR2"), "{finished:#?}");
    stop(&mut server);
}

#[test]
fn a_request_that_has_begun_is_finished_when_the_herder_gets_term() {
    for herded in ALL {
        let mut server = herded.builder(&[]).launch();
        server.wait_for_herd();
        let mut gate = Gate::new(&server);
        let held = gate.hold(&server);
        // The other worker has booted: a Gunicorn's that is just forked would miss the signal.
        assert_eq!(server.get("/").status, 200, "{herded:?}");
        server.signal(Signal::TERM);
        // The idle worker is gone: the stop is under way.
        let others =
            || procfs::processes().into_iter().any(|p| p.parent == parent(held.worker) && p.pid != held.worker);
        server.eventually("the other worker gone", || (!others() || herded == Herded::Licorne).then_some(()));
        assert_eq!(gate.release(held).status, 200, "{herded:?}");
        assert_eq!(server.wait_for_exit().code(), Some(0), "{herded:?}");
        server.assert_nothing_is_left();
    }
}

fn parent(pid: u32) -> u32 {
    procfs::process(pid).map_or(0, |process| process.parent)
}

#[test]
fn a_server_that_dies_ends_the_herder_with_1_and_nothing_is_left() {
    for options in [&[][..], &["--daemonize"]] {
        for herded in [Herded::Unicorn, Herded::Gunicorn] {
            let mut server = herded.builder(options).launch();
            let master = server.wait_for_herd();
            signal(master, Signal::KILL).expect("the master is there");
            assert_eq!(server.wait_for_exit().code(), Some(1), "{herded:?}");
            server.assert_nothing_is_left();
        }
    }
}

#[test]
fn a_herder_that_is_killed_takes_its_server_along_gracefully() {
    for options in [&[][..], &["--daemonize"]] {
        let mut server = Herded::Unicorn.builder(options).launch();
        server.wait_for_herd();
        let mut gate = Gate::new(&server);
        let held = gate.hold(&server);
        server.signal(Signal::KILL);
        assert_eq!(server.wait_for_exit().code(), None);
        assert_eq!(gate.release(held).status, 200);
        server.assert_nothing_is_left();
    }
}

#[test]
fn a_boot_that_fails_is_no_success() {
    for herded in ALL {
        for options in [&[][..], &["--daemonize"]] {
            // With preload_app: else Unicorn's workers try again for ever, as they do without a herder.
            let broken = herded.builder(options).preload(true).env("BOOT_SECONDS", "no number");
            let mut server = broken.launch();
            assert_eq!(server.wait_for_exit().code(), Some(1), "{herded:?} {options:?}");
            server.assert_nothing_is_left();
        }
    }
}

#[test]
fn a_boot_that_takes_too_long_is_ended_with_all_that_it_started() {
    for options in [&["-t", "1"][..], &["-t", "1", "--daemonize"]] {
        let mut server = Herded::Unicorn.builder(options).preload(true).env("BOOT_SECONDS", "600").launch();
        assert_eq!(server.wait_for_exit().code(), Some(1), "{options:?}");
        assert!(server.whole_output().contains("within 1 seconds. Sending TERM and exiting."));
        server.assert_nothing_is_left();
    }
}

#[test]
fn a_stop_while_it_boots_leaves_nothing_behind() {
    for options in [&[][..], &["--daemonize"]] {
        let mut server = Herded::Unicorn.builder(options).preload(true).env("BOOT_SECONDS", "600").launch();
        // It waits for the application in its directory: the interpreter is up.
        server.eventually("the server", || {
            server.family().iter().any(|process| process.title.contains("/unicorn ")).then_some(())
        });
        stop(&mut server);
    }
}

/// Listens for itself first, as Licorne does on its control socket, and only later on what its workers are to have.
const TWO_STEPS: &str = r#"
require "socket"
own = UNIXServer.new("own.sock")
sleep Float(ENV.fetch("BOOT_SECONDS"))
shared = UNIXServer.new("shared.sock")
worker = fork { own.close; loop { shared.accept.close } }
trap(:QUIT) { Process.kill(:KILL, worker) }
Process.wait(worker)
"#;

#[test]
fn a_server_that_binds_one_address_after_the_other_is_followed() {
    let program = ["herd", "-b", "ruby", "--", "{dir}/server"];
    let builder = Herded::Unicorn.application().file("server", TWO_STEPS).env("BOOT_SECONDS", "1").exactly(&program);
    let mut server = builder.launch();
    server.wait_for_herd();
    stop(&mut server);
}

#[test]
fn a_stop_at_any_moment_of_a_restart_is_a_stop() {
    // At the second moment the new master is a fork of the old one, about to be executed: it loses the signal.
    for moment in ["Caught HUP", "forked child re-executing", "changed PID", "inherited addr", "worker=0 spawning"] {
        for stop in [Signal::TERM, Signal::INT] {
            let mut server = Herded::Unicorn.builder(&[]).launch();
            server.wait_for_herd();
            let mark = server.mark();
            server.signal(Signal::HUP);
            server.wait_for(mark, moment);
            server.signal(stop);
            let status = server.try_wait_for_exit(testkit::patience());
            assert_eq!(status.and_then(|status| status.code()), Some(0), "{stop:?} at {moment:?}");
            server.assert_nothing_is_left();
        }
    }
}

#[test]
fn a_restart_that_is_asked_for_while_it_boots_follows() {
    let mut server = Herded::Unicorn.builder(&[]).preload(true).env("BOOT_SECONDS", "1").launch();
    server.eventually("the server", || {
        server.family().iter().any(|process| process.title.contains("/unicorn ")).then_some(())
    });
    server.signal(Signal::HUP);
    let line = server.wait_for(Mark::default(), "Restarted: unicorn serves (PID ");
    assert_ne!(pid_of(&line), server.wait_for_herd());
    stop(&mut server);
}

#[test]
fn a_program_that_is_missing_and_a_wrong_command_line_have_their_own_statuses() {
    let run = |arguments: &[&str]| testkit::process::licorne(arguments.iter().copied());
    let missing = run(&["herd", "-b", "/no/such/unicorn"]);
    assert_eq!(missing.code(), 127);
    assert!(missing.stderr.contains("Command '/no/such/unicorn' not found. Is it installed?"), "{missing:#?}");
    assert_eq!(run(&["herd", "-b", "/etc/passwd"]).code(), 126);
    let wrong = run(&["herd", "-u", "puma"]);
    assert_eq!(wrong.code(), 2);
    assert!(wrong.stderr.contains("invalid choice: 'puma'"), "{wrong:#?}");
    assert_eq!(run(&["herd", "--help"]).code(), 0);
    assert_eq!(run(&["herd", "reload", "--pid", "999999999"]).code(), 1);
}

#[test]
fn workers_are_added_and_a_changed_terminal_stops_none() {
    let mut server = Herded::Unicorn.builder(&[]).env("UNICORNHERDER_LOGLEVEL", "debug").launch();
    let master = server.wait_for_herd();
    server.signal(Signal::WINCH);
    server.signal(Signal::TTIN);
    server.wait_for(Mark::default(), &format!("Forwarding TTIN to PID {master}"));
    server.wait_for(Mark::default(), "worker=2 ready");
    assert_eq!(procfs::children(master).len(), 3);
    stop(&mut server);
}
