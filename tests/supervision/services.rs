//! Promise: under runit and s6, and as the first process of a container, upgrades and reloads lose no request, the pid stays,
//! stops are graceful, and no orphan is left.

use rustix::process::Signal;
use testkit::output::Mark;
use testkit::process::{self, Finished, Watch, signal};
use testkit::supervised::{Supervisor, dockerfile};
use testkit::{App, Gate, Server, procfs};

const APP: &str = r#"
place = File.join(ENV.fetch("TEST_DIR"), "generation")
generation = File.exist?(place) ? File.read(place).chomp : "g1"
raise "it does not boot" if generation == "broken"
run lambda { |env|
  if env["PATH_INFO"] == "/orphans"
    20.times { Process.wait(fork { fork { exit!(3) }; exit!(0) }) }
  end
  [200, { "Content-Type" => "text/plain", "Content-Length" => "3", "X-Generation" => generation }, ["ok\n"]]
}
"#;

/// A command of a supervisor on its service.
#[track_caller]
fn command(server: &Server, words: &[&str]) -> Finished {
    let mut command = std::process::Command::new(words[0]);
    command.args(&words[1..]).arg(server.file("service"));
    let finished = process::run(&mut command, testkit::patience());
    assert_eq!(finished.code(), 0, "{words:?}: {finished:#?}");
    finished
}

/// Upgrades and reloads in turn under load, by these commands, and asserts that nothing is lost.
#[track_caller]
fn check_restarts(server: &Server, upgrade: impl Fn(), reload: impl Fn()) {
    let master = server.master();
    let close = server.load().start();
    let kept = server.load().keep_alive(true).start();
    let rounds = testkit::rounds(20);
    for number in 2..=2 * rounds + 1 {
        server.write("generation", &format!("g{number}"));
        let mark = server.mark();
        if number % 2 == 0 {
            upgrade()
        } else {
            reload()
        }
        server.wait_for(mark, "done reloading*");
        close.wait_until_seen(&format!("g{number}"));
        kept.wait_until_seen(&format!("g{number}"));
        assert_eq!(server.master(), master);
    }
    assert_eq!(server.log().since(Mark::default(), "licorne * has taken over").len(), rounds as usize);
    let (close, kept) = (close.stop(), kept.stop());
    close.assert_no_failure();
    kept.assert_no_failure();
}

/// Has the supervisor stop the service while a request is served, by `stop`.
#[track_caller]
fn check_stop(supervisor: &Supervisor, stop: impl Fn(&Server)) {
    let mut server = supervisor.builder().workers(2).start();
    let mut gate = Gate::new(&server);
    let held = gate.hold(&server);
    let master = Watch::on(server.master()).expect("the master is there");
    stop(&server);
    // The other worker leaves at once; the busy one when its request is done.
    server.wait_for(Mark::default(), "reaped*exit 0*worker=");
    assert_eq!(gate.release(held).text(), "waited for the gate\n");
    assert!(master.wait(testkit::patience()), "the master did not leave");
    server.signal(Signal::TERM);
    let _ = server.wait_for_exit();
    server.assert_nothing_is_left();
}

#[test]
fn runit_sees_nothing_of_upgrades_and_reloads() {
    let supervisor = Supervisor::runit();
    let mut server = supervisor.builder().app(App::rackup(APP)).workers(2).start();
    let send = |letter: &'static str| {
        let server = &server;
        move || drop(command(server, &["sv", letter]))
    };
    check_restarts(&server, send("2"), send("hup"));
    let status = command(&server, &["sv", "status"]).stdout;
    assert!(status.contains(&format!("(pid {})", server.master())), "{status}");
    server.signal(Signal::TERM);
    assert!(server.wait_for_exit().success());
    server.assert_nothing_is_left();
}

#[test]
fn runit_stops_gracefully() {
    check_stop(&Supervisor::runit(), |server| drop(command(server, &["sv", "down"])));
}

#[test]
fn s6_sees_nothing_of_upgrades_and_reloads() {
    let supervisor = Supervisor::s6();
    let mut server = supervisor.builder().app(App::rackup(APP)).workers(2).start();
    let send = |letter: &'static str| {
        let server = &server;
        move || drop(command(server, &["s6-svc", letter]))
    };
    check_restarts(&server, send("-2"), send("-h"));
    let status = command(&server, &["s6-svstat"]).stdout;
    assert!(status.contains(&format!("(pid {})", server.master())), "{status}");
    server.signal(Signal::TERM);
    assert!(server.wait_for_exit().success());
    server.assert_nothing_is_left();
}

#[test]
fn s6_stops_gracefully() {
    check_stop(&Supervisor::s6(), |server| drop(command(server, &["s6-svc", "-d"])));
}

/// A deployment with a link to its current release, where the server was started.
struct Deployment(tempfile::TempDir);

impl Deployment {
    fn new() -> Deployment {
        let deployment = Deployment(tempfile::TempDir::with_prefix("licorne-deployment-").expect("a directory"));
        deployment.release(1);
        deployment
    }

    fn current(&self) -> String {
        self.0.path().join("current").display().to_string()
    }

    /// Makes a release and the link lead to it.
    fn release(&self, number: u32) {
        let release = self.0.path().join(format!("releases/{number}"));
        std::fs::create_dir_all(&release).expect("it can be written");
        let text = format!("run ->(_env) {{ [200, {{ 'X-Generation' => 'g{number}' }}, ['ok']] }}");
        std::fs::write(release.join("config.ru"), text).expect("it can be written");
        let new = self.0.path().join("new");
        std::os::unix::fs::symlink(release, &new).expect("a link");
        std::fs::rename(new, self.current()).expect("it can be renamed");
    }
}

#[test]
fn the_files_that_users_copy_follow_the_link_to_the_next_release() {
    for supervisor in [Supervisor::supervisord(), Supervisor::runit(), Supervisor::s6()] {
        let deployment = Deployment::new();
        let mut server = supervisor.builder().env("APP_DIR", &deployment.current()).start();
        let master = server.master();
        assert_eq!(server.get("/").field("X-Generation"), Some("g1"));
        for (number, sent) in [(2, Signal::HUP), (3, Signal::USR2), (4, Signal::HUP)] {
            deployment.release(number);
            let gone = deployment.0.path().join(format!("releases/{}", number - 1));
            std::fs::remove_dir_all(gone).expect("it is there");
            let mark = server.mark();
            signal(master, sent).expect("the master is there");
            server.wait_for(mark, "done reloading*");
            assert_eq!(server.get("/").field("X-Generation"), Some(format!("g{number}").as_str()));
        }
        assert_eq!(server.master(), master);
        server.signal(Signal::TERM);
        assert!(server.wait_for_exit().success());
        server.assert_nothing_is_left();
    }
}

#[test]
fn a_supervisor_starts_a_master_that_was_killed_again() {
    for supervisor in [Supervisor::runit(), Supervisor::s6()] {
        let mut server = supervisor.builder().start();
        let master = Watch::on(server.master()).expect("the master is there");
        let mark = server.mark();
        master.signal(Signal::KILL);
        assert!(master.wait(testkit::patience()));
        server.wait_for(mark, "worker=0 ready");
        assert_eq!(server.get("/").status, 200);
        server.signal(Signal::TERM);
        let _ = server.wait_for_exit();
        server.assert_nothing_is_left();
    }
}

// ── the first process of a pid namespace ──

/// What a Dockerfile may say. See its reference, "Overview".
const INSTRUCTIONS: &[&str] = &[
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

#[test]
fn the_dockerfile_is_one() {
    let path = testkit::program::repository().join("deploy/docker/Dockerfile");
    let text = std::fs::read_to_string(path).expect("it is there");
    // A backslash continues a line; comments stand alone.
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    let instructions: Vec<(&str, &str)> =
        joined.lines().filter(|line| !line.is_empty()).map(|line| line.split_once(' ').expect("words")).collect();
    let stages: Vec<&str> = instructions.iter().filter(|(name, _)| *name == "FROM").map(|(_, rest)| *rest).collect();
    assert_eq!((instructions[0].0, stages.len()), ("FROM", 2));
    for (name, rest) in &instructions {
        assert!(INSTRUCTIONS.contains(name) && !rest.trim().is_empty(), "{name} {rest}");
        if let Some(stage) = rest.strip_prefix("--from=").filter(|_| *name == "COPY") {
            let stage = stage.split(' ').next().unwrap_or_default();
            assert!(stages[0].ends_with(&format!("AS {stage}")) || stage.contains(':'), "where is stage {stage}?");
        }
    }
    assert_eq!(dockerfile("STOPSIGNAL"), "SIGTERM", "the signal of the tests below");
    // CMD has the exec form, or `Supervisor::none` could not start it.
    let _ = Supervisor::none();
}

#[test]
fn the_first_process_is_upgraded_and_reloaded() {
    let supervisor = Supervisor::none();
    let mut server = supervisor.builder().app(App::rackup(APP)).workers(2).start();
    let master = server.master();
    assert_eq!(server.pid_in_file("server.pid"), Some(1));
    let send = |sent: Signal| move || signal(master, sent).expect("the master is there");
    check_restarts(&server, send(Signal::USR2), send(Signal::HUP));
    signal(master, Signal::TERM).expect("the master is there");
    assert_eq!(server.wait_for_exit().code(), Some(0));
    server.assert_nothing_is_left();
}

#[test]
fn the_first_process_reaps_what_others_orphan() {
    let supervisor = Supervisor::none();
    let mut server = supervisor.builder().app(App::rackup(APP)).start();
    let master = server.master();
    for _ in 0..2 {
        assert_eq!(server.get("/orphans").status, 200);
        server.eventually("no zombie", || {
            let dead = procfs::descendants(master).into_iter().any(|process| process.state == 'Z');
            (!dead && procfs::children(master).len() == 2).then_some(())
        });
        // And so it is after an upgrade.
        let mark = server.mark();
        signal(master, Signal::USR2).expect("the master is there");
        server.wait_for(mark, "done reloading*");
    }
    signal(master, Signal::TERM).expect("the master is there");
    assert_eq!(server.wait_for_exit().code(), Some(0));
}

#[test]
fn the_first_process_finishes_requests_when_the_container_is_stopped() {
    for stop in [Signal::TERM, Signal::QUIT] {
        let supervisor = Supervisor::none();
        let mut server = supervisor.builder().workers(2).start();
        let mut gate = Gate::new(&server);
        let held = gate.hold(&server);
        // Docker and Kubernetes may say it more than once.
        for _ in 0..2 {
            signal(server.master(), stop).expect("the master is there");
        }
        server.wait_for(Mark::default(), "reaped*exit 0*worker=");
        assert_eq!(gate.release(held).text(), "waited for the gate\n");
        assert_eq!(server.wait_for_exit().code(), Some(0), "{stop:?}");
        server.assert_nothing_is_left();
    }
}

#[test]
fn the_first_process_does_not_go_to_the_background() {
    let supervisor = Supervisor::none();
    let mut server = supervisor.builder().arg("-D").launch();
    assert_eq!(server.wait_for_exit().code(), Some(1));
    assert!(server.whole_output().contains("leave -D away"), "{}", server.whole_output());
    server.assert_nothing_is_left();
}

#[test]
fn the_first_process_serves_on_while_load_balancers_learn_that_it_stops() {
    let supervisor = Supervisor::none();
    let mut server = supervisor.builder().config("shutdown_delay 10").start();
    let load = server.load().start();
    let mark = server.mark();
    signal(server.master(), Signal::TERM).expect("the master is there");
    server.wait_for(mark, "stopping in 10 s");
    load.wait_for_successes(100);
    load.stop().assert_no_failure();
    assert_eq!(server.wait_for_exit().code(), Some(0));
    server.assert_nothing_is_left();
}

#[test]
fn the_first_process_stops_while_it_boots_and_tells_when_it_cannot() {
    let supervisor = Supervisor::none();
    let waits = App::rackup("File.open(File.join(ENV.fetch('TEST_DIR'), 'never'), &:gets)");
    let mut server = supervisor.builder().app(waits).launch();
    let _never = testkit::fifo::Fifo::create(server.file("never"));
    server.wait_for(Mark::default(), "worker=0 spawned*");
    signal(server.master(), Signal::TERM).expect("the master is there");
    assert_eq!(server.wait_for_exit().code(), Some(0));
    server.assert_nothing_is_left();
    let supervisor = Supervisor::none();
    let mut server = supervisor.builder().app(App::rackup("raise 'it does not boot'")).launch();
    assert_eq!(server.wait_for_exit().code(), Some(1));
    server.assert_nothing_is_left();
}
