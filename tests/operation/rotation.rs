//! Promise: the access log has a whole line for each request through rotations, reloads and an upgrade in place, also where
//! workers run as another user than the master, or each in a Ruby of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use testkit::load::Report;
use testkit::output::Mark;
use testkit::process::run;
use testkit::{Load, Server, patience};

const NOBODY: u32 = 65534;
/// The directory of the log is root's, and the workers are another user's.
const ROOTS: &str = "File.chmod(0755, there)\nuser 'nobody'";
const WORKERS: u32 = 4;
const ROTATIONS: u32 = 5;
/// For how long requests come between two rotations.
const PAUSE: Duration = Duration::from_millis(150);

/// A server that logs to `log/access.log`; Ruby's lines come before.
fn server(config: &str) -> Server {
    let config = format!(
        "require 'fileutils'\nthere = ENV.fetch('TEST_DIR')\nFileUtils.mkdir_p(\"#{{there}}/log\")\n\
         {config}\naccess_log \"#{{there}}/log/access.log\""
    );
    Server::builder().workers(WORKERS).config(&config).start()
}

/// Clients that keep their connections, and clients that do not.
fn load(server: &Server) -> [Load; 2] {
    [true, false].map(|keep| server.load().clients(3).think(Duration::ZERO).keep_alive(keep).start())
}

/// Stops clients and server, and counts: a line for each request, each of them whole. Returns them by worker.
#[track_caller]
fn assert_complete(server: &mut Server, loads: [Load; 2]) -> BTreeMap<(i64, i64), usize> {
    let reports = loads.map(Load::stop);
    reports.iter().for_each(Report::assert_no_failure);
    let answered = reports.iter().map(Report::ok).sum::<usize>();
    server.stop();
    assert!(answered > 100, "{answered}");
    let text = lines(&server.file("log"));
    let mut by_worker = BTreeMap::new();
    for line in text.lines() {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(entry["status"], 200, "{line}");
        let number = |name: &str| entry[name].as_i64().unwrap_or_else(|| panic!("{line}"));
        *by_worker.entry((number("generation"), number("worker"))).or_default() += 1;
    }
    assert_eq!((text.lines().count(), text.ends_with('\n')), (answered, true), "{by_worker:?}");
    by_worker
}

/// What is in the files of the access log, those that logrotate(8) has compressed included.
fn lines(directory: &Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("access.log")) {
            continue;
        }
        if path.extension().is_some_and(|extension| extension == "gz") {
            let finished = run(Command::new("zcat").arg(&path), patience());
            assert_eq!(finished.code(), 0, "{finished:#?}");
            all.push_str(&finished.stdout);
        } else {
            let mut file = std::fs::File::open(&path).expect("it is there");
            file.read_to_string(&mut all).expect("text");
        }
    }
    all
}

/// Moves the log away and waits until each worker has followed.
#[track_caller]
fn rotate(server: &Server, number: u32) {
    let log = server.file("log/access.log");
    std::fs::rename(&log, server.file(&format!("log/access.log.{number}"))).expect("it is there");
    let mark = server.mark();
    server.signal(Signal::USR1);
    wait_for_workers(server, mark);
    assert!(log.exists(), "there is a new one");
}

#[track_caller]
fn wait_for_workers(server: &Server, mark: Mark) {
    for worker in 0..WORKERS {
        server.wait_for(mark, &format!("worker={worker} done reopening logs"));
    }
    assert_eq!(server.log().since(mark, "goes on with the old access log"), [""; 0]);
}

#[track_caller]
fn check(mut server: Server) {
    let loads = load(&server);
    for number in 0..ROTATIONS {
        loads[0].go_on_for(PAUSE);
        rotate(&server, number);
    }
    loads[0].go_on_for(PAUSE);
    assert_complete(&mut server, loads);
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn workers_of_another_user_log_where_that_user_may_write() {
    if is_root() {
        let server = server("File.chmod(0755, there)\nFileUtils.chown(65534, 65534, \"#{there}/log\")\nuser 'nobody'");
        assert_eq!(std::fs::metadata(server.file("log/access.log")).expect("a log").uid(), NOBODY);
        check(server);
    }
}

#[test]
fn workers_of_another_user_log_where_root_alone_may_write() {
    if is_root() {
        check(server(ROOTS));
    }
}

#[test]
fn workers_that_a_hook_gives_to_another_user_log_where_root_alone_may_write() {
    if is_root() {
        let hook = "File.chmod(0755, there)\nafter_fork { |_, worker| worker.user('nobody') }";
        check(server(hook));
    }
}

#[test]
fn workers_in_a_ruby_of_their_own_log() {
    let user = if is_root() { ROOTS } else { "" };
    check(server(&format!("worker_exec true\n{user}")));
}

#[test]
fn a_reload_and_an_upgrade_in_place_lose_no_line() {
    let user = if is_root() { ROOTS } else { "" };
    let mut server = server(&format!("upgrade :in_place\n{user}"));
    let loads = load(&server);
    let mut number = 0;
    let mut rotates = || {
        loads[0].go_on_for(PAUSE);
        rotate(&server, number);
        number += 1;
    };
    for command in ["upgrade", "reload", "upgrade"] {
        rotates();
        let finished = server.ctl([command, "--wait"]);
        assert_eq!(finished.code(), 0, "{finished:#?}");
        rotates();
    }
    let by_worker = assert_complete(&mut server, loads);
    let generations: BTreeSet<i64> = by_worker.keys().map(|(generation, _)| *generation).collect();
    assert_eq!(generations.len(), 4, "{by_worker:?}");
}

#[test]
fn the_rules_for_logrotate_lose_no_line() {
    let mut server = server("");
    let directory = server.directory().display().to_string();
    let init = |kind| testkit::process::licorne(["init", kind, "--directory", &directory]);
    server.write("rules", &init("logrotate").stdout.replace("tmp/pids/licorne.pid", "server.pid"));
    let loads = load(&server);
    for _ in 0..ROTATIONS {
        loads[0].go_on_for(PAUSE);
        let mark = server.mark();
        // logrotate trusts only rules and directories that no other user may write.
        let script = "chmod 0644 rules; chmod 0755 log; exec logrotate -f -s state rules";
        let finished = run(Command::new("sh").args(["-ec", script]).current_dir(server.directory()), patience());
        assert_eq!(finished.code(), 0, "{finished:#?}");
        wait_for_workers(&server, mark);
    }
    assert!(server.file(&format!("log/access.log.{ROTATIONS}.gz")).exists());
    assert_complete(&mut server, loads);
}
