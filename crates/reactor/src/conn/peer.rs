//! The client at the other end of a connection.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, SocketAddrV6};

use rustix::net::{AddressFamily, SocketAddrAny};

/// The address of a client, as `REMOTE_ADDR` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A client on a UNIX socket; shown as `127.0.0.1`, which is what Unicorn tells and applications trust.
    Local,
    /// A client on the network.
    Ip(IpAddr),
}

impl Peer {
    pub(crate) fn of(address: Option<&SocketAddrAny>) -> Self {
        let Some(address) = address else { return Self::Local };
        match address.address_family() {
            AddressFamily::INET => {
                SocketAddrV4::try_from(address.clone()).map_or(Self::Local, |a| Self::Ip((*a.ip()).into()))
            }
            AddressFamily::INET6 => {
                SocketAddrV6::try_from(address.clone()).map_or(Self::Local, |a| Self::Ip((*a.ip()).into()))
            }
            _ => Self::Local,
        }
    }

    /// Returns the address of a client on the network.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Local => None,
            Self::Ip(ip) => Some(*ip),
        }
    }

    /// Tells whether the client is on a UNIX socket.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Local)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => Ipv4Addr::LOCALHOST.fmt(f),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}
