//! Promise: a server that is reloaded again and again stays as small as it was, and leaves nothing when it stops.

use std::process::Command;

use rustix::process::Signal;
use testkit::process::run;
use testkit::server::Holdings;
use testkit::{App, Server, procfs};

/// The memory that a process has written to, in KiB: which pages of its program are in memory is up to the kernel.
fn own_memory_kib(pid: u32) -> u64 {
    let text = procfs::status(pid, "RssAnon").expect("it runs");
    text.trim_end_matches(" kB").parse().expect("a number")
}

#[track_caller]
fn reload(server: &Server, generation: u32) {
    server.signal(Signal::HUP);
    server.eventually(&format!("generation {generation} alone"), || {
        let workers = server.workers();
        let new = workers.iter().all(|worker| worker.generation == Some(generation));
        (new && workers.len() == 2 && server.titled("mold").len() == 1).then_some(())
    });
}

/// How many reloads: 100, or what `LICORNE_TEST_RELOADS` says. A thousand is for `cargo test`, which knows no deadline:
/// `LICORNE_TEST_RELOADS=1000 cargo test -p testkit --test lifecycle hundred`.
fn reloads() -> u32 {
    std::env::var("LICORNE_TEST_RELOADS").ok().and_then(|text| text.parse().ok()).unwrap_or(100)
}

#[test]
fn a_hundred_reloads_leak_no_descriptor_no_process_and_no_memory() {
    let mut server = Server::builder().workers(2).preload(true).start();
    for generation in 2..=11 {
        reload(&server, generation);
    }
    let before = Holdings::of(&server);
    let memory = own_memory_kib(server.pid());
    for generation in 12..=reloads() + 1 {
        reload(&server, generation);
    }
    // Before as after something may have been on its way out still, which is gone in the end.
    server.eventually(&format!("no more than before: {before:?}"), || {
        Holdings::of(&server).is_within(&before).then_some(())
    });
    let grown = own_memory_kib(server.pid()).saturating_sub(memory);
    assert!(grown <= 256, "the master grew by {grown} KiB from {memory} KiB in the later reloads");
    server.stop();
}

/// The descriptors in a listing of `/proc/self/fd`.
fn numbers(listing: &str) -> Vec<u32> {
    let number = |line: &str| line.split_once(" -> ")?.0.rsplit(' ').next()?.parse().ok();
    let mut numbers: Vec<u32> = listing.lines().filter_map(number).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn a_program_that_the_application_starts_inherits_nothing_of_ours() {
    let app = r#"
run lambda { |_env|
  listing = IO.popen(["ls", "-l", "/proc/self/fd"], &:read)
  status = IO.popen(["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"], &:read)
  [200, {}, [listing, status]]
}
"#;
    let mut server = Server::builder().app(App::rackup(app)).unix_listeners(1).start();
    let text = server.get("/").text();
    assert!(!text.contains("socket:") && !text.contains("memfd:"), "{text}");
    // Descriptors that this test was started with are no leak: a program that it starts has the same.
    let here =
        |program: &str, arguments: &[&str]| run(Command::new(program).args(arguments), testkit::patience()).stdout;
    let expected = here("ls", &["-l", "/proc/self/fd"]);
    assert_eq!(numbers(&text), numbers(&expected), "{text}");
    let expected = here("grep", &["-E", "^Sig(Blk|Ign)", "/proc/self/status"]);
    for line in expected.lines() {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    server.stop();
}

#[test]
fn requests_leave_no_descriptor_behind() {
    let mut server = Server::builder().workers(1).start();
    let worker = server.workers()[0].pid;
    let count = || procfs::descriptors(worker).len();
    let upload = vec![7_u8; 300_000];
    let one_of_each = || {
        server.get("/");
        server.get("/file");
        server.get("/raise");
        server.request(testkit::Request::post("/echo", upload.clone()));
        server.get("/hijack");
        drop(server.connect());
    };
    one_of_each();
    server.get("/");
    let before = count();
    for _ in 0..50 {
        one_of_each();
    }
    server.eventually("the descriptors that were there before", || (count() <= before).then_some(()));
    server.stop();
}
