//! Everything that the master holds, one owner for each thing, and the deeds that need several of them.
//!
//! An owner has `fds` to poll, `hear`, which says what has happened, verbs, and `save` and `load` where it outlives an
//! upgrade in place. It knows neither what decides nor another owner: what it needs of one it is given here.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use supervisor::{Fact, Generation, Plan, ServiceState, SlotId, Snapshot, Supervisor};
use sys::signals::{Delivered, Signal, Signals};
use wire::ToMold;
use wire::state::{self, State};

use crate::admin::Admin;
use crate::backtraces::Backtraces;
use crate::canary::compare::Limits;
use crate::carried::{Number, bytes, path, paths};
use crate::children::marks::Marks;
use crate::children::mold::{MoldStage, Starter};
use crate::children::past;
use crate::children::post_mortem::OomKills;
use crate::children::registry::Children;
use crate::children::seats::Seats;
use crate::config::anchor::Anchors;
use crate::config::options::Options;
use crate::config::owner::{Config, Start};
use crate::config::pid_file::{PidFile, oldbin, without_oldbin};
use crate::config::revision::Release;
use crate::config::runtime::Runtime;
use crate::config::settings::Settings;
use crate::control::protocol::Answer;
use crate::control::server::ControlServer;
use crate::deadlines::Deadlines;
use crate::error::Error;
use crate::log::files;
use crate::log::lines::Log;
use crate::report::deaths::Deaths;
use crate::report::owner::Report;
use crate::report::reloads::Reloads;
use crate::report::status::{Sources, backlogs};
use crate::restart_file::RestartFile;
use crate::service_manager::owner::ServiceManager;
use crate::service_manager::summary::Present;
use crate::services::Services;
use crate::signals::wait_unless_stopped;
use crate::sockets::bound::Listeners;
use crate::sockets::inherited::Inherited;
use crate::sockets::listeners::Wait;
use crate::sockets::owner::{Sockets, places};
use crate::sockets::queue::Queue;
use crate::upgrade::environment::{self, NextProgram};
use crate::upgrade::execution::way_back;
use crate::upgrade::owner::Upgrade;
use crate::upkeep::Upkeep;
use crate::{config, upgrade};

/// What the master holds.
pub(crate) struct Owners {
    pub(crate) signals: Signals,
    pub(crate) children: Children,
    pub(crate) config: Config,
    pub(crate) sockets: Sockets,
    pub(crate) control: ControlServer,
    pub(crate) upgrade: Upgrade,
    pub(crate) service_manager: ServiceManager,
    /// The process that answers health checks.
    pub(crate) admin: Admin,
    pub(crate) services: Services,
    pub(crate) deadlines: Deadlines,
    pub(crate) backtraces: Backtraces,
    pub(crate) upkeep: Upkeep,
    pub(crate) restart_file: RestartFile,
    pub(crate) report: Report,
}

impl Owners {
    /// Those of a master that starts on these sockets.
    ///
    /// # Errors
    /// No descriptors or memory left.
    pub(crate) fn begin(config: Config, inherited: Inherited) -> sys::Result<Self> {
        let signals = Signals::listen()?;
        sys::process::become_subreaper()?;
        let children = Children::none(Seats::begin()?);
        Ok(Self::of(signals, children, config, Sockets::of(inherited, Queue::open()?), Report::begin()))
    }

    /// Those that have been found, and of all others the beginning.
    pub(crate) fn of(signals: Signals, children: Children, config: Config, sockets: Sockets, report: Report) -> Self {
        Self {
            signals,
            children,
            config,
            sockets,
            control: ControlServer::default(),
            upgrade: Upgrade::default(),
            service_manager: ServiceManager::default(),
            admin: Admin::default(),
            services: Services::default(),
            deadlines: Deadlines::default(),
            backtraces: Backtraces::default(),
            upkeep: Upkeep::default(),
            restart_file: RestartFile::default(),
            report,
        }
    }

    /// Takes what the program before this one held; `supervisor` has taken its decisions.
    ///
    /// # Errors
    /// It is not all there.
    pub(crate) fn load(
        options: Options,
        runtime: Runtime,
        handed: &State<Snapshot>,
        supervisor: &Supervisor,
    ) -> Result<Self, Error> {
        let (sockets, all) = Sockets::load(&handed.listeners, &handed.listens_on, Queue::load(handed.queue)?)?;
        let settings = Settings::parse_older(&handed.settings)?;
        let anchors = Anchors::from_seen(paths(&handed.places), paths(&handed.configured_places));
        let pid_file = PidFile::at(handed.pid_path.as_ref().map(path));
        let signals = Signals::listen()?;
        let mut children = Children::none(Seats::load(handed.board, handed.scoreboard)?);
        // Which of the releases serves: the place that the directory has led to last.
        let (start, configured) = anchors.seen();
        children.load_molds(&handed.molds, &all, configured.last().or(start.last()).map(PathBuf::as_path))?;
        children.load_workers(&handed.workers, |id| supervisor.worker(id))?;
        children.oom_kills = OomKills::load(handed.oom_kills);
        children.past = past::load(handed.requests, &handed.totals)?;
        children.marks = Marks::load(&handed.marks);
        children.starts = handed.starts.iter().map(|(slot, count)| (SlotId(*slot), *count)).collect();
        let mut report = Report::begin();
        report.started_ns = handed.started_ns;
        report.deaths = Deaths::load(&handed.deaths);
        report.reloads = Reloads::load(&handed.reloads);
        report.recycled = handed.recycled;
        report.reforks = Reloads::load(&handed.reforks);
        report.log.set_forward(settings.custom_logger);
        let service_manager = ServiceManager::load(&all, &report.log);
        let control = ControlServer::load(handed.control.as_ref(), handed.last_ticket, settings.user.clone())?;
        let config = Config::load(options, runtime, settings, anchors, pid_file);
        let killed = |service: &supervisor::Service| service.state == ServiceState::Killed;
        let decided = |id| supervisor.service(id).map(killed);
        let services = Services::load(&handed.service_names, &handed.services, decided)?;
        let owners = Self::of(signals, children, config, sockets, report);
        let mut owners = Self { control, service_manager, services, ..owners };
        owners.plan_services_again(&handed.services, supervisor);
        Ok(owners)
    }

    /// What to poll.
    pub(crate) fn fds(&self) -> Vec<BorrowedFd<'_>> {
        let mut fds: Vec<BorrowedFd<'_>> = vec![self.signals.as_fd()];
        fds.extend(self.children.fds());
        fds.extend(self.control.fds());
        fds.extend(self.admin.fds());
        fds.extend(self.services.fds());
        fds.extend(self.upgrade.fds());
        fds.extend(self.report.files.fds());
        fds.extend(self.restart_file.fds());
        fds
    }

    /// Watches the file whose touch asks for a reload, as it is configured now.
    pub(crate) fn watch_restart_file(&mut self) {
        self.restart_file.follow(self.config.restart_file(), &self.report.log);
    }

    /// Shows what this master is in the title of the process.
    pub(crate) fn show_title(&self, tag: &str) {
        self.report.show_title(&self.config.options.title(tag));
    }

    /// Sends waiting log lines through the mold of the generation that serves; without one they go to standard error.
    pub(crate) fn forward_log(&self, current: Option<Generation>) {
        for (severity, text) in self.report.log.take_forwarded() {
            let message = ToMold::Log { severity, text: text.clone() };
            let serving = current.and_then(|generation| self.children.mold(generation));
            // While the server boots there is the first one.
            let mold = serving.or_else(|| self.children.molds().next().map(|(_, mold)| mold));
            let sent = mold.is_some_and(|mold| mold.link.send(&message, &[]));
            if !sent {
                Log::write(severity, &text);
            }
        }
    }

    /// All sockets of living generations.
    pub(crate) fn present_listeners(&self) -> Listeners {
        self.sockets.present(self.children.molds().map(|(_, mold)| &mold.listeners))
    }

    /// Reads the memory of all processes, as far as one look may.
    pub(crate) fn read_memory(&mut self) {
        self.report.readings.read(&self.processes());
    }

    /// Master, molds, workers and services.
    fn processes(&self) -> Vec<u32> {
        let molds = self.children.molds().map(|(_, mold)| mold.pid);
        let workers = self.children.workers().filter_map(|(_, worker)| worker.pid());
        let processes = molds.chain(workers).chain(self.services.pids());
        processes.chain([sys::process::own_pid()]).collect()
    }

    /// What they have together, as it was measured last.
    pub(crate) fn used_bytes(&self, now_ns: u64) -> Option<u64> {
        // One that is gone has none.
        let all = self.processes().into_iter().filter_map(|pid| self.report.readings.of(pid, now_ns));
        all.map(|memory| memory.pss_bytes).try_fold(0_u64, |sum, pss| Some(sum.saturating_add(pss?)))
    }

    /// A roll begins whose first workers are on trial.
    pub(crate) fn follow_canary(&mut self, fact: Fact, supervisor: &Supervisor) {
        let canary = self.config.settings.as_ref().and_then(|settings| settings.processes.canary.as_ref());
        if let (Fact::RollStarted { .. }, Some(trial), Some(canary)) = (fact, supervisor.trial(), canary) {
            let limits = Limits {
                errors: canary.max_error_ratio,
                slowdown: canary.max_slowdown,
                memory: canary.max_memory_ratio,
            };
            self.upkeep.canary.begin(trial, limits, &self.children);
        }
    }

    /// Compares workers on trial with the others, when it is time. Returns in what they are worse.
    pub(crate) fn watch_canary(&mut self, supervisor: &Supervisor) -> Option<String> {
        let now_ns = sys::clock::monotonic_ns();
        let Some(trial) = supervisor.trial() else {
            self.upkeep.canary.end();
            return None;
        };
        if !self.upkeep.canary.is_due(trial, now_ns) {
            return None;
        }
        self.read_memory();
        let Self { upkeep, children, report, .. } = self;
        let private = |pid| report.readings.of(pid, now_ns).and_then(|memory| memory.private_bytes);
        upkeep.canary.look(supervisor, children, private, now_ns)
    }

    /// The state of the server.
    pub(crate) fn status(&mut self, supervisor: &Supervisor) -> Answer {
        self.read_memory();
        self.children.gather_marks(sys::clock::monotonic_ns());
        let memory = (self.used_bytes(sys::clock::monotonic_ns()), self.upkeep.budget.bytes);
        let Self { children, sockets, report, upgrade, service_manager, services, upkeep, .. } = self;
        let (listeners, successor, canary) = (&sockets.listeners, upgrade.successor.pid(), &upkeep.canary);
        let backlogs = backlogs(listeners, &mut children.marks);
        let summary = Present { supervisor, children, successor }.summary(&service_manager.past);
        let sources = Sources { supervisor, children, services, backlogs, report, canary, successor, summary };
        let mut status = sources.status();
        (status.memory.used_bytes, status.memory.budget_bytes) = memory;
        // Nothing in it is a thing that JSON has no word for.
        Answer::Status(serde_json::to_value(status).unwrap_or_default())
    }

    /// Tells the service manager what has changed.
    pub(crate) fn tell_manager(&mut self, supervisor: &Supervisor) {
        let Self { children, config, upgrade, service_manager, .. } = self;
        let present = Present { supervisor, children, successor: upgrade.successor.pid() };
        service_manager.tell(&present, config.longest_stop());
    }

    /// The answer that all is well, and what serves.
    pub(crate) fn done(&self, current: Option<Generation>) -> Answer {
        let release = current.and_then(|generation| self.children.mold(generation)).map(|mold| &mold.release);
        Answer::Done {
            generation: current.map_or(0, |generation| generation.0),
            release: release.map(ToString::to_string),
            warning: release.and_then(Release::warning),
        }
    }
}

/// Settings, from those that a mold has told to those that hold, and back: what can fail is done in [`Owners::prepare`],
/// before anything of the running server is touched.
impl Owners {
    /// Reads what a mold has told, and notes whether the first settings ask for the background.
    ///
    /// # Errors
    /// They are no settings.
    pub(crate) fn read(&mut self, generation: Generation, told: &str) -> Result<Settings, config::Error> {
        let settings = match self.children.mold(generation).map(|mold| mold.starter) {
            Some(Starter::Former) => Settings::parse_older(told)?,
            Some(Starter::Present) | None => Settings::parse(told)?,
        };
        if self.config.settings.is_none() {
            self.config.go_to_background(&settings, self.upgrade.origin.lives())?;
        }
        Ok(settings)
    }

    /// Prepares what these settings need, and returns the list of their sockets. While the server boots it may wait for
    /// an address, unless it is told to stop: what was delivered meanwhile is in `heard`.
    ///
    /// # Errors
    /// Something cannot be had: the text names it.
    pub(crate) fn prepare(&mut self, settings: &Settings, heard: &mut Vec<Delivered>) -> Result<Listeners, Error> {
        let first = self.config.settings.is_none();
        if first {
            self.enter(settings)?;
        }
        self.prepare_pid_file(settings, first)?;
        let present = self.present_listeners();
        let Self { sockets, report, signals, .. } = self;
        // A server that serves never waits.
        let mut wait = |seconds: f64| wait_unless_stopped(signals, seconds, heard);
        let wait: Option<Wait<'_>> = if first { Some(&mut wait) } else { None };
        Ok(sockets.prepare(settings, &present, &report.log, wait)?)
    }

    /// What the first settings change at once, before anything else can fail: directory and standard streams.
    fn enter(&mut self, settings: &Settings) -> Result<(), Error> {
        let Self { config, report, sockets, .. } = self;
        config.enter(settings)?;
        files::redirect(config.streams(settings))?;
        report.log.set_forward(settings.custom_logger);
        std::mem::take(&mut sockets.inherited.lines).iter().for_each(|line| report.log.info(line));
        Ok(())
    }

    fn prepare_pid_file(&mut self, settings: &Settings, first: bool) -> Result<(), Error> {
        let Some(path) = settings.pid() else { return Ok(()) };
        if first {
            self.config.pid_file.write(path, settings.user.as_ref())?;
            self.children.tell_pid_path(Some(path));
        } else if self.upgrade.successor.pid().is_none() {
            if let Some(pid) = sys::pidfile::holder(path, sys::process::own_pid()) {
                return Err(sys::Error::AlreadyRunning { pid, path: path.to_path_buf() }.into());
            }
        }
        Ok(())
    }

    /// A mold has these settings and sockets from now on. `reloads`: it is of a reload, and does not take the place of a
    /// lost one, which changes nothing.
    pub(crate) fn configure_mold(
        &mut self,
        generation: Generation,
        settings: Settings,
        mut listeners: Listeners,
        reloads: bool,
    ) -> Plan {
        if !reloads {
            self.sockets.add_handed_over(&mut listeners);
        }
        let plan = self.config.plan(&settings);
        let start = settings.working_directory().unwrap_or(&self.config.options.directory);
        if let Some(mold) = self.children.mold_mut(generation) {
            // Now it is where it stays, and has loaded no code yet; and it is known whose rights what lies there is read with.
            let entered = sys::process::directory_of(mold.pid);
            mold.release = Release::at(entered.as_deref().unwrap_or(start), settings.user.as_ref());
            mold.settings = Some(settings);
            mold.listeners = listeners;
        }
        plan
    }

    /// A mold's settings cannot be had: it is told to leave, and has nothing to say of that.
    pub(crate) fn refuse_mold(&mut self, generation: Generation) {
        if let Some(mold) = self.children.mold_mut(generation) {
            mold.stage = MoldStage::Failed;
        }
    }

    /// The settings of this generation hold from now on. This only renames and redirects.
    pub(crate) fn commit(&mut self, generation: Generation) {
        let Some(mold) = self.children.mold(generation) else { return };
        let (Some(settings), listeners) = (mold.settings.clone(), mold.listeners.clone()) else { return };
        let first = self.config.commit(generation, settings.clone());
        // Only to know where `working_directory` leads while it still does; a start that needs it says what is wrong.
        let _ = self.config.find_start();
        if first {
            let stored = self.sockets.begin(listeners);
            self.open_control(&settings);
            // What the store held and no configuration asks for is taken out, and closed.
            self.service_manager.keep(&self.sockets.listeners, &stored, &self.report.log);
        } else {
            self.sockets.commit(listeners);
            self.change_settings(&settings);
        }
        self.report.log.set_forward(settings.custom_logger);
        let path = self.config.pid_file.path().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        self.children.tell_mold(generation, &ToMold::PidPath { path });
    }

    /// There is no way back to the settings before.
    pub(crate) fn settle(&mut self) {
        self.config.settle();
        let before = self.sockets.settle();
        self.service_manager.keep(&self.sockets.listeners, &before, &self.report.log);
    }

    /// What only this mold has listened on is closed, though it is kept: there would be no worker to accept.
    pub(crate) fn let_listeners_go(&mut self, kept: Option<Generation>) {
        let Self { children, sockets, .. } = self;
        if let Some(mold) = kept.and_then(|generation| children.mold_mut(generation)) {
            mold.listeners.retain(|bound| sockets.listeners.iter().any(|held| Rc::ptr_eq(held, bound)));
        }
    }

    /// The settings before this generation's hold again.
    pub(crate) fn roll_back(&mut self, generation: Generation) {
        if let Some(mold) = self.children.mold_mut(generation) {
            mold.listeners.clear();
        }
        let Some(settings) = self.config.take_before(generation) else { return };
        self.change_settings(&settings);
        self.report.log.set_forward(settings.custom_logger);
        self.config.settings = Some(settings);
        self.sockets.roll_back();
    }

    /// Nothing is listened on any more.
    pub(crate) fn stop_listening(&mut self) {
        self.config.settle();
        self.sockets.close();
        self.children.stop_listening();
    }

    /// Makes pid file and standard streams those of `settings`.
    fn change_settings(&mut self, settings: &Settings) {
        let Self { config, report, upgrade, children, .. } = self;
        report.files.change(config.streams(settings), &report.log);
        if let Some(pid) = upgrade.successor.pid() {
            if let Some(path) = settings.pid() {
                let path = path.display();
                report.log.warn(format_args!("will not set pid={path} while reexec-ed child is running PID:{pid}"));
            }
            return;
        }
        if config.pid_file.follow(settings.pid(), settings.user.as_ref(), &report.log) {
            children.tell_pid_path(config.pid_file.path());
        }
    }

    /// Opens the control socket. A server without one serves all the same.
    fn open_control(&mut self, settings: &Settings) {
        let (path, is_default) = self.config.control_path(settings);
        if let Err(error) = self.control.open(&path, is_default, settings.user.clone()) {
            self.report.log.error(format_args!("no control socket at {}: {}", path.display(), error.chain()));
        }
    }

    /// Opens the log files of this process anew.
    pub(crate) fn reopen_own_logs(&self) {
        if let Some(settings) = &self.config.settings {
            files::reopen(self.config.streams(settings), &self.report.log);
        }
    }
}

/// Upgrades.
impl Owners {
    /// Moves the pid file and the control socket out of the way of a new master.
    ///
    /// # Errors
    /// The pid file cannot be moved.
    pub(crate) fn put_names_aside(&mut self) -> Result<(), config::Error> {
        let Self { config, control, children, report, .. } = self;
        let user = config.settings.as_ref().and_then(|settings| settings.user.as_ref());
        if config.pid_file.put_aside(user)? {
            children.tell_pid_path(config.pid_file.path());
        }
        if let Some(path) = control.path().filter(|_| config.control_is_configured()).map(Path::to_path_buf) {
            if let Err(error) = control.rename(&oldbin(&path)) {
                report.log.error(format_args!("error moving {}: {}", path.display(), error.chain()));
            }
        }
        Ok(())
    }

    /// The new master is gone: pid file, control socket and title become those of the only master again.
    pub(crate) fn take_names_back(&mut self) {
        let Self { config, control, children, report, .. } = self;
        let user = config.settings.as_ref().and_then(|settings| settings.user.as_ref());
        if config.pid_file.take_back(user, &report.log) {
            children.tell_pid_path(config.pid_file.path());
        }
        if let Some(plain) = control.path().and_then(without_oldbin) {
            if let Err(error) = control.rename(&plain) {
                report.log.error(format_args!("error moving {}: {}", plain.display(), error.chain()));
            }
        }
        self.show_title("master");
    }

    /// The next program, with the variables that `before_exec` has left behind.
    ///
    /// # Errors
    /// Its directory is gone, or the hook has failed.
    pub(crate) fn next_program(&mut self, told: &str) -> Result<NextProgram, upgrade::Error> {
        let start: Start = self.config.find_start()?;
        let path = self.config.next_program(&start.moves);
        let variables = environment::of_next(told, &start, &self.report.log)?;
        let arguments = self.config.options.arguments.iter().map(Into::into).collect();
        Ok(NextProgram { path, arguments, directory: start.directory, variables })
    }

    /// All that the next program has to know. `unheard` signals were received and are its to act upon.
    ///
    /// # Errors
    /// No descriptors left, or something goes on that cannot be handed to another program.
    pub(crate) fn save(
        &self,
        supervisor: &Supervisor,
        number: &mut Number<'_>,
        unheard: &[Signal],
    ) -> Result<State<Snapshot>, upgrade::Error> {
        let decisions = supervisor.snapshot().ok_or(upgrade::Error::Busy)?;
        Ok(self.state(supervisor, decisions, number, unheard)?)
    }

    fn state(
        &self,
        supervisor: &Supervisor,
        decisions: Snapshot,
        number: &mut Number<'_>,
        unheard: &[Signal],
    ) -> sys::Result<State<Snapshot>> {
        let Self { children, config, sockets, control, .. } = self;
        let all = sockets.all(self.present_listeners());
        let (board, scoreboard) = children.seats.save(number)?;
        let (places_of_start, configured_places) = config.anchors.seen();
        Ok(State {
            version: state::VERSION,
            way_back: way_back(&config.options),
            pid: sys::process::own_pid(),
            started_ns: self.report.started_ns,
            directory: bytes(&config.options.directory),
            places: places_of_start.iter().map(|path| bytes(path)).collect(),
            configured_places: configured_places.iter().map(|path| bytes(path)).collect(),
            scoreboard,
            board: Some(board),
            queue: Some(sockets.queue.save(number)?),
            listeners: sockets.save(&all, number)?,
            listens_on: places(&sockets.listeners, &all),
            settings: config.settings.as_ref().map(|settings| settings.told.clone()).unwrap_or_default(),
            pid_path: config.pid_file.path().map(bytes),
            control: control.save(number)?,
            last_ticket: control.last_ticket(),
            molds: children.save_molds(&all, number)?,
            workers: children.save_workers(supervisor.workers(), number)?,
            services: self.services.save(number)?,
            service_names: self.services.names(),
            signals: unheard.iter().map(|signal| signal.name().to_string()).collect(),
            oom_kills: children.oom_kills.save(),
            requests: children.past.requests,
            totals: past::save(&children.past, Log::losses()),
            marks: children.marks.save(),
            starts: children.starts.iter().map(|(slot, count)| (slot.0, *count)).collect(),
            deaths: self.report.deaths.save(),
            reloads: self.report.reloads.told(),
            recycled: self.report.recycled,
            reforks: self.report.reforks.told(),
            decisions,
        })
    }
}
