//! The state of the server as JSON, for `licorne status`.

use std::os::fd::AsFd;
use std::rc::Rc;

use scoreboard::Totals;
use serde_json::{Value, json};
use supervisor::{Phase, Supervisor, WorkerState};

use crate::children::registry::Children;
use crate::children::worker::Worker;
use crate::report::owner::Report;
use crate::report::work;
use crate::sockets::bound::{Bound, Listeners};

/// What the state is read from.
pub(crate) struct Status<'a> {
    pub(crate) supervisor: &'a Supervisor,
    pub(crate) children: &'a Children,
    pub(crate) listeners: &'a Listeners,
    pub(crate) report: &'a Report,
    /// The process of the new master, if there is one.
    pub(crate) successor: Option<u32>,
}

impl Status<'_> {
    /// Shape: `pid`, `version`, `phase` (`winched` after SIGWINCH), `generation`, `worker_processes`, `ready`, `uptime_s`,
    /// `listeners` (names), `backlogs` (of each `listener`: how many connections are `waiting` to be accepted, and the
    /// `limit`; null where the kernel does not tell), `release` (`directory`, `revision` or null, `warning` when `current` leads elsewhere, or null;
    /// null without a mold), `last_reload` (`generation`, `age_s`, `failure` or null; null when there was none), `roll`
    /// (`done` of `total`, or null), `successor` (pid or null), `molds` (`generation`, `pid`), `troubles` (slots
    /// whose workers do not boot: `slot`, `failures` in a row, `next_try_ms`) and `workers` (`slot`, `generation`, `pid`, `state`, `requests`, `busy_ms`, `server_errors`, `connections`, `request` with
    /// `line` and `age_ms` while one is served, and what [`work::of_worker`] tells), and `totals` ([`work::of_all`]).
    pub(crate) fn to_json(&self) -> Value {
        let now = sys::clock::monotonic_ns();
        let current = self.supervisor.generation();
        let mut workers: Vec<_> = self.supervisor.workers().collect();
        workers.sort_by_key(|(id, worker)| (worker.slot, worker.generation, *id));
        let workers: Vec<Value> = workers.into_iter().map(|(id, worker)| self.worker(id, worker, now)).collect();
        let molds: Vec<Value> = self
            .children
            .molds()
            .map(|(generation, mold)| json!({ "generation": generation.0, "pid": mold.pid }))
            .collect();
        let trouble = |trouble: supervisor::Trouble| {
            let next_try_ms = trouble.not_before.0.saturating_sub(now) / 1_000_000;
            json!({ "slot": trouble.slot.0, "failures": trouble.failures, "next_try_ms": next_try_ms })
        };
        json!({
            "pid": sys::process::own_pid(),
            "version": env!("CARGO_PKG_VERSION"),
            "phase": self.phase(),
            "ready": self.supervisor.readyz(),
            "generation": current.map(|generation| generation.0),
            "worker_processes": self.supervisor.worker_processes(),
            "uptime_s": now.saturating_sub(self.report.started_ns) / 1_000_000_000,
            "listeners": self.listeners.iter().map(|bound| bound.socket.name()).collect::<Vec<_>>(),
            "backlogs": self.listeners.iter().map(backlog).collect::<Vec<_>>(),
            "release": current.and_then(|generation| self.children.mold(generation)).map(|mold| mold.release.status()),
            "last_reload": self.report.last_reload.as_ref().map(|last| last.status(now)),
            "roll": self.supervisor.roll_progress().map(|(done, total)| json!({ "done": done, "total": total })),
            "successor": self.successor,
            "molds": molds,
            "troubles": self.supervisor.troubles().map(trouble).collect::<Vec<_>>(),
            "workers": workers,
            "totals": work::of_all(&self.children.totals()),
        })
    }

    fn phase(&self) -> String {
        match self.supervisor.phase() {
            Phase::Serving if self.supervisor.is_winched() => "winched".to_string(),
            phase => format!("{phase:?}").to_lowercase(),
        }
    }

    fn worker(&self, id: supervisor::WorkerId, worker: &supervisor::Worker, now: u64) -> Value {
        let seat = self.children.seat(id);
        let request = seat.and_then(|seat| {
            let start = seat.request_start_ns()?;
            let line = String::from_utf8_lossy(&seat.request_line()).into_owned();
            Some(json!({ "line": line, "age_ms": now.saturating_sub(start) / 1_000_000 }))
        });
        let state = match worker.state {
            WorkerState::Booting { .. } | WorkerState::Unreachable { ready_since: None, .. } => "booting",
            WorkerState::Serving { .. } | WorkerState::Unreachable { ready_since: Some(_), .. }
                if request.is_some() =>
            {
                "busy"
            }
            WorkerState::Serving { .. } | WorkerState::Unreachable { .. } => "idle",
            WorkerState::Retiring { .. } => "retiring",
            WorkerState::Abandoned { .. } | WorkerState::Quitting { .. } | WorkerState::Killed { .. } => "leaving",
        };
        let mut told = json!({
            "slot": worker.slot.0,
            "generation": worker.generation.0,
            "pid": self.children.worker(id).and_then(Worker::pid),
            "state": state,
            "requests": seat.map_or(0, |seat| seat.requests()),
            "busy_ms": seat.map_or(0, |seat| seat.busy_ns() / 1_000_000),
            "server_errors": seat.map_or(0, |seat| seat.server_errors()),
            "connections": seat.map_or(0, |seat| seat.connections()),
            "request": request,
        });
        if let (Some(seat), Some(told)) = (seat, told.as_object_mut()) {
            told.extend(work::of_worker(&Totals::of(seat)));
        }
        told
    }
}

/// What waits in a listener, as the kernel tells it now.
fn backlog(bound: &Rc<Bound>) -> Value {
    let backlog = sys::backlog::of(bound.socket.as_fd());
    let (waiting, limit) = (backlog.map(|backlog| backlog.waiting), backlog.map(|backlog| backlog.limit));
    json!({ "listener": bound.socket.name(), "waiting": waiting, "limit": limit })
}
