//! `licorne admin`: answers health checks and monitors for a master. A master with `admin_listen` starts its own.

use crate::client::Command;
use crate::options::Switch;

const OWN: [Switch; 2] = [
    Switch { short: Some('l'), long: "listen", value: Some("ADDRESS"), help: "where to answer" },
    // Standard input is a pipe from the master.
    Switch { short: None, long: "with-parent", value: None, help: "" },
];

/// Runs `licorne admin`.
///
/// # Errors
/// No master, no address, or one that cannot be bound.
pub(crate) fn run(arguments: &[String]) -> Result<u8, String> {
    let command = match Command::parse("admin", arguments, &OWN)? {
        Ok(command) => command,
        Err(status) => return Ok(status),
    };
    let listen = command.value("listen").ok_or("licorne admin: say --listen ADDRESS")?;
    admin::run(&admin::Options {
        listen: listen.to_string(),
        control: command.master().path.clone(),
        with_parent: command.has("with-parent"),
    })
}
