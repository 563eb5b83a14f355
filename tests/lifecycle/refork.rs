//! Promise: a refork makes the mold of all workers of one that has served, and loses no request; a worker that cannot be forked
//! is left alone, and the log names what is in the way.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use testkit::output::Mark;
use testkit::server::Holdings;
use testkit::{App, Builder, Server, procfs};

/// The longest time without a success that is promised.
const GAP: Duration = Duration::from_millis(50);

/// An application that counts its requests in memory, and does other things on demand.
const APP: &str = r##"
version = File.exist?("../version") ? File.read("../version") : "1"
$count = 0
run lambda { |env|
  $count += 1
  case env["PATH_INFO"]
  when "/thread" then $thread = Thread.new { sleep }.tap { |thread| thread.name = "ticker" }
  when "/connect" then $socket = TCPSocket.new("127.0.0.1", Integer(env["QUERY_STRING"]))
  when "/unsafe" then Pitchfork::Info.no_longer_fork_safe!
  when "/prevent"
    entered = Queue.new
    $thread = Thread.new { Pitchfork.prevent_fork { entered.push(true); Thread.stop } }
    $thread.thread_variable_set(:fork_safe, true)
    entered.pop
  when "/grow" then $grown ||= Array.new(300_000) { |number| "what this worker has kept is number #{number} of many" }
  when "/allow" then $thread.wakeup
  when "/abort" then Process.kill(:ABRT, Process.pid) && sleep
  end
  [200, {}, ["#{$count} #{Process.pid} #{version}"]]
}
"##;

fn builder(workers: u32, config: &str) -> Builder {
    Server::builder().app(App::rackup(APP)).workers(workers).config(config)
}

/// How many requests the process that answers has counted, itself or before it was forked; and which process that is.
fn count(server: &Server) -> (u32, u32) {
    count_at(server, "/")
}

fn count_at(server: &Server, target: &str) -> (u32, u32) {
    let text = server.get(target).text();
    let mut words = text.split(' ').map(|word| word.parse().expect("a number"));
    (words.next().expect("a count"), words.next().expect("a process"))
}

/// Sends so many requests.
fn serve(server: &Server, requests: u32) {
    (0..requests).for_each(|_| assert_eq!(server.get("/").status, 200));
}

#[track_caller]
fn wait_for_generation(server: &Server, generation: u32, workers: usize) {
    server.eventually(&format!("{workers} workers of generation {generation}, one mold, and no other"), || {
        let all = server.workers();
        let new = all.iter().all(|worker| worker.generation == Some(generation));
        (new && all.len() == workers && server.titled("mold").len() == 1).then_some(())
    });
}

fn status(server: &Server) -> Value {
    serde_json::from_str(&server.ctl(["status", "--json"]).stdout).expect("JSON")
}

#[test]
fn reforks_under_load_lose_no_request_and_leave_nothing_behind() {
    let mut server = builder(2, "refork_after 30").start();
    let refork_until = |generation: u64| {
        let (close, kept) = (server.load().clients(2).start(), server.load().clients(2).keep_alive(true).start());
        let reached = || status(&server)["generation"].as_u64().expect("it serves");
        for next in reached()..=generation {
            server.eventually(&format!("generation {next}"), || (reached() >= next).then_some(()));
        }
        for report in [close.stop(), kept.stop()] {
            report.assert_flawless(GAP);
        }
        let generation =
            || status(&server)["generation"].as_u64().and_then(|generation| u32::try_from(generation).ok());
        server.eventually("the end of the last refork", || {
            let (generation, workers) = (generation(), server.workers());
            let last = workers.iter().all(|worker| worker.generation == generation) && workers.len() == 2;
            (last && server.titled("mold").len() == 1 && status(&server)["phase"] == "serving").then_some(())
        });
    };
    refork_until(3);
    let before = Holdings::of(&server);
    let mappings = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("it runs");
    let shared = |pid: u32| mappings(pid).lines().filter(|line| line.contains("memfd:")).count();
    let shared_before = shared(server.workers()[0].pid);
    let rounds = if testkit::rounds(100) == 100 { 100 } else { 10 };
    refork_until(3 + rounds);
    server.eventually(&format!("no more than before: {before:?}"), || {
        Holdings::of(&server).is_within(&before).then_some(())
    });
    assert_eq!(shared(server.workers()[0].pid), shared_before, "memory that is shared with others");
    assert_eq!(shared(server.titled("mold")[0]), 0, "a mold has none mapped");
    let told = status(&server);
    assert!(told["reforks"]["succeeded"].as_u64().is_some_and(|count| count >= 2 + rounds), "{told}");
    assert_eq!(told["reforks"]["failed"], 0, "{told}");
    assert_eq!(told["reloads"]["succeeded"], 0, "it is no reload: {told}");
    server.stop();
}

#[test]
fn workers_have_what_the_one_that_was_promoted_had() {
    for preload in [false, true] {
        let mut server = builder(2, "refork_after [20, false]").preload(preload).start();
        let mark = server.mark();
        serve(&server, 50);
        server.wait_for(mark, "done reforking: gen=2 serves alone");
        wait_for_generation(&server, 2, 2);
        let (counted, _) = count(&server);
        assert!(counted > 20, "{counted} requests, before and after the fork");
        assert_eq!(status(&server)["reforks"]["recent"][0]["generation"], 2);
        let text = server.ctl(["status"]).stdout;
        assert!(text.contains("reforks: 1 succeeded, 0 failed; generation 2 was the last"), "{text}");
        server.stop();
    }
}

#[test]
fn workers_that_have_grown_a_lot_are_forked_anew_without_a_count() {
    let mut server = builder(2, "refork :auto\nbalance :even").preload(true).start();
    server.eventually("the memory of both to be known", || {
        let told = status(&server);
        let known = |worker: &Value| worker["memory"]["private_bytes"].is_u64();
        told["workers"].as_array().is_some_and(|workers| workers.iter().all(known)).then_some(())
    });
    let mark = server.mark();
    let mut grown = HashSet::new();
    server.eventually("both workers to have grown", || {
        grown.insert(count_at(&server, "/grow").1);
        (grown.len() == 2).then_some(())
    });
    server.wait_for(mark, " MiB shared");
    server.wait_for(mark, "done reforking: gen=2 serves alone");
    wait_for_generation(&server, 2, 2);
    let (counted, pid) = count(&server);
    assert!(counted > 1 && !grown.contains(&pid), "{counted} requests, before and after the fork");
    assert_eq!(status(&server)["reforks"]["succeeded"], 1);
    server.stop();
}

#[test]
fn false_ends_it_and_each_count_is_for_one_refork() {
    let mut server = builder(1, "refork_after [5, 10, false]").start();
    serve(&server, 5);
    wait_for_generation(&server, 2, 1);
    serve(&server, 10);
    wait_for_generation(&server, 3, 1);
    let mark = server.mark();
    serve(&server, 40);
    server.signal(Signal::HUP);
    server.wait_for(mark, "gen=4 serves alone");
    assert_eq!(status(&server)["reforks"]["succeeded"], 2, "neither the count nor the reload is one");
    server.stop();
}

/// A server whose worker is asked for this and then not forked for this reason.
#[track_caller]
fn check_culprit(asked: impl Fn(&Server) -> String, reason: impl Fn(&Server) -> String) {
    let mut server = builder(1, "refork_after 5").start();
    let mark = server.mark();
    assert_eq!(server.get(&asked(&server)).status, 200);
    serve(&server, 5);
    server.wait_for(mark, &format!("error reforking: worker=0 forks no mold: {}", reason(&server)));
    let told = status(&server);
    assert_eq!((&told["reforks"]["failed"], &told["generation"]), (&1.into(), &1.into()), "{told}");
    assert_eq!(server.get("/").status, 200);
    server.stop();

    // The hook is there to see to it.
    let hook = "after_mold_fork { |server, mold| server.logger.info(\"mold #{mold.generation} is PID:#{mold.pid}\") }";
    let mut server = builder(1, &format!("refork_after [5, false]\n{hook}")).start();
    let mark = server.mark();
    assert_eq!(server.get(&asked(&server)).status, 200);
    serve(&server, 5);
    wait_for_generation(&server, 2, 1);
    server.wait_for(mark, &format!("mold 2 is PID:{}", server.titled("mold")[0]));
    server.stop();
}

#[test]
fn a_worker_with_a_thread_is_not_forked_and_the_thread_is_named() {
    check_culprit(|_| "/thread".into(), |_| "thread \"ticker\" of ".into());
}

#[test]
fn a_worker_with_a_connection_is_not_forked_and_the_peer_is_named() {
    let peer = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = peer.local_addr().expect("it is bound").port();
    check_culprit(|_| format!("/connect?{port}"), |_| format!("socket to 127.0.0.1:{port} would be shared"));
}

#[test]
fn a_worker_that_is_no_longer_fork_safe_is_left_alone_and_the_next_one_is_forked() {
    let mut server = builder(1, "refork_after [5, false]").start();
    let mark = server.mark();
    server.get("/unsafe");
    serve(&server, 5);
    server.wait_for(mark, "no refork from this worker: worker=0 forks no mold: it called no_longer_fork_safe!");
    serve(&server, 20);
    let told = status(&server);
    assert_eq!((&told["reforks"]["failed"], &told["generation"]), (&0.into(), &1.into()), "{told}");
    let (_, unsafe_worker) = count(&server);
    testkit::process::signal(unsafe_worker, Signal::KILL).expect("it runs");
    server.eventually("another worker", || (count(&server).1 != unsafe_worker).then_some(()));
    serve(&server, 5);
    wait_for_generation(&server, 3, 1);
    server.stop();
}

#[test]
fn a_worker_is_forked_once_no_thread_prevents_it() {
    let mut server = builder(1, "refork_after [5, false]").start();
    let mark = server.mark();
    server.get("/prevent");
    serve(&server, 5);
    server.wait_for(mark, "forks no mold: a thread is in Licorne.prevent_fork");
    server.get("/allow");
    server.eventually("a refork", || {
        serve(&server, 5);
        (status(&server)["reforks"]["succeeded"] == 1).then_some(())
    });
    server.stop();
}

#[test]
fn new_workers_that_do_not_boot_leave_the_old_ones_serving() {
    let hook = "after_fork { |_, worker| raise 'no' if File.exist?(File.join(ENV['TEST_DIR'], 'broken')) }";
    let mut server = builder(2, &format!("refork_after [20, false]\n{hook}")).start();
    server.write("broken", "");
    let (mark, load) = (server.mark(), server.load().clients(2).start());
    server.wait_for(mark, "error reforking: no (RuntimeError)");
    server.wait_for(mark, "failed to boot; the workers serve on as they are");
    std::fs::remove_file(server.file("broken")).expect("it is there");
    server.wait_for(mark, "done reforking: gen=");
    load.stop().assert_flawless(GAP);
    server.stop();
}

#[test]
fn a_mold_that_a_worker_has_forked_is_replaced_from_disk_when_it_dies() {
    let mut server = builder(2, "refork_after [5, false]").start();
    serve(&server, 10);
    wait_for_generation(&server, 2, 2);
    let mark = server.mark();
    testkit::process::signal(server.titled("mold")[0], Signal::KILL).expect("it runs");
    server.wait_for(mark, "mold gen=3 is ready");
    let worker = server.workers()[0].pid;
    testkit::process::signal(worker, Signal::KILL).expect("it runs");
    server.eventually("a worker of the new mold", || {
        server.workers().iter().any(|worker| worker.generation == Some(3)).then_some(())
    });
    assert_eq!(server.get("/").status, 200);
    server.stop();
}

#[test]
fn a_rollback_goes_to_the_code_before_and_not_to_the_mold_before() {
    let mut server = builder(1, "refork_after [5, false]\nkeep_previous 600").preload(true).start();
    server.write("version", "2");
    assert_eq!(server.ctl(["reload", "--wait"]).code(), 0);
    serve(&server, 5);
    server.eventually("a refork", || (status(&server)["reforks"]["succeeded"] == 1).then_some(()));
    assert!(server.get("/").text().ends_with(" 2"));
    assert_eq!(server.ctl(["rollback", "--wait"]).code(), 0);
    assert!(server.get("/").text().ends_with(" 1"));
    server.stop();
}

#[test]
fn workers_are_reforked_after_an_upgrade_in_place() {
    let mut server = builder(2, "refork_after [5, false]\nupgrade :in_place").start();
    serve(&server, 10);
    wait_for_generation(&server, 2, 2);
    let finished = server.ctl(["upgrade", "--wait"]);
    assert_eq!(finished.code(), 0, "{finished:#?}");
    wait_for_generation(&server, 3, 2);
    assert_eq!(status(&server)["reforks"]["succeeded"], 1, "it is carried over");
    serve(&server, 10);
    wait_for_generation(&server, 4, 2);
    assert_eq!(status(&server)["reforks"]["succeeded"], 2);
    server.stop();
}

#[test]
fn the_end_of_a_worker_is_explained_whatever_forked_its_mold() {
    let mut server = builder(1, "refork_after [5, false]").start();
    serve(&server, 5);
    wait_for_generation(&server, 2, 1);
    let mark = server.mark();
    server.connect().send(b"GET /abort HTTP/1.1\r\nHost: a\r\n\r\n");
    server.wait_for(mark, "reaped #<Process::Status: pid");
    let deaths = server.ctl(["deaths"]).stdout;
    assert!(deaths.contains("SIGABRT") && deaths.contains("GET /abort"), "{deaths}");
    server.eventually("another worker", || (server.workers().len() == 1).then_some(()));
    server.stop();
}

#[test]
fn a_mold_has_no_connection_of_the_worker_that_has_forked_it() {
    let mut server = builder(1, "refork_after [5, false]").start();
    // From 3.3 on Ruby itself waits by epoll in each process.
    let epolls = |descriptors: &BTreeMap<u32, String>| {
        descriptors.values().filter(|what| what.contains("eventpoll") || what.contains("licorne-seat")).count()
    };
    let own = epolls(&procfs::descriptors(server.titled("mold")[0]));
    let _idle: Vec<_> = (0..3).map(|_| server.connect()).collect();
    serve(&server, 5);
    wait_for_generation(&server, 2, 1);
    let descriptors = procfs::descriptors(server.titled("mold")[0]);
    let sockets = descriptors.iter().filter(|(number, what)| **number > 2 && what.starts_with("socket:")).count();
    assert_eq!(sockets, 1, "its control socket alone: {descriptors:?}");
    assert_eq!(epolls(&descriptors), own, "{descriptors:?}");
    server.stop();
}

#[test]
fn reforks_do_not_go_with_workers_that_share_nothing() {
    for (directive, name) in [("refork_after 5", "refork_after"), ("refork :auto", "refork")] {
        let mut server = builder(1, &format!("{directive}\nworker_exec true")).launch();
        assert_eq!(server.wait_for_exit().code(), Some(1));
        server.wait_for(Mark::default(), &format!("{name} is incompatible with worker_exec true"));
    }
}

#[test]
fn a_worker_with_less_rights_than_its_mold_is_not_promoted() {
    // Tests run as root, in containers and on build machines; others can give no rights away.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mut server = builder(1, "refork_after 5\nafter_fork { |_, worker| worker.user('nobody') }").start();
    let mark = server.mark();
    serve(&server, 5);
    server.wait_for(mark, "error reforking: the worker is another user than its mold");
    assert_eq!(server.get("/").status, 200);
    server.stop();

    let mut server = builder(1, "refork_after 5\nuser 'nobody'").launch();
    assert_eq!(server.wait_for_exit().code(), Some(1));
    server.wait_for(Mark::default(), "refork_after is incompatible with user as root");
}
