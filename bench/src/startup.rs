//! From the start of the program to the first response, beside what Ruby itself needs for the same application.

use std::process::Stdio;
use std::time::Instant;

use anyhow::ensure;
use testkit::program;

use crate::apps::App;
use crate::median::median;
use crate::peers::Peer;
use crate::running::{Running, SERVER_CPU, pinned};

/// One server, or Ruby alone.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// `None` is `ruby`, in-process.
    pub(crate) peer: Option<Peer>,
    pub(crate) milliseconds: f64,
}

/// Measures each `rounds` times, interleaved; medians.
pub(crate) fn measure(rounds: usize) -> anyhow::Result<Vec<Row>> {
    let peers: Vec<Option<Peer>> = [None, Some(Peer::Licorne), Some(Peer::Unicorn), Some(Peer::Puma)]
        .into_iter()
        .filter(|peer| peer.is_none_or(Peer::is_there))
        .collect();
    let mut samples = vec![Vec::new(); peers.len()];
    for _ in 0..rounds {
        for (peer, samples) in peers.iter().zip(&mut samples) {
            samples.push(match peer {
                None => in_process()?,
                Some(peer) => Running::start(*peer, App::Sinatra, 1, false)?.first_response.as_secs_f64() * 1e3,
            });
        }
    }
    let rows: Vec<Row> =
        peers.iter().zip(samples).map(|(peer, samples)| Row { peer: *peer, milliseconds: median(samples) }).collect();
    for row in &rows {
        eprintln!("startup {:<10} {:.0} ms", row.peer.map_or("ruby", Peer::name), row.milliseconds);
    }
    Ok(rows)
}

fn in_process() -> anyhow::Result<f64> {
    let mut command = pinned(SERVER_CPU);
    command.arg("ruby").arg(program::repository().join("bench/servers/in_process.rb"));
    command.arg(App::Sinatra.rackup()).arg(App::Sinatra.target()).env("RACK_ENV", "production");
    let began = Instant::now();
    let status = command.stdin(Stdio::null()).status()?;
    let milliseconds = began.elapsed().as_secs_f64() * 1e3;
    ensure!(status.success(), "ruby could not answer in-process");
    Ok(milliseconds)
}
