//! The harness itself: a server starts, answers, is watched, and leaves nothing behind.

use testkit::output::Mark;
use testkit::{App, Request, Server, procfs};

#[test]
fn a_server_starts_on_an_inherited_listener_answers_and_stops() {
    let mut server = Server::builder().workers(2).start();
    let response = server.get("/");
    assert_eq!((response.status, &*response.text()), (200, "Hello World\n"));
    assert_eq!(server.workers().len(), 2);
    assert_eq!(server.titled("master"), [server.pid()]);
    server.stop();
}

#[test]
fn a_unix_socket_is_served_like_a_tcp_one() {
    let mut server = Server::builder().tcp_listeners(1).unix_listeners(1).start();
    for endpoint in server.endpoints().to_vec() {
        let response = testkit::Connection::open(&endpoint).request(&Request::get("/").close());
        assert_eq!(response.status, 200, "at {endpoint}");
    }
    server.stop();
}

#[test]
fn load_finds_no_fault_in_a_server_that_is_left_alone() {
    let server = Server::builder().workers(2).start();
    let load = server.load().expect("Hello World\n").start();
    load.wait_for_successes(200);
    let report = load.stop();
    report.assert_no_failure();
    assert!(report.ok() >= 200);
}

#[test]
fn load_notices_that_everybody_was_kept_waiting() {
    // Much longer than a machine stands still.
    let app = "count = 0\nrun ->(_env) { sleep 2 if (count += 1) == 50; [200, {}, ['ok']] }\n";
    let mut server = Server::builder().app(App::rackup(app)).start();
    let load = server.load().start();
    load.wait_for_successes(60);
    let report = load.stop();
    report.assert_no_failure();
    assert!(report.longest_wait > std::time::Duration::from_millis(200), "{report:#?}");
    server.stop();
}

#[test]
fn load_notices_that_a_server_has_gone() {
    let mut server = Server::builder().start();
    let load = server.load().start();
    load.wait_for_successes(5);
    server.stop();
    // No process listens any more: the load must notice.
    load.wait_for_failure();
    let report = load.stop();
    assert!(report.failed() > 0, "{report:#?}");
    assert!(report.ok() >= 5, "{report:#?}");
}

#[test]
fn dropping_a_server_kills_what_it_started() {
    let server = Server::builder().workers(2).start();
    let family = server.family();
    assert!(family.len() >= 3, "{family:#?}");
    drop(server);
    for process in family {
        assert!(procfs::process(process.pid).is_none(), "{process:#?} was left");
    }
}

#[test]
fn a_boot_that_fails_is_seen_at_once() {
    let mut server = Server::builder().app(App::rackup("raise 'no app today'")).preload(true).launch();
    server.wait_for(Mark::default(), "no app today");
    assert!(!server.wait_for_exit().success());
    server.assert_nothing_is_left();
}
