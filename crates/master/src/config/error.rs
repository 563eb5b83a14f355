//! Why the configuration cannot be had, or cannot be followed.

use std::io;
use std::path::PathBuf;

/// What is wrong, and with what.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The installation.
    #[error("cannot tell where this program is")]
    Program(#[source] io::Error),
    #[error("the native extension is not built: {0} is missing (in a checkout, run `make build`)")]
    NotBuilt(PathBuf),
    #[error("the files of the gem ({entry}) are nowhere near {program}")]
    NoGem { entry: &'static str, program: PathBuf },
    #[error("the files of this version of the gem are gone: {0} (an upgrade brings another)")]
    GemGone(PathBuf),
    /// The command line, or what stands for it in the rackup file.
    #[error("-D: this is process 1, with which the container would end: leave -D away")]
    ContainerEnds,
    /// What a mold tells.
    #[error("settings are no JSON")]
    NoJson(#[source] serde_json::Error),
    #[error(transparent)]
    Settings(#[from] serde_json::Error),
    #[error("a listener is no object")]
    NoListener,
    #[error("listen {address}: {name}={number} is out of range")]
    OutOfRange { address: String, name: &'static str, number: i64 },
    /// What the mold says of an address whose host it has not found.
    #[error("{0}")]
    Unresolved(String),
    #[error("{}", .0.as_ruby())]
    Address(sys::Error),
    /// The directories.
    #[error("{path}")]
    NotEntered { path: PathBuf, source: io::Error },
    #[error("{0} is no directory")]
    NoDirectory(PathBuf),
    #[error("the directory {target} is gone: {link} leads there ({why})")]
    LeadsNowhere { target: PathBuf, link: PathBuf, why: io::Error },
    #[error("the directory {name} is gone ({why})")]
    DirectoryGone { name: PathBuf, why: io::Error },
    /// The pid file.
    #[error("{} (ArgumentError)", .0.chain())]
    PidFile(sys::Error),
    #[error("old PID:{pid} running with existing pid={path}, refusing rexec")]
    OldMaster { pid: u32, path: PathBuf },
    #[error("error writing pid={path} {}", .why.chain())]
    PidFileNotMoved { path: PathBuf, why: sys::Error },
}
