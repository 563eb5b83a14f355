//! From settings that a mold told to settings that hold, and back: prepare, commit, roll back.
//!
//! What can fail is done in [`Shell::prepare`], before anything of the running server is touched. A commit only renames
//! and redirects.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use supervisor::{Event, Generation};
use sys::signals::{Delivered, Signal, Signals};
use sys::user::User;
use wire::ToMold;

use crate::children::mold::{MoldStage, Starter};
use crate::config::revision::Release;
use crate::config::settings::Settings;
use crate::control;
use crate::shell::Shell;
use crate::sockets::listeners;

impl Shell {
    /// A mold has told its settings: prepares what they need.
    pub(crate) fn configured(&mut self, generation: Generation, json: &str) {
        match self.prepare(generation, json) {
            Ok(_) if self.begins_anew => self.exit = Some(0),
            Ok(plan) => self.event(Event::MoldConfigured { generation, plan }),
            Err(text) => {
                // It is told to leave, and has nothing to say of that.
                if let Some(mold) = self.children.mold_mut(generation) {
                    mold.stage = MoldStage::Failed;
                }
                let cause = self.causes.note(text);
                self.event(Event::MoldFailed { generation, said: true, cause });
            }
        }
    }

    fn prepare(&mut self, generation: Generation, json: &str) -> Result<supervisor::Plan, String> {
        let settings = match self.children.mold(generation).map(|mold| mold.starter) {
            Some(Starter::Former) => Settings::parse_older(json)?,
            Some(Starter::Present) | None => Settings::parse(json)?,
        };
        let first = self.settings.is_none();
        if first && settings.daemonize && !self.options.daemonize {
            self.options.daemonize()?;
            // A second master of an upgrade is in the background already.
            self.begins_anew = self.succession.origin.is_none();
        }
        if self.begins_anew {
            return Ok(settings.plan(self.way(settings.processes.upgrade)));
        }
        if first {
            self.enter(&settings)?;
            self.log.set_forward(settings.custom_logger);
            std::mem::take(&mut self.inherited.lines).iter().for_each(|line| self.log.info(line));
        }
        let own = sys::process::own_pid();
        match settings.pid() {
            Some(path) if first => {
                sys::pidfile::write(path, own, settings.user.as_ref())
                    .map_err(|error| format!("{} (ArgumentError)", error.chain()))?;
                self.set_pid_path(Some(path.to_path_buf()));
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
        // A server that serves never waits; one that boots waits, unless it is told to stop.
        let mut wait = |seconds: f64| wait_unless_stopped(signals, seconds, &mut heard);
        let wait: Option<listeners::Wait<'_>> = if first { Some(&mut wait) } else { None };
        let prepared = listeners::prepare(&settings, inherited, &present, log, wait);
        for delivered in heard {
            self.signal(delivered.signal);
        }
        let mut listeners = prepared?;
        // A mold that takes the place of a lost one changes nothing; only a reload can leave them out.
        if self.supervisor.reloads_to() != Some(generation) {
            for bound in &self.inherited.handed_over {
                if !listeners.iter().any(|other| std::rc::Rc::ptr_eq(other, bound)) {
                    listeners.push(std::rc::Rc::clone(bound));
                }
            }
        }
        let plan = settings.plan(self.way(settings.processes.upgrade));
        let start = settings.working_directory().unwrap_or(&self.options.directory);
        if let Some(mold) = self.children.mold_mut(generation) {
            // Now it is where it stays, and has loaded no code yet; and it is known whose rights what lies there is read with.
            let entered = sys::process::directory_of(mold.pid);
            mold.release = Release::at(entered.as_deref().unwrap_or(start), settings.user.as_ref());
            mold.settings = Some(settings);
            mold.listeners = listeners;
        }
        Ok(plan)
    }

    /// What the first settings change at once, before anything else can fail: directory and standard streams.
    fn enter(&mut self, settings: &Settings) -> Result<(), String> {
        if let Some(directory) = settings.working_directory() {
            std::env::set_current_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        }
        self.entered = true;
        self.redirect(settings, sys::stdio::redirect)
    }

    pub(crate) fn commit(&mut self, generation: Generation) {
        let Some(mold) = self.children.mold(generation) else { return };
        let (Some(settings), listeners) = (mold.settings.clone(), mold.listeners.clone()) else { return };
        let before = self.settings.replace(settings.clone());
        self.admin.try_again();
        // Only to know where `working_directory` leads while it still does; a start that needs it says what is wrong.
        let _ = self.find_directory();
        let listened = std::mem::replace(&mut self.listeners, listeners);
        match before {
            None => {
                self.open_control(&settings);
                // What the store held and nobody asks for is taken out, and closed.
                let stored = std::mem::take(&mut self.inherited.stored);
                self.notify.store(&self.listeners, &stored, &self.log);
            }
            Some(before) => {
                self.change_settings(&settings);
                self.before = Some((before, listened));
            }
        }
        self.log.set_forward(settings.custom_logger);
        let path = self.pid_path.as_ref().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        self.tell_mold(generation, &ToMold::PidPath { path });
    }

    pub(crate) fn roll_back(&mut self, generation: Generation) {
        if let Some(mold) = self.children.mold_mut(generation) {
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
        self.redirect_anew(settings);
        if let Some(pid) = self.successor.pid() {
            if let Some(path) = settings.pid() {
                let path = path.display();
                self.log.warn(format_args!("will not set pid={path} while reexec-ed child is running PID:{pid}"));
            }
            return;
        }
        let own = sys::process::own_pid();
        match (self.pid_path.clone(), settings.pid().map(Path::to_path_buf)) {
            (Some(old), Some(new)) if old == new => {}
            (Some(old), Some(new)) => match sys::pidfile::rename(&old, &new, own, settings.user.as_ref()) {
                Ok(()) => self.set_pid_path(Some(new)),
                Err(error) => self.log.error(error.chain()),
            },
            (None, Some(new)) => match sys::pidfile::write(&new, own, settings.user.as_ref()) {
                Ok(()) => self.set_pid_path(Some(new)),
                Err(error) => self.log.error(error.chain()),
            },
            (Some(old), None) => {
                sys::pidfile::remove(&old, own, settings.user.as_ref());
                self.set_pid_path(None);
            }
            (None, None) => {}
        }
    }

    /// The user that the application runs as, where the configuration says it: files in places of others are opened with
    /// its rights.
    pub(crate) fn user(&self) -> Option<&User> {
        self.settings.as_ref().and_then(|settings| settings.user.as_ref())
    }

    /// Whether the control socket's path was chosen by the user, so that two masters would share it.
    pub(crate) fn control_is_configured(&self) -> bool {
        self.options.control.is_some() || self.settings.as_ref().is_some_and(|settings| settings.control().is_some())
    }

    /// Opens the control socket. A server without one serves all the same.
    pub(crate) fn open_control(&mut self, settings: &Settings) {
        let configured = self.options.control.clone().or_else(|| settings.control().map(Path::to_path_buf));
        let path = configured.clone().unwrap_or_else(|| control::default_path(sys::process::own_pid()));
        if let Err(error) = self.control.open(&path, configured.is_none(), settings.user.clone()) {
            self.log.error(format_args!("no control socket at {}: {}", path.display(), error.chain()));
        }
    }
}

/// Waits for so many seconds. Returns whether that went by without a signal to stop; what was delivered is in `heard`.
fn wait_unless_stopped(signals: &mut Signals, seconds: f64, heard: &mut Vec<Delivered>) -> bool {
    let until = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX).as_nanos();
    let until = sys::clock::monotonic_ns().saturating_add(u64::try_from(until).unwrap_or(u64::MAX));
    let stops = |delivered: &Delivered| matches!(delivered.signal, Signal::Quit | Signal::Term | Signal::Int);
    loop {
        heard.extend(signals.take());
        let left = until.saturating_sub(sys::clock::monotonic_ns());
        if left == 0 || heard.iter().any(stops) {
            return !heard.iter().any(stops);
        }
        if sys::poll::wait(&[signals.as_fd()], &[], Some(left)).is_err() {
            return false;
        }
    }
}
