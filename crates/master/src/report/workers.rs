//! The workers, as the facts that are told of them.

use facts::{Durations, LastRequest, Request, Responses, State, Worker};
use scoreboard::Totals;
use supervisor::{Supervisor, WorkerId, WorkerState};
use sys::clock::Moment;

use crate::children;
use crate::children::registry::Children;
use crate::report::memory::Readings;

/// All workers, by slot and generation.
pub(crate) fn told(supervisor: &Supervisor, children: &Children, readings: &Readings, now: Moment) -> Vec<Worker> {
    let mut decided: Vec<_> = supervisor.workers().collect();
    decided.sort_by_key(|(id, worker)| (worker.slot, worker.generation, *id));
    decided.into_iter().map(|(id, decided)| worker(children, id, decided, readings, now)).collect()
}

fn worker(children: &Children, id: WorkerId, decided: &supervisor::Worker, readings: &Readings, now: Moment) -> Worker {
    let mut told = Worker { slot: decided.slot.0, generation: decided.generation.0, ..Worker::default() };
    told.starts = children.starts.get(&decided.slot).copied().unwrap_or(0);
    if let Some(worker) = children.worker(id) {
        told.pid = worker.pid();
        told.cpu_ms = told.pid.and_then(sys::usage::cpu_ms);
        told.memory = told.pid.and_then(|pid| readings.of(pid, now.monotonic_ns()));
        told.ready_at = worker.ready_ns().map(|ns| now.unix_s(ns));
        told.request = request(worker, now);
        told.last_request = last_request(worker, now).filter(|_| told.request.is_none());
        fill(&mut told, worker);
    }
    told.state = state(decided, told.request.is_some());
    told
}

/// What the worker has noted of its work.
fn fill(told: &mut Worker, worker: &children::worker::Worker) {
    let seat = worker.seat.look();
    let done = Totals::of(seat);
    told.requests = done.requests;
    told.busy_ms = done.busy_ns / 1_000_000;
    told.server_errors = seat.server_errors();
    told.connections = seat.connections();
    told.raised = done.raised;
    told.aborted_requests = done.aborted.requests;
    told.aborted_responses = done.aborted.responses;
    told.gc = seat.gc().into();
    told.responses = Responses::from(done.responses);
    told.received_bytes = done.received_bytes;
    told.sent_bytes = done.sent_bytes;
    told.service = Durations::from(&done.service);
    told.queue = Durations::from(&done.queue);
}

/// The request that it serves.
pub(crate) fn request(worker: &children::worker::Worker, now: Moment) -> Option<Request> {
    let seat = worker.seat.look();
    let start_ns = seat.request_start_ns()?;
    let id = seat.request_id();
    Some(Request {
        line: String::from_utf8_lossy(&seat.request_line()).into_owned(),
        age_ms: now.monotonic_ns().saturating_sub(start_ns) / 1_000_000,
        id: (!id.is_empty()).then(|| String::from_utf8_lossy(&id).into_owned()),
    })
}

/// The request that it served last, if it is in no other.
fn last_request(worker: &children::worker::Worker, now: Moment) -> Option<LastRequest> {
    let seat = worker.seat.look();
    let (took_ns, ended_ns) = seat.last_request()?;
    let id = seat.request_id();
    let usage = seat.last_usage();
    Some(LastRequest {
        line: String::from_utf8_lossy(&seat.request_line()).into_owned(),
        took_ms: (took_ns / 1_000) as f64 / 1e3,
        ended_at: now.unix_s(ended_ns.min(now.monotonic_ns())),
        cpu_ms: usage.map(|(cpu_ns, _)| (cpu_ns / 1_000) as f64 / 1e3),
        allocated: usage.map(|(_, allocated)| allocated),
        id: (!id.is_empty()).then(|| String::from_utf8_lossy(&id).into_owned()),
    })
}

/// What it does; `in_request` as its seat says.
pub(crate) fn state(decided: &supervisor::Worker, in_request: bool) -> State {
    match decided.state {
        WorkerState::Booting { .. } | WorkerState::Unreachable { ready_since: None, .. } => State::Booting,
        WorkerState::Serving { .. } | WorkerState::Unreachable { ready_since: Some(_), .. } if in_request => {
            State::Busy
        }
        WorkerState::Serving { .. } | WorkerState::Unreachable { .. } => State::Idle,
        WorkerState::Retiring { .. } => State::Retiring,
        WorkerState::Abandoned { .. } | WorkerState::Quitting { .. } | WorkerState::Killed { .. } => State::Leaving,
    }
}
