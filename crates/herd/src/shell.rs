//! The loop: what happens goes into the machine, what it decides is done.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use herder::{Effect, Ended, Input, Level, Machine, Settings, Stop};
use sys::process::Ending;
use sys::signals::{Signal, Signals};
use sys::spawn::Program;
use sys::watch::DirectoryWatch;

use crate::command_line::{self, Asked, Options, Persona};
use crate::control::Control;
use crate::family::Family as Processes;
use crate::flavour::Family;
use crate::guard::{self, Guard};
use crate::log::Log;
use crate::output::Output;

/// How often the process table is looked at while something is awaited that no event announces.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// The exit status for a command line that is not understood.
const USAGE: u8 = 2;
/// What shells say when a program is not there, or is none.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// Runs the herder with the arguments after its name, which go to the server as they are. Returns the exit status.
///
/// 0: the server was told to stop, and has; 1: it did not boot, or died; 2: the command line is wrong; 126, 127: there
/// is no such server program.
pub fn run(persona: Persona, arguments: &[OsString]) -> u8 {
    match arguments {
        [word, graceful] if word == guard::WORD => {
            guard::run(&graceful.to_string_lossy());
            return 0;
        }
        _ => {}
    }
    let options = match command_line::parse(persona, arguments) {
        Ok(Asked::Herd(options)) => *options,
        Ok(Asked::Print(text)) => {
            return match sys::stdio::print(&format!("{text}\n")) {
                Ok(()) => 0,
                Err(_) => 1,
            };
        }
        Err(error) => {
            sys::stdio::complain(command_line::complaint(persona, &error));
            return USAGE;
        }
    };
    let log = Log::from_environment();
    match Shell::start(options, log) {
        Ok(shell) => shell.run(),
        Err((status, text)) => {
            log.write(Level::Error, &text);
            status
        }
    }
}

struct Shell {
    options: Options,
    log: Log,
    signals: Signals,
    control: Option<Control>,
    pid_files: Option<DirectoryWatch>,
    guard: Option<Guard>,
    launcher: u32,
    processes: Processes,
    machine: Machine,
    reloading: Option<Reloading>,
    /// Whether the process table may have changed since it was looked at.
    look: bool,
    last_look: Duration,
}

/// A server's own reload command at work.
struct Reloading {
    pid: u32,
    output: Output,
}

impl Shell {
    fn start(options: Options, log: Log) -> Result<Self, (u8, String)> {
        let failed = |error: sys::Error| (1, error.chain());
        // Before the server is started: a signal that comes while it boots must find us ready.
        let signals = Signals::listen().map_err(failed)?;
        sys::process::become_subreaper().map_err(failed)?;
        let control = match Control::open(options.control.as_deref()) {
            Ok(control) => Some(control),
            Err(error) if options.control.is_some() => return Err(failed(error)),
            Err(error) => {
                log.write(Level::Warn, &format!("`licorne herd reload` will not work: {}", error.chain()));
                None
            }
        };
        if let Some(path) = &options.own_pid_file {
            sys::pidfile::write(path, sys::process::own_pid(), None).map_err(failed)?;
        }
        let flavour = &options.flavour;
        let pid_file = options.pass_pid_file.then_some(options.pid_file.as_path());
        let mut program = Program::new(&flavour.program);
        program.arguments = flavour.arguments(options.daemonize, pid_file, &options.arguments);
        // A signal to our process group is for us: the server gets what we make of it.
        program.session = true;
        log.write(Level::Debug, &format!("Calling {}: {program:?}", flavour.name));
        let launcher = program.spawn().map_err(|error| not_started(&options, &error))?;
        let guard = Guard::start(flavour.stop_signal(Stop::Term)).inspect_err(|error| {
            log.write(Level::Warn, &format!("a kill of the herder would leave the server: {}", error.chain()));
        });
        let mut processes = Processes::new(launcher, flavour.family == Family::Licorne);
        let guard = guard.ok();
        guard.iter().for_each(|guard| processes.ignore(guard.pid()));
        let settings = Settings {
            name: flavour.name.clone(),
            daemonizes: options.daemonize,
            boot_limit: options.timeout,
            overlap: options.overlap,
            asks_again: flavour.family == Family::Gunicorn,
            reloads_itself: flavour.family == Family::Licorne,
        };
        let directory = options.pid_file.parent().filter(|parent| !parent.as_os_str().is_empty());
        Ok(Self {
            // It only announces at once an upgrade that the herder did not begin.
            pid_files: DirectoryWatch::on(directory.unwrap_or(Path::new("."))).ok(),
            options,
            log,
            signals,
            control,
            guard,
            launcher,
            processes,
            machine: Machine::new(now(), settings),
            reloading: None,
            look: true,
            last_look: Duration::ZERO,
        })
    }

    fn run(mut self) -> u8 {
        loop {
            if self.look || (self.machine.is_watching() && now() >= self.last_look + LOOK_AGAIN) {
                self.look();
            }
            if let Some(status) = self.perform() {
                return self.leave(status);
            }
            self.wait();
            self.reap();
            self.take_signals();
            self.take_clients();
        }
    }

    fn leave(mut self, status: u8) -> u8 {
        if let Some(path) = &self.options.own_pid_file {
            sys::pidfile::remove(path, sys::process::own_pid(), None);
        }
        if let Some(guard) = self.guard.take() {
            guard.dismiss();
        }
        status
    }

    fn handle(&mut self, input: Input) {
        self.machine.handle(now(), input);
    }

    fn look(&mut self) {
        self.look = false;
        self.last_look = now();
        let view = self.processes.look(self.machine.successor());
        if let Some(guard) = &mut self.guard {
            let masters: Vec<u32> = view.masters.iter().map(|master| master.pid).collect();
            guard.tell(if masters.is_empty() { std::slice::from_ref(&self.launcher) } else { &masters });
        }
        self.handle(Input::Seen(view));
    }

    /// Waits until something happens, or until it is time to look again.
    fn wait(&mut self) {
        Log::tell_lost();
        let until = match (self.machine.next_deadline(), self.machine.is_watching()) {
            (deadline, true) => Some(deadline.unwrap_or(Duration::MAX).min(self.last_look + LOOK_AGAIN)),
            (deadline, false) => deadline,
        };
        let left = until.map(|until| u64::try_from(until.saturating_sub(now()).as_nanos()).unwrap_or(u64::MAX));
        let left = left.into_iter().chain(self.control.as_ref().and_then(Control::longest_wait_ns)).min();
        let mut readers: Vec<BorrowedFd<'_>> = vec![self.signals.as_fd()];
        readers.extend(self.pid_files.iter().map(AsFd::as_fd));
        let handles = readers.len();
        readers.extend(self.processes.handles().map(AsFd::as_fd));
        let end_of_handles = readers.len();
        readers.extend(self.reloading.iter().filter_map(|reloading| reloading.output.readable()));
        readers.extend(self.control.iter().flat_map(Control::readable));
        let writers: Vec<BorrowedFd<'_>> = self.control.iter().flat_map(Control::writable).collect();
        let Ok(ready) = sys::poll::wait(&readers, &writers, left) else { return };
        let exited = ready.get(handles..end_of_handles).unwrap_or_default().contains(&true);
        self.look |= exited;
        if let Some(watch) = &self.pid_files {
            let name = self.options.pid_file.file_name().unwrap_or_default().as_encoded_bytes();
            self.look |= watch.take(|changed| changed.starts_with(name));
        }
        if let Some(reloading) = &mut self.reloading {
            reloading.output.hear();
        }
    }

    /// Takes the status of each child that has ended, also of those that the server has started.
    fn reap(&mut self) {
        while let Some(exited) = sys::process::reap() {
            self.look = true;
            self.processes.forget(exited.pid);
            if exited.pid == self.launcher {
                self.handle(Input::LauncherEnded(ended(exited.ending())));
            }
            if let Some(mut ended) = self.reloading.take_if(|reloading| reloading.pid == exited.pid) {
                ended.output.hear();
                let text = ended.output.text();
                let text = text.trim_end().trim_start_matches("reload failed: ").to_string();
                let outcome = if exited.ending() == Ending::Exit(0) { Ok(()) } else { Err(text) };
                self.handle(Input::Reloaded(outcome));
            }
        }
    }

    fn take_signals(&mut self) {
        for delivered in self.signals.take() {
            match delivered.signal {
                Signal::Hup => self.reload(None),
                Signal::Term => self.handle(Input::Stop(Stop::Term)),
                Signal::Quit => self.handle(Input::Stop(Stop::Quit)),
                Signal::Int => self.handle(Input::Stop(Stop::Int)),
                // A terminal that changes its size must not stop workers.
                Signal::Winch => {}
                // A child may have ended since the last look: no other signal would announce it.
                Signal::Chld => {
                    self.look = true;
                    self.reap();
                }
                Signal::Usr1 => self.handle(Input::Forward(herder::Signal::Usr1)),
                Signal::Usr2 => self.handle(Input::Forward(herder::Signal::Usr2)),
                Signal::Ttin => self.handle(Input::Forward(herder::Signal::Ttin)),
                Signal::Ttou => self.handle(Input::Forward(herder::Signal::Ttou)),
                // These are only sent.
                Signal::Kill | Signal::Urg => {}
            }
        }
    }

    fn take_clients(&mut self) {
        let asked = self.control.as_mut().map(Control::take).unwrap_or_default();
        asked.into_iter().for_each(|ticket| self.reload(ticket));
    }

    /// How many workers there are to replace must be known as it is now.
    fn reload(&mut self, ticket: Option<u64>) {
        self.look();
        self.handle(Input::Reload(ticket));
    }

    /// Does what was decided; returns the status to leave with, once that is decided.
    fn perform(&mut self) -> Option<u8> {
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                Effect::Log(level, text) => self.log.write(level, &text),
                Effect::Signal(pid, signal) => self.signal(pid, sent(signal)),
                Effect::Stop(pid, stop) => self.signal(pid, self.options.flavour.stop_signal(stop)),
                Effect::Kill(pid) => {
                    let killed = self.processes.handle(pid).map(|handle| handle.send(Signal::Kill));
                    self.note(pid, killed.unwrap_or(Ok(())));
                }
                Effect::SignalAll(signal) => {
                    let condemned = self.processes.condemned();
                    condemned.iter().for_each(|handle| self.note(handle.pid(), handle.send(sent(signal))));
                }
                Effect::KillAll => {
                    let condemned = self.processes.condemned();
                    condemned.iter().for_each(|handle| self.note(handle.pid(), handle.send(Signal::Kill)));
                }
                Effect::AskToReload(master) => self.ask_to_reload(master),
                Effect::Answer(ticket, outcome) => {
                    if let Some(control) = &mut self.control {
                        control.answer(ticket, &outcome);
                    }
                }
                Effect::Exit(status) => return Some(status),
            }
        }
        None
    }

    fn signal(&mut self, pid: u32, signal: Signal) {
        if signal == Signal::Usr2 {
            self.processes.refresh(pid);
        }
        let sent = self.processes.handle(pid).map(|handle| handle.send(signal));
        self.note(pid, sent.unwrap_or(Ok(())));
    }

    /// Says so when a process could not be signalled.
    fn note(&self, pid: u32, sent: sys::Result<()>) {
        if let Err(error) = sent {
            self.log.write(Level::Error, &format!("PID {pid}: {}", error.chain()));
        }
    }

    fn ask_to_reload(&mut self, master: u32) {
        match self.start_reload(master) {
            Ok(reloading) => {
                self.processes.ignore(reloading.pid);
                self.reloading = Some(reloading);
            }
            Err(error) => self.handle(Input::Reloaded(Err(error.chain()))),
        }
    }

    fn start_reload(&self, master: u32) -> sys::Result<Reloading> {
        let (output, write) = Output::pipe()?;
        let mut program = Program::new(&self.options.flavour.program);
        program.arguments = ["reload", "--wait", "--pid", &master.to_string()].map(OsString::from).to_vec();
        program.inherit = vec![(write.as_fd(), 1), (write.as_fd(), 2)];
        Ok(Reloading { pid: program.spawn()?, output })
    }
}

fn not_started(options: &Options, error: &sys::Error) -> (u8, String) {
    let program = options.flavour.program.to_string_lossy();
    let kind = std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .map(std::io::Error::kind);
    match kind {
        Some(std::io::ErrorKind::NotFound) => (NOT_FOUND, format!("Command '{program}' not found. Is it installed?")),
        _ => (NOT_EXECUTABLE, error.chain()),
    }
}

/// The machine's signals, as they are sent.
fn sent(signal: herder::Signal) -> Signal {
    match signal {
        herder::Signal::Term => Signal::Term,
        herder::Signal::Usr1 => Signal::Usr1,
        herder::Signal::Usr2 => Signal::Usr2,
        herder::Signal::Ttin => Signal::Ttin,
        herder::Signal::Ttou => Signal::Ttou,
    }
}

fn ended(ending: Ending) -> Ended {
    let how = match ending {
        Ending::Exit(code) => format!("exited with status {code}"),
        Ending::Signal(number) => format!("was killed by {}", sys::process::signal_name(number)),
    };
    Ended { well: ending == Ending::Exit(0), how }
}

fn now() -> Duration {
    Duration::from_nanos(sys::clock::monotonic_ns())
}
