//! A fixed rate, in an open loop: latencies to the last one, who served how much, collections within requests.
//!
//! All workers share CPU 0, the clients have CPU 1.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::apps::App;
use crate::median::median;
use crate::open_loop::{Load, Seen, Worker};
use crate::peers::Peer;
use crate::running::{Running, SERVER_CPU, free_place, pinned};

/// What is measured before, without a rate, to know what a server can do.
const CAPACITY_SECONDS: f64 = 1.5;

/// One kind of load, and the servers that get it.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    app: App,
    pub(crate) workers: usize,
    keep_alive: bool,
    /// How many requests a second: so much of what the slowest of the servers can do,
    share: f64,
    /// and never more than this. Where it is reached, the same rate on each machine that can do it.
    at_most: f64,
    /// How long, times BENCH_SECONDS.
    length: f64,
    /// Never more requests than this.
    most: u64,
    /// Never more rounds than this: some are long.
    rounds: usize,
    /// The server is asked for a third of that before, is told to reload, and is asked when it has.
    reload: bool,
    peers: &'static [Peer],
}

/// What most of them have.
const TAIL: Scenario = Scenario {
    name: "tail",
    title: "Tail: Rails with 400,000 live hashes and garbage in each request, 2 workers, at most 450 requests a second",
    app: App::RailsHeap,
    workers: 2,
    keep_alive: true,
    share: 0.62,
    at_most: 450.0,
    length: 4.0,
    most: u64::MAX,
    rounds: usize::MAX,
    reload: false,
    peers: &[Peer::Licorne, Peer::LicorneGc, Peer::Unicorn, Peer::Puma, Peer::PumaThreads, Peer::Pitchfork],
};

/// Every scenario of this kind.
pub(crate) const SCENARIOS: &[Scenario] = &[
    TAIL,
    Scenario {
        name: "ruby34-gc",
        title: "Ruby 3.4: Sinatra with 400,000 live hashes and garbage in each request, 2 workers, 70 % load",
        app: App::SinatraHeap,
        share: 0.7,
        at_most: f64::INFINITY,
        length: 20.0,
        most: 100_000,
        rounds: 1,
        peers: &[Peer::Licorne34, Peer::Licorne34Gc],
        ..TAIL
    },
    Scenario {
        name: "gc-wait",
        title: "Ruby 3.4: the same at 80 requests a second or less: while one worker collects, the other is idle",
        app: App::SinatraHeap,
        share: 0.25,
        at_most: 80.0,
        length: 12.0,
        rounds: 1,
        peers: &[Peer::Licorne34, Peer::Licorne34Gc],
        ..TAIL
    },
    Scenario {
        name: "after-reload",
        title: "After a reload: Rails API, 4 workers, half load; p99 before it, and from its end on",
        app: App::RailsApi,
        workers: 4,
        share: 0.5,
        at_most: f64::INFINITY,
        length: 12.0,
        rounds: 1,
        reload: true,
        peers: &[Peer::Licorne, Peer::LicorneWarm],
        ..TAIL
    },
    Scenario {
        name: "fairness-close",
        title: "Fairness: Sinatra, 16 workers, half load, new connection each",
        app: App::SinatraSeen,
        workers: 16,
        keep_alive: false,
        share: 0.5,
        at_most: f64::INFINITY,
        length: 1.0,
        peers: &[Peer::Licorne, Peer::LicorneEven, Peer::Unicorn, Peer::Puma, Peer::Pitchfork],
        ..TAIL
    },
    Scenario {
        name: "fairness-keep-alive",
        title: "Fairness: Sinatra, 16 workers, half load, kept-alive connections",
        app: App::SinatraSeen,
        workers: 16,
        share: 0.5,
        at_most: f64::INFINITY,
        length: 1.0,
        peers: &[Peer::Licorne, Peer::LicorneEven, Peer::Puma],
        ..TAIL
    },
];

/// One scenario, measured.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) per_second: f64,
    pub(crate) rows: Vec<Row>,
}

/// The medians of one server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) peer: Peer,
    /// p50, p95, p99, p99.9 and the longest.
    pub(crate) ms: [f64; 5],
    /// The lowest and the highest p99 of the rounds.
    pub(crate) range: [f64; 2],
    /// p99 before the reload.
    pub(crate) p99_before: Option<f64>,
    /// Of CPU 0.
    pub(crate) cpu: f64,
    pub(crate) failed: u64,
    /// Requests a second without a rate, before.
    pub(crate) capacity: f64,
    pub(crate) pss: f64,
    /// Requests of the busiest worker for each of the least busy one.
    pub(crate) spread: f64,
    /// Full collections: within requests, and all, of all workers.
    pub(crate) majors: [u64; 2],
    pub(crate) longest_wait_ms: f64,
}

/// Measures each server that is there, `rounds` times, interleaved.
pub(crate) fn measure(scenario: &'static Scenario, rounds: usize, seconds: usize) -> anyhow::Result<Table> {
    let peers: Vec<Peer> = scenario.peers.iter().copied().filter(|peer| peer.is_there()).collect();
    let mut samples: Vec<Vec<Row>> = vec![Vec::new(); peers.len()];
    let all = peers.iter().map(|peer| Ok(capacity(&start(*peer, scenario)?, scenario).0));
    let slowest = all.collect::<anyhow::Result<Vec<f64>>>()?.into_iter().fold(f64::INFINITY, f64::min);
    if slowest.is_infinite() {
        return Ok(Table { name: scenario.name, title: scenario.title, per_second: 0.0, rows: Vec::new() });
    }
    let per_second = (slowest * scenario.share).min(scenario.at_most);
    for _ in 0..rounds.min(scenario.rounds) {
        for (peer, samples) in peers.iter().zip(&mut samples) {
            let row = one(*peer, scenario, per_second, seconds)?;
            eprintln!("{} {per_second:.0}/s {row:?}", scenario.name);
            samples.push(row);
        }
    }
    let rows = samples.iter().filter_map(|samples| row(samples)).collect();
    Ok(Table { name: scenario.name, title: scenario.title, per_second, rows })
}

fn start(peer: Peer, scenario: &Scenario) -> anyhow::Result<Running> {
    let keep_alive = scenario.keep_alive && peer.keeps_connections();
    let server =
        Running::start_at(free_place()?, peer, scenario.app, scenario.workers, keep_alive, pinned(SERVER_CPU))?;
    server.settle();
    Ok(server)
}

fn load<'a>(server: &'a Running, scenario: &'a Scenario, target: &'a [&'a str]) -> Load<'a> {
    Load {
        endpoint: server.endpoint(),
        targets: target,
        clients: 64,
        keep_alive: scenario.keep_alive && server.peer().keeps_connections(),
        requests: 0,
        per_second: None,
    }
}

/// Requests a second, as fast as clients are answered, and what was seen then.
fn capacity(server: &Running, scenario: &Scenario) -> (f64, Seen) {
    let target = [scenario.app.target()];
    // Few clients: queues tell nothing here. The first requests are slower, and say how many make the time.
    let few = Load { clients: 8, requests: 200, ..load(server, scenario, &target) };
    let first = few.run();
    let requests = (first.answered() as f64 / first.took.as_secs_f64() * CAPACITY_SECONDS) as u64;
    let seen = Load { requests: requests.max(200), ..few }.run();
    (seen.answered() as f64 / seen.took.as_secs_f64(), seen)
}

fn one(peer: Peer, scenario: &Scenario, per_second: f64, seconds: usize) -> anyhow::Result<Row> {
    let server = start(peer, scenario)?;
    let (capacity, warm) = capacity(&server, scenario);
    let target = [scenario.app.target()];
    let requests = ((per_second * scenario.length * seconds as f64) as u64).min(scenario.most);
    let paced = Load { requests, per_second: Some(per_second), ..load(&server, scenario, &target) };
    let mut p99_before = None;
    if scenario.reload {
        let steady = Load { requests: requests / 3, ..paced.clone() };
        p99_before = Some(steady.run().percentile_ms(0.99));
        if let Some(master) = i32::try_from(server.pid()).ok().and_then(Pid::from_raw) {
            kill_process(master, Signal::HUP)?;
            server.settle();
        }
    }
    let before = server.cpu();
    let seen = paced.run();
    let cpu = server.cpu().saturating_sub(before);
    Ok(Row {
        peer,
        ms: [0.5, 0.95, 0.99, 0.999, 1.0].map(|share| seen.percentile_ms(share)),
        range: [seen.percentile_ms(0.99); 2],
        p99_before,
        cpu: cpu.as_secs_f64() / seen.took.max(Duration::from_millis(1)).as_secs_f64(),
        failed: warm.failed + seen.failed,
        capacity,
        pss: server.memory().pss_kib as f64 / 1024.0,
        spread: seen.spread(scenario.workers),
        majors: majors(&warm, &seen),
        longest_wait_ms: seen.longest_wait.as_secs_f64() * 1e3,
    })
}

/// Full collections of the workers that were there before, and of new ones: within requests, and all.
fn majors(before: &Seen, after: &Seen) -> [u64; 2] {
    let since = |part: fn(&Worker) -> u64| -> u64 {
        let of = |seen: &Seen, pid: &u32| seen.workers.get(pid).map_or(0, part);
        after.workers.keys().map(|pid| of(after, pid).saturating_sub(of(before, pid))).sum()
    };
    // With threads one collection is within the requests of several.
    let all = since(|worker| worker.majors);
    [since(|worker| worker.majors_within).min(all), all]
}

fn row(samples: &[Row]) -> Option<Row> {
    let of = |part: &dyn Fn(&Row) -> f64| median(samples.iter().map(part).collect());
    let p99 = || samples.iter().map(|row| row.ms[2]);
    Some(Row {
        ms: [0, 1, 2, 3, 4].map(|index| of(&|row| row.ms[index])),
        range: [p99().fold(f64::INFINITY, f64::min), p99().fold(0.0, f64::max)],
        p99_before: samples.first()?.p99_before.map(|_| of(&|row| row.p99_before.unwrap_or(f64::NAN))),
        cpu: of(&|row| row.cpu),
        failed: samples.iter().map(|row| row.failed).sum(),
        capacity: of(&|row| row.capacity),
        pss: of(&|row| row.pss),
        spread: of(&|row| row.spread),
        majors: [0, 1].map(|index| samples.iter().map(|row| row.majors[index]).sum()),
        longest_wait_ms: samples.iter().map(|row| row.longest_wait_ms).fold(0.0, f64::max),
        ..*samples.first()?
    })
}
