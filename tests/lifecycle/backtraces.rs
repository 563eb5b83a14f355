//! Promise: `licorne backtrace` tells where each thread of each worker is, of busy and of idle ones, without a stop and
//! without a request that fails; of a worker that cannot tell, it tells why.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use testkit::fifo::Fifo;
use testkit::process::{Finished, signal};
use testkit::{App, Connection, Gate, Request, Server, patience, procfs};

/// Each path but `/` says on the FIFO `told` that it has begun, waits in its own way, and ends when it reads from the FIFO
/// `gate`.
const WAITING: &str = r##"
require "fiddle"

GATE = File.join(ENV.fetch("TEST_DIR"), "gate")

def tell = File.write(File.join(ENV.fetch("TEST_DIR"), "told"), "#{Process.pid}\n")

# Ends the wait of the main thread from another one.
def when_the_gate_opens(&deed) = Thread.new { File.open(GATE, "r+") { |gate| gate.gets }; deed.call }

def sleep_in_ruby
  open = false
  waker = when_the_gate_opens do
    open = true
    loop { Thread.main.wakeup; sleep 0.05 }
  end
  tell
  sleep until open
  waker.kill
end

def spin_in_ruby
  open = false
  when_the_gate_opens { open = true }
  tell
  nil until open
end

def block_in_io
  tell
  File.open(GATE, "r+") { |gate| gate.gets }
end

def function(name, arguments, result)
  Fiddle::Function.new(Fiddle.dlopen(nil)[name], arguments, result, need_gvl: true)
end

# Waits in C, with Ruby's lock held and deaf to signals, for a thread that is none of Ruby's, and that reads.
def wait_in_c
  gate = function("fopen", [Fiddle::TYPE_VOIDP] * 2, Fiddle::TYPE_VOIDP).call(GATE, "r+")
  thread = "\0".b * 8
  create = function("pthread_create", [Fiddle::TYPE_VOIDP] * 4, Fiddle::TYPE_INT)
  create.call(thread, nil, Fiddle.dlopen(nil)["fgetc"], gate)
  tell
  function("pthread_join", [Fiddle::TYPE_UINTPTR_T, Fiddle::TYPE_VOIDP], Fiddle::TYPE_INT).call(thread.unpack1("J"), nil)
  function("fclose", [Fiddle::TYPE_VOIDP], Fiddle::TYPE_INT).call(gate)
end

def wait_in_a_thread(begun)
  begun << true
  sleep
end

def descend(depth) = depth.zero? ? block_in_io : descend(depth - 1)

run lambda { |env|
  case env["PATH_INFO"]
  when "/sleep" then sleep_in_ruby
  when "/spin" then spin_in_ruby
  when "/io" then block_in_io
  when "/c" then wait_in_c
  when "/deep" then descend(1_000)
  when "/threads"
    begun = Queue.new
    threads = Array.new(2) { |n| Thread.new { wait_in_a_thread(begun) }.tap { |thread| thread.name = "thread-#{n}\e" } }
    2.times { begun.pop }
    block_in_io
    threads.each(&:kill)
  end
  [200, {}, [Process.pid.to_s]]
}
"##;

/// A server with `WAITING`, and its two FIFOs.
struct Waiting {
    server: Server,
    told: Fifo,
    gate: Fifo,
}

impl Waiting {
    #[track_caller]
    fn start(workers: u32) -> Waiting {
        let server = Server::builder().app(App::rackup(WAITING)).workers(workers).start();
        let [told, gate] = ["told", "gate"].map(|name| Fifo::create(server.file(name)));
        Waiting { server, told, gate }
    }

    /// Begins a request, and returns its connection and the process that serves it.
    #[track_caller]
    fn begin(&mut self, path: &str) -> (Connection, u32) {
        let mut connection = self.server.connect();
        connection.send(Request::get(path).close().bytes());
        let told = self.told.line(patience()).expect("no worker took the request");
        (connection, told.parse().expect("a pid"))
    }

    /// Lets a request end: it was neither stopped nor disturbed.
    #[track_caller]
    fn end(&mut self, (mut connection, worker): (Connection, u32)) {
        self.gate.tell("");
        assert_eq!(connection.receive().text(), worker.to_string());
    }
}

#[track_caller]
fn answers<const N: usize>(server: &Server, arguments: [&str; N]) -> Vec<Value> {
    parse(&server.ctl(arguments))
}

#[track_caller]
fn parse(finished: &Finished) -> Vec<Value> {
    assert_eq!(finished.code(), 0, "{finished:?}");
    serde_json::from_str(&finished.stdout).expect("JSON")
}

/// The answer of this process.
#[track_caller]
fn of(answers: &[Value], pid: u32) -> &Value {
    answers.iter().find(|answer| answer["pid"] == pid).unwrap_or_else(|| panic!("no {pid} in {answers:#?}"))
}

/// Checks where the worker is that serves `path`: what its main thread does, and that it goes on doing so.
#[track_caller]
fn check(path: &str, told: &[&str]) {
    let mut waiting = Waiting::start(2);
    let request = waiting.begin(path);
    let all = answers(&waiting.server, ["backtrace", "--json"]);
    assert_eq!(all.len(), 2);
    let busy = of(&all, request.1);
    assert_eq!((&busy["state"], &busy["request"]["line"]), (&"busy".into(), &format!("GET {path}").into()));
    let text = busy["text"].as_str().unwrap_or_else(|| panic!("{busy:#}"));
    let mut rest = text.lines();
    for pattern in told {
        assert!(rest.any(|line| testkit::output::matches(pattern, line)), "{pattern} in its place in {text}");
    }
    let idle = all.iter().find(|answer| answer["pid"] != request.1).expect("another worker");
    assert_eq!((&idle["state"], &idle["request"]), (&"idle".into(), &Value::Null));
    let text = idle["text"].as_str().unwrap_or_else(|| panic!("{idle:#}"));
    assert!(text.starts_with("main thread\n") && text.contains("worker_process.rb"), "{text}");
    waiting.end(request);
    waiting.server.stop();
}

#[test]
fn a_worker_that_sleeps_in_ruby_tells_where() {
    check("/sleep", &["main thread", "*config.ru:*sleep*", "*config.ru:*sleep_in_ruby*", "*worker_process.rb*"]);
}

#[test]
fn a_worker_that_is_busy_in_ruby_tells_where() {
    check("/spin", &["main thread", "*config.ru:*spin_in_ruby*", "*worker_process.rb*", "#<Thread:*config.ru:*"]);
}

#[test]
fn a_worker_that_waits_for_io_tells_where() {
    check("/io", &["main thread", "*config.ru:*gets*", "*config.ru:*block_in_io*", "*worker_process.rb*"]);
}

#[test]
fn each_thread_is_told() {
    let thread = |number: u32| format!("#<Thread:*thread-{number}\\x1b*sleep*");
    let frame = "*config.ru:*wait_in_a_thread*";
    check("/threads", &["main thread", "*block_in_io*", &thread(0), frame, &thread(1), frame]);
}

#[test]
fn of_a_deep_backtrace_both_ends_are_told() {
    check("/deep", &["*block_in_io*", "*descend*", "  ... * more", "*descend*", "*worker_process.rb*"]);
}

#[test]
fn a_worker_that_keeps_rubys_lock_is_told_as_one_that_does_not_answer() {
    let mut waiting = Waiting::start(2);
    let request = waiting.begin("/c");
    let all = answers(&waiting.server, ["backtrace", "--json"]);
    let silent = of(&all, request.1);
    assert_eq!((&silent["text"], &silent["request"]["line"]), (&Value::Null, &"GET /c".into()), "{silent:#}");
    let why = silent["missing"].as_str().expect("a reason");
    assert!(why.starts_with("it did not answer within 5 s: ") && why.contains("; its main thread waits"), "{why}");
    assert!(all.iter().any(|answer| answer["text"].is_string()), "the other one answers: {all:#?}");
    // It answers when that is over, and is not taken for a liar.
    waiting.end(request);
    assert_eq!(waiting.server.get("/").status, 200);
    assert!(answers(&waiting.server, ["backtrace", "--json"]).iter().all(|answer| answer["text"].is_string()));
    assert_eq!(waiting.server.log().since(testkit::output::Mark::default(), "died").len(), 0);
    waiting.server.stop();
}

#[test]
fn a_worker_that_dies_while_it_is_asked_is_not_awaited() {
    let mut waiting = Waiting::start(1);
    let (connection, worker) = waiting.begin("/io");
    // Ruby sends its threads other signals.
    let is_asked = || {
        let pending = u64::from_str_radix(procfs::status(worker, "ShdPnd")?.trim(), 16).ok()?;
        (pending & 1 << (Signal::URG.as_raw() - 1) != 0).then_some(())
    };
    signal(worker, Signal::STOP).expect("it lives");
    let begun = Instant::now();
    let finished = std::thread::scope(|scope| {
        let finished = scope.spawn(|| waiting.server.ctl(["backtrace", "0"]));
        waiting.server.eventually("a question", is_asked);
        signal(worker, Signal::KILL).expect("it is there");
        finished.join().expect("no panic")
    });
    assert_eq!(finished.code(), 0, "{finished:?}");
    let late = begun.elapsed() > Duration::from_secs(5);
    assert!(late || finished.stdout.ends_with("no backtrace: it has ended\n"), "{finished:?}");
    drop(connection);
    waiting.server.wait_for(testkit::output::Mark::default(), "died: SIGKILL");
    waiting.server.stop();
}

#[test]
fn a_worker_that_boots_tells_where() {
    let app = "def load_everything = File.open(File.join(ENV.fetch('TEST_DIR'), 'gate'), 'r+') { |gate| gate.gets }\n\
               load_everything\nrun ->(env) { [200, {}, []] }\n";
    let server = Server::builder().app(App::rackup(app));
    let config = "before_fork { |_, _| path = File.join(ENV.fetch('TEST_DIR'), 'gate'); File.mkfifo(path) unless File.exist?(path) }";
    let mut server = server.config(config).launch();
    let told = server.eventually("a worker that boots", || {
        let finished = server.ctl(["backtrace", "0"]);
        finished.stdout.contains("load_everything").then_some(finished.stdout)
    });
    assert!(told.starts_with("worker=0 gen=1 pid=") && told.contains(" booting\nmain thread\n"), "{told}");
    std::fs::write(server.file("gate"), "\n").expect("it is read");
    server.wait_for(testkit::output::Mark::default(), "worker=0*ready");
    server.stop();
}

#[test]
fn one_worker_or_all_are_asked_and_a_number_without_a_worker_is_an_error() {
    let mut server = Server::builder().workers(3).start();
    let slots = |answers: Vec<Value>| answers.iter().map(|answer| answer["slot"].as_u64()).collect::<Vec<_>>();
    assert_eq!(slots(answers(&server, ["backtrace", "-j"])), [Some(0), Some(1), Some(2)]);
    assert_eq!(slots(answers(&server, ["backtrace", "1", "--json"])), [Some(1)]);
    let text = server.ctl(["backtrace"]).stdout;
    let heads: Vec<&str> = text.lines().filter(|line| line.starts_with("worker=")).collect();
    assert_eq!(heads.len(), 3, "{text}");
    assert!(heads[2].starts_with("worker=2 gen=1 pid=") && heads[2].ends_with(" idle"), "{text}");
    let unknown = server.ctl(["backtrace", "7"]);
    assert_eq!((unknown.code(), unknown.stdout.as_str()), (1, ""), "{unknown:?}");
    assert!(unknown.stderr.contains("there is no worker 7: there are 0 to 2"), "{unknown:?}");
    server.stop();
}

#[test]
fn several_ask_at_once() {
    let mut server = Server::builder().workers(2).start();
    std::thread::scope(|scope| {
        let asked = [(); 6].map(|()| scope.spawn(|| server.ctl(["backtrace", "--json"])));
        for answers in asked.map(|thread| parse(&thread.join().expect("no panic"))) {
            assert!(answers.len() == 2 && answers.iter().all(|answer| answer["text"].is_string()), "{answers:#?}");
        }
    });
    server.stop();
}

#[test]
fn no_request_fails_while_workers_are_asked() {
    let mut server = Server::builder().workers(2).start();
    let before: Vec<u32> = server.workers().iter().map(|worker| worker.pid).collect();
    let load = server.load().clients(4).start();
    for _ in 0..20 {
        let told = answers(&server, ["backtrace", "--json"]);
        assert!(told.iter().all(|answer| answer["text"].is_string()), "{told:#?}");
    }
    load.stop().assert_no_failure();
    // A signal alone means nothing.
    for worker in &before {
        signal(*worker, Signal::URG).expect("it lives");
    }
    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.workers().iter().map(|worker| worker.pid).collect::<Vec<_>>(), before);
    server.stop();
}

#[test]
fn workers_are_asked_after_an_upgrade_in_place() {
    let mut server = Server::builder().workers(1).config("upgrade :in_place").start();
    let mut gate = Gate::new(&server);
    assert!(answers(&server, ["backtrace", "--json"])[0]["text"].is_string());
    let held = gate.hold(&server);
    let mark = server.mark();
    assert_eq!(server.ctl(["upgrade"]).code(), 0);
    server.wait_for(mark, "has taken over");
    // The worker of the program before has not lost its request, and answers the new one.
    let told = server.eventually("two workers", || {
        let told = answers(&server, ["backtrace", "--json"]);
        (told.len() == 2).then_some(told)
    });
    assert!(of(&told, held.worker)["text"].as_str().is_some_and(|text| text.contains("plain.rb")), "{told:#?}");
    assert_eq!(gate.release(held).status, 200);
    server.wait_for(mark, "done reloading");
    server.stop();
}

#[test]
fn a_worker_tells_what_it_serves_and_hides_secrets() {
    let mut server = Server::builder().workers(1).start();
    let mut gate = Gate::new(&server);
    let request = Request::get("/wait").field("Authorization", "Basic YWxpY2U6c2VjcmV0").field("X-Api-Key", "hush");
    let held = gate.hold_request(&server, request);
    let finished = server.ctl(["backtrace", "0"]);
    for line in [
        "request",
        "  user: alice",
        "  REMOTE_ADDR: 127.0.0.1",
        "  HTTP_AUTHORIZATION: (hidden)",
        "  HTTP_X_API_KEY: (hidden)",
        "connections",
        "  127.0.0.1 in the application",
    ] {
        assert!(finished.stdout.lines().any(|told| told == line), "{line}: {finished:#?}");
    }
    gate.release(held);
    server.stop();
}
