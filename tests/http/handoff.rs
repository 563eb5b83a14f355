//! Promise: a kept-alive connection outlives the worker that it came to.

use rustix::process::Signal;
use testkit::load::Plan;
use testkit::process::signal;
use testkit::upgrade::RECIPE;
use testkit::{App, Connection, Gate, Load, Request, Server, procfs};

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
fn reloads_close_no_connection() {
    let mut server = Server::builder().workers(2).preload(true).unix_listeners(1).start();
    let loads = keeping(&server);
    for generation in 2..=testkit::rounds(20) + 1 {
        server.signal(Signal::HUP);
        wait_for_generation(&server, generation, 2);
    }
    assert_kept(loads);
    server.stop();
}

#[test]
fn idle_connections_outlive_a_reload_and_serve_a_request_after_it() {
    let mut server = Server::builder().workers(1).unix_listeners(1).start();
    let mut idle: Vec<_> = (0..100).map(|n| Connection::open(&server.endpoints()[n % 2])).collect();
    let request = Request::get("/pid");
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
    // The worker that took over knows the client's address.
    let env = Request::get("/env");
    assert!(idle[0].request(&env).text().contains("REMOTE_ADDR=\"127.0.0.1\""));
    server.stop();
}

#[test]
fn many_idle_connections_outlive_a_reload_with_few_descriptors_and_a_full_queue() {
    const CONNECTIONS: usize = 1_500;
    testkit::swarm::allow_many_descriptors();
    // The queue is small where the master may not enlarge it, as an ordinary user may not. A worker has room for 872
    // connections: all of them have to be in use at the end.
    let directory = tempfile::tempdir().expect("a temporary directory");
    let wrapper = directory.path().join("licorne");
    let program = testkit::program::path();
    let script = format!(
        "#!/bin/bash\nulimit -n 1000\n\
         if [ $UID = 0 ]; then exec setpriv --bounding-set=-net_admin --inh-caps=-net_admin {program:?} \"$@\"; fi\n\
         exec {program:?} \"$@\"\n"
    );
    std::fs::write(&wrapper, script).expect("it can be written");
    std::fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("it is ours");
    let mut server = Server::builder().program(&wrapper).workers(2).preload(true).unix_listeners(1).start();
    let request = Request::get("/");
    let mut idle: Vec<_> = Vec::new();
    // Half of them on each worker, while the other one is held.
    let mut gate = Gate::new(&server);
    let mut filled = 0;
    for half in 0..2 {
        let held = loop {
            let held = gate.hold(&server);
            if held.worker != filled {
                break held;
            }
            gate.release(held);
        };
        filled = held.worker;
        while idle.len() < CONNECTIONS / 2 * (half + 1) {
            let mut connection = Connection::open(&server.endpoints()[idle.len() % 2]);
            assert_eq!(connection.request(&request).status, 200);
            idle.push(connection);
        }
        assert_eq!(gate.release(held).status, 200);
    }
    for generation in 2..=4 {
        server.signal(Signal::HUP);
        wait_for_generation(&server, generation, 2);
    }
    let stale = idle.iter().filter(|connection| connection.is_stale()).count();
    assert_eq!(stale, 0, "closed by the server");
    for connection in &mut idle {
        assert_eq!(connection.request(&request).status, 200);
    }
    assert!(!server.log().text().contains("ERROR"), "{}", server.log().text());
    server.stop();
}

#[test]
fn a_worker_that_is_told_to_leave_by_a_signal_of_its_own_gives_its_connections_away() {
    let mut server = Server::builder().workers(2).unix_listeners(1).start();
    for endpoint in 0..2 {
        let mut all = spread(&server, endpoint, 20);
        for number in [0, 1] {
            let victim = server.workers()[number].pid;
            let mark = server.mark();
            signal(victim, Signal::QUIT).expect("it is there");
            server.wait_for(mark, &format!("worker={number} ready"));
            server.eventually("another worker in its place", || {
                let workers = server.workers();
                (workers.len() == 2 && workers.iter().all(|worker| worker.pid != victim)).then_some(())
            });
            for (connection, _) in &mut all {
                assert!(!connection.is_stale(), "closed by the server");
                assert_eq!(connection.request(&Request::get("/")).status, 200);
            }
        }
    }
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
    assert_eq!(idle.request(&Request::get("/")).status, 200);
    server.signal(Signal::USR2);
    let new = server.new_master(old);
    assert!(server.wait_for_exit().success(), "the old master");
    assert_eq!(idle.request(&Request::get("/")).status, 200);
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
    let request = Request::get("/pid");
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

/// Connections of which two at least belong to each worker, and the workers' pids as each connection told them.
fn spread(server: &Server, endpoint: usize, count: usize) -> Vec<(Connection, u32)> {
    let open = || {
        let mut connection = Connection::open(&server.endpoints()[endpoint]);
        let home = connection.request(&Request::get("/pid")).text().trim().parse().expect("a pid");
        (connection, home)
    };
    server.eventually("connections of each worker", || {
        let all: Vec<_> = (0..count).map(|_| open()).collect();
        let workers = server.workers();
        let held = |pid: u32| all.iter().filter(|(_, home)| *home == pid).count();
        workers.iter().all(|worker| held(worker.pid) >= 2).then_some(all)
    })
}

#[test]
fn connections_of_a_worker_in_a_long_call_are_served_by_another() {
    let mut server = Server::builder().workers(2).unix_listeners(1).start();
    let mut gate = Gate::new(&server);
    for endpoint in 0..2 {
        let mut all = spread(&server, endpoint, 20);
        let held = gate.hold(&server);
        // Only those of the held worker: no other one could answer them.
        all.retain(|(_, home)| *home == held.worker);
        let upload = vec![7_u8; 50_000];
        let large = vec![8_u8; 300_000];
        let digest =
            |connection: &mut Connection, body: &[u8]| connection.request(&Request::post("/echo", body)).text();
        for (number, (connection, home)) in all.iter_mut().enumerate() {
            match number % 4 {
                0 => assert!(digest(connection, &upload).starts_with("50000 ")),
                1 => assert!(digest(connection, &large).starts_with("300000 ")),
                2 => assert!(connection.request(&Request::get("/env")).text().contains("REMOTE_ADDR=\"127.0.0.1\"")),
                _ => {}
            }
            assert_ne!(connection.request(&Request::get("/pid")).text(), format!("{home}\n"));
        }
        assert_eq!(gate.release(held).status, 200);
        for (connection, _) in &mut all {
            assert_eq!(connection.request(&Request::get("/")).status, 200);
        }
    }
    server.stop();
}

#[test]
fn a_head_that_comes_in_pieces_during_a_long_call_is_answered() {
    let mut server = Server::builder().workers(2).start();
    let mut gate = Gate::new(&server);
    let mut all = spread(&server, 0, 20);
    let held = gate.hold(&server);
    all.retain(|(_, home)| *home == held.worker);
    let [(connection, _), (other, _), ..] = all.as_mut_slice() else { panic!("too few connections") };
    connection.send("GET /pid HTTP/1.1\r\nHo");
    // By now the first piece was read.
    assert_eq!(other.request(&Request::get("/")).status, 200);
    connection.send("st: example.com\r\n\r\n");
    assert_ne!(connection.receive().text(), format!("{}\n", held.worker));
    assert_eq!(gate.release(held).status, 200);
    server.stop();
}

#[test]
fn when_all_workers_are_busy_requests_wait_for_the_first_that_is_free() {
    let mut server = Server::builder().workers(2).start();
    let mut gate = Gate::new(&server);
    let mut all = spread(&server, 0, 20);
    let (one, other) = (gate.hold(&server), gate.hold(&server));
    assert_ne!(one.worker, other.worker);
    all.iter_mut().for_each(|(connection, _)| connection.send(Request::get("/pid").bytes()));
    // The worker that becomes free first serves all of them, those of the other too.
    gate.open();
    let served: Vec<String> = all.iter_mut().map(|(connection, _)| connection.receive().text()).collect();
    assert!(served.iter().all(|pid| *pid == served[0]), "{served:?}");
    gate.open();
    for mut held in [one, other] {
        assert_eq!(held.connection.receive().status, 200);
    }
    server.stop();
}

#[test]
fn a_stop_serves_what_waits_in_the_queue() {
    let mut server = Server::builder().workers(2).start();
    let mut gate = Gate::new(&server);
    let mut all = spread(&server, 0, 20);
    let (one, other) = (gate.hold(&server), gate.hold(&server));
    all.iter_mut().for_each(|(connection, _)| connection.send(Request::get("/pid").bytes()));
    server.eventually("both stand-ins at work", || {
        let threads = |pid: u32| std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
        [one.worker, other.worker].into_iter().all(|pid| threads(pid) > 1).then_some(())
    });
    let held_by_master = || procfs::descriptors(server.pid()).len();
    let before = held_by_master();
    server.signal(Signal::QUIT);
    server.eventually("the master without its listener", || (held_by_master() < before).then_some(()));
    gate.open();
    // The first that is free serves all that waits and leaves; one line of the gate is for the other.
    server.eventually("one of the two gone", || (server.workers().len() == 1).then_some(()));
    gate.open();
    for (connection, _) in &mut all {
        assert_eq!(connection.receive().status, 200);
    }
    for mut held in [one, other] {
        assert_eq!(held.connection.receive().status, 200);
    }
    assert!(server.wait_for_exit().success());
    server.assert_nothing_is_left();
}

#[test]
fn an_application_forks_while_somebody_stands_in() {
    let app = r##"
run lambda { |env|
  case env["PATH_INFO"]
  when "/block"
    # Long enough for the other thread to be at work.
    sleep 0.02
    pid = fork { GC.start; exit!(7) }
    [200, {}, ["#{Process.wait2(pid).last.exitstatus}"]]
  when "/return"
    sleep 0.02
    # The child comes back out of the call.
    pid = fork
    return [200, {}, ["the child
"]] unless pid
    [200, {}, ["#{Process.wait2(pid).last.exitstatus}"]]
  else [200, {}, ["#{Process.pid}"]]
  end
}
"##;
    let mut server = Server::builder().app(App::rackup(app)).workers(1).start();
    let mut others: Vec<_> = (0..4).map(|_| server.connect()).collect();
    others.iter_mut().for_each(|connection| assert_eq!(connection.request(&Request::get("/")).status, 200));
    let mut asking = server.connect();
    for _ in 0..20 {
        others.iter_mut().for_each(|connection| connection.send("GET / HTTP/1.1\r\nHost: a"));
        assert_eq!(asking.request(&Request::get("/block")).text(), "7");
        others.iter_mut().for_each(|connection| connection.send("\r\n\r\n"));
        assert_eq!(asking.request(&Request::get("/return")).text(), "0");
        for connection in &mut others {
            assert_eq!(connection.receive().text(), server.workers()[0].pid.to_string());
        }
    }
    server.stop();
}

#[test]
fn connections_that_went_from_worker_to_worker_leave_no_descriptor_behind() {
    let mut server = Server::builder().workers(2).start();
    let mut gate = Gate::new(&server);
    let count = || server.workers().iter().map(|worker| procfs::descriptors(worker.pid).len()).collect::<Vec<_>>();
    let round = |gate: &mut Gate| {
        let mut all = spread(&server, 0, 12);
        let held = gate.hold(&server);
        for (connection, _) in &mut all {
            assert_eq!(connection.request(&Request::post("/echo", vec![1_u8; 200_000])).status, 200);
        }
        gate.release(held);
    };
    round(&mut gate);
    let before = server.eventually("connections closed", || {
        let now = count();
        (now == count()).then_some(now)
    });
    for _ in 0..5 {
        round(&mut gate);
    }
    server.eventually("the descriptors that were there before", || {
        (count().iter().sum::<usize>() <= before.iter().sum()).then_some(())
    });
    server.stop();
}
