//! Promise: a deploy by Capistrano loses no request, and a release that does not work fails it and is undone.
//!
//! Debian's Capistrano, a git repository, and an sshd; the Capfile has one line for Licorne.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use testkit::process::{Finished, Watch, run};
use testkit::{App, Server, Sshd, patience, program};

const CAPFILE: &str = r#"
require "capistrano/setup"
require "capistrano/deploy"
require "capistrano/scm/git"
install_plugin Capistrano::SCM::Git
require "licorne/capistrano"
"#;

/// A release says which one it is, and can be one that answers nothing right, or nothing but the probe.
const RACKUP: &str = r#"
release = File.read("release").chomp
run lambda { |env|
  raise "no such table: users" if release == "broken"
  raise "no such column: email" if release == "hollow" && env["PATH_INFO"] != "/up"
  [200, { "Content-Type" => "text/plain", "X-Generation" => release }, ["ok\n"]]
}
"#;

/// A project with its repository, and the machine that it is deployed to.
struct Project {
    // Dropped before its files are.
    sshd: Sshd,
    root: TempDir,
}

impl Drop for Project {
    fn drop(&mut self) {
        // A server that a task put into the background, in a test that failed.
        if let Some(master) = self.pid_in("web.pid").and_then(Watch::on) {
            master.signal(Signal::TERM);
        }
    }
}

impl Project {
    /// `settings` are lines of config/deploy.rb.
    fn new(settings: &str) -> Project {
        let root = TempDir::with_prefix("licorne-").expect("a temporary directory");
        let sshd = Sshd::start(&root.path().join("ssh"), &[]);
        let project = Project { root, sshd };
        let at = fs::canonicalize(project.root.path()).expect("it is there").display().to_string();
        project.write("ssh_config", &project.sshd.client_configuration("web1 web2"));
        project.write("cap/Capfile", CAPFILE);
        project.write(
            "cap/config/deploy.rb",
            &format!(
                "set :application, 'shop'\nset :repo_url, '{at}/repo'\nset :branch, 'main'\nset :deploy_to, '{at}/srv'\n\
                 set :tmp_dir, '{at}'\nset :ssh_options, config: '{at}/ssh_config'\n{settings}\n"
            ),
        );
        let user = rustix::process::geteuid().as_raw();
        project.write(
            "cap/config/deploy/production.rb",
            &format!(
                "server 'web1', user: Etc.getpwuid({user}).name, roles: %w[app]\n\
                      server 'web2', user: Etc.getpwuid({user}).name, roles: %w[app]\n"
            ),
        );
        project.write("repo/config.ru", RACKUP);
        project.git(&["init", "-q", "-b", "main"]);
        project.commit("r1");
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.root.path()).expect("it is there").join(name)
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
        command.args(author).args(words).current_dir(self.path("repo"));
        let finished = run(&mut command, patience());
        assert!(finished.status.success(), "git {words:?}: {finished:#?}");
    }

    #[track_caller]
    fn commit(&self, release: &str) {
        self.write("repo/release", &format!("{release}\n"));
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", release]);
    }

    #[track_caller]
    fn cap(&self, task: &str) -> Finished {
        self.cap_on("web1", task)
    }

    /// There are two names, of one machine.
    #[track_caller]
    fn cap_on(&self, hosts: &str, task: &str) -> Finished {
        let mut command = Command::new("cap");
        command.args(["production", task]).current_dir(self.path("cap")).env("HOSTS", hosts);
        command.env("RUBYLIB", program::repository().join("gem/lib"));
        // No settings of the person who runs the test.
        command.env("HOME", self.root.path()).env_remove("SSH_AUTH_SOCK");
        // It logs in, and starts Ruby, several times.
        run(&mut command, 2 * patience())
    }

    #[track_caller]
    fn cap_succeeds(&self, task: &str) -> String {
        let finished = self.cap(task);
        assert_eq!(finished.code(), 0, "cap production {task}: {finished:#?}");
        finished.stdout
    }

    /// A server that is started as one logs in and starts it.
    fn server(&self, configure: &str) -> Server {
        let start = self.path("start");
        let text = format!(
            "#!/bin/sh\ncd {} && exec {} \"$@\"\n",
            self.path("srv/current").display(),
            program::path().display()
        );
        self.write("start", &text);
        fs::set_permissions(&start, fs::Permissions::from_mode(0o755)).expect("it is there");
        Server::builder().program(start).app(App::rackup("run nil")).workers(2).config(configure).start()
    }

    /// The process in a pid file of the project's.
    fn pid_in(&self, name: &str) -> Option<u32> {
        fs::read_to_string(self.path(name)).ok()?.trim().parse().ok()
    }

    fn current(&self) -> PathBuf {
        fs::read_link(self.path("srv/current")).expect("a link")
    }
}

#[test]
fn deploys_under_load_lose_no_request_and_a_release_that_fails_its_probe_is_undone() {
    let project = Project::new("set :licorne_probe, '/up'");
    let first = project.cap_succeeds("deploy");
    assert!(first.contains("the first release: start Licorne"), "{first}");

    let mut server = project.server("");
    let load = server.load().clients(2).think(Duration::from_millis(20)).start();
    load.wait_until_seen("r1");
    for release in ["r2", "r3"] {
        project.commit(release);
        let told = project.cap_succeeds("deploy");
        assert!(told.contains("reload done"), "{told}");
        load.wait_until_seen(release);
    }
    let serving = project.current();
    assert_tells_the_release(&project, &serving);

    project.commit("broken");
    let finished = project.cap("deploy");
    assert_eq!(finished.code(), 1, "{finished:#?}");
    let told = finished.stdout + &finished.stderr;
    assert!(told.contains("probe GET /up: 500 Internal Server Error, expected 200..399"), "{told}");
    assert!(told.contains("no such table: users (RuntimeError)"), "{told}");
    assert_eq!(project.current(), serving, "current was not put back");
    assert_eq!(server.get("/").field("X-Generation"), Some("r3"));

    // What is deployed next is not hindered by it.
    project.commit("r4");
    project.cap_succeeds("deploy");
    load.wait_until_seen("r4");
    load.stop().assert_no_failure();
    server.stop();
}

#[track_caller]
fn assert_tells_the_release(project: &Project, serving: &Path) {
    let name = serving.file_name().expect("a name").to_string_lossy();
    let status = project.cap_succeeds("licorne:status");
    assert!(status.contains("web1:") && status.contains(&*name), "{status}");
}

#[test]
fn a_release_is_checked_where_it_will_run_and_its_server_started_and_stopped() {
    let project = Project::new("set :licorne_config, 'licorne.rb'\nbefore 'deploy:publishing', 'licorne:check'");
    let at = project.path("").display().to_string();
    let configuration = format!("listen '{at}web.sock'\npid '{at}web.pid'\nstderr_path '{at}web.log'\n");
    project.write("repo/licorne.rb", &configuration);
    project.commit("r1");
    let told = project.cap_succeeds("deploy");
    assert!(told.contains("application: loaded in"), "{told}");
    let serving = project.current();

    project.write("repo/licorne.rb", "worker_proceses 1\n");
    project.commit("r2");
    let finished = project.cap("deploy");
    assert_eq!(finished.code(), 1, "{finished:#?}");
    assert!(finished.stdout.contains("worker_processes"), "{finished:#?}");
    assert_eq!(project.current(), serving, "it was published");

    for _ in 0..2 {
        project.cap_succeeds("licorne:start");
    }
    let endpoint = testkit::Endpoint::Unix(project.path("web.sock"));
    let response = testkit::Connection::open(&endpoint).request(&testkit::Request::get("/").close());
    assert_eq!(response.field("X-Generation"), Some("r1"));
    let master = Watch::on(project.pid_in("web.pid").expect("a pid file")).expect("it serves");
    project.cap_succeeds("licorne:stop");
    assert!(master.wait(patience()), "the master");
}

#[test]
fn a_deploy_whose_canary_is_worse_is_undone_and_a_rollback_needs_no_boot() {
    // How long a canary is watched: what is good is watched for a moment, and what is bad need not be waited for.
    let watch = "set :licorne_probe, '/up'\nset :licorne_canary, 1\nset :licorne_watch, -> { File.read('watch').to_i }";
    let project = Project::new(watch);
    project.write("cap/watch", "1");
    project.cap_succeeds("deploy");
    let mut server = project.server("keep_previous 600\npreload_app true");
    let load = server.load().clients(2).think(Duration::from_millis(20)).start();
    let finished = project.cap("licorne:rollback");
    assert_eq!(finished.code(), 1, "{finished:#?}");
    assert!((finished.stdout + &finished.stderr).contains("no earlier generation is kept"));

    project.commit("r2");
    project.cap_succeeds("deploy");
    load.wait_until_seen("r2");
    let second = project.current();
    let both = project.cap_on("web1,web2", "licorne:reload");
    assert_eq!(both.code(), 0, "{both:#?}");
    let asked = |options: &str| both.stdout.contains(&format!("licorne reload --wait --probe /up {options}\n"));
    assert!(asked("--canary 1 --watch 1") && asked("--canary 0"), "{both:#?}");
    project.commit("r3");
    project.cap_succeeds("deploy");
    let told = project.cap_succeeds("licorne:rollback");
    assert!(told.contains("rollback done"), "{told}");
    assert_eq!(server.get("/").field("X-Generation"), Some("r2"));
    assert_eq!(project.current(), second, "current leads to what serves");
    load.stop().assert_no_failure();

    let load = server.load().clients(2).think(Duration::from_millis(20)).start();
    project.write("cap/watch", "300");
    project.commit("hollow");
    let finished = project.cap("deploy");
    assert_eq!(finished.code(), 1, "{finished:#?}");
    let told = finished.stdout + &finished.stderr;
    assert!(told.contains("the canary is worse: responses with 5xx"), "{told}");
    assert_eq!(project.current(), second, "current was not put back");
    let report = load.stop();
    assert!(report.failed() < report.ok(), "{report:?}");
    server.stop();
}
