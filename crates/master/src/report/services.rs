//! The services, as the facts that are told of them.

use facts::{Service, ServiceState};
use supervisor::{ServiceId, Supervisor};
use sys::clock::Moment;

use crate::report::memory::Readings;
use crate::services::Services;

/// All processes of services, by name and generation, and the services of the generation in force that have none.
pub(crate) fn told(supervisor: &Supervisor, services: &Services, readings: &Readings, now: Moment) -> Vec<Service> {
    let generation = supervisor.generation().map_or(0, |generation| generation.0);
    let wanted: Vec<_> = supervisor.wanted_services().collect();
    let process = |(id, decided): (ServiceId, &supervisor::Service)| {
        let failures = wanted.iter().find(|(name, ..)| *name == decided.name).map_or(0, |(_, failures, _)| *failures);
        let mut told = Service {
            name: services.name(decided.name).to_string(),
            generation: decided.generation.0,
            state: state(decided.state),
            starts: services.starts(decided.name),
            failures,
            ..Service::default()
        };
        if let Some(service) = services.get(id) {
            told.pid = service.pid();
            told.started_at = service.started_ns.map(|ns| now.unix_s(ns));
            told.cpu_ms = told.pid.and_then(sys::usage::cpu_ms);
            told.memory = told.pid.and_then(|pid| readings.of(pid, now.monotonic_ns()));
        }
        told
    };
    let missing = wanted.iter().filter(|(name, ..)| supervisor.services().all(|(_, service)| service.name != *name));
    let waiting = missing.map(|(name, failures, not_before)| Service {
        name: services.name(*name).to_string(),
        generation,
        state: ServiceState::Waiting,
        starts: services.starts(*name),
        failures: *failures,
        next_try_ms: (*failures > 0).then(|| not_before.0.saturating_sub(now.monotonic_ns()) / 1_000_000),
        ..Service::default()
    });
    let mut all: Vec<Service> = supervisor.services().map(process).chain(waiting).collect();
    all.sort_by(|one, other| (&one.name, one.generation, one.pid).cmp(&(&other.name, other.generation, other.pid)));
    all
}

fn state(decided: supervisor::ServiceState) -> ServiceState {
    match decided {
        supervisor::ServiceState::Starting { .. } => ServiceState::Starting,
        supervisor::ServiceState::Running { .. } => ServiceState::Running,
        supervisor::ServiceState::Stopping { .. } | supervisor::ServiceState::Killed => ServiceState::Stopping,
    }
}
