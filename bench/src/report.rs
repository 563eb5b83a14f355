//! The table: `bench/report/report.md`, with the chart beside it.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::Context;
use testkit::program;

use crate::judge::Verdict;
use crate::peers::Peer;
use crate::results::Results;
use crate::{chart, engine, hurt, idle, memory, startup, throughput};

/// Writes report and chart, and prints the report.
pub(crate) fn write(results: &Results, verdicts: &[Verdict], rounds: usize, seconds: usize) -> anyhow::Result<()> {
    let place = program::repository().join("bench/report");
    fs::create_dir_all(&place)?;
    let report = render(results, verdicts, rounds, seconds);
    fs::write(place.join("report.md"), &report).context("writing the report")?;
    if !results.throughput.is_empty() {
        let chart = chart::render(&results.throughput).context("drawing the chart")?;
        fs::write(place.join("cpu-per-request.svg"), chart).context("writing the chart")?;
    }
    println!("{report}");
    println!("written to {}", place.display());
    Ok(())
}

fn render(results: &Results, verdicts: &[Verdict], rounds: usize, seconds: usize) -> String {
    let mut text = String::from("# Licorne beside its peers\n\n");
    let _ = writeln!(
        text,
        "Written by `make bench` on {}, {}; {} rounds of {seconds} s, interleaved, medians.\n\
         One worker pinned to CPU 0, wrk with one thread on CPU 1.\n\
         CPU time is that of all processes of the server.\n\
         \"Waited\" is the largest share of a run for which the server was ready to run and something else had its CPU:\n\
         above 0.10, do not trust the row (Puma's own threads wait for each other).\n",
        output("date", &["-u", "+%F"]),
        machine(),
        rounds
    );
    render_verdicts(&mut text, verdicts);
    if !results.throughput.is_empty() {
        text.push_str("![CPU time per request](cpu-per-request.svg)\n\n");
    }
    for table in &results.throughput {
        render_throughput(&mut text, table);
    }
    render_memory(&mut text, &results.memory);
    render_idle(&mut text, &results.idle);
    render_startup(&mut text, &results.startup);
    render_hurt(&mut text, &results.hurt);
    render_engine(&mut text, &results.engine);
    text.push_str("## Versions\n\n");
    for peer in [Peer::Licorne, Peer::Unicorn, Peer::Puma, Peer::Uwsgi] {
        let _ = writeln!(text, "- {}: {}", peer.name(), peer.version());
    }
    let _ = writeln!(text, "- ruby: {}", output("ruby", &["--version"]));
    text
}

fn render_verdicts(text: &mut String, verdicts: &[Verdict]) {
    text.push_str("## Promises\n\n| promise | limit | measured | kept |\n|---|---:|---:|---|\n");
    for verdict in verdicts {
        let measured = verdict.measured.map_or("-".to_owned(), |value| format!("{value:.2} {}", verdict.unit));
        let kept = match verdict.is_kept() {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "not measured",
        };
        let _ = writeln!(text, "| {} | {:.2} {} | {measured} | {kept} |", verdict.promise, verdict.limit, verdict.unit);
    }
    text.push('\n');
}

fn render_throughput(text: &mut String, table: &throughput::Table) {
    let _ = write!(
        text,
        "## {}\n\n| server | CPU us/request | range | requests/s | p50 ms | p99 ms | errors | waited |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|\n",
        table.title
    );
    for row in &table.rows {
        let _ = writeln!(
            text,
            "| {} | {:.1} | {:.1}-{:.1} | {:.0} | {:.3} | {:.2} | {} | {:.2} |",
            row.peer.name(),
            row.cpu_us,
            row.lowest_us,
            row.highest_us,
            row.per_second,
            row.p50_ms,
            row.p99_ms,
            row.errors,
            row.waited
        );
    }
    text.push('\n');
}

fn render_memory(text: &mut String, rows: &[memory::Row]) {
    if rows.is_empty() {
        return;
    }
    text.push_str(
        "## Memory: 4 workers, Sinatra, preloaded, MiB\n\n\
         | server | processes | PSS at boot | PSS after 5,000 requests | sum of RSS | RSS of the master |\n\
         |---|---:|---:|---:|---:|---:|\n",
    );
    for row in rows {
        let _ = writeln!(
            text,
            "| {} | {} | {:.1} | {:.1} | {:.1} | {:.1} |",
            row.peer.name(),
            row.processes,
            row.pss_boot_mib,
            row.pss_mib,
            row.rss_mib,
            row.master_rss_mib
        );
    }
    text.push('\n');
}

fn render_idle(text: &mut String, rows: &[idle::Row]) {
    if rows.is_empty() {
        return;
    }
    text.push_str(
        "## Idle: 2 workers, per second over 10 s\n\n| server | process | system calls | wake-ups |\n|---|---|---:|---:|\n",
    );
    for row in rows {
        let title: String = row.title.split(" -").next().unwrap_or("").chars().take(40).collect();
        let _ = writeln!(
            text,
            "| {} | {title} | {:.1} | {:.1} |",
            row.peer.name(),
            row.calls_per_second,
            row.wakeups_per_second
        );
    }
    text.push('\n');
}

fn render_startup(text: &mut String, rows: &[startup::Row]) {
    if rows.is_empty() {
        return;
    }
    text.push_str("## Start to first response: Sinatra, 1 worker\n\n| server | ms |\n|---|---:|\n");
    for row in rows {
        let name = row.peer.map_or("ruby, in-process", Peer::name);
        let _ = writeln!(text, "| {name} | {:.0} |", row.milliseconds);
    }
    text.push('\n');
}

fn render_hurt(text: &mut String, rows: &[hurt::Row]) {
    if rows.is_empty() {
        return;
    }
    text.push_str(
        "## Among clients that hurt: 2 workers, no proxy\n\n\
         500 clients drip a head, 200 a body, 100 read 20 MB at 10 KB/s, 5,000 stay idle, all at once.\n\
         A server has 60 s to let the idle ones in and 60 s for the others; who is not in by then stays away.\n\
         Two normal clients ask for 10 s and give an attempt up after 5 s.\n\n\
         | server | p99 ms alone | p99 ms among them | answered alone | among them | failed | idle kept | slow let in | MiB before | during | after |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    let ms = |p99: Option<f64>| p99.map_or("-".to_owned(), |p99| format!("{p99:.2}"));
    for row in rows {
        let [before, during, after] = row.mib;
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {before:.0} | {during:.0} | {after:.0} |",
            row.peer.name(),
            ms(row.alone.p99_ms),
            ms(row.among.p99_ms),
            row.alone.answered,
            row.among.answered,
            row.among.failed,
            row.idle,
            row.slow
        );
    }
    text.push('\n');
}

fn render_engine(text: &mut String, rows: &[engine::Row]) {
    if rows.is_empty() {
        return;
    }
    text.push_str(
        "## The HTTP engine alone: instructions per request (callgrind)\n\n\
         | request | what | instructions | times httparse |\n|---|---|---:|---:|\n",
    );
    for row in rows {
        let _ = writeln!(text, "| {} | {} | {} | {:.2} |", row.request, row.what, row.instructions, row.times);
    }
    text.push('\n');
}

fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("?", |pair| pair.1);
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    format!("{count} cores of {model}, Linux {}", output("uname", &["-r"]))
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| "?".into(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
