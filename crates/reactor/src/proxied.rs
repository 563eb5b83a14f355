//! Connections that a proxy passes on with a header that says whose they are.

use std::net::SocketAddr;

use http1::proxy::{self, Ends, Versions};

use crate::connection::{Connection, Phase, Progress};
use crate::intake::Intake;
use crate::peer::Peer;
use crate::settings::Settings;

/// The ends of the connection that the proxy accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proxied {
    /// The client's address.
    pub source: SocketAddr,
    /// The address that it connected to.
    pub destination: SocketAddr,
}

impl Connection {
    /// Has the connection begin with a header of the PROXY protocol.
    pub(crate) fn expect_proxy(&mut self, versions: Versions) {
        self.phase = Phase::Proxy(versions);
    }

    /// Looks for the header in what was received, and for a request behind it. `None`: read on.
    pub(crate) fn parse_proxy(
        &mut self,
        versions: Versions,
        intake: &mut Intake,
        settings: &Settings,
    ) -> Option<Progress> {
        let header = match proxy::parse(&intake.buffer[..intake.filled], versions) {
            Ok(Some(header)) => header,
            Ok(None) => return None,
            Err(reject) => return Some(Progress::NoProxy(reject.reason)),
        };
        match header.ends {
            Ends::Unknown => {}
            Ends::Unix => self.peer = Peer::Local,
            Ends::Tcp { source, destination } => {
                self.peer = Peer::Ip(source.ip());
                self.proxied = Some(Box::new(Proxied { source, destination }));
            }
        }
        self.phase = Phase::Head;
        intake.next = header.len;
        if intake.advance() > 0 { self.parse(intake, settings) } else { None }
    }
}
