//! A socket that the server listens on.
//!
//! Each generation holds the list that its configuration asks for; a socket that two generations share is one socket. It is
//! closed when no list has it any more, so a reload that fails closes just what it had bound.

use std::rc::Rc;

use sys::listener::{Address, Listener, Options};

use crate::config::settings::{BY_NAME, Settings};
use crate::log::lines::Log;

/// The listeners of one generation, in binding order.
pub(crate) type Listeners = Vec<Rc<Bound>>;

/// A socket of the server, and the address that it was asked for under (`127.0.0.1:0` is bound to some other port).
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) socket: Listener,
    asked: Option<Address>,
    /// The name under which the service manager passed it, if it is the manager's.
    pub(crate) activated_as: Option<String>,
}

/// Adds a socket to a list that may have it already.
pub(crate) fn add(list: &mut Listeners, bound: &Rc<Bound>) {
    if !list.iter().any(|other| Rc::ptr_eq(other, bound)) {
        list.push(Rc::clone(bound));
    }
}

impl Bound {
    /// Applies the options that a bound socket can take, and logs what fails.
    pub(crate) fn apply(&self, options: &Options, log: &Log) {
        for error in self.socket.apply(options) {
            log.error(format_args!("{} {}", self.socket.name(), error.chain()));
        }
    }

    /// The version of the PROXY protocol that these settings want on this socket; empty when there is none.
    pub(crate) fn proxy(&self, settings: &Settings) -> String {
        let with_header = settings.listeners.iter().filter(|wanted| wanted.proxy.is_some());
        let mut own = with_header.filter(|wanted| match wanted.text().strip_prefix(BY_NAME) {
            Some(name) => self.activated_as.as_deref() == Some(name),
            None => wanted.address().is_ok_and(|address| self.is_at(&address)),
        });
        own.next().and_then(|wanted| wanted.proxy.clone()).unwrap_or_default()
    }

    fn is_at(&self, address: &Address) -> bool {
        self.asked.as_ref() == Some(address) || self.socket.name() == address.to_string()
    }

    pub(crate) fn new(socket: Listener, asked: Option<Address>, activated_as: Option<String>) -> Self {
        Self { socket, asked, activated_as }
    }

    /// The address that it was asked for under; `None` for one that was passed to this process.
    pub(crate) fn asked(&self) -> Option<&Address> {
        self.asked.as_ref()
    }

    /// Whether it is what a listener at this address is to be.
    pub(crate) fn serves(&self, address: &Address) -> bool {
        // A UNIX socket whose file was removed can be reached by no client: it is bound anew. One of the service manager's never is.
        self.is_at(address) && (self.activated_as.is_some() || self.socket.path_exists())
    }
}
