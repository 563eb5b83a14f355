//! Request bodies that the application reads while they arrive. It waits for the client then, without the lock of the
//! interpreter; `timeout` counts meanwhile.

use std::cell::Cell;
use std::os::fd::AsFd;

use directives::Settings;
use magnus::{Error, ExceptionClass, RClass, RModule, Ruby, prelude::*, typed_data::Obj};
use reactor::{Body, Fault, Read, milliseconds};
use sys::clock::monotonic_ns;

use crate::engine::{Core, running_engine};
use crate::ffi::{self, Escape, protect};
use crate::input::Input;

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

    /// Makes the input of a request whose body came with its head. It is of the same class as the others: what an
    /// application sees must not depend on how the bytes were cut.
    pub(crate) fn whole_input(&self, ruby: &Ruby, body: Body) -> Obj<Input> {
        ruby.obj_wrap_as(Input::new(body), self.class)
    }

    /// Makes the input of a request whose body has so many bytes, or is chunked.
    pub(crate) fn input(&self, ruby: &Ruby, serial: u64, bytes: Option<u64>) -> Obj<Input> {
        self.fault.set(None);
        let feed = Feed { serial, bytes, rewindable: self.rewindable, memory_bytes: self.memory_bytes };
        ruby.obj_wrap_as(Input::fed(feed), self.class)
    }

    /// Takes why the body of the running request was not complete.
    pub(crate) fn take_fault(&self) -> Option<Fault> {
        self.fault.take()
    }
}

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
        let running = core.running.get().filter(|running| running.serial == serial);
        let running = running.filter(|_| core.hijacked.get().is_none());
        let token = running.ok_or_else(over)?.token;
        let read = core.reactor().active(token).read_body(&mut bytes);
        match read {
            Ok(Read::Some) => return Ok(Some(bytes)),
            Ok(Read::End) => return Ok(None),
            Ok(Read::Wait) => {}
            Err(fault) => return Err(shutdown(ruby, core, fault)),
        }
        let waited_ms = (monotonic_ns() - began) / 1_000_000;
        let Some(left_ms) = core.streaming.body_ms.checked_sub(waited_ms).filter(|left| *left > 0) else {
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
    core.streaming.fault.set(Some(fault));
    let unicorn: Result<RModule, Error> = ruby.class_object().const_get("Unicorn");
    let class: Result<ExceptionClass, Error> = unicorn.and_then(|unicorn| unicorn.const_get("ClientShutdown"));
    let text = match fault {
        Fault::Gone => "the client closed the connection within the body".to_owned(),
        Fault::Refused(status) => format!("the body was refused ({status})"),
    };
    Error::new(class.unwrap_or_else(|_| ruby.exception_eof_error()), text)
}
