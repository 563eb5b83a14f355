//! `rack.early_hints`.

use std::sync::Arc;

use http1::response::{finish_interim, write_rack_field, write_status_line};
use magnus::{Error, RModule, Ruby, Value, method, prelude::*};

use crate::core::Core;
use crate::error::system_error;
use crate::ffi::{self, Escape, Flow, Locked, protect};
use crate::response::fields::each_field;

/// The Ruby object.
#[magnus::wrap(class = "Licorne::Native::EarlyHints", free_immediately)]
pub(crate) struct EarlyHints {
    core: Arc<Locked<Core>>,
    /// The request whose client gets them, if it understands them.
    serial: Option<u64>,
}

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let class = native.define_class("EarlyHints", ruby.class_object())?;
    class.undef_default_alloc_func();
    class.define_method("call", method!(EarlyHints::call, 1))
}

impl EarlyHints {
    pub(crate) fn new(core: &Arc<Locked<Core>>, serial: Option<u64>) -> Self {
        Self { core: Arc::clone(core), serial }
    }

    /// Sends `103 Early Hints` with these fields.
    fn call(ruby: &Ruby, this: &Self, fields: Value) -> Result<(), Error> {
        let core = this.core.get(ruby);
        let running = core.current.running().filter(|running| Some(running.serial) == this.serial);
        let running = running.filter(|_| !core.current.is_hijacked());
        let Some(running) = running else { return Ok(()) };
        let mut head = Vec::with_capacity(256);
        write_status_line(&mut head, 103, None);
        protect(|rb| {
            each_field(rb, fields, |name, value| {
                // What must not get out is left out; hints are optional anyway.
                let _ = ffi::with_bytes(name, |name| {
                    ffi::with_bytes(value, |value| write_rack_field(&mut head, name, value))
                });
                Flow::Continue
            });
        })
        .map_err(Escape::into_error)?;
        finish_interim(&mut head);
        let outcome = core.reactor().active(running.token).send(&[&head]);
        outcome.map_err(|errno| system_error(ruby, "early hints", &errno.into()))
    }
}
