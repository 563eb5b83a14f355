//! Promise: a deploy over three machines behind HAProxy loses no request, whether each machine reloads or is replaced.
//!
//! The machines are network namespaces on a bridge, HAProxy has one of its own, and its configuration is
//! `deploy/haproxy/haproxy.cfg` with the marked lines changed. See ip-netns(8).

use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;
use testkit::front::Front;
use testkit::load::Plan;
use testkit::output::Mark;
use testkit::process::run;
use testkit::{App, Load, Server, patience, program};

const MACHINES: [u8; 3] = [1, 2, 3];

const APP: &str = r#"
generation = File.read(File.join(ENV.fetch("TEST_DIR"), "generation")).chomp
run lambda { |env|
  sleep 0.02 # a request takes its time: there is always one under way
  [200, { "Content-Type" => "text/plain", "X-Generation" => generation }, ["ok\n"]]
}
"#;

/// Three hosts and a balancer's, joined by a bridge in the latter.
struct Network {
    prefix: String,
}

#[track_caller]
fn ip(words: &str) {
    let finished = run(Command::new("ip").args(words.split(' ')), patience());
    assert!(finished.status.success(), "ip {words}: {finished:#?}");
}

impl Network {
    fn new() -> Network {
        let network = Network { prefix: format!("lic{}", std::process::id()) };
        let front = network.balancer();
        ip(&format!("netns add {front}"));
        ip(&format!("-n {front} link set lo up"));
        ip(&format!("-n {front} link add name bridge0 type bridge"));
        ip(&format!("-n {front} addr add 10.77.0.254/24 dev bridge0"));
        ip(&format!("-n {front} link set bridge0 up"));
        for number in MACHINES {
            let host = network.host(number);
            ip(&format!("netns add {host}"));
            ip(&format!("-n {host} link set lo up"));
            ip(&format!("-n {front} link add m{number} type veth peer name eth0 netns {host}"));
            ip(&format!("-n {front} link set m{number} master bridge0 up"));
            ip(&format!("-n {host} addr add 10.77.0.{number}/24 dev eth0"));
            ip(&format!("-n {host} link set eth0 up"));
        }
        network
    }

    fn balancer(&self) -> String {
        format!("{}f", self.prefix)
    }

    fn host(&self, number: u8) -> String {
        format!("{}h{number}", self.prefix)
    }

    /// Starts Licorne on a machine, with the code of this generation.
    fn start(&self, number: u8, generation: &str) -> Server {
        let licorne = program::path().display().to_string();
        let host = self.host(number);
        let server = Server::builder()
            .app(App::rackup(APP))
            .workers(2)
            .file("generation", generation)
            .config(&format!("listen '10.77.0.{number}:8080', tcp_defer_accept: false"))
            .config(&format!("admin_listen '10.77.0.{number}:9293'"))
            .config("shutdown_delay 3")
            .program("/usr/sbin/ip")
            .exactly(&["netns", "exec", &host, &licorne, "-c", "{dir}/config.rb", "-E", "none"])
            .launch();
        server.wait_for(Mark::default(), "master process ready");
        server
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Whatever becomes of one, the others have to go.
        for name in MACHINES.map(|number| self.host(number)).into_iter().chain([self.balancer()]) {
            let _ = Command::new("ip").args(["netns", "del", &name]).status();
        }
    }
}

/// HAProxy as the repository has it, with the lines that users change.
fn balancer(network: &Network, directory: &TempDir) -> Front {
    let text = std::fs::read_to_string(program::repository().join("deploy/haproxy/haproxy.cfg")).expect("a file");
    let mut text = text.replace("bind :80", "bind fd@3");
    for number in MACHINES {
        text = text.replace(&format!("10.0.0.{number}:8080"), &format!("10.77.0.{number}:8080"));
    }
    assert!(!text.contains("10.0.0."), "{text}");
    std::fs::write(directory.path().join("haproxy.cfg"), text).expect("written");
    let words = ["netns", "exec", &network.balancer(), "haproxy", "-db", "-f", "haproxy.cfg"];
    Front::start("/usr/sbin/ip", &words, directory.path())
}

/// Load through the balancer: some clients that connect anew, some that keep their connections.
fn load(front: &Front) -> [Load; 2] {
    [false, true].map(|keep| Plan::new(&front.endpoint).clients(4).keep_alive(keep).start())
}

#[track_caller]
fn finish(loads: [Load; 2], last: &str) {
    for load in loads {
        load.wait_until_seen(last);
        load.wait_for_successes(100);
        load.stop().assert_no_failure();
    }
}

/// Waits until HAProxy has this server in its rotation, or out of it.
#[track_caller]
fn wait_for_server(front: &Front, mark: Mark, number: u8, state: &str) {
    let line = front.log().wait_for(mark, &format!("Server licorne/web{number} is {state}"), patience());
    assert!(line.is_some(), "web{number} did not get {state}:\n{}", front.log().text());
}

#[test]
fn a_reload_of_one_machine_after_the_other_loses_no_request() {
    let network = Network::new();
    let directory = TempDir::with_prefix("licorne-").expect("a temporary directory");
    let mut servers = MACHINES.map(|number| network.start(number, "g1"));
    let front = balancer(&network, &directory);
    let loads = load(&front);
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
    let mut servers = MACHINES.map(|number| network.start(number, "g1"));
    let front = balancer(&network, &directory);
    let loads = load(&front);
    for (server, number) in servers.iter_mut().zip(MACHINES) {
        let mark = front.log().mark();
        // TERM, as systemd, Kubernetes and a shell send it; the balancer is not told.
        stop(server);
        wait_for_server(&front, mark, number, "DOWN");
        *server = network.start(number, "g2");
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
