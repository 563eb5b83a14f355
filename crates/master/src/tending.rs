//! What is done about services, and heard of them; workers that have had their time, and how many there are.

use std::os::fd::AsFd;

use directives::MemoryBudget;
use supervisor::{Event, Generation, ServiceId, ServiceName, Supervisor, Wear, WorkerId, WorkerState};
use sys::process::Exited;

use crate::children::hearing::announced;
use crate::children::post_mortem;
use crate::children::registry::Who;
use crate::children::worker::Worker;
use crate::master::Master;
use crate::owners::Owners;
use crate::services::{ServiceNews, is_as_asked};
use crate::upkeep::budget::{self, Budget, Measured, Step};
use crate::upkeep::recycling::{Finding, Limits, Seen, WARM};
use crate::upkeep::{sharing, sizing};

/// Workers that have had their time.
impl Master {
    /// Looks at the workers that serve, when it is time, and tells the supervisor which of them are to be replaced.
    pub(crate) fn watch_workers(&mut self) {
        let Some(limits) = self.owners.limits_of_workers() else { return };
        let now_ns = sys::clock::monotonic_ns();
        let has_budget = limits.all != MemoryBudget::Bytes(0);
        if !has_budget {
            self.owners.upkeep.budget = Budget::default();
        }
        if !self.owners.upkeep.recycling.is_due(has_budget || !limits.each.are_none(), now_ns) {
            return;
        }
        self.watch_each_worker(limits.each, now_ns);
        if has_budget {
            self.watch_budget(limits.all, now_ns);
        }
    }

    fn watch_each_worker(&mut self, limits: Limits, now_ns: u64) {
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

    /// Looks at what all processes have together.
    fn watch_budget(&mut self, wanted: MemoryBudget, now_ns: u64) {
        let Some(bytes) = budget::bytes(wanted, sys::cgroup::memory_limit) else {
            let Owners { upkeep, report, .. } = &mut self.owners;
            if upkeep.budget.is_none(wanted) {
                report.log.warn(
                    "memory_budget is a share of the limit of the control group, which has none: there is no budget",
                );
            }
            return;
        };
        let seen = self.owners.see_memory(&self.core, now_ns);
        let used = seen.used_bytes.unwrap_or(0) >> 20;
        let Owners { upkeep, report, .. } = &mut self.owners;
        let mib = bytes >> 20;
        match upkeep.budget.look(&seen, bytes) {
            Step::None => {}
            Step::Recycle(worker) => self.event(Event::WorkerWorn { worker, why: Wear::Budget }),
            Step::Fewer(count) => {
                report.log.warn(format_args!(
                    "the server has {used} MiB, and memory_budget is {mib} MiB: {count} workers are enough"
                ));
                self.event(Event::Size { count });
            }
            Step::Exhausted => report.log.warn(format_args!(
                "the server has {used} MiB, and memory_budget is {mib} MiB: no worker has grown, and there are no fewer"
            )),
        }
    }

    /// Looks at the load, where the number of workers follows it, and tells the supervisor how many it wants.
    pub(crate) fn watch_load(&mut self) {
        let (sizes, now_ns) = (self.core.sizes(), sys::clock::monotonic_ns());
        if !self.owners.upkeep.sizing.is_due(sizes, now_ns) {
            return;
        }
        let Some(sizes) = sizes else { return };
        let (wanted, seen) = (self.core.worker_processes(), self.owners.see_load(&self.core, now_ns));
        let room = self.owners.upkeep.budget.room();
        if let Some(count) = self.owners.upkeep.sizing.look(now_ns, wanted, seen, sizes, room) {
            self.event(Event::Size { count });
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

/// What each worker may do until it is replaced, and what all processes may have.
#[derive(Clone, Copy)]
struct MayHave {
    each: Limits,
    all: MemoryBudget,
}

impl Owners {
    /// What workers may do until they are replaced, as it is configured.
    fn limits_of_workers(&self) -> Option<MayHave> {
        let recycling = &self.config.settings.as_ref()?.recycling;
        let each = Limits {
            requests: recycling.max_requests,
            age_ns: u64::try_from(recycling.max_age.as_nanos()).unwrap_or(u64::MAX),
            jitter: recycling.recycle_jitter,
            private_bytes: recycling.max_memory,
        };
        Some(MayHave { each, all: recycling.memory_budget })
    }

    fn see_memory(&mut self, supervisor: &Supervisor, now_ns: u64) -> budget::Seen {
        self.read_memory();
        let measured = |(id, worker, private_bytes): (_, &Worker, _)| {
            let is_warm = worker.totals().requests >= WARM;
            Measured { id, private_bytes, is_warm }
        };
        let workers: Vec<_> = self.private_memory(supervisor, now_ns).map(measured).collect();
        let wanted = supervisor.worker_processes();
        let rests = |worker: &supervisor::Worker| worker.serves() && worker.worn.is_none();
        let is_whole = supervisor.workers().count() == wanted as usize && workers.len() == wanted as usize;
        budget::Seen {
            used_bytes: self.used_bytes(now_ns),
            workers,
            moves: !is_whole || !supervisor.workers().all(|(_, worker)| rests(worker)),
            wanted,
            least: supervisor.sizes().filter(|sizes| sizes.follows).map_or(wanted, |sizes| sizes.least),
        }
    }

    /// By how much workers have grown that serve, and what all processes have together.
    pub(crate) fn see_sharing(&mut self, supervisor: &Supervisor, now_ns: u64) -> sharing::Seen {
        self.read_memory();
        let pids = self.serving(supervisor).map(|(_, worker)| worker.pid());
        let growths = pids.map(|pid| self.report.readings.growth(pid?)).collect();
        sharing::Seen { growths, used_bytes: self.used_bytes(now_ns) }
    }

    /// The private memory of each worker that serves, as it was read last.
    fn private_memory<'a>(
        &'a self,
        supervisor: &'a Supervisor,
        now_ns: u64,
    ) -> impl Iterator<Item = (WorkerId, &'a Worker, u64)> {
        self.serving(supervisor).filter_map(move |(id, worker)| {
            Some((id, worker, self.report.readings.of(worker.pid()?, now_ns)?.private_bytes?))
        })
    }

    fn serving<'a>(&'a self, supervisor: &'a Supervisor) -> impl Iterator<Item = (WorkerId, &'a Worker)> {
        let serves = |id: WorkerId| supervisor.worker(id).is_some_and(supervisor::Worker::serves);
        self.children.workers().filter(move |(id, _)| serves(*id))
    }

    fn see_load(&self, supervisor: &Supervisor, now_ns: u64) -> sizing::Seen {
        let Self { children, report, sockets, .. } = self;
        let totals = children.totals();
        let serving = || self.serving(supervisor).map(|(id, _)| id);
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let waiting = sockets.listeners.iter().filter_map(|bound| sys::backlog::of(bound.socket.as_fd()));
        sizing::Seen {
            busy_ns: totals.busy_ns,
            queue: totals.queue,
            saturated_ns: children.saturated_ns(now_ns, report.started_ns),
            serving: count(serving().count()),
            in_request: count(serving().filter(|id| children.is_in_request(*id)).count()),
            backlog: waiting.map(|backlog| u64::from(backlog.waiting)).sum(),
        }
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
        let see = |(id, worker): (WorkerId, &Worker)| {
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
        let without_mold = supervisor.generation().filter(|generation| children.mold(*generation).is_none());
        if let (Some(generation), Some(settings)) = (without_mold, &config.settings) {
            let start = settings.working_directory().unwrap_or(&config.options.directory).to_path_buf();
            let directory = crate::services::Services::directory_of(handed, generation).unwrap_or(start);
            services.plan(generation, settings, &directory);
        }
        for (pid, id) in services.by_pid() {
            children.register(pid, Who::Service(id));
        }
    }
}
