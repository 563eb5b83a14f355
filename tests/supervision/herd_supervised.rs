//! Promise: the herder does under a real supervisord, as PID 1 and by the name `unicornherder` what those who used
//! unicornherder know, and what they missed.

use std::process::Command;

use rustix::process::Signal;
use testkit::output::Mark;
use testkit::process::{Finished, Watch, run, signal};
use testkit::upgrade::RECIPE;
use testkit::{App, Builder, Herded, Server, procfs};

const SUPERVISORD: &str = "\
[supervisord]
nodaemon=true
logfile=/dev/null
logfile_maxbytes=0
pidfile={dir}/supervisord.pid
[unix_http_server]
file={dir}/supervisor.sock
[supervisorctl]
serverurl=unix://{dir}/supervisor.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[program:web]
directory={dir}/app
redirect_stderr=true
stdout_logfile=/dev/fd/1
stdout_logfile_maxbytes=0
";

/// supervisord with one program: `lines` of its section.
fn supervised(herded: Herded, lines: &str) -> Builder {
    let started = herded.application().program("/usr/bin/supervisord").link("unicornherder");
    let started = started.file("supervisord.conf", &format!("{SUPERVISORD}{lines}\n"));
    started.exactly(&["-n", "-c", "{dir}/supervisord.conf"])
}

#[track_caller]
fn supervisorctl(server: &Server, words: &[&str]) -> Finished {
    let config = server.file("supervisord.conf");
    run(Command::new("supervisorctl").arg("-c").arg(config).args(words), testkit::patience())
}

/// The herder's process id, once supervisord says that it runs.
#[track_caller]
fn running(server: &Server) -> u32 {
    server.eventually("RUNNING", || {
        let status = supervisorctl(server, &["status", "web"]).stdout;
        let pid = status.split_once("RUNNING   pid ")?.1.split(',').next()?.parse().ok();
        assert!(pid.is_some(), "{status}");
        pid
    })
}

#[track_caller]
fn stop(server: &mut Server) {
    server.signal(Signal::TERM);
    assert!(server.wait_for_exit().success(), "supervisord");
    server.assert_nothing_is_left();
}

#[track_caller]
fn check_restarts(herded: Herded, lines: &str, count: usize) {
    let mut server = supervised(herded, lines).launch();
    let herder = running(&server);
    server.eventually("the socket", || server.file("web.sock").exists().then_some(()));
    let load = server.load().start();
    for number in 0..count {
        let generation = format!("g{}", number + 2);
        server.write("generation", &generation);
        let mark = server.mark();
        let signalled = supervisorctl(&server, &["signal", "HUP", "web"]);
        assert!(signalled.status.success(), "{signalled:#?}");
        server.wait_for(mark, "Restarted: ");
        load.wait_until_seen(&generation);
        assert_eq!(running(&server), herder, "the process that supervisord watches");
    }
    load.wait_for_successes(20);
    load.stop().assert_no_failure();
    let stopped = supervisorctl(&server, &["stop", "web"]);
    assert!(stopped.stdout.contains("web: stopped"), "{stopped:#?}");
    // 0: configurations with `exitcodes` and `autorestart=unexpected` rely on it.
    assert!(Watch::on(herder).is_none());
    stop(&mut server);
}

#[test]
fn unicorn_is_restarted_under_supervisord() {
    check_restarts(
        Herded::Unicorn,
        "command=licorne herd -u unicorn -- -c {dir}/config.rb -E none -l {dir}/web.sock",
        10,
    );
}

#[test]
fn gunicorn_is_restarted_under_supervisord() {
    check_restarts(Herded::Gunicorn, "command=licorne herd -u gunicorn -- -w 2 -b unix:{dir}/web.sock app:app", 4);
}

#[test]
fn a_group_wide_stop_is_graceful() {
    // supervisord signals the whole process group then; TERM is Unicorn's quick stop.
    let lines = "command=licorne herd -u unicorn -- -c {dir}/config.rb -E none -l {dir}/web.sock\nstopasgroup=true";
    let mut server = supervised(Herded::Unicorn, lines).launch();
    let herder = running(&server);
    server.wait_for(Mark::default(), "booted (PID ");
    let mut gate = testkit::Gate::new(&server);
    let held = gate.hold(&server);
    let herder = Watch::on(herder).expect("it runs");
    let config = server.file("supervisord.conf");
    let mut stopping = Command::new("supervisorctl").arg("-c").arg(config).args(["stop", "web"]).spawn().expect("run");
    server.eventually("the idle worker gone", || (procfs::children(parent(held.worker)).len() == 1).then_some(()));
    assert_eq!(gate.release(held).status, 200);
    assert!(herder.wait(testkit::patience()));
    assert!(stopping.wait().expect("waited for").success());
    stop(&mut server);
}

fn parent(pid: u32) -> u32 {
    procfs::process(pid).map_or(0, |process| process.parent)
}

#[test]
fn an_application_that_does_not_boot_is_fatal_to_supervisord() {
    let lines =
        "command=licorne herd -u unicorn -- -c {dir}/config.rb -E none -l {dir}/web.sock\nstartsecs=60\nstartretries=1";
    let broken = supervised(Herded::Unicorn, lines).preload(true).env("BOOT_SECONDS", "no number");
    let mut server = broken.launch();
    server.wait_for(Mark::default(), "gave up: web entered FATAL state");
    stop(&mut server);
}

/// The recipe that went round in 2014: `unicorn_rails` under unicornherder under supervisord, a hook that stops the old
/// master, and USR2 to the process in the pid file.
#[test]
fn the_recipe_of_2014_works() {
    let lines = "command=bash -lc 'exec {dir}/unicornherder -u unicorn_rails -p tmp/pids/unicorn.pid -- -c {dir}/config.rb -E production -l {dir}/web.sock'
numprocs=1
autostart=true
autorestart=true
stopsignal=QUIT
startsecs=1";
    let mut server = supervised(Herded::Unicorn, lines)
        .app(App::rails())
        .config("pid File.expand_path('tmp/pids/unicorn.pid')")
        .config("stderr_path File.join(ENV.fetch('TEST_DIR'), 'rails.log')")
        .config(RECIPE)
        .config("after_fork { |_server, _worker| File.write(File.join(ENV.fetch('TEST_DIR'), 'root'), ENV['RAILS_RELATIVE_URL_ROOT'].inspect) }")
        .launch();
    let herder = running(&server);
    server.wait_for(Mark::default(), "booted (PID ");
    // Beside other tests it may take Rails a minute until it is there.
    let log = || std::fs::read_to_string(server.file("rails.log")).unwrap_or_default();
    for worker in ["worker=0 ready", "worker=1 ready"] {
        server.eventually(worker, || log().contains(worker).then_some(()));
    }
    let load = server.load().request(testkit::Request::get("/notes")).start();
    for _ in 0..3 {
        let old = server.pid_in_file("app/tmp/pids/unicorn.pid").expect("a pid file");
        let left = Watch::on(old).expect("it serves");
        signal(old, Signal::USR2).expect("it serves");
        assert!(left.wait(testkit::patience()), "the old master");
        server.eventually("a new master", || server.pid_in_file("app/tmp/pids/unicorn.pid").filter(|pid| *pid != old));
        assert_eq!(running(&server), herder);
        load.wait_for_successes(20);
    }
    load.stop().assert_no_failure();
    // unicornherder passed its pid file as the path that the application is mounted at.
    assert_eq!(std::fs::read_to_string(server.file("root")).expect("written"), "nil");
    stop(&mut server);
}

#[test]
fn as_pid_1_it_reaps_and_notices_that_its_server_died() {
    let arguments = ["--pid", "--fork", "--kill-child", "--mount-proc", "licorne", "herd"];
    let unicorn = ["-u", "unicorn", "--daemonize", "--", "-c", "{dir}/config.rb", "-E", "none", "-l", "{dir}/web.sock"];
    let all = [&arguments[..], &unicorn].concat();
    let mut server = Herded::Unicorn.application().program("/usr/bin/unshare").exactly(&all).launch();
    server.wait_for(Mark::default(), "booted (PID ");
    let load = server.load().start();
    let herder = *server.titled_with("licorne herd -u").first().expect("the herder");
    server.write("generation", "g2");
    signal(herder, Signal::HUP).expect("the herder is there");
    server.wait_for(Mark::default(), "Restarted: ");
    load.wait_until_seen("g2");
    load.stop().assert_no_failure();
    let masters = server.titled_with("unicorn master -D -c");
    assert_eq!(masters.len(), 1, "the old one is gone");
    signal(masters[0], Signal::KILL).expect("the master is there");
    server.wait_for(Mark::default(), "unicorn died. Exiting.");
    assert_eq!(server.wait_for_exit().code(), Some(1));
    server.assert_nothing_is_left();
}
