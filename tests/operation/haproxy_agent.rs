//! Promise: with `deploy/haproxy/licorne-agent` HAProxy sends a machine fewer requests while they wait there, none while
//! it stops, and as many as before afterwards.
//!
//! HAProxy runs with `deploy/haproxy/haproxy.cfg`, the marked lines changed and the agent's switched on. What it makes of
//! the agent's answers is read from its own socket. See its configuration manual, "agent-check".

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use testkit::front::Front;
use testkit::load::Plan;
use testkit::output::Mark;
use testkit::process::Watch;
use testkit::{App, Builder, Endpoint, Gate, Load, Server, patience, procfs, program};

const SLOW: &str = "run ->(_env) { sleep 0.05; [200, {}, ['ok']] }\n";

/// A server, its agent, and HAProxy in front of it.
struct Machine {
    server: Server,
    agent: Front,
    front: Front,
    // The others run in it.
    directory: TempDir,
}

impl Machine {
    #[track_caller]
    fn start(builder: Builder) -> Self {
        let server = builder.workers(1).config("admin_listen '127.0.0.1:0'").start();
        let admin = server.eventually("the admin process", || procfs::port(*server.titled("admin").first()?));
        let directory = TempDir::with_prefix("haproxy-").expect("a temporary directory");
        let script = file("licorne-agent").display().to_string();
        let words = [&script, "--listen", "127.0.0.1:0", "--status", &format!("127.0.0.1:{admin}")];
        let agent = Front::start("ruby", &words, directory.path());
        let line = agent.log().wait_for(Mark::default(), "licorne-agent: listens on *", patience());
        let line = line.unwrap_or_else(|| panic!("the agent does not listen:\n{}", agent.log().text()));
        let (_, agent_port) = line.rsplit_once(':').expect("an address with its port");
        let configuration = configuration(server.endpoint(), admin, agent_port);
        std::fs::write(directory.path().join("haproxy.cfg"), configuration).expect("written");
        let front = Front::start("haproxy", &["-db", "-f", "haproxy.cfg"], directory.path());
        let machine = Self { server, agent, front, directory };
        machine.eventually("HAProxy's first answer", "L7OK", |state| state.weight == 100);
        machine
    }

    /// What HAProxy makes of the server.
    fn state(&self) -> Option<State> {
        let mut stream = UnixStream::connect(self.directory.path().join("stats.sock")).ok()?;
        stream.set_read_timeout(Some(patience())).expect("a limit");
        stream.write_all(b"show stat;show servers state licorne\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        State::of(&text)
    }

    /// Waits until the last agent check has ended so and the server is as wanted.
    #[track_caller]
    fn eventually(&self, what: &str, agent: &str, wanted: impl Fn(&State) -> bool) -> State {
        let mut last = None;
        // The agent is asked every two seconds, and a weight takes ten of them to come back.
        self.server.eventually(what, || {
            let state = self.state();
            if state != last {
                eprintln!("HAProxy: {state:?}");
                last.clone_from(&state);
            }
            state.filter(|state| state.agent == agent && wanted(state))
        })
    }

    /// More than its worker can do.
    fn overload(&self) -> Load {
        Plan::new(&self.front.endpoint).clients(12).think(Duration::ZERO).start()
    }
}

/// A server as HAProxy sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    /// How the last agent check ended: `L7OK`, `CHECKED` when the agent said neither up nor down, `L7STS` when it said down.
    /// An asterisk before it tells that the next check is under way.
    agent: String,
    /// What the agent's percentage makes of the configured weight.
    weight: u32,
    is_up: bool,
    /// Set by an administrator, or by `drain` and `maint`.
    administrative: u32,
}

impl State {
    fn of(text: &str) -> Option<Self> {
        let (stat, servers) = text.split_once("\n\n")?;
        let row = |text: &str, separator: char, name: &str| -> Option<BTreeMap<String, String>> {
            let lines: Vec<&str> = text.lines().collect();
            let header = lines.iter().find_map(|line| line.strip_prefix("# "))?;
            let is_own = |line: &&&str| line.split(separator).any(|field| field == name);
            let values = lines.iter().find(is_own)?.split(separator).map(str::to_string);
            Some(header.split(separator).map(str::to_string).zip(values).collect())
        };
        let stat = row(stat, ',', "web1")?;
        let server = row(servers, ' ', "web1")?;
        Some(Self {
            agent: stat.get("agent_status")?.trim_start_matches("* ").to_string(),
            weight: server.get("srv_uweight")?.parse().ok()?,
            is_up: server.get("srv_op_state")? == "2",
            administrative: server.get("srv_admin_state")?.parse().ok()?,
        })
    }
}

fn file(name: &str) -> PathBuf {
    program::repository().join("deploy/haproxy").join(name)
}

/// HAProxy's configuration as the repository has it, for one server.
fn configuration(server: &Endpoint, admin: u16, agent: &str) -> String {
    let text = std::fs::read_to_string(file("haproxy.cfg")).expect("a file");
    let used = text
        .replace("global\n", "global\n    stats socket unix@stats.sock level admin\n")
        .replace("bind :80", "bind fd@3")
        .replace("# default-server weight 100", "default-server weight 100")
        .replace("check port 9293", &format!("check port {admin}"))
        .replace("agent-port 9294", &format!("agent-port {agent}"))
        .replace("10.0.0.1:8080", &server.to_string());
    used.lines().filter(|line| !line.contains("10.0.0.")).flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn the_weight_falls_while_requests_wait_and_comes_back() {
    let mut machine = Machine::start(Server::builder().app(App::rackup(SLOW)));
    let load = machine.overload();
    machine.eventually("a low weight", "L7OK", |state| state.is_up && (1..=10).contains(&state.weight));
    load.stop().assert_no_failure();
    machine.eventually("the whole weight", "L7OK", |state| state.is_up && state.weight == 100);
    machine.server.stop();
}

#[test]
fn the_weight_falls_when_no_request_begins_at_all() {
    let mut machine = Machine::start(Server::builder());
    let mut gate = Gate::new(&machine.server);
    let held = gate.hold(&machine.server);
    machine.eventually("the least weight", "L7OK", |state| state.is_up && state.weight == 5);
    assert_eq!(gate.release(held).status, 200);
    machine.eventually("the whole weight", "L7OK", |state| state.is_up && state.weight == 100);
    machine.server.stop();
}

#[test]
fn a_server_that_stops_gets_no_new_requests_and_an_administrators_drain_stays() {
    let mut machine = Machine::start(Server::builder().config("shutdown_delay 600"));
    let mut stats = UnixStream::connect(machine.directory.path().join("stats.sock")).expect("HAProxy's socket");
    stats.write_all(b"set server licorne/web1 state drain\n").expect("sent");
    let drained = machine.eventually("the administrator's drain", "L7OK", |state| state.administrative != 0);
    machine.server.signal(Signal::TERM);
    let state = machine.eventually("no weight", "CHECKED", |state| state.weight == 0);
    assert_eq!(state.administrative, drained.administrative);
    // It serves the requests of those that have not noticed.
    assert_eq!(machine.server.get("/").status, 200);
    machine.server.signal(Signal::INT);
    machine.server.wait_for_exit();
    machine.eventually("no status", "L7STS", |state| !state.is_up);
    let heard = machine.agent.log().wait_for(Mark::default(), "licorne-agent: no status: *", patience());
    assert!(heard.is_some(), "{}", machine.agent.log().text());
}

#[test]
fn a_master_that_hangs_is_down_until_it_answers() {
    let mut machine = Machine::start(Server::builder());
    machine.server.suspended(machine.server.pid(), || {
        machine.eventually("no status", "L7STS", |state| !state.is_up);
    });
    machine.eventually("the whole weight", "L7OK", |state| state.is_up && state.weight == 100);
    machine.server.stop();
}

#[test]
fn the_agent_ends_when_it_is_told_to() {
    let machine = Machine::start(Server::builder());
    let watch = Watch::on(machine.agent.pid()).expect("it runs");
    watch.signal(Signal::TERM);
    assert!(watch.wait(patience()), "it went on");
}
