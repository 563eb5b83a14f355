//! A normal client among clients that hurt: slow heads, slow bodies, slow readers, idle connections, all at once.

use std::time::Duration;

use testkit::load::{Plan, Report};
use testkit::swarm::allow_many_descriptors;
use testkit::{Endpoint, Swarm};

use crate::apps::App;
use crate::peers::Peer;
use crate::running::{Running, free_place, plain};

const WORKERS: usize = 2;
/// How long the normal clients ask.
const SECONDS: u64 = 10;
/// After so long a normal client gives up.
const LIMIT: Duration = Duration::from_secs(5);
/// How long each server may take to let the idle clients in, and then the slow ones: Puma wants minutes.
const ENTRY: Duration = Duration::from_secs(30);

/// One server among them.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) peer: Peer,
    pub(crate) alone: Normal,
    pub(crate) among: Normal,
    /// PSS of all processes in MiB: before, during and after the swarm.
    pub(crate) mib: [f64; 3],
    /// How many of 5,000 idle connections it let stay.
    pub(crate) idle: usize,
    /// How many of 800 slow clients came in.
    pub(crate) slow: usize,
}

/// What normal clients saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Normal {
    /// `None` when no client was answered.
    pub(crate) p99_ms: Option<f64>,
    pub(crate) answered: usize,
    pub(crate) failed: usize,
}

impl From<Report> for Normal {
    fn from(report: Report) -> Normal {
        Normal {
            p99_ms: (report.ok() > 0).then(|| report.percentile(0.99).as_secs_f64() * 1_000.0),
            answered: report.ok(),
            failed: report.failed(),
        }
    }
}

/// Lets the swarm loose on each server.
pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    allow_many_descriptors();
    let peers = [Peer::Licorne, Peer::Unicorn, Peer::Puma].into_iter().filter(|peer| peer.is_there());
    peers.map(one).collect()
}

fn one(peer: Peer) -> anyhow::Result<Row> {
    let server = Running::start_at(free_place()?, peer, App::Plain, WORKERS, true, plain())?;
    let mib = || server.memory().pss_kib as f64 / 1024.0;
    let alone = ask(server.endpoint());
    let before = mib();
    let swarm = Swarm { heads: 500, bodies: 200, readers: 100, idle: 5_000, ..Swarm::new(server.endpoint()) };
    let swarm = Swarm { entry: ENTRY, ..swarm }.start();
    let (idle, slow) = (swarm.idle(), swarm.slow());
    let among = ask(server.endpoint());
    let during = mib();
    let _ = swarm.stop();
    let _ = ask(server.endpoint());
    let row = Row { peer, alone: alone.into(), among: among.into(), mib: [before, during, mib()], idle, slow };
    eprintln!("hurt {row:?}");
    Ok(row)
}

fn ask(endpoint: &Endpoint) -> Report {
    let load = Plan::new(endpoint).clients(2).limit(LIMIT).begin();
    load.go_on_for(Duration::from_secs(SECONDS));
    load.stop()
}
