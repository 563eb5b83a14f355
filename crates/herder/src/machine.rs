//! What the herder decides. No I/O, no clock: time is an argument.
//!
//! [`Machine::handle`] takes what the world says, [`Machine::poll_effect`] yields what the shell must do, until nothing is
//! left; [`Machine::next_deadline`] says when to look again at the latest. The shell shows the process table as a
//! [`View`] whenever it may have changed, and at short intervals while [`Machine::is_watching`].
//!
//! ```text
//! Booting ─► Running ─► Reloading ─► Retiring ─► Running        a reload: the new master serves, the old one leaves
//!               │           └──────► RollingBack ─► Running     it does not: it is stopped, the old one stays
//!               ├─► Asking ─► Running                           a server that reloads by itself
//!               └─► Stopping ─► Over                            from every state
//! ```

mod reload;
#[cfg(test)]
mod tests;
mod view;

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

pub use view::{Master, Ready, View};

/// How long a new master may take to have all its workers, as in unicornherder.
const WORKERS_LIMIT: Duration = Duration::from_secs(120);
/// How long processes that no signal to a master reaches any more get before they are killed.
const KILL_AFTER: Duration = Duration::from_secs(10);
/// How long until a master that was told to stop, and lives, is told again. A signal that comes between the fork of a new
/// master and its execve(2) is lost: it goes to the handlers of the program before.
const TELL_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What the machine has to know beforehand.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server's name in messages.
    pub name: String,
    /// Whether the program that is started goes away, and leaves the server in the background.
    pub daemonizes: bool,
    /// How long a boot may take.
    pub boot_limit: Duration,
    /// How long both generations serve at most, once all new workers are there.
    pub overlap: Duration,
    /// Whether a request for a new master may be ignored and has to be repeated: Gunicorn does so until it has noticed,
    /// once a second, that its own old master is gone.
    pub asks_again: bool,
    /// Whether the server reloads by itself when asked to (then SIGUSR2 is not needed).
    pub reloads_itself: bool,
}

/// A signal that goes to the server. Those that stop it are [`Stop`]: what they become depends on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `SIGTERM`
    Term,
    /// `SIGUSR1`: reopen the logs.
    Usr1,
    /// `SIGUSR2`: start a new master.
    Usr2,
    /// `SIGTTIN`: one worker more.
    Ttin,
    /// `SIGTTOU`: one worker less.
    Ttou,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Term => "TERM",
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
            Self::Ttin => "TTIN",
            Self::Ttou => "TTOU",
        })
    }
}

/// A stop signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// `SIGTERM`
    Term,
    /// `SIGQUIT`
    Quit,
    /// `SIGINT`
    Int,
}

/// A client that waits for the outcome of a reload.
pub type Ticket = u64;

/// How the program that was started has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Whether its exit status was 0.
    pub well: bool,
    /// In words: `exited with status 1`.
    pub how: String,
}

/// How important a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Each signal that is passed on.
    Debug,
    /// What happens in the life of a server.
    Info,
    /// The herder coped.
    Warn,
    /// An operator must act.
    Error,
}

/// What the world says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A reload is wanted: by `SIGHUP`, or by a client that waits.
    Reload(Option<Ticket>),
    /// The herder got a stop signal.
    Stop(Stop),
    /// The herder got a signal that is passed on as it is.
    Forward(Signal),
    /// The program that was started has ended.
    LauncherEnded(Ended),
    /// How the process table looks now.
    Seen(View),
    /// A server that reloads by itself has done it, or says why not.
    Reloaded(Result<(), String>),
}

/// What the shell must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send this signal to one master.
    Signal(u32, Signal),
    /// Ask a process to stop, in the words of its kind.
    Stop(u32, Stop),
    /// Kill one master.
    Kill(u32),
    /// Send this signal to every process that descends from the herder.
    SignalAll(Signal),
    /// Kill every process that descends from the herder and serves.
    KillAll,
    /// Ask the server with this master to reload by itself.
    AskToReload(u32),
    /// Tell a client how its reload went.
    Answer(Ticket, Result<String, String>),
    /// Write a log line.
    Log(Level, String),
    /// Leave with this status.
    Exit(u8),
}

/// A new master on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Successor {
    pid: u32,
    /// Since when it has as many workers as the old one had.
    complete: Option<Duration>,
    /// How many workers it was last seen with, and since when so many.
    workers: usize,
    unchanged_since: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Booting { since: Duration },
    Running { master: u32 },
    Reloading { old: u32, expected: usize, since: Duration, asked: Duration, new: Option<Successor> },
    Retiring { old: u32, new: u32 },
    RollingBack { old: u32, new: u32, since: Duration, reason: String },
    Asking { master: u32 },
    Stopping { status: u8, stop: Stop, told: Vec<u32>, told_at: Duration, kill_at: Option<Duration> },
    Over,
}

/// The decisions.
#[derive(Debug)]
pub struct Machine {
    settings: Settings,
    state: State,
    view: View,
    launcher: Option<Ended>,
    /// The clients that wait for the reload that is under way.
    waiting: Vec<Ticket>,
    /// The clients of a reload that was asked for during one.
    again: Option<Vec<Ticket>>,
    effects: VecDeque<Effect>,
}

impl Machine {
    /// A server that has just been started.
    pub fn new(now: Duration, settings: Settings) -> Self {
        Self {
            settings,
            state: State::Booting { since: now },
            view: View::default(),
            launcher: None,
            waiting: Vec::new(),
            again: None,
            effects: VecDeque::new(),
        }
    }

    /// Takes what the world says.
    pub fn handle(&mut self, now: Duration, input: Input) {
        match input {
            Input::Reload(ticket) => self.reload(now, ticket),
            Input::Stop(stop) => self.stop(now, stop),
            Input::Forward(signal) => self.forward(signal),
            Input::LauncherEnded(ended) => self.launcher = Some(ended),
            Input::Seen(view) => {
                self.view = view;
                self.look(now);
            }
            Input::Reloaded(outcome) => self.reloaded(now, outcome),
        }
    }

    /// What to do next, if anything.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When the process table must be shown again at the latest, even if nothing happens.
    pub fn next_deadline(&self) -> Option<Duration> {
        match &self.state {
            State::Booting { since } => Some(*since + self.settings.boot_limit),
            State::Stopping { kill_at, .. } => *kill_at,
            _ => None,
        }
    }

    /// Whether something is awaited that no event announces: workers that get ready, processes that are not our children.
    pub fn is_watching(&self) -> bool {
        !matches!(self.state, State::Running { .. } | State::Asking { .. } | State::Over)
    }

    /// Whether the server is still being started, so that its first master is not known yet.
    pub fn is_booting(&self) -> bool {
        matches!(self.state, State::Booting { .. })
    }

    /// The new master whose workers' readiness counts now.
    pub fn successor(&self) -> Option<u32> {
        match &self.state {
            State::Reloading { new, .. } => new.map(|new| new.pid),
            _ => None,
        }
    }

    fn log(&mut self, level: Level, text: String) {
        self.effects.push_back(Effect::Log(level, text));
    }

    fn forward(&mut self, signal: Signal) {
        let masters = match (&self.state, signal) {
            (State::Running { master } | State::Asking { master }, Signal::Ttin | Signal::Ttou | Signal::Usr2) => {
                vec![*master]
            }
            // A second upgrade during one would be taken for the new master that is awaited.
            (_, Signal::Usr2) => Vec::new(),
            // Every master reopens its logs, and gets more workers or fewer: during a reload two of them serve.
            _ => self.view.masters.iter().map(|master| master.pid).collect(),
        };
        if masters.is_empty() {
            let text = format!("Caught {signal}, but no process can take it now.");
            self.log(Level::Warn, text);
        }
        for pid in masters {
            self.log(Level::Debug, format!("Forwarding {signal} to PID {pid}"));
            self.effects.push_back(Effect::Signal(pid, signal));
        }
    }

    fn stop(&mut self, now: Duration, stop: Stop) {
        if let State::Stopping { stop: before, told, .. } = &mut self.state {
            // A repeated stop is the same stop; another one is passed on.
            if *before != stop {
                *before = stop;
                told.clear();
                self.look(now);
            }
            return;
        }
        if self.state == State::Over {
            return;
        }
        self.log(Level::Debug, format!("Caught {}: expecting termination.", format!("{stop:?}").to_uppercase()));
        self.fail_reloads("the herder was told to stop");
        let kill_at = if self.view.masters.is_empty() {
            // Nothing serves yet: no request has to be finished, and no program there knows a graceful stop.
            self.effects.push_back(Effect::SignalAll(Signal::Term));
            Some(now + KILL_AFTER)
        } else {
            None
        };
        self.state = State::Stopping { status: 0, stop, told: Vec::new(), told_at: now, kill_at };
        self.look(now);
    }

    /// Looks at the process table, and does what follows.
    fn look(&mut self, now: Duration) {
        match self.state.clone() {
            State::Booting { since } => self.look_booting(now, since),
            State::Running { master } | State::Asking { master } => self.look_running(now, master),
            State::Reloading { .. } => self.look_reloading(now),
            State::Retiring { old, new } => self.look_retiring(now, old, new),
            State::RollingBack { old, new, since, reason } => self.look_rolling_back(now, old, new, since, &reason),
            State::Stopping { .. } => self.look_stopping(now),
            State::Over => {}
        }
    }

    fn look_booting(&mut self, now: Duration, since: Duration) {
        let name = self.settings.name.clone();
        // The program that was started waits, or has gone well, or is the master itself.
        let launched = !self.settings.daemonizes || self.launcher.as_ref().is_some_and(|ended| ended.well);
        let serving = self.view.masters.iter().find(|master| master.workers > 0).map(|master| master.pid);
        if let Some(master) = serving.filter(|_| launched) {
            self.log(Level::Info, format!("{name} booted (PID {master})"));
            self.state = State::Running { master };
            return self.reload_again(now, master);
        }
        match &self.launcher {
            Some(Ended { well, how }) if self.view.is_empty() || (self.settings.daemonizes && !well) => {
                self.give_up(now, format!("{name} {how} before it served. Exiting."));
            }
            _ if now >= since + self.settings.boot_limit => {
                let seconds = self.settings.boot_limit.as_secs();
                let what = if self.settings.daemonizes { "daemonize" } else { "serve" };
                self.give_up(
                    now,
                    format!("{name} failed to {what} within {seconds} seconds. Sending TERM and exiting."),
                );
            }
            _ => {}
        }
    }

    fn look_running(&mut self, now: Duration, master: u32) {
        let Some(newest) = self.view.newest() else { return self.died(now) };
        // It was upgraded without a reload: by SIGUSR2 to the master itself, or to the herder.
        if newest != master {
            self.changed(master, newest);
            self.state = State::Running { master: newest };
        }
    }

    fn look_stopping(&mut self, now: Duration) {
        let State::Stopping { status, stop, told, told_at, kill_at } = &mut self.state else { return };
        if self.view.is_empty() {
            let status = *status;
            self.state = State::Over;
            return self.effects.push_back(Effect::Exit(status));
        }
        // A master that stops already ignores the same signal.
        if now >= *told_at + TELL_AGAIN_AFTER {
            told.clear();
            *told_at = now;
        }
        // A master that has appeared since the others were told has to be told as well.
        for master in self.view.masters.iter().filter(|master| !told.contains(&master.pid)) {
            self.effects.push_back(Effect::Stop(master.pid, *stop));
        }
        *told = self.view.masters.iter().map(|master| master.pid).collect();
        match kill_at {
            Some(at) if now >= *at => {
                *kill_at = Some(now + KILL_AFTER);
                self.effects.push_back(Effect::KillAll);
            }
            None if self.view.masters.is_empty() => {
                // Workers without a master.
                for pid in &self.view.orphans {
                    self.effects.push_back(Effect::Stop(*pid, *stop));
                }
                *kill_at = Some(now + KILL_AFTER);
            }
            _ => {}
        }
    }

    fn died(&mut self, now: Duration) {
        let name = self.settings.name.clone();
        self.give_up(now, format!("{name} died. Exiting."));
    }

    /// Leaves with a failure, once nothing of the server is left.
    fn give_up(&mut self, now: Duration, why: String) {
        self.log(Level::Error, why.clone());
        self.fail_reloads(&why);
        let mut kill_at = None;
        if self.view.orphans.is_empty() {
            self.effects.push_back(Effect::SignalAll(Signal::Term));
            kill_at = Some(now + KILL_AFTER);
        }
        self.state = State::Stopping { status: 1, stop: Stop::Term, told: Vec::new(), told_at: now, kill_at };
        self.look(now);
    }

    fn changed(&mut self, from: u32, to: u32) {
        let text = format!("{} changed PID (was {from}, now {to})", self.settings.name);
        self.log(Level::Info, text);
    }
}
