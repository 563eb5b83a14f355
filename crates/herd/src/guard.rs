//! A small process that stops the server gracefully when the herder is killed.
//!
//! Without it a `SIGKILL` to the herder (supervisord sends one after `stopwaitsecs`) would leave a server without
//! supervision, which keeps the port from the next one. It learns of the masters through a pipe, which ends without
//! a farewell when the herder dies.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;

use sys::pidfd::Pidfd;
use sys::signals::Signal;

/// The first argument of this program when it is to be the guard.
pub(crate) const WORD: &str = "--guard";

/// The herder's end.
#[derive(Debug)]
pub(crate) struct Guard {
    pid: u32,
    pipe: std::fs::File,
    told: String,
}

impl Guard {
    /// Starts the guard; it will send QUIT, or TERM where that is the graceful one.
    ///
    /// # Errors
    /// No process can be made.
    pub(crate) fn start(graceful: Signal) -> sys::Result<Self> {
        let (read, write) = sys::spawn::pipe()?;
        let mut program = sys::spawn::Program::new("/proc/self/exe");
        program.arguments = vec!["herd".into(), WORD.into(), format!("{graceful:?}").into()];
        program.inherit = vec![(read.as_fd(), 0)];
        program.session = true;
        let pid = program.spawn()?;
        Ok(Self { pid, pipe: write.into(), told: String::new() })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Tells it which masters to stop.
    pub(crate) fn tell(&mut self, masters: &[u32]) {
        let line = masters.iter().map(u32::to_string).collect::<Vec<_>>().join(" ") + "\n";
        if line != self.told {
            let _ = self.pipe.write_all(line.as_bytes());
            self.told = line;
        }
    }

    /// Ends it: the server is gone.
    pub(crate) fn dismiss(mut self) {
        let _ = self.pipe.write_all(b"bye\n");
    }
}

/// Runs as the guard.
pub(crate) fn run(graceful: &str) {
    let signal = if graceful == "Term" { Signal::Term } else { Signal::Quit };
    let mut masters: Vec<Pidfd> = Vec::new();
    for line in BufReader::new(std::io::stdin()).lines().map_while(Result::ok) {
        if line == "bye" {
            return;
        }
        let pids: Vec<u32> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        masters.retain(|master| pids.contains(&master.pid()));
        let new = pids.iter().filter(|pid| !masters.iter().any(|master| master.pid() == **pid));
        let new: Vec<Pidfd> = new.filter_map(|pid| Pidfd::open(*pid)).collect();
        masters.extend(new);
    }
    for master in masters {
        let _ = master.send(signal);
    }
}
