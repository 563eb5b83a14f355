//! Memory: at boot, under load, and what grows.

use std::collections::BTreeSet;

use anyhow::ensure;
use testkit::procfs;

use crate::apps::App;
use crate::median::median;
use crate::open_loop::Load;
use crate::peers::Peer;
use crate::running::{Running, free_place, plain};

/// How many requests there are between two looks whether the workers were forked anew, and at most in all.
const STEP: u64 = 250;
const STEPS: u64 = 80;

/// One application and its load.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    app: App,
    workers: usize,
    clients: usize,
    requests: u64,
    /// After those and as many as this, PSS is looked at again.
    further: u64,
    /// Never more rounds than this: figures of memory hardly differ.
    rounds: usize,
    peers: &'static [Peer],
}

/// Every scenario of this kind.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "memory-sinatra-4",
        title: "Memory: Sinatra, 4 workers, 10,000 requests, then 100,000 more",
        app: App::Sinatra,
        workers: 4,
        clients: 8,
        requests: 10_000,
        further: 100_000,
        rounds: 1,
        peers: &[Peer::Licorne, Peer::Unicorn, Peer::Puma, Peer::Pitchfork, Peer::Uwsgi],
    },
    Scenario {
        name: "memory-sinatra-16",
        title: "Memory: Sinatra, 16 workers, 20,000 requests",
        app: App::Sinatra,
        workers: 16,
        clients: 32,
        requests: 20_000,
        further: 0,
        rounds: 2,
        peers: &[Peer::Licorne, Peer::Unicorn, Peer::Puma, Peer::Pitchfork],
    },
    Scenario {
        name: "memory-rails-16",
        title: "Memory: Rails, 16 workers, 20,000 requests of four kinds",
        app: App::RailsApi,
        workers: 16,
        clients: 32,
        requests: 20_000,
        further: 0,
        rounds: 2,
        peers: &[
            Peer::Licorne,
            Peer::LicorneRefork,
            Peer::Unicorn,
            Peer::Puma,
            Peer::Pitchfork,
            Peer::Passenger,
            Peer::Uwsgi,
        ],
    },
    Scenario {
        name: "memory-hello-64",
        title: "Memory: hello, 64 workers, 100,000 requests",
        app: App::Hello,
        workers: 64,
        clients: 64,
        requests: 100_000,
        further: 0,
        rounds: 2,
        peers: &[Peer::Licorne, Peer::Unicorn, Peer::Puma],
    },
];

/// One scenario, measured.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) rows: Vec<Row>,
}

/// One server's memory, in MiB, of all processes together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) peer: Peer,
    pub(crate) processes: usize,
    pub(crate) boot: f64,
    pub(crate) loaded: f64,
    /// Of the rounds, lowest and highest.
    pub(crate) range: [f64; 2],
    /// Of what is loaded.
    pub(crate) private: f64,
    /// The part of PSS that is shared.
    pub(crate) shared: f64,
    /// And right after the next refork, of a server that does so.
    pub(crate) reforked: Option<f64>,
    pub(crate) rss: f64,
    /// RSS of the master alone.
    pub(crate) master: f64,
    /// By how much PSS has grown in the requests that came after.
    pub(crate) growth: f64,
}

/// Measures each server that is there, at most `rounds` times, interleaved; medians.
pub(crate) fn measure(scenario: &'static Scenario, rounds: usize) -> anyhow::Result<Table> {
    let peers: Vec<Peer> = scenario.peers.iter().copied().filter(|peer| peer.is_there()).collect();
    let mut samples: Vec<Vec<Row>> = vec![Vec::new(); peers.len()];
    for _ in 0..rounds.min(scenario.rounds) {
        for (peer, samples) in peers.iter().zip(&mut samples) {
            let row = one(*peer, scenario)?;
            eprintln!("{} {:<16} {:.1} MiB, private {:.1}", scenario.name, peer.name(), row.loaded, row.private);
            samples.push(row);
        }
    }
    Ok(Table {
        name: scenario.name,
        title: scenario.title,
        rows: samples.iter().filter_map(|rows| row(rows)).collect(),
    })
}

fn one(peer: Peer, scenario: &Scenario) -> anyhow::Result<Row> {
    let server = Running::start_at(free_place()?, peer, scenario.app, scenario.workers, false, plain())?;
    server.settle();
    let boot = server.memory();
    let answered = ask(&server, scenario, scenario.requests)?;
    ensure!(answered == scenario.requests, "{} did not answer all requests", peer.name());
    server.settle();
    let loaded = server.memory();
    if scenario.further > 0 {
        ask(&server, scenario, scenario.further)?;
        server.settle();
    }
    let grown = server.memory();
    let processes = server.tree().len();
    let reforked = if peer == Peer::LicorneRefork { reforked(&server, scenario)? } else { None };
    let mib = |kib: u64| kib as f64 / 1024.0;
    Ok(Row {
        peer,
        processes,
        boot: mib(boot.pss_kib),
        loaded: mib(loaded.pss_kib),
        range: [mib(loaded.pss_kib); 2],
        private: mib(loaded.private_kib),
        shared: shared(loaded),
        reforked,
        rss: mib(loaded.rss_kib),
        master: mib(procfs::memory(server.pid()).rss_kib),
        growth: mib(grown.pss_kib) - mib(loaded.pss_kib),
    })
}

/// Asks until no worker is left that was there before, and returns the part that is shared then.
fn reforked(server: &Running, scenario: &Scenario) -> anyhow::Result<Option<f64>> {
    let pids = || server.tree().iter().map(|process| process.pid).collect::<BTreeSet<_>>();
    let before = pids();
    for _ in 0..STEPS {
        ask(server, scenario, STEP)?;
        server.settle();
        if pids().difference(&before).count() >= scenario.workers {
            return Ok(Some(shared(server.memory())));
        }
    }
    Ok(None)
}

/// The part of PSS that is shared with others.
fn shared(memory: procfs::Memory) -> f64 {
    1.0 - memory.private_kib as f64 / memory.pss_kib.max(1) as f64
}

fn ask(server: &Running, scenario: &Scenario, requests: u64) -> anyhow::Result<u64> {
    let load = Load {
        endpoint: server.endpoint(),
        targets: scenario.app.targets(),
        clients: scenario.clients,
        keep_alive: false,
        requests,
        per_second: None,
    };
    let seen = load.run();
    ensure!(seen.failed == 0, "{} requests failed", seen.failed);
    Ok(seen.answered() as u64)
}

fn row(samples: &[Row]) -> Option<Row> {
    let of = |part: fn(&Row) -> f64| median(samples.iter().map(part).collect());
    let loaded = || samples.iter().map(|row| row.loaded);
    Some(Row {
        boot: of(|row| row.boot),
        loaded: of(|row| row.loaded),
        range: [loaded().fold(f64::INFINITY, f64::min), loaded().fold(0.0, f64::max)],
        private: of(|row| row.private),
        shared: of(|row| row.shared),
        reforked: samples.first()?.reforked.map(|_| of(|row| row.reforked.unwrap_or(f64::NAN))),
        rss: of(|row| row.rss),
        master: of(|row| row.master),
        growth: of(|row| row.growth),
        ..*samples.first()?
    })
}
