//! `licorne admin`: answers health checks and monitors for a master. A master with `admin_listen` starts its own.

use crate::client::Command;
use crate::options::{Given, Switch, parse};

const OWN: [Switch; 2] = [
    Switch { short: Some('l'), long: "listen", value: Some("ADDRESS"), help: "where to answer" },
    Switch { short: None, long: "host", value: Some("NAME"), help: "a name by which clients may ask (repeatable)" },
];
/// What a master gives its own process: standard input is where that asks.
const OF_MASTER: [Switch; 4] = [
    OWN[0],
    OWN[1],
    Switch { short: None, long: "with-parent", value: None, help: "" },
    Switch { short: None, long: "application-user", value: Some("NAME"), help: "" },
];

/// Runs `licorne admin`.
///
/// # Errors
/// No master, no address, or one that cannot be bound.
pub(crate) fn run(arguments: &[String]) -> Result<u8, String> {
    if arguments.first().is_some_and(|word| word == "--with-parent") {
        return of_master(arguments);
    }
    let command = match Command::parse("admin", arguments, &OWN)? {
        Ok(command) => command,
        Err(status) => return Ok(status),
    };
    let listen = command.value("listen").ok_or("licorne admin: say --listen ADDRESS")?;
    admin::run(&admin::Options {
        listen: listen.to_string(),
        master: admin::Master::Socket(command.master().path.clone()),
        application_user: None,
        hosts: command.values("host"),
    })
}

fn of_master(arguments: &[String]) -> Result<u8, String> {
    let (mut listen, mut application_user, mut hosts) = (String::new(), None, Vec::new());
    for given in parse(arguments, &OF_MASTER)? {
        match given {
            Given::Option("listen", address) => listen = address,
            Given::Option("host", name) => hosts.push(name),
            Given::Option("application-user", name) => application_user = Some(name),
            _ => {}
        }
    }
    admin::run(&admin::Options { listen, master: admin::Master::Parent, application_user, hosts })
}
