//! One function for each action.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use supervisor::{Action, Event, FailureReason, Generation, KillReason, SlotId, WorkerId};
use sys::channel::Channel;
use sys::process::{Ending, Exited, Kill};
use wire::Message;

use crate::boot;
use crate::children::{Link, Mold, Worker};
use crate::control::{self, Answer};
use crate::listeners;
use crate::settings::Settings;
use crate::shell::Shell;
use crate::successor::Successor;

impl Shell {
    pub(crate) fn perform(&mut self, action: Action) {
        match action {
            Action::StartMold { generation } => self.start_mold(generation),
            Action::Proceed { generation } => self.tell_mold(generation, &Message::Proceed),
            Action::RetireMold { generation } => {
                self.tell_mold(generation, &Message::Retire { drain: false, linger_ms: 0 });
            }
            Action::KillMold { generation } => {
                if let Some(mold) = self.molds.get(&generation) {
                    self.kill(mold.pid, Kill::Kill);
                }
            }
            Action::Commit { generation } => self.commit(generation),
            Action::Settle { .. } => {
                self.before = None;
                if self.supervisor.generation() != Some(Generation(1)) {
                    self.inherited.handed_over.clear();
                }
                self.log_reload("done reloading");
            }
            Action::Rollback { generation } => self.roll_back(generation),
            Action::Fork { worker, slot, generation } => self.fork(worker, slot, generation),
            Action::Retire { worker, drain } => self.retire(worker, drain),
            Action::Abandon { worker } => self.signal_worker(worker, Kill::Quit),
            Action::Quick { worker } => self.signal_worker(worker, Kill::Int),
            Action::Kill { worker, why } => self.kill_worker(worker, why),
            Action::ReopenLogs => self.reopen_logs(),
            Action::WorkerProcesses { count } => {
                for mold in self.molds.values() {
                    mold.link.send(&Message::WorkerProcesses { count }, &[]);
                }
            }
            Action::StartSuccessor => self.start_successor(),
            Action::SuccessorLeft => self.take_names_back(),
            Action::Serving => self.serving(),
            Action::Progress { done, total } => self.control.progress(done, total),
            Action::Outcome { ticket, result } => {
                let answer = match result {
                    Ok(()) => Answer::Done { generation: self.supervisor.generation().map_or(0, |g| g.0) },
                    Err(reason) => Answer::Failed { reason: reason.to_string(), backtrace: self.failure_text(reason) },
                };
                self.control.answer(ticket, &answer);
            }
            Action::Log(fact) => self.log_fact(fact),
            Action::BootFailed(reason) => self.boot_failed(reason),
            Action::StopListening => {
                self.listeners.clear();
                self.before = None;
                self.inherited = listeners::Inherited::default();
                self.molds.values_mut().for_each(|mold| mold.listeners.clear());
            }
            Action::Exit { code } => self.leave(code),
        }
    }

    fn start_mold(&mut self, generation: Generation) {
        if generation != Generation(1) {
            self.failure = None;
        }
        let started = self.spawn_mold(generation);
        match started {
            Ok(mold) => {
                self.molds.insert(generation, mold);
            }
            Err(text) => {
                self.log.error(format_args!("cannot start a mold: {text}"));
                self.failure = Some(text);
                self.event(Event::MoldExited { generation });
            }
        }
    }

    fn spawn_mold(&self, generation: Generation) -> Result<Mold, String> {
        let (ours, theirs) = Channel::pair().map_err(|error| error.chain())?;
        let directory = self.start_directory();
        let pid = boot::start_mold(&self.runtime, &directory, &theirs).map_err(|error| error.chain())?;
        let link = Link::new(ours);
        let boot = Message::Boot { json: self.options.boot_json(generation.0, &self.inherited.names()) };
        link.send(&boot, &[self.scoreboard.as_fd()]);
        if let Some(path) = &self.pid_path {
            link.send(&Message::PidPath { path: path.to_string_lossy().into_owned() }, &[]);
        }
        Ok(Mold { pid, link, settings: None, listeners: Vec::new() })
    }

    /// Where molds and successors start: the directory of the command line, resolved anew each time, so that a moved
    /// symbolic link (`current`) leads to the new release.
    pub(crate) fn start_directory(&self) -> PathBuf {
        let configured = self.settings.as_ref().and_then(|settings| settings.working_directory.clone());
        configured.unwrap_or_else(|| self.options.directory.clone())
    }

    /// A mold has told its settings: prepares what they need.
    pub(crate) fn configured(&mut self, generation: Generation, json: &str) {
        match self.prepare(generation, json) {
            Ok(plan) => self.event(Event::MoldConfigured { generation, plan }),
            Err(text) => {
                self.failure = Some(text);
                self.event(Event::MoldFailed { generation });
            }
        }
    }

    fn prepare(&mut self, generation: Generation, json: &str) -> Result<supervisor::Plan, String> {
        let settings = Settings::parse(json)?;
        let first = self.settings.is_none();
        if first {
            self.enter(&settings)?;
        }
        let own = sys::process::own_pid();
        match &settings.pid {
            Some(path) if first => {
                sys::pidfile::write(path, own).map_err(|error| format!("{} (ArgumentError)", error.chain()))?;
                self.set_pid_path(Some(path.clone()));
            }
            Some(path) if self.successor.pid().is_none() => {
                if let Some(pid) = sys::pidfile::holder(path, own) {
                    return Err(format!("Already running on PID:{pid} (or pid={} is stale)", path.display()));
                }
            }
            _ => {}
        }
        let present = self.present_listeners();
        let Self { inherited, log, signals, .. } = self;
        let mut heard = Vec::new();
        let wait = |seconds: f64| {
            let ns = (seconds.max(0.0) * 1e9) as u64;
            // A server that serves never waits; one that boots waits, unless it is told to stop.
            first && {
                let _ = sys::poll::wait(&[signals.as_fd()], &[], Some(ns));
                heard.extend(signals.take());
                heard.iter().all(|delivered| delivered.signal == sys::signals::Signal::Chld)
            }
        };
        let prepared = listeners::prepare(&settings, inherited, &present, log, wait);
        for delivered in heard {
            self.signal(delivered.signal);
        }
        let mut listeners = prepared?;
        if first {
            for bound in &self.inherited.handed_over {
                if !listeners.iter().any(|other| std::rc::Rc::ptr_eq(other, bound)) {
                    listeners.push(std::rc::Rc::clone(bound));
                }
            }
        }
        let plan = settings.plan();
        if let Some(mold) = self.molds.get_mut(&generation) {
            mold.settings = Some(settings);
            mold.listeners = listeners;
        }
        Ok(plan)
    }

    /// What the first settings change at once, before anything else can fail: directory and standard streams.
    fn enter(&mut self, settings: &Settings) -> Result<(), String> {
        if let Some(directory) = &settings.working_directory {
            std::env::set_current_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        }
        self.redirect(settings)
    }

    fn redirect(&self, settings: &Settings) -> Result<(), String> {
        let null = (self.options.daemonize || settings.daemonize).then(|| PathBuf::from("/dev/null"));
        let stdout = settings.stdout_path.as_ref().or(null.as_ref());
        let stderr = settings.stderr_path.as_ref().or(null.as_ref());
        for (path, stream) in [(stdout, sys::stdio::Stream::Out), (stderr, sys::stdio::Stream::Err)] {
            if let Some(path) = path {
                sys::stdio::redirect(stream, path).map_err(|error| error.chain())?;
            }
        }
        Ok(())
    }

    fn commit(&mut self, generation: Generation) {
        let Some(mold) = self.molds.get(&generation) else { return };
        let (Some(settings), listeners) = (mold.settings.clone(), mold.listeners.clone()) else { return };
        let before = self.settings.replace(settings.clone());
        let listened = std::mem::replace(&mut self.listeners, listeners);
        match before {
            None => self.open_control(&settings),
            Some(before) => {
                self.change_settings(&settings);
                self.before = Some((before, listened));
            }
        }
        self.log.set_forward(settings.custom_logger);
        let path = self.pid_path.as_ref().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        self.tell_mold(generation, &Message::PidPath { path });
    }

    fn roll_back(&mut self, generation: Generation) {
        if let Some(mold) = self.molds.get_mut(&generation) {
            mold.listeners.clear();
        }
        let Some((settings, listeners)) = self.before.take() else { return };
        self.change_settings(&settings);
        self.log.set_forward(settings.custom_logger);
        self.settings = Some(settings);
        self.listeners = listeners;
    }

    /// Makes pid file and standard streams those of `settings`.
    fn change_settings(&mut self, settings: &Settings) {
        if let Err(text) = self.redirect(settings) {
            self.log.error(text);
        }
        if let Some(pid) = self.successor.pid() {
            if let Some(path) = &settings.pid {
                let path = path.display();
                self.log.warn(format_args!("will not set pid={path} while reexec-ed child is running PID:{pid}"));
            }
            return;
        }
        let own = sys::process::own_pid();
        match (self.pid_path.clone(), settings.pid.clone()) {
            (Some(old), Some(new)) if old == new => {}
            (Some(old), Some(new)) => match sys::pidfile::rename(&old, &new, own) {
                Ok(()) => self.set_pid_path(Some(new)),
                Err(error) => self.log.error(error.chain()),
            },
            (None, Some(new)) => match sys::pidfile::write(&new, own) {
                Ok(()) => self.set_pid_path(Some(new)),
                Err(error) => self.log.error(error.chain()),
            },
            (Some(old), None) => {
                sys::pidfile::remove(&old, own);
                self.set_pid_path(None);
            }
            (None, None) => {}
        }
    }

    /// Whether the control socket's path was chosen by the user, so that two masters would share it.
    pub(crate) fn control_is_configured(&self) -> bool {
        self.options.control.is_some() || self.settings.as_ref().is_some_and(|settings| settings.control.is_some())
    }

    /// Opens the control socket. A server without one serves all the same.
    fn open_control(&mut self, settings: &Settings) {
        let configured = self.options.control.clone().or_else(|| settings.control.clone());
        let path = configured.clone().unwrap_or_else(|| control::default_path(sys::process::own_pid()));
        if let Err(text) = self.control.open(&path, configured.is_none()) {
            self.log.error(format_args!("no control socket at {}: {text}", path.display()));
        }
    }

    fn fork(&mut self, id: WorkerId, slot: SlotId, generation: Generation) {
        match self.ask_for_worker(slot, generation) {
            Ok(worker) => {
                self.workers.insert(id, worker);
            }
            Err(text) => {
                self.failure = Some(text);
                self.event(Event::ForkFailed { worker: id });
            }
        }
    }

    fn ask_for_worker(&mut self, slot: SlotId, generation: Generation) -> Result<Worker, String> {
        let mold = self.molds.get(&generation).ok_or("the mold is gone")?;
        let number = self.seats.iter().position(|taken| !taken).ok_or("the scoreboard is full")?;
        let seat = scoreboard::seat(self.scoreboard.words(), number).ok_or("the scoreboard is too small")?;
        let (ours, theirs) = Channel::pair().map_err(|error| error.chain())?;
        seat.assign(slot.0, generation.0);
        let message = Message::Fork {
            slot: slot.0,
            generation: generation.0,
            seat: u32::try_from(number).unwrap_or(u32::MAX),
            names: mold.listeners.iter().map(|bound| bound.socket.name().to_string()).collect(),
        };
        let mut descriptors: Vec<BorrowedFd<'_>> = vec![theirs.as_fd()];
        descriptors.extend(mold.listeners.iter().map(|bound| bound.socket.as_fd()));
        if !mold.link.send(&message, &descriptors) {
            seat.release();
            return Err("the mold does not answer".to_string());
        }
        self.seats[number] = true;
        Ok(Worker { pid: None, link: Link::new(ours), slot, generation, seat: number, ready: false, killed: None })
    }

    fn retire(&mut self, id: WorkerId, drain: bool) {
        let linger = self.settings.as_ref().map_or(0, |settings| settings.linger.as_millis());
        // Who drains leaves nobody behind that an idle connection could wait for.
        let linger_ms = if drain { 0 } else { u32::try_from(linger).unwrap_or(u32::MAX) };
        if let Some(worker) = self.workers.get(&id) {
            worker.link.send(&Message::Retire { drain, linger_ms }, &[]);
        }
    }

    fn signal_worker(&mut self, id: WorkerId, signal: Kill) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        match worker.pid {
            Some(pid) => self.kill(pid, signal),
            // Not forked yet: it will find the end of its channel instead of a master.
            None => worker.link.close(),
        }
    }

    fn kill_worker(&mut self, id: WorkerId, why: KillReason) {
        let now = sys::clock::monotonic_ns();
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.killed = Some(why);
        let (slot, pid) = (worker.slot, worker.pid);
        let seat = scoreboard::seat(self.scoreboard.words(), worker.seat);
        let age = seat.and_then(|seat| seat.request_start_ns()).map_or(0, |start| now.saturating_sub(start));
        let limit = self.settings.as_ref().map_or(0, |settings| settings.timeout.as_secs());
        let shown = pid.map_or_else(|| "?".to_string(), |pid| pid.to_string());
        if why == KillReason::RequestTimeout {
            let age = age.div_ceil(1_000_000_000);
            self.log.error(format_args!("worker={slot} PID:{shown} timeout ({age}s > {limit}s), killing"));
        } else {
            self.log.error(format_args!("worker={slot} PID:{shown} {why}, killing"));
        }
        self.signal_worker(id, Kill::Kill);
    }

    pub(crate) fn kill(&self, pid: u32, signal: Kill) {
        if let Err(error) = sys::process::kill(pid, signal) {
            self.log.error(format_args!("cannot signal PID:{pid}: {}", error.chain()));
        }
    }

    fn tell_mold(&self, generation: Generation, message: &Message) {
        if let Some(mold) = self.molds.get(&generation) {
            mold.link.send(message, &[]);
        }
    }

    fn reopen_logs(&mut self) {
        self.log.info("master reopening logs...");
        if let Some(settings) = &self.settings
            && let Err(text) = self.redirect(settings)
        {
            self.log.error(text);
        }
        self.log.info("master done reopening logs");
        let links = self.molds.values().map(|mold| &mold.link);
        for link in links.chain(self.workers.values().map(|worker| &worker.link)) {
            link.send(&Message::ReopenLogs, &[]);
        }
    }

    fn serving(&mut self) {
        self.log.info("master process ready");
        self.origin.tell_ready();
        if let Some(reporter) = self.reporter.take() {
            reporter.ready();
        }
    }

    fn boot_failed(&mut self, reason: FailureReason) {
        let text = self.failure.clone().unwrap_or_else(|| reason.to_string());
        let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
        if let Some(reporter) = self.reporter.take() {
            reporter.failed(&text);
        }
    }

    /// What a client is told beyond the reason: the boot's own words, where there are any.
    fn failure_text(&self, reason: FailureReason) -> Option<String> {
        match reason {
            FailureReason::Stopping | FailureReason::SuccessorAlreadyRunning => None,
            _ => self.failure.clone(),
        }
    }

    fn leave(&mut self, code: u8) {
        self.forward_log();
        self.log.set_forward(false);
        if self.settings.is_some() && code == 0 {
            self.log.info("master complete");
        }
        if let Some(path) = &self.pid_path {
            sys::pidfile::remove(path, sys::process::own_pid());
        }
        self.control.remove();
        self.exit = Some(code);
    }

    pub(crate) fn mold_exited(&mut self, generation: Generation, exited: Exited) {
        if let Some(mut mold) = self.molds.remove(&generation) {
            // What it had been asked to run will not answer any more.
            mold.link.close();
        }
        if exited.ending() != Ending::Exit(0) {
            self.log.error(format_args!("reaped {} mold gen={generation}", exited.ruby_inspect()));
            if self.failure.is_none() {
                self.failure = Some(format!("the mold died: {}", exited.ruby_inspect()));
            }
        }
        if matches!(self.successor, Successor::Preparing) && self.supervisor.generation() == Some(generation) {
            self.execute_successor("");
        }
        self.event(Event::MoldExited { generation });
    }

    pub(crate) fn worker_exited(&mut self, id: WorkerId, exited: Exited) {
        self.post_mortem(id, exited);
        let Some(worker) = self.forget_worker(id) else { return };
        let told = [Some(worker.generation), self.supervisor.generation()].into_iter().flatten().any(|generation| {
            let message = Message::WorkerExited { slot: Some(worker.slot.0), pid: exited.pid, status: exited.status };
            self.molds.get(&generation).is_some_and(|mold| mold.settings.is_some() && mold.link.send(&message, &[]))
        });
        let clean = exited.ending() == Ending::Exit(0);
        if !told {
            let line = format!("reaped {} worker={}", exited.ruby_inspect(), worker.slot);
            if clean { self.log.info(line) } else { self.log.error(line) }
        }
        self.event(Event::WorkerExited { worker: id, clean });
    }

    /// Says what the worker was doing when something other than its own end took it.
    fn post_mortem(&mut self, id: WorkerId, exited: Exited) {
        let Some(worker) = self.workers.get(&id) else { return };
        let Some(seat) = scoreboard::seat(self.scoreboard.words(), worker.seat) else { return };
        let cause = match (exited.ending(), worker.killed) {
            (Ending::Exit(0), _) => return,
            (Ending::Exit(code), _) => format!("exit status {code}"),
            (Ending::Signal(_), Some(why)) => format!("killed by the master: {why}"),
            (Ending::Signal(9), None) if self.out_of_memory() => "killed by the kernel: out of memory".to_string(),
            (Ending::Signal(number), None) => format!("{} from outside", sys::process::signal_name(number)),
        };
        let doing = match seat.request_start_ns() {
            Some(start) => {
                let age_ms = sys::clock::monotonic_ns().saturating_sub(start) / 1_000_000;
                format!("after {age_ms} ms in \"{}\"", seat.request_line().escape_ascii())
            }
            None if worker.ready => "while idle".to_string(),
            None => "while booting".to_string(),
        };
        self.log.error(format_args!(
            "worker={} gen={} pid={} died: {cause}, {doing}",
            worker.slot, worker.generation, exited.pid
        ));
    }

    /// Whether the kernel has killed a process of this control group for lack of memory since the last look.
    fn out_of_memory(&self) -> bool {
        sys::process::oom_kills().is_some_and(|kills| kills > self.oom_kills)
    }

    /// Frees the seat of a worker that is no more.
    pub(crate) fn forget_worker(&mut self, id: WorkerId) -> Option<Worker> {
        let worker = self.workers.remove(&id)?;
        if let Some(seat) = scoreboard::seat(self.scoreboard.words(), worker.seat) {
            seat.release();
        }
        self.seats[worker.seat] = false;
        self.oom_kills = sys::process::oom_kills().unwrap_or(0);
        Some(worker)
    }

    /// Unicorn's lines about a reload name the file.
    pub(crate) fn log_reload(&self, what: &str) {
        match &self.options.config_file {
            Some(file) => self.log.info(format_args!("{what} config_file={}", Path::new(file).display())),
            None => self.log.info(what),
        }
    }
}
