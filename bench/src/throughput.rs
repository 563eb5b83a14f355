//! CPU time per request under wrk.

use std::time::Instant;

use crate::peers::{App, Peer};
use crate::running::Running;
use crate::{median, wrk};

/// One way of asking, and who is asked.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    app: App,
    connections: usize,
    keep_alive: bool,
    peers: &'static [Peer],
}

/// Every scenario of this kind.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "hello-close",
        title: "hello, new connection each, 8 clients",
        app: App::Hello,
        connections: 8,
        keep_alive: false,
        peers: &[Peer::Licorne, Peer::Unicorn, Peer::Puma, Peer::Uwsgi, Peer::BareClose],
    },
    Scenario {
        name: "hello-keep-alive",
        title: "hello, 64 kept-alive connections",
        app: App::Hello,
        connections: 64,
        keep_alive: true,
        peers: &[Peer::Licorne, Peer::Puma, Peer::BareEpoll],
    },
    Scenario {
        name: "sinatra-close",
        title: "Sinatra JSON, new connection each, 8 clients",
        app: App::Sinatra,
        connections: 8,
        keep_alive: false,
        peers: &[Peer::Licorne, Peer::Unicorn, Peer::Puma, Peer::Uwsgi],
    },
    Scenario {
        name: "sinatra-keep-alive",
        title: "Sinatra JSON, 8 kept-alive connections",
        app: App::Sinatra,
        connections: 8,
        keep_alive: true,
        peers: &[Peer::Licorne, Peer::Puma],
    },
];

/// The medians of one server in one scenario.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) peer: Peer,
    /// CPU microseconds per request, of all the server's processes.
    pub(crate) cpu_us: f64,
    pub(crate) lowest_us: f64,
    pub(crate) highest_us: f64,
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) errors: u64,
    /// The largest share of the server's CPU that others took during a run: how far to trust the row.
    pub(crate) foreign: f64,
}

/// One scenario, measured.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) rows: Vec<Row>,
}

/// Measures every server that is there, `rounds` times, interleaved.
pub(crate) fn measure(scenario: &'static Scenario, rounds: usize, seconds: usize) -> anyhow::Result<Table> {
    let peers: Vec<Peer> = scenario.peers.iter().copied().filter(|peer| peer.is_there()).collect();
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); peers.len()];
    for round in 0..rounds {
        for (peer, samples) in peers.iter().zip(&mut samples) {
            let sample = one(*peer, scenario, seconds)?;
            eprintln!(
                "{} round {} {:<16} {:8.1} us/request {:9.0} requests/s, foreign {:.2}",
                scenario.name,
                round + 1,
                peer.name(),
                sample.cpu_us,
                sample.run.per_second,
                sample.foreign
            );
            samples.push(sample);
        }
    }
    let rows = peers.iter().zip(&samples).map(|(peer, samples)| row(*peer, samples)).collect();
    Ok(Table { name: scenario.name, title: scenario.title, rows })
}

#[derive(Clone, Debug)]
struct Sample {
    run: wrk::Run,
    cpu_us: f64,
    foreign: f64,
}

fn one(peer: Peer, scenario: &Scenario, seconds: usize) -> anyhow::Result<Sample> {
    let server = Running::start(peer, scenario.app, 1, scenario.keep_alive)?;
    let url = format!("http://127.0.0.1:{}{}", server.port, scenario.app.target());
    // Warm-up: inline caches, the heap, the kernel's tables.
    wrk::run(&url, scenario.connections, 1, !scenario.keep_alive)?;
    let (cpu, busy, began) = (server.cpu(), busy_seconds(), Instant::now());
    let run = wrk::run(&url, scenario.connections, seconds, !scenario.keep_alive)?;
    let used = (server.cpu() - cpu).as_secs_f64();
    let foreign = ((busy_seconds() - busy - used) / began.elapsed().as_secs_f64()).max(0.0);
    let cpu_us = used * 1e6 / run.requests.max(1) as f64;
    Ok(Sample { run, cpu_us, foreign })
}

fn row(peer: Peer, samples: &[Sample]) -> Row {
    let of = |part: fn(&Sample) -> f64| samples.iter().map(part).collect::<Vec<f64>>();
    let cpu = of(|sample| sample.cpu_us);
    Row {
        peer,
        lowest_us: cpu.iter().copied().fold(f64::INFINITY, f64::min),
        highest_us: cpu.iter().copied().fold(0.0, f64::max),
        cpu_us: median(cpu),
        per_second: median(of(|sample| sample.run.per_second)),
        p50_ms: median(of(|sample| sample.run.p50_ms)),
        p99_ms: median(of(|sample| sample.run.p99_ms)),
        errors: samples.iter().map(|sample| sample.run.errors).sum(),
        foreign: of(|sample| sample.foreign).into_iter().fold(0.0, f64::max),
    }
}

/// Seconds that CPU 0 was busy since boot. See proc(5), `/proc/stat`: user, nice, system, then idle, iowait, irq, softirq.
fn busy_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("cpu0 ")).unwrap_or("");
    let ticks: Vec<f64> = line.split_ascii_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    ticks.iter().take(3).sum::<f64>() / 100.0
}
