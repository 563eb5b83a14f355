//! A body that the application reads while it arrives. It waits for the client then, without the lock of the
//! interpreter; `timeout` counts meanwhile.

use std::os::fd::AsFd;

use magnus::{Error, ExceptionClass, RModule, Ruby, prelude::*};
use reactor::{Fault, Read};
use sys::clock::monotonic_ns;

use crate::core::{Core, running_engine};
use crate::ffi::{Escape, protect};

/// Waits for more of the body of a request. `None`: it has ended.
///
/// # Errors
/// `IOError`: the request is over. `Unicorn::ClientShutdown`: the client will not send the rest.
pub(crate) fn more(ruby: &Ruby, serial: u64) -> Result<Option<Vec<u8>>, Error> {
    let over = || Error::new(ruby.exception_io_error(), "the request is over, its body cannot be read any more");
    let shared = running_engine().ok_or_else(over)?;
    let core = shared.get(ruby);
    let mut bytes = Vec::new();
    let began = monotonic_ns();
    loop {
        // Looked at anew each time: another thread may end the request while this one waits.
        let running = core.current.running().filter(|running| running.serial == serial);
        let running = running.filter(|_| !core.current.is_hijacked());
        let token = running.ok_or_else(over)?.token;
        let read = core.reactor().active(token).read_body(&mut bytes);
        match read {
            Ok(Read::Some) => return Ok(Some(bytes)),
            Ok(Read::End) => return Ok(None),
            Ok(Read::Wait) => {}
            Err(fault) => return Err(shutdown(ruby, core, fault)),
        }
        let waited_ms = (monotonic_ns() - began) / 1_000_000;
        let Some(left_ms) = core.streaming.body_ms().checked_sub(waited_ms).filter(|left| *left > 0) else {
            return Err(shutdown(ruby, core, Fault::Refused(408)));
        };
        // A descriptor of our own: the application may hijack the connection in another thread.
        let socket = core.reactor().active(token).descriptor().and_then(|fd| fd.try_clone_to_owned().ok());
        let Some(socket) = socket else { return Err(shutdown(ruby, core, Fault::Gone)) };
        let waited = protect(|rb| {
            rb.without_lock(&core.waker, || {
                core.poller.wait_readable(socket.as_fd(), left_ms);
            });
        });
        waited.map_err(Escape::into_error)?;
    }
}

/// Notes why, and makes the exception that the application gets.
fn shutdown(ruby: &Ruby, core: &Core, fault: Fault) -> Error {
    core.streaming.fail(fault);
    let unicorn: Result<RModule, Error> = ruby.class_object().const_get("Unicorn");
    let class: Result<ExceptionClass, Error> = unicorn.and_then(|unicorn| unicorn.const_get("ClientShutdown"));
    let text = match fault {
        Fault::Gone => "the client closed the connection within the body".to_owned(),
        Fault::Refused(status) => format!("the body was refused ({status})"),
    };
    Error::new(class.unwrap_or_else(|_| ruby.exception_eof_error()), text)
}
