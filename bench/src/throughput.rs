//! CPU time per request under wrk.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::ensure;
use testkit::Endpoint;
use testkit::proxy::{Kind, Proxy};

use crate::median::median;
use crate::peers::{App, Peer};
use crate::running::{Running, SERVER_CPU, free_place, pinned, tree};
use crate::wrk;

/// One kind of load, and the servers that get it.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    app: App,
    connections: usize,
    keep_alive: bool,
    /// nginx between wrk and the server, which listens on a UNIX socket; its CPU time counts too.
    behind_nginx: bool,
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
        behind_nginx: false,
        peers: &[Peer::Licorne, Peer::Unicorn, Peer::Puma, Peer::Uwsgi, Peer::BareClose],
    },
    Scenario {
        name: "hello-keep-alive",
        title: "hello, 64 kept-alive connections",
        app: App::Hello,
        connections: 64,
        keep_alive: true,
        behind_nginx: false,
        peers: &[Peer::Licorne, Peer::Puma, Peer::BareEpoll],
    },
    Scenario {
        name: "sinatra-close",
        title: "Sinatra JSON, new connection each, 8 clients",
        app: App::Sinatra,
        connections: 8,
        keep_alive: false,
        behind_nginx: false,
        peers: &[Peer::Licorne, Peer::Unicorn, Peer::Puma, Peer::Uwsgi],
    },
    Scenario {
        name: "sinatra-keep-alive",
        title: "Sinatra JSON, 8 kept-alive connections",
        app: App::Sinatra,
        connections: 8,
        keep_alive: true,
        behind_nginx: false,
        peers: &[Peer::Licorne, Peer::Puma],
    },
    Scenario {
        name: "behind-nginx",
        title: "hello behind nginx, over a UNIX socket with upstream keep-alive, 32 clients: server and nginx together",
        app: App::Hello,
        connections: 32,
        keep_alive: true,
        behind_nginx: true,
        peers: &[Peer::Licorne, Peer::Unicorn, Peer::Puma],
    },
    Scenario {
        name: "download",
        title: "1 MiB response, new connection each, 4 clients",
        app: App::Download,
        connections: 4,
        keep_alive: false,
        behind_nginx: false,
        peers: &[Peer::Licorne, Peer::Unicorn, Peer::Puma, Peer::Uwsgi],
    },
    Scenario {
        name: "upload",
        title: "1 MiB upload read in pieces of 64 KiB, new connection each, 4 clients",
        app: App::Upload,
        connections: 4,
        keep_alive: false,
        behind_nginx: false,
        peers: &[Peer::Licorne, Peer::Unicorn, Peer::Puma, Peer::Uwsgi],
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
    /// The largest share of a run for which the server was ready and others had its CPU: how far to trust the row.
    pub(crate) waited: f64,
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
                "{} round {} {:<16} {:8.1} us/request {:9.0} requests/s, waited {:.2}",
                scenario.name,
                round + 1,
                peer.name(),
                sample.cpu_us,
                sample.run.per_second,
                sample.waited
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
    waited: f64,
}

fn one(peer: Peer, scenario: &Scenario, seconds: usize) -> anyhow::Result<Sample> {
    let directory = tempfile::TempDir::with_prefix("bench-")?;
    let place =
        if scenario.behind_nginx { Endpoint::Unix(directory.path().join("server.sock")) } else { free_place()? };
    let server = Running::start_at(place, peer, scenario.app, 1, scenario.keep_alive, pinned(SERVER_CPU))?;
    let proxy = scenario.behind_nginx.then(|| Nginx::before(&server)).transpose()?;
    let front = proxy.as_ref().map_or(server.endpoint(), |nginx| nginx.0.endpoint());
    let url = format!("http://{front}{}", scenario.app.target());
    let ask = |seconds| wrk::run(&url, scenario.connections, seconds, !scenario.keep_alive, scenario.app);
    // Warm-up: inline caches, the heap, the kernel's tables.
    ask(1)?;
    let cpu = || server.cpu() + proxy.as_ref().map_or(Duration::ZERO, Nginx::cpu);
    let (before, waited, began) = (cpu(), server.waited(), Instant::now());
    let run = ask(seconds)?;
    let used = (cpu() - before).as_secs_f64();
    let waited = (server.waited() - waited).as_secs_f64() / began.elapsed().as_secs_f64();
    let cpu_us = used * 1e6 / run.requests.max(1) as f64;
    Ok(Sample { run, cpu_us, waited })
}

/// nginx on the server's CPU.
struct Nginx(Proxy);

impl Nginx {
    fn before(server: &Running) -> anyhow::Result<Nginx> {
        let proxy = Proxy::start_at(Kind::Nginx, free_place()?, server.endpoint());
        for process in tree(proxy.pid()) {
            let status = Command::new("taskset").args(["-c", "-p", SERVER_CPU, &process.pid.to_string()]).output()?;
            ensure!(status.status.success(), "taskset failed: {status:?}");
        }
        Ok(Nginx(proxy))
    }

    fn cpu(&self) -> Duration {
        tree(self.0.pid()).iter().map(|process| process.cpu).sum()
    }
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
        waited: of(|sample| sample.waited).into_iter().fold(0.0, f64::max),
    }
}
