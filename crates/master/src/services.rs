//! The services: what each is started with, and the processes that there are of them.
//!
//! A service is a program, which is a child of this process from the beginning, or a block of the configuration, which a mold
//! forks twice as it forks workers. When each is started and stopped is decided in `supervisor`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use supervisor::{Generation, ServiceId, ServiceName, Terms};
use sys::channel::Channel;
use sys::pidfd::Child;
use sys::process::Exited;
use sys::signals::Signal;
use sys::spawn::Program;
use sys::user::User;
use wire::{FromService, Message, ToMold, ToService, state};

use crate::carried::{Number, bytes, path};
use crate::children::error::{Error, Lie};
use crate::children::link::{Heard, Link};
use crate::children::worker::Process;
use crate::config::settings::Settings;
use crate::environment;
use crate::log::lines::Log;

/// All services.
#[derive(Default)]
pub(crate) struct Services {
    /// The names, numbered by their places.
    names: Vec<String>,
    plans: BTreeMap<Generation, Plan>,
    running: BTreeMap<ServiceId, Service>,
    /// How many processes each has had.
    starts: BTreeMap<ServiceName, u64>,
}

/// What the services of a generation are started with.
struct Plan {
    services: Vec<directives::Service>,
    /// The variables of a program, as the configuration leaves them.
    environment: Vec<(String, String)>,
    directory: PathBuf,
    user: Option<User>,
    boot_timeout: std::time::Duration,
}

/// A process of a service.
pub(crate) struct Service {
    pub(crate) name: ServiceName,
    pub(crate) generation: Generation,
    pub(crate) process: Process,
    /// Of one that a mold forks.
    link: Option<Link<FromService, ToService>>,
    stop_signal: Signal,
    /// When it was there first (CLOCK_MONOTONIC, ns).
    pub(crate) started_ns: Option<u64>,
}

/// What was heard of a service that a mold forks.
pub(crate) enum ServiceNews {
    /// It is there.
    Started,
    /// It never came to be.
    Failed,
    /// It says what is not its to say.
    Lied(Lie),
}

impl Service {
    /// Its process id, once it is known.
    pub(crate) fn pid(&self) -> Option<u32> {
        match &self.process {
            Process::Unborn { .. } => None,
            Process::Born(child) | Process::Killed(child) => Some(child.pid()),
            Process::Gone(pid) => Some(*pid),
        }
    }

    /// Whether the master has killed it.
    pub(crate) fn is_killed(&self) -> bool {
        matches!(self.process, Process::Killed(_))
    }

    fn born(&mut self, process: Process) {
        self.process = process;
        self.started_ns = Some(sys::clock::monotonic_ns());
    }
}

/// What the settings say.
impl Services {
    /// The settings of a generation, which was started in this directory. Returns what they say of each service.
    pub(crate) fn plan(
        &mut self,
        generation: Generation,
        settings: &Settings,
        directory: &Path,
    ) -> Vec<(ServiceName, Terms)> {
        let plan = Plan {
            services: settings.services.clone(),
            environment: settings.service_environment.clone(),
            directory: directory.to_path_buf(),
            user: settings.user.clone(),
            boot_timeout: settings.processes.boot_timeout,
        };
        let terms = |service: &directives::Service| Terms {
            overlap: service.overlap,
            stop_timeout: service.stop_timeout,
            min_uptime: service.min_uptime,
            fork_within: service.command.is_empty().then_some(plan.boot_timeout),
        };
        let told = plan.services.iter().map(|service| (self.number(&service.name), terms(service))).collect();
        self.plans.insert(generation, plan);
        told
    }

    /// Forgets the settings of all other generations.
    pub(crate) fn keep_plans(&mut self, of: impl Fn(Generation) -> bool) {
        self.plans.retain(|generation, _| of(*generation));
    }

    fn number(&mut self, name: &str) -> ServiceName {
        let known = self.names.iter().position(|other| other == name);
        let number = known.unwrap_or_else(|| {
            self.names.push(name.to_string());
            self.names.len() - 1
        });
        ServiceName(u32::try_from(number).unwrap_or(u32::MAX))
    }

    /// The name with this number.
    pub(crate) fn name(&self, number: ServiceName) -> &str {
        self.names.get(number.0 as usize).map_or("?", String::as_str)
    }

    /// How many processes a service has had.
    pub(crate) fn starts(&self, name: ServiceName) -> u64 {
        self.starts.get(&name).copied().unwrap_or(0)
    }
}

/// The processes.
impl Services {
    /// What to poll.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.running.values().filter_map(|service| service.link.as_ref()?.readable())
    }

    /// This process.
    pub(crate) fn get(&self, id: ServiceId) -> Option<&Service> {
        self.running.get(&id)
    }

    /// All of them, by process id.
    pub(crate) fn pids(&self) -> impl Iterator<Item = u32> {
        self.running.values().filter_map(Service::pid)
    }

    /// Starts a process of a service. Returns its process id, if that is known at once; otherwise `tell` has asked the mold
    /// to fork it.
    ///
    /// # Errors
    /// It cannot be started: the text says why.
    pub(crate) fn start(
        &mut self,
        id: ServiceId,
        name: ServiceName,
        generation: Generation,
        tell: impl FnOnce(&ToMold, BorrowedFd<'_>) -> bool,
    ) -> Result<Option<u32>, Error> {
        *self.starts.entry(name).or_default() += 1;
        let known = self.names.get(name.0 as usize).zip(self.plans.get(&generation));
        let (text, plan) = known.ok_or(Error::MoldGone)?;
        let service = plan.services.iter().find(|service| service.name == *text).ok_or(Error::MoldGone)?;
        let stop_signal = Signal::from_name(&format!("SIG{}", service.stop_signal)).unwrap_or(Signal::Term);
        let unborn = Process::Unborn { waiting: None };
        let mut running = Service { name, generation, process: unborn, link: None, stop_signal, started_ns: None };
        if service.command.is_empty() {
            let (ours, theirs) = Channel::pair()?;
            running.link = Some(Link::new(ours)?);
            let message = ToMold::ForkService { service: id.0, name: text.clone(), generation: generation.0 };
            if !tell(&message, std::os::fd::AsFd::as_fd(&theirs)) {
                return Err(Error::MoldGone);
            }
        } else {
            let pid = program(plan, service, stop_signal).spawn()?;
            running.born(Child::of(pid).map_or(Process::Gone(pid), Process::Born));
        }
        let pid = running.pid();
        self.running.insert(id, running);
        Ok(pid)
    }

    /// The next news of services that molds fork. `announced` says which process has sent what a service says.
    pub(crate) fn hear(&mut self, announced: impl Fn(u32) -> Result<Process, Lie>) -> Option<(ServiceId, ServiceNews)> {
        for (id, service) in &mut self.running {
            let pid = service.pid();
            let Some(link) = &mut service.link else { continue };
            loop {
                let lie = match link.hear(pid) {
                    Heard::Nothing => break,
                    Heard::End if pid.is_none() => return Some((*id, ServiceNews::Failed)),
                    Heard::End => break,
                    Heard::Stranger if link.is_idle_talk() => Lie::Endless,
                    Heard::Stranger => continue,
                    Heard::Message(FromService::Forked, sender) if pid.is_none() => match announced(sender) {
                        Ok(process) => {
                            service.born(process);
                            return Some((*id, ServiceNews::Started));
                        }
                        Err(lie) => lie,
                    },
                    Heard::Message(message, _) => Lie::Unexpected(message.kind()),
                    Heard::Lie(lie) => lie,
                };
                link.ignore();
                return Some((*id, ServiceNews::Lied(lie)));
            }
        }
        None
    }

    /// Asks a process to leave.
    pub(crate) fn stop(&self, id: ServiceId, log: &Log) {
        let Some(service) = self.running.get(&id) else { return };
        let Process::Born(child) = &service.process else { return };
        if let Err(error) = child.kill(service.stop_signal) {
            log.error(format_args!("cannot signal PID:{}: {}", child.pid(), error.chain()));
        }
    }

    /// Kills a process, and those of its group. Returns whether there is one.
    pub(crate) fn kill(&mut self, id: ServiceId) -> bool {
        let Some(service) = self.running.get_mut(&id) else { return false };
        let Some(pid) = service.pid() else { return false };
        let unborn = Process::Unborn { waiting: None };
        service.process = match std::mem::replace(&mut service.process, unborn) {
            Process::Born(child) | Process::Killed(child) => {
                sys::process::kill_with_group(pid);
                Process::Killed(child)
            }
            other => other,
        };
        true
    }

    /// A process was reaped, or never came to be.
    pub(crate) fn remove(&mut self, id: ServiceId) -> Option<Service> {
        self.running.remove(&id)
    }

    /// Has the processes that molds have forked open their logs anew. A program does that by itself, or not.
    pub(crate) fn reopen_logs(&self) {
        for link in self.running.values().filter_map(|service| service.link.as_ref()) {
            link.send(&ToService::ReopenLogs, &[]);
        }
    }
}

/// The upgrade in place.
impl Services {
    /// What the next program is told.
    ///
    /// # Errors
    /// No descriptors left.
    pub(crate) fn save(&self, number: &mut Number<'_>) -> sys::Result<Vec<state::Service>> {
        let told = |(id, service): (&ServiceId, &Service)| {
            let readable = service.link.as_ref().and_then(Link::readable);
            Ok(state::Service {
                id: id.0,
                pid: service.pid(),
                control: readable.map(&mut *number).transpose()?,
                name: self.name(service.name).to_string(),
                generation: service.generation.0,
                stop_signal: service.stop_signal.name().to_string(),
                started_ns: service.started_ns,
                directory: self.plans.get(&service.generation).map(|plan| bytes(&plan.directory)).unwrap_or_default(),
            })
        };
        self.running.iter().map(told).collect()
    }

    /// The names, in the order of their numbers, and how many processes each has had.
    pub(crate) fn names(&self) -> Vec<(String, u64)> {
        let numbers = (0..).map(ServiceName);
        self.names.iter().zip(numbers).map(|(name, number)| (name.clone(), self.starts(number))).collect()
    }

    /// Takes those that the program before this one had; `decided` tells whether one was killed, if anything is decided about it.
    ///
    /// # Errors
    /// Something of them is missing.
    pub(crate) fn load(
        names: &[(String, u64)],
        services: &[state::Service],
        decided: impl Fn(ServiceId) -> Option<bool>,
    ) -> Result<Self, Error> {
        let mut loaded = Self::default();
        for (name, starts) in names {
            let number = loaded.number(name);
            loaded.starts.insert(number, *starts);
        }
        for service in services {
            let is_killed = decided(ServiceId(service.id)).ok_or(Error::Undecided)?;
            let process = match service.pid {
                // It may have ended in between: then it is reaped by its number.
                Some(pid) => match Child::of(pid) {
                    Some(child) if is_killed => Process::Killed(child),
                    Some(child) => Process::Born(child),
                    None => Process::Gone(pid),
                },
                None => Process::Unborn { waiting: None },
            };
            let link = if service.control.is_some() { Some(Link::load(service.control)?) } else { None };
            let taken = Service {
                name: loaded.number(&service.name),
                generation: Generation(service.generation),
                process,
                link,
                stop_signal: Signal::from_name(&service.stop_signal).unwrap_or(Signal::Term),
                started_ns: service.started_ns,
            };
            loaded.running.insert(ServiceId(service.id), taken);
        }
        Ok(loaded)
    }

    /// The processes that there are, by process id.
    pub(crate) fn by_pid(&self) -> impl Iterator<Item = (u32, ServiceId)> {
        self.running.iter().filter_map(|(id, service)| Some((service.pid()?, *id)))
    }

    /// Where a generation's services were started, as the program before this one has told.
    pub(crate) fn directory_of(services: &[state::Service], generation: Generation) -> Option<PathBuf> {
        services.iter().find(|service| service.generation == generation.0).map(|service| path(&service.directory))
    }
}

/// The program of a service: with the variables of the configuration, where its generation lies, as the application's user. It
/// leads a session of its own, so that what is typed at a terminal reaches the master alone, and ends with the master.
fn program(plan: &Plan, service: &directives::Service, stop_signal: Signal) -> Program<'static> {
    let mut words = service.command.iter().map(OsString::from);
    let mut program = Program::new(words.next().unwrap_or_default());
    program.arguments = words.collect();
    let told = |name: &str| plan.environment.iter().any(|(known, _)| known == name);
    let own = std::env::vars_os().map(|(name, _)| name);
    program.unset = own.filter(|name| name.to_str().is_some_and(|name| !told(name))).collect();
    program.unset.extend(environment::PRIVATE.iter().map(OsString::from));
    let variables = plan.environment.iter().filter(|(name, _)| !environment::PRIVATE.contains(&name.as_str()));
    program.set = variables.map(|(name, value)| (name.into(), value.into())).collect();
    program.set.push(("PWD".into(), plan.directory.as_os_str().to_owned()));
    program.directory = Some(plan.directory.clone());
    program.session = true;
    program.user = plan.user.clone();
    program.parting = Some(stop_signal);
    program
}

/// Whether an end is the one that a process was asked for.
pub(crate) fn is_as_asked(service: &Service, exited: Exited) -> bool {
    match exited.ending() {
        sys::process::Ending::Exit(code) => code == 0,
        sys::process::Ending::Signal(number) => number == service.stop_signal as i32,
    }
}
