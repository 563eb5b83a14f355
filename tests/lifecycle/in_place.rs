//! Promise: an upgrade in place brings in a new master program under the same pid and loses nothing; a program that cannot
//! take over leaves everything as it was, and `upgrade --wait` says why.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use testkit::fifo::Fifo;
use testkit::output::Mark;
use testkit::process::{Finished, Watch, run, signal};
use testkit::{App, Builder, Gate, Server, procfs, program};

/// The longest time without a success that is promised.
const GAP: Duration = Duration::from_millis(50);

const APP: &str = r#"
generation = File.exist?("../generation") ? File.read("../generation").chomp : "g1"
raise "the new code is broken" if generation == "broken"
run ->(_env) { [200, { "Content-Type" => "text/plain", "Content-Length" => "3", "X-Generation" => generation }, ["ok\n"]] }
"#;

fn builder() -> Builder {
    Server::builder().app(App::rackup(APP)).workers(2).config("upgrade :in_place")
}

#[track_caller]
fn upgrade(server: &Server) {
    let finished = server.ctl(["upgrade", "--wait"]);
    assert_eq!(finished.code(), 0, "{finished:#?}");
}

/// The program under a name of the test's own, which can be made to lead to another one.
struct Installed {
    directory: TempDir,
}

impl Installed {
    fn new() -> Installed {
        let installed = Installed { directory: TempDir::with_prefix("licorne-installed-").expect("a directory") };
        installed.install(&format!("exec -a \"$0\" {} \"$@\"", program::path().display()), 0o755);
        installed
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("licorne-start")
    }

    /// Installs a start script, as installers do: the old file stays who it was.
    fn install(&self, script: &str, mode: u32) {
        let new = self.directory.path().join("new");
        fs::write(&new, format!("#!/bin/bash\n{script}\n")).expect("it can be written");
        fs::set_permissions(&new, fs::Permissions::from_mode(mode)).expect("it is there");
        fs::rename(new, self.path()).expect("it can be renamed");
    }
}

#[track_caller]
fn check_upgrades_under_load(preload: bool) {
    let mut server = builder().preload(preload).start();
    let close = server.load().start();
    let kept = server.load().keep_alive(true).start();
    let mut descriptors = BTreeSet::new();
    let rounds = testkit::rounds(20);
    for number in 2..=rounds + 1 {
        server.write("generation", &format!("g{number}"));
        upgrade(&server);
        close.wait_until_seen(&format!("g{number}"));
        kept.wait_until_seen(&format!("g{number}"));
        assert_eq!(server.pid_in_file("server.pid"), Some(server.pid()));
        assert_eq!(server.titled("master"), [server.pid()]);
        descriptors.insert(procfs::descriptors(server.pid()).len());
    }
    let (close, kept) = (close.stop(), kept.stop());
    println!("{rounds} upgrades in place, preload {preload}: {} and {} requests", close.ok(), kept.ok());
    close.assert_flawless(GAP);
    kept.assert_flawless(GAP);
    assert!(descriptors.len() <= 2 && descriptors.iter().all(|count| *count < 40), "they pile up: {descriptors:?}");
    assert_eq!(close.seen.len(), rounds as usize + 1, "{:?}", close.seen);
    assert_eq!(server.workers().len(), 2);
    server.stop();
}

#[test]
fn upgrades_under_load_lose_no_request_and_keep_the_pid() {
    check_upgrades_under_load(false);
}

#[test]
fn upgrades_of_a_preloaded_application_under_load_lose_no_request() {
    check_upgrades_under_load(true);
}

/// A program that cannot take over, and what is told of it.
struct Unfit {
    name: &'static str,
    script: &'static str,
    mode: u32,
    told: &'static str,
}

const UNFIT: &[Unfit] = &[
    Unfit { name: "cannot be executed", script: "exit", mode: 0o644, told: "Permission denied" },
    Unfit { name: "crashes", script: "kill -SEGV $$", mode: 0o755, told: "it was ended by SIGSEGV" },
    Unfit { name: "fails", script: "echo 'libfoo.so.1 is missing' >&2; exit 127", mode: 0o755, told: "libfoo.so.1" },
    Unfit { name: "is another program", script: "exit 0", mode: 0o755, told: "knows of upgrades in place" },
    Unfit {
        name: "knows no preflight",
        script: "exec unicorn \"$@\"",
        mode: 0o755,
        told: "invalid option: --preflight",
    },
    Unfit {
        name: "is newer than the state",
        script: r#"echo '{"program":"9.0","state":[7],"messages":1,"scoreboard":1,"environment":[],"error":null}' >&3"#,
        mode: 0o755,
        told: "licorne 9.0 takes over state of versions [7], this one hands over version 2",
    },
    Unfit {
        name: "is older than the state",
        script: r#"echo '{"program":"0.0","state":[0],"messages":1,"scoreboard":1,"environment":[],"error":null}' >&3"#,
        mode: 0o755,
        told: "licorne 0.0 takes over state of versions [0], this one hands over version 2",
    },
];

/// Asserts that an upgrade fails with these words, and that it changes nothing.
#[track_caller]
fn assert_refused(server: &Server, name: &str, told: &str) -> Finished {
    let family = |server: &Server| -> Vec<u32> { server.family().iter().map(|process| process.pid).collect() };
    let (before, mark) = (family(server), server.mark());
    let finished = server.ctl(["upgrade", "--wait"]);
    assert_eq!(finished.code(), 1, "a program that {name}: {finished:#?}");
    assert!(finished.stderr.contains(told), "a program that {name}: {finished:#?}");
    server.wait_for(mark, "error upgrading: *; this program serves on");
    server.eventually(&format!("the same processes after a program that {name}"), || {
        (family(server) == before).then_some(())
    });
    assert_eq!(server.get("/").status, 200);
    finished
}

#[test]
fn a_program_that_is_not_fit_to_take_over_changes_nothing() {
    let installed = Installed::new();
    let mut server = builder().program(installed.path()).start();
    let load = server.load().start();
    for unfit in UNFIT {
        installed.install(unfit.script, unfit.mode);
        assert_refused(&server, unfit.name, unfit.told);
    }
    fs::write(installed.path(), [0x7f, 0x45, 0x4c, 0x46, 0]).expect("it can be written");
    assert_refused(&server, "is cut short", "it left with exit status 127");
    fs::remove_file(installed.path()).expect("it is there");
    assert_refused(&server, "is missing", "No such file or directory");
    // And the next one is as good as ever.
    installed.install(&format!("exec -a \"$0\" {} \"$@\"", program::path().display()), 0o755);
    server.write("generation", "g2");
    upgrade(&server);
    load.wait_until_seen("g2");
    load.stop().assert_no_failure();
    server.stop();
}

#[test]
fn a_command_line_that_the_new_program_does_not_understand_changes_nothing() {
    let installed = Installed::new();
    let mut server = builder().program(installed.path()).start();
    installed.install(&format!("exec -a \"$0\" {} \"$@\" --no-such-option", program::path().display()), 0o755);
    assert_refused(&server, "does not understand the command line", "invalid option: --no-such-option");
    server.stop();
}

#[test]
fn a_program_whose_preflight_hangs_is_given_up_when_the_server_stops() {
    let installed = Installed::new();
    let mut server = builder().program(installed.path()).start();
    let mut reached = Fifo::create(installed.directory.path().join("reached"));
    installed.install(&format!("echo here > {}; exec cat {0}.never", reached.path().display()), 0o755);
    let _never = Fifo::create(installed.directory.path().join("reached.never"));
    server.signal(Signal::USR2);
    reached.line(testkit::patience()).expect("the preflight runs");
    let again = server.ctl(["upgrade", "--wait"]);
    assert!(again.stderr.contains("an upgrade is under way already"), "{again:#?}");
    server.stop();
}

/// A library that is loaded into the new program by the dynamic linker, to make something real go wrong in it.
fn library(server: &Server, source: &str) -> PathBuf {
    let (text, library) = (server.file("fault.c"), server.file("fault.so"));
    fs::write(&text, source).expect("it can be written");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&text);
    let finished = run(&mut compiler, testkit::patience());
    assert!(finished.status.success(), "{finished:#?}");
    library
}

/// Has `before_exec` give the new program this library.
const PRELOAD: &str =
    "before_exec { |_| ENV['LD_PRELOAD'] = File.expand_path('../fault.so') if File.exist?('../fault.so') }";

/// What goes wrong in a new program while it takes over: it calls alarm(2) when the way back is open.
const FAULTS: &[(&str, &str)] = &[
    ("*(volatile int *)8 = 1", "it crashed (SIGSEGV)"),
    ("abort()", "it crashed (SIGABRT)"),
    ("limit(1); for (;;) pause()", "it did not take over in time"),
    ("wrong = 1", "the state is for process"),
];

#[test]
fn a_program_that_fails_while_it_takes_over_gives_back_to_the_old_one() {
    let mut server = builder().config(PRELOAD).start();
    // What an upgrade before has left must not lead a later one astray.
    upgrade(&server);
    let load = server.load().start();
    for (fault, told) in FAULTS {
        let source = format!(
            r#"
            #define _GNU_SOURCE
            #include <dlfcn.h>
            #include <stdlib.h>
            #include <unistd.h>
            static int wrong;
            static unsigned limit(unsigned s) {{
                return ((unsigned (*)(unsigned))dlsym(RTLD_NEXT, "alarm"))(s);
            }}
            unsigned alarm(unsigned seconds) {{
                if (seconds > 0) {{ {fault}; }}
                return limit(seconds);
            }}
            pid_t getpid(void) {{
                return wrong ? 1 : ((pid_t (*)(void))dlsym(RTLD_NEXT, "getpid"))();
            }}
            "#
        );
        library(&server, &source);
        assert_refused(&server, fault, told);
        assert_eq!(server.titled("master"), [server.pid()], "{fault}");
    }
    fs::remove_file(server.file("fault.so")).expect("it is there");
    server.write("generation", "g2");
    upgrade(&server);
    load.wait_until_seen("g2");
    load.stop().assert_flawless(GAP);
    server.stop();
}

/// Stops the new program before its main, when no handler is installed, until it is told to go on.
const WAITS: &str = r#"
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    __attribute__((constructor)) static void wait_for_the_test(void) {
        char line[16];
        char name[4096];
        FILE *told, *gate;
        if (!getenv("LICORNE_STATE_FD")) return;
        snprintf(name, sizeof name, "%s/between", getenv("TEST_DIR"));
        told = fopen(name, "w");
        fprintf(told, "executed\n");
        fclose(told);
        snprintf(name, sizeof name, "%s/go_on", getenv("TEST_DIR"));
        gate = fopen(name, "r");
        if (!fgets(line, sizeof line, gate)) abort();
        fclose(gate);
    }
"#;

#[test]
fn signals_deaths_and_requests_during_the_execution_are_not_lost() {
    let mut server = builder().config(PRELOAD).start();
    library(&server, WAITS);
    let mut between = Fifo::create(server.file("between"));
    let mut go_on = Fifo::create(server.file("go_on"));
    let old = server.workers();
    server.write("generation", "g2");
    let mark = server.mark();
    server.signal(Signal::USR2);
    between.line(testkit::patience()).expect("the new program is executed");

    // Now there is a process without any handler. It serves all the same.
    let load = server.load().start();
    let mut asking = Command::new(program::path());
    asking.args(["status", "--json", "--pid", &server.pid().to_string()]);
    let asking = std::thread::spawn(move || run(&mut asking, testkit::patience()));
    for sent in [Signal::HUP, Signal::USR1, Signal::TTIN] {
        server.signal(sent);
    }
    let killed = Watch::on(old[0].pid).expect("the worker is there");
    killed.signal(Signal::KILL);
    assert!(killed.wait(testkit::patience()));
    load.wait_for_successes(20);
    go_on.tell("");

    server.wait_for(mark, "licorne * has taken over");
    server.wait_for(mark, &format!("worker=0 gen=1 pid={} died: SIGKILL, which the master did not send*", old[0].pid));
    server.wait_for(mark, "master reopening logs...");
    let answered = asking.join().expect("no panic");
    assert_eq!(answered.code(), 0, "{answered:#?}");
    load.wait_until_seen("g2");
    // HUP and TTIN had their effects: a reload, and one worker more.
    server.wait_for_slots(&[0, 1, 2]);
    load.stop().assert_no_failure();
    server.stop();
}

#[test]
fn a_stop_during_the_execution_is_a_stop() {
    let mut server = builder().config(PRELOAD).start();
    library(&server, WAITS);
    let mut between = Fifo::create(server.file("between"));
    let mut go_on = Fifo::create(server.file("go_on"));
    server.signal(Signal::USR2);
    between.line(testkit::patience()).expect("the new program is executed");
    server.signal(Signal::TERM);
    go_on.tell("");
    assert!(server.wait_for_exit().success());
    server.assert_nothing_is_left();
}

#[test]
fn new_code_that_does_not_boot_leaves_the_old_workers_serving() {
    for preload in [true, false] {
        let mut server = builder().preload(preload).start();
        let (master, before) = (server.pid(), server.workers());
        let load = server.load().start();
        server.write("generation", "broken");
        let mark = server.mark();
        let finished = server.ctl(["upgrade", "--wait"]);
        assert_eq!(finished.code(), 1, "{finished:#?}");
        assert!(finished.stderr.contains("the new code is broken"), "{finished:#?}");
        server.wait_for(mark, "licorne * has taken over");
        assert_eq!((server.titled("master"), server.workers()), (vec![master], before));
        server.write("generation", "g2");
        upgrade(&server);
        load.wait_until_seen("g2");
        load.stop().assert_flawless(GAP);
        server.stop();
    }
}

#[test]
fn an_upgrade_that_comes_in_a_reload_follows_it() {
    let waits = "gate = File.expand_path('../go'); File.open(gate, &:gets) if File.exist?(gate)";
    let mut server = builder().config(waits).start();
    let mut go = Fifo::create(server.file("go"));
    let load = server.load().start();
    let mark = server.mark();
    server.signal(Signal::HUP);
    server.wait_for(mark, "reloading config_file=*");
    // The deploy after the one that is being loaded: its code must not be lost.
    server.write("generation", "g2");
    server.signal(Signal::USR2);
    server.wait_for(mark, "an upgrade: it follows the reload under way");
    fs::remove_file(go.path()).expect("it is there");
    go.tell("");
    drop(go);
    server.wait_for(mark, "done reloading*");
    server.wait_for(mark, "has taken over");
    server.wait_for(mark, "gen=3 serves alone");
    load.wait_until_seen("g2");
    load.stop().assert_no_failure();
    server.stop();
}

#[test]
fn a_request_that_was_begun_before_is_finished_after_and_its_timeout_holds() {
    let mut server = Server::builder().workers(2).config("upgrade :in_place\ntimeout 3").start();
    let mut gate = Gate::new(&server);
    let held = gate.hold(&server);
    let mark = server.mark();
    server.signal(Signal::USR2);
    server.wait_for(mark, "licorne * has taken over");
    // One of the new generation serves; the other slot waits until the old worker of the first has left.
    server.wait_for(mark, "worker=0 ready");
    assert_eq!(gate.release(held).text(), "waited for the gate\n");
    server.wait_for(mark, "done reloading*");
    let mut held = gate.hold(&server);
    server.signal(Signal::USR2);
    server.wait_for(mark, &format!("worker=* PID:{} timeout (*", held.worker));
    assert_eq!(held.connection.read_to_end(), b"");
    server.stop();
}

#[test]
fn the_way_is_chosen_by_who_watches() {
    // A supervisor's variable, in the foreground: the pid must stay.
    let mut server = Server::builder().env("SUPERVISOR_ENABLED", "1").start();
    let mark = server.mark();
    server.signal(Signal::USR2);
    server.wait_for(mark, "licorne * has taken over");
    server.wait_for(mark, "done reloading*");
    assert!(!server.file("server.pid.oldbin").exists());
    // And otherwise as it is told.
    let beside = server.ctl(["upgrade", "--wait", "--two-masters"]);
    assert_eq!(beside.code(), 0, "{beside:#?}");
    let new = server.new_master(server.pid());
    server.signal(Signal::QUIT);
    assert!(server.wait_for_exit().success());
    server.stop_successor(new);
}

#[test]
fn a_daemon_is_upgraded_in_place_when_that_is_asked_for() {
    let socket = "listen File.join(ENV.fetch('TEST_DIR'), 'd.sock')";
    let daemon = Server::builder().app(App::rackup(APP)).tcp_listeners(0).arg("-D").config(socket);
    let mut server = daemon.config("stderr_path File.join(ENV.fetch('TEST_DIR'), 'err.log')").launch();
    assert!(server.wait_for_exit().success());
    let master = server.pid_in_file("server.pid").expect("a pid file");
    let load = testkit::load::Plan::new(&testkit::Endpoint::Unix(server.file("d.sock"))).start();
    for number in 2..=3 {
        server.write("generation", &format!("g{number}"));
        let finished = server.ctl(["upgrade", "--wait", "--in-place"]);
        assert_eq!(finished.code(), 0, "{finished:#?}");
        load.wait_until_seen(&format!("g{number}"));
        assert_eq!(server.pid_in_file("server.pid"), Some(master));
    }
    load.stop().assert_no_failure();
    assert_eq!(procfs::descriptors(master).get(&1).map(String::as_str), Some("/dev/null"));
    let watch = Watch::on(master).expect("the master is there");
    watch.signal(Signal::QUIT);
    assert!(watch.wait(testkit::patience()));
    server.assert_nothing_is_left();
}

#[test]
fn a_server_without_a_configuration_file_is_upgraded_in_place() {
    let mut server = Server::builder().app(App::rackup(APP)).no_config().start();
    server.write("generation", "g2");
    let pid = server.pid().to_string();
    let finished = testkit::process::licorne(["upgrade", "--wait", "--in-place", "--pid", &pid]);
    assert_eq!(finished.code(), 0, "{finished:#?}");
    assert_eq!(server.get("/").field("X-Generation"), Some("g2"));
    server.stop();
}

#[test]
fn lines_go_through_the_logger_of_the_configuration_after_an_upgrade_too() {
    let logger = "require 'logger'; logger Logger.new($stderr, formatter: ->(_, _, _, text) { \"mine: #{text}\\n\" })";
    let mut server = Server::builder().app(App::rackup(APP)).config("upgrade :in_place").config(logger).launch();
    server.wait_for(Mark::default(), "mine: master process ready");
    let mark = server.mark();
    upgrade(&server);
    server.wait_for(mark, "mine: licorne * has taken over");
    server.wait_for(mark, "mine: done reloading*");
    server.stop();
}

#[test]
fn both_ways_at_once_are_refused_by_the_command() {
    let mut server = builder().start();
    let finished = server.ctl(["upgrade", "--in-place", "--two-masters"]);
    assert_eq!(finished.code(), 1, "{finished:#?}");
    server.stop();
}

#[test]
fn logs_pid_file_control_socket_and_scaling_go_on_after_an_upgrade() {
    let mut server = builder().config("stderr_path File.expand_path('../err.log')").launch();
    let log = server.file("err.log");
    let logged = |text: &str| fs::read_to_string(&log).is_ok_and(|all| all.contains(text)).then_some(());
    server.eventually("readiness", || logged("master process ready"));
    upgrade(&server);
    fs::rename(&log, server.file("err.log.1")).expect("it is there");
    server.signal(Signal::USR1);
    server.eventually("the new log", || logged("worker=1 done reopening logs"));
    server.signal(Signal::TTIN);
    server.wait_for_slots(&[0, 1, 2]);
    let killed = server.workers()[2].pid;
    signal(killed, Signal::KILL).expect("it is there");
    server.eventually("another worker", || {
        server.workers().iter().any(|worker| worker.number == 2 && worker.pid != killed).then_some(())
    });
    assert_eq!(fs::read_to_string(format!("/proc/{}/comm", server.pid())).expect("it runs"), "licorne\n");
    server.signal(Signal::QUIT);
    assert!(server.wait_for_exit().success());
    server.assert_nothing_is_left();
    assert!(!server.file("server.pid").exists());
}

#[test]
fn health_checks_are_answered_during_upgrades() {
    let mut server = builder().config("admin_listen File.expand_path('../admin.sock')").start();
    let admin = testkit::Endpoint::Unix(server.file("admin.sock"));
    server.eventually("somebody who answers", || procfs::listens_on_path(&server.file("admin.sock")).then_some(()));
    let checks = testkit::load::Plan::new(&admin).request(testkit::Request::get("/readyz")).clients(2).start();
    let first = Watch::on(server.titled("admin")[0]).expect("it answers");
    let mut upgrades = 0;
    // Until a worker that has answered is gone.
    while upgrades < 5 || first.is_alive() {
        upgrade(&server);
        checks.wait_for_successes(10);
        upgrades += 1;
    }
    checks.stop().assert_no_failure();
    server.eventually("one process that answers", || (server.titled("admin").len() <= 1).then_some(()));
    server.stop();
}

#[test]
fn a_client_that_has_asked_for_half_a_request_is_answered_by_the_new_program() {
    let mut server = builder().config("control File.expand_path('../control.sock')").start();
    let mut client = UnixStream::connect(server.file("control.sock")).expect("it listens");
    client.write_all(b"{\"command\":").expect("it can be written");
    let finished = testkit::process::licorne(["upgrade", "--wait", "--control", &control(&server)]);
    assert_eq!(finished.code(), 0, "{finished:#?}");
    client.write_all(b"\"status\"}\n").expect("it can be written");
    client.set_read_timeout(Some(testkit::patience())).expect("a time limit");
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut client, &mut answer).expect("an answer");
    assert!(answer.contains("\"generation\":2"), "{answer}");
    server.stop();
}

fn control(server: &Server) -> String {
    Path::new(&server.file("control.sock")).display().to_string()
}
