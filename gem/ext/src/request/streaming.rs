//! Request bodies that the application reads while they arrive: what all of them have alike, and why one failed.

use std::cell::Cell;

use directives::Settings;
use magnus::{Error, RClass, RModule, Ruby, prelude::*};
use reactor::{Fault, milliseconds};

use crate::ffi;

/// What all streamed bodies have alike.
pub(crate) struct Streaming {
    body_ms: u64,
    memory_bytes: usize,
    rewindable: bool,
    class: RClass,
    /// Why the body of the running request will never be complete.
    fault: Cell<Option<Fault>>,
}

/// The source of an input that is not complete yet.
#[derive(Clone, Copy)]
pub(crate) struct Feed {
    /// The request that it belongs to.
    pub(crate) serial: u64,
    /// How many bytes the body has, if its head says so.
    pub(crate) bytes: Option<u64>,
    /// What was read can be read again.
    pub(crate) rewindable: bool,
    /// How much of that is kept in memory.
    pub(crate) memory_bytes: usize,
}

impl Streaming {
    pub(crate) fn new(ruby: &Ruby, settings: &Settings) -> Result<Self, Error> {
        let native: RModule = ruby.define_module("Licorne")?.define_module("Native")?;
        let rewindable = settings.application.rewindable_input;
        let class: RClass = native.const_get(if rewindable { "Input" } else { "StreamInput" })?;
        Ok(Self {
            body_ms: milliseconds(settings.connections.body_timeout),
            memory_bytes: settings.connections.client_body_buffer_size,
            rewindable,
            class: ffi::keep(class),
            fault: Cell::new(None),
        })
    }

    /// Returns the class of inputs. It is the same whether the body came with its head or not: what an application sees
    /// must not depend on how the bytes were cut.
    pub(crate) fn class(&self) -> RClass {
        self.class
    }

    /// Returns how long a client may pause within a body.
    pub(crate) fn body_ms(&self) -> u64 {
        self.body_ms
    }

    /// Begins with the body of a request, which has so many bytes, or is chunked.
    pub(crate) fn feed(&self, serial: u64, bytes: Option<u64>) -> Feed {
        self.fault.set(None);
        Feed { serial, bytes, rewindable: self.rewindable, memory_bytes: self.memory_bytes }
    }

    /// Notes why the body of the running request will never be complete.
    pub(crate) fn fail(&self, fault: Fault) {
        self.fault.set(Some(fault));
    }

    /// Takes why the body of the running request was not complete.
    pub(crate) fn take_fault(&self) -> Option<Fault> {
        self.fault.take()
    }
}
