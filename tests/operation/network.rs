//! Three machines and a balancer: network namespaces on a bridge. See ip-netns(8).

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use testkit::front::Front;
use testkit::load::Plan;
use testkit::output::Mark;
use testkit::process::run;
use testkit::{Load, patience, program};

pub(crate) const MACHINES: [u8; 3] = [1, 2, 3];

/// Three hosts and a balancer's, joined by a bridge in the latter.
pub(crate) struct Network {
    prefix: String,
}

#[track_caller]
fn ip(words: &str) {
    let finished = run(Command::new("ip").args(words.split(' ')), patience());
    assert!(finished.status.success(), "ip {words}: {finished:#?}");
}

impl Network {
    pub(crate) fn new() -> Network {
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

    /// What is put in front of a command that runs on this machine.
    pub(crate) fn entering(&self, number: u8) -> [String; 4] {
        ["/usr/sbin/ip".into(), "netns".into(), "exec".into(), self.host(number)]
    }

    /// The directives of a server on this machine, which the balancer finds.
    pub(crate) fn listens(number: u8) -> String {
        format!("listen '10.77.0.{number}:8080', tcp_defer_accept: false\nadmin_listen '10.77.0.{number}:9293'")
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
pub(crate) fn balancer(network: &Network, directory: &Path) -> Front {
    let text = std::fs::read_to_string(program::repository().join("deploy/haproxy/haproxy.cfg")).expect("a file");
    let mut text = text.replace("bind :80", "bind fd@3");
    for number in MACHINES {
        text = text.replace(&format!("10.0.0.{number}:8080"), &format!("10.77.0.{number}:8080"));
    }
    assert!(!text.contains("10.0.0."), "{text}");
    std::fs::write(directory.join("haproxy.cfg"), text).expect("written");
    let words = ["netns", "exec", &network.balancer(), "haproxy", "-db", "-f", "haproxy.cfg"];
    Front::start("/usr/sbin/ip", &words, directory)
}

/// Load through the balancer: some clients that connect anew, some that keep their connections; each pauses so long
/// between its requests.
pub(crate) fn load(front: &Front, pause: Duration) -> [Load; 2] {
    [false, true].map(|keep| Plan::new(&front.endpoint).clients(4).think(pause).keep_alive(keep).start())
}

#[track_caller]
pub(crate) fn finish(loads: [Load; 2], last: &str) {
    for load in loads {
        load.wait_until_seen(last);
        load.wait_for_successes(100);
        load.stop().assert_no_failure();
    }
}

/// Waits until HAProxy has this server in its rotation, or out of it.
#[track_caller]
pub(crate) fn wait_for_server(front: &Front, mark: Mark, number: u8, state: &str) {
    let line = front.log().wait_for(mark, &format!("Server licorne/web{number} is {state}"), patience());
    assert!(line.is_some(), "web{number} did not get {state}:\n{}", front.log().text());
}
