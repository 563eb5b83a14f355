//! Promise: a release goes to one machine after the other, and ends at the first that it does not work on; clients of
//! the balancer notice nothing. By plain ssh, and by Ansible.
//!
//! Three machines behind HAProxy, each with an sshd; the script and the playbook are those of `deploy/`, with the marked
//! lines changed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use testkit::front::Front;
use testkit::output::Mark;
use testkit::process::{Finished, run};
use testkit::{App, Server, Sshd, patience, program};

use crate::network::{MACHINES, Network, balancer, finish, load};

/// The tools that deploy need the processors, too.
const PAUSE: Duration = Duration::from_millis(20);

/// A release says which one it is. One does not boot, one fails wherever it is asked, two where no probe asks, and one
/// where the machine lacks what it needs.
const RACKUP: &str = r#"
release = File.read("release").chomp
raise "no such gem: typo" if release == "typo"
run lambda { |env|
  sleep 0.02 # a request takes its time: there is always one under way
  raise "no such table: users" if release == "broken"
  raise "no such view: index" if release == "worse" && env["PATH_INFO"] != "/up"
  raise "no such route: buy" if release == "hollow" && env["PATH_INFO"] == "/buy"
  raise "no such column: email" if release == "migrated" && !File.exist?(File.join(ENV.fetch("TEST_DIR"), "migrated"))
  [200, { "Content-Type" => "text/plain", "X-Generation" => release }, ["ok\n"]]
}
"#;

/// The machines, the balancer, and the checkout that is deployed.
struct Fleet {
    front: Front,
    sshd: Vec<Sshd>,
    servers: Vec<Server>,
    root: TempDir,
    // Last: what runs in it goes first.
    _network: Network,
}

impl Fleet {
    fn new() -> Fleet {
        let network = Network::new();
        let root = TempDir::with_prefix("licorne-").expect("a temporary directory");
        let servers: Vec<Server> = MACHINES.iter().map(|&number| start(&network, number)).collect();
        let login = |number: &u8| Sshd::start(&root.path().join(format!("ssh{number}")), &network.entering(*number));
        let sshd: Vec<Sshd> = MACHINES.iter().map(login).collect();
        let front = balancer(&network, root.path());
        let fleet = Fleet { front, sshd, servers, root, _network: network };
        let hosts = fleet.sshd.iter().zip(MACHINES);
        let hosts: String = hosts.map(|(sshd, number)| sshd.client_configuration(&format!("web{number}"))).collect();
        fleet.write("ssh_config", &hosts);
        fleet.write("project/config.ru", RACKUP);
        fleet.write("project/config/unicorn.rb", "worker_processes 2\n");
        fs::create_dir(fleet.path("project/bin")).expect("it can be written");
        let script = program::repository().join("deploy/ssh/deploy");
        fs::copy(script, fleet.path("project/bin/deploy")).expect("it is there");
        let play = fs::read_to_string(program::repository().join("deploy/ansible/deploy.yml")).expect("it is there");
        // Variables of the play come before those of a machine, so the marked line goes.
        let changed = play.replace("    app: /srv/app # Change\n", "");
        assert_ne!(changed, play);
        fleet.write("project/deploy.yml", &changed);
        fleet.watch("60", "1");
        fleet.git(&["init", "-q", "-b", "main"]);
        fleet
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    #[track_caller]
    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it is in the directory")).expect("it can be written");
        fs::write(path, text).expect("it can be written");
    }

    #[track_caller]
    fn git(&self, words: &[&str]) {
        let author = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
        let mut command = Command::new("git");
        command.args(author).args(words).current_dir(self.path("project"));
        let finished = run(&mut command, patience());
        assert!(finished.status.success(), "git {words:?}: {finished:#?}");
    }

    #[track_caller]
    fn commit(&self, release: &str) {
        self.write("project/release", &format!("{release}\n"));
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", release]);
    }

    /// Has the canary watched for so many seconds: for a moment, where it is known to be good, and long enough where it is
    /// known to be bad.
    #[track_caller]
    fn watch(&self, before: &str, seconds: &str) {
        for name in ["project/bin/deploy", "project/deploy.yml"] {
            let text = fs::read_to_string(self.path(name)).expect("it is there");
            let changed = text.replace(&format!("--watch {before}"), &format!("--watch {seconds}"));
            assert_ne!(changed, text);
            self.write(name, &changed);
        }
    }

    /// Where the releases are, of each machine.
    fn places(&self) -> impl Iterator<Item = (String, u8)> {
        self.servers.iter().map(|server| server.file("srv").display().to_string()).zip(MACHINES)
    }

    /// A step of GitHub's, which runs it as `bash -e`; `$MACHINES` are ours.
    fn script(&self, lines: &[&str]) -> Command {
        // The script says `ssh`, and the machines of the test are in a file of the test's.
        let configuration = self.path("ssh_config").display().to_string();
        self.write("bin/ssh", &format!("#!/bin/sh\nexec /usr/bin/ssh -F {configuration} \"$@\"\n"));
        fs::set_permissions(self.path("bin/ssh"), fs::Permissions::from_mode(0o755)).expect("it is there");
        let machines: Vec<String> =
            self.places().map(|(directory, number)| format!("web{number}:{directory}")).collect();
        let mut command = Command::new("bash");
        command.args(["-ec", &lines.join("\n")]).env("MACHINES", machines.join(" "));
        command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", self.path("bin").display()));
        command
    }

    /// Deploys the checkout.
    #[track_caller]
    fn deploy(&self, by: Tool) -> Finished {
        let mut command = by.command(self);
        self.run(&mut command)
    }

    #[track_caller]
    fn run(&self, command: &mut Command) -> Finished {
        command.current_dir(self.path("project")).env("HOME", self.root.path()).env_remove("SSH_AUTH_SOCK");
        // It logs in to each machine several times.
        run(command, 3 * patience())
    }

    /// Deploys the checkout, which is refused, and returns what was said.
    #[track_caller]
    fn failed_deploy(&self, by: Tool) -> String {
        let finished = self.deploy(by);
        assert_ne!(finished.code(), 0, "{finished:#?}");
        finished.stdout + &finished.stderr
    }

    /// Which release answers on each machine, and to which one `current` leads there.
    fn releases(&self) -> Vec<(String, String)> {
        let of = |server: &Server| {
            let status = server.ctl(["status", "--json"]);
            let status: serde_json::Value = serde_json::from_str(&status.stdout).expect("JSON");
            let serving = status["release"]["directory"].as_str().expect("it serves").to_owned();
            let current = server.file("srv/current").canonicalize().expect("a link");
            (read(&Path::new(&serving).join("release")), read(&current.join("release")))
        };
        self.servers.iter().map(of).collect()
    }

    #[track_caller]
    fn assert_serves(&self, releases: [&str; 3]) {
        let same: Vec<(String, String)> = releases.iter().map(|&name| (name.to_owned(), name.to_owned())).collect();
        assert_eq!(self.releases(), same);
    }

    #[track_caller]
    fn stop(mut self) {
        drop(self.front);
        self.servers.iter_mut().for_each(Server::stop);
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("it is there").trim().to_owned()
}

/// A machine that serves its first release, from `srv/current` below its directory.
fn start(network: &Network, number: u8) -> Server {
    let [ip, words @ ..] = network.entering(number);
    let script = format!(
        "ln -s releases/first {{dir}}/srv/current && cd {{dir}}/srv/current && exec {} -c {{dir}}/config.rb -E none",
        program::path().display()
    );
    let server = Server::builder()
        .app(App::rackup("run nil"))
        .workers(2)
        .file("srv/releases/first/config.ru", RACKUP)
        .file("srv/releases/first/release", "r1\n")
        .config(&Network::listens(number))
        .config("keep_previous 600")
        .program(ip)
        .exactly(&[&words[0], &words[1], &words[2], "sh", "-c", &script])
        .launch();
    server.wait_for(Mark::default(), "master process ready");
    server
}

/// What deploys.
#[derive(Clone, Copy)]
enum Tool {
    Ssh,
    Ansible,
}

impl Tool {
    fn command(self, fleet: &Fleet) -> Command {
        let configuration = fleet.path("ssh_config").display().to_string();
        match self {
            Tool::Ssh => fleet.script(&["bin/deploy $MACHINES"]),
            Tool::Ansible => {
                let host = |(directory, number)| format!("    web{number}: {{ app: {directory} }}\n");
                let hosts: String = fleet.places().map(host).collect();
                fleet.write("hosts.yml", &format!("web:\n  hosts:\n{hosts}"));
                let mut command = Command::new("ansible-playbook");
                command.args(["-i", "../hosts.yml", "deploy.yml"]);
                command.env("ANSIBLE_SSH_ARGS", format!("-F {configuration}"));
                command
                    .env("ANSIBLE_PYTHON_INTERPRETER", "/usr/bin/python3")
                    .env("ANSIBLE_NOCOLOR", "1")
                    .env("ANSIBLE_PIPELINING", "1");
                command.env("ANSIBLE_REMOTE_TEMP", fleet.path("ansible")).env("LANG", "C.UTF-8");
                command
            }
        }
    }
}

/// Deploys a release that works, and one whose probe fails: the other machines are not even asked.
#[track_caller]
fn deploy_a_good_and_a_bad_release(fleet: &Fleet, by: Tool) {
    fleet.commit("r2");
    let finished = fleet.deploy(by);
    assert_eq!(finished.code(), 0, "{finished:#?}");
    fleet.assert_serves(["r2", "r2", "r2"]);

    let marks: Vec<Mark> = fleet.servers.iter().map(Server::mark).collect();
    fleet.commit("broken");
    let told = fleet.failed_deploy(by);
    assert!(told.contains("probe GET /up: 500 Internal Server Error") && told.contains("no such table"), "{told}");
    assert!(told.contains("web1 does not serve"), "{told}");
    fleet.assert_serves(["r2", "r2", "r2"]);
    for (server, mark) in fleet.servers.iter().zip(marks).skip(1) {
        assert_eq!(server.log().since(mark, "*"), Vec::<String>::new(), "it was asked");
    }
}

#[test]
fn a_bad_release_ends_at_the_first_machine_of_a_deploy_by_ssh() {
    let fleet = Fleet::new();
    let loads = load(&fleet.front, PAUSE);
    deploy_a_good_and_a_bad_release(&fleet, Tool::Ssh);

    // One that works on the first machine alone: the second refuses it, the third is not asked.
    fs::write(fleet.servers[0].file("migrated"), "").expect("written");
    fleet.commit("migrated");
    let told = fleet.failed_deploy(Tool::Ssh);
    assert!(told.contains("no such column: email") && told.contains("web2 does not serve"), "{told}");
    fleet.assert_serves(["migrated", "r2", "r2"]);

    // One that does not boot is published nowhere.
    let currents =
        || fleet.servers.iter().map(|server| server.file("srv/current").read_link().ok()).collect::<Vec<_>>();
    let before = currents();
    fleet.commit("typo");
    let told = fleet.failed_deploy(Tool::Ssh);
    assert!(told.contains("no such gem: typo"), "{told}");
    assert_eq!(currents(), before);

    fleet.commit("r3");
    let finished = fleet.deploy(Tool::Ssh);
    assert_eq!(finished.code(), 0, "{finished:#?}");
    fleet.assert_serves(["r3", "r3", "r3"]);
    finish(loads, "r3");
    deploy_a_release_that_is_worse(&fleet, Tool::Ssh);
    fleet.stop();
}

#[test]
fn a_bad_release_ends_at_the_first_machine_of_a_deploy_by_ansible() {
    let fleet = Fleet::new();
    let loads = load(&fleet.front, PAUSE);
    deploy_a_good_and_a_bad_release(&fleet, Tool::Ansible);
    finish(loads, "r2");
    deploy_a_release_that_is_worse(&fleet, Tool::Ansible);
    fleet.stop();
}

/// Deploys a release whose errors no probe sees: clients of the first machine's canary do, and no others.
#[track_caller]
fn deploy_a_release_that_is_worse(fleet: &Fleet, by: Tool) {
    let serving = fleet.releases();
    let errors = || fleet.servers.iter().map(server_errors).collect::<Vec<u64>>();
    assert_eq!(errors(), [0, 0, 0]);
    fleet.watch("1", "300");
    let loads = load(&fleet.front, PAUSE);
    fleet.commit("worse");
    let told = fleet.failed_deploy(by);
    assert!(told.contains("the canary is worse: responses with 5xx") && told.contains("web1 does not serve"), "{told}");
    assert_eq!(fleet.releases(), serving);
    let errors = errors();
    assert!(errors[0] > 0 && errors[1..] == [0, 0], "{errors:?}");
    for load in loads {
        let report = load.stop();
        assert!(report.failed() < report.ok(), "{report:?}");
    }
}

/// How many responses of a machine were errors of the server's.
fn server_errors(server: &Server) -> u64 {
    let status = server.ctl(["status", "--json"]).stdout;
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    status["totals"]["responses"]["5xx"].as_u64().unwrap_or_else(|| panic!("no such field: {status}"))
}

/// The steps of `deploy/github/deploy.yml` that run something: name, lines, condition.
fn steps() -> Vec<(String, String, Option<String>)> {
    let print = r#"
        require "psych"; require "json"
        puts Psych.load_file(ARGV[0])["jobs"]["deploy"]["steps"].select { |step| step["run"] }
                                 .map { |step| step.values_at("name", "run", "if") }.to_json
    "#;
    let file = program::repository().join("deploy/github/deploy.yml");
    let finished = run(Command::new("ruby").args(["-e", print]).arg(file), patience());
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:#?}"))
}

#[test]
fn a_release_that_fails_the_smoke_test_of_a_workflow_is_taken_back() {
    let fleet = Fleet::new();
    let loads = load(&fleet.front, PAUSE);
    for (release, serves) in [("r2", "r2"), ("hollow", "r2")] {
        fleet.commit(release);
        let mut failed = None;
        for (name, lines, condition) in steps() {
            let due = match (&condition, &failed) {
                (None, failed) => failed.is_none(),
                (Some(condition), failed) => {
                    assert_eq!(condition, "${{ failure() && steps.smoke.outcome == 'failure' }}");
                    failed.as_deref() == Some("Smoke test")
                }
            };
            if !due {
                continue;
            }
            let mut command = fleet.script(&[&lines]);
            command.env("SMOKE_TEST", format!("http://{}/buy", fleet.front.endpoint));
            command.env("SSH_KEY", "key").env("SSH_KNOWN_HOSTS", "hosts");
            let finished = fleet.run(&mut command);
            if name == "Go back" {
                let told = finished.stdout.matches("rollback done: generation 2 serves").count();
                assert_eq!(told, 3, "{finished:#?}");
            }
            if !finished.status.success() {
                assert_eq!((&*name, release), ("Smoke test", "hollow"), "{finished:#?}");
                failed = Some(name);
            }
        }
        assert_eq!(failed.is_some(), release == "hollow");
        fleet.assert_serves([serves, serves, serves]);
        loads.iter().for_each(|load| load.wait_until_seen(release));
    }
    finish(loads, "r2");
    fleet.stop();
}
