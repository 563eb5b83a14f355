//! The report: `bench/report/report.md`, with the charts beside it.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::Context;
use testkit::program;

use crate::chart::{self, Group};
use crate::judge::{Limit, Verdict};
use crate::peers::{Peer, SERVERS};
use crate::results::Results;
use crate::{engine, fleet, hurt, idle, memory, paced, startup, throughput};

/// How often and how long each thing was measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    pub(crate) seconds: usize,
}

/// Writes report and charts, and prints the report.
pub(crate) fn write(results: &Results, verdicts: &[Verdict], effort: Effort) -> anyhow::Result<()> {
    let place = program::repository().join("bench/report");
    fs::create_dir_all(&place)?;
    let charts = charts(results);
    let report = render(results, verdicts, effort, &charts);
    fs::write(place.join("report.md"), &report).context("writing the report")?;
    for (name, title, groups) in &charts {
        let chart = chart::render(title, groups).context("drawing the chart")?;
        fs::write(place.join(format!("{name}.svg")), chart).context("writing the chart")?;
    }
    println!("{report}");
    println!("written to {}", place.display());
    Ok(())
}

/// The charts that there are figures for: name, title, bars.
fn charts(results: &Results) -> Vec<(&'static str, &'static str, Vec<Group>)> {
    let cpu = results.throughput.iter().filter(|table| table.rows.iter().all(|row| row.workers == 1)).map(|table| {
        let bars = table.rows.iter().map(|row| (row.peer, row.cpu_us)).collect();
        Group { title: table.title.to_owned(), bars }
    });
    let memory = results.memory.iter().map(|table| {
        let bars = table.rows.iter().map(|row| (row.peer, row.loaded)).collect();
        Group { title: table.title.to_owned(), bars }
    });
    let tail = results.paced.iter().filter(|table| !table.name.starts_with("fairness")).map(|table| {
        let bars = table.rows.iter().map(|row| (row.peer, row.ms[2])).collect();
        Group { title: table.title.to_owned(), bars }
    });
    let all = [
        ("cpu-per-request", "CPU microseconds per request (less is better)", cpu.collect::<Vec<Group>>()),
        ("memory", "PSS of all processes after load, MiB (less is better)", memory.collect()),
        ("tail", "p99 in ms at a fixed rate (less is better)", tail.collect()),
    ];
    all.into_iter().filter(|(_, _, groups)| !groups.is_empty()).collect()
}

fn render(
    results: &Results,
    verdicts: &[Verdict],
    effort: Effort,
    charts: &[(&'static str, &'static str, Vec<Group>)],
) -> String {
    let mut text = String::from("# Licorne beside its peers\n\n");
    let _ = writeln!(
        text,
        "Written by `make bench` on {}, {}, {}; {} rounds of {} s, interleaved, medians; \"range\" is the lowest and the\n\
         highest of the rounds.\n\
         One worker is pinned to CPU 0, the clients to CPU 1; several workers share all CPUs with the clients.\n\
         CPU time is that of all processes of the server.\n\
         \"Waited\" is the largest share of a run for which the server was ready to run and something else had its CPU:\n\
         above 0.10, do not trust the row (Puma's own threads wait for each other; where the clients are on the same\n\
         CPUs it is always high).\n",
        output("date", &["-u", "+%F"]),
        machine(),
        distribution(),
        effort.rounds,
        effort.seconds
    );
    render_verdicts(&mut text, verdicts);
    for (name, title, _) in charts {
        let _ = writeln!(text, "![{title}]({name}.svg)\n");
    }
    for each in &results.throughput {
        render_throughput(&mut text, each);
    }
    for each in &results.paced {
        render_paced(&mut text, each);
    }
    for each in &results.memory {
        render_memory(&mut text, each);
    }
    render_fleet(&mut text, &results.fleet);
    render_idle(&mut text, &results.idle);
    render_startup(&mut text, &results.startup);
    render_hurt(&mut text, &results.hurt);
    render_engine(&mut text, &results.engine);
    render_versions(&mut text);
    text
}

/// A heading, a text where there is one, and a table whose first column is the only one of words; nothing without rows.
fn table(text: &mut String, title: &str, about: &str, columns: &[&str], rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(text, "## {title}\n");
    if !about.is_empty() {
        let _ = writeln!(text, "{about}\n");
    }
    let _ = writeln!(text, "| {} |\n|---|{}", columns.join(" | "), "---:|".repeat(columns.len() - 1));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text.push('\n');
}

fn render_verdicts(text: &mut String, verdicts: &[Verdict]) {
    text.push_str("## Promises\n\n| promise | limit | measured | |\n|---|---:|---:|---|\n");
    for verdict in verdicts {
        let unit = verdict.unit;
        let (limit, measured) = match verdict.limit {
            Limit::AtMost(limit) => (format!("≤ {limit:.2} {unit}"), &verdict.measured),
            Limit::AtLeast(limit) => (format!("≥ {limit:.2} {unit}"), &verdict.measured),
        };
        let (measured, kept) = match (measured, verdict.is_kept()) {
            (Ok(value), Some(true)) => (format!("{value:.2} {unit}"), "kept".to_owned()),
            (Ok(value), _) => (format!("{value:.2} {unit}"), "**no**".to_owned()),
            (Err(why), _) => ("–".to_owned(), format!("not measured: {why}")),
        };
        let _ = writeln!(text, "| {} | {} | {} | {kept} |", verdict.promise, limit.trim_end(), measured.trim_end());
    }
    text.push('\n');
}

fn render_throughput(text: &mut String, each: &throughput::Table) {
    let rows = each.rows.iter().map(|row| {
        vec![
            row.peer.name().to_owned(),
            row.workers.to_string(),
            format!("{:.1}", row.cpu_us),
            format!("{:.1}–{:.1}", row.lowest_us, row.highest_us),
            format!("{:.0}", row.per_second),
            format!("{:.3}", row.p50_ms),
            format!("{:.2}", row.p99_ms),
            row.errors.to_string(),
            format!("{:.2}", row.waited),
        ]
    });
    let columns =
        ["server", "workers", "CPU µs/request", "range", "requests/s", "p50 ms", "p99 ms", "errors", "waited"];
    table(text, each.title, "", &columns, rows.collect());
}

fn render_paced(text: &mut String, each: &paced::Table) {
    let rows = each.rows.iter().map(|row| {
        let mut cells = vec![row.peer.name().to_owned()];
        if let Some(before) = row.p99_before {
            cells.push(format!("{before:.2}"));
        }
        cells.extend(row.ms.map(|ms| format!("{ms:.2}")));
        cells.extend([
            format!("{:.2}–{:.2}", row.range[0], row.range[1]),
            format!("{:.0} %", row.cpu * 100.0),
            row.failed.to_string(),
            spread(row.spread),
            format!("{} of {}", row.majors[0], row.majors[1]),
            format!("{:.2}", row.longest_wait_ms),
            format!("{:.0}", row.capacity),
            format!("{:.0}", row.pss),
        ]);
        cells
    });
    let mut columns = vec!["server"];
    if each.rows.iter().any(|row| row.p99_before.is_some()) {
        columns.push("p99 before");
    }
    columns.extend([
        "p50 ms",
        "p95",
        "p99",
        "p99.9",
        "longest",
        "range of p99",
        "CPU 0",
        "failed",
        "highest ÷ lowest",
        "full GCs in requests",
        "longest wait",
        "requests/s without a rate",
        "PSS MiB",
    ]);
    let about = format!(
        "{:.0} requests a second, in an open loop (bench/src/open_loop.rs): a latency counts from when a request was due.\n\
         All workers share CPU 0. \"Longest wait\" is the time between a client's sending and the application.",
        each.per_second
    );
    table(text, each.title, &about, &columns, rows.collect());
}

/// Without workers that name themselves there is none; without requests for one of them it has no end.
fn spread(spread: f64) -> String {
    match spread {
        spread if spread.is_nan() => "–".into(),
        spread if spread.is_infinite() => "∞".into(),
        spread => format!("{spread:.2}"),
    }
}

fn render_memory(text: &mut String, each: &memory::Table) {
    let grown = each.rows.iter().any(|row| row.growth != 0.0);
    let rows = each.rows.iter().map(|row| {
        let mut cells = vec![row.peer.name().to_owned(), row.processes.to_string()];
        cells.extend([row.boot, row.loaded].map(|mib| format!("{mib:.1}")));
        cells.push(format!("{:.1}–{:.1}", row.range[0], row.range[1]));
        cells.push(format!("{:.1}", row.private));
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        cells.push(row.reforked.map_or_else(
            || percent(row.shared),
            |reforked| format!("{}, {} right after a refork", percent(row.shared), percent(reforked)),
        ));
        cells.extend([row.rss, row.master].map(|mib| format!("{mib:.1}")));
        if grown {
            cells.push(format!("{:+.1}", row.growth));
        }
        cells
    });
    let mut columns = vec![
        "server",
        "processes",
        "PSS at boot, MiB",
        "PSS after load",
        "range",
        "of that private",
        "shared",
        "sum of RSS",
        "RSS of the master",
    ];
    if grown {
        columns.push("PSS after the further ones");
    }
    table(text, each.title, "All preloaded.", &columns, rows.collect());
}

fn render_fleet(text: &mut String, rows: &[fleet::Row]) {
    let rows = rows.iter().map(|row| {
        let mut cells = vec![row.peer.name().to_owned()];
        cells.extend(row.pss.map(|mib| format!("{mib:.1}")));
        cells.push(format!("{:.2}", row.further_worker_mb()));
        cells.extend(row.boot.map(|seconds| format!("{seconds:.2}")));
        cells
    });
    let [few, more, most] = fleet::WORKERS.map(|workers| format!("PSS of {workers} workers, MiB"));
    let boot = fleet::WORKERS.map(|workers| format!("boot of {workers}, s"));
    let columns = ["server", &few, &more, &most, "a further one, MB", &boot[0], &boot[1], &boot[2]];
    table(text, "Workers that do nothing: hello, preloaded", "", &columns, rows.collect());
}

fn render_idle(text: &mut String, rows: &[idle::Row]) {
    let rows = rows.iter().map(|row| {
        let title: String = row.title.split(" -").next().unwrap_or("").chars().take(40).collect();
        vec![
            format!("{}: {title}", row.peer.name()),
            format!("{:.1}", row.calls_per_second),
            format!("{:.1}", row.wakeups_per_second),
        ]
    });
    let columns = ["process", "system calls", "wake-ups"];
    table(text, "Idle: 2 workers, per second over 10 s", "", &columns, rows.collect());
}

fn render_startup(text: &mut String, rows: &[startup::Row]) {
    let name = |row: &startup::Row| row.peer.map_or("ruby, in-process", Peer::name).to_owned();
    let rows = rows.iter().map(|row| vec![name(row), format!("{:.0}", row.milliseconds)]);
    table(text, "Start to first response: Sinatra, 1 worker", "", &["server", "ms"], rows.collect());
}

fn render_hurt(text: &mut String, rows: &[hurt::Row]) {
    let ms = |p99: Option<f64>| p99.map_or("–".to_owned(), |p99| format!("{p99:.2}"));
    let rows = rows.iter().map(|row| {
        let mut cells = vec![row.peer.name().to_owned(), ms(row.alone.p99_ms), ms(row.among.p99_ms)];
        let counts = [row.alone.answered, row.among.answered, row.among.failed, row.idle, row.slow];
        cells.extend(counts.map(|count| count.to_string()));
        cells.extend(row.mib.map(|mib| format!("{mib:.0}")));
        cells
    });
    let about = "500 clients drip a head, 200 a body, 100 read 20 MB at 10 KB/s, 5,000 stay idle, all at once.\n\
                 A server has 30 s to let the idle ones in and 30 s for the others; who is not in by then stays away.\n\
                 Two normal clients ask for 10 s and give an attempt up after 5 s.";
    let columns = [
        "server",
        "p99 ms alone",
        "p99 ms among them",
        "answered alone",
        "among them",
        "failed",
        "idle kept",
        "slow let in",
        "MiB before",
        "during",
        "after",
    ];
    table(text, "Among clients that hurt: 2 workers, no proxy", about, &columns, rows.collect());
}

fn render_engine(text: &mut String, rows: &[engine::Row]) {
    let rows = rows.iter().map(|row| {
        vec![format!("{}: {}", row.request, row.what), row.instructions.to_string(), format!("{:.2}", row.times)]
    });
    let columns = ["request", "instructions", "times httparse"];
    table(text, "The HTTP engine alone: instructions per request (callgrind)", "", &columns, rows.collect());
}

fn render_versions(text: &mut String) {
    text.push_str("## Versions, and what was not there\n\n");
    for peer in SERVERS {
        let what = peer.absence().map_or_else(|| peer.version(), |why| format!("absent: {why}"));
        let _ = writeln!(text, "- {}: {what}", peer.name());
    }
    let _ = writeln!(text, "- ruby: {}", output("ruby", &["--version"]));
    for gem in ["rack", "sinatra", "rails"] {
        let script = format!("print Gem::Specification.find_by_name({gem:?}).version");
        let _ = writeln!(text, "- {gem}: {}", output("ruby", &["-e", &script]));
    }
    let wrk = output("sh", &["-c", "wrk --version | head -n 1"]);
    let _ = writeln!(text, "- clients: {wrk}; the open loop is the bench's own");
}

fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("?", |pair| pair.1);
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    format!("{count} cores of {model}, Linux {}", output("uname", &["-r"]))
}

fn distribution() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("?").trim_matches('"').to_owned()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| "?".into(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
