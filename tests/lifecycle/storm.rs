//! Promise: whatever happens to a server, and whatever is done to it, each response is the whole answer to the request of
//! its client, no request is served twice, and only those are lost that a process which was killed had in its hands.
//!
//! A seed stands for what the clients ask and for what befalls the server in which order. It is printed; a run with
//! `LICORNE_STORM_SEED` asks and does the same again (what meets what is up to the machine). `LICORNE_STORM_SECONDS`
//! is how long each storm rages. For long ones use `cargo test`, which knows no deadline:
//!
//! ```text
//! LICORNE_STORM_SECONDS=600 cargo test -p testkit --test lifecycle storm:: -- --nocapture
//! ```

mod clients;
mod ledger;
mod verdict;

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use self::clients::{Clients, Crowd};
use self::ledger::Ledger;
use self::verdict::{Blow, Verdict};
use rustix::process::Signal;
use testkit::dice::{self, Dice};
use testkit::process::{Watch, signal};
use testkit::server::{Builder, Holdings};
use testkit::{App, Server};

/// How many workers the configuration wants.
const WORKERS: u32 = 3;
/// How long a stopped master is left so when there are no answers.
const SUSPENDED: Duration = Duration::from_secs(1);

/// Serves a slice of a block of bytes, and says what it was sent. Each call is noted when it begins and when it ends.
const APP: &str = r#"
require "zlib"

block = File.binread(ENV.fetch("TEST_BLOCK"))
ledger = File.open(File.join(ENV.fetch("TEST_DIR"), "ledger"), "ab")
ledger.sync = true

run lambda { |env|
  _, id, takes_ms, from, bytes, back_from, back_bytes, way = env["PATH_INFO"].split("/")
  ledger.syswrite("begin #{id} #{Process.pid}\n")
  Process.kill(:KILL, Process.pid) && sleep if way == "crash"
  sent = env["rack.input"].read.to_s
  sleep(Integer(takes_ms) / 1000.0) unless takes_ms == "0"
  back = block.byteslice(Integer(back_from), Integer(back_bytes))
  ledger.syswrite("end #{id} #{Process.pid}\n")
  fields = {
    "content-type" => "application/octet-stream",
    "x-id" => id,
    "x-pid" => Process.pid.to_s,
    "x-digest" => Zlib.crc32(sent).to_s,
    "x-whole" => (sent == block.byteslice(Integer(from), Integer(bytes))).to_s,
  }
  next [200, fields.merge("content-length" => back.bytesize.to_s), [back]] unless way == "pieces"

  pieces = (0...back.bytesize).step(40_000).map { |first| back.byteslice(first, 40_000) }
  [200, fields, pieces]
}
"#;

/// What befalls the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// The nth of the workers is killed.
    KillWorker(usize),
    /// All workers are killed.
    KillWorkers,
    /// The nth of the molds is killed.
    KillMold(usize),
    /// The nth of the workers is told to leave, by a signal of its own.
    QuitWorker(usize),
    /// A request kills the worker that serves it.
    Crash,
    /// A signal to the master: `HUP`, `USR2`, `TTIN`.
    Signal(Signal),
    /// `TTOU`, if two workers or more are wanted.
    ScaleDown,
    /// `licorne reload --wait`
    Reload,
    /// `licorne upgrade --wait`, in place
    Upgrade,
    /// The log of the application is renamed, and `USR1` follows.
    Rotate,
    /// The master is stopped, and goes on after some requests.
    Suspend,
    /// More clients with slow requests come than there are workers, or leave.
    Saturate(bool),
}

impl Event {
    fn any(dice: &mut Dice) -> Event {
        match dice.below(100) {
            0..14 => Event::KillWorker(dice.below(8)),
            14..17 => Event::KillWorkers,
            17..23 => Event::KillMold(dice.below(4)),
            23..31 => Event::QuitWorker(dice.below(8)),
            31..38 => Event::Crash,
            38..50 => Event::Signal(Signal::HUP),
            50..57 => Event::Signal(Signal::USR2),
            57..64 => Event::Signal(Signal::TTIN),
            64..71 => Event::ScaleDown,
            71..77 => Event::Reload,
            77..82 => Event::Upgrade,
            82..89 => Event::Rotate,
            89..92 => Event::Suspend,
            92..96 => Event::Saturate(true),
            _ => Event::Saturate(false),
        }
    }
}

/// A server in the storm.
struct Storm {
    server: Server,
    clients: Clients,
    dice: Dice,
    began: Instant,
    rotations: usize,
    blows: Vec<Blow>,
    /// Meant for molds. A worker has the title of one for a moment.
    at_molds: Vec<Blow>,
    events: usize,
}

/// Kills processes, and waits for their end.
fn kill(pids: &[u32]) -> Vec<Blow> {
    let watches: Vec<Watch> = pids.iter().filter_map(|pid| Watch::on(*pid)).collect();
    let from = Instant::now();
    watches.iter().for_each(|watch| watch.signal(Signal::KILL));
    let blow = |watch: Watch| {
        assert!(watch.wait(testkit::patience()), "a killed process lives on");
        Blow { pid: watch.pid, from, to: Instant::now() }
    };
    watches.into_iter().map(blow).collect()
}

impl Storm {
    /// Lets what the seed says befall the server, for so long.
    fn rage(&mut self, time: Duration) {
        while self.began.elapsed() < time {
            let event = Event::any(&mut self.dice);
            // On failure it is shown, whatever fails.
            println!("{:9.3} s  {event:?}", self.began.elapsed().as_secs_f64());
            self.events += 1;
            self.befall(event);
            // Some come at once, one upon the other.
            let pause = if self.dice.percent(30) { 0 } else { self.dice.below(60) };
            assert!(self.clients.pass(pause), "the server answers no more");
        }
    }

    fn befall(&mut self, event: Event) {
        match event {
            Event::KillWorker(nth) => {
                let workers = self.server.workers();
                if !workers.is_empty() {
                    self.blows.extend(kill(&[workers[nth % workers.len()].pid]));
                }
            }
            Event::KillWorkers => {
                let pids: Vec<u32> = self.server.workers().iter().map(|worker| worker.pid).collect();
                self.blows.extend(kill(&pids));
            }
            Event::KillMold(nth) => {
                let molds = self.server.titled("mold");
                if !molds.is_empty() {
                    self.at_molds.extend(kill(&[molds[nth % molds.len()]]));
                }
            }
            Event::QuitWorker(nth) => {
                let workers = self.server.workers();
                if !workers.is_empty() {
                    let _ = signal(workers[nth % workers.len()].pid, Signal::QUIT);
                }
            }
            Event::Crash => self.clients.crash(),
            Event::Signal(known) => self.server.signal(known),
            Event::ScaleDown => {
                let status = self.server.ctl(["status", "--json"]);
                let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap_or_default();
                // While a generation boots it is taken off the number that is configured, which may be less: three of them
                // would leave no worker.
                let counts_from_here = status["phase"] != "preparing";
                if counts_from_here && status["worker_processes"].as_u64().is_some_and(|wanted| wanted >= 2) {
                    self.server.signal(Signal::TTOU);
                }
            }
            // A worker that is killed before it is ready ends them in failure.
            Event::Reload => drop(self.server.ctl(["reload", "--wait"])),
            Event::Upgrade => drop(self.server.ctl(["upgrade", "--wait"])),
            Event::Rotate => self.rotate(),
            // Without a worker there is no answer meanwhile.
            Event::Suspend => self.server.suspended(self.server.pid(), || {
                let _ = (0..5).all(|_| self.clients.next(SUSPENDED));
            }),
            Event::Saturate(saturate) => self.clients.saturate(saturate),
        }
    }

    fn rotate(&mut self) {
        self.rotations += 1;
        let renamed = format!("ledger.{}", self.rotations);
        // Workers that only boot have not opened it yet.
        let _ = fs::rename(self.server.file("ledger"), self.server.file(&renamed));
        self.server.signal(Signal::USR1);
    }

    /// All has settled: one generation serves with as many workers as are configured.
    #[track_caller]
    fn settle(server: &Server) {
        let reload = server.ctl(["reload", "--wait"]);
        assert_eq!(reload.code(), 0, "a reload in good weather: {reload:#?}");
        server.eventually("one generation alone", || {
            let workers = server.workers();
            let slots: Vec<u32> = workers.iter().map(|worker| worker.number).collect();
            let generations: BTreeSet<_> = workers.iter().map(|worker| worker.generation).collect();
            let alone = server.titled("mold").len() == 1 && server.titled("master") == [server.pid()];
            (alone && generations.len() == 1 && slots.into_iter().eq(0..WORKERS)).then_some(())
        });
    }

    /// The storm is over: judges all that was seen.
    #[track_caller]
    fn end(mut self, before: &Holdings, seed: u64, may_displace: bool) {
        let saw = self.clients.stop();
        Self::settle(&self.server);
        self.last_rotation();
        // On its way out may be something still.
        self.server.eventually(&format!("no more than before: {before:?}"), || {
            Holdings::of(&self.server).is_within(before).then_some(())
        });
        let ledger = Ledger::read(self.server.directory());
        let log = self.server.log().text();
        let was_worker = |blow: &Blow| log.contains(&format!(" spawned pid={}\n", blow.pid));
        self.blows.extend(self.at_molds.drain(..).filter(was_worker));
        let verdict = Verdict::on(&saw, &self.blows, &ledger, may_displace);
        let events = self.events;
        println!("seed {seed}: {events} events in {:?}, {} rotations: {verdict}", self.began.elapsed(), self.rotations);
        assert!(!log.contains("killing"), "the master killed a worker: {log}");
        if let Some(complaints) = verdict.complaints() {
            panic!("LICORNE_STORM_SEED={seed}: {complaints}");
        }
        self.server.stop();
    }

    /// After a rotation nothing is written to the old file any more.
    #[track_caller]
    fn last_rotation(&mut self) {
        let mark = self.server.mark();
        self.rotate();
        for slot in 0..WORKERS {
            self.server.wait_for(mark, &format!("worker={slot} done reopening logs"));
        }
        let old = self.server.file(&format!("ledger.{}", self.rotations));
        let length = || fs::metadata(&old).map_or(0, |file| file.len());
        let before = length();
        for _ in 0..10 {
            assert_eq!(self.server.get("/0/0/0/0/0/0/length").status, 200);
        }
        assert_eq!(length(), before, "the rotated file is written to");
        assert!(self.server.file("ledger").exists(), "there is no new file");
    }
}

/// How long a storm rages.
fn time() -> Duration {
    Duration::from_secs(dice::number("LICORNE_STORM_SECONDS").unwrap_or(30))
}

#[track_caller]
fn weather(builder: Builder, crowd: Crowd, may_displace: bool) {
    let seed = dice::seed("LICORNE_STORM_SEED");
    println!("LICORNE_STORM_SEED={seed}");
    let mut dice = Dice::new(seed, 0);
    let block = dice.bytes(1 << 20);
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), &block).expect("it can be written");
    let builder = builder.app(App::rackup(APP)).workers(WORKERS).preload(dice.percent(50)).unix_listeners(1);
    let builder = builder.config("upgrade :in_place\nkeepalive_timeout 600");
    // A worker forks the next mold after so many requests, in the midst of all that.
    let builder = if dice.percent(50) { builder.config("refork_after [20, 100, 400]") } else { builder };
    let server = builder.env("TEST_BLOCK", &file.path().display().to_string()).start();

    // All that is opened once and kept has been opened before it is counted.
    assert_eq!(server.ctl(["upgrade", "--wait"]).code(), 0, "{}", server.log().text());
    let mark = server.mark();
    server.signal(Signal::TTIN);
    server.wait_for(mark, &format!("worker={WORKERS} ready"));
    Storm::settle(&server);
    let before = Holdings::of(&server);

    let clients = Clients::start(&server, crowd, seed, block);
    let began = Instant::now();
    let mut storm =
        Storm { server, clients, dice, began, rotations: 0, blows: Vec::new(), at_molds: Vec::new(), events: 0 };
    storm.rage(time());
    storm.end(&before, seed, may_displace);
}

#[test]
fn a_storm_loses_no_request_but_those_of_killed_workers() {
    weather(Server::builder(), Crowd { steady: 16, idle: 8, saturating: 12 }, false);
}

#[test]
fn a_storm_among_workers_without_room_cuts_no_request_that_was_begun() {
    // Each worker finds out by itself how many connections it may have, but for the first one, which is wrong.
    let limit = "after_fork { |_server, _worker| Process.setrlimit(:NOFILE, 40) }
                 after_worker_ready { |server, worker|
                   Process.setrlimit(:NOFILE, 30) if worker.nr.zero?
                   server.logger.info(\"worker=#{worker.nr} ready\")
                 }";
    weather(Server::builder().config(limit), Crowd { steady: 16, idle: 60, saturating: 12 }, true);
}
