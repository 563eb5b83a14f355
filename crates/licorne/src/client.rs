//! Finds a master's control socket and talks to it.

use std::io::{BufRead, BufReader, Error, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use master::control::{Answer, Request, candidates};

use crate::options::{Given, Switch, help, parse, show};

/// The options that say which master is meant.
pub(crate) const WHICH: [Switch; 4] = [
    Switch { short: None, long: "control", value: Some("PATH"), help: "the master's control socket" },
    Switch { short: Some('P'), long: "pid-file", value: Some("FILE"), help: "the master's pid file" },
    Switch { short: None, long: "pid", value: Some("PID"), help: "the master's process id" },
    Switch { short: Some('h'), long: "help", value: None, help: "Show this message" },
];

/// A parsed subcommand: which master, and the flags of its own that were given.
#[derive(Debug)]
pub(crate) struct Command {
    path: PathBuf,
    given: Vec<(&'static str, String)>,
}

impl Command {
    /// Parses the arguments of a subcommand; `None` when help was asked for and given.
    ///
    /// # Errors
    /// The arguments are wrong, or no master is found.
    pub(crate) fn parse(name: &str, arguments: &[String], own: &[Switch]) -> Result<Option<Self>, String> {
        let all: Vec<Switch> = own.iter().chain(&WHICH).copied().collect();
        let (mut path, mut given) = (None, Vec::new());
        for item in parse(arguments, &all)? {
            match item {
                Given::Option("help", _) => {
                    show(&format!("Usage: licorne {name} [options]\n{}", help(&all)))?;
                    return Ok(None);
                }
                Given::Option("control", value) => path = Some(PathBuf::from(value)),
                Given::Option("pid-file", value) => path = Some(of_pid_file(Path::new(&value))?),
                Given::Option("pid", value) => {
                    path = Some(of_pid(value.parse().map_err(|_| format!("invalid argument: --pid {value}"))?)?);
                }
                Given::Option(name, value) => given.push((name, value)),
                Given::Argument(word) => return Err(format!("licorne {name}: what is `{word}`?")),
            }
        }
        let path = path.map_or_else(only_one, Ok)?;
        Ok(Some(Self { path, given }))
    }

    /// Whether a flag was given.
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.value(flag).is_some()
    }

    /// The value that an option was given last; empty for a flag.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.given.iter().rev().find(|(given, _)| *given == name).map(|(_, value)| value.as_str())
    }

    /// Where the master's control socket is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Sends the request and hands each answer to `hear`, until it returns a value or the master is gone (`None`).
    ///
    /// # Errors
    /// Nobody listens on the socket, or what comes is not understood.
    pub(crate) fn ask<T>(
        &self,
        request: Request,
        mut hear: impl FnMut(Answer) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let trouble = |error: std::io::Error| format!("{}: {error}", self.path.display());
        let mut stream = UnixStream::connect(&self.path).map_err(|error| unreachable(&self.path, &error))?;
        let line = serde_json::to_string(&request).map_err(|error| error.to_string())?;
        stream.write_all(format!("{line}\n").as_bytes()).map_err(trouble)?;
        for line in BufReader::new(stream).lines() {
            let answer = serde_json::from_str(&line.map_err(trouble)?)
                .map_err(|error| format!("{}: not understood: {error}", self.path.display()))?;
            if let Some(value) = hear(answer) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

fn unreachable(path: &Path, error: &Error) -> String {
    let path = path.display();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => format!("{path}: no master listens there: {error}"),
        ErrorKind::PermissionDenied => format!("{path}: for the master's user and root only: {error}"),
        _ => format!("{path}: {error}"),
    }
}

fn of_pid_file(file: &Path) -> Result<PathBuf, String> {
    let pid = sys::pidfile::read(file).ok_or_else(|| format!("{}: no pid file of a master", file.display()))?;
    of_pid(pid)
}

fn of_pid(pid: u32) -> Result<PathBuf, String> {
    if !sys::process::is_alive(pid) {
        return Err(format!("no process {pid}: the master is not running"));
    }
    let all = candidates(pid);
    // One that this user may not look at is there for all we know: then connecting says what is wrong.
    let hidden = |path: &Path| path.metadata().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
    all.iter().find(|path| path.exists()).or_else(|| all.iter().find(|path| hidden(path))).cloned().ok_or_else(|| {
        let looked = all.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        format!("process {pid} has no control socket (looked for {looked}); say --control PATH")
    })
}

/// Without a word about which master is meant there must be just one.
fn only_one() -> Result<PathBuf, String> {
    let sample = candidates(std::process::id());
    let mut found: Vec<PathBuf> = sample
        .iter()
        .filter_map(|path| path.parent())
        .flat_map(|directory| std::fs::read_dir(directory).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "sock") && UnixStream::connect(path).is_ok())
        .collect();
    found.sort();
    found.dedup();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err("no running master found; say --pid-file FILE, --pid PID or --control PATH".to_string()),
        several => {
            let listed = several.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join("\n  ");
            Err(format!("several masters run; say which with --control PATH:\n  {listed}"))
        }
    }
}
