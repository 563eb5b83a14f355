//! Promise: `-D` returns when the server serves, and its exit status is the truth.

use std::process::Command;

use rustix::process::Signal;
use testkit::process::{Watch, run};
use testkit::{App, Connection, Endpoint, Request, Server, procfs};

/// A daemon binds its own socket: the variable that announces inherited ones names the process that was started.
fn daemon(app: App, config: &str) -> Server {
    Server::builder()
        .app(app)
        .workers(2)
        .tcp_listeners(0)
        .arg("-D")
        .config("listen File.join(ENV.fetch('TEST_DIR'), 'd.sock')")
        .config("stderr_path File.join(ENV.fetch('TEST_DIR'), 'err.log')")
        .config(config)
        .launch()
}

#[test]
fn a_daemon_serves_when_the_command_returns() {
    for preload in [true, false] {
        let mut server = daemon(App::plain(), &format!("preload_app {preload}"));
        let status = server.wait_for_exit();
        assert!(status.success(), "{status}");
        let master = server.pid_in_file("server.pid").expect("a pid file");
        assert_ne!(master, server.pid());
        // It serves already: no retry.
        let endpoint = Endpoint::Unix(server.file("d.sock"));
        assert_eq!(Connection::open(&endpoint).request(&Request::get("/").close()).status, 200);
        let session = run(Command::new("ps").args(["-o", "sid=", "-p", &master.to_string()]), testkit::patience());
        assert_ne!(session.stdout.trim(), master.to_string(), "a daemon's master leads no session");
        for number in [0, 1] {
            assert_eq!(procfs::descriptors(master).get(&number).map(String::as_str), Some("/dev/null"));
        }
        let watch = Watch::on(master).expect("the master is there");
        watch.signal(Signal::QUIT);
        assert!(watch.wait(testkit::patience()));
        server.assert_nothing_is_left();
        assert!(!server.file("server.pid").exists());
    }
}

#[test]
fn a_daemon_that_cannot_boot_says_so_and_fails() {
    for preload in [true, false] {
        let broken = App::rackup("raise 'no daemon today'\nrun 1\n");
        let mut server = daemon(broken, &format!("preload_app {preload}"));
        let status = server.wait_for_exit();
        assert_eq!(status.code(), Some(1), "preload {preload}");
        server.assert_nothing_is_left();
        let log = std::fs::read_to_string(server.file("err.log")).unwrap_or_default();
        assert!(log.contains("no daemon today"), "preload {preload}: {log}");
        let said = server.whole_output();
        assert!(said.contains("master failed to start, check stderr log for details"), "{said}");
    }
}

#[test]
fn a_daemon_with_a_broken_configuration_says_so_and_fails() {
    let mut server = daemon(App::plain(), "timeout 'soon'");
    assert_eq!(server.wait_for_exit().code(), Some(1));
    server.assert_nothing_is_left();
    let said = server.whole_output();
    assert!(said.contains("timeout") && said.contains("master failed to start"), "{said}");
}
