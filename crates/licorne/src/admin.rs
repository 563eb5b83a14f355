//! `licorne admin`: answers health checks and monitors for a master. A master with `admin_listen` starts its own.

use crate::client::Which;
use crate::error::Error;

/// The options of `licorne admin`.
#[derive(Debug, clap::Args)]
pub(crate) struct Admin {
    /// the address to answer at
    #[arg(long, short, value_name = "ADDRESS")]
    listen: String,
    /// a host name that clients may use (repeatable)
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// show the query strings of requests
    #[arg(long)]
    show_queries: bool,
    #[command(flatten)]
    which: Which,
}

impl Admin {
    /// Runs it.
    ///
    /// # Errors
    /// No master, or an address that cannot be bound.
    pub(crate) fn run(self) -> Result<u8, Error> {
        let master = match self.which.find("admin")? {
            Ok(master) => admin::Master::Socket(master.socket().to_path_buf()),
            Err(status) => return Ok(status),
        };
        let Self { listen, host: hosts, show_queries, .. } = self;
        let options = admin::Options { listen, master, application_user: None, hosts, show_queries };
        admin::run(&options).map_err(Error::Said)
    }
}

/// Runs the process that a master starts for itself, if these arguments are that one's: `admin --with-parent`, and then
/// options with a value each. Standard input is where it asks its master.
///
/// It lives as long as the master does; the parser of the subcommands would leave it twice the memory.
pub(crate) fn run_with_parent(arguments: &[String]) -> Option<Result<u8, Error>> {
    let [admin, with_parent, rest @ ..] = arguments else { return None };
    if admin != "admin" || with_parent != "--with-parent" {
        return None;
    }
    let (mut listen, mut hosts, mut application_user) = (String::new(), Vec::new(), None);
    let mut show_queries = false;
    for pair in rest.chunks(2) {
        let [option, value] = pair else { return None };
        let value = value.clone();
        match option.as_str() {
            "--listen" => listen = value,
            "--host" => hosts.push(value),
            "--show-queries" => show_queries = value == "true",
            "--application-user" => application_user = Some(value),
            _ => return None,
        }
    }
    let options = admin::Options { listen, master: admin::Master::Parent, application_user, hosts, show_queries };
    Some(admin::run(&options).map_err(Error::Said))
}
