//! The options that all commands have in common, and the talk with the master that they mean.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use master::control::{Answer, Request};
use sys::stdio::complain;

use crate::find::{self, Found, Here};
use crate::options::{Given, Switch, help, parse, show};

/// The exit status when it is not clear which master is meant.
const WHICH_MASTER: u8 = 2;

/// The options that say which master is meant.
pub(crate) const WHICH: [Switch; 5] = [
    Switch { short: None, long: "control", value: Some("PATH"), help: "the master's control socket" },
    Switch { short: Some('P'), long: "pid-file", value: Some("FILE"), help: "the master's pid file" },
    Switch { short: None, long: "pid", value: Some("PID"), help: "the master's process id" },
    Switch { short: Some('v'), long: "verbose", value: None, help: "tell which sockets were passed over, and why" },
    Switch { short: Some('h'), long: "help", value: None, help: "Show this message" },
];

/// A parsed subcommand: which master, and the flags of its own that were given.
#[derive(Debug)]
pub(crate) struct Command {
    master: Found,
    given: Vec<(&'static str, String)>,
}

/// What was said about which master is meant.
enum Target {
    Socket(String),
    PidFile(String),
    Pid(u32),
}

impl Command {
    /// Parses the arguments of a subcommand and finds the master that is meant. In the place of a command, the exit status
    /// when there is nothing more to do: help was asked for and given, or the masters that could be meant were listed.
    ///
    /// # Errors
    /// The arguments are wrong, or the master that is meant is not there.
    pub(crate) fn parse(name: &str, arguments: &[String], own: &[Switch]) -> Result<Result<Self, u8>, String> {
        let all: Vec<Switch> = own.iter().chain(&WHICH).copied().collect();
        let (mut target, mut given) = (None, Vec::new());
        for item in parse(arguments, &all)? {
            match item {
                Given::Option("help", _) => {
                    show(&format!("Usage: licorne {name} [options]\n{}{WITHOUT}", help(&all)))?;
                    return Ok(Err(0));
                }
                Given::Option("control", value) => target = Some(Target::Socket(value)),
                Given::Option("pid-file", value) => target = Some(Target::PidFile(value)),
                Given::Option("pid", value) => {
                    let pid = value.parse().map_err(|_| format!("invalid argument: --pid {value}"))?;
                    target = Some(Target::Pid(pid));
                }
                Given::Option(name, value) => given.push((name, value)),
                Given::Argument(word) => return Err(format!("licorne {name}: what is `{word}`?")),
            }
        }
        let mut notes = Vec::new();
        let master = match target {
            Some(Target::Socket(path)) => find::of_socket(Path::new(&path)).map(Some),
            Some(Target::PidFile(file)) => find::of_pid_file(Path::new(&file), &mut notes).map(Some),
            Some(Target::Pid(pid)) => find::of_pid(pid, &mut notes).map(Some),
            None => the_one_here(name, &mut notes),
        };
        if given.iter().any(|(name, _)| *name == "verbose") {
            notes.iter().for_each(complain);
        }
        Ok(master?.map(|master| Self { master, given }).ok_or(WHICH_MASTER))
    }

    /// Whether a flag was given.
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.value(flag).is_some()
    }

    /// The value that an option was given last; empty for a flag.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.given.iter().rev().find(|(given, _)| *given == name).map(|(_, value)| value.as_str())
    }

    /// All values that an option was given.
    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        self.given.iter().filter(|(given, _)| *given == name).map(|(_, value)| value.clone()).collect()
    }

    /// The master that is meant.
    pub(crate) fn master(&self) -> &Found {
        &self.master
    }

    /// Sends the request and hands each answer to `hear`, until it returns a value or the master is gone (`None`).
    ///
    /// # Errors
    /// The master does not listen any more, or what comes is not understood.
    pub(crate) fn ask<T>(
        &self,
        request: Request,
        mut hear: impl FnMut(Answer) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let trouble = |error: std::io::Error| format!("{}: {error}", self.master.path.display());
        let mut stream = self.master.connect()?;
        let line = serde_json::to_string(&request).map_err(|error| error.to_string())?;
        stream.write_all(format!("{line}\n").as_bytes()).map_err(trouble)?;
        for line in BufReader::new(stream).lines() {
            let answer = serde_json::from_str(&line.map_err(trouble)?)
                .map_err(|error| format!("{}: not understood: {error}", self.master.path.display()))?;
            if let Some(value) = hear(answer) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

/// The end of the help of each command.
const WITHOUT: &str = "Without --control, --pid-file and --pid it is the master of the working directory: the one that its\n\
    configuration, its pid files or the master's own working directory name.\n";

/// The one master of the working directory; `None` when there is not just one, which is said.
fn the_one_here(name: &str, notes: &mut Vec<String>) -> Result<Option<Found>, String> {
    let here = Here::find()?;
    let running = find::running(notes);
    let mut meant = here.masters(&running);
    if meant.len() == 1 {
        return Ok(meant.pop());
    }
    let (why, listed) = match (meant.is_empty(), running.is_empty()) {
        (_, true) => ("no running master found", &running),
        (true, false) => ("no master of this directory is running; others are", &running),
        (false, _) => ("this directory has several masters", &meant),
    };
    let lines: String = listed.iter().map(|found| format!("\n  {}", found.name())).collect();
    complain(format_args!("licorne {name}: {why}; say --pid PID, --pid-file FILE or --control PATH{lines}"));
    Ok(None)
}
