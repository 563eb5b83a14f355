//! `licorne stop`: ask the master to stop, and wait until it has.

use master::control::{Answer, Request};

use crate::client::Command;
use crate::options::{Switch, show};

const QUICK: [Switch; 1] =
    [Switch { short: Some('q'), long: "quick", value: None, help: "do not wait for requests that have begun" }];

/// Runs `licorne stop`.
///
/// # Errors
/// No master.
pub(crate) fn run(arguments: &[String]) -> Result<u8, String> {
    let command = match Command::parse("stop", arguments, &QUICK)? {
        Ok(command) => command,
        Err(status) => return Ok(status),
    };
    let failed = command.ask(Request::Stop { graceful: !command.has("quick") }, |answer| match answer {
        Answer::Failed { reason, .. } => Some(reason),
        // The end of the connection is what tells that the master is gone.
        _ => None,
    })?;
    match failed {
        Some(reason) => Err(format!("stop failed: {reason}")),
        None => {
            show(&format!("stopped {}\n", command.master().name()))?;
            Ok(0)
        }
    }
}
