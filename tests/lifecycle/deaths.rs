//! Promise: a death is noticed, told and repaired; when the master dies nothing of it stays.

use std::net::TcpListener;
use std::time::Duration;

use rustix::process::Signal;
use testkit::output::Mark;
use testkit::process::{Watch, signal};
use testkit::{App, Connection, Endpoint, Gate, Request, Server, procfs};

/// The longest time without a success that is promised.
const GAP: Duration = Duration::from_millis(50);

/// How many sockets a process has open: one more than when idle means that it has accepted a connection.
fn sockets(pid: u32) -> usize {
    procfs::descriptors(pid).values().filter(|what| what.starts_with("socket:")).count()
}

/// Kills a worker that is idle for certain: it is stopped first, then looked at, and let go again if it was busy.
#[track_caller]
fn kill_idle(server: &Server, pid: u32, idle_sockets: usize) {
    server.eventually("an idle moment of the worker", || {
        signal(pid, Signal::STOP).expect("the worker is there");
        server.eventually("a stopped worker", || procfs::process(pid).filter(|process| process.state == 'T'));
        if sockets(pid) == idle_sockets {
            signal(pid, Signal::KILL).expect("the worker is there");
            return Some(());
        }
        signal(pid, Signal::CONT).expect("the worker is there");
        None
    });
}

#[test]
fn the_death_of_an_idle_worker_fails_no_request() {
    let mut server = Server::builder().workers(2).start();
    let victim = server.workers()[0].pid;
    let idle_sockets = sockets(victim);
    let load = server.load().start();
    let mark = server.mark();
    kill_idle(&server, victim, idle_sockets);
    server.wait_for(mark, &format!("reaped*pid {victim} SIGKILL (signal 9)*worker=0"));
    server.wait_for(mark, "worker=0 ready");
    load.wait_for_successes(50);
    load.stop().assert_flawless(GAP);
    server.stop();
}

#[test]
fn the_death_of_a_busy_worker_is_told_with_its_request() {
    let mut server = Server::builder().workers(1).start();
    let mut gate = Gate::new(&server);
    let mut held = gate.hold(&server);
    let mark = server.mark();
    signal(held.worker, Signal::KILL).expect("the worker is there");
    assert_eq!(held.connection.read_to_end(), b"");
    server.wait_for(mark, &format!("pid {} SIGKILL (signal 9)", held.worker));
    server.wait_for(mark, "GET /wait");
    server.wait_for(mark, "worker=0 ready");
    assert_eq!(server.get("/").status, 200);
    server.stop();
}

#[test]
fn the_death_of_the_master_lets_requests_end_and_leaves_nothing() {
    let mut server = Server::builder().workers(2).start();
    let mut gate = Gate::new(&server);
    let held = gate.hold(&server);
    let Endpoint::Tcp(address) = server.endpoint().clone() else { panic!("a TCP listener was asked for") };
    server.signal(Signal::KILL);
    server.wait_for_exit();
    // The idle worker and the mold leave; the busy worker finishes first.
    server.eventually("only the busy worker", || {
        let family = server.family();
        (family.iter().all(|process| process.pid == held.worker)).then_some(())
    });
    assert_eq!(gate.release(held).text(), "waited for the gate\n");
    server.assert_nothing_is_left();
    drop(TcpListener::bind(address).expect("the port is free"));
}

#[test]
fn the_death_of_the_master_leaves_clients_the_time_to_ask_once_more() {
    let mut server = Server::builder().workers(2).config("keepalive_linger 30").start();
    let request = Request::get("/");
    let mut kept: Vec<_> = (0..6).map(|_| server.connect()).collect();
    for connection in &mut kept {
        assert!(connection.request(&request).keep_alive);
    }
    let Endpoint::Tcp(address) = server.endpoint().clone() else { panic!("a TCP listener was asked for") };
    server.signal(Signal::KILL);
    server.wait_for_exit();
    // Each worker has noticed when nothing listens any more.
    server.eventually("a free port", || TcpListener::bind(address).ok());
    for connection in &mut kept {
        let response = connection.request(&request);
        assert_eq!((response.status, response.keep_alive), (200, false));
    }
    server.assert_nothing_is_left();
}

#[test]
fn a_new_master_waits_for_the_address_until_the_workers_of_a_dead_one_have_finished() {
    let mut server = Server::builder().workers(2).unix_listeners(1).start();
    let mut gate = Gate::new(&server);
    let held = gate.hold(&server);
    server.signal(Signal::KILL);
    server.wait_for_exit();
    let endpoints: Vec<Endpoint> = server.endpoints().to_vec();
    let successor = Server::builder().tcp_listeners(0);
    let mut successor = endpoints.iter().fold(successor, |all, at| all.arg("-l").arg(&at.to_string())).launch();
    let waiting = format!("is held by workers that have lost their master, pid=[{}]: waiting", held.worker);
    successor.wait_for(Mark::default(), &waiting);
    assert!(successor.try_wait_for_exit(Duration::from_secs(4)).is_none(), "it gave up");
    assert_eq!(gate.release(held).status, 200);
    successor.wait_for(Mark::default(), "master process ready");
    for endpoint in &endpoints {
        assert_eq!(Connection::open(endpoint).request(&Request::get("/").close()).status, 200);
    }
    successor.stop();
    server.assert_nothing_is_left();
}

#[test]
fn the_death_of_the_mold_is_repaired_while_the_workers_serve_on() {
    for preload in [true, false] {
        let mut server = Server::builder().workers(2).preload(preload).start();
        let workers = server.workers();
        let load = server.load().start();
        let mold = server.titled("mold")[0];
        signal(mold, Signal::KILL).expect("the mold is there");
        server.eventually("a new mold", || server.titled("mold").into_iter().find(|pid| *pid != mold));
        load.wait_for_successes(20);
        load.stop().assert_flawless(GAP);
        let pids = |workers: &[testkit::server::Worker]| workers.iter().map(|worker| worker.pid).collect::<Vec<_>>();
        assert_eq!(pids(&server.workers()), pids(&workers), "the workers live on");
        // And the new mold can do what the old one could.
        let mark = server.mark();
        signal(workers[0].pid, Signal::KILL).expect("the worker is there");
        server.wait_for(mark, "worker=0 ready");
        server.stop();
    }
}

#[test]
fn a_worker_that_exits_by_itself_is_told_with_its_status_and_replaced() {
    let mut server = Server::builder().workers(1).start();
    assert_eq!(server.connect().request_raw("GET /exit HTTP/1.1\r\nHost: x\r\n\r\n"), b"");
    server.wait_for(Mark::default(), "reaped*exit 3*worker=0");
    assert_eq!(server.get("/").status, 200);
    server.stop();
}

#[test]
fn workers_that_die_while_booting_are_not_forked_without_pause() {
    // The first boot works; then workers cannot boot until the flag is taken away.
    let app = r#"
raise "cannot boot now" if File.exist?(File.join(ENV.fetch("TEST_DIR"), "broken"))
run ->(_env) { [200, { "X-Pid" => $$.to_s }, []] }
"#;
    let mut server = Server::builder().app(App::rackup(app)).workers(2).start();
    server.write("broken", "");
    let mark = server.mark();
    let victim = server.workers()[0];
    signal(victim.pid, Signal::KILL).expect("the worker is there");
    let spawned = format!("worker={} spawned", victim.number);
    assert!(server.log().wait_for_count(mark, &spawned, 3, testkit::patience()).is_some(), "it is tried again");
    let status: serde_json::Value = serde_json::from_str(&server.ctl(["status", "--json"]).stdout).expect("JSON");
    assert_eq!(status["troubles"][0]["slot"], victim.number, "the status says so: {status}");
    // The other worker serves meanwhile.
    for _ in 0..20 {
        assert_eq!(server.get("/").status, 200);
    }
    let slots: Vec<u64> =
        status["workers"].as_array().into_iter().flatten().filter_map(|worker| worker["slot"].as_u64()).collect();
    assert!(slots.is_sorted(), "{status}");
    std::fs::remove_file(server.file("broken")).expect("it was there");
    server.wait_for(mark, &format!("worker={} ready", victim.number));
    let attempts = server.log().since(mark, &spawned).len();
    assert!(attempts < 20, "{attempts} attempts: no pause between them");
    server.stop();
}

#[test]
fn a_first_boot_that_fails_ends_the_server_with_the_backtrace() {
    for preload in [true, false] {
        let broken = App::rackup("def broken = raise('this code is broken')\nbroken\nrun 1\n");
        let mut server = Server::builder().app(broken).workers(2).preload(preload).launch();
        let status = server.wait_for_exit();
        assert_eq!(status.code(), Some(1), "preload {preload}");
        server.wait_for(Mark::default(), "this code is broken");
        server.wait_for(Mark::default(), "config.ru:");
        server.assert_nothing_is_left();
        assert!(!server.file("server.pid").exists(), "preload {preload}");
    }
}

#[test]
fn a_request_that_outlives_the_timeout_is_ended_with_its_worker() {
    let mut server = Server::builder().workers(1).config("timeout 3").start();
    let mut gate = Gate::new(&server);
    let mut held = gate.hold(&server);
    assert_eq!(held.connection.read_to_end(), b"");
    server.wait_for(Mark::default(), &format!("worker=0 PID:{} timeout (*s > 3s), killing", held.worker));
    server.wait_for(Mark::default(), &format!("reaped*pid {} SIGKILL", held.worker));
    assert_eq!(server.get("/").status, 200);
    server.stop();
}

#[test]
fn an_idle_worker_outlives_the_timeout() {
    let mut server = Server::builder().workers(1).config("timeout 3").start();
    let worker = server.workers()[0].pid;
    let watch = Watch::on(worker).expect("the worker is there");
    assert!(!watch.wait(Duration::from_secs(5)), "an idle worker was killed");
    assert_eq!(server.get("/").status, 200);
    server.stop();
}

#[test]
fn requests_that_crash_their_worker_keep_no_others_waiting() {
    let crash = r##"
        run ->(env) do
          Process.kill(:KILL, $$) && sleep if env["PATH_INFO"] == "/crash"
          [200, { "Content-Type" => "text/plain" }, ["alive\n"]]
        end
    "##;
    let mut server = Server::builder().app(App::rackup(crash)).workers(2).start();
    for _ in 0..24 {
        let mut crashing = server.connect();
        crashing.send("GET /crash HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(crashing.read_to_end(), b"");
        assert_eq!(server.get("/").text(), "alive\n");
    }
    // A release with such a request is not one that does not boot.
    let reload = server.ctl(["reload", "--wait"]);
    assert!(reload.status.success(), "{}{}", reload.stdout, reload.stderr);
    server.stop();
    let log = server.whole_output();
    assert!(!log.contains("times in a row"), "no slot waits for long:\n{log}");
}

/// An application that ends its worker in several ways.
const DEADLY: &str = r##"
require "fiddle"

def deeper = deeper

run lambda { |env|
  case env["PATH_INFO"]
  when "/fault" then Fiddle::Pointer.new(8)[0]
  when "/abort" then Process.kill(:ABRT, $$) && sleep
  when "/gone" then exit!(0)
  when "/deep"
    begin
      deeper
    rescue SystemStackError
      [200, {}, ["#{$$}"]]
    end
  when "/wait" then sleep
  else [200, {}, ["#{$$}"]]
  end
}
"##;

#[test]
fn a_death_is_told_with_what_is_known_of_its_cause() {
    let mut server = Server::builder().app(App::rackup(DEADLY)).workers(1).start();
    for (path, told) in [
        ("/fault", "SIGSEGV by a fault of its own (see Ruby's [BUG] report in the log), after * ms in \"GET /fault\""),
        ("/abort", "SIGABRT raised by itself, after * ms in \"GET /abort\""),
        ("/gone", "exit status 0, after * ms in \"GET /gone\""),
    ] {
        let mark = server.mark();
        assert_eq!(server.connect().request_raw(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")), b"");
        server.wait_for(mark, &format!("ERROR -- : worker=0 gen=1 pid=* died: {told}"));
    }
    let own = std::process::id();
    for (name, told) in [
        (Signal::ABORT, format!("SIGABRT sent by pid={own} uid=*, while idle")),
        (Signal::SEGV, format!("SIGSEGV sent by pid={own} uid=* (see Ruby's [BUG] report in the log), while idle")),
        (Signal::KILL, "SIGKILL, which the master did not send, while idle".to_string()),
    ] {
        // What was survived has nothing to do with the death.
        let worker = server.get("/deep").text().parse().expect("a pid");
        server.eventually("an idle worker", || {
            let status: serde_json::Value = serde_json::from_str(&server.ctl(["status", "--json"]).stdout).ok()?;
            (status["workers"][0]["state"] == "idle").then_some(())
        });
        let mark = server.mark();
        signal(worker, name).expect("the worker is there");
        server.wait_for(mark, &format!("ERROR -- : worker=0 gen=1 pid={worker} died: {told}"));
        server.wait_for(mark, "worker=0 ready");
    }
    server.stop();
}

#[test]
fn a_quick_stop_is_no_death_that_has_to_be_explained() {
    let mut server = Server::builder().workers(1).start();
    let mut gate = Gate::new(&server);
    let mut held = gate.hold(&server);
    server.signal(Signal::INT);
    assert_eq!(held.connection.read_to_end(), b"");
    server.wait_for_exit();
    let log = server.whole_output();
    assert!(!log.contains("died:"), "{log}");
}

#[test]
fn a_child_of_the_application_that_crashes_says_nothing_of_its_parent() {
    let app = r##"
        run lambda { |env|
          if env["PATH_INFO"] == "/child"
            Process.wait(fork { Process.kill(:ABRT, $$) && sleep })
            [200, {}, [$?.termsig.to_s]]
          else
            [200, {}, ["#{$$}"]]
          end
        }
    "##;
    let mut server = Server::builder().app(App::rackup(app)).workers(1).start();
    assert_eq!(server.get("/child").text(), "6");
    let worker = server.get("/").text().parse().expect("a pid");
    signal(worker, Signal::ABORT).expect("the worker is there");
    server.wait_for(Mark::default(), &format!("died: SIGABRT sent by pid={} uid=*", std::process::id()));
    server.stop();
}
