//! Promise: USR2 starts a new master beside the old one, and the old one's QUIT ends the upgrade: no request is lost.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use testkit::process::{Watch, signal};
use testkit::upgrade::RECIPE;
use testkit::{App, Connection, Endpoint, Request, Server, procfs};

/// The longest time without a success that is promised.
const GAP: Duration = Duration::from_millis(50);

const APP: &str = r#"
generation = File.exist?("../generation") ? File.read("../generation").chomp : "g1"
sleep Float(ENV.fetch("BOOT_SECONDS", "0"))
run ->(_env) { [200, { "Content-Type" => "text/plain", "Content-Length" => "3", "X-Generation" => generation }, ["ok\n"]] }
"#;

#[track_caller]
fn check_recipe(preload: bool) {
    let server = Server::builder().app(App::rackup(APP)).workers(2).preload(preload).config(RECIPE);
    // The recipe's before_fork does not change the line that tells of a ready worker.
    let mut server = server.env("BOOT_SECONDS", "2").start();
    let old = server.pid();
    let close = server.load().start();
    let kept = server.load().keep_alive(true).start();
    server.write("generation", "g2");
    server.signal(Signal::USR2);
    let new = server.new_master(old);
    assert!(server.wait_for_exit().success(), "the old master");
    close.wait_until_seen("g2");
    kept.wait_until_seen("g2");
    close.wait_for_successes(50);
    close.stop().assert_flawless(GAP);
    kept.stop().assert_flawless(GAP);
    assert!(!server.file("server.pid.oldbin").exists());
    assert_eq!(server.pid_in_file("server.pid"), Some(new));
    assert_eq!(server.workers_of(new).len(), 2);
    assert_eq!(server.workers().len(), 2);
    server.stop_successor(new);
}

#[test]
fn an_upgrade_by_the_usual_recipe_loses_no_request() {
    check_recipe(false);
}

#[test]
fn an_upgrade_of_a_preloaded_application_by_the_usual_recipe_loses_no_request() {
    check_recipe(true);
}

#[test]
fn both_masters_serve_until_one_is_told_to_quit() {
    let mut server = Server::builder().app(App::rackup(APP)).workers(1).start();
    let old = server.pid();
    let load = server.load().start();
    server.write("generation", "g2");
    let mark = server.mark();
    server.signal(Signal::USR2);
    let new = server.new_master(old);
    server.wait_for(mark, "worker=0 ready");
    assert_eq!(server.pid_in_file("server.pid.oldbin"), Some(old));
    server.eventually("the old master's title", || (server.titled("master (old)") == [old]).then_some(()));
    assert_eq!((server.workers_of(old).len(), server.workers_of(new).len()), (1, 1));
    load.wait_until_seen("g2");
    // A second upgrade has to wait.
    server.signal(Signal::USR2);
    server.wait_for(mark, &format!("reexec-ed child already running PID:{new}"));
    server.signal(Signal::QUIT);
    assert!(server.wait_for_exit().success());
    load.wait_for_successes(20);
    load.stop().assert_flawless(GAP);
    assert!(!server.file("server.pid.oldbin").exists());
    server.stop_successor(new);
}

#[test]
fn an_inherited_listener_outlives_a_lost_mold_and_goes_with_a_reload() {
    let extra = "listen File.join(ENV.fetch('TEST_DIR'), 'extra.sock')";
    let mut server = Server::builder().config(extra).start();
    let endpoint = Endpoint::Unix(server.file("extra.sock"));
    let config = std::fs::read_to_string(server.file("config.rb")).expect("the configuration");
    server.write("config.rb", &config.replace(extra, ""));
    let (old, mark) = (server.pid(), server.mark());
    server.signal(Signal::USR2);
    let new = server.new_master(old);
    server.wait_for(mark, "worker=0 ready");
    server.signal(Signal::QUIT);
    assert!(server.wait_for_exit().success());

    let mold = server.titled("mold")[0];
    signal(mold, Signal::KILL).expect("the mold is there");
    server.eventually("a new mold", || server.titled("mold").into_iter().find(|pid| *pid != mold));
    let mark = server.mark();
    signal(server.workers()[0].pid, Signal::KILL).expect("the worker is there");
    server.wait_for(mark, "worker=0 ready");
    assert_eq!(Connection::open(&endpoint).request(&Request::get("/").close()).status, 200);

    signal(new, Signal::HUP).expect("the master is there");
    server.wait_for(mark, "serves alone");
    server
        .eventually("the end of the listener", || (!procfs::listens_on_path(&server.file("extra.sock"))).then_some(()));
    server.stop_successor(new);
}

#[test]
fn an_upgrade_is_rolled_back_by_quitting_the_new_master() {
    let mut server = Server::builder().workers(1).start();
    let old = server.pid();
    let load = server.load().start();
    let mark = server.mark();
    server.signal(Signal::USR2);
    let new = server.new_master(old);
    server.wait_for(mark, "worker=0 ready");
    signal(new, Signal::QUIT).expect("the new master is there");
    server.wait_for(mark, &format!("reaped*pid {new} exit 0*exec()-ed"));
    server.eventually("the pid file back", || (server.pid_in_file("server.pid") == Some(old)).then_some(()));
    assert!(!server.file("server.pid.oldbin").exists());
    server.eventually("the title back", || (server.titled("master") == [old]).then_some(()));
    load.wait_for_successes(20);
    load.stop().assert_flawless(GAP);
    server.stop();
}

#[test]
fn an_upgrade_is_rolled_back_by_winch_and_hup_as_unicorn_documents_it() {
    let mut server = Server::builder().workers(1).start();
    let old = server.pid();
    let mark = server.mark();
    server.signal(Signal::USR2);
    let new = server.new_master(old);
    server.wait_for(mark, "worker=0 ready");
    server.signal(Signal::WINCH);
    server.eventually("only the new master's worker", || server.workers_of(old).is_empty().then_some(()));
    assert_eq!(server.get("/").status, 200);
    server.signal(Signal::HUP);
    server.eventually("the old master's worker again", || (server.workers_of(old).len() == 1).then_some(()));
    signal(new, Signal::QUIT).expect("the new master is there");
    server.eventually("the pid file back", || (server.pid_in_file("server.pid") == Some(old)).then_some(()));
    assert_eq!(server.get("/").status, 200);
    server.stop();
}

#[test]
fn a_new_master_that_does_not_boot_changes_nothing() {
    for preload in [true, false] {
        let mut server = Server::builder().app(App::rackup(APP)).workers(1).preload(preload).start();
        let old = server.pid();
        let before = server.workers();
        let load = server.load().start();
        let mark = server.mark();
        server.write("app/config.ru", "raise 'the new code is broken'");
        server.signal(Signal::USR2);
        server.wait_for(mark, "the new code is broken");
        server.wait_for(mark, "reaped*exec()-ed");
        server.eventually("the pid file back", || (server.pid_in_file("server.pid") == Some(old)).then_some(()));
        assert_eq!(server.workers(), before);
        load.wait_for_successes(20);
        load.stop().assert_flawless(GAP);
        server.stop();
    }
}

#[test]
fn a_client_that_waits_for_a_refused_upgrade_learns_why() {
    for preload in [true, false] {
        let mut server = Server::builder().app(App::rackup(APP)).workers(1).preload(preload).start();
        server.write("app/config.ru", "raise 'the new code is broken'");
        let finished = server.ctl(["upgrade", "--wait", "--two-masters"]);
        assert_eq!(finished.code(), 1, "{finished:#?}");
        assert!(finished.stderr.contains("the new code is broken"), "{finished:#?}");
        assert!(finished.stderr.contains("config.ru:1"), "no backtrace: {finished:#?}");
        server
            .eventually("the pid file back", || (server.pid_in_file("server.pid") == Some(server.pid())).then_some(()));
        // A later failure has reasons of its own.
        server.write("server.pid.oldbin", "1\n");
        let finished = server.ctl(["upgrade", "--wait", "--two-masters"]);
        assert_eq!(finished.code(), 1, "{finished:#?}");
        assert!(finished.stderr.contains("refusing rexec") && !finished.stderr.contains("broken"), "{finished:#?}");
        fs::remove_file(server.file("server.pid.oldbin")).expect("it is there");
        server.stop();
    }
}

#[test]
fn hup_without_a_configuration_file_upgrades() {
    let mut server = Server::builder().no_config().start();
    let old = server.pid();
    let mark = server.mark();
    server.signal(Signal::HUP);
    server.wait_for(mark, "config_file not present, reexecuting binary");
    server.wait_for(mark, "executing [");
    server.wait_for(mark, "worker=0 ready");
    let new = server.eventually("a second master", || server.titled("master").into_iter().find(|pid| *pid != old));
    server.signal(Signal::QUIT);
    assert!(server.wait_for_exit().success());
    assert_eq!(server.get("/").status, 200);
    server.stop_successor(new);
}

#[test]
fn an_upgraded_master_can_be_upgraded_again() {
    let mut server = Server::builder().app(App::rackup(APP)).workers(1).config(RECIPE).start();
    let mut master = server.pid();
    let load = server.load().start();
    for number in 2..=4 {
        server.write("generation", &format!("g{number}"));
        let watch = Watch::on(master).expect("the master is there");
        watch.signal(Signal::USR2);
        master = server.new_master(master);
        assert!(watch.wait(testkit::patience()), "the old master did not leave");
        load.wait_until_seen(&format!("g{number}"));
    }
    let _ = server.wait_for_exit();
    load.stop().assert_flawless(GAP);
    // What each exec passed on must not pile up.
    assert!(procfs::descriptors(master).len() < 40, "{:#?}", procfs::descriptors(master));
    server.stop_successor(master);
}

#[test]
fn a_rails_application_is_upgraded() {
    let mut server = Server::builder().app(App::rails()).workers(1).preload(true).config(RECIPE).start();
    let old = server.pid();
    server.write("app/config/initializers/generation.rb", "GENERATION = 'second'\n");
    server.signal(Signal::USR2);
    let new = server.new_master(old);
    assert!(server.wait_for_exit().success());
    assert_eq!(server.get("/").field("X-Generation"), Some("second"));
    server.stop_successor(new);
}

#[test]
fn a_sinatra_application_is_upgraded_under_load() {
    let mut server = Server::builder().app(App::sinatra()).workers(2).config(RECIPE).start();
    let old = server.pid();
    let load = server.load().clients(2).keep_alive(true).start();
    load.wait_for_successes(20);
    server.signal(Signal::USR2);
    let new = server.new_master(old);
    assert!(server.wait_for_exit().success());
    load.wait_for_successes(20);
    load.stop().assert_flawless(GAP);
    server.stop_successor(new);
}
