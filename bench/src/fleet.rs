//! What a further worker costs that does nothing: hello with few and many workers, and how long many take to come up.

use crate::apps::App;
use crate::median::median;
use crate::peers::Peer;
use crate::running::{Running, free_place, plain};

/// How many workers.
pub(crate) const WORKERS: [usize; 3] = [16, 64, 128];
const PEERS: [Peer; 4] = [Peer::Licorne, Peer::Unicorn, Peer::Puma, Peer::Pitchfork];

/// One server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) peer: Peer,
    /// PSS in MiB, for each number of workers.
    pub(crate) pss: [f64; 3],
    /// Until nothing happens any more, in seconds.
    pub(crate) boot: [f64; 3],
}

impl Row {
    /// What each worker has cost from the first number of workers to the last, in MB (10⁶ bytes).
    pub(crate) fn further_worker_mb(&self) -> f64 {
        (self.pss[2] - self.pss[0]) * 1.048_576 / (WORKERS[2] - WORKERS[0]) as f64
    }
}

/// Measures each server that is there, `rounds` times, interleaved; medians.
pub(crate) fn measure(rounds: usize) -> anyhow::Result<Vec<Row>> {
    let peers: Vec<Peer> = PEERS.into_iter().filter(|peer| peer.is_there()).collect();
    let mut samples: Vec<Vec<Row>> = vec![Vec::new(); peers.len()];
    for _ in 0..rounds {
        for (peer, samples) in peers.iter().zip(&mut samples) {
            let row = one(*peer)?;
            eprintln!("fleet {row:?}");
            samples.push(row);
        }
    }
    let at = |rows: &[Row], part: fn(&Row) -> [f64; 3]| {
        [0, 1, 2].map(|index| median(rows.iter().map(|row| part(row)[index]).collect()))
    };
    let rows = peers.iter().zip(&samples);
    Ok(rows
        .map(|(peer, rows)| Row { peer: *peer, pss: at(rows, |row| row.pss), boot: at(rows, |row| row.boot) })
        .collect())
}

fn one(peer: Peer) -> anyhow::Result<Row> {
    let mut row = Row { peer, pss: [0.0; 3], boot: [0.0; 3] };
    for (index, workers) in WORKERS.into_iter().enumerate() {
        let server = Running::start_at(free_place()?, peer, App::Hello, workers, false, plain())?;
        row.boot[index] = server.settle().as_secs_f64();
        row.pss[index] = server.memory().pss_kib as f64 / 1024.0;
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_further_worker_costs_what_came_with_each() {
        let row = Row { peer: Peer::Licorne, pss: [30.0, 78.0, 142.0], boot: [0.0; 3] };
        assert!((row.further_worker_mb() - 1.048_576).abs() < 1e-9);
    }
}
