//! The master: what decides, what is held, and the round in which it hears what has happened.

use supervisor::{CauseId, Event, Generation, Instant, Phase, SlotId, SuccessorPhase, Supervisor, WorkerId};
use sys::process::Exited;
use sys::signals::Signal;
use wire::FromMold;

use crate::children::error::Lie;
use crate::children::hearing::{MoldNews, Turns, WorkerNews, hear_mold, hear_worker};
use crate::children::mold::Mold;
use crate::children::post_mortem::OomKills;
use crate::children::worker::{Process, Wanted};
use crate::config::asked::Asked;
use crate::config::options::Options;
use crate::config::owner::Config;
use crate::config::runtime::Runtime;
use crate::control::protocol::{Answer, Request};
use crate::deadlines::Watched;
use crate::error::Error;
use crate::log::files::Whose;
use crate::log::lines::Log;
use crate::owners::Owners;
use crate::service_manager::owner::ServiceManager;
use crate::sockets::inherited::{Announced, Inherited};
use crate::upgrade::succession::{Origin, OriginNews};
use crate::upgrade::successor::SuccessorNews;
use crate::upgrade::way_back::{self, Handed};

/// What decides, and what it decides about.
pub(crate) struct Master {
    pub(crate) core: Supervisor,
    pub(crate) owners: Owners,
    /// A child may have died since the dead were collected: the next round comes at once.
    pub(crate) collect_again: bool,
    /// What to exit with, once everything is done.
    pub(crate) exit: Option<u8>,
}

/// The beginning.
impl Master {
    /// A master on the sockets that were announced.
    ///
    /// # Errors
    /// It cannot start: the text says why.
    pub(crate) fn new(options: Options, runtime: Runtime, announced: &Announced) -> Result<Self, Error> {
        let inherited = Inherited::adopt(announced, &Log::default())?;
        Self::begin(options, runtime, inherited)
    }

    /// A master on these sockets.
    ///
    /// # Errors
    /// It cannot start: the text says why.
    pub(crate) fn begin(options: Options, runtime: Runtime, inherited: Inherited) -> Result<Self, Error> {
        let config = Config::of(options, runtime);
        let mut owners = Owners::begin(config, inherited)?;
        owners.upgrade.origin = Origin::from_environment();
        owners.service_manager = ServiceManager::from_environment(owners.upgrade.origin.lives(), &owners.report.log);
        // Now, before anything can move: this is where Bundler has pinned the environment to.
        owners.config.find_start()?;
        let core = Supervisor::new(owners.config.options.of_supervisor(owners.report.started_ns));
        let mut master = Self::of(core, owners);
        master.tell_role();
        Ok(master)
    }

    /// Takes over what the program before this one held.
    ///
    /// # Errors
    /// It is not all there.
    pub(crate) fn load(options: Options, runtime: Runtime, handed: &Handed) -> Result<Self, Error> {
        if handed.pid != sys::process::own_pid() {
            return Err(Error::OtherProcess(handed.pid));
        }
        let options = Options { directory: crate::carried::path(&handed.directory), ..options };
        sys::image::set_name(&options.program_name());
        let config = options.of_supervisor(handed.started_ns);
        let core = Supervisor::restore(config, handed.decisions.clone())?;
        let owners = Owners::load(options, runtime, handed, &core)?;
        Ok(Self::of(core, owners))
    }

    /// Says what this master is in its unit.
    fn tell_role(&mut self) {
        let Owners { service_manager, upgrade, .. } = &self.owners;
        let (role, origin) = (service_manager.role(), upgrade.origin.lives());
        self.event(Event::Unit { role, origin });
    }

    fn of(core: Supervisor, owners: Owners) -> Self {
        // A child that died before there was a handler, or before this program took over, has sent no signal to it.
        Self { core, owners, collect_again: true, exit: None }
    }

    /// Everything is there: from now on this program is the master.
    pub(crate) fn resume(&mut self, handed: &Handed) {
        let refused = way_back::close(handed);
        self.owners.show_title("master");
        self.tell_role();
        self.want_admin(true);
        let report = &mut self.owners.report;
        match refused {
            Some(why) => {
                report.log.error(format_args!("the new program did not take over: {why}"));
                let cause = report.causes.note(why);
                self.event(Event::NotReplaced { cause });
            }
            None => {
                report.log.info(format_args!("licorne {} has taken over", env!("CARGO_PKG_VERSION")));
                self.event(Event::Replaced);
            }
        }
        for signal in handed.signals.iter().filter_map(|name| Signal::from_name(name)) {
            self.signal(signal);
        }
        sys::image::let_signals_go();
    }
}

/// The round.
impl Master {
    /// Boots, and serves until everything is done. Returns what to exit with.
    pub(crate) fn serve(&mut self) -> u8 {
        self.owners.show_title("master");
        self.event(Event::Start);
        self.go_on()
    }

    /// Serves until everything is done. Returns what to exit with.
    pub(crate) fn go_on(&mut self) -> u8 {
        loop {
            while let Some(action) = self.core.poll_action() {
                self.perform(action);
            }
            let Owners { children, sockets, upgrade, .. } = &mut self.owners;
            children.ask_for_planned(sockets.queue.ends());
            let next = if children.has_planned() { None } else { upgrade.replacement.take_due() };
            if let Some(next) = next {
                self.break_off_backtraces();
                self.execute(&next);
                continue;
            }
            self.owners.forward_log(self.core.generation());
            if let Some(code) = self.exit {
                return code;
            }
            if self.watch_requests() {
                continue;
            }
            self.owners.tell_manager(&self.core);
            self.answer_admin();
            self.answer_backtraces();
            self.owners.watch_restart_file();
            self.owners.sockets.unblock();
            let late_ns = self.sleep();
            let limits = self.owners.config.limits();
            self.owners.deadlines.pardon(late_ns, limits, sys::clock::monotonic_ns());
            self.hear();
        }
    }

    /// Hands an event to the supervisor, at this moment.
    pub(crate) fn event(&mut self, event: Event) {
        self.core.handle(now(), event);
    }

    /// Asks for the reports that are due, and tells of overdue requests; returns whether there were any.
    fn watch_requests(&mut self) -> bool {
        let Owners { backtraces, children, config, deadlines, report, .. } = &mut self.owners;
        let now_ns = sys::clock::monotonic_ns();
        let watched = children
            .workers()
            .filter(|(_, worker)| worker.is_ready() && !worker.is_killed())
            .map(|(id, worker)| Watched { id, seat: worker.seat.look() });
        let due = deadlines.look(watched, config.limits(), now_ns);
        let slow = due.slow.into_iter().map(|due| (due, Wanted::SinceItIsSlow));
        for ((worker, start_ns), why) in due.reports.into_iter().map(|due| (due, Wanted::SinceItEnds)).chain(slow) {
            children.ask_for_report(worker, start_ns, why, backtraces.number(now_ns), &report.log);
        }
        for worker in &due.overdue {
            self.event(Event::RequestOverdue { worker: *worker });
        }
        !due.overdue.is_empty()
    }

    /// Answers the process that answers health checks.
    fn answer_admin(&mut self) {
        let Some(asked) = self.owners.admin.hear() else { return };
        let answer = match asked {
            Request::Deaths => Answer::Deaths { deaths: self.owners.report.deaths.newest_in_brief() },
            _ => self.owners.status(&self.core),
        };
        self.owners.admin.tell(&answer);
    }

    /// Sleeps until there is something to do, and returns how late it woke up.
    fn sleep(&self) -> u64 {
        Log::tell_lost();
        let now = sys::clock::monotonic_ns();
        let deadline = self.core.next_deadline().map(|at| at.0).filter(|ns| *ns != u64::MAX);
        let Owners { admin, backtraces, upkeep, deadlines, service_manager, control, report, .. } = &self.owners;
        let reforks = self.owners.children.reforks.next_ns();
        let others = [service_manager.next_ns(), backtraces.next_ns(), upkeep.next_ns(), reforks];
        let until = others.into_iter().chain([deadline, deadlines.next_ns]).flatten().min();
        let left = if self.collect_again { Some(0) } else { until.map(|ns| ns.saturating_sub(now)) };
        let left = left.into_iter().chain(control.longest_wait_ns()).min();
        let writers: Vec<_> = control.writable().chain(admin.writable()).collect();
        if let Err(error) = sys::poll::wait(&self.owners.fds(), &writers, left) {
            report.log.error(format_args!("master loop error: {}", error.chain()));
        }
        until.map_or(0, |until| sys::clock::monotonic_ns().saturating_sub(until.max(now)))
    }

    /// Takes in what has happened, in the order that [`Supervisor`] asks for.
    ///
    /// Deaths are collected first and handled later: a signal that reached the whole group is known by then, and so is what a
    /// child said before it died. One that dies after the dead were collected may have its signal taken in the same round:
    /// that round has to be followed by another.
    fn hear(&mut self) {
        self.collect_again = false;
        let mut exits = Vec::new();
        while let Some(exited) = sys::process::reap() {
            exits.push(exited);
        }
        for delivered in self.owners.signals.take() {
            self.signal(delivered.signal);
        }
        self.hear_molds();
        self.hear_workers(&exits);
        // Behind what the worker says of it.
        self.hear_promotion(&exits);
        self.hear_services(&exits);
        self.hear_successor();
        self.hear_origin();
        if let Some(pid) = self.owners.upgrade.successor.is_gone() {
            self.owners.report.log.error(format_args!("the new master PID:{pid} is gone"));
            self.successor_gone();
        }
        let died = !exits.is_empty();
        for exited in exits {
            self.exited(exited);
        }
        if died {
            // All deaths of this round are explained.
            self.owners.children.oom_kills = OomKills::now();
        }
        match self.owners.report.files.hear() {
            Some(Whose::Own) => self.owners.reopen_own_logs(),
            Some(Whose::All) => self.reopen_all_logs(),
            None => {}
        }
        if self.owners.restart_file.hear(&self.owners.report.log) {
            self.signal(Signal::Hup);
        }
        self.hear_clients();
        self.watch_workers();
        self.watch_load();
        if let Some(text) = self.owners.watch_canary(&self.core) {
            let cause = self.owners.report.causes.note(format!("the canary is worse: {text}"));
            self.event(Event::CanaryWorse { cause });
        }
        self.watch_reforks();
        self.watch_sharing();
        if self.core.next_deadline().is_some_and(|at| at <= now()) {
            self.event(Event::Tick);
        }
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        use supervisor::Signal as Known;
        let known = match signal {
            Signal::Quit => Known::Quit,
            Signal::Term => Known::Term,
            Signal::Int => Known::Int,
            Signal::Hup => {
                self.owners.config.asked = Asked::default();
                Known::Hup
            }
            Signal::Usr1 => Known::Usr1,
            Signal::Usr2 => Known::Usr2,
            Signal::Ttin => Known::Ttin,
            Signal::Ttou => Known::Ttou,
            Signal::Winch => Known::Winch { honoured: !sys::process::stdin_is_terminal() },
            Signal::Chld => {
                self.collect_again = true;
                return;
            }
            // These are only sent.
            Signal::Kill | Signal::Urg => return,
        };
        self.event(Event::Signal(known));
    }

    fn hear_clients(&mut self) {
        for (request, ticket, peer) in self.owners.control.hear() {
            if let Some(what) = request.changes() {
                self.owners.report.log.info(format_args!("{what} asked for by {}", peer.describe()));
            }
            let (event, wait) = match request {
                Request::Reload { wait, probe, canary } => {
                    self.owners.config.asked = Asked { probe, canary };
                    (Event::Reload { ticket }, wait)
                }
                Request::Promote => (Event::Promote { ticket }, true),
                Request::Abort => (Event::Abort { ticket }, true),
                Request::Rollback { wait } => {
                    if let Err(reason) = self.prepare_way_back() {
                        self.owners.control.answer(ticket, &Answer::Failed { reason, backtrace: None });
                        continue;
                    }
                    // Whether there is a way back is to be said in any case.
                    (Event::GoBack { ticket }, wait || !self.may_go_back())
                }
                Request::Upgrade { wait, way } => (Event::Upgrade { ticket, way }, wait),
                Request::Stop { graceful } => (Event::Stop { graceful, ticket }, true),
                Request::Status => {
                    let status = self.owners.status(&self.core);
                    self.owners.control.answer(ticket, &status);
                    continue;
                }
                Request::Backtrace { slot } => {
                    self.ask_backtraces(ticket, slot);
                    continue;
                }
                Request::Configuration => {
                    let generation = self.core.generation().map(|generation| generation.0);
                    let follows = self.core.sizes().is_some_and(|sizes| !sizes.by_hand);
                    let by_hand = (!follows).then(|| self.core.worker_processes());
                    let shown = self.owners.config.shown(generation, by_hand);
                    self.owners.control.answer(ticket, &shown);
                    continue;
                }
                Request::Deaths => {
                    let deaths = self.owners.report.deaths.newest_first();
                    self.owners.control.answer(ticket, &Answer::Deaths { deaths });
                    continue;
                }
            };
            self.owners.control.answer(ticket, &Answer::Accepted);
            if !wait {
                let done = self.owners.done(self.core.generation());
                self.owners.control.answer(ticket, &done);
            }
            self.event(event);
        }
    }
}

/// What molds say.
impl Master {
    fn hear_molds(&mut self) {
        let mut turns = Turns::of(self.owners.children.molds().map(|(generation, _)| generation));
        while let Some((generation, news)) = hear_mold(&mut self.owners.children, &mut turns) {
            match news {
                MoldNews::Said(message) => self.mold_said(generation, message),
                MoldNews::Closed => self.event(Event::MoldUnreachable { generation }),
                MoldNews::Lied(lie) => self.mold_lied(generation, &lie),
            }
        }
    }

    fn mold_said(&mut self, generation: Generation, message: FromMold) {
        match message {
            FromMold::ReopenLogs => {
                if self.owners.children.mold_mut(generation).is_some_and(Mold::has_reopened) {
                    self.reopen_logs_of_workers(generation);
                } else {
                    self.mold_talks(generation);
                }
            }
            FromMold::Settings { json } => self.configured(generation, &json),
            FromMold::Ready => self.event(Event::MoldReady { generation }),
            // It is not accepted: who says this is no mold yet.
            FromMold::Forked => {}
            FromMold::Failed { text } => {
                let said = !text.is_empty();
                let cause = self.owners.report.causes.note(text);
                self.event(Event::MoldFailed { generation, said, cause });
            }
            FromMold::ExecEnvironment { json } => {
                if self.owners.upgrade.awaits_environment() && self.core.generation() == Some(generation) {
                    self.environment_told(&json);
                } else {
                    self.mold_talks(generation);
                }
            }
            FromMold::ServiceForkFailed { service, text } => {
                if !self.service_fork_failed(generation, service, &text) {
                    self.mold_talks(generation);
                }
            }
            FromMold::ForkFailed { slot, text } => match self.awaited_from(generation, SlotId(slot)) {
                Some(worker) => {
                    let cause = self.worker_failed(worker, text);
                    self.owners.children.remove_worker(worker);
                    self.event(Event::ForkFailed { worker, cause });
                }
                None => self.mold_talks(generation),
            },
        }
    }

    /// The worker for this slot that the mold was asked for and has not forked yet.
    fn awaited_from(&self, generation: Generation, slot: SlotId) -> Option<WorkerId> {
        let asked = self.core.workers().filter(|(_, worker)| (worker.generation, worker.slot) == (generation, slot));
        let is_unborn = |id: &WorkerId| self.owners.children.worker(*id).is_some_and(|worker| worker.pid().is_none());
        asked.map(|(id, _)| id).find(is_unborn)
    }

    /// A mold has said what means nothing.
    fn mold_talks(&mut self, generation: Generation) {
        if self.owners.children.mold_mut(generation).is_some_and(|mold| mold.link.is_idle_talk()) {
            self.mold_lied(generation, &Lie::Endless);
        }
    }

    fn mold_lied(&mut self, generation: Generation, lie: &Lie) {
        let Some(pid) = self.owners.children.ignore_mold(generation) else { return };
        let text = format!("mold gen={generation} pid={pid} broke the protocol: {}", sys::chain(lie));
        self.owners.report.log.error(format_args!("{text}; killing it"));
        let cause = self.owners.report.causes.note(text);
        self.event(Event::MoldUnfit { generation, cause });
    }

    /// A mold has told its settings: prepares what they need.
    fn configured(&mut self, generation: Generation, told: &str) {
        match self.prepare(generation, told) {
            Ok(_) if self.owners.config.begins_anew() => self.exit = Some(0),
            Ok(plan) => {
                self.plan_services(generation);
                self.event(Event::MoldConfigured { generation, plan });
            }
            Err(error) => {
                self.owners.refuse_mold(generation);
                let cause = self.owners.report.causes.note(sys::chain(&error));
                self.event(Event::MoldFailed { generation, said: true, cause });
            }
        }
    }

    /// Whether the kept mold can take over now.
    fn may_go_back(&self) -> bool {
        self.core.previous().is_some()
            && (self.core.phase() == Phase::Serving || self.core.is_reforking())
            && self.core.successor() != SuccessorPhase::InPlace
    }

    /// Prepares what the settings of the kept mold need, which the generation since may have let go.
    fn prepare_way_back(&mut self) -> Result<(), String> {
        let kept = self.core.previous().filter(|_| self.may_go_back());
        let Some((generation, _)) = kept else { return Ok(()) };
        let settings = self.owners.children.mold(generation).and_then(|mold| mold.settings.clone());
        let Some(settings) = settings else { return Ok(()) };
        let prepared = self.owners.prepare(&settings, &mut Vec::new()).map_err(|error| sys::chain(&error))?;
        if let Some(mold) = self.owners.children.mold_mut(generation) {
            mold.listeners = prepared;
        }
        Ok(())
    }

    fn prepare(&mut self, generation: Generation, told: &str) -> Result<supervisor::Plan, Error> {
        let settings = self.owners.read(generation, told)?;
        if self.owners.config.begins_anew() {
            return Ok(self.owners.config.plan(&settings));
        }
        let mut heard = Vec::new();
        let prepared = self.owners.prepare(&settings, &mut heard);
        for delivered in heard {
            self.signal(delivered.signal);
        }
        let reloads = self.core.reloads_to() == Some(generation);
        Ok(self.owners.configure_mold(generation, settings, prepared?, reloads))
    }
}

/// What workers say.
impl Master {
    fn hear_workers(&mut self, reaped: &[Exited]) {
        let mut turns = Turns::of(self.owners.children.workers().map(|(id, _)| id));
        loop {
            let Owners { children, report, .. } = &mut self.owners;
            let Some((worker, news)) = hear_worker(children, &mut turns, reaped, &report.log) else { return };
            match news {
                WorkerNews::Ready => self.event(Event::WorkerReady { worker }),
                WorkerNews::Failed(text) => {
                    let cause = self.worker_failed(worker, text);
                    self.event(Event::WorkerBootFailed { worker, cause });
                }
                WorkerNews::Leaves => self.event(Event::WorkerLeaves { worker }),
                WorkerNews::Backtraces { question, text } => self.backtraces_told(worker, question, text),
                WorkerNews::NotPromoted { generation, for_good, text } => {
                    self.not_promoted(worker, generation, for_good, text);
                }
                WorkerNews::Closed => self.worker_closed(worker),
                WorkerNews::Lied(lie) => self.worker_lied(worker, &lie),
            }
        }
    }

    /// A worker's socket has ended. With a process its exit will be reaped, or it has to be made to leave. Without one it
    /// was never forked.
    fn worker_closed(&mut self, id: WorkerId) {
        match self.owners.children.worker(id).map(|worker| &worker.process) {
            Some(Process::Unborn { .. }) => {
                self.owners.children.remove_worker(id);
                self.event(Event::ForkFailed { worker: id, cause: CauseId::NONE });
            }
            Some(Process::Born(_) | Process::Killed(_)) => self.event(Event::WorkerUnreachable { worker: id }),
            Some(Process::Gone(_)) | None => {}
        }
    }

    /// A worker has said what is not its to say. One that is not there yet finds its socket closed, and leaves.
    fn worker_lied(&mut self, id: WorkerId, lie: &Lie) {
        let Owners { children, report, .. } = &mut self.owners;
        let in_request = children.is_in_request(id);
        let (Some(known), Some(worker)) = (self.core.worker(id), children.worker_mut(id)) else { return };
        worker.link.ignore();
        let pid = worker.pid().map_or_else(|| "?".to_string(), |pid| pid.to_string());
        report.log.error(format_args!("worker={} PID:{pid} broke the protocol: {}", known.slot, sys::chain(lie)));
        if worker.pid().is_none() {
            return self.worker_closed(id);
        }
        self.event(Event::WorkerLied { worker: id, in_request });
    }

    /// A worker has told why it cannot boot, or its mold why it cannot fork it. By a boot or a roll, which fails by it, that is
    /// told once, in the end.
    fn worker_failed(&mut self, id: WorkerId, text: String) -> CauseId {
        let Some(&supervisor::Worker { slot, generation, .. }) = self.core.worker(id) else {
            return CauseId::NONE;
        };
        let fails_by_it = match self.core.phase() {
            Phase::New | Phase::Booting => true,
            Phase::Rolling => self.core.generation() == Some(generation),
            _ => false,
        };
        if !fails_by_it {
            self.owners.report.log.error(format_args!("worker={slot} gen={generation} does not boot: {text}"));
        }
        self.note_of_booting(id, text)
    }

    /// Keeps why a worker did not boot, if that is still awaited.
    pub(crate) fn note_of_booting(&mut self, id: WorkerId, text: String) -> CauseId {
        let boots = self.core.worker(id).is_some_and(|worker| worker.boots());
        if boots { self.owners.report.causes.note(text) } else { CauseId::NONE }
    }
}

/// What other masters say.
impl Master {
    fn hear_successor(&mut self) {
        while let Some(news) = self.owners.upgrade.successor.hear() {
            match news {
                SuccessorNews::Ready { takes_over } => self.event(Event::SuccessorReady { takes_over }),
                SuccessorNews::Failed(reason) => {
                    let cause = self.owners.report.causes.note(reason);
                    self.owners.upgrade.successor.failed_by(cause);
                }
            }
        }
    }

    pub(crate) fn successor_gone(&mut self) {
        // It may have said that it serves just before it died.
        self.hear_successor();
        let cause = self.owners.upgrade.successor.forget();
        self.event(Event::SuccessorExited { cause });
    }

    fn hear_origin(&mut self) {
        let Owners { upgrade, service_manager, sockets, report, .. } = &mut self.owners;
        match upgrade.origin.hear() {
            Some(OriginNews::GivesUnit) => {
                report.log.info("this master is the unit's main process now");
                service_manager.become_main();
                self.core.handle(now(), Event::HandedOver);
                service_manager.keep(&sockets.listeners, &sockets.inherited.handed_over, &report.log);
            }
            Some(OriginNews::Gone) => self.event(Event::OriginGone),
            None => {}
        }
    }
}

/// This moment, as the supervisor counts.
fn now() -> Instant {
    Instant(sys::clock::monotonic_ns())
}
