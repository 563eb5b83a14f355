//! The options that all commands have in common, and the talk with the master that they mean.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueHint;
use master::control::{Answer, Request};
use sys::stdio::complain;

use crate::error::Error;
use crate::find::{self, Found, Here, Unreachable};

/// The exit status when it is not clear which master is meant.
const WHICH_MASTER: u8 = 2;

/// Which master is meant.
#[derive(Debug, clap::Args)]
#[command(after_help = WITHOUT)]
pub(crate) struct Which {
    /// the master's control socket
    #[arg(long, value_name = "PATH", overrides_with_all = ["pid_file", "pid"], value_hint = ValueHint::FilePath)]
    control: Option<PathBuf>,
    /// the master's pid file
    #[arg(long, short = 'P', value_name = "FILE", overrides_with = "pid", value_hint = ValueHint::FilePath)]
    pid_file: Option<PathBuf>,
    /// the master's process id
    #[arg(long)]
    pid: Option<u32>,
    /// say which sockets were ignored, and why
    #[arg(long, short)]
    verbose: bool,
}

impl Which {
    /// Finds that master. In its place, the exit status when it is not clear which one it is: those that could be meant were
    /// listed.
    ///
    /// # Errors
    /// It is not there.
    pub(crate) fn find(&self, command: &str) -> Result<Result<Master, u8>, Unreachable> {
        let mut notes = Vec::new();
        let found = match (&self.control, &self.pid_file, self.pid) {
            (Some(path), ..) => find::of_socket(path).map(Some),
            (None, Some(file), _) => find::of_pid_file(file, &mut notes).map(Some),
            (None, None, Some(pid)) => find::of_pid(pid, &mut notes).map(Some),
            (None, None, None) => the_one_here(command, &mut notes),
        };
        if self.verbose {
            notes.iter().for_each(complain);
        }
        Ok(found?.map(Master).ok_or(WHICH_MASTER))
    }

    /// Finds it again after it was gone, and says nothing when it is not there, or when it is not clear which one it is.
    pub(crate) fn find_again(&self) -> Option<Master> {
        let mut notes = Vec::new();
        let found = match (&self.control, &self.pid_file, self.pid) {
            (Some(path), ..) => find::of_socket(path).ok(),
            (None, Some(file), _) => find::of_pid_file(file, &mut notes).ok(),
            (None, None, Some(pid)) => find::of_pid(pid, &mut notes).ok(),
            (None, None, None) => {
                let mut meant = Here::find().ok()?.masters(&find::running(&mut notes));
                meant.pop().filter(|_| meant.is_empty())
            }
        };
        found.map(Master)
    }
}

/// A master that was found.
#[derive(Debug)]
pub(crate) struct Master(Found);

impl Master {
    /// Which one it is.
    pub(crate) fn name(&self) -> String {
        self.0.name()
    }

    /// Its process id, where it has one here.
    pub(crate) fn process(&self) -> Option<u32> {
        Some(self.0.peer.pid).filter(|pid| *pid != 0)
    }

    /// Where its control socket is.
    pub(crate) fn socket(&self) -> &Path {
        &self.0.path
    }

    /// Sends the request and hands each answer to `hear`, until it returns a value or the master is gone (`None`).
    ///
    /// # Errors
    /// The master does not listen any more, or what comes is not understood.
    pub(crate) fn ask<T>(
        &self,
        request: Request,
        mut hear: impl FnMut(Answer) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let not_understood = |source| Error::NotUnderstood { path: self.socket().to_path_buf(), source };
        let request = serde_json::to_string(&request).map_err(not_understood)?;
        let heard = self.ask_for(&request, None, |line| match serde_json::from_str(line) {
            Ok(answer) => hear(answer).map(Ok),
            Err(error) => Some(Err(not_understood(error))),
        })?;
        heard.transpose()
    }

    /// The same for a line of JSON, which this program need not know, and lines as answers. It is no answer when nothing
    /// comes for as long as `patience`.
    ///
    /// # Errors
    /// The master does not listen any more, or is silent for too long.
    pub(crate) fn ask_for<T>(
        &self,
        request: &str,
        patience: Option<Duration>,
        mut hear: impl FnMut(&str) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let trouble = |source| Error::Talk { path: self.socket().to_path_buf(), source };
        let mut stream = self.0.connect()?;
        stream.set_read_timeout(patience).map_err(trouble)?;
        stream.write_all(format!("{request}\n").as_bytes()).map_err(trouble)?;
        for line in BufReader::new(stream).lines() {
            let line = line.map_err(|error| match error.kind() {
                ErrorKind::WouldBlock => Error::Silent(self.socket().to_path_buf()),
                _ => trouble(error),
            })?;
            if let Some(value) = hear(&line) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

/// The end of the help of each command.
const WITHOUT: &str = "Without --control, --pid-file and --pid the master of the working directory is meant: the one that\n\
    runs there, or that a configuration or a pid file there names.";

/// The one master of the working directory; `None` when there is not just one, which is said.
fn the_one_here(name: &str, notes: &mut Vec<String>) -> Result<Option<Found>, Unreachable> {
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
