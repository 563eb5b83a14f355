//! CPU time per request under wrk.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::ensure;
use testkit::Endpoint;
use testkit::proxy::{Kind, Proxy};

use crate::apps::App;
use crate::median::median;
use crate::peers::Peer;
use crate::running::{CLIENT_CPU, Running, SERVER_CPU, free_place, pinned, plain, tree};
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
    /// Each server is measured with each number of workers. One worker is pinned to CPU 0, several share all CPUs with wrk.
    workers: &'static [usize],
    peers: &'static [Peer],
}

impl Scenario {
    /// Whether this server is one of its.
    #[cfg(test)]
    pub(crate) fn has(&self, peer: Peer) -> bool {
        self.peers.contains(&peer)
    }
}

/// New connections, 8 at a time, to one worker of hello.
const CLOSE: Scenario = Scenario {
    name: "hello-close",
    title: "hello, new connection each, 8 clients",
    app: App::Hello,
    connections: 8,
    keep_alive: false,
    behind_nginx: false,
    workers: &[1],
    peers: &[Peer::Licorne, Peer::Unicorn, Peer::Puma, Peer::Pitchfork, Peer::Passenger, Peer::Uwsgi, Peer::BareClose],
};
/// What serves an application, beside the limit, when connections are new.
const ANEW: &[Peer] =
    &[Peer::Licorne, Peer::Unicorn, Peer::Puma, Peer::Pitchfork, Peer::Passenger, Peer::Uwsgi, Peer::BareLoop];
/// And when they are kept.
const KEPT: &[Peer] = &[Peer::Licorne, Peer::Puma, Peer::PumaThreads, Peer::Passenger, Peer::BareLoop];

/// Every scenario of this kind.
pub(crate) const SCENARIOS: &[Scenario] = &[
    CLOSE,
    Scenario {
        name: "hello-keep-alive",
        title: "hello, 64 kept-alive connections",
        connections: 64,
        keep_alive: true,
        peers: &[Peer::Licorne, Peer::Puma, Peer::Passenger, Peer::BareEpoll],
        ..CLOSE
    },
    Scenario {
        name: "sinatra-close",
        title: "Sinatra JSON, new connection each, 8 clients",
        app: App::Sinatra,
        peers: ANEW,
        ..CLOSE
    },
    Scenario {
        name: "sinatra-keep-alive",
        title: "Sinatra JSON, 8 kept-alive connections",
        app: App::Sinatra,
        keep_alive: true,
        peers: KEPT,
        ..CLOSE
    },
    Scenario {
        name: "rails-api-close",
        title: "Rails API, new connection each, 8 clients",
        app: App::RailsApi,
        peers: ANEW,
        ..CLOSE
    },
    Scenario {
        name: "rails-api-keep-alive",
        title: "Rails API, 8 kept-alive connections",
        app: App::RailsApi,
        keep_alive: true,
        peers: KEPT,
        ..CLOSE
    },
    Scenario {
        name: "rails-page-close",
        title: "Rails page with a query and a template, new connection each, 8 clients",
        app: App::RailsPage,
        peers: &[Peer::Licorne, Peer::Unicorn, Peer::Puma, Peer::BareLoop],
        ..CLOSE
    },
    Scenario {
        name: "rails-page-keep-alive",
        title: "Rails page with a query and a template, 8 kept-alive connections",
        app: App::RailsPage,
        keep_alive: true,
        peers: &[Peer::Licorne, Peer::Puma, Peer::BareLoop],
        ..CLOSE
    },
    Scenario {
        name: "scaling-close",
        title: "Scaling: Sinatra JSON, new connection each, 64 clients on the same CPUs",
        app: App::Sinatra,
        connections: 64,
        workers: &[4, 16],
        peers: &[Peer::Licorne, Peer::Unicorn, Peer::Puma],
        ..CLOSE
    },
    Scenario {
        name: "scaling-keep-alive",
        title: "Scaling: Sinatra JSON, 64 kept-alive connections, clients on the same CPUs",
        app: App::Sinatra,
        connections: 64,
        keep_alive: true,
        workers: &[4, 16],
        peers: &[Peer::Licorne, Peer::Puma],
        ..CLOSE
    },
    Scenario {
        name: "many-workers",
        title: "Many workers: hello, 64 kept-alive connections, clients on the same CPUs",
        connections: 64,
        keep_alive: true,
        workers: &[2, 64],
        peers: &[Peer::Licorne],
        ..CLOSE
    },
    Scenario {
        name: "behind-nginx",
        title: "hello behind nginx, over a UNIX socket with upstream keep-alive, 32 clients: server and nginx together",
        connections: 32,
        keep_alive: true,
        behind_nginx: true,
        peers: &[Peer::Licorne, Peer::Unicorn, Peer::Puma],
        ..CLOSE
    },
    Scenario {
        name: "download",
        title: "1 MiB response, new connection each, 4 clients",
        app: App::Download,
        connections: 4,
        peers: &[Peer::Licorne, Peer::Unicorn, Peer::Puma, Peer::Uwsgi],
        ..CLOSE
    },
    Scenario {
        name: "upload",
        title: "1 MiB upload read in pieces of 64 KiB, new connection each, 4 clients",
        app: App::Upload,
        connections: 4,
        peers: &[Peer::Licorne, Peer::Unicorn, Peer::Puma, Peer::Uwsgi],
        ..CLOSE
    },
];

/// The medians of one server in one scenario.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) peer: Peer,
    pub(crate) workers: usize,
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
    let peers = || scenario.peers.iter().copied().filter(|peer| peer.is_there());
    let cases: Vec<(Peer, usize)> =
        scenario.workers.iter().flat_map(|workers| peers().map(|peer| (peer, *workers))).collect();
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); cases.len()];
    for round in 0..rounds {
        for ((peer, workers), samples) in cases.iter().zip(&mut samples) {
            let sample = one(*peer, *workers, scenario, seconds)?;
            eprintln!(
                "{} round {} {:<16} {workers:2} {:8.1} us/request {:9.0} requests/s, waited {:.2}",
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
    let rows = cases.iter().zip(&samples).map(|((peer, workers), samples)| row(*peer, *workers, samples)).collect();
    Ok(Table { name: scenario.name, title: scenario.title, rows })
}

#[derive(Clone, Debug)]
struct Sample {
    run: wrk::Run,
    cpu_us: f64,
    waited: f64,
}

fn one(peer: Peer, workers: usize, scenario: &Scenario, seconds: usize) -> anyhow::Result<Sample> {
    let directory = tempfile::TempDir::with_prefix("bench-")?;
    let place =
        if scenario.behind_nginx { Endpoint::Unix(directory.path().join("server.sock")) } else { free_place()? };
    // One server has a CPU of its own, many share with the clients.
    let begin = |cpu| if workers == 1 { pinned(cpu) } else { plain() };
    let server = Running::start_at(place, peer, scenario.app, workers, scenario.keep_alive, begin(SERVER_CPU))?;
    server.settle();
    let proxy = scenario.behind_nginx.then(|| Nginx::before(&server)).transpose()?;
    let front = proxy.as_ref().map_or(server.endpoint(), |nginx| nginx.0.endpoint());
    let url = format!("http://{front}{}", scenario.app.target());
    let ask = |seconds| {
        let command = begin(CLIENT_CPU);
        wrk::run(command, &url, scenario.connections, seconds, !scenario.keep_alive, scenario.app)
    };
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

fn row(peer: Peer, workers: usize, samples: &[Sample]) -> Row {
    let of = |part: fn(&Sample) -> f64| samples.iter().map(part).collect::<Vec<f64>>();
    let cpu = of(|sample| sample.cpu_us);
    Row {
        peer,
        workers,
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
