//! `rack.hijack` and `licorne.timeout`: an object that holds the number of its request.

use magnus::{Error, RClass, RHash, RModule, Ruby, Value, method, prelude::*};

use crate::core::{Core, Running, running_engine};
use crate::ffi::{self, Escape, protect};
use crate::socket::ruby_socket;

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let request = native.define_class("Request", ruby.class_object())?;
    request.undef_default_alloc_func();
    request.define_method("call", method!(hijack, 0))?;
    request.define_method("extend_deadline", method!(extend_deadline, 1))
}

/// Returns the class of the objects that env holds.
pub(crate) fn request_class(ruby: &Ruby) -> Result<RClass, Error> {
    ruby.define_module("Licorne")?.define_module("Native")?.const_get("Request")
}

/// Returns what is running, if it is the request of this object.
fn running_request(core: &Core, object: Value) -> Option<Running> {
    let serial = ffi::serial_of(object)?;
    core.current.running().filter(|running| running.serial == serial)
}

/// Gives the connection to the application, once: later calls return the same socket.
///
/// Bytes that the client sent behind its request were read already and are lost to the application, as in Unicorn.
fn hijack(ruby: &Ruby, object: Value) -> Result<Value, Error> {
    let over = || Error::new(ruby.exception_io_error(), "the request is over, its connection cannot be hijacked");
    let shared = running_engine().ok_or_else(over)?;
    let core = shared.get(ruby);
    let running = running_request(core, object).ok_or_else(over)?;
    if let Some(socket) = core.current.hijacked() {
        return Ok(socket);
    }
    let (fd, _lost) = core.reactor().active(running.token).detach().ok_or_else(over)?;
    let socket = protect(|rb| ruby_socket(rb, fd)).map_err(Escape::into_error)??;
    core.current.hijack(socket);
    let env = core.current.env().and_then(RHash::from_value).ok_or_else(over)?;
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
        core.seat.look(|seat| seat.extend_deadline((seconds * 1_000.0) as u64));
    }
    Ok(())
}
