//! What an env holds of its request: the hijack, the deadline, early hints. Each belongs to one request, and does
//! nothing once that is over: an object that an application kept must not reach another client.

use std::sync::Arc;

use http1::response::{finish_interim, write_rack_field, write_status_line};
use magnus::{Error, RClass, RHash, RModule, Ruby, Value, method, prelude::*};

use crate::engine::{Core, Running, running_engine};
use crate::ffi::{self, Escape, Flow, Locked, Rb, protect};
use crate::system_error;

/// `rack.early_hints`.
#[magnus::wrap(class = "Licorne::Native::EarlyHints", free_immediately)]
pub(crate) struct EarlyHints {
    core: Arc<Locked<Core>>,
    /// The request whose client gets them, if it understands them.
    serial: Option<u64>,
}

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    // `rack.hijack` and `licorne.timeout`: an object that holds the number of its request.
    let request = native.define_class("Request", ruby.class_object())?;
    request.undef_default_alloc_func();
    request.define_method("call", method!(hijack, 0))?;
    request.define_method("extend_deadline", method!(extend_deadline, 1))?;
    let hints = native.define_class("EarlyHints", ruby.class_object())?;
    hints.undef_default_alloc_func();
    hints.define_method("call", method!(EarlyHints::call, 1))
}

/// Returns the class of the objects that env holds.
pub(crate) fn request_class(ruby: &Ruby) -> Result<RClass, Error> {
    ruby.define_module("Licorne")?.define_module("Native")?.const_get("Request")
}

/// Returns what is running, if it is the request of this object.
fn running_request(core: &Core, object: Value) -> Option<Running> {
    let serial = ffi::serial_of(object)?;
    core.running.get().filter(|running| running.serial == serial)
}

/// Gives the connection to the application, once: later calls return the same socket.
///
/// Bytes that the client sent behind its request were read already and are lost to the application, as in Unicorn.
fn hijack(ruby: &Ruby, object: Value) -> Result<Value, Error> {
    let over = || Error::new(ruby.exception_io_error(), "the request is over, its connection cannot be hijacked");
    let shared = running_engine().ok_or_else(over)?;
    let core = shared.get(ruby);
    let running = running_request(core, object).ok_or_else(over)?;
    if let Some(socket) = core.hijacked.get() {
        return Ok(socket);
    }
    let (fd, _lost) = core.reactor().active(running.token).detach().ok_or_else(over)?;
    let socket = protect(|rb| ruby_socket(rb, fd)).map_err(Escape::into_error)??;
    core.hijacked.set(socket);
    let env = core.running_env().and_then(RHash::from_value).ok_or_else(over)?;
    env.aset(core.template.keys.hijack_io, socket)?;
    Ok(socket)
}

/// Gives this request more time before its worker is killed.
fn extend_deadline(ruby: &Ruby, object: Value, seconds: f64) -> Result<(), Error> {
    if !(0.0..=1e9).contains(&seconds) {
        return Err(Error::new(ruby.exception_arg_error(), format!("not a span of time: {seconds}")));
    }
    let Some(shared) = running_engine() else { return Ok(()) };
    let core = shared.get(ruby);
    if running_request(core, object).is_some() {
        core.seat(|seat| seat.extend_deadline((seconds * 1_000.0) as u64));
    }
    Ok(())
}

/// Makes a Ruby Socket that owns the descriptor.
pub(crate) fn ruby_socket(rb: Rb<'_>, fd: std::os::fd::OwnedFd) -> Result<Value, Error> {
    use std::os::fd::{AsFd, IntoRawFd};
    let ruby = ffi::ruby();
    // The application may well read and wait: a limit that is ours must not end that.
    sys::listener::unlimit(fd.as_fd());
    // From here on Ruby closes it; if Ruby raises first, the descriptor leaks until the worker ends.
    let number = ruby.integer_from_i64(fd.into_raw_fd().into()).as_value();
    rb.require(c"socket");
    let class: Value = ruby.class_object().const_get("Socket")?;
    Ok(rb.send(class, "for_fd", &[number]))
}

/// Ends the connection of a Ruby Socket, which is of no use to anybody.
pub(crate) fn close_socket(socket: Value) {
    // Not merely closed: a child that the application forked may hold the descriptor, and the client would wait. The
    // first raises when the application closed the socket, or the client left.
    for method in ["shutdown", "close"] {
        let _ = protect(|rb| {
            rb.send(socket, method, &[]);
        });
    }
}

impl EarlyHints {
    pub(crate) fn new(core: &Arc<Locked<Core>>, serial: Option<u64>) -> Self {
        Self { core: Arc::clone(core), serial }
    }

    /// Sends `103 Early Hints` with these fields.
    fn call(ruby: &Ruby, this: &Self, fields: Value) -> Result<(), Error> {
        let core = this.core.get(ruby);
        let running = core.running.get().filter(|running| Some(running.serial) == this.serial);
        let running = running.filter(|_| core.hijacked.get().is_none());
        let Some(running) = running else { return Ok(()) };
        let mut head = Vec::with_capacity(256);
        write_status_line(&mut head, 103, None);
        protect(|rb| {
            crate::response::each_field(rb, fields, |name, value| {
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
