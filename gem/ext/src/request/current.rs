//! The request that is in the application.

use std::cell::Cell;

use magnus::Value;
use reactor::Token;

use crate::ffi;

/// Its number, and its connection.
#[derive(Clone, Copy)]
pub(crate) struct Running {
    pub(crate) serial: u64,
    pub(crate) token: Token,
}

/// The request that is in the application, if one is.
pub(crate) struct Current {
    running: Cell<Option<Running>>,
    env: ffi::Root,
    /// Its socket, when the application took the connection over.
    hijacked: ffi::Root,
}

impl Current {
    pub(crate) fn new() -> Self {
        Self { running: Cell::new(None), env: ffi::Root::new(), hijacked: ffi::Root::new() }
    }

    /// Notes that a request goes to the application.
    pub(crate) fn begin(&self, running: Running, env: Value) {
        self.env.set(env);
        self.hijacked.clear();
        self.running.set(Some(running));
    }

    /// Notes that it is over. Its objects are the application's alone from now on.
    pub(crate) fn end(&self) {
        self.running.set(None);
        self.env.clear();
        self.hijacked.clear();
    }

    pub(crate) fn running(&self) -> Option<Running> {
        self.running.get()
    }

    pub(crate) fn env(&self) -> Option<Value> {
        self.env.get()
    }

    /// Notes that the application took the connection over.
    pub(crate) fn hijack(&self, socket: Value) {
        self.hijacked.set(socket);
    }

    /// Returns the socket of a connection that the application took over.
    pub(crate) fn hijacked(&self) -> Option<Value> {
        self.hijacked.get()
    }

    /// Tells whether the application took the connection over.
    pub(crate) fn is_hijacked(&self) -> bool {
        self.hijacked().is_some()
    }
}
