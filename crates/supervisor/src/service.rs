//! Services: processes of a line that serve no requests, such as job runners. When they are started, replaced and stopped.
//!
//! A service is wanted once the workers of its line serve, and until those of another line do: a roll that fails leaves the old
//! services as they were. One of the new line is started when the old one of that name has gone; one that may overlap is
//! started beside it, and has the old one go when it has lived for `min_uptime`.
//!
//! Nothing that happens to a worker touches a service, nor the reverse. Of two masters the old one has the services until it
//! leaves.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Fact};
use crate::back_off::{BackOff, Dice};
use crate::mold::Mold;
use crate::time::Instant;
use crate::types::{Generation, ServiceId, ServiceName};

/// How long a service may take to leave in a quick stop.
const QUICK_GRACE: Duration = Duration::from_secs(2);

/// How a service is to be treated, as the settings say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Whether the next one may be started while the one before runs.
    pub overlap: bool,
    /// How long it may take to leave when it is asked to.
    pub stop_timeout: Duration,
    /// One that ends earlier has failed: the next one waits, longer each time.
    pub min_uptime: Duration,
    /// How long the mold may take to fork it; `None` for a program, which the shell starts.
    pub fork_within: Option<Duration>,
}

/// One process of a service that lives or is about to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The service.
    pub name: ServiceName,
    /// The mold whose settings it was started with.
    pub generation: Generation,
    /// The generation of the reload that brought its code.
    pub edition: Generation,
    /// How it is treated.
    pub terms: Terms,
    /// What it does.
    pub state: ServiceState,
}

/// What a service does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// It was asked for and is not there yet.
    Starting {
        /// When it is not awaited any more.
        deadline: Instant,
    },
    /// It runs.
    Running {
        /// Since when.
        since: Instant,
    },
    /// It was asked to leave.
    Stopping {
        /// When it is killed.
        deadline: Instant,
    },
    /// It was killed and is not reaped yet.
    Killed,
}

impl Service {
    /// Whether nothing has told it to leave.
    pub fn is_unasked(&self) -> bool {
        match self.state {
            ServiceState::Starting { .. } | ServiceState::Running { .. } => true,
            ServiceState::Stopping { .. } | ServiceState::Killed => false,
        }
    }

    /// When it is killed unless it moves on.
    fn deadline(&self) -> Option<Instant> {
        match self.state {
            ServiceState::Starting { deadline } | ServiceState::Stopping { deadline } => Some(deadline),
            ServiceState::Running { .. } | ServiceState::Killed => None,
        }
    }

    /// Since when it has lived long enough to count as one that works, or from when on it will have.
    fn works_from(&self) -> Option<Instant> {
        match self.state {
            ServiceState::Running { since } => Some(since + self.terms.min_uptime),
            ServiceState::Starting { .. } | ServiceState::Stopping { .. } | ServiceState::Killed => None,
        }
    }
}

/// Which services are to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Those of a line.
    Of {
        /// The line.
        edition: Generation,
        /// The mold whose settings count.
        generation: Generation,
        /// Whether that mold can fork.
        forks: bool,
        /// Whether another master may have the same ones: those that may not overlap wait for its end.
        shared: bool,
        /// Whether all others are to leave: not while a roll can still fail.
        alone: bool,
    },
    /// None: they are asked to leave, or to leave at once.
    None {
        /// Whether they have no more than two seconds.
        quick: bool,
    },
}

/// All services.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Services {
    processes: BTreeMap<ServiceId, Service>,
    /// What the settings of each generation say.
    plans: BTreeMap<Generation, BTreeMap<ServiceName, Terms>>,
    back_offs: BTreeMap<ServiceName, BackOff>,
    /// The line that the back-offs are about.
    edition: Option<Generation>,
    last: u32,
    /// When there is something to do that waits.
    wake: Option<Instant>,
}

/// What happens to services.
impl Services {
    /// The settings of a generation have this service.
    pub(crate) fn plan(&mut self, generation: Generation, name: ServiceName, terms: Terms) {
        self.plans.entry(generation).or_default().insert(name, terms);
    }

    /// A process is there.
    pub(crate) fn started(&mut self, now: Instant, id: ServiceId) {
        let Some(service) = self.processes.get_mut(&id) else { return };
        if matches!(service.state, ServiceState::Starting { .. }) {
            service.state = ServiceState::Running { since: now };
        }
    }

    /// A process never came to be. Returns what is worth a line in the log.
    pub(crate) fn failed(&mut self, now: Instant, id: ServiceId, dice: &mut Dice) -> Option<Fact> {
        let service = self.processes.remove(&id)?;
        service.is_unasked().then(|| self.note_failure(now, &service, dice)).flatten()
    }

    /// A process was reaped. Returns what is worth a line in the log.
    pub(crate) fn exited(&mut self, now: Instant, id: ServiceId, dice: &mut Dice) -> Option<Fact> {
        let service = self.processes.remove(&id)?;
        match service.state {
            ServiceState::Running { since } if now.since(since) >= service.terms.min_uptime => {
                if self.edition == Some(service.edition) {
                    let mut back_off = BackOff::default();
                    back_off.died_at_work(since);
                    self.back_offs.insert(service.name, back_off);
                }
                None
            }
            ServiceState::Starting { .. } | ServiceState::Running { .. } => self.note_failure(now, &service, dice),
            ServiceState::Stopping { .. } | ServiceState::Killed => None,
        }
    }

    fn note_failure(&mut self, now: Instant, service: &Service, dice: &mut Dice) -> Option<Fact> {
        if self.edition != Some(service.edition) {
            return None;
        }
        let back_off = self.back_offs.entry(service.name).or_default();
        let delay = back_off.boot_failed(now, dice);
        Some(Fact::ServiceBackOff { name: service.name, failures: back_off.failures, delay })
    }

    /// Acts on the deadlines that have come.
    pub(crate) fn expire(&mut self, now: Instant, dice: &mut Dice) -> Vec<Action> {
        let due = |service: &Service| service.deadline().is_some_and(|deadline| deadline <= now);
        let late: Vec<_> = self.processes.iter().filter(|(_, service)| due(service)).map(|(id, _)| *id).collect();
        let mut actions = Vec::new();
        for id in late {
            let Some(service) = self.processes.get_mut(&id) else { continue };
            let before = *service;
            service.state = ServiceState::Killed;
            actions.push(Action::KillService { service: id });
            if before.is_unasked() {
                actions.extend(self.note_failure(now, &before, dice).map(Action::Log));
            }
        }
        actions
    }
}

/// What is wanted of services.
impl Services {
    /// Starts and stops what is to be started and stopped now.
    pub(crate) fn tend(&mut self, now: Instant, wanted: Wanted, molds: &BTreeMap<Generation, Mold>) -> Vec<Action> {
        let mut actions = Vec::new();
        self.wake = None;
        let Wanted::Of { edition, generation, forks, shared, alone } = wanted else {
            let quick = wanted == Wanted::None { quick: true };
            self.processes.iter_mut().for_each(|(id, service)| actions.extend(stop(*id, service, now, quick)));
            return actions;
        };
        if self.edition != Some(edition) {
            self.edition = Some(edition);
            self.back_offs.clear();
        }
        self.plans.retain(|of, _| *of == generation || molds.contains_key(of));
        let plan = self.plans.get(&generation).cloned().unwrap_or_default();
        if alone {
            self.thin_out(now, edition, &plan, &mut actions);
        }
        for (name, terms) in plan {
            let mut others = self.processes.values().filter(|service| service.name == name);
            let free = if terms.overlap {
                others.all(|service| service.edition != edition || !service.is_unasked())
            } else {
                others.next().is_none() && !shared
            };
            if !free || terms.fork_within.is_some() && !forks {
                continue;
            }
            let due = self.back_offs.get(&name).map_or(now, |back_off| back_off.due(false));
            if due > now {
                self.wake = Some(self.wake.map_or(due, |wake| wake.min(due)));
                continue;
            }
            self.last += 1;
            let service = ServiceId(self.last);
            let state = ServiceState::Starting { deadline: now + terms.fork_within.unwrap_or(Duration::MAX) };
            self.processes.insert(service, Service { name, generation, edition, terms, state });
            actions.push(Action::StartService { service, name, generation });
        }
        actions
    }

    /// Stops the processes that are not wanted any more.
    fn thin_out(
        &mut self,
        now: Instant,
        edition: Generation,
        plan: &BTreeMap<ServiceName, Terms>,
        actions: &mut Vec<Action>,
    ) {
        let of_line = self.processes.values().filter(|service| service.edition == edition);
        let works: BTreeMap<_, _> = of_line.filter_map(|service| Some((service.name, service.works_from()?))).collect();
        for (id, service) in &mut self.processes {
            let superfluous = match plan.get(&service.name) {
                Some(_) if service.edition == edition => false,
                Some(terms) if terms.overlap => {
                    let works = works.get(&service.name).copied();
                    if let Some(moment) = works.filter(|moment| *moment > now && service.is_unasked()) {
                        self.wake = Some(self.wake.map_or(moment, |wake| wake.min(moment)));
                    }
                    works.is_some_and(|moment| moment <= now)
                }
                Some(_) | None => true,
            };
            if superfluous {
                actions.extend(stop(*id, service, now, false));
            }
        }
    }

    /// The earliest moment at which there is something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.processes.values().filter_map(Service::deadline).chain(self.wake).min()
    }

    /// All processes, oldest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = (ServiceId, &Service)> {
        self.processes.iter().map(|(id, service)| (*id, service))
    }

    /// This process, while it lives.
    pub(crate) fn get(&self, id: ServiceId) -> Option<&Service> {
        self.processes.get(&id)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.processes.is_empty()
    }

    /// The services of the line, and what is known of the failures of each.
    pub(crate) fn wanted(&self, generation: Generation) -> impl Iterator<Item = (ServiceName, BackOff)> {
        let names = self.plans.get(&generation).into_iter().flat_map(BTreeMap::keys);
        names.map(|name| (*name, self.back_offs.get(name).copied().unwrap_or_default()))
    }
}

/// Asks a process to leave, if that is to be done.
fn stop(id: ServiceId, service: &mut Service, now: Instant, quick: bool) -> Option<Action> {
    let most = if quick { QUICK_GRACE.min(service.terms.stop_timeout) } else { service.terms.stop_timeout };
    match &mut service.state {
        ServiceState::Running { .. } => {
            service.state = ServiceState::Stopping { deadline: now + most };
            Some(Action::StopService { service: id })
        }
        // It is not there, or has not said so: one that comes finds that it is not wanted.
        ServiceState::Starting { .. } => {
            service.state = ServiceState::Killed;
            Some(Action::KillService { service: id })
        }
        ServiceState::Stopping { deadline } if quick => {
            *deadline = (*deadline).min(now + QUICK_GRACE);
            None
        }
        ServiceState::Stopping { .. } | ServiceState::Killed => None,
    }
}
