//! `licorne herd reload`: has a herder replace its server.

use std::path::PathBuf;

use clap::ValueHint;
use herd::client::Target;

use crate::error::Error;

/// The options of `licorne herd reload`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Without --pid, --pid-file and --control the herder of the working directory is meant.")]
pub(crate) struct HerdReload {
    /// wait until the new server serves; if it does not, fail and say why
    #[arg(long, short)]
    wait: bool,
    /// the herder's process id
    #[arg(long, overrides_with_all = ["pid_file", "control"])]
    pid: Option<u32>,
    /// a file with that process id (see --write-pid)
    #[arg(long, value_name = "PATH", overrides_with = "control", value_hint = ValueHint::FilePath)]
    pid_file: Option<PathBuf>,
    /// the herder's control socket
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    control: Option<PathBuf>,
}

impl HerdReload {
    /// Runs it.
    ///
    /// # Errors
    /// No herder is found, or the restart fails.
    pub(crate) fn run(self) -> Result<u8, Error> {
        let target = match (self.control, self.pid_file, self.pid) {
            (Some(path), ..) => Target::Socket(path),
            (None, Some(file), _) => Target::PidFile(file),
            (None, None, Some(pid)) => Target::Pid(pid),
            (None, None, None) => Target::Here,
        };
        herd::client::reload(&target, self.wait).map_err(Error::Said)
    }
}
