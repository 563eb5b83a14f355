//! Promise: an unchanged application boots, answers, takes uploads, and stops with nothing left behind.

use testkit::output::Mark;
use testkit::process::sha256;
use testkit::{App, Request, Server};

/// An upload that does not fit into memory buffers (112 KiB), of bytes that no text treatment survives.
fn content() -> Vec<u8> {
    (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[track_caller]
fn check_plain(preload: bool) {
    let mut server = Server::builder().workers(2).preload(preload).start();
    assert_eq!(server.get("/").text(), "Hello World\n");
    assert_eq!(server.get("/nowhere").status, 404);
    let content = content();
    let echoed = server.request(Request::post("/echo", content.clone())).text();
    assert_eq!(echoed, format!("{} {}\n", content.len(), sha256(&content)));
    server.stop();
}

#[test]
fn a_plain_rack_application_is_served() {
    check_plain(false);
}

#[test]
fn a_preloaded_plain_rack_application_is_served() {
    check_plain(true);
}

#[track_caller]
fn check_sinatra(preload: bool) {
    let mut server = Server::builder().app(App::sinatra()).workers(2).preload(preload).start();
    let response = server.get("/json?page=2");
    assert_eq!((response.status, response.field("X-Generation")), (200, Some("first")));
    assert_eq!(response.field("Content-Type"), Some("application/json"));
    assert!(response.text().starts_with(r#"{"page":2,"#), "{}", response.text());
    let content = content();
    let uploaded = server.request(Request::upload("/upload", "file", &content)).text();
    assert_eq!(uploaded, format!(r#"{{"bytes":{},"sha256":"{}"}}"#, content.len(), sha256(&content)));
    let pid: u32 = server.get("/pid").text().trim().parse().expect("a pid");
    assert!(server.workers().iter().any(|worker| worker.pid == pid));
    server.stop();
}

#[test]
fn a_sinatra_application_is_served() {
    check_sinatra(false);
}

#[test]
fn a_preloaded_sinatra_application_is_served() {
    check_sinatra(true);
}

#[track_caller]
fn check_rails(preload: bool) {
    let mut server = Server::builder().app(App::rails()).preload(preload).start();
    assert_eq!(server.get("/").text(), "Hello Rails\n");
    let created = server.request(Request::post("/notes?title=second", Vec::new()));
    assert_eq!(created.status, 201, "{}", created.text());
    assert!(server.get("/notes").text().contains(r#""title":"second""#));
    assert_eq!(server.get("/notes/4711").status, 404);
    let content = content();
    let uploaded = server.request(Request::upload("/upload", "file", &content)).text();
    assert_eq!(uploaded, format!(r#"{{"bytes":{},"sha256":"{}"}}"#, content.len(), sha256(&content)));
    server.stop();
}

#[test]
fn a_rails_application_with_a_database_is_served() {
    check_rails(false);
}

#[test]
fn a_preloaded_rails_application_with_a_database_is_served() {
    check_rails(true);
}

#[test]
fn the_log_tells_each_step_of_a_boot_as_unicorn_does() {
    let mut server = Server::builder().workers(2).start();
    for line in
        ["inherited addr=127.0.0.1:*fd=3", "worker=0 spawning...", "worker=1 spawned pid=", "master process ready"]
    {
        server.wait_for(Mark::default(), line);
    }
    server.stop();
    server.wait_for(Mark::default(), "reaped #<Process::Status: pid*exit 0> worker=1");
    server.wait_for(Mark::default(), "master complete");
}

#[test]
fn process_titles_tell_who_is_who() {
    let server = Server::builder().workers(2).start();
    assert_eq!(server.titled("master"), [server.pid()]);
    let workers = server.workers();
    assert_eq!(workers.iter().map(|worker| worker.number).collect::<Vec<_>>(), [0, 1]);
    assert!(workers.iter().all(|worker| worker.parent == server.pid()), "{workers:#?}");
    if testkit::program::is_licorne() {
        assert!(workers.iter().all(|worker| worker.generation == Some(1)), "{workers:#?}");
        assert_eq!(server.titled("mold").len(), 1);
    }
}

#[test]
fn a_pid_file_names_the_master_while_it_runs() {
    let mut server = Server::builder().start();
    assert_eq!(server.pid_in_file("server.pid"), Some(server.pid()));
    server.stop();
    assert!(!server.file("server.pid").exists());
}

#[test]
fn listeners_without_a_name_on_the_command_line_are_served() {
    let mut server = Server::builder().tcp_listeners(2).unnamed_listeners().start();
    for endpoint in server.endpoints() {
        let response = testkit::Connection::open(endpoint).request(&Request::get("/").close());
        assert_eq!(response.status, 200, "at {endpoint}");
    }
    server.stop();
}

#[test]
fn a_request_that_came_before_the_boot_is_answered() {
    let mut server = Server::builder().launch();
    // The kernel has queued it: the test has bound the listener.
    assert_eq!(server.get("/").status, 200);
    server.wait_for(Mark::default(), "worker=0*ready");
    server.stop();
}
