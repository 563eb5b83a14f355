//! `licorne admin`: answers health checks and monitors for a master. A master with `admin_listen` starts its own.

use crate::client::Which;
use crate::error::Error;

/// The options of `licorne admin`.
#[derive(Debug, clap::Args)]
pub(crate) struct Admin {
    /// where to answer
    #[arg(long, short, value_name = "ADDRESS")]
    listen: String,
    /// a name by which clients may ask (repeatable)
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    #[command(flatten)]
    which: Which,
    /// Given by a master to its own process: standard input is where that asks.
    #[arg(long, hide = true)]
    with_parent: bool,
    /// Likewise.
    #[arg(long, hide = true)]
    application_user: Option<String>,
}

impl Admin {
    /// Runs it.
    ///
    /// # Errors
    /// No master, or an address that cannot be bound.
    pub(crate) fn run(self) -> Result<u8, Error> {
        let master = match self.with_parent {
            true => admin::Master::Parent,
            false => match self.which.find("admin")? {
                Ok(master) => admin::Master::Socket(master.socket().to_path_buf()),
                Err(status) => return Ok(status),
            },
        };
        let Self { listen, host: hosts, application_user, .. } = self;
        admin::run(&admin::Options { listen, master, application_user, hosts }).map_err(Error::Said)
    }
}
