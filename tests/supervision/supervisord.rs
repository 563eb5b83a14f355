//! Promise: under Debian's supervisord, with no herder in between, upgrades and reloads lose no request, the pid stays, and
//! supervisord sees nothing but a program that runs.

use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::symlink;
use testkit::output::Mark;
use testkit::process::{Watch, licorne, signal};
use testkit::supervised::Supervisor;
use testkit::upgrade::RECIPE;
use testkit::{App, Gate, Server, program};

const APP: &str = r#"
place = File.join(ENV.fetch("TEST_DIR"), "generation")
generation = File.exist?(place) ? File.read(place).chomp : "g1"
run ->(_env) { [200, { "Content-Type" => "text/plain", "Content-Length" => "3", "X-Generation" => generation }, ["ok\n"]] }
"#;

/// Stops supervisord, which stops the server.
#[track_caller]
fn stop(server: &mut Server) {
    server.signal(Signal::TERM);
    assert!(server.wait_for_exit().success());
    server.assert_nothing_is_left();
}

#[track_caller]
fn assert_running(server: &Server, master: u32) {
    assert_eq!(server.supervisord_state(), "RUNNING");
    assert_eq!(server.supervisorctl(["pid", "licorne"]).stdout.trim(), master.to_string());
    assert_eq!(server.pid_in_file("server.pid"), Some(master));
}

#[test]
fn upgrades_and_reloads_lose_no_request_and_supervisord_sees_none_of_them() {
    let supervisor = Supervisor::supervisord();
    let mut server = supervisor.builder().app(App::rackup(APP)).workers(2).start();
    let master = server.master();
    server.eventually("RUNNING", || (server.supervisord_state() == "RUNNING").then_some(()));
    let close = server.load().start();
    let kept = server.load().keep_alive(true).start();
    let rounds = testkit::rounds(20);
    for number in 2..=2 * rounds + 1 {
        server.write("generation", &format!("g{number}"));
        let mark = server.mark();
        match number % 2 {
            0 => signal(master, Signal::USR2).expect("the master is there"),
            _ => signal(master, Signal::HUP).expect("the master is there"),
        }
        server.wait_for(mark, "done reloading*");
        close.wait_until_seen(&format!("g{number}"));
        kept.wait_until_seen(&format!("g{number}"));
        assert_running(&server, master);
    }
    assert_eq!(server.log().since(Mark::default(), "licorne * has taken over").len(), rounds as usize);
    assert_eq!(server.log().since(Mark::default(), "*spawned: 'licorne' with pid*").len(), 1);
    let (close, kept) = (close.stop(), kept.stop());
    close.assert_no_failure();
    kept.assert_no_failure();
    stop(&mut server);
}

#[test]
fn supervisorctl_sends_the_signals() {
    let supervisor = Supervisor::supervisord();
    let mut server = supervisor.builder().app(App::rackup(APP)).start();
    let master = server.master();
    for (name, told) in [("HUP", "done reloading*"), ("USR2", "licorne * has taken over"), ("USR1", "*reopening logs*")]
    {
        let mark = server.mark();
        let finished = server.supervisorctl(["signal", name, "licorne"]);
        assert_eq!(finished.code(), 0, "{finished:#?}");
        server.wait_for(mark, told);
        server.eventually("the end of it", || (server.ctl(["reload", "--wait"]).code() == 0).then_some(()));
    }
    assert_eq!(server.master(), master);
    stop(&mut server);
}

#[test]
fn a_stop_finishes_what_has_begun_by_either_signal() {
    for by in ["TERM", "QUIT"] {
        let supervisor = Supervisor::supervisord();
        let mut server = supervisor.builder().env("STOP_SIGNAL", by).start();
        let mut gate = Gate::new(&server);
        let held = gate.hold(&server);
        let mark = server.mark();
        let stopping = std::thread::scope(|scope| {
            let stopping = scope.spawn(|| server.supervisorctl(["stop", "licorne"]));
            server.wait_for(mark, "*waiting for licorne to stop");
            assert_eq!(gate.release(held).text(), "waited for the gate\n", "{by}");
            stopping.join().expect("no panic")
        });
        assert_eq!(stopping.stdout, "licorne: stopped\n", "{by}: {stopping:#?}");
        server.wait_for(mark, "*stopped: licorne (exit status 0)");
        assert_eq!(server.supervisord_state(), "STOPPED", "{by}");
        assert!(server.titled("master").is_empty() && server.workers().is_empty(), "{by}");
        stop(&mut server);
    }
}

#[test]
fn a_boot_that_fails_is_no_running_program() {
    let supervisor = Supervisor::supervisord();
    // On a slow machine a boot takes longer than the file's second.
    let slow = supervisor.builder().env("START_SECONDS", "60");
    let mut server = slow.app(App::rackup("raise 'it does not boot'")).launch();
    server.wait_for(Mark::default(), "*it does not boot*");
    server.wait_for(Mark::default(), "*exited: licorne (exit status 1; not expected)");
    server.eventually("FATAL", || (server.supervisord_state() == "FATAL").then_some(()));
    stop(&mut server);
}

#[test]
fn a_master_that_is_killed_is_started_again() {
    let supervisor = Supervisor::supervisord();
    let mut server = supervisor.builder().app(App::rackup(APP)).start();
    let master = server.master();
    let mark = server.mark();
    let watch = Watch::on(master).expect("the master is there");
    watch.signal(Signal::KILL);
    assert!(watch.wait(testkit::patience()));
    server.wait_for(mark, "*spawned: 'licorne' with pid*");
    server.wait_for(mark, "worker=0 ready");
    assert_ne!(server.master(), master);
    assert_eq!(server.get("/").status, 200);
    stop(&mut server);
}

/// The seed's program section, without the herder: bundler, `unicorn_rails`, a login shell, `stopsignal=QUIT`.
const SEED: &str = r#"
[program:web]
command=bash -lc 'bundle exec {program} -c {config} -E production -l {socket}'
numprocs=1
autostart=true
autorestart=true
stopsignal=QUIT
startsecs=1
user=root
redirect_stderr=true
stdout_logfile=/dev/fd/1
stdout_logfile_maxbytes=0
stderr_logfile_maxbytes=0
directory={current}
environment=HOME="/root",USER="root"
"#;

const RELEASE: &str = r#"
run ->(_env) { [200, { "X-Generation" => "RELEASE", "X-Gemfile" => ENV["BUNDLE_GEMFILE"].to_s }, ["ok\n"]] }
"#;

/// A program section that says where the server runs by `directory` alone: supervisord sets no `PWD`.
const PLAIN: &str = r#"
[program:licorne]
command={command}
autostart=true
startsecs=0
redirect_stderr=true
stdout_logfile=/dev/fd/1
stdout_logfile_maxbytes=0
directory={current}
{more}
"#;

/// Releases 1 and 2, each with a REVISION, and a link to the first.
fn releases() -> tempfile::TempDir {
    let place = tempfile::TempDir::with_prefix("licorne-plain-").expect("a directory");
    for number in 1..=2 {
        let release = place.path().join(format!("releases/{number}"));
        fs::create_dir_all(release.join("config")).expect("it can be written");
        fs::write(release.join("config.ru"), RELEASE.replace("RELEASE", &format!("g{number}"))).expect("written");
        fs::write(release.join("config/unicorn.rb"), "worker_processes 1\n").expect("written");
        fs::write(release.join("REVISION"), format!("revision{number}\n")).expect("written");
    }
    symlink("releases/1", place.path().join("current")).expect("a link");
    place
}

#[test]
fn a_reload_follows_the_link_though_supervisord_tells_nothing_of_it() {
    for command in ["{program} -l {socket}", "bash -lc 'exec {program} -l {socket}'"] {
        let place = releases();
        let root = fs::canonicalize(place.path()).expect("it is there");
        let socket = root.join("web.sock").display().to_string();
        let program = program::path().display().to_string();
        let command = command.replace("{program}", &program).replace("{socket}", &socket);
        let current = root.join("current");
        let section = PLAIN
            .replace("{command}", &command)
            .replace("{current}", &current.display().to_string())
            .replace("{more}", "");
        let supervisor = Supervisor::supervisord();
        let mut server = supervisor.builder().env("PROGRAM_SECTION", &section).unix_listeners(0).launch();
        server.wait_for(Mark::default(), "worker=0 ready");
        let pid = server.master().to_string();
        fs::remove_file(&current).expect("it is there");
        symlink("releases/2", &current).expect("a link");
        let finished = licorne(["reload", "--wait", "--pid", &pid]);
        assert_eq!(finished.code(), 0, "{finished:#?}");
        let told = format!("release {} revision=revision2\n", root.join("releases/2").display());
        assert!(finished.stdout.contains(&told) && finished.stderr.is_empty(), "{finished:#?}");
        let mut connection = testkit::Connection::open(&testkit::Endpoint::Unix(socket.into()));
        let answer = connection.request(&testkit::Request::get("/"));
        assert_eq!(answer.field("X-Generation"), Some("g2"), "{command}");
        drop(connection);
        stop(&mut server);
    }
}

#[test]
fn the_recipe_of_the_seed_works_with_bundler_and_capistrano() {
    let place = tempfile::TempDir::with_prefix("licorne-seed-").expect("a directory");
    let root = fs::canonicalize(place.path()).expect("it is there");
    for number in 1..=4 {
        let release = root.join(format!("releases/{number}"));
        fs::create_dir_all(release.join("tmp/pids")).expect("it can be written");
        fs::write(release.join("config.ru"), RELEASE.replace("RELEASE", &format!("g{number}"))).expect("written");
        fs::write(release.join("Gemfile"), "source 'https://rubygems.org'\ngem 'rack'\n").expect("written");
    }
    let deploy = |number: u32| {
        let _ = fs::remove_file(root.join("new"));
        symlink(root.join(format!("releases/{number}")), root.join("new")).expect("a link");
        fs::rename(root.join("new"), root.join("current")).expect("it can be renamed");
    };
    deploy(1);
    let current = root.join("current");
    fs::create_dir(root.join("pids")).expect("it can be written");
    let pid_file = root.join("pids/unicorn.pid");
    let config = root.join("unicorn.rb");
    let settings = format!("working_directory {current:?}\npid {pid_file:?}\nworker_processes 2\npreload_app true\n");
    fs::write(&config, format!("{settings}{RECIPE}")).expect("it can be written");
    let rails = root.join("unicorn_rails");
    symlink(program::path(), &rails).expect("a link");
    let socket = root.join("web.sock");
    let section = SEED
        .replace("{program}", &rails.display().to_string())
        .replace("{config}", &config.display().to_string())
        .replace("{socket}", &socket.display().to_string())
        .replace("{current}", &current.display().to_string());
    let supervisor = Supervisor::supervisord();
    let mut server = supervisor.builder().env("PROGRAM_SECTION", &section).unix_listeners(0).launch();
    server.wait_for(Mark::default(), "worker=1 ready");
    let master = || fs::read_to_string(&pid_file).expect("there is a pid file").trim().parse::<u32>().expect("a pid");
    let first = master();
    server.eventually("RUNNING", || (server.supervisord_state() == "RUNNING").then_some(()));
    let load = testkit::load::Plan::new(&testkit::Endpoint::Unix(socket)).start();
    for number in 2..=4 {
        deploy(number);
        fs::remove_dir_all(root.join(format!("releases/{}", number - 1))).expect("it is there");
        let mark = server.mark();
        // kill -USR2 `cat tmp/pids/unicorn.pid`
        signal(master(), Signal::USR2).expect("the master is there");
        server.wait_for(mark, "done reloading*");
        load.wait_until_seen(&format!("g{number}"));
        assert_eq!((master(), server.supervisord_state().as_str()), (first, "RUNNING"));
    }
    load.stop().assert_no_failure();
    stop(&mut server);
}
