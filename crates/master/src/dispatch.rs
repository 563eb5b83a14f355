//! Each action is done by one verb of one owner.

use supervisor::unit::RESTART;
use supervisor::{
    Action, AdminPlace, Event, Fact, Failure, FailureReason, Generation, KillReason, SlotId, Supervisor, WorkerId,
};
use sys::clock::Moment;
use sys::signals::Signal;
use wire::ToMold;

use crate::children::registry::Who;
use crate::control::protocol::Answer;
use crate::error::Error;
use crate::log::files::Whose;
use crate::log::lines::Log;
use crate::master::Master;
use crate::owners::Owners;
use crate::report::banner::{self, Banner};
use crate::report::facts::{self, Names};
use crate::report::status::seconds_until;
use crate::signals;
use crate::upgrade;
use crate::upgrade::environment;
use crate::upgrade::execution::{self, command_line};
use crate::upgrade::replacement::{Passed, Replacement};
use crate::upgrade::successor::Successor;

impl Master {
    pub(crate) fn perform(&mut self, action: Action) {
        let owners = &mut self.owners;
        match action {
            Action::StartMold { generation } => self.start_mold(generation),
            Action::Proceed { generation } => {
                owners.children.tell_mold(generation, &ToMold::Proceed);
            }
            Action::RetireMold { generation } => self.retire_mold(generation),
            Action::KillMold { generation } => self.kill_mold(generation),
            Action::Promote { worker, generation } => self.promote(worker, generation),
            Action::Commit { generation } => {
                owners.commit(generation);
                self.want_admin(true);
            }
            Action::Settle { .. } => {
                owners.settle();
                owners.let_listeners_go(self.core.previous().map(|(generation, _)| generation));
            }
            Action::Rollback { generation } => {
                owners.roll_back(generation);
                self.want_admin(false);
            }
            Action::Fork { worker, slot, generation } => self.fork(worker, slot, generation),
            Action::Retire { worker, drain, hand_over, linger } => {
                owners.children.retire(worker, drain, hand_over, linger);
            }
            Action::Abandon { worker } => owners.children.signal(worker, Signal::Quit, &owners.report.log),
            Action::Quick { worker } => owners.children.signal(worker, Signal::Int, &owners.report.log),
            Action::Kill { worker, why } => self.kill_worker(worker, why),
            Action::ReopenLogs => self.reopen_logs(),
            Action::WorkerProcesses { count } => owners.children.tell_molds(&ToMold::WorkerProcesses { count }),
            Action::StartSuccessor => self.start_successor(),
            Action::ForgetSuccessor => owners.upgrade.successor.cancel(),
            Action::StopSuccessor { quick } => self.stop_successor(quick),
            Action::HandOver => self.give_unit(),
            Action::SuccessorLeft => owners.take_names_back(),
            Action::Preflight => self.begin_preflight(),
            Action::AbandonPreflight => self.abandon_preflight(),
            Action::Execute => owners.upgrade.replacement.execute_soon(),
            Action::StartAdmin { place } => self.start_admin(place),
            Action::StopAdmin => owners.admin.stop(&owners.report.log),
            Action::StartService { service, name, generation } => self.start_service(service, name, generation),
            Action::StopService { service } => self.stop_service(service),
            Action::KillService { service } => self.kill_service(service),
            Action::Serving => self.serving(),
            Action::Progress { done, total } => owners.control.progress(done, total, watch_s(&self.core)),
            Action::Outcome { ticket, result } => {
                owners.tell_manager(&self.core);
                let answer = self.outcome(result);
                self.owners.control.answer(ticket, &answer);
            }
            Action::Log(fact) => self.log_fact(fact),
            Action::BootFailed(failure) => self.boot_failed(failure),
            Action::StopListening => owners.stop_listening(),
            Action::Exit { code } => self.leave(code),
        }
    }

    fn outcome(&self, result: Result<(), Failure>) -> Answer {
        match result {
            Ok(()) => self.owners.done(self.core.generation()),
            // What the figures are is the reason.
            Err(failure) if failure.reason == FailureReason::CanaryWorse => {
                Answer::Failed { reason: self.owners.report.causes.text(failure), backtrace: None }
            }
            Err(failure) => Answer::Failed {
                reason: failure.to_string(),
                backtrace: self.owners.report.causes.told(failure).map(str::to_string),
            },
        }
    }

    fn log_fact(&mut self, fact: Fact) {
        self.owners.follow_canary(fact, &self.core);
        let Owners { admin, children, config, report, upgrade, service_manager, services, upkeep, .. } =
            &mut self.owners;
        service_manager.past.note(fact, &report.causes);
        let current = self.core.generation().and_then(|generation| children.mold(generation));
        let names = Names {
            config_file: config.options.config_file.as_deref(),
            successor: upgrade.successor.pid(),
            mold: match fact {
                Fact::MoldForksNothing { generation } => children.mold(generation).map(|mold| mold.pid),
                _ => None,
            },
            release: current.map(|mold| &mold.release),
            trial: upkeep.canary.seen(),
            recycled: match fact {
                Fact::WorkerRecycled { worker, .. } => children.worker(worker),
                _ => None,
            },
            admin_listen: match fact {
                Fact::AdminWithoutAddress { place } => admin.place(place).map(|place| place.listen.as_str()),
                _ => None,
            },
            service: match fact {
                Fact::ServiceBackOff { name, .. } => Some(services.name(name)),
                _ => None,
            },
        };
        facts::report(report, fact, &names);
    }

    fn serving(&mut self) {
        let Owners { report, upgrade, sockets, config, .. } = &mut self.owners;
        report.log.info("master process ready");
        if report.launcher.is_none() && !upgrade.origin.lives() && sys::process::stderr_is_terminal() {
            let options = &config.options;
            let banner = Banner {
                program: &options.program_name(),
                environment: &options.environment(),
                pid: sys::process::own_pid(),
                listeners: sockets.listeners.iter().map(|bound| bound.socket.name()).collect(),
                unnamed: banner::unnamed(&options.directory).filter(|_| options.config_file.is_none()),
            };
            Log::plain(&banner.text());
        }
        upgrade.origin.tell_ready(sockets.queue.inherited);
        report.tell_launcher(Ok(()));
    }

    fn boot_failed(&mut self, failure: Failure) {
        let Owners { report, config, upgrade, service_manager, .. } = &mut self.owners;
        let text = match failure.reason {
            // The mold has said what there was to say.
            FailureReason::MoldLeft => String::new(),
            _ => report.causes.text(failure),
        };
        report.boot_failed(&text, config.is_entered());
        service_manager.past.boot_failed(&text);
        upgrade.origin.tell_failed(&text);
        report.tell_launcher(Err(&text));
    }
}

/// Molds and workers.
impl Master {
    fn start_mold(&mut self, generation: Generation) {
        let Owners { children, config, sockets, report, .. } = &mut self.owners;
        let boot = config.boot(generation.0, &sockets.inherited.names(), &report.log);
        let started = boot.map_err(Error::from).and_then(|boot| {
            children.start_mold(generation, &boot, config.pid_file.path())?;
            Ok(())
        });
        if let Err(error) = started {
            let text = sys::chain(&error);
            report.log.error(format_args!("cannot start a mold: {text}"));
            let cause = report.causes.note(text);
            self.event(Event::MoldExited { generation, status: None, cause });
        }
    }

    fn retire_mold(&mut self, generation: Generation) {
        let is_last = self.core.exit_code() == Some(0) && self.core.generation() == Some(generation);
        // With the last mold goes the configuration's logger.
        if self.owners.report.log.forwards() && is_last {
            self.complete();
            self.owners.forward_log(self.core.generation());
        }
        let message = ToMold::Retire { drain: false, hand_over: false, linger_ms: 0 };
        self.owners.children.tell_mold(generation, &message);
    }

    fn fork(&mut self, worker: WorkerId, slot: SlotId, generation: Generation) {
        let Owners { children, report, .. } = &mut self.owners;
        if let Err(error) = children.fork(worker, slot, generation) {
            let cause = report.causes.note(sys::chain(&error));
            self.event(Event::ForkFailed { worker, cause });
        }
    }

    fn kill_worker(&mut self, id: WorkerId, why: KillReason) {
        let Owners { children, config, report, .. } = &mut self.owners;
        let (Some(known), Some(worker)) = (self.core.worker(id), children.worker(id)) else { return };
        let slot = known.slot;
        let Some(pid) = worker.pid() else { return self.give_up_unborn(id) };
        if why == KillReason::RequestTimeout {
            let now_ns = sys::clock::monotonic_ns();
            let start_ns = children.seat(id).and_then(|seat| seat.request_start_ns());
            let age = start_ns.map_or(0, |start_ns| now_ns.saturating_sub(start_ns)).div_ceil(1_000_000_000);
            let limit = config.timeout().as_secs();
            report.log.error(format_args!("worker={slot} PID:{pid} timeout ({age}s > {limit}s), killing"));
        } else {
            report.log.error(format_args!("worker={slot} PID:{pid} {why}, killing"));
        }
        children.kill(id, &report.log);
    }

    /// A worker that is to be killed is not there yet: the mold that is to fork it forks later, or never. If it does, the
    /// worker finds its socket closed, and leaves before it has begun anything.
    fn give_up_unborn(&mut self, id: WorkerId) {
        let Some(&supervisor::Worker { slot, generation, .. }) = self.core.worker(id) else { return };
        self.owners.children.remove_worker(id);
        let text = format!("worker={slot} gen={generation} is not awaited any more: it was not forked");
        self.owners.report.log.error(&text);
        let cause = self.owners.report.causes.note(text);
        self.event(Event::ForkFailed { worker: id, cause });
    }
}

/// The admin process.
impl Master {
    /// Tells the supervisor where the settings in force want the process. `anew`: they are new ones.
    pub(crate) fn want_admin(&mut self, anew: bool) {
        let place = self.owners.admin.number(self.owners.config.admin());
        self.event(Event::AdminWanted { place, anew });
    }

    fn start_admin(&mut self, place: AdminPlace) {
        let Owners { admin, children, config, report, .. } = &mut self.owners;
        match admin.start(place, config.user()) {
            Ok(pid) => children.register(pid, Who::Admin),
            Err(error) => {
                report.log.error(sys::chain(&error));
                self.event(Event::AdminFailed);
            }
        }
    }
}

/// Log files.
impl Master {
    fn reopen_logs(&mut self) {
        let Owners { config, report, .. } = &mut self.owners;
        report.log.info("master reopening logs...");
        let settings = config.settings.as_ref();
        if !settings.is_some_and(|settings| report.files.ask(config.streams(settings), Whose::All)) {
            self.reopen_all_logs();
        }
    }

    /// The master's logs first, then the molds', then the workers': each may have to give a new file to the user of the
    /// next, which may be unable to make one.
    pub(crate) fn reopen_all_logs(&mut self) {
        self.owners.reopen_own_logs();
        self.owners.report.log.info("master done reopening logs");
        self.owners.children.reopen_logs_of_molds();
        self.owners.services.reopen_logs();
        let children = &self.owners.children;
        // Those whose mold is gone.
        let orphans = self.core.workers().filter(|(_, worker)| children.mold(worker.generation).is_none());
        children.reopen_logs_of_workers(orphans.map(|(id, _)| id));
    }

    /// The mold of these workers has opened its logs anew.
    pub(crate) fn reopen_logs_of_workers(&self, generation: Generation) {
        let forked_by_it = self.core.workers().filter(|(_, worker)| worker.generation == generation);
        self.owners.children.reopen_logs_of_workers(forked_by_it.map(|(id, _)| id));
    }
}

/// A second master.
impl Master {
    /// Moves the pid file out of the way and asks the mold to run `before_exec`.
    fn start_successor(&mut self) {
        if let Err(error) = self.owners.config.find_start() {
            let text = sys::chain(&error);
            self.owners.report.log.error(format_args!("cannot start a new master: {text}"));
            return self.successor_failed(text);
        }
        if let Err(error) = self.owners.put_names_aside() {
            let text = sys::chain(&error);
            self.owners.report.log.error(&text);
            return self.successor_failed(text);
        }
        self.owners.upgrade.successor = Successor::Preparing;
        if !self.ask_for_environment() {
            // Without a mold there is no hook to run.
            self.execute_successor(&environment::own());
        }
    }

    /// Asks the mold to run `before_exec` and to tell what that leaves behind. Returns whether there is a mold.
    fn ask_for_environment(&self) -> bool {
        let current = self.core.generation();
        current.is_some_and(|generation| self.owners.children.tell_mold(generation, &ToMold::BeforeExec))
    }

    /// A mold has told what `before_exec` left behind.
    pub(crate) fn environment_told(&mut self, told: &str) {
        match self.owners.upgrade.replacement {
            Replacement::Preparing => self.start_preflight(told),
            Replacement::None | Replacement::Preflight { .. } | Replacement::Passed(_) | Replacement::Due(_) => {
                self.execute_successor(told);
            }
        }
    }

    /// Executes the new program with the environment that `before_exec` left behind.
    pub(crate) fn execute_successor(&mut self, told: &str) {
        if !matches!(self.owners.upgrade.successor, Successor::Preparing) {
            return;
        }
        match self.spawn_successor(told) {
            Ok(running) => {
                self.owners.upgrade.successor = running;
                self.owners.show_title("master (old)");
                self.event(Event::SuccessorStarted);
            }
            Err(error) => {
                let text = sys::chain(&error);
                self.owners.report.log.error(&text);
                self.owners.upgrade.successor = Successor::None;
                self.owners.take_names_back();
                self.successor_failed(text);
            }
        }
    }

    fn spawn_successor(&mut self, told: &str) -> Result<Successor, upgrade::Error> {
        let next = self.owners.next_program(told)?;
        let Owners { sockets, service_manager, children, report, .. } = &mut self.owners;
        // In a unit it is the service manager's child from the beginning: of a main process that is not its own child
        // systemd would not know the end, and would not wait for it in a stop.
        let beside = service_manager.is_main() && sys::process::parent_name().as_deref() == Some("systemd");
        let (listeners, manager) = (&sockets.listeners, service_manager.variables());
        let started = Successor::start(next, listeners, &sockets.queue, manager, beside, &report.log)?;
        if let Some(pid) = started.pid().filter(|_| !beside) {
            children.register(pid, Who::Successor);
        }
        Ok(started)
    }

    fn successor_failed(&mut self, text: String) {
        let cause = self.owners.report.causes.note(text);
        self.event(Event::SuccessorFailed { cause });
    }

    /// The unit ends, and the new master with it.
    fn stop_successor(&self, quick: bool) {
        let Owners { upgrade, report, .. } = &self.owners;
        let Some(pid) = upgrade.successor.pid() else { return };
        report.log.info(format_args!("stopping the new master PID:{pid} too"));
        signals::send(pid, if quick { Signal::Int } else { Signal::Term }, &report.log);
    }

    /// Gives the unit to the new master.
    fn give_unit(&mut self) {
        let Owners { service_manager, upgrade, report, .. } = &mut self.owners;
        let Some(pid) = upgrade.successor.pid() else { return };
        // The manager first: whatever the new master says then comes after this, and is listened to.
        let handed = service_manager.give_unit(pid);
        let told = upgrade.successor.give_unit();
        if handed && told {
            report.log.info(format_args!("the unit is left to the new master PID:{pid}"));
        }
    }
}

/// The program that is to take this one's place.
impl Master {
    /// Asks the mold to run `before_exec`; the preflight follows.
    fn begin_preflight(&mut self) {
        self.owners.upgrade.replacement = Replacement::Preparing;
        if !self.ask_for_environment() {
            // Without a mold there is no hook to run.
            self.start_preflight(&environment::own());
        }
    }

    /// Runs the new program with the environment that `before_exec` left behind.
    fn start_preflight(&mut self, told: &str) {
        if let Err(error) = self.spawn_preflight(told) {
            self.preflight_failed(&error);
        }
    }

    fn spawn_preflight(&mut self, told: &str) -> Result<(), upgrade::Error> {
        let next = self.owners.next_program(told)?;
        // What it gets to read is what it would be handed, but for the numbers of descriptors.
        let state = self.owners.save(&self.core, &mut |fd| Ok(std::os::fd::AsRawFd::as_raw_fd(&fd)), &[])?;
        let pid = self.owners.upgrade.replacement.start_preflight(next, &state.encode()?)?;
        self.owners.children.register(pid, Who::Preflight);
        Ok(())
    }

    pub(crate) fn preflight_failed(&mut self, error: &upgrade::Error) {
        self.owners.upgrade.replacement = Replacement::None;
        let cause = self.owners.report.causes.note(sys::chain(error));
        self.event(Event::PreflightFailed { cause });
    }

    /// What becomes of it does not matter any more. It is reaped as a stranger.
    fn abandon_preflight(&mut self) {
        let Owners { upgrade, children, report, .. } = &mut self.owners;
        if let Some(pid) = upgrade.replacement.abandon() {
            signals::send(pid, Signal::Kill, &report.log);
            children.forget(pid);
        }
    }

    /// Becomes the program that has passed the preflight. When it returns, nothing has changed.
    pub(crate) fn execute(&mut self, next: &Passed) {
        // A stop may have come in between.
        if self.core.snapshot().is_none() {
            return;
        }
        self.owners.forward_log(self.core.generation());
        self.owners.report.log.info(format_args!(
            "executing {:?} in place (in {})",
            command_line(&next.place.path, &self.owners.config.options),
            next.place.directory.display()
        ));
        let held = sys::image::hold_signals();
        let unheard = self.owners.signals.take().into_iter().map(|delivered| delivered.signal);
        // The program that goes on collects the dead first.
        let unheard: Vec<Signal> = unheard.filter(|signal| *signal != Signal::Chld).collect();
        self.collect_again = true;
        let error = match held {
            Ok(_) => sys::chain(&execution::execute(next, &self.owners.config.options, |number| {
                self.owners.save(&self.core, number, &unheard)
            })),
            Err(ref error) => error.chain(),
        };
        drop(held);
        self.owners.report.log.error(format_args!("cannot execute the new program: {error}"));
        let cause = self.owners.report.causes.note(error);
        self.event(Event::NotReplaced { cause });
        for signal in unheard {
            self.signal(signal);
        }
    }
}

/// The end.
impl Master {
    /// Says once that nothing is left to be done.
    fn complete(&mut self) {
        if self.owners.config.settings.is_some() {
            self.owners.report.complete();
        }
    }

    /// The last deed: exits with this status. Those who wait for the end are answered behind it.
    fn leave(&mut self, status: u8) {
        self.owners.forward_log(self.core.generation());
        self.owners.report.log.set_forward(false);
        if status == 0 || status == RESTART {
            self.complete();
        }
        let config = &mut self.owners.config;
        config.pid_file.remove(config.user());
        self.owners.control.remove_file();
        self.exit = Some(status);
    }
}

/// For how long workers on trial are watched yet.
fn watch_s(core: &Supervisor) -> Option<u32> {
    let until = core.trial()?.until?;
    u32::try_from(seconds_until(until, Moment::now())).ok()
}
