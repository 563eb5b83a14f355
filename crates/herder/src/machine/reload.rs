//! Reloads: a second master beside the first, or a server that does it by itself.
//!
//! Nothing is asked of the old master before the new one is ready. When the new one fails, the old one stays.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::{Effect, KILL_AFTER, Level, Machine, Ready, Signal, State, Stop, Successor, Ticket, WORKERS_LIMIT};

/// A new master is given up when it has lost this many workers more than it is to have, each before it was ready.
const SPARE_DEATHS: usize = 2;
/// How long a master may take to fork its successor before it is asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(2);
/// A master that has forked no worker for this long has all of its workers.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

impl Machine {
    pub(super) fn reload(&mut self, now: Duration, ticket: Option<Ticket>) {
        match self.state {
            State::Running { master } => {
                self.waiting.extend(ticket);
                self.begin_reload(now, master);
            }
            // The code on disk may be newer than what is being loaded.
            State::Booting { .. }
            | State::Reloading { .. }
            | State::Retiring { .. }
            | State::RollingBack { .. }
            | State::Asking { .. } => {
                if self.again.is_none() {
                    let what = if self.is_booting() { "the server has booted" } else { "this one has ended" };
                    self.log(Level::Info, format!("Another restart follows when {what}."));
                }
                self.again.get_or_insert_default().extend(ticket);
            }
            State::Stopping { .. } | State::Over => {
                let reason = "the herder is stopping";
                self.log(Level::Warn, format!("No restart: {reason}."));
                let refused = ticket.map(|ticket| Effect::Answer(ticket, Err(reason.into())));
                self.effects.extend(refused);
            }
        }
    }

    fn begin_reload(&mut self, now: Duration, master: u32) {
        if let [first, .., last] = self.view.masters.as_slice() {
            let (first, last) = (first.pid, last.pid);
            let reason = format!(
                "PID {first} and PID {last} both serve since somebody sent USR2; stop one of them (QUIT) first"
            );
            return self.end_reload(now, master, Err(reason));
        }
        self.log(Level::Info, format!("Caught HUP: gracefully restarting PID {master}"));
        if self.settings.reloads_itself {
            self.effects.push_back(Effect::AskToReload(master));
            self.state = State::Asking { master };
            return;
        }
        let expected = self.view.master(master).map_or(1, |master| master.workers.max(1));
        self.effects.push_back(Effect::Signal(master, Signal::Usr2));
        self.state = State::Reloading { old: master, expected, since: now, asked: now, new: None };
    }

    pub(super) fn reloaded(&mut self, now: Duration, outcome: Result<(), String>) {
        if let State::Asking { master } = self.state {
            self.end_reload(now, master, outcome);
        }
    }

    /// Goes back to normal with this master, and tells the clients that wait.
    fn end_reload(&mut self, now: Duration, master: u32, outcome: Result<(), String>) {
        let name = self.settings.name.clone();
        let answer = match outcome {
            Ok(()) => {
                self.log(Level::Info, format!("Restarted: {name} serves (PID {master})"));
                Ok(format!("{name} serves (PID {master})"))
            }
            Err(reason) => {
                // What a server says of itself goes on with a backtrace, which it has logged already.
                let first = reason.lines().next().unwrap_or_default();
                self.log(Level::Error, format!("Restart failed: {first}. PID {master} serves on."));
                Err(reason)
            }
        };
        for ticket in core::mem::take(&mut self.waiting) {
            self.effects.push_back(Effect::Answer(ticket, answer.clone()));
        }
        self.state = State::Running { master };
        self.reload_again(now, master);
    }

    /// Begins the reload that was asked for meanwhile, if one was.
    pub(super) fn reload_again(&mut self, now: Duration, master: u32) {
        if let Some(tickets) = self.again.take() {
            self.waiting = tickets;
            self.begin_reload(now, master);
        }
    }

    pub(super) fn fail_reloads(&mut self, reason: &str) {
        let waiting = core::mem::take(&mut self.waiting).into_iter().chain(self.again.take().into_iter().flatten());
        self.effects.extend(waiting.map(|ticket| Effect::Answer(ticket, Err(reason.into()))));
    }

    pub(super) fn look_reloading(&mut self, now: Duration) {
        let State::Reloading { old, expected, since, asked, new } = self.state else { return };
        let old_lives = self.view.master(old).is_some();
        let Some(newest) = self.view.newest().filter(|newest| *newest != old) else {
            return match new {
                _ if !old_lives => self.died(now),
                Some(new) => {
                    let reason = format!("the new {} (PID {}) died", self.settings.name, new.pid);
                    self.end_reload(now, old, Err(reason));
                }
                None if now >= since + self.settings.boot_limit => {
                    let seconds = self.settings.boot_limit.as_secs();
                    self.end_reload(now, old, Err(format!("no new master appeared within {seconds} seconds")));
                }
                None if self.settings.asks_again && now >= asked + ASK_AGAIN_AFTER => {
                    self.effects.push_back(Effect::Signal(old, Signal::Usr2));
                    self.state = State::Reloading { old, expected, since, asked: now, new };
                }
                None => {}
            };
        };
        let mut new = new.filter(|new| new.pid == newest).unwrap_or_else(|| {
            self.changed(old, newest);
            Successor { pid: newest, complete: None, workers: 0, unchanged_since: now }
        });
        let Some(seen) = self.view.master(newest).copied() else { return };
        if seen.workers >= expected {
            new.complete.get_or_insert(now);
        }
        if seen.workers != new.workers {
            new.workers = seen.workers;
            new.unchanged_since = now;
        }
        self.state = State::Reloading { old, expected, since, asked, new: Some(new) };
        let ready = match seen.ready {
            Ready::Workers(count) => count,
            Ready::Hidden => 0,
        };
        let patience_ends = new.complete.map_or(since + WORKERS_LIMIT, |complete| complete + self.settings.overlap);
        // The new configuration may have fewer workers.
        let is_smaller = ready > 0 && ready == seen.workers && now >= new.unchanged_since + SETTLED_AFTER;
        let is_up = ready >= expected || is_smaller;
        if is_up || (now >= patience_ends && (ready > 0 || (seen.ready == Ready::Hidden && new.complete.is_some()))) {
            if !is_up && seen.ready != Ready::Hidden {
                let text = format!("Only {ready} of {expected} workers of PID {newest} are ready: going on with them");
                self.log(Level::Warn, text);
            }
            self.retire(now, old, newest);
        } else if seen.lost > expected + SPARE_DEATHS && ready == 0 {
            self.roll_back(now, old, newest, "its workers die before they are ready");
        } else if now >= patience_ends {
            self.roll_back(now, old, newest, "none of its workers got ready in time");
        }
    }

    fn retire(&mut self, now: Duration, old: u32, new: u32) {
        if self.view.master(old).is_none() {
            return self.end_reload(now, new, Ok(()));
        }
        self.log(Level::Info, format!("PID {new} is ready: stopping PID {old}"));
        // QUIT where that is graceful: what TERM to the herder becomes.
        self.effects.push_back(Effect::Stop(old, Stop::Term));
        self.state = State::Retiring { old, new };
    }

    pub(super) fn look_retiring(&mut self, now: Duration, old: u32, new: u32) {
        if self.view.masters.is_empty() {
            self.died(now);
        } else if self.view.master(old).is_none() {
            let master = self.view.master(new).map(|master| master.pid).or(self.view.newest()).unwrap_or(new);
            self.end_reload(now, master, Ok(()));
        }
    }

    fn roll_back(&mut self, now: Duration, old: u32, new: u32, reason: &str) {
        if self.view.master(old).is_none() {
            // A hook has stopped the old one: there is nothing to go back to.
            self.log(Level::Error, format!("PID {new}: {reason}, and the old master is gone"));
            for ticket in core::mem::take(&mut self.waiting) {
                self.effects.push_back(Effect::Answer(ticket, Err(reason.into())));
            }
            self.state = State::Running { master: new };
            return;
        }
        self.effects.push_back(Effect::Signal(new, Signal::Term));
        let reason = format!("the new {} (PID {new}): {reason}", self.settings.name);
        self.state = State::RollingBack { old, new, since: now, reason };
    }

    pub(super) fn look_rolling_back(&mut self, now: Duration, old: u32, new: u32, since: Duration, reason: &str) {
        if self.view.masters.is_empty() {
            self.died(now);
        } else if self.view.master(new).is_none() {
            let master = self.view.master(old).map(|master| master.pid).or(self.view.newest()).unwrap_or(old);
            self.end_reload(now, master, Err(reason.into()));
        } else if now >= since + KILL_AFTER {
            self.effects.push_back(Effect::Kill(new));
            self.state = State::RollingBack { old, new, since: now, reason: reason.into() };
        }
    }
}
