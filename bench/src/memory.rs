//! Memory after 5,000 requests: 4 workers, Sinatra application, preloaded.

use anyhow::ensure;
use testkit::{Connection, Request, procfs};

use crate::median::median;
use crate::peers::{App, Peer};
use crate::running::Running;

const WORKERS: usize = 4;
const CLIENTS: usize = 8;
const REQUESTS: usize = 5000;

/// One server's memory.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) peer: Peer,
    pub(crate) processes: usize,
    /// Of all processes together, in MiB.
    pub(crate) pss_boot_mib: f64,
    pub(crate) pss_mib: f64,
    pub(crate) rss_mib: f64,
    /// Of the master alone.
    pub(crate) master_rss_mib: f64,
}

/// Measures each server `rounds` times; medians.
pub(crate) fn measure(rounds: usize) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for peer in [Peer::Licorne, Peer::Unicorn, Peer::Puma, Peer::Uwsgi].into_iter().filter(|peer| peer.is_there()) {
        let samples = (0..rounds).map(|_| one(peer)).collect::<anyhow::Result<Vec<Row>>>()?;
        let of = |part: fn(&Row) -> f64| median(samples.iter().map(part).collect());
        let row = Row {
            peer,
            processes: samples.first().map_or(0, |row| row.processes),
            pss_boot_mib: of(|row| row.pss_boot_mib),
            pss_mib: of(|row| row.pss_mib),
            rss_mib: of(|row| row.rss_mib),
            master_rss_mib: of(|row| row.master_rss_mib),
        };
        eprintln!("memory {:<10} {:.1} MiB PSS, master {:.1} MiB RSS", peer.name(), row.pss_mib, row.master_rss_mib);
        rows.push(row);
    }
    Ok(rows)
}

fn one(peer: Peer) -> anyhow::Result<Row> {
    let server = Running::start(peer, App::Sinatra, WORKERS, false)?;
    let boot = server.memory();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let endpoint = server.endpoint().clone();
            std::thread::spawn(move || {
                let request = Request::get(App::Sinatra.target()).close();
                (0..REQUESTS / CLIENTS).filter(|_| Connection::open(&endpoint).request(&request).status == 200).count()
            })
        })
        .collect();
    let answered: usize = clients.into_iter().map(|client| client.join().unwrap_or(0)).sum();
    ensure!(answered == REQUESTS, "{} answered {answered} of {REQUESTS} requests", peer.name());
    let after = server.memory();
    let mib = |kib: u64| kib as f64 / 1024.0;
    Ok(Row {
        peer,
        processes: server.tree().len(),
        pss_boot_mib: mib(boot.pss_kib),
        pss_mib: mib(after.pss_kib),
        rss_mib: mib(after.rss_kib),
        master_rss_mib: mib(procfs::memory(server.pid()).rss_kib),
    })
}
