//! What is done about services, and heard of them; and workers that have had their time.

use supervisor::{Event, Generation, ServiceId, ServiceName, Supervisor, WorkerId, WorkerState};
use sys::process::Exited;

use crate::children::hearing::announced;
use crate::children::post_mortem;
use crate::children::registry::Who;
use crate::master::Master;
use crate::owners::Owners;
use crate::services::{ServiceNews, is_as_asked};
use crate::upkeep::recycling::{Finding, Limits, Seen};

/// Workers that have had their time.
impl Master {
    /// Looks at the workers that serve, when it is time, and tells the supervisor which of them are to be replaced.
    pub(crate) fn watch_workers(&mut self) {
        let Some(limits) = self.owners.limits_of_workers() else { return };
        let now_ns = sys::clock::monotonic_ns();
        if !self.owners.upkeep.recycling.is_due(limits, now_ns) {
            return;
        }
        let seen = self.owners.see_workers(&self.core, limits, now_ns);
        let Owners { upkeep, report, .. } = &mut self.owners;
        for (worker, finding) in upkeep.recycling.look(&seen, limits, report.started_ns) {
            match finding {
                Finding::Fit => {}
                Finding::Worn(why) => self.event(Event::WorkerWorn { worker, why }),
                Finding::StartsTooLarge => self.starts_too_large(worker),
            }
        }
    }

    fn starts_too_large(&mut self, id: WorkerId) {
        let Some(worker) = self.core.worker(id) else { return };
        let Owners { upkeep, report, .. } = &mut self.owners;
        if upkeep.recycling.is_news(worker.generation) {
            let (slot, generation) = (worker.slot, worker.generation);
            report.log.warn(format_args!(
                "worker={slot} gen={generation} has more private memory than max_memory right after its start: \
                 it is not replaced for that"
            ));
        }
    }
}

impl Owners {
    /// What workers may do until they are replaced, as it is configured.
    fn limits_of_workers(&self) -> Option<Limits> {
        let recycling = &self.config.settings.as_ref()?.recycling;
        Some(Limits {
            requests: recycling.max_requests,
            age_ns: u64::try_from(recycling.max_age.as_nanos()).unwrap_or(u64::MAX),
            jitter: recycling.recycle_jitter,
            private_bytes: recycling.max_memory,
        })
    }

    /// The workers that serve. What is private is part of what is resident, which costs less to read.
    fn see_workers(&mut self, supervisor: &Supervisor, limits: Limits, now_ns: u64) -> Vec<Seen> {
        let resident = |pid: u32| sys::usage::extent(pid).map(|extent| extent.resident_bytes);
        let is_large = |pid: u32| limits.private_bytes > 0 && resident(pid) >= Some(limits.private_bytes);
        if self.children.workers().filter_map(|(_, worker)| worker.pid()).any(is_large) {
            self.read_memory();
        }
        let Self { children, report, .. } = self;
        let private = |pid: u32| report.readings.of(pid, now_ns).and_then(|memory| memory.private_bytes);
        let see = |(id, worker): (WorkerId, &crate::children::worker::Worker)| {
            let WorkerState::Serving { since } = supervisor.worker(id)?.state else { return None };
            let private_bytes = worker.pid().filter(|pid| is_large(*pid)).and_then(private);
            let (requests, age_ns) = (worker.totals().requests, now_ns.saturating_sub(since.0));
            Some(Seen { id, requests, age_ns, private_bytes })
        };
        children.workers().filter_map(see).collect()
    }
}

impl Master {
    /// Tells the supervisor which services the settings of a mold have.
    pub(crate) fn plan_services(&mut self, generation: Generation) {
        let Owners { children, services, .. } = &mut self.owners;
        let in_force = self.core.generation();
        services.keep_plans(|generation| children.mold(generation).is_some() || Some(generation) == in_force);
        let Some(mold) = children.mold(generation) else { return };
        let Some(settings) = &mold.settings else { return };
        for (name, terms) in services.plan(generation, settings, mold.release.directory()) {
            self.event(Event::ServicePlanned { generation, name, terms });
        }
    }

    pub(crate) fn start_service(&mut self, id: ServiceId, name: ServiceName, generation: Generation) {
        let Owners { children, services, report, .. } = &mut self.owners;
        let tell = |message: &wire::ToMold, control: std::os::fd::BorrowedFd<'_>| {
            children.mold(generation).is_some_and(|mold| mold.link.send(message, &[control]))
        };
        match services.start(id, name, generation, tell) {
            Ok(Some(pid)) => {
                children.register(pid, Who::Service(id));
                self.service_started(id);
            }
            Ok(None) => {}
            Err(error) => {
                let name = services.name(name);
                report.log.error(format_args!("service={name} cannot be started: {}", sys::chain(&error)));
                self.event(Event::ServiceFailed { service: id });
            }
        }
    }

    fn service_started(&mut self, id: ServiceId) {
        let Owners { services, report, .. } = &self.owners;
        if let Some(service) = services.get(id) {
            let (name, generation, pid) = (services.name(service.name), service.generation, service.pid().unwrap_or(0));
            report.log.info(format_args!("service={name} gen={generation} PID:{pid} started"));
        }
        self.event(Event::ServiceStarted { service: id });
    }

    pub(crate) fn stop_service(&mut self, id: ServiceId) {
        let Owners { services, report, .. } = &self.owners;
        let Some(service) = services.get(id) else { return };
        let (name, generation, pid) = (services.name(service.name), service.generation, service.pid().unwrap_or(0));
        report.log.info(format_args!("service={name} gen={generation} PID:{pid} is asked to leave"));
        services.stop(id, &report.log);
    }

    /// One that is not there is given up: if the mold forks it all the same, it finds its socket closed, and leaves.
    pub(crate) fn kill_service(&mut self, id: ServiceId) {
        let Owners { services, report, .. } = &mut self.owners;
        if services.kill(id) {
            let Some(service) = services.get(id) else { return };
            let (name, pid) = (services.name(service.name), service.pid().unwrap_or(0));
            report.log.error(format_args!("service={name} PID:{pid} has not left in time, killing"));
            return;
        }
        if let Some(service) = services.remove(id) {
            let (name, generation) = (services.name(service.name), service.generation);
            report
                .log
                .error(format_args!("service={name} gen={generation} is not awaited any more: it was not forked"));
        }
        self.event(Event::ServiceFailed { service: id });
    }

    /// What services say that molds have forked. `reaped` have ended in this round, and are looked at behind this.
    pub(crate) fn hear_services(&mut self, reaped: &[Exited]) {
        loop {
            let Owners { children, services, report, .. } = &mut self.owners;
            let Some((id, news)) = services.hear(|sender| announced(children, sender, reaped)) else { return };
            match news {
                ServiceNews::Started => {
                    if let Some(pid) = services.get(id).and_then(|service| service.pid()) {
                        children.register(pid, Who::Service(id));
                    }
                    self.service_started(id);
                }
                ServiceNews::Failed => self.service_failed(id, "it was not forked"),
                ServiceNews::Lied(lie) => {
                    if services.kill(id) {
                        let name = services.get(id).map_or("?", |service| services.name(service.name));
                        report
                            .log
                            .error(format_args!("service={name} broke the protocol: {}; killing it", sys::chain(&lie)));
                    } else {
                        self.service_failed(id, &format!("it broke the protocol: {}", sys::chain(&lie)));
                    }
                }
            }
        }
    }

    /// A mold could not fork a service.
    pub(crate) fn service_fork_failed(&mut self, generation: Generation, number: u32, text: &str) -> bool {
        let id = ServiceId(number);
        let awaited = self.owners.services.get(id);
        let awaited = awaited.is_some_and(|service| service.generation == generation && service.pid().is_none());
        if awaited {
            self.service_failed(id, text);
        }
        awaited
    }

    fn service_failed(&mut self, id: ServiceId, why: &str) {
        let Owners { services, report, .. } = &mut self.owners;
        if let Some(service) = services.remove(id) {
            report.log.error(format_args!("service={} cannot be started: {why}", services.name(service.name)));
        }
        self.event(Event::ServiceFailed { service: id });
    }

    pub(crate) fn service_exited(&mut self, id: ServiceId, exited: Exited) {
        let is_unasked = self.core.service(id).is_some_and(supervisor::Service::is_unasked);
        let Owners { children, services, report, .. } = &mut self.owners;
        if let Some(service) = services.remove(id) {
            let name = services.name(service.name).to_string();
            let line = format!("reaped {} service={name} gen={}", exited.ruby_inspect(), service.generation);
            if !is_unasked && is_as_asked(&service, exited) {
                report.log.info(line);
            } else {
                report.log.error(line);
                report.deaths.note(post_mortem::service(
                    exited,
                    &name,
                    service.generation,
                    service.is_killed(),
                    &mut children.oom_kills,
                ));
            }
        }
        self.event(Event::ServiceExited { service: id });
    }
}

/// The upgrade in place.
impl Owners {
    /// The settings that services are started with, of all generations that may start some.
    pub(crate) fn plan_services_again(&mut self, handed: &[wire::state::Service], supervisor: &Supervisor) {
        let Self { children, services, config, .. } = self;
        for (generation, mold) in children.molds() {
            if let Some(settings) = &mold.settings {
                services.plan(generation, settings, mold.release.directory());
            }
        }
        if let (Some(generation), Some(settings)) = (supervisor.generation(), &config.settings)
            && children.mold(generation).is_none()
        {
            let start = settings.working_directory().unwrap_or(&config.options.directory).to_path_buf();
            let directory = crate::services::Services::directory_of(handed, generation).unwrap_or(start);
            services.plan(generation, settings, &directory);
        }
        for (pid, id) in services.by_pid() {
            children.register(pid, Who::Service(id));
        }
    }
}
