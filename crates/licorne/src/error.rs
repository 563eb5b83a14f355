//! Why the program ends with status 1. Standard error shows the text with its causes.

use std::path::PathBuf;

use crate::find::Unreachable;
use crate::usage::Usage;

/// What failed, by whose fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// What the user wrote.
    #[error(transparent)]
    Usage(#[from] Usage),
    /// The master that is meant is not there, or is none.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The installation, or what a program before this one has left.
    #[error(transparent)]
    Master(#[from] master::Error),
    /// A call of the system.
    #[error(transparent)]
    System(#[from] sys::Error),
    #[error("the current directory is gone")]
    CurrentDirectory(#[source] std::io::Error),
    #[error("cannot run ruby")]
    Ruby(#[source] std::io::Error),
    #[error("{path}")]
    Output {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("systemctl")]
    Systemctl(#[source] std::io::Error),
    /// The talk with a master.
    #[error("{path}")]
    Talk {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path}: the answer is not understood")]
    NotUnderstood {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("{0}: the master listens, but does not answer")]
    Silent(PathBuf),
    #[error("the master exited without an answer")]
    NoAnswer,
    #[error("{0}: the master exited without an answer")]
    NoAnswerTo(&'static str),
    /// What the master answered.
    #[error("{0}")]
    Refused(String),
    #[error("stop failed: {0}")]
    NotStopped(String),
    /// Where nothing can be drawn.
    #[error("licorne top: {0}; `licorne status --watch` prints the status again and again")]
    NoScreen(&'static str),
    #[error("the terminal")]
    Terminal(#[source] std::io::Error),
    /// A service manager's units.
    #[error("switch failed: {new} did not start{serves_on}\n{why}\nsee: journalctl -u {new}{whose}")]
    NotStarted { new: String, serves_on: String, why: String, whose: &'static str },
    #[error("{new} serves, but {old} could not be stopped: see journalctl -u {old}")]
    NotLeft { new: String, old: String },
    /// What another crate says.
    #[error("{0}")]
    Said(String),
    /// An option that the table has and the program forgot.
    #[error("--{0} is not handled")]
    Bug(String),
}

impl Error {
    /// The text with all its causes, in one line.
    pub(crate) fn chain(&self) -> String {
        sys::chain(self)
    }
}

impl From<options::Error> for Error {
    fn from(error: options::Error) -> Self {
        Self::Usage(error.into())
    }
}
