//! Facts that the supervisor found worth a line, as lines.

use std::path::Path;

use supervisor::{Fact, Failure, SlotId, Wear};

use crate::canary::watch::Sides;
use crate::causes::OUT_OF_TURN;
use crate::children::worker::Worker;
use crate::config::revision::Release;
use crate::report::owner::Report;

/// What a line about a fact may have to name.
pub(crate) struct Names<'a> {
    pub(crate) config_file: Option<&'a str>,
    /// The process of the new master, if there is one.
    pub(crate) successor: Option<u32>,
    /// The process of the mold that the fact is about.
    pub(crate) mold: Option<u32>,
    /// What workers on trial, and the others, have done.
    pub(crate) trial: Option<&'a Sides>,
    /// The release that serves.
    pub(crate) release: Option<&'a Release>,
    /// Where the admin process that the fact is about was to answer.
    pub(crate) admin_listen: Option<&'a str>,
    /// The worker that the fact is about.
    pub(crate) recycled: Option<&'a Worker>,
    /// The service that the fact is about.
    pub(crate) service: Option<&'a str>,
}

/// Logs a fact, and remembers how reloads go.
pub(crate) fn report(report: &mut Report, fact: Fact, names: &Names<'_>) {
    match fact {
        Fact::ReloadFailed { why, generation } | Fact::RollBack { why, generation } => {
            let text = report.causes.text(why);
            report.reloads.end(generation, Some(text.lines().next().unwrap_or_default()));
        }
        Fact::ReloadStarted { generation } | Fact::GoesBack { generation } => report.reloads.begin(generation),
        Fact::RollDone { generation } => report.reloads.end(generation, None),
        Fact::WorkerRecycled { why, .. } => count(&mut report.recycled, why),
        Fact::ReforkStarted { generation, .. } => report.reforks.begin(generation),
        Fact::ReforkDone { generation } => report.reforks.end(generation, None),
        Fact::ReforkFailed { why, generation } => {
            let text = report.causes.text(why);
            report.reforks.end(generation, Some(text.lines().next().unwrap_or_default()));
        }
        _ => {}
    }
    write(report, fact, names);
}

fn count(recycled: &mut facts::Recycled, why: Wear) {
    let count = match why {
        Wear::Requests => &mut recycled.max_requests,
        Wear::Age => &mut recycled.max_age,
        Wear::Memory => &mut recycled.max_memory,
        Wear::Budget => &mut recycled.memory_budget,
    };
    *count += 1;
}

fn write(report: &Report, fact: Fact, names: &Names<'_>) {
    let log = &report.log;
    match fact {
        Fact::ReloadStarted { .. } => log_reload(report, "reloading", names),
        Fact::ReloadRestarted { dropped } => {
            log.info(format_args!("another reload: gen={dropped} is dropped while it boots"));
        }
        Fact::ReloadQueued => log.info("another reload: it follows the one under way"),
        Fact::UpgradeQueued => log.info("an upgrade: it follows the reload under way"),
        Fact::ReloadFailed { generation, why } => log_failure(report, "error reloading", generation.0, why, names),
        Fact::RollStarted { generation, total } => {
            log.info(format_args!("gen={generation} is ready, replacing {total} workers"));
        }
        Fact::CanaryServing { generation, workers, watch } => {
            let seconds = watch.as_secs_f64();
            log.info(format_args!("canary: {workers} of gen={generation} serve, watched for {seconds:.0} s"));
        }
        Fact::CanaryPassed { generation, promoted } => {
            let how = if promoted { "is promoted" } else { "has passed" };
            let sides = names.trial.map(ToString::to_string).unwrap_or_default();
            log.info(format_args!("canary: gen={generation} {how}{sides}"));
        }
        Fact::GoesBack { generation } => log.info(format_args!("rolling back to gen={generation}")),
        Fact::PreviousKept { generation, time } => {
            let seconds = time.as_secs_f64();
            log.info(format_args!(
                "mold gen={generation} is kept for {seconds:.0} s: licorne rollback goes back to it"
            ));
        }
        Fact::PreviousGone { generation } => log.info(format_args!("mold gen={generation} is not kept any more")),
        Fact::RollServing { generation } => log.info(format_args!("gen={generation} serves")),
        Fact::RollDone { generation } => {
            log.info(format_args!("gen={generation} serves alone"));
            log_reload(report, "done reloading", names);
            log_release(report, names.release);
        }
        Fact::RollBack { generation, why } => {
            log_failure(report, "error reloading, going back", generation.0, why, names);
        }
        Fact::ReforkStarted { generation, slot, requests } => {
            log.info(format_args!(
                "reforking: worker={slot} has served {requests} requests and forks mold gen={generation}"
            ));
        }
        Fact::ReforkElsewhere { why, .. } => {
            log.info(format_args!("no refork from this worker: {}", report.causes.text(why)));
        }
        Fact::ReforkFailed { generation, why } => log_refork_failure(report, generation.0, why),
        Fact::ReforkDone { generation } => log.info(format_args!("done reforking: gen={generation} serves alone")),
        Fact::BackOff { slot, failures, delay } => log.error(format_args!(
            "worker={slot} failed {failures} times in a row, next try in {:.1} s",
            delay.as_secs_f64()
        )),
        Fact::WorkerRecycled { slot, why, .. } => log_recycled(report, slot, why, names.recycled),
        Fact::Resized { from, to } => log.info(format_args!("{to} workers from now on; there were {from}")),
        Fact::WorkerUnreachable { slot } => {
            log.error(format_args!("worker={slot} has closed its control socket and lives on, telling it to leave"));
        }
        Fact::MoldForksNothing { generation } => {
            let pid = names.mold.unwrap_or(0);
            log.error(format_args!("mold gen={generation} pid={pid} forks no workers; killing it"));
        }
        Fact::MoldLost { generation } => log.error(format_args!("mold gen={generation} is lost, starting another")),
        Fact::MoldRecovered { generation } => log.info(format_args!("mold gen={generation} is ready")),
        Fact::MoldRecoveryFailed { generation, why, delay } => {
            log.error(format_args!("mold gen={generation}: {why}, next try in {:.1} s", delay.as_secs_f64()));
        }
        Fact::NoConfigFile => log.info("config_file not present, reexecuting binary"),
        Fact::SuccessorAlreadyRunning => {
            let pid = names.successor.unwrap_or(0);
            log.error(format_args!("reexec-ed child already running PID:{pid}"));
        }
        Fact::OutOfTurn => log.error(format_args!("cannot upgrade: {OUT_OF_TURN}")),
        Fact::SuccessorReady => log.info("the new master serves"),
        Fact::SuccessorGone { ready: true } => log.info("the new master has left"),
        Fact::SuccessorGone { ready: false } => log.error("the new master died before it served"),
        Fact::SuccessorLost => {
            log.error("the new master died while this one was leaving to it: the unit has to be started again");
        }
        Fact::Orphaned => log.error("the old master died and left its unit to nobody: leaving too"),
        Fact::PreflightStarted => log.info("looking at the new program"),
        Fact::UpgradeRefused { why } => log.error(format_args!("no upgrade: {why}")),
        Fact::UpgradeFailed { why } => log_upgrade_failure(report, why),
        Fact::Replaced => {}
        Fact::QuitDeferred => log.info("the new master is not ready yet: serving on until it is"),
        Fact::QuitDropped => log.warn("the new master never served: this one stays"),
        Fact::AdminDied { cause } => {
            log.error(format_args!("reaped {} admin", report.causes.of(cause).unwrap_or_default()));
        }
        Fact::AdminWithoutAddress { .. } => log.error(format_args!(
            "admin_listen={}: nothing answers health checks there; the next reload tries again",
            names.admin_listen.unwrap_or_default()
        )),
        Fact::ServiceBackOff { failures, delay, .. } => log.error(format_args!(
            "service={} failed {failures} times in a row, next try in {:.1} s",
            names.service.unwrap_or_default(),
            delay.as_secs_f64()
        )),
        Fact::WinchIgnored => log.info("SIGWINCH ignored because we're not daemonized"),
        Fact::WinchStarted => log.info("gracefully stopping all workers"),
        Fact::IgnoredWhileStopping => log.info("ignored: the server is stopping"),
        Fact::StopStarted { graceful: true, delay } if !delay.is_zero() => {
            log.info(format_args!("stopping in {:.0} s", delay.as_secs_f64()));
        }
        Fact::StopStarted { .. } => {}
    }
}

/// Says what a worker has done that had had its time.
fn log_recycled(report: &Report, slot: SlotId, why: Wear, worker: Option<&Worker>) {
    let now_ns = sys::clock::monotonic_ns();
    let pid = worker.and_then(Worker::pid).unwrap_or(0);
    let requests = worker.map_or(0, |worker| worker.totals().requests);
    let age_s = now_ns.saturating_sub(worker.and_then(Worker::ready_ns).unwrap_or(now_ns)) / 1_000_000_000;
    let private = report.readings.of(pid, now_ns).and_then(|memory| memory.private_bytes);
    let private = private.map_or_else(String::new, |bytes| format!(", {} MiB private", bytes >> 20));
    report.log.info(format_args!(
        "worker={slot} PID:{pid} is replaced by {why}: it has served {requests} requests in {age_s} s{private}"
    ));
}

fn log_upgrade_failure(report: &Report, why: Failure) {
    report.log.error(format_args!("error upgrading: {why}; this program serves on"));
    report.causes.told(why).iter().flat_map(|text| text.lines()).for_each(|line| report.log.error(line));
}

/// The cause, one line for each of its lines; then what it means.
fn log_refork_failure(report: &Report, generation: u32, why: Failure) {
    let text = report.causes.text(why);
    let mut lines = text.lines();
    report.log.error(format_args!("error reforking: {}", lines.next().unwrap_or_default()));
    lines.for_each(|line| report.log.error(line));
    report.log.error(format_args!("gen={generation}: {why}; the workers serve on as they are"));
}

/// Unicorn's line about a failed reload, then one line for each line of the backtrace.
fn log_failure(report: &Report, what: &str, generation: u32, why: Failure, names: &Names<'_>) {
    let text = report.causes.text(why);
    let mut lines = text.lines();
    let file = names.config_file.unwrap_or("");
    let first = lines.next().unwrap_or_default();
    report.log.error(format_args!("{what} config_file={file}: {first}"));
    lines.for_each(|line| report.log.error(line));
    report.log.error(format_args!("gen={generation}: {why}; the generation before it serves on"));
}

/// Unicorn's lines about a reload name the file.
fn log_reload(report: &Report, what: &str, names: &Names<'_>) {
    match names.config_file {
        Some(file) => report.log.info(format_args!("{what} config_file={}", Path::new(file).display())),
        None => report.log.info(what),
    }
}

/// Says which release serves, and warns when it is not the one that was meant.
fn log_release(report: &Report, release: Option<&Release>) {
    let Some(release) = release else { return };
    report.log.info(format_args!("serving {release}"));
    if let Some(warning) = release.warning() {
        report.log.warn(warning);
    }
}
