//! Promise: a server whose backlog is never empty obeys each signal at the end of the requests that it is in, and loses
//! none of those that wait.
//!
//! Each test has more clients than workers, each of which connects anew as soon as it was answered. With
//! `LICORNE_SATURATION=all` every length of a request is played with and without other connections.

use rustix::process::Signal;
use testkit::load::{Outcome, Plan, Report};
use testkit::{App, Connection, Load, Request, Server};

const WORKERS: u32 = 4;
const CLIENTS: usize = 36;
const IDLE: usize = 8;

/// Takes as many milliseconds for an answer as the path says, and counts those that it has begun.
const APP: &str = r#"
begun = File.join(ENV.fetch("TEST_DIR"), "begun")
run lambda { |env|
  File.write(begun, ".", mode: "a") unless env["PATH_INFO"] == "/0"
  sleep Integer(env["PATH_INFO"].delete("/")) / 1000.0
  [200, { "content-type" => "text/plain" }, ["done\n"]]
}
"#;

/// A saturated server, and its clients.
struct Saturated {
    server: Server,
    load: Load,
    /// Kept-alive connections that do nothing: they make the helper thread look after them while a worker works.
    idle: Vec<Connection>,
}

impl Saturated {
    #[track_caller]
    fn start(request_ms: u32, idle: usize) -> Self {
        let server = Server::builder().app(App::rackup(APP)).workers(WORKERS).start();
        let idle = (0..idle).map(|_| kept(&server)).collect();
        let plan = Plan::new(server.endpoint()).clients(CLIENTS).think(std::time::Duration::ZERO);
        let load = plan.request(Request::get(&format!("/{request_ms}"))).expect("done\n").begin();
        load.wait_for_successes(WORKERS as usize);
        Self { server, load, idle }
    }

    #[track_caller]
    fn wait_for_generation(&self, generation: u32) {
        self.server.eventually(&format!("workers of generation {generation} only"), || {
            let workers = self.server.workers();
            let new = workers.iter().all(|worker| worker.generation == Some(generation));
            (new && workers.len() == WORKERS as usize).then_some(())
        });
    }

    /// Ends the server while its clients go on: all that was begun is finished. `signal` may kill the master.
    #[track_caller]
    fn end_under_load(mut self, signal: Signal) {
        self.server.signal(signal);
        self.server.wait_for_exit();
        self.server.assert_nothing_is_left();
        let report = self.load.stop();
        let begun = std::fs::read(self.server.file("begun")).expect("requests were begun").len();
        assert_eq!(report.ok(), begun, "{signal:?}: requests that were begun were cut: {report:#?}");
    }

    /// Ends the server by a signal while the last requests of its clients are served or wait: all are answered.
    #[track_caller]
    fn end(mut self, signal: Signal) {
        self.load.last_attempts();
        self.server.signal(signal);
        let status = self.server.wait_for_exit();
        assert!(status.success(), "{signal:?}: {status}");
        self.server.assert_nothing_is_left();
        assert_none_lost(&self.load.stop());
    }
}

#[track_caller]
fn kept(server: &Server) -> Connection {
    let mut connection = server.connect();
    assert_eq!(connection.request(&Request::get("/0")).status, 200);
    connection
}

/// Clients that came after the end were refused, but nothing that was begun was lost.
#[track_caller]
fn assert_none_lost(report: &Report) {
    let lost = report.outcomes.keys().any(|outcome| !matches!(outcome, Outcome::Ok | Outcome::Refused));
    assert!(report.ok() > 0 && !lost, "requests were lost: {report:#?}");
}

/// Whether what takes longer is played too.
fn all() -> bool {
    std::env::var("LICORNE_SATURATION").is_ok_and(|value| value == "all")
}

/// Sends each signal that a server survives, and then `QUIT`.
#[track_caller]
fn each_signal_is_obeyed(request_ms: u32, idle: usize) {
    let mut saturated = Saturated::start(request_ms, idle);
    let slots: Vec<u32> = (0..WORKERS).collect();
    let server = &saturated.server;

    let mark = server.mark();
    server.signal(Signal::USR1);
    for slot in &slots {
        server.wait_for(mark, &format!("worker={slot} done reopening logs"));
    }
    server.signal(Signal::HUP);
    saturated.wait_for_generation(2);
    server.signal(Signal::TTOU);
    server.wait_for_slots(&slots[..slots.len() - 1]);
    server.signal(Signal::TTIN);
    server.wait_for_slots(&slots);
    for connection in &mut saturated.idle {
        assert!(!connection.is_stale(), "an idle connection was closed");
    }
    server.signal(Signal::WINCH);
    server.wait_for_slots(&[]);
    server.signal(Signal::HUP);
    saturated.wait_for_generation(3);
    saturated.load.wait_for_successes(WORKERS as usize);

    assert!(!server.log().text().contains("killing"), "a worker was killed: {}", server.log().text());
    saturated.end(Signal::QUIT);
}

#[test]
fn each_signal_is_obeyed_between_requests_of_5_ms() {
    each_signal_is_obeyed(5, IDLE);
    if all() {
        each_signal_is_obeyed(5, 0);
    }
}

#[test]
fn each_signal_is_obeyed_between_requests_of_60_ms() {
    each_signal_is_obeyed(60, IDLE);
    if all() {
        each_signal_is_obeyed(60, 0);
    }
}

#[test]
fn each_signal_is_obeyed_between_requests_of_a_second() {
    each_signal_is_obeyed(1_000, 0);
    if all() {
        each_signal_is_obeyed(1_000, IDLE);
    }
}

#[test]
fn term_finishes_what_was_begun_and_int_does_not_wait() {
    for (request_ms, idle) in [(5, 0), (60, IDLE)] {
        Saturated::start(request_ms, idle).end(Signal::TERM);
    }
    let mut saturated = Saturated::start(1_000, IDLE);
    saturated.server.signal(Signal::INT);
    assert!(saturated.server.wait_for_exit().success());
    saturated.server.assert_nothing_is_left();
    drop(saturated.load.stop());
}

#[test]
fn workers_that_lose_their_master_finish_what_was_begun_and_leave() {
    for (request_ms, idle) in [(5, IDLE), (60, 0), (1_000, IDLE)] {
        Saturated::start(request_ms, idle).end_under_load(Signal::KILL);
    }
}

#[test]
fn a_new_master_takes_the_address_while_orphans_finish_under_load() {
    let Saturated { mut server, load, idle } = Saturated::start(200, IDLE);
    server.signal(Signal::KILL);
    server.wait_for_exit();
    let address = server.endpoint().to_string();
    let successor = Server::builder().app(App::rackup(APP)).workers(WORKERS).tcp_listeners(0);
    let mut successor = successor.arg("-l").arg(&address).start();
    load.wait_for_successes(WORKERS as usize);
    let report = load.stop();
    let begun = |server: &Server| std::fs::read(server.file("begun")).map_or(0, |dots| dots.len());
    assert_eq!(report.ok(), begun(&server) + begun(&successor), "requests that were begun were cut: {report:#?}");
    drop(idle);
    successor.stop();
    server.assert_nothing_is_left();
}

#[test]
fn quit_finishes_what_was_begun_although_clients_go_on() {
    for (request_ms, idle) in [(5, IDLE), (60, IDLE), (1_000, 0)] {
        Saturated::start(request_ms, idle).end_under_load(Signal::QUIT);
    }
}
