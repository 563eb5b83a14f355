//! The upgrade in place, up to the moment of execution: what is looked at, and who is asked.
//!
//! ```text
//!   before_exec (in a child of the mold)  →  preflight (the new program as a child)  →  execution  →  take_over
//!   its variables                            says what it understands                   hand_over
//! ```
//!
//! The preflight runs the program exactly as it would be executed, start scripts and all, and gets from it the descriptor
//! of the program that those led to, and its variables: what was looked at is what is executed, whatever becomes of the
//! files meanwhile.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use directives::UpgradeWay;
use supervisor::{Event, Way};
use sys::channel::{Channel, Received};
use sys::image::Image;
use sys::process::{Ending, Exited};
use sys::signals::Signal;
use sys::spawn::Program;
use wire::state::Preflight as Answer;

use crate::children::registry::Who;
use crate::shell::Shell;
use crate::upgrade::preflight::{self, CHANNEL_FD, SWITCH};

/// The longest part of what a failed preflight printed that is told, in bytes.
const TOLD_BYTES: u64 = 4096;
/// Parents that keep a process of theirs running: `runsv` of runit, `s6-supervise`, daemontools' `supervise`, systemd.
const SUPERVISORS: [&str; 4] = ["runsv", "s6-supervise", "supervise", "systemd"];

/// The program that is to take this one's place.
#[derive(Debug)]
pub(crate) enum Replacement {
    /// There is none.
    None,
    /// `before_exec` runs in a child of the mold.
    Preparing,
    /// It is looked at.
    Preflight {
        pid: u32,
        channel: Channel,
        /// What it prints.
        output: File,
        place: Place,
    },
    /// It may be executed.
    Passed(Passed),
}

/// How and where a program is called.
#[derive(Debug)]
pub(crate) struct Place {
    /// The program as it is called: `argv[0]`.
    pub(crate) path: OsString,
    /// The directory that it starts in.
    pub(crate) directory: PathBuf,
}

/// A program that has passed its preflight.
#[derive(Debug)]
pub(crate) struct Passed {
    pub(crate) place: Place,
    pub(crate) image: Image,
    /// Its variables, `NAME=value`.
    pub(crate) environment: Vec<OsString>,
}

/// Whether something watches over this process that would take a new process id for its end.
pub(crate) fn is_supervised() -> bool {
    let told = ["NOTIFY_SOCKET", "SUPERVISOR_ENABLED"].iter().any(|name| std::env::var_os(name).is_some());
    let parent = sys::process::parent_name();
    sys::process::own_pid() == 1 || told || parent.is_some_and(|name| SUPERVISORS.contains(&name.as_str()))
}

impl Shell {
    /// What an upgrade does that does not say how.
    pub(crate) fn way(&self, configured: UpgradeWay) -> Way {
        match configured {
            UpgradeWay::TwoMasters => Way::TwoMasters,
            UpgradeWay::InPlace => Way::InPlace,
            UpgradeWay::Auto if self.supervised && !self.options.daemonize => Way::InPlace,
            UpgradeWay::Auto => Way::TwoMasters,
        }
    }

    /// Asks the mold to run `before_exec`; the preflight follows.
    pub(crate) fn begin_preflight(&mut self) {
        self.replacement = Replacement::Preparing;
        if !self.ask_for_environment() {
            // Without a mold there is no hook to run.
            let own = crate::upgrade::successor::own_environment();
            self.start_preflight(&own);
        }
    }

    /// Runs the new program with the environment that `before_exec` left behind.
    pub(crate) fn start_preflight(&mut self, json: &str) {
        match self.spawn_preflight(json) {
            Ok(running) => self.replacement = running,
            Err(text) => self.preflight_failed(text),
        }
    }

    fn spawn_preflight(&mut self, json: &str) -> Result<Replacement, String> {
        let chain = |error: sys::Error| error.chain();
        let (directory, moves) = self.find_directory()?;
        let path = self.successor_path(&moves);
        let mut program = Program::new(&path);
        program.arguments.push(SWITCH.into());
        program.arguments.extend(self.options.arguments.iter().map(OsString::from));
        program.clear = true;
        program.set = self.successor_environment(json, &directory, &moves)?;
        program.directory = Some(directory.clone());
        let (ours, theirs) = Channel::pair().map_err(chain)?;
        // What it gets to read is what it would be handed, but for the numbers of descriptors.
        let state = self.describe(&mut |fd| Ok(std::os::fd::AsRawFd::as_raw_fd(&fd)), &[])?;
        let state = state.encode().map_err(|error| error.to_string())?;
        let state = sys::memory::sealed("licorne-state", &state).map_err(chain)?;
        ours.send(preflight::GREETING, &[state.as_fd()]).map_err(chain)?;
        let output = sys::memory::scratch("licorne-preflight").map_err(chain)?;
        program.inherit = vec![(output.as_fd(), 1), (output.as_fd(), 2), (theirs.as_fd(), CHANNEL_FD)];
        let pid = program.spawn().map_err(chain)?;
        self.children.register(pid, Who::Preflight);
        Ok(Replacement::Preflight { pid, channel: ours, output, place: Place { path, directory } })
    }

    /// The preflight has ended: what it said counts.
    pub(crate) fn preflight_exited(&mut self, exited: Exited) {
        let Replacement::Preflight { channel, output, place, .. } =
            std::mem::replace(&mut self.replacement, Replacement::None)
        else {
            return;
        };
        match judge(exited, &channel, place) {
            Ok(passed) => {
                self.replacement = Replacement::Passed(passed);
                self.event(Event::PreflightPassed);
            }
            Err(text) => {
                let printed = sys::memory::read_from_start(output, TOLD_BYTES).unwrap_or_default();
                let printed = String::from_utf8_lossy(&printed).trim_end().to_string();
                self.preflight_failed(if printed.is_empty() { text } else { format!("{text}\n{printed}") });
            }
        }
    }

    /// Nobody waits for it any more. It is reaped as a stranger.
    pub(crate) fn abandon_preflight(&mut self) {
        if let Replacement::Preflight { pid, .. } = std::mem::replace(&mut self.replacement, Replacement::None) {
            self.kill(pid, Signal::Kill);
            self.children.forget(pid);
        }
    }

    pub(crate) fn preflight_failed(&mut self, text: String) {
        self.replacement = Replacement::None;
        let cause = self.causes.note(text);
        self.event(Event::PreflightFailed { cause });
    }
}

/// Whether the program may take over, or why not.
fn judge(exited: Exited, channel: &Channel, place: Place) -> Result<Passed, String> {
    let answer = match channel.try_recv() {
        Ok(Received::Datagram(bytes, descriptors)) => Some((bytes, descriptors)),
        Ok(Received::Empty | Received::End) | Err(_) => None,
    };
    match exited.ending() {
        Ending::Exit(0) => {}
        Ending::Exit(code) => return Err(format!("it left with exit status {code}")),
        Ending::Signal(number) => return Err(format!("it was ended by {}", sys::process::signal_name(number))),
    }
    let (bytes, descriptors) = answer.ok_or("it is no program that knows of upgrades in place")?;
    let answer: Answer =
        serde_json::from_slice(&bytes).map_err(|error| format!("its answer is not understood: {error}"))?;
    preflight::check(&answer)?;
    let image = descriptors.into_iter().next().ok_or("it did not say which program it is")?;
    let environment = answer.environment.into_iter().map(|variable| OsString::from_vec(variable.0)).collect();
    Ok(Passed { place, image: Image::from_fd(image), environment })
}
