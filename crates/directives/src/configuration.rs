//! What a mold tells of a configuration that it has evaluated.

use alloc::string::String;
use alloc::vec::Vec;

use serde::Deserialize;

use crate::record::{plain, record};
use crate::{ListenerOptions, Settings};

/// All that a mold tells.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Configuration {
    /// The values of the directives.
    #[serde(flatten)]
    pub settings: Settings,
    /// What else it says.
    #[serde(flatten)]
    pub findings: Findings,
}

record! {
    /// What a mold has found out beside the values of the directives: the master looks nothing up, since it never waits.
    Findings {
        /// What to listen on, in binding order.
        listeners: Vec<Listener>,
        /// Whether the configuration brings its own logger.
        custom_logger: bool,
        /// Whether the line of options in the rackup file asks for the background.
        daemonize: bool,
        /// The user of the directive `user`, as the system knows it.
        user_ids: Option<UserIds>,
        /// The variables that services are started with which are programs; `None` where none is.
        service_environment: Option<Vec<(String, String)>>,
        /// `START_CTX`, which the configuration may change.
        start_ctx: StartCtx,
    }
}

record! {
    /// A user, with the groups that its processes have.
    UserIds {
        /// The login name.
        name: String,
        /// The user id.
        uid: u32,
        /// The group id.
        gid: u32,
        /// All groups, the first among them.
        groups: Vec<u32>,
    }
}

record! {
    /// How the server was started.
    StartCtx {
        /// The program of an upgrade.
        program_path: Option<String>,
    }
}

/// A listener that the configuration asks for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Listener {
    /// Where it is.
    #[serde(flatten)]
    pub asked: Asked,
    /// Its options.
    #[serde(flatten)]
    pub options: ListenerOptions,
}

record! {
    /// Where a listener is to be.
    Asked {
        /// The address as written.
        address: String,
        /// The same with its host looked up.
        resolved: Option<String>,
        /// Why the host could not be looked up, in Ruby's words.
        unresolved: Option<String>,
        /// Where it was asked for, `config.rb:4`; `None` on the command line.
        place: Option<String>,
    }
}

plain!(Vec<Listener>, Option<UserIds>, StartCtx, Vec<u32>, Option<Vec<(String, String)>>);
