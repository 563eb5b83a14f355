//! One function for each action.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use supervisor::{Action, Event, Failure, FailureReason, Generation, KillReason, SlotId, WorkerId};
use sys::channel::Channel;
use sys::signals::Signal;
use wire::{ToMold, ToWorker};

use crate::children::link::Link;
use crate::children::mold::{Mold, MoldStage, Starter};
use crate::children::spawn;
use crate::children::worker::{Process, Worker, WorkerStage};
use crate::config::release::{self, Move};
use crate::config::revision::Release;
use crate::control::protocol::Answer;
use crate::report::log::Log;
use crate::shell::Shell;
use crate::sockets::bound::Bound;
use crate::sockets::inherited::Inherited;
use supervisor::unit::RESTART;

/// How long a worker keeps connections that it is to give away and that nobody takes.
const HAND_OVER_LINGER: Duration = Duration::from_secs(10);

impl Shell {
    pub(crate) fn perform(&mut self, action: Action) {
        match action {
            Action::StartMold { generation } => self.start_mold(generation),
            Action::Proceed { generation } => self.tell_mold(generation, &ToMold::Proceed),
            Action::RetireMold { generation } => {
                // With the last mold goes the configuration's logger.
                if self.log.forwards()
                    && self.supervisor.exit_code() == Some(0)
                    && self.supervisor.generation() == Some(generation)
                {
                    self.complete();
                    self.forward_log();
                }
                self.tell_mold(generation, &ToMold::Retire { drain: false, hand_over: false, linger_ms: 0 });
            }
            Action::KillMold { generation } => self.kill_mold(generation),
            Action::Commit { generation } => self.commit(generation),
            Action::Settle { .. } => {
                self.before = None;
                let before = self.inherited.handed_over.clone();
                let listeners = &self.listeners;
                self.inherited.handed_over.retain(|bound| listeners.iter().any(|kept| Rc::ptr_eq(kept, bound)));
                self.notify.store(&self.listeners, &before, &self.log);
            }
            Action::Rollback { generation } => self.roll_back(generation),
            Action::Fork { worker, slot, generation } => self.fork(worker, slot, generation),
            Action::Retire { worker, drain, hand_over } => self.retire(worker, drain, hand_over),
            Action::Abandon { worker } => self.signal_worker(worker, Signal::Quit),
            Action::Quick { worker } => self.signal_worker(worker, Signal::Int),
            Action::Kill { worker, why } => self.kill_worker(worker, why),
            Action::ReopenLogs => self.reopen_logs(),
            Action::WorkerProcesses { count } => {
                for (_, mold) in self.children.molds() {
                    mold.link.send(&ToMold::WorkerProcesses { count }, &[]);
                }
            }
            Action::StartSuccessor => self.start_successor(),
            Action::ForgetSuccessor => self.forget_successor(),
            Action::StopSuccessor { quick } => self.stop_successor(if quick { Signal::Int } else { Signal::Term }),
            Action::HandOver => self.hand_over_unit(),
            Action::SuccessorLeft => self.take_names_back(),
            Action::Preflight => self.begin_preflight(),
            Action::AbandonPreflight => self.abandon_preflight(),
            Action::Execute => self.executes = true,
            Action::Serving => self.serving(),
            Action::Progress { done, total } => self.control.progress(done, total),
            Action::Outcome { ticket, result } => {
                self.notify();
                let answer = match result {
                    Ok(()) => self.done(),
                    Err(failure) => Answer::Failed {
                        reason: failure.to_string(),
                        backtrace: self.causes.told(failure).map(str::to_string),
                    },
                };
                self.control.answer(ticket, &answer);
            }
            Action::Log(fact) => self.log_fact(fact),
            Action::BootFailed(failure) => self.boot_failed(failure),
            Action::StopListening => {
                self.listeners.clear();
                self.before = None;
                self.inherited = Inherited::default();
                self.children.molds_mut().for_each(|mold| mold.listeners.clear());
            }
            Action::Exit { code } => self.leave(code),
        }
    }

    fn start_mold(&mut self, generation: Generation) {
        let started = self.spawn_mold(generation);
        match started {
            Ok(mold) => self.children.add_mold(generation, mold),
            Err(text) => {
                self.log.error(format_args!("cannot start a mold: {text}"));
                let cause = self.causes.note(text);
                self.event(Event::MoldExited { generation, status: None, cause });
            }
        }
    }

    fn spawn_mold(&mut self, generation: Generation) -> Result<Mold, String> {
        let (ours, theirs) = Channel::pair().map_err(|error| error.chain())?;
        let (directory, moves) = self.find_directory()?;
        let load_path = self.runtime.load_path_after(&moves)?;
        let own =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let variables = release::follow_variables(own, &moves);
        self.log_followed(&directory, &variables);
        let link = Link::new(ours).map_err(|error| error.chain())?;
        let pid = spawn::start_mold(&self.runtime, &load_path, &directory, variables, &theirs)
            .map_err(|error| error.chain())?;
        let boot = ToMold::Boot { json: self.options.boot_json(generation.0, &directory, &self.inherited.names()) };
        link.send(&boot, &[self.children.seats.as_fd()]);
        if let Some(path) = &self.pid_path {
            link.send(&ToMold::PidPath { path: path.to_string_lossy().into_owned() }, &[]);
        }
        let (stage, listeners, release) = (MoldStage::Starting, Vec::new(), Release::default());
        let starter = Starter::Present;
        Ok(Mold { pid, link, stage, starter, reopening: 0, settings: None, listeners, release })
    }

    /// Where molds and successors start: `working_directory`, or else the directory of the command line. It is resolved
    /// anew each time, so that a moved symbolic link (`current`) leads to the new release; also returned is what that
    /// moved.
    pub(crate) fn find_directory(&mut self) -> Result<(PathBuf, Vec<Move>), String> {
        let configured = self.settings.as_ref().and_then(|settings| settings.working_directory());
        let moves = self.anchors.resolve(&self.options.directory, configured)?;
        Ok((configured.unwrap_or(&self.options.directory).to_path_buf(), moves))
    }

    pub(crate) fn log_followed(&self, directory: &Path, variables: &[(String, String)]) {
        if !variables.is_empty() {
            let names: Vec<&str> = variables.iter().map(|(name, _)| name.as_str()).collect();
            let names = names.join(", ");
            self.log.info(format_args!("{} leads to another release now, and so do {names}", directory.display()));
        }
    }

    fn fork(&mut self, id: WorkerId, slot: SlotId, generation: Generation) {
        match self.ask_for_worker(slot, generation) {
            Ok(worker) => self.children.add_worker(id, worker),
            Err(text) => {
                let cause = self.causes.note(text);
                self.event(Event::ForkFailed { worker: id, cause });
            }
        }
    }

    fn ask_for_worker(&mut self, slot: SlotId, generation: Generation) -> Result<Worker, String> {
        let (ours, theirs) = Channel::pair().map_err(|error| error.chain())?;
        let link = Link::new(ours).map_err(|error| error.chain())?;
        let seat = self.children.seats.take(slot, generation)?;
        if let Err(text) = self.tell_mold_to_fork(slot, generation, seat, &theirs) {
            self.children.seats.free(seat);
            return Err(text.to_string());
        }
        Ok(Worker { process: Process::Unborn { waiting: None }, link, seat, stage: WorkerStage::Booting })
    }

    fn tell_mold_to_fork(
        &self,
        slot: SlotId,
        generation: Generation,
        seat: usize,
        control: &Channel,
    ) -> Result<(), &'static str> {
        let mold = self.children.mold(generation).ok_or("the mold is gone")?;
        let proxy =
            |bound: &Rc<Bound>| mold.settings.as_ref().map_or_else(String::new, |settings| bound.proxy(settings));
        let message = ToMold::Fork {
            slot: slot.0,
            generation: generation.0,
            seat: u32::try_from(seat).unwrap_or(u32::MAX),
            names: mold.listeners.iter().map(|bound| bound.socket.name().to_string()).collect(),
            proxies: mold.listeners.iter().map(proxy).collect(),
        };
        let mut descriptors: Vec<BorrowedFd<'_>> = vec![control.as_fd()];
        descriptors.extend(self.queue.ends());
        descriptors.extend(mold.listeners.iter().map(|bound| bound.socket.as_fd()));
        if mold.link.send(&message, &descriptors) { Ok(()) } else { Err("the mold does not answer") }
    }

    fn retire(&mut self, id: WorkerId, drain: bool, hand_over: bool) {
        let linger = match &self.settings {
            // As long as the full queue of a busy server may take to be emptied.
            Some(settings) if hand_over => HAND_OVER_LINGER.min(settings.processes.timeout),
            // Who drains leaves nobody behind that an idle connection could wait for.
            Some(settings) if !drain => settings.processes.keepalive_linger,
            _ => Duration::ZERO,
        };
        let linger_ms = u32::try_from(linger.as_millis()).unwrap_or(u32::MAX);
        if let Some(worker) = self.children.worker(id) {
            worker.link.send(&ToWorker::Retire { drain, hand_over, linger_ms }, &[]);
        }
    }

    fn signal_worker(&mut self, id: WorkerId, signal: Signal) {
        if let Some(worker) = self.children.worker_mut(id) {
            worker.signal(signal, &self.log);
        }
    }

    fn kill_worker(&mut self, id: WorkerId, why: KillReason) {
        let now = sys::clock::monotonic_ns();
        let (Some(known), Some(worker)) = (self.supervisor.worker(id), self.children.worker(id)) else { return };
        let slot = known.slot;
        let Some(pid) = worker.pid() else { return self.give_up_unborn(id, why == KillReason::BootTimeout) };
        let seat = self.children.seat(id);
        let age = seat.and_then(|seat| seat.request_start_ns()).map_or(0, |start| now.saturating_sub(start));
        let limit = self.settings.as_ref().map_or(0, |settings| settings.processes.timeout.as_secs());
        if why == KillReason::RequestTimeout {
            let age = age.div_ceil(1_000_000_000);
            self.log.error(format_args!("worker={slot} PID:{pid} timeout ({age}s > {limit}s), killing"));
        } else {
            self.log.error(format_args!("worker={slot} PID:{pid} {why}, killing"));
        }
        if let Some(worker) = self.children.worker_mut(id) {
            worker.kill(&self.log);
        }
    }

    /// A worker that is to be killed is not there yet: the mold that is to fork it forks later, or never. If it does, the
    /// worker finds its socket closed, and leaves before it has begun anything.
    fn give_up_unborn(&mut self, id: WorkerId, boot_timeout: bool) {
        let Some(&supervisor::Worker { slot, generation, .. }) = self.supervisor.worker(id) else { return };
        self.forget_worker(id);
        let text = format!("worker={slot} gen={generation} is not awaited any more: it was not forked");
        self.log.error(&text);
        let cause = self.causes.note(text);
        self.event(Event::ForkFailed { worker: id, cause });
        if boot_timeout && let Some(mold) = self.children.mold(generation) {
            let text = format!("mold gen={generation} pid={} forks no workers", mold.pid);
            self.log.error(format_args!("{text}; killing it"));
            let cause = self.causes.note(text);
            self.event(Event::MoldUnfit { generation, cause });
        }
    }

    fn kill_mold(&mut self, generation: Generation) {
        let Some(mold) = self.children.mold(generation) else { return };
        if mold.link.is_closed() && !matches!(mold.stage, MoldStage::Failed | MoldStage::Done) {
            self.log.error(format_args!("mold gen={generation} pid={} cannot be reached, killing", mold.pid));
        }
        self.kill(mold.pid, Signal::Kill);
    }

    /// Has the worker report the request that began then, unless that is over. A worker that cannot is killed later, as
    /// it would have been.
    pub(crate) fn ask_for_report(&mut self, id: WorkerId, start_ns: u64) {
        let Some(seat) = self.children.seat(id) else { return };
        // The worker compares this with its request: the signal may reach it during the next one.
        seat.ask_report(start_ns);
        let is_in_it = seat.request_start_ns() == Some(start_ns);
        if let Some(worker) = self.children.worker_mut(id).filter(|worker| is_in_it && worker.pid().is_some()) {
            worker.signal(Signal::Urg, &self.log);
        }
    }

    pub(crate) fn kill(&self, pid: u32, signal: Signal) {
        if let Err(error) = sys::process::kill(pid, signal) {
            self.log.error(format_args!("cannot signal PID:{pid}: {}", error.chain()));
        }
    }

    pub(crate) fn tell_mold(&self, generation: Generation, message: &ToMold) {
        if let Some(mold) = self.children.mold(generation) {
            mold.link.send(message, &[]);
        }
    }

    fn serving(&mut self) {
        self.log.info("master process ready");
        self.succession.tell_ready(self.queue.inherited);
        if let Some(reporter) = self.reporter.take() {
            reporter.ready();
        }
    }

    fn boot_failed(&mut self, failure: Failure) {
        let text = match failure.reason {
            // It has said what there was to say.
            FailureReason::MoldLeft => String::new(),
            _ => self.causes.text(failure),
        };
        // Before the streams are redirected, standard error is where the launcher prints it too.
        if !text.is_empty() && (self.entered || self.reporter.is_none()) {
            Log::last_words(&text);
        }
        self.notify.boot_failed(&text);
        self.succession.tell_failed(&text);
        if let Some(reporter) = self.reporter.take() {
            reporter.failed(&text);
        }
    }

    /// Says once that nothing is left to be done.
    fn complete(&mut self) {
        if self.settings.is_some() && !std::mem::replace(&mut self.completed, true) {
            self.log.info("master complete");
        }
    }

    /// The last deed: exits with this status.
    fn leave(&mut self, status: u8) {
        self.forward_log();
        self.log.set_forward(false);
        if status == 0 || status == RESTART {
            self.complete();
        }
        if let Some(path) = &self.pid_path {
            sys::pidfile::remove(path, sys::process::own_pid(), self.user());
        }
        self.control.remove();
        self.exit = Some(status);
    }

    /// The answer that all is well, and what serves.
    pub(crate) fn done(&self) -> Answer {
        let release = self.current_mold().map(|mold| &mold.release);
        Answer::Done {
            generation: self.supervisor.generation().map_or(0, |generation| generation.0),
            release: release.map(ToString::to_string),
            warning: release.and_then(Release::warning),
        }
    }

    /// Says which release serves, and warns when it is not the one that was meant.
    pub(crate) fn log_release(&self) {
        let Some(mold) = self.current_mold() else { return };
        self.log.info(format_args!("serving {}", mold.release));
        if let Some(warning) = mold.release.warning() {
            self.log.warn(warning);
        }
    }

    /// Unicorn's lines about a reload name the file.
    pub(crate) fn log_reload(&self, what: &str) {
        match &self.options.config_file {
            Some(file) => self.log.info(format_args!("{what} config_file={}", Path::new(file).display())),
            None => self.log.info(what),
        }
    }
}
