//! The state of the server, as the facts that are told of it.

use std::os::fd::AsFd;
use std::rc::Rc;

use facts::{Backlog, Logs, Loss, Mark, Mold, Phase, Previous, Roll, Status, Trouble, WorkerRange};
use scoreboard::Losses;
use supervisor::{Instant, Supervisor};
use sys::clock::Moment;
use sys::log_output::why_lost;

use crate::canary::compare::Side;
use crate::canary::watch::Canary;
use crate::children::marks::Marks;
use crate::children::registry::Children;
use crate::log::lines::Log;
use crate::report::owner::Report;
use crate::report::{memory, services, workers};
use crate::services::Services;
use crate::sockets::bound::{Bound, Listeners};

/// What the state is read from.
pub(crate) struct Sources<'a> {
    pub(crate) supervisor: &'a Supervisor,
    pub(crate) children: &'a Children,
    pub(crate) services: &'a Services,
    /// What waits, as [`backlogs`] has found it.
    pub(crate) backlogs: Vec<Backlog>,
    pub(crate) report: &'a Report,
    pub(crate) canary: &'a Canary,
    /// The process of the new master, if there is one.
    pub(crate) successor: Option<u32>,
    /// The phase in words.
    pub(crate) summary: String,
}

impl Sources<'_> {
    /// The state now.
    pub(crate) fn status(self) -> Status {
        let Self { supervisor, children, services: held, backlogs, report, canary, successor, summary } = self;
        let now = Moment::now();
        let current = supervisor.generation();
        let trouble = |trouble: supervisor::Trouble| Trouble {
            slot: trouble.slot.0,
            failures: trouble.failures,
            next_try_ms: trouble.not_before.0.saturating_sub(now.monotonic_ns()) / 1_000_000,
        };
        let saturated_ms = children.saturated_ns(now.monotonic_ns(), report.started_ns) / 1_000_000;
        let readings = &report.readings;
        let molds: Vec<Mold> = children
            .molds()
            .map(|(generation, mold)| Mold {
                generation: generation.0,
                pid: mold.pid,
                cpu_ms: sys::usage::cpu_ms(mold.pid),
                memory: readings.of(mold.pid, now.monotonic_ns()),
            })
            .collect();
        let workers = workers::told(supervisor, children, readings, now);
        let processes = molds.iter().map(|mold| (mold.generation, mold.memory.as_ref()));
        let processes = processes.chain(workers.iter().map(|worker| (worker.generation, worker.memory.as_ref())));
        let own = readings.of(sys::process::own_pid(), now.monotonic_ns());
        let memory = memory::sums(own, processes);
        let totals = children.totals();
        let mut log_losses = totals.log_losses;
        log_losses.add(Log::losses());
        Status {
            schema: facts::SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_string(),
            pid: sys::process::own_pid(),
            phase: phase(supervisor),
            summary,
            ready: supervisor.readyz(),
            generation: current.map(|generation| generation.0),
            worker_processes: supervisor.worker_processes(),
            worker_range: supervisor.sizes().map(range),
            started_at: now.unix_s(report.started_ns),
            uptime_s: now.monotonic_ns().saturating_sub(report.started_ns) / 1_000_000_000,
            saturated_s: Some(saturated_ms as f64 / 1e3),
            saturations: Some(children.seats.saturations()),
            busiest: busiest(children, now),
            listeners: backlogs.iter().map(|backlog| backlog.listener.clone()).collect(),
            backlogs,
            release: current.and_then(|generation| children.mold(generation)).map(|mold| mold.release.told()),
            last_reload: report.reloads.last(now),
            reloads: report.reloads.told(),
            reforks: report.reforks.told(),
            roll: supervisor.roll_progress().map(|(done, total)| Roll { done, total }),
            canary: trial(supervisor, canary, now),
            previous: supervisor
                .previous()
                .map(|(generation, until)| Previous { generation: generation.0, left_s: seconds_until(until, now) }),
            successor,
            molds,
            troubles: supervisor.troubles().map(trouble).collect(),
            starts: children.starts.values().sum(),
            recycled: report.recycled,
            workers,
            services: services::told(supervisor, held, readings, now),
            totals: facts::Totals::from(&totals),
            memory,
            deaths: report.deaths.counts().clone(),
            logs: Logs { server: loss(log_losses, now), access: loss(totals.access_losses, now) },
        }
    }
}

fn range(sizes: supervisor::Sizes) -> WorkerRange {
    WorkerRange { least: sizes.least, most: sizes.most, by_hand: sizes.by_hand }
}

/// How long it is until then, rounded up.
pub(crate) fn seconds_until(moment: Instant, now: Moment) -> u64 {
    moment.0.saturating_sub(now.monotonic_ns()).div_ceil(1_000_000_000)
}

/// The workers on trial, and what both sides have done.
fn trial(supervisor: &Supervisor, canary: &Canary, now: Moment) -> Option<facts::Canary> {
    let (trial, sides) = (supervisor.trial()?, canary.seen().cloned().unwrap_or_default());
    let side = |side: &Side| facts::Side {
        requests: side.requests,
        errors: side.errors,
        p50_ms: side.service.percentile_ns(0.5).map(|ns| ns as f64 / 1e6),
        p95_ms: side.service.percentile_ns(0.95).map(|ns| ns as f64 / 1e6),
        lost: side.lost,
        private_bytes: side.private_bytes,
    };
    Some(facts::Canary {
        generation: trial.edition.0,
        workers: trial.workers,
        watch_s: trial.watch.as_secs_f64(),
        left_s: trial.until.map(|until| seconds_until(until, now)),
        new: side(&sides.new),
        old: side(&sides.old),
    })
}

fn phase(supervisor: &Supervisor) -> Phase {
    match supervisor.phase() {
        supervisor::Phase::Serving if supervisor.is_winched() => Phase::Winched,
        supervisor::Phase::New => Phase::New,
        supervisor::Phase::Booting => Phase::Booting,
        supervisor::Phase::Serving => Phase::Serving,
        supervisor::Phase::Preparing => Phase::Preparing,
        supervisor::Phase::Rolling => Phase::Rolling,
        supervisor::Phase::Draining => Phase::Draining,
        supervisor::Phase::Delaying => Phase::Delaying,
        supervisor::Phase::Stopping => Phase::Stopping,
        supervisor::Phase::Over => Phase::Over,
    }
}

/// What was lost of a log. Workers may claim any number and any time.
fn loss(losses: Losses, now: Moment) -> Loss {
    let Losses { lines, errno, at_ns } = losses;
    Loss {
        lost_lines: lines,
        last_error: (lines > 0).then(|| why_lost(errno)),
        last_at: (lines > 0).then(|| now.unix_s(at_ns.min(now.monotonic_ns()))),
    }
}

/// What waits in each listener, as the kernel tells it now, and the most that ever did.
pub(crate) fn backlogs(listeners: &Listeners, marks: &mut Marks) -> Vec<Backlog> {
    let now = Moment::now();
    let told = |bound: &Rc<Bound>| {
        let listener = bound.socket.name().to_string();
        let backlog = sys::backlog::of(bound.socket.as_fd());
        if let Some(backlog) = backlog {
            marks.note(&listener, backlog.waiting, now.monotonic_ns());
        }
        let most = marks.of(&listener).filter(|mark| mark.count > 0);
        Backlog {
            listener,
            waiting: backlog.map(|backlog| backlog.waiting.into()),
            limit: backlog.map(|backlog| backlog.limit.into()),
            most: most.map(|mark| Mark { count: mark.count.into(), at: now.unix_s(mark.at_ns) }),
        }
    };
    listeners.iter().map(told).collect()
}

/// The most workers that were in requests at once, as workers say: there cannot be more than seats.
fn busiest(children: &Children, now: Moment) -> Option<Mark> {
    let (count, at_ns) = children.seats.busiest(now.monotonic_ns())?;
    let count = count.min(scoreboard::SEATS as u64);
    Some(Mark { count, at: now.unix_s(at_ns.min(now.monotonic_ns())) })
}
