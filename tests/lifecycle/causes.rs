//! Promise: each death of a worker, a mold and the admin process is remembered with its cause, the request and its age, and
//! `licorne deaths` tells it, also after an upgrade in place.

use std::process::Command;

use facts::{Cause, Death, Doing, Kind};
use rustix::process::Signal;
use testkit::process::{run, signal};
use testkit::{App, Builder, MemoryGroup, Request, Server};

/// An application that ends its worker in several ways.
const DEADLY: &str = r##"
require "fiddle"

run lambda { |env|
  case env["PATH_INFO"]
  when "/exit" then exit(env["QUERY_STRING"] == "0" ? 0 : 7)
  when "/exit!" then exit!(3)
  when "/thread"
    Thread.new { Thread.current.abort_on_exception = true; sleep 0.1; raise "in a thread" }
    [200, {}, []]
  when "/later"
    Thread.new { sleep 0.1; exit!(0) }
    [200, {}, []]
  when "/fault" then Fiddle::Pointer.new(8)[0]
  when "/own" then Process.kill(:ABRT, $$) && sleep
  when "/own-kill" then Process.kill(:KILL, $$) && sleep
  when "/other"
    Process.kill(:ABRT, Integer(env["QUERY_STRING"]))
    [200, {}, []]
  when "/leak"
    held = []
    loop { held << ("x" * 1_000_000) }
  when "/overflow"
    deep = Fiddle.dlopen(File.join(ENV.fetch("TEST_DIR"), "deep.so"))["in_a_thread"]
    Fiddle::Function.new(deep, [], Fiddle::TYPE_VOID).call
  when "/pid" then [200, {}, ["#{$$}"]]
  else sleep
  end
}
"##;

/// C that calls itself until the stack is used up, in a thread that Ruby does not know.
const DEEP: &str = "
#include <pthread.h>
static int deeper(volatile int *above) { volatile int here = *above; return deeper(&here) + here; }
static void *begin(void *nothing) { volatile int start = 0; return (void *)(long)deeper(&start); }
void in_a_thread(void) { pthread_t thread; pthread_create(&thread, 0, begin, 0); pthread_join(thread, 0); }
";

fn builder() -> Builder {
    Server::builder().app(App::rackup(DEADLY)).workers(1)
}

fn deaths(server: &Server) -> Vec<Death> {
    serde_json::from_str(&server.ctl(["deaths", "--json"]).stdout).expect("JSON")
}

/// The newest death, once there are so many.
#[track_caller]
fn newest(server: &Server, count: usize) -> Death {
    server.eventually(&format!("{count} deaths"), || {
        let mut deaths = deaths(server);
        (deaths.len() == count).then(|| deaths.remove(0))
    })
}

/// Asks, gets no response, and returns the death of the worker.
#[track_caller]
fn die(server: &Server, path: &str, count: usize) -> Death {
    assert_eq!(server.connect().request_raw(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")), b"", "{path}");
    let death = newest(server, count);
    assert_eq!(death.request.as_deref(), Some(format!("GET {path}").as_str()), "{death:#?}");
    assert_eq!((death.kind, death.slot, death.generation), (Kind::Worker, Some(0), Some(1)), "{death:#?}");
    assert_eq!(death.doing, Some(Doing::Request), "{death:#?}");
    assert!(death.age_ms.is_some() && death.at > 1.7e9 && death.pid > 1, "{death:#?}");
    death
}

#[test]
fn a_death_in_a_request_is_remembered_with_its_cause() {
    let mut server = builder().start();
    server.write("deep.c", DEEP);
    let mut compiler = Command::new("cc");
    compiler.args(["-O0", "-shared", "-fPIC", "-pthread", "-o"]).arg(server.file("deep.so")).arg(server.file("deep.c"));
    assert_eq!(run(&mut compiler, testkit::patience()).code(), 0);
    let told = [
        ("/exit?a=b", Cause::Exit, "exit status 7"),
        ("/exit?0", Cause::Exit, "exit status 0"),
        ("/exit!", Cause::Exit, "exit status 3"),
        ("/fault", Cause::Fault, "SIGSEGV by a fault of its own (see Ruby's [BUG] report in the log)"),
        // No stack is left on which the worker could note it.
        ("/overflow", Cause::Fault, "SIGSEGV"),
        ("/own", Cause::Raised, "SIGABRT raised by itself"),
        // The kernel tells of no SIGKILL where it is from.
        ("/own-kill", Cause::Sent, "SIGKILL, which the master did not send"),
    ];
    for (count, (path, cause, text)) in told.into_iter().enumerate() {
        let death = die(&server, path, count + 1);
        assert_eq!((death.cause, death.text.as_str()), (cause, text), "{path}");
    }
    let status: facts::Status = serde_json::from_str(&server.ctl(["status", "--json"]).stdout).expect("JSON");
    let counted = [Cause::Exit, Cause::Fault, Cause::Raised, Cause::Sent].map(|cause| status.deaths.of(cause));
    assert_eq!((status.deaths.total, counted), (7, [3, 2, 1, 1]));
    let lines = server.ctl(["deaths", "-n", "2"]).stdout;
    let lines: Vec<&str> = lines.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].contains("sent: SIGKILL") && lines[1].contains("in \"GET /own\""),
        "{lines:#?}"
    );
    server.stop();
}

#[test]
fn a_death_from_outside_is_remembered_with_its_cause() {
    let mut server = builder().workers(2).start();
    let [sender, victim] = [0, 1].map(|slot| server.workers()[slot].pid);
    let own = std::process::id();
    for (count, name, text) in [
        (1, Signal::KILL, "SIGKILL, which the master did not send".to_string()),
        (2, Signal::ABORT, format!("SIGABRT sent by pid={own} uid={}", rustix::process::getuid().as_raw())),
    ] {
        let mark = server.mark();
        let slot = if count == 1 { 0 } else { 1 };
        signal(if count == 1 { sender } else { victim }, name).expect("it is there");
        let death = newest(&server, count);
        assert_eq!((death.cause, death.text, death.doing), (Cause::Sent, text, Some(Doing::Idle)));
        assert_eq!((death.request, death.age_ms), (None, None));
        server.wait_for(mark, &format!("worker={slot} ready"));
    }
    // One worker ends the other: the one that keeps this connection.
    let mut connection = server.connect();
    let sender: u32 = connection.request(&Request::get("/pid")).text().parse().expect("a pid");
    let victim = server.workers().into_iter().map(|worker| worker.pid).find(|pid| *pid != sender).expect("the other");
    assert_eq!(connection.request(&Request::get(&format!("/other?{victim}"))).status, 200);
    let death = newest(&server, 3);
    assert_eq!((death.pid, death.cause), (victim, Cause::Sent), "{death:#?}");
    assert!(death.text.starts_with(&format!("SIGABRT sent by pid={sender} ")), "{death:#?}");
    server.stop();
}

#[test]
fn a_request_that_outlives_the_timeout_is_remembered_with_its_age() {
    let mut server = builder().config("timeout 3").start();
    let death = die(&server, "/hold", 1);
    assert_eq!((death.cause, death.text.as_str()), (Cause::Timeout, "killed by the master: request timeout"));
    assert!(death.age_ms >= Some(3_000), "{death:#?}");
    let backtrace = death.backtrace.as_deref().expect("it was asked before");
    assert!(backtrace.starts_with("main thread\n") && backtrace.contains("sleep"), "{backtrace}");
    let text = server.ctl(["deaths"]).stdout;
    assert!(text.contains("main thread"), "{text}");
    server.stop();
}

#[test]
fn the_deaths_of_the_mold_and_of_the_admin_process_are_remembered() {
    let mut server = builder().config("admin_listen File.join(ENV.fetch('TEST_DIR'), 'admin.sock')").start();
    let mold = server.titled("mold")[0];
    signal(mold, Signal::KILL).expect("it is there");
    let death = newest(&server, 1);
    assert_eq!((death.kind, death.pid, death.generation), (Kind::Mold, mold, Some(1)));
    assert_eq!((death.cause, death.doing, death.slot), (Cause::Sent, Some(Doing::Idle), None));
    let admin = server.eventually("the admin process", || server.titled("admin").first().copied());
    signal(admin, Signal::KILL).expect("it is there");
    let death = newest(&server, 2);
    assert_eq!((death.kind, death.pid, death.generation, death.cause), (Kind::Admin, admin, None, Cause::Sent));
    server.stop();
}

#[test]
fn leaving_when_told_to_is_no_death_and_leaving_by_itself_is_one() {
    let mut server = builder().workers(2).start();
    assert_eq!(server.ctl(["reload", "--wait"]).code(), 0);
    let mark = server.mark();
    signal(server.workers()[0].pid, Signal::QUIT).expect("it is there");
    server.wait_for(mark, "worker=0 ready");
    server.signal(Signal::TTOU);
    server.eventually("one worker", || (server.workers().len() == 1).then_some(()));
    assert_eq!(deaths(&server), []);
    for (count, (path, text)) in [("/later", "exit status 0"), ("/thread", "exit status 1")].into_iter().enumerate() {
        assert_eq!(server.get(path).status, 200);
        let death = newest(&server, count + 1);
        assert_eq!((death.cause, death.text.as_str()), (Cause::Exit, text), "{path}");
        assert_eq!((death.doing, death.request), (Some(Doing::Idle), None), "{path}");
    }
    server.stop();
}

#[test]
fn deaths_and_reloads_are_remembered_over_an_upgrade_in_place() {
    let mut server = builder().preload(true).config("upgrade :in_place").start();
    let death = die(&server, "/exit!", 1);
    server.write("app/config.ru", "raise 'no such table'");
    assert_eq!(server.ctl(["reload", "--wait"]).code(), 1);
    server.write("app/config.ru", DEADLY);
    assert_eq!(server.ctl(["upgrade", "--wait"]).code(), 0);
    assert_eq!(deaths(&server), [death]);
    let status: facts::Status = serde_json::from_str(&server.ctl(["status", "--json"]).stdout).expect("JSON");
    assert_eq!((status.deaths.total, status.deaths.of(Cause::Exit)), (1, 1));
    let reloads = status.reloads;
    assert_eq!((reloads.succeeded, reloads.failed, reloads.recent.len()), (1, 1, 2), "{reloads:#?}");
    let failed = &reloads.recent[1];
    assert!(failed.failure.as_deref().is_some_and(|why| why.contains("no such table")), "{reloads:#?}");
    assert!(reloads.recent.iter().all(|reload| reload.duration_ms.is_some()), "{reloads:#?}");
    server.stop();
}

#[test]
fn a_worker_that_the_kernel_kills_for_lack_of_memory_is_remembered_as_that() {
    let Some(group) = MemoryGroup::limited(256 << 20) else { return };
    let mut server = builder().within(&group).start();
    let death = die(&server, "/leak", 1);
    assert_eq!((death.cause, death.text.as_str()), (Cause::Oom, "killed by the kernel: out of memory"));
    assert!(death.peak_rss_bytes > Some(64 << 20), "{death:#?}");
    server.stop();
}
