//! Promise: a kept-alive connection outlives the worker that it came to.

use rustix::process::Signal;
use testkit::load::Plan;
use testkit::process::signal;
use testkit::upgrade::RECIPE;
use testkit::{App, Load, Server};

/// Clients of each kind.
const CLIENTS: usize = 6;

/// Clients that keep their connections, on each of the server's listeners.
fn keeping(server: &Server) -> Vec<Load> {
    let plan = |endpoint| Plan::new(endpoint).clients(CLIENTS).keep_alive(true).start();
    server.endpoints().iter().map(plan).collect()
}

/// Asserts that each client still has its first connection.
#[track_caller]
fn assert_kept(loads: Vec<Load>) {
    for load in loads {
        load.wait_for_successes(CLIENTS * 5);
        load.stop().assert_kept(CLIENTS);
    }
}

#[track_caller]
fn wait_for_generation(server: &Server, generation: u32, workers: usize) {
    server.eventually(&format!("{workers} workers of generation {generation}, and no other"), || {
        let all = server.workers();
        (all.len() == workers && all.iter().all(|worker| worker.generation == Some(generation))).then_some(())
    });
}

#[test]
fn twenty_reloads_close_no_connection() {
    let mut server = Server::builder().workers(2).preload(true).unix_listeners(1).start();
    let loads = keeping(&server);
    for generation in 2..=21 {
        server.signal(Signal::HUP);
        wait_for_generation(&server, generation, 2);
    }
    assert_kept(loads);
    server.stop();
}

#[test]
fn idle_connections_outlive_a_reload_and_serve_a_request_after_it() {
    let mut server = Server::builder().workers(1).unix_listeners(1).start();
    let mut idle: Vec<_> = (0..100).map(|n| testkit::Connection::open(&server.endpoints()[n % 2])).collect();
    let request = testkit::Request::get("/pid");
    let before = idle.iter_mut().map(|connection| connection.request(&request).text()).collect::<Vec<_>>();
    server.signal(Signal::HUP);
    wait_for_generation(&server, 2, 1);
    let now = format!("{}\n", server.workers()[0].pid);
    for (connection, before) in idle.iter_mut().zip(before) {
        assert!(!connection.is_stale(), "closed by the server");
        let response = connection.request(&request);
        assert_eq!((response.text(), response.keep_alive), (now.clone(), true));
        assert_ne!(before, now);
    }
    // Who asks is known to the worker that took over.
    let env = testkit::Request::get("/env");
    assert!(idle[0].request(&env).text().contains("REMOTE_ADDR=\"127.0.0.1\""));
    server.stop();
}

#[test]
fn scaling_closes_no_connection() {
    let mut server = Server::builder().workers(3).start();
    let loads = keeping(&server);
    for slots in [&[0, 1][..], &[0]] {
        server.signal(Signal::TTOU);
        server.wait_for_slots(slots);
    }
    for slots in [&[0, 1][..], &[0, 1, 2]] {
        server.signal(Signal::TTIN);
        server.wait_for_slots(slots);
    }
    server.signal(Signal::TTOU);
    server.wait_for_slots(&[0, 1]);
    assert_kept(loads);
    server.stop();
}

#[test]
fn an_upgrade_closes_no_connection() {
    let mut server = Server::builder().workers(2).unix_listeners(1).config(RECIPE).start();
    let old = server.pid();
    let loads = keeping(&server);
    let mut idle = server.connect();
    assert_eq!(idle.request(&testkit::Request::get("/")).status, 200);
    server.signal(Signal::USR2);
    let new = server.new_master(old);
    assert!(server.wait_for_exit().success(), "the old master");
    assert_eq!(idle.request(&testkit::Request::get("/")).status, 200);
    assert_kept(loads);
    server.stop_successor(new);
}

#[test]
fn the_old_workers_of_an_upgrade_give_their_connections_away_on_winch_too() {
    let mut server = Server::builder().workers(1).start();
    let old = server.pid();
    let loads = keeping(&server);
    let mark = server.mark();
    server.signal(Signal::USR2);
    let new = server.new_master(old);
    server.wait_for(mark, "the new master serves");
    server.signal(Signal::WINCH);
    server.eventually("only the new master's worker", || server.workers_of(old).is_empty().then_some(()));
    server.signal(Signal::QUIT);
    assert!(server.wait_for_exit().success());
    assert_kept(loads);
    server.stop_successor(new);
}

#[test]
fn an_application_does_not_learn_of_the_queue() {
    let app = App::rackup("run ->(_env) { [200, {}, [ENV.keys.grep(/QUEUE|READY/).inspect]] }");
    let mut server = Server::builder().app(app).config(RECIPE).start();
    let old = server.pid();
    server.signal(Signal::USR2);
    let new = server.new_master(old);
    assert!(server.wait_for_exit().success());
    assert_eq!(server.get("/").text(), "[]");
    server.stop_successor(new);
}

#[test]
fn a_killed_worker_takes_no_connection_of_another_with_it() {
    let mut server = Server::builder().workers(3).start();
    let mut own: Vec<_> = (0..30).map(|_| server.connect()).collect();
    let request = testkit::Request::get("/pid");
    let homes: Vec<String> = own.iter_mut().map(|connection| connection.request(&request).text()).collect();
    let victim = server.workers()[0].pid;
    signal(victim, Signal::KILL).expect("it is there");
    server.eventually("another worker in its place", || {
        let workers = server.workers();
        (workers.len() == 3 && workers.iter().all(|worker| worker.pid != victim)).then_some(())
    });
    let others = own.iter_mut().zip(&homes).filter(|(_, home)| **home != format!("{victim}\n"));
    for (connection, _) in others {
        assert_eq!(connection.request(&request).status, 200);
    }
    server.stop();
}
