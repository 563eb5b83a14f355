//! Promise: a service runs beside the workers of its generation, one at a time; it is replaced after the roll, never by one that
//! fails, and nothing of it stays behind.

use std::fs;

use rustix::process::Signal;
use testkit::output::Mark;
use testkit::process::signal;
use testkit::{App, Builder, Server, procfs};

/// Notes each life of a service in a file that all share, and that it leaves when it is asked to.
const PROGRAM: &str = r#"
service "jobs", command: ["sh", "-c", <<~'SH'], min_uptime: 0
  trap 'echo left $$ >> ../lives; exit 0' TERM
  echo began $$ >> ../lives
  while :; do sleep 0.05; done
SH
"#;

/// The same as a block.
const BLOCK: &str = r#"
service "jobs", min_uptime: 0 do |service|
  File.write("../lives", "began #{Process.pid}\n", mode: "a")
  service.wait
  File.write("../lives", "left #{Process.pid}\n", mode: "a")
end
"#;

const APP: &str = r#"
raise "the new code is broken" if File.exist?("../broken")
run ->(_env) { [200, {}, ["ok\n"]] }
"#;

fn builder(service: &str) -> Builder {
    Server::builder().app(App::rackup(APP)).workers(2).config(service)
}

/// The process of the service that has begun since then.
#[track_caller]
fn began(server: &Server, mark: Mark, generation: u32) -> u32 {
    let line = server.wait_for(mark, &format!("service=jobs gen={generation} PID:* started"));
    let pid = line.split("PID:").nth(1).and_then(|rest| rest.split(' ').next()).and_then(|pid| pid.parse().ok());
    let pid = pid.expect("a process");
    // A shell that has no trap yet would not leave.
    server.eventually("a note of its beginning", || lives(server).contains(&format!("began {pid}")).then_some(()));
    pid
}

fn lives(server: &Server) -> Vec<String> {
    fs::read_to_string(server.file("lives")).unwrap_or_default().lines().map(str::to_string).collect()
}

/// Each has left before the next began.
#[track_caller]
fn assert_one_at_a_time(lives: &[String]) {
    for pair in lives.chunks(2) {
        let pids: Vec<_> = pair.iter().map(|line| line.split(' ').nth(1).expect("a process id")).collect();
        assert!(pair[0].starts_with("began"), "{lives:?}");
        assert!(pair.len() == 1 || pair[1].starts_with("left") && pids[0] == pids[1], "{lives:?}");
    }
}

#[track_caller]
fn reload(server: &Server) {
    let finished = server.ctl(["reload", "--wait"]);
    assert_eq!(finished.code(), 0, "{finished:#?}");
}

#[track_caller]
fn check_replaced(service: &str, preload: bool) {
    let mut server = builder(service).preload(preload).start();
    let first = began(&server, Mark::default(), 1);
    let mark = server.mark();
    reload(&server);
    let second = began(&server, mark, 2);
    assert_ne!(first, second);
    assert_eq!(lives(&server), [format!("began {first}"), format!("left {first}"), format!("began {second}")]);
    server.wait_for(mark, &format!("reaped*pid {first} exit 0*service=jobs gen=1"));
    server.stop();
    assert_eq!(lives(&server).last(), Some(&format!("left {second}")));
}

#[test]
fn a_program_is_replaced_after_the_roll() {
    check_replaced(PROGRAM, false);
}

#[test]
fn a_block_is_replaced_after_the_roll() {
    check_replaced(BLOCK, false);
}

#[test]
fn a_block_of_a_preloaded_application_is_replaced_after_the_roll() {
    check_replaced(BLOCK, true);
}

#[track_caller]
fn check_undisturbed(service: &str) {
    let mut server = builder(service).start();
    let pid = began(&server, Mark::default(), 1);
    let mark = server.mark();
    signal(server.workers()[0].pid, Signal::KILL).expect("the worker is there");
    server.wait_for(mark, "worker=0 ready");
    server.write("broken", "");
    let finished = server.ctl(["reload", "--wait"]);
    assert_eq!(finished.code(), 1, "{finished:#?}");
    assert_eq!(lives(&server), [format!("began {pid}")], "neither a worker's death nor a reload that fails touches it");
    let workers = server.workers();
    let mark = server.mark();
    signal(pid, Signal::KILL).expect("the service is there");
    fs::remove_file(server.file("broken")).expect("it is there");
    server.wait_for(mark, &format!("reaped*pid {pid} SIGKILL*service=jobs gen=1"));
    let next = server.wait_for(mark, "service=jobs gen=1 PID:* started");
    assert_eq!(server.workers(), workers, "its death touches no worker: {next}");
    let deaths = server.ctl(["deaths", "--json"]);
    let deaths: serde_json::Value = serde_json::from_str(&deaths.stdout).expect("JSON");
    let death = &deaths[0];
    assert_eq!((&death["kind"], &death["service"]), (&"service".into(), &"jobs".into()), "{deaths}");
    assert_eq!(death["pid"], pid);
    server.stop();
}

#[test]
fn a_program_and_the_workers_know_nothing_of_each_other() {
    check_undisturbed(PROGRAM);
}

#[test]
fn a_block_and_the_workers_know_nothing_of_each_other() {
    check_undisturbed(BLOCK);
}

#[track_caller]
fn check_killed_master(service: &str) {
    let mut server = builder(service).start();
    let pid = began(&server, Mark::default(), 1);
    server.signal(Signal::KILL);
    server.wait_for_exit();
    server.assert_nothing_is_left();
    assert_eq!(lives(&server), [format!("began {pid}"), format!("left {pid}")], "it was asked to leave");
}

#[test]
fn a_program_leaves_when_the_master_is_killed() {
    check_killed_master(PROGRAM);
}

#[test]
fn a_block_leaves_when_the_master_is_killed() {
    check_killed_master(BLOCK);
}

#[track_caller]
fn check_in_place(service: &str) {
    let mut server = builder(service).config("upgrade :in_place").start();
    let first = began(&server, Mark::default(), 1);
    let mark = server.mark();
    let finished = server.ctl(["upgrade", "--wait"]);
    assert_eq!(finished.code(), 0, "{finished:#?}");
    let second = began(&server, mark, 2);
    assert_eq!(lives(&server), [format!("began {first}"), format!("left {first}"), format!("began {second}")]);
    // The new program stops what it has started itself.
    let mark = server.mark();
    signal(second, Signal::KILL).expect("the service is there");
    server.wait_for(mark, "service=jobs gen=2 PID:* started");
    server.stop();
}

#[test]
fn a_program_outlives_an_upgrade_in_place_until_the_reload_that_follows() {
    check_in_place(PROGRAM);
}

#[test]
fn a_block_outlives_an_upgrade_in_place_until_the_reload_that_follows() {
    check_in_place(BLOCK);
}

#[track_caller]
fn check_two_masters(service: &str) {
    let mut server = builder(service).start();
    let old = server.pid();
    let first = began(&server, Mark::default(), 1);
    let mark = server.mark();
    let finished = server.ctl(["upgrade", "--wait"]);
    assert_eq!(finished.code(), 0, "{finished:#?}");
    assert_eq!(lives(&server), [format!("began {first}")], "the old master has it while it lives");
    server.signal(Signal::QUIT);
    server.wait_for_exit();
    let new = server.new_master(old);
    let second = began(&server, mark, 1);
    assert_one_at_a_time(&lives(&server));
    assert_eq!(procfs::process(second).map(|process| process.parent), Some(new));
    server.stop_successor(new);
}

#[test]
fn a_program_of_a_second_master_waits_for_the_end_of_the_first() {
    check_two_masters(PROGRAM);
}

#[test]
fn a_block_of_a_second_master_waits_for_the_end_of_the_first() {
    check_two_masters(BLOCK);
}

#[test]
fn a_program_gets_the_configurations_variables_and_none_of_the_servers_sockets() {
    let service = r#"
        ENV["FROM_CONFIG"] = "set"
        service "jobs", command: ["sh", "-c", <<~'SH'], min_uptime: 0
          (env; pwd; readlink /proc/$$/fd/*) > ../seen.new
          mv ../seen.new ../seen
          exec sleep 1000
        SH
    "#;
    let mut server = builder(service).env("LICORNE_TEST_OF_MASTER", "kept").start();
    let seen = server.eventually("what the program saw", || fs::read_to_string(server.file("seen")).ok());
    for variable in ["FROM_CONFIG=set", "LICORNE_TEST_OF_MASTER=kept", "RACK_ENV=none"] {
        assert!(seen.lines().any(|line| line == variable), "{variable}: {seen}");
    }
    for private in ["LISTEN_FDS", "UNICORN_FD", "LICORNE_CONTROL_FD", "NOTIFY_SOCKET"] {
        assert!(!seen.contains(private), "{private}: {seen}");
    }
    assert!(!seen.contains("socket:") && !seen.contains("memfd:"), "{seen}");
    let directory = fs::read_link(format!("/proc/{}/cwd", server.workers()[0].pid)).expect("the worker is there");
    assert!(seen.lines().any(|line| line == directory.to_string_lossy()), "{directory:?}: {seen}");
    server.stop();
}

#[test]
fn a_service_that_stays_is_killed_with_all_that_it_has_started() {
    let service = r#"
        service "jobs", command: ["sh", "-c", "trap '' TERM; sleep 1000; sleep 1000"], stop_timeout: 0.2, min_uptime: 0
    "#;
    let mut server = builder(service).start();
    let mark = server.mark();
    server.wait_for(Mark::default(), "service=jobs gen=1 PID:* started");
    reload(&server);
    server.wait_for(mark, "service=jobs PID:* has not left in time, killing");
    server.wait_for(mark, "service=jobs gen=2 PID:* started");
    server.stop();
}

#[test]
fn a_service_that_ends_at_once_waits_longer_each_time_and_holds_nothing_up() {
    let mut server = builder(r#"service "jobs", command: ["false"]"#).start();
    server.wait_for(Mark::default(), "service=jobs failed 4 times in a row, next try in *");
    let mark = server.mark();
    reload(&server);
    server.wait_for(mark, "service=jobs failed 1 times in a row, next try in 0.1 s");
    assert_eq!(server.get("/").status, 200);
    server.stop();
}

#[test]
fn a_program_that_is_missing_is_named() {
    let mut server = builder(r#"service "jobs", command: ["no-such-program"]"#).start();
    server.wait_for(Mark::default(), "service=jobs cannot be started: *no-such-program*");
    assert_eq!(server.get("/").status, 200);
    server.stop();
}

#[test]
fn a_service_that_may_overlap_goes_when_the_next_one_has_lived_for_a_while() {
    let service = PROGRAM.replace("min_uptime: 0", "min_uptime: 0.3, overlap: true");
    let mut server = builder(&service).start();
    let first = began(&server, Mark::default(), 1);
    let mark = server.mark();
    reload(&server);
    let second = began(&server, mark, 2);
    server.wait_for(mark, &format!("reaped*pid {first} exit 0*service=jobs gen=1"));
    assert_eq!(lives(&server), [format!("began {first}"), format!("began {second}"), format!("left {first}")]);
    server.stop();
}

#[test]
fn hooks_are_called_around_the_fork_of_a_block() {
    let hooks = r#"
        before_service_fork { |server, service| File.write("../hooks", "before #{service.name} #{Process.pid}\n", mode: "a") }
        after_service_fork { |server, service| File.write("../hooks", "after #{service.name} #{Process.pid}\n", mode: "a") }
    "#;
    let mut server = builder(BLOCK).config(hooks).start();
    let pid = began(&server, Mark::default(), 1);
    let mold = server.titled("mold")[0];
    let hooks = fs::read_to_string(server.file("hooks")).expect("they were called");
    assert_eq!(hooks, format!("before jobs {mold}\nafter jobs {pid}\n"));
    assert_eq!(server.titled("service jobs"), [pid]);
    server.stop();
}

#[test]
fn a_block_that_raises_is_logged_with_its_error_and_begun_again() {
    let service = r#"service("jobs") { |service| raise "no queue" }"#;
    let mut server = builder(service).start();
    server.wait_for(Mark::default(), "service=jobs error: no queue (RuntimeError)");
    server.wait_for(Mark::default(), "service=jobs failed 2 times in a row*");
    server.stop();
}

#[test]
fn services_of_root_run_as_the_applications_user() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let service = r#"
        user "nobody"
        service "jobs", command: ["sh", "-c", "echo program $(id -u) $(id -G); exec sleep 1000"], min_uptime: 0
        service "block" do |service|
          puts "block #{Process.uid} #{Process.groups.join(" ")}"
          service.wait
        end
    "#;
    let mut server = builder(service).start();
    let program = server.wait_for(Mark::default(), "program 65534 *");
    let block = server.wait_for(Mark::default(), "block 65534 *");
    assert_eq!(program.strip_prefix("program "), block.strip_prefix("block "));
    server.stop();
}

#[test]
fn status_tells_of_services_that_run_and_of_those_that_fail() {
    let services = format!("{PROGRAM}\nservice \"bad\", command: [\"false\"]");
    let mut server = builder(&services).start();
    let pid = began(&server, Mark::default(), 1);
    server.wait_for(Mark::default(), "service=bad failed 3 times in a row*");
    let told = server.ctl(["status", "--json"]).stdout;
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    let [bad, jobs] = told["services"].as_array().expect("a list").as_slice() else { panic!("{}", told["services"]) };
    assert_eq!(
        (&jobs["name"], &jobs["state"], &jobs["pid"]),
        (&"jobs".into(), &"running".into(), &pid.into()),
        "{jobs}"
    );
    assert!(jobs["memory"]["rss_bytes"].as_u64() > Some(0) && jobs["starts"] == 1, "{jobs}");
    assert_eq!(bad["name"], "bad", "{bad}");
    assert!(bad["failures"].as_u64() >= Some(3) && bad["starts"].as_u64() >= Some(3), "{bad}");
    let text = server.ctl(["status"]).stdout;
    assert!(text.contains(&format!("service jobs gen=1 pid={pid} running, started ")), "{text}");
    assert!(text.contains("service bad gen=1 waiting, failed "), "{text}");
    server.stop();
}
