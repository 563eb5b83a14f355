//! The second master of an upgrade: Unicorn's protocol of two masters.
//!
//! The pid file moves to `<pid>.oldbin`, the new program is executed with the listeners' numbers in `UNICORN_FD`, and
//! both serve until somebody stops one of them. Beyond Unicorn, the new master tells the old one when it serves, through
//! a channel whose number is in `LICORNE_READY_FD`; see `succession` for what else is said there.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use serde_json::Value;
use supervisor::{CauseId, Event};
use sys::channel::Channel;
use sys::pidfd::Pidfd;
use sys::process::Exited;
use sys::spawn::Program;
use wire::ToMold;

use crate::children::registry::Who;
use crate::config::release::{self, Move};
use crate::environment;
use crate::shell::Shell;
use crate::sockets::queue::Queue;
use crate::upgrade::replacement::Replacement;
use crate::upgrade::succession::{self, Heard};

/// The first descriptor number of a second master's listeners.
const FIRST_FD: i32 = 3;

/// The new master, as the old one knows it.
#[derive(Debug)]
pub(crate) enum Successor {
    /// There is none.
    None,
    /// `before_exec` runs in a child of the mold.
    Preparing,
    /// It runs.
    Running {
        pid: u32,
        /// Where it tells that it serves, and is told when it is the unit's main process; `None` after its end.
        link: Option<Channel>,
        /// What tells of its end, when it is not this master's child.
        handle: Option<Pidfd>,
        /// Why it could not boot, if it has said that.
        failed: CauseId,
    },
}

impl Successor {
    pub(crate) fn pid(&self) -> Option<u32> {
        match self {
            Self::Running { pid, .. } => Some(*pid),
            Self::None | Self::Preparing => None,
        }
    }

    pub(crate) fn readable(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let (link, handle) = match self {
            Self::Running { link, handle, .. } => (link.as_ref(), handle.as_ref()),
            Self::None | Self::Preparing => (None, None),
        };
        link.map(AsFd::as_fd).into_iter().chain(handle.map(AsFd::as_fd))
    }
}

/// The way to the master before this one, if this is a successor.
pub(crate) fn origin() -> Option<Channel> {
    let number = std::env::var(environment::READY).ok().and_then(|text| text.parse().ok())?;
    sys::spawn::inherited(number).map(Channel::from_fd)
}

impl Shell {
    /// Moves the pid file out of the way and asks the mold to run `before_exec`.
    pub(crate) fn start_successor(&mut self) {
        if let Err(text) = self.find_directory() {
            self.log.error(format_args!("cannot start a new master: {text}"));
            return self.successor_failed(text);
        }
        if let Some(path) = self.pid_path.clone() {
            let old = oldbin(&path);
            if let Err(error) = sys::pidfile::rename(&path, &old, sys::process::own_pid(), self.user()) {
                let old = old.display();
                let text = match error {
                    sys::Error::AlreadyRunning { pid, .. } => {
                        format!("old PID:{pid} running with existing pid={old}, refusing rexec")
                    }
                    other => format!("error writing pid={old} {}", other.chain()),
                };
                self.log.error(&text);
                return self.successor_failed(text);
            }
            self.set_pid_path(Some(old));
        }
        if let Some(path) = self.control.path().map(Path::to_path_buf)
            && self.control_is_configured()
            && let Err(error) = self.control.rename(&oldbin(&path))
        {
            self.log.error(format_args!("error moving {}: {}", path.display(), error.chain()));
        }
        self.successor = Successor::Preparing;
        if !self.ask_for_environment() {
            // Without a mold there is no hook to run.
            self.execute_successor(&own_environment());
        }
    }

    /// Asks the mold to run `before_exec` and to tell what that leaves behind. Returns whether there is a mold.
    pub(crate) fn ask_for_environment(&self) -> bool {
        self.current_mold().is_some_and(|mold| mold.link.send(&ToMold::BeforeExec, &[]))
    }

    /// A mold has told what `before_exec` left behind.
    pub(crate) fn environment_told(&mut self, json: &str) {
        match self.replacement {
            Replacement::Preparing => self.start_preflight(json),
            Replacement::None | Replacement::Preflight { .. } | Replacement::Passed(_) => self.execute_successor(json),
        }
    }

    /// Executes the new program with the environment that `before_exec` left behind.
    pub(crate) fn execute_successor(&mut self, json: &str) {
        if !matches!(self.successor, Successor::Preparing) {
            return;
        }
        match self.spawn_successor(json) {
            Ok(running) => {
                self.successor = running;
                self.show_title("master (old)");
                self.event(Event::SuccessorStarted);
            }
            Err(text) => {
                self.log.error(&text);
                self.successor = Successor::None;
                self.take_names_back();
                self.successor_failed(text);
            }
        }
    }

    fn successor_failed(&mut self, text: String) {
        let cause = self.causes.note(text);
        self.event(Event::SuccessorFailed { cause });
    }

    fn spawn_successor(&mut self, json: &str) -> Result<Successor, String> {
        let (ours, theirs) = Channel::pair().map_err(|error| error.chain())?;
        let (directory, moves) = self.find_directory()?;
        let path = self.successor_path(&moves);
        let mut program = Program::new(&path);
        program.arguments = self.options.arguments.iter().map(OsString::from).collect();
        program.clear = true;
        program.set = self.successor_environment(json, &directory, &moves)?;
        let numbers: Vec<i32> = (FIRST_FD..).take(self.listeners.len()).collect();
        let listed = numbers.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
        let ready_number = FIRST_FD + i32::try_from(numbers.len()).unwrap_or(0);
        program.set.push(("UNICORN_FD".into(), listed.into()));
        let names: Vec<&str> =
            self.listeners.iter().map(|bound| bound.activated_as.as_deref().unwrap_or_default()).collect();
        program.set.push((environment::SOCKET_NAMES.into(), names.join(":").into()));
        program.set.push((environment::READY.into(), ready_number.to_string().into()));
        let [receive, send] = [ready_number + 1, ready_number + 2];
        program.set.push((environment::QUEUE.into(), Queue::variable(receive, send).into()));
        program.set.extend(self.notify.variables());
        program.directory = Some(directory.clone());
        program.inherit = self.listeners.iter().map(|bound| bound.socket.as_fd()).zip(numbers).collect();
        program.inherit.push((theirs.as_fd(), ready_number));
        program.inherit.extend(self.queue.ends().into_iter().zip([receive, send]));
        self.log.info(format_args!(
            "executing {:?} (in {})",
            std::iter::once(path.to_string_lossy().into_owned())
                .chain(self.options.arguments.iter().cloned())
                .collect::<Vec<_>>(),
            directory.display()
        ));
        // In a unit it is the service manager's child from the beginning: of a main process that is not its own child
        // systemd would not know the end, and would not wait for it in a stop.
        let beside = self.notify.is_main() && sys::process::parent_name().as_deref() == Some("systemd");
        let spawned = if beside { program.spawn_beside() } else { program.spawn() };
        let pid = spawned.map_err(|error| error.chain())?;
        // Of one that is not a child of this master the end is learned from a handle.
        if !beside {
            self.children.register(pid, Who::Successor);
        }
        let handle = if beside { Some(Pidfd::open(pid).ok_or("the new master died at once")?) } else { None };
        Ok(Successor::Running { pid, link: Some(ours), handle, failed: CauseId::NONE })
    }

    /// The variables of the new program: those that `before_exec` left behind, the old release's made the new one's.
    pub(crate) fn successor_environment(
        &self,
        json: &str,
        directory: &Path,
        moves: &[Move],
    ) -> Result<Vec<(OsString, OsString)>, String> {
        let Ok(Value::Object(environment)) = serde_json::from_str(json) else {
            return Err("before_exec failed, the new master was not started".to_string());
        };
        let inherited: Vec<(String, String)> = environment
            .into_iter()
            .filter(|(name, _)| !environment::PRIVATE.contains(&name.as_str()))
            .filter_map(|(name, value)| Some((name, value.as_str()?.to_string())))
            .collect();
        let followed = release::follow_variables(inherited.clone(), moves);
        self.log_followed(directory, &followed);
        // Of a name that is set twice, the second counts.
        let all = inherited.into_iter().chain(followed).map(|(name, value)| (name.into(), value.into()));
        Ok(all.chain([("PWD".into(), directory.as_os_str().to_owned())]).collect())
    }

    /// The program to execute. One in an old release follows to the new one, unless it is missing there: the
    /// configuration, and who has named it by a link, may mean just that file.
    pub(crate) fn successor_path(&self, moves: &[Move]) -> OsString {
        let configured = self.settings.as_ref().and_then(|settings| settings.program_path.clone());
        let path = configured.unwrap_or_else(|| PathBuf::from(&self.options.program_path));
        let followed = release::follow(&path, moves).filter(|path| path.exists());
        followed.unwrap_or(path).into_os_string()
    }

    pub(crate) fn hear_successor(&mut self) {
        while let Successor::Running { link: slot @ Some(_), failed, .. } = &mut self.successor {
            match slot.as_ref().map_or(Heard::End, succession::hear) {
                Heard::Ready { takes_over } => self.event(Event::SuccessorReady { takes_over }),
                Heard::Failed(reason) => *failed = self.causes.note(reason),
                Heard::Nothing => return,
                // It left, and its exit will be seen; or it is another program and has closed what it does not know.
                Heard::End => *slot = None,
            }
        }
    }

    /// Looks whether a successor that is not this master's child is gone.
    pub(crate) fn look_after_successor(&mut self) {
        if let Successor::Running { pid, handle: Some(handle), .. } = &self.successor
            && handle.has_exited()
        {
            self.log.error(format_args!("the new master PID:{pid} is gone"));
            self.successor_gone();
        }
    }

    pub(crate) fn successor_exited(&mut self, exited: Exited) {
        self.log.error(format_args!("reaped {} exec()-ed", exited.ruby_inspect()));
        self.successor_gone();
    }

    fn successor_gone(&mut self) {
        // It may have said that it serves just before it died.
        self.hear_successor();
        let cause = match std::mem::replace(&mut self.successor, Successor::None) {
            Successor::Running { failed, .. } => failed,
            Successor::None | Successor::Preparing => CauseId::NONE,
        };
        self.event(Event::SuccessorExited { cause });
    }

    /// The new master is not started, unless it runs by now.
    pub(crate) fn forget_successor(&mut self) {
        if matches!(self.successor, Successor::Preparing) {
            self.successor = Successor::None;
        }
    }

    /// The new master is gone: pid file, control socket and title become those of the only master again.
    pub(crate) fn take_names_back(&mut self) {
        if let Some(path) = self.pid_path.clone()
            && let Some(plain) = without_oldbin(&path)
        {
            match sys::pidfile::rename(&path, &plain, sys::process::own_pid(), self.user()) {
                Ok(()) => self.set_pid_path(Some(plain)),
                Err(error) => self.log.error(format_args!("error writing pid={} {}", plain.display(), error.chain())),
            }
        }
        if let Some(plain) = self.control.path().and_then(without_oldbin)
            && let Err(error) = self.control.rename(&plain)
        {
            self.log.error(format_args!("error moving {}: {}", plain.display(), error.chain()));
        }
        self.show_title("master");
    }

    /// Notes where the pid file is, and tells the molds: hooks ask `server.pid`.
    pub(crate) fn set_pid_path(&mut self, path: Option<PathBuf>) {
        let text = path.as_ref().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        for (_, mold) in self.children.molds() {
            mold.link.send(&ToMold::PidPath { path: text.clone() }, &[]);
        }
        self.pid_path = path;
    }
}

/// The variables of this process, as a mold tells them.
pub(crate) fn own_environment() -> String {
    let text = |word: OsString| word.to_string_lossy().into_owned();
    let own: serde_json::Map<String, Value> =
        std::env::vars_os().map(|(name, value)| (text(name), Value::String(text(value)))).collect();
    Value::Object(own).to_string()
}

/// The name that an old master's files have while a new one serves.
pub(crate) fn oldbin(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".oldbin");
    PathBuf::from(name)
}

fn without_oldbin(path: &Path) -> Option<PathBuf> {
    path.to_str()?.strip_suffix(".oldbin").map(PathBuf::from)
}
