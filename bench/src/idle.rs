//! What an idle server does: system calls (strace) and wake-ups (context switches) per second, process by process.

use std::process::{Command, Stdio};

use anyhow::Context;
use testkit::procfs;

use crate::apps::App;
use crate::peers::Peer;
use crate::running::Running;

const SECONDS: usize = 10;
/// After its first response a server gets so long to finish its boot.
const SETTLE_SECONDS: usize = 2;

/// One process of an idle server.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) peer: Peer,
    pub(crate) title: String,
    pub(crate) is_master: bool,
    pub(crate) calls_per_second: f64,
    pub(crate) wakeups_per_second: f64,
}

/// Watches Licorne and Unicorn with 2 workers each.
pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for peer in [Peer::Licorne, Peer::Unicorn, Peer::Puma].into_iter().filter(|peer| peer.is_there()) {
        let server = Running::start(peer, App::Hello, 2, false)?;
        // The first response comes before the last worker is there.
        pause(SETTLE_SECONDS)?;
        let tree = server.tree();
        let before: Vec<u64> = tree.iter().map(|process| switches(process.pid)).collect();
        // First without a tracer, which wakes what it watches.
        pause(SECONDS)?;
        let wakeups: Vec<u64> =
            tree.iter().zip(&before).map(|(process, before)| switches(process.pid) - before).collect();
        let calls = trace(&tree)?;
        for ((process, wakeups), calls) in tree.iter().zip(wakeups).zip(calls) {
            rows.push(Row {
                peer,
                title: process.title.clone(),
                is_master: process.pid == server.pid(),
                calls_per_second: calls as f64 / SECONDS as f64,
                wakeups_per_second: wakeups as f64 / SECONDS as f64,
            });
        }
    }
    for row in &rows {
        eprintln!("idle {:.1} calls/s {:.1} wake-ups/s {}", row.calls_per_second, row.wakeups_per_second, row.title);
    }
    Ok(rows)
}

fn pause(seconds: usize) -> anyhow::Result<()> {
    Command::new("sleep").arg(seconds.to_string()).status().context("running sleep")?;
    Ok(())
}

/// Voluntary context switches of all threads: each is one wait that ended, or will.
fn switches(pid: u32) -> u64 {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    let one = |name: std::ffi::OsString| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/task/{}/status", name.to_string_lossy())).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        line.trim().parse::<u64>().ok()
    };
    threads.flatten().filter_map(|entry| one(entry.file_name())).sum()
}

/// `strace -c -f` on each process at once; the number of calls that each finished.
fn trace(tree: &[procfs::Process]) -> anyhow::Result<Vec<u64>> {
    let mut tracers = Vec::new();
    for process in tree {
        let mut command = Command::new("timeout");
        command.args(["-s", "INT", &SECONDS.to_string(), "strace", "-c", "-f", "-p", &process.pid.to_string()]);
        tracers.push(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("starting strace")?);
    }
    let mut calls = Vec::new();
    for tracer in tracers {
        let output = tracer.wait_with_output().context("waiting for strace")?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        // "100.00    0.000123           1       102         3 total"; nothing at all when there was no call.
        let total = text.lines().find(|line| line.trim_end().ends_with(" total"));
        calls.push(total.and_then(|line| line.split_ascii_whitespace().nth(3)?.parse().ok()).unwrap_or(0));
    }
    Ok(calls)
}
