//! The upgrade in place, up to the moment of execution: what is looked at, and who is asked.
//!
//! ```text
//!   before_exec (in a child of the mold)  →  preflight (the new program as a child)  →  execution
//!   its variables                            says what it understands
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

use sys::channel::{Channel, Received};
use sys::image::Image;
use sys::process::{Ending, Exited};
use sys::spawn::Program;
use wire::state::Preflight as Answer;

use crate::upgrade::environment::NextProgram;
use crate::upgrade::error::Error;
use crate::upgrade::preflight::{self, CHANNEL_FD, SWITCH};

/// The longest part of what a failed preflight printed that is told, in bytes.
const TOLD_BYTES: u64 = 4096;

/// The program that is to take this one's place.
#[derive(Debug, Default)]
pub(crate) enum Replacement {
    /// There is none.
    #[default]
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
    /// It is executed as soon as nothing else is to be done.
    Due(Passed),
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

impl Replacement {
    /// Starts the preflight of a program, which gets to read this `state`. Returns its process.
    ///
    /// # Errors
    /// No process can be made.
    pub(crate) fn start_preflight(&mut self, next: NextProgram, state: &[u8]) -> sys::Result<u32> {
        let mut program = Program::new(&next.path);
        program.arguments.push(SWITCH.into());
        program.arguments.extend(next.arguments);
        program.clear = true;
        program.set = next.variables;
        program.directory = Some(next.directory.clone());
        let (ours, theirs) = Channel::pair()?;
        let state = sys::memory::sealed("licorne-state", state)?;
        ours.send(preflight::GREETING, &[state.as_fd()])?;
        let output = sys::memory::scratch("licorne-preflight")?;
        program.inherit = vec![(output.as_fd(), 1), (output.as_fd(), 2), (theirs.as_fd(), CHANNEL_FD)];
        let pid = program.spawn()?;
        let place = Place { path: next.path, directory: next.directory };
        *self = Self::Preflight { pid, channel: ours, output, place };
        Ok(pid)
    }

    /// The preflight has ended: what it said counts. Returns nothing when it is not awaited any more.
    pub(crate) fn judge(&mut self, exited: Exited) -> Option<Result<(), Error>> {
        let Self::Preflight { channel, output, place, .. } = std::mem::take(self) else { return None };
        Some(match judge(exited, &channel, place) {
            Ok(passed) => {
                *self = Self::Passed(passed);
                Ok(())
            }
            Err(why) => {
                let printed = sys::memory::read_from_start(output, TOLD_BYTES).unwrap_or_default();
                let printed = String::from_utf8_lossy(&printed).trim_end().to_string();
                Err(if printed.is_empty() { why } else { Error::Printed { why: Box::new(why), printed } })
            }
        })
    }

    /// The program is to be executed as soon as nothing else is to be done.
    pub(crate) fn execute_soon(&mut self) {
        *self = match std::mem::take(self) {
            Self::Passed(passed) => Self::Due(passed),
            other => other,
        };
    }

    /// Takes the program that is to be executed now.
    pub(crate) fn take_due(&mut self) -> Option<Passed> {
        match std::mem::take(self) {
            Self::Due(passed) => Some(passed),
            other => {
                *self = other;
                None
            }
        }
    }

    /// It is not wanted any more. Returns the process of a preflight that goes on.
    pub(crate) fn abandon(&mut self) -> Option<u32> {
        match std::mem::take(self) {
            Self::Preflight { pid, .. } => Some(pid),
            Self::None | Self::Preparing | Self::Passed(_) | Self::Due(_) => None,
        }
    }
}

/// Whether the program may take over, or why not.
fn judge(exited: Exited, channel: &Channel, place: Place) -> Result<Passed, Error> {
    let answer = match channel.try_recv() {
        Ok(Received::Datagram(bytes, descriptors)) => Some((bytes, descriptors)),
        Ok(Received::Empty | Received::End) | Err(_) => None,
    };
    match exited.ending() {
        Ending::Exit(0) => {}
        Ending::Exit(code) => return Err(Error::Exited(code)),
        Ending::Signal(number) => return Err(Error::Killed(sys::process::signal_name(number))),
    }
    let (bytes, descriptors) = answer.ok_or(Error::Unknowing)?;
    let answer: Answer = serde_json::from_slice(&bytes).map_err(Error::NotUnderstood)?;
    preflight::check(&answer)?;
    let image = descriptors.into_iter().next().ok_or(Error::Nameless)?;
    let environment = answer.environment.into_iter().map(|variable| OsString::from_vec(variable.0)).collect();
    Ok(Passed { place, image: Image::from_fd(image), environment })
}
