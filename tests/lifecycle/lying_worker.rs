//! Promise: what a worker says is a claim. One that lies to its master, or to other workers, loses its own requests at most:
//! the others serve on, the master hears, answers and ends, and nothing of root's is touched.
//!
//! The lies are those of `lying_worker/app.ru`. As root the application runs as another user.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Child, Command};
use std::time::Instant;

use rustix::process::Signal;
use testkit::{App, Request, Server, patience, process, procfs};

/// What the log may have in the end, in bytes, and how much the master may have grown.
const MOST_LOGGED: usize = 400_000;
const MOST_GROWN_KIB: u64 = 20_000;

const BROKEN: &str = "broke the protocol: ";

/// What is not a worker's to say, or not then, and what is said of it.
const PROTOCOL: &[(&str, &str)] = &[
    ("forked-again", "unexpected message of kind 16"),
    ("forked-names-another", "message has 4 bytes left over"),
    ("forked-of-version-1", "message of version 1"),
    ("ready-again", "unexpected message of kind 14"),
    ("failed-while-it-serves", "unexpected message of kind 15"),
    ("settings-of-a-mold", "unexpected message of kind 11"),
    ("environment-of-a-mold", "unexpected message of kind 12"),
    ("fork-failed-of-a-mold", "unexpected message of kind 13"),
    ("logs-of-a-mold", "unexpected message of kind 9"),
    ("boot-of-a-master", "unexpected message of kind 1"),
    ("retire-of-a-master", "unexpected message of kind 10"),
    ("pid-path-of-a-master", "unexpected message of kind 6"),
    ("log-of-a-master", "unexpected message of kind 8"),
];

const NONSENSE: &[(&str, &str)] = &[
    ("unknown-kind", "unexpected message of kind 99"),
    ("future-version", "message of version 255"),
    ("nothing", "message is cut short"),
    ("one-byte", "message is cut short"),
    ("cut-short", "message is cut short"),
    ("length-without-end", "message is cut short"),
    ("no-text", "text is not UTF-8"),
    ("left-over", "message has 1000 bytes left over"),
    ("too-long", "message of 150002 bytes"),
];

const AMOUNTS: &[(&str, &str)] = &[
    ("descriptors", "message with descriptors"),
    ("a-socket-that-lingers", "message with descriptors"),
    ("sockets-that-linger-and-an-end", ""),
    ("a-flood-of-words", "messages without end"),
    ("a-flood-of-backtraces", "messages without end"),
    ("a-flood-of-a-child", "messages without end"),
];

const SILENCE: &[(&str, &str)] = &[
    ("a-closed-socket", "has closed its control socket and lives on"),
    ("a-socket-that-is-shut", "has closed its control socket and lives on"),
];

const OTHERS: &[(&str, &str)] = &[
    ("queue-garbage", ""),
    ("queue-nothing", ""),
    ("queue-no-connection", ""),
    ("queue-four-gigabytes", ""),
    ("queue-body-without-end", ""),
    ("queue-part-without-end", ""),
    ("queue-connections-that-linger", ""),
    ("queue-leftovers", ""),
    ("memory-of-nonsense", ""),
    ("memory-of-ones", ""),
    ("a-board-that-is-cut", ""),
    ("backtraces-unasked", ""),
    ("false-backtraces", ""),
    ("exit-255", "exit status 255"),
    ("exit-0", ""),
    ("a-signal", "SIGKILL"),
    ("signals-to-the-master", ""),
];

struct Liars {
    server: Server,
    /// A process that a lie names.
    bystander: Child,
    /// Connections to it are taken, and nothing is read from them.
    _silent: TcpListener,
    rss_kib: u64,
}

impl Liars {
    fn start(workers: u32) -> Self {
        let root = rustix::process::geteuid().is_root();
        let user = if root { "user 'nobody', 'nogroup'" } else { "" };
        let bystander = Command::new("sleep").arg("1000").spawn().expect("it starts");
        // The directory of a test is its owner's alone.
        let config = format!("File.chmod(0755, ENV.fetch('TEST_DIR'))\n{user}\ntimeout 30");
        let silent = TcpListener::bind("127.0.0.1:0").expect("it is free");
        let port = silent.local_addr().expect("it is bound").port();
        let builder = Server::builder().app(App::rackup(include_str!("lying_worker/app.ru"))).workers(workers);
        let builder = builder.env("BYSTANDER", &bystander.id().to_string()).env("SILENT_PORT", &port.to_string());
        let server = builder.config(&config).file("secret", "precious").start();
        std::fs::set_permissions(server.file("secret"), PermissionsExt::from_mode(0o600)).expect("it is there");
        let rss_kib = procfs::memory(server.pid()).rss_kib;
        Self { server, bystander, _silent: silent, rss_kib }
    }

    /// Has a worker tell a lie. What it answers, if it does, is its own affair.
    fn tell(&self, name: &str) {
        let mut connection = self.server.connect();
        connection.send(Request::get(&format!("/lie/{name}")).close().bytes());
        let _ = connection.try_receive("GET", Instant::now() + patience());
    }

    #[track_caller]
    fn check(&self, name: &str, said: &str) {
        let mark = self.server.mark();
        self.tell(name);
        if !said.is_empty() {
            self.server.wait_for(mark, said);
        }
        if said.starts_with(BROKEN) {
            self.server.wait_for(mark, "died: killed by the master: it broke the protocol");
        }
        for _ in 0..4 {
            assert_eq!(self.server.get("/").status, 200, "{name}");
        }
        let status = self.server.ctl(["status"]);
        assert_eq!(status.code(), 0, "{name}: {status:?}");
    }

    /// The server is as it was, does what it is told, and ends.
    #[track_caller]
    fn finish(self) {
        self.server.wait_for_slots(&[0, 1, 2]);
        let grown = procfs::memory(self.server.pid()).rss_kib.saturating_sub(self.rss_kib);
        assert!(grown < MOST_GROWN_KIB, "the master has grown by {grown} KiB");
        let logged = self.server.log().text().len();
        assert!(logged < MOST_LOGGED, "{logged} bytes were logged");
        let mark = self.server.mark();
        self.server.signal(Signal::HUP);
        self.server.wait_for(mark, "done reloading");
        assert_eq!(self.server.get("/").status, 200);
        let secret = self.server.file("secret");
        let meta = std::fs::metadata(&secret).expect("it is there");
        assert_eq!(std::fs::read_to_string(&secret).expect("it can be read"), "precious");
        assert_eq!((meta.uid(), meta.mode() & 0o7777), (rustix::process::geteuid().as_raw(), 0o600));
        self.stop();
    }

    #[track_caller]
    fn stop(mut self) {
        self.server.signal(Signal::QUIT);
        assert!(self.server.wait_for_exit().success(), "a stop ends");
        assert!(self.bystander.try_wait().expect("it is a child").is_none(), "a process that was named is gone");
        self.bystander.kill().expect("it lives");
        self.bystander.wait().expect("it is a child");
        self.server.assert_nothing_is_left();
    }
}

#[track_caller]
fn check_all(lies: &[(&str, &str)], prefix: &str) {
    let liars = Liars::start(3);
    for (name, said) in lies {
        let said = if said.is_empty() { String::new() } else { format!("{prefix}{said}") };
        liars.check(name, &said);
    }
    liars.finish();
}

#[test]
fn a_worker_that_says_what_is_not_its_to_say_is_ended_and_replaced() {
    check_all(PROTOCOL, BROKEN);
}

#[test]
fn a_worker_that_talks_nonsense_is_ended_and_replaced() {
    check_all(NONSENSE, BROKEN);
}

#[test]
fn the_master_neither_reads_nor_awaits_what_a_worker_sends_too_much() {
    check_all(AMOUNTS, BROKEN);
}

#[test]
fn a_worker_that_closes_its_control_socket_finishes_its_request_and_is_replaced() {
    check_all(SILENCE, "");
    let liars = Liars::start(3);
    assert_eq!(liars.server.get("/lie/a-closed-socket").status, 200, "its request was begun");
    liars.finish();
}

#[test]
fn a_worker_can_do_no_harm_to_others() {
    check_all(OTHERS, "");
}

#[test]
fn a_worker_writes_on_no_seat_but_its_own() {
    let liars = Liars::start(3);
    let liar: u32 =
        String::from_utf8(liars.server.get("/lie/memory-of-ones").body).expect("text").parse().expect("a pid");
    let status = liars.server.ctl(["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).expect("JSON");
    let workers = status["workers"].as_array().expect("a list");
    assert_eq!(workers.len(), 3);
    for worker in workers {
        let of_liar = worker["pid"] == liar;
        let requests = worker["requests"].as_u64().expect("a number");
        assert_eq!(requests > 1_000_000, of_liar, "{status:#}");
        assert!(of_liar || worker["request"].is_null(), "{status:#}");
    }
    liars.finish();
}

#[test]
fn a_worker_answers_for_itself_alone_and_no_terminal_acts_on_its_words() {
    let liars = Liars::start(3);
    let liar: u32 =
        String::from_utf8(liars.server.get("/lie/false-backtraces").body).expect("text").parse().expect("a pid");
    let json = liars.server.ctl(["backtrace", "--json"]).stdout;
    let told: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    for worker in told.as_array().expect("a list") {
        let text = worker["text"].as_str().unwrap_or_else(|| panic!("{worker:#}"));
        assert_eq!(text.starts_with("\u{1b}[2J"), worker["pid"] == liar, "{worker:#}");
    }
    let text = liars.server.ctl(["backtrace"]).stdout;
    assert!(text.contains("\\x1b[2J") && [&json, &text].iter().all(|told| !told.contains(['\u{1b}', '\u{202e}'])));
    liars.finish();
}

#[test]
fn a_stop_waits_for_no_connection_that_is_left_in_the_queue() {
    let liars = Liars::start(1);
    liars.tell("queue-leftovers");
    liars.stop();
}

#[test]
fn each_lie_is_told() {
    let mut server = Server::builder().app(App::rackup(include_str!("lying_worker/app.ru"))).start();
    let told = String::from_utf8(server.get("/lies").body).expect("names");
    let told: BTreeSet<&str> = told.split(' ').collect();
    let lists = [PROTOCOL, NONSENSE, AMOUNTS, SILENCE, OTHERS];
    let checked: BTreeSet<&str> = lists.into_iter().flatten().map(|(name, _)| *name).collect();
    assert_eq!(told, checked);
    server.stop();
}

/// A mold that hangs in a hook while `stuck` is there. When `deaf` is, it closes its control socket, and lives on.
const SILENT_MOLD: &str = r##"
boot_timeout 5
there = ENV.fetch("TEST_DIR")
before_fork { |_, _| sleep 0.1 while File.exist?("#{there}/stuck") }
mold, deaf = Process.pid, false
at_exit { sleep if deaf && Process.pid == mold }
Thread.new do
  sleep 0.1 until File.exist?("#{there}/deaf")
  File.delete("#{there}/deaf")
  deaf = true
  # Those of the workers that it has forked are closed here.
  open = ObjectSpace.each_object(Licorne::Native::Control).filter_map { |control| control.fileno rescue nil }
  IO.for_fd(open.first).close
end
"##;

#[test]
fn a_mold_that_does_not_fork_is_replaced_and_keeps_no_stop_waiting() {
    let mut server = Server::builder().workers(2).config(SILENT_MOLD).start();
    let mark = server.mark();
    server.write("stuck", "");
    process::signal(server.workers()[0].pid, Signal::KILL).expect("it lives");
    server.wait_for(mark, "forks no workers; killing it");
    std::fs::remove_file(server.file("stuck")).expect("it is there");
    server.wait_for(mark, "worker=0 ready");
    server.write("stuck", "");
    let mark = server.mark();
    server.signal(Signal::TTIN);
    server.wait_for(mark, "forks no workers; killing it");
    assert_eq!(server.get("/").status, 200);
    server.signal(Signal::QUIT);
    assert!(server.wait_for_exit().success(), "a stop ends");
}

#[test]
fn a_mold_that_closes_its_control_socket_is_replaced() {
    let mut server = Server::builder().workers(2).config(SILENT_MOLD).start();
    let mark = server.mark();
    server.write("deaf", "");
    server.wait_for(mark, "cannot be reached, killing");
    server.wait_for(mark, "mold gen=2 is ready");
    server.signal(Signal::TTIN);
    server.wait_for(mark, "worker=2 ready");
    server.stop();
}
