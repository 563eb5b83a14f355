//! Promise: with `gc :between_requests` all garbage is collected when a worker is in no request, and others answer
//! meanwhile.

use rustix::thread::CapabilitySet;
use testkit::fifo::Fifo;
use testkit::{App, Connection, Request, Server};

/// An application with objects that live for a hundred requests. `/hold` leaves something whose end, which comes when all
/// garbage is collected, lasts until the gate opens.
const APP: &str = r##"
OLD = []
GATE = File.expand_path("../gate")
def leave_one
  waits = true
  ends = proc do
    next unless waits
    waits = false
    File.write("../collecting", Process.pid.to_s)
    File.rename("../collecting", "../collects")
    File.open(GATE, "r+") { |gate| gate.gets }
  end
  held = Array.new(50) { Object.new.tap { |object| ObjectSpace.define_finalizer(object, ends) } }
  4.times { GC.start } # old by now: collections of young objects do not look at it
  held.clear
end
run(lambda do |env|
  leave_one if env["PATH_INFO"] == "/hold"
  next [200, {}, [Process.getrlimit(Process::RLIMIT_NICE).first.to_s]] if env["PATH_INFO"] == "/nice"
  OLD << "x" * 200_000
  OLD.shift if OLD.size > 100
  next [200, {}, ["#{Process.pid} #{Process.getpriority(Process::PRIO_PROCESS, 0)}"]] if env["PATH_INFO"] == "/niceness"
  [200, {}, [Process.pid.to_s]]
end)
"##;

fn server(config: &str) -> Server {
    Server::builder().app(App::rackup(APP)).workers(2).config(config).start()
}

/// The process that answers this on the connection.
#[track_caller]
fn get(connection: &mut Connection, target: &str) -> u32 {
    let response = connection.request(&Request::get(target));
    assert_eq!(response.status, 200);
    response.text().parse().expect("a pid")
}

/// What the server tells of collections: those of all objects, and those among them between requests.
#[track_caller]
fn collections(server: &Server) -> (u64, u64) {
    let status: serde_json::Value = serde_json::from_str(&server.ctl(["status", "--json"]).stdout).expect("JSON");
    let gc = &status["totals"]["gc"];
    let number = |name: &str| gc[name].as_u64().unwrap_or_else(|| panic!("{name}: {gc}"));
    (number("major"), number("between_requests"))
}

/// A collection falls into a request where it is needed while the other worker collects, and the room runs out before that
/// one ends.
#[track_caller]
fn assert_hardly_any_in_requests(server: &Server) {
    let (all, between) = collections(server);
    assert!((all - between) * 4 <= between, "{} in requests, {between} between them", all - between);
}

/// How far others go before it.
#[track_caller]
fn niceness(pid: u32) -> i32 {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    rustix::process::getpriority_process(pid).expect("it is there")
}

/// Whether a worker is allowed to come back from a niceness of 10, by its limit.
fn may_step_back(server: &Server) -> bool {
    server.get("/nice").text().parse::<u64>().is_ok_and(|limit| limit >= 20)
}

#[test]
fn requests_to_a_worker_that_collects_all_garbage_are_answered_by_another() {
    let mut server = server("gc :between_requests");
    let mut gate = Fifo::create(server.file("gate"));
    let mut connection = server.connect();
    let worker = get(&mut connection, "/hold");
    let load = server.load().clients(2).start();
    let told = server.eventually("it collects", || std::fs::read_to_string(server.file("collects")).ok());
    load.stop().assert_no_failure();
    assert_eq!(told, worker.to_string());
    let other = get(&mut connection, "/");
    assert_ne!(other, worker, "its connection is given to another worker when it collects");
    let able = rustix::thread::capabilities(None).expect("capget").effective;
    let may = able.contains(CapabilitySet::SYS_NICE) || may_step_back(&server);
    let usual = niceness(server.pid());
    assert_eq!(niceness(worker), if may { 10 } else { usual });
    for _ in 0..50 {
        assert_eq!(server.get("/").text(), other.to_string(), "the one that collects takes nothing");
    }
    gate.tell("the gate");
    server.eventually("it is told", || (collections(&server).1 > 0).then_some(()));
    // The other worker gets these requests until it collects, too.
    let as_ever = format!("{worker} {usual}");
    server.eventually("it serves as before", || (server.get("/niceness").text() == as_ever).then_some(()));
    server.stop();
}

#[test]
fn a_worker_of_another_user_may_step_back_while_it_collects() {
    let able = rustix::thread::capabilities(None).expect("capget").effective;
    if !rustix::process::geteuid().is_root() || !able.contains(CapabilitySet::SYS_RESOURCE) {
        return; // only root becomes another user, and not in each container may it allow that one more
    }
    let server = server("gc :between_requests\nafter_fork { |_, worker| worker.user('nobody') }");
    assert!(may_step_back(&server));
}

#[test]
fn all_garbage_is_collected_between_requests() {
    let mut server = server("gc :between_requests");
    let load = server.load().clients(2).start();
    server.eventually("some collections", || (collections(&server).1 >= 4).then_some(()));
    load.stop().assert_no_failure();
    let (all, between) = collections(&server);
    assert_eq!(all, between, "none in a request");
    server.stop();
}

/// One with many objects that live for good, and some that live just long enough to count as old: what runs out is the
/// room for objects, which Ruby finds in the midst of a request if the last collection comes to its end there.
const LITTLE_ROOM: &str = r#"
def hashes(count)
  Array.new(count) { |n| { n => n.to_s } }
end
LIVE = hashes(150_000)
KEPT = []
run(lambda do |_env|
  hashes(1_500)
  KEPT << hashes(300)
  KEPT.shift if KEPT.size > 300
  [200, {}, []]
end)
"#;

#[test]
fn a_heap_without_room_is_found_before_the_next_request() {
    let builder = Server::builder().app(App::rackup(LITTLE_ROOM)).workers(2);
    let mut server = builder.config("gc :between_requests\npreload_app true").start();
    let load = server.load().clients(2).start();
    server.eventually("some collections", || (collections(&server).1 >= 12).then_some(()));
    load.stop().assert_no_failure();
    assert_hardly_any_in_requests(&server);
    server.stop();
}

#[test]
fn it_is_ruby_that_finds_the_time_unless_the_configuration_says_otherwise() {
    let mut server = server("gc :automatic");
    let load = server.load().clients(2).start();
    server.eventually("some collections", || (collections(&server).0 >= 2).then_some(()));
    load.stop().assert_no_failure();
    assert_eq!(collections(&server).1, 0);
    server.stop();
}
