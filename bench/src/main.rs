//! Licorne beside its peers and beside bare loops: one run, one report, some charts.
//!
//! One server at a time. For the cost of a request it has one worker, pinned to CPU 0, and wrk has one thread on CPU 1;
//! rounds are interleaved and each starts its server anew; medians are reported. The figure to compare is CPU time per
//! request, of all the server's processes: requests per second stop at what wrk can ask. Tail, fairness and memory have
//! scenarios of their own, in modules of those names.
//!
//! `bench [SCENARIO…]`; `BENCH_ROUNDS` (3) and `BENCH_SECONDS` (5) make it shorter or longer, `LICORNE_BIN` names the
//! program, `LICORNE_BIN_34` one whose extension is built for Ruby 3.4. The report goes to `bench/report/`.

mod apps;
mod chart;
mod engine;
mod fleet;
mod hurt;
mod idle;
mod judge;
mod median;
mod memory;
mod open_loop;
mod paced;
mod peers;
mod report;
mod results;
mod running;
mod startup;
mod throughput;
mod wrk;

use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|word| name.contains(word.as_str()));
    let rounds = number("BENCH_ROUNDS", 3);
    let seconds = number("BENCH_SECONDS", 5);
    if !peers::Peer::Licorne.is_there() {
        eprintln!("bench: {} is not there: only the peers are measured", testkit::program::path().display());
    }
    go_first();
    let mut results = results::Results::default();
    let mut missing = Vec::new();
    for scenario in throughput::SCENARIOS.iter().filter(|scenario| wanted(scenario.name)) {
        let measured = throughput::measure(scenario, rounds, seconds);
        results.throughput.extend(measured_or_missing(measured, scenario.name, &mut missing));
    }
    for scenario in paced::SCENARIOS.iter().filter(|scenario| wanted(scenario.name)) {
        let measured = paced::measure(scenario, rounds, seconds);
        results.paced.extend(measured_or_missing(measured, scenario.name, &mut missing));
    }
    for scenario in memory::SCENARIOS.iter().filter(|scenario| wanted(scenario.name)) {
        let measured = memory::measure(scenario, rounds);
        results.memory.extend(measured_or_missing(measured, scenario.name, &mut missing));
    }
    if wanted("fleet") {
        results.fleet = measured_or_missing(fleet::measure(rounds), "fleet", &mut missing).unwrap_or_default();
    }
    if wanted("idle") {
        results.idle = measured_or_missing(idle::measure(), "idle", &mut missing).unwrap_or_default();
    }
    if wanted("engine") {
        results.engine = measured_or_missing(engine::measure(), "engine", &mut missing).unwrap_or_default();
    }
    if wanted("hurt") {
        results.hurt = measured_or_missing(hurt::measure(), "hurt", &mut missing).unwrap_or_default();
    }
    if wanted("startup") {
        results.startup =
            measured_or_missing(startup::measure(rounds * 3), "startup", &mut missing).unwrap_or_default();
    }
    let verdicts = judge::judge(&results);
    report::write(&results, &verdicts, report::Effort { rounds, seconds })?;
    anyhow::ensure!(missing.is_empty(), "not in the report: {}", missing.join(", "));
    Ok(())
}

/// A scenario that fails is missing in the report, and costs no other one.
fn measured_or_missing<T>(measured: anyhow::Result<T>, name: &str, missing: &mut Vec<String>) -> Option<T> {
    measured.map_err(|error| eprintln!("bench: {name}: {error:#}")).inspect_err(|()| missing.push(name.to_owned())).ok()
}

/// Runs this session before other work on the machine, where that is allowed (it is to root).
///
/// Niceness counts only within a session once sched(7)'s autogroups are on, so it is the session that is set, and only
/// one that was made for this run (`make bench` uses setsid(1)).
fn go_first() {
    let own = rustix::process::getpid();
    if rustix::process::getsid(None).is_ok_and(|leader| leader == own) {
        let _ = std::fs::write("/proc/self/autogroup", "-15");
    }
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
