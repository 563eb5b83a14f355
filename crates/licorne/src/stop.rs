//! `licorne stop`: ask the master to stop, and wait until it has.

use master::control::{Answer, Request};

use crate::client::Which;
use crate::error::Error;

/// The options of `licorne stop`.
#[derive(Debug, clap::Args)]
pub(crate) struct Stop {
    /// do not wait for requests that have begun
    #[arg(long, short)]
    quick: bool,
    #[command(flatten)]
    which: Which,
}

impl Stop {
    /// Runs it.
    ///
    /// # Errors
    /// No master.
    pub(crate) fn run(&self) -> Result<u8, Error> {
        let master = match self.which.find("stop")? {
            Ok(master) => master,
            Err(status) => return Ok(status),
        };
        let failed = master.ask(Request::Stop { graceful: !self.quick }, |answer| match answer {
            Answer::Failed { reason, .. } => Some(reason),
            // The end of the connection is what tells that the master is gone.
            _ => None,
        })?;
        match failed {
            Some(reason) => Err(Error::NotStopped(reason)),
            None => {
                sys::stdio::print(&format!("stopped {}\n", master.name()))?;
                Ok(0)
            }
        }
    }
}
