//! Promise: no client can hurt another: slow, idle, dawdling and knocking ones, all at once, cost no worker.

use testkit::swarm::allow_many_descriptors;
use testkit::{Request, Server, Swarm, procfs};

/// What the workers hold in memory, with everything that only they hold.
fn workers_mib(server: &Server) -> u64 {
    server.workers().iter().map(|worker| procfs::memory(worker.pid).pss_kib).sum::<u64>() / 1024
}

/// As many successes as make a 99th percentile worth a look.
const REQUESTS: usize = 1_000;

#[test]
fn a_swarm_of_slow_idle_and_knocking_clients_costs_a_normal_client_nothing() {
    allow_many_descriptors();
    let mut server = Server::builder().workers(2).preload(true).unix_listeners(1).start();
    // Each worker has loaded what it needs, and has answered the large response once.
    server.get("/big?kib=20480");
    server.get("/big?kib=20480");
    let before_mib = workers_mib(&server);

    let load = server.load().clients(2).start();
    load.wait_for_successes(REQUESTS);
    let calm = load.stop();
    calm.assert_no_failure();

    let knocks = server.endpoints().iter().find_map(|endpoint| match endpoint {
        testkit::Endpoint::Unix(path) => Some((path.clone(), 200)),
        testkit::Endpoint::Tcp(_) => None,
    });
    let swarm = Swarm { heads: 500, bodies: 200, readers: 100, idle: 5_000, knocks, ..Swarm::new(server.endpoint()) };
    let mut swarm = swarm.start();
    assert_eq!(swarm.idle(), 5_000, "connections were not kept alive");
    let load = server.load().clients(2).start();
    load.wait_for_successes(REQUESTS);
    let during_mib = workers_mib(&server);
    let hurt = load.stop();
    hurt.assert_no_failure();
    eprintln!(
        "p99 {:?} alone, {:?} among the swarm; workers {before_mib} MiB before, {during_mib} MiB during",
        calm.percentile(0.99),
        hurt.percentile(0.99)
    );
    assert!(during_mib < before_mib + 256, "100 readers of 20 MB and 5,800 connections took {during_mib} MiB");

    assert_eq!(swarm.idle_closed(), 0, "idle connections were closed");
    assert_eq!(swarm.ask_the_idle(), 0, "idle connections were not answered");
    let seen = swarm.stop();
    eprintln!("{seen:?}");
    assert!(seen.knocks > 0 && seen.read_bytes > 0, "{seen:?}");
    assert_eq!(seen.readers_closed, 0, "slow but honest readers were closed: {seen:?}");

    let after_mib = server.eventually("the memory to be given back", || {
        let now = workers_mib(&server);
        (now < before_mib + 64).then_some(now)
    });
    eprintln!("workers {after_mib} MiB after");
    assert_eq!(server.connect().request(&Request::get("/").close()).status, 200);
    server.stop();
}

/// How many clients upload at once.
const UPLOADS: usize = 1_000;

#[test]
fn memory_of_a_thousand_uploads_is_given_back() {
    allow_many_descriptors();
    let mut server = Server::builder().workers(2).preload(true).start();
    // So large that they end with their requests, and left unread: what Ruby keeps until it collects garbage is its own.
    let bytes = Request::post("/hello", vec![b'x'; 200_000]).bytes();
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    let upload = |server: &Server, clients: usize| {
        let mut clients: Vec<_> = (0..clients).map(|_| server.connect()).collect();
        clients.iter_mut().for_each(|client| client.send(first));
        let during_mib = workers_mib(server);
        for client in &mut clients {
            client.send(rest);
            assert_eq!(client.receive().status, 200);
        }
        during_mib.max(workers_mib(server))
    };
    upload(&server, 20);
    let before_mib = workers_mib(&server);
    let during_mib = upload(&server, UPLOADS);
    assert!(during_mib > before_mib + 40, "{during_mib} MiB: the workers did not take part of the uploads");
    let after_mib = server.eventually("the memory to be given back", || {
        let now = workers_mib(&server);
        (now < before_mib + 24).then_some(now)
    });
    eprintln!("workers {before_mib} MiB before, {during_mib} MiB during, {after_mib} MiB after");
    server.stop();
}
