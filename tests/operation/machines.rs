//! Promise: a deploy over three machines behind HAProxy loses no request, whether each machine reloads or is replaced.
//!
//! HAProxy's configuration is `deploy/haproxy/haproxy.cfg` with the marked lines changed.

use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use testkit::output::Mark;
use testkit::{App, Server, program};

use crate::network::{MACHINES, Network, balancer, finish, load, wait_for_server};

const PAUSE: Duration = Duration::from_millis(5);

const APP: &str = r#"
generation = File.read(File.join(ENV.fetch("TEST_DIR"), "generation")).chomp
run lambda { |env|
  sleep 0.02 # a request takes its time: there is always one under way
  [200, { "Content-Type" => "text/plain", "X-Generation" => generation }, ["ok\n"]]
}
"#;

/// Starts Licorne on a machine, with the code of this generation.
fn start(network: &Network, number: u8, generation: &str) -> Server {
    let licorne = program::path().display().to_string();
    let [ip, words @ ..] = network.entering(number);
    let server = Server::builder()
        .app(App::rackup(APP))
        .workers(2)
        .file("generation", generation)
        .config(&Network::listens(number))
        .config("shutdown_delay 3")
        .program(ip)
        .exactly(&[&words[0], &words[1], &words[2], &licorne, "-c", "{dir}/config.rb", "-E", "none"])
        .launch();
    server.wait_for(Mark::default(), "master process ready");
    server
}

#[test]
fn a_reload_of_one_machine_after_the_other_loses_no_request() {
    let network = Network::new();
    let directory = TempDir::with_prefix("licorne-").expect("a temporary directory");
    let mut servers = MACHINES.map(|number| start(&network, number, "g1"));
    let front = balancer(&network, directory.path());
    let loads = load(&front, PAUSE);
    for generation in ["g2", "g3"] {
        for server in &servers {
            server.write("generation", generation);
            let finished = server.ctl(["reload", "--wait"]);
            assert_eq!(finished.code(), 0, "{finished:#?}");
        }
        loads.iter().for_each(|load| load.wait_until_seen(generation));
    }
    finish(loads, "g3");
    drop(front);
    servers.iter_mut().for_each(stop);
}

#[test]
fn machines_that_are_replaced_one_after_the_other_lose_no_request() {
    let network = Network::new();
    let directory = TempDir::with_prefix("licorne-").expect("a temporary directory");
    let mut servers = MACHINES.map(|number| start(&network, number, "g1"));
    let front = balancer(&network, directory.path());
    let loads = load(&front, PAUSE);
    for (server, number) in servers.iter_mut().zip(MACHINES) {
        let mark = front.log().mark();
        // TERM, as systemd, Kubernetes and a shell send it; the balancer is not told.
        stop(server);
        wait_for_server(&front, mark, number, "DOWN");
        *server = start(&network, number, "g2");
        wait_for_server(&front, mark, number, "UP");
        loads.iter().for_each(|load| load.wait_for_successes(50));
    }
    finish(loads, "g2");
    drop(front);
    servers.iter_mut().for_each(stop);
}

fn stop(server: &mut Server) {
    server.signal(Signal::TERM);
    assert!(server.wait_for_exit().success());
    server.assert_nothing_is_left();
}
