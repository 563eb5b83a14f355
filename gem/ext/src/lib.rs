//! The native extension that molds and workers load: `Licorne::Native`.
//!
//! It joins the crates that know no Ruby (`reactor`, `http1`, `wire`, `scoreboard`, `directives`) to the Ruby side of
//! the gem, and is the only door between them. `ffi` holds the unsafe code; the other modules are safe Rust.

#![allow(missing_docs)] // The macro of magnus makes a public function without any.

mod body;
mod control;
mod directives;
mod engine;
mod env;
mod ffi;
mod hijack;
mod input;
mod json;
mod keys;
mod logs;
mod response;
mod serve;
mod settings;
mod sink;
mod stream;

use magnus::{Error, RModule, RString, Ruby, Value, function, prelude::*};

/// Defines the module; Ruby calls it when it loads the extension.
#[magnus::init(name = "licorne_ext")]
fn init(ruby: &Ruby) -> Result<(), Error> {
    let native: RModule = ruby.define_module("Licorne")?.define_module("Native")?;
    native.define_module_function("set_cloexec", function!(set_cloexec, 1))?;
    native.define_module_function("keep_from_children", function!(keep_from_children, 1))?;
    native.define_module_function("fork_ours", function!(fork_ours, 0))?;
    native.define_module_function("note_fatal_signals", function!(note_fatal_signals, 2))?;
    native.define_module_function("printable_lines", function!(printable_lines, 1))?;
    directives::define(native)?;
    logs::define(native)?;
    control::define(ruby, native)?;
    input::define(ruby, native)?;
    hijack::define(ruby, native)?;
    engine::define(ruby, native)
}

fn set_cloexec(ruby: &Ruby, number: i32) -> Result<(), Error> {
    ffi::set_cloexec(number).map_err(|error| system_error(ruby, "fcntl", &error))
}

/// Has children that this process forks from now on lose what these descriptors lead to.
fn keep_from_children(ruby: &Ruby, numbers: Vec<i32>) -> Result<(), Error> {
    ffi::watch_forks().map_err(|error| system_error(ruby, "pthread_atfork", &error))?;
    numbers.into_iter().for_each(ffi::keep_from_children);
    Ok(())
}

/// `Process.fork`, of a child that is the server's own and loses nothing.
fn fork_ours(ruby: &Ruby) -> Result<Value, Error> {
    let process: RModule = ruby.class_object().const_get("Process")?;
    ffi::forking_ours(|| process.funcall("fork", ()))
}

/// Has this process, a worker, note in its seat of the scoreboard which signal ends it, and where that came from.
fn note_fatal_signals(ruby: &Ruby, scoreboard: i32, seat: usize) -> Result<(), Error> {
    let page = ffi::duplicate_descriptor(scoreboard).map_err(|error| system_error(ruby, "scoreboard", &error))?;
    let failed = |error: sys::Error| Error::new(ruby.exception_io_error(), error.chain());
    let page = sys::memory::Shared::map(page).map_err(failed)?.leak();
    match scoreboard::seat(page, seat) {
        Some(seat) => sys::fatal::note(seat.fatal_words()).map_err(failed),
        None => Err(Error::new(ruby.exception_arg_error(), format!("the scoreboard has no seat {seat}"))),
    }
}

/// Without what a terminal would act upon, and in UTF-8 whatever it was.
fn printable_lines(text: RString) -> String {
    ffi::with_bytes(text.as_value(), |bytes| sys::text::printable_lines(&String::from_utf8_lossy(bytes)).into_owned())
}

/// Makes the `Errno::…` exception of a failed call.
pub(crate) fn system_error(ruby: &Ruby, call: &str, error: &std::io::Error) -> Error {
    let arguments = (call, error.raw_os_error());
    let class = ruby.exception_system_call_error();
    match class.new_instance(arguments) {
        Ok(exception) => Error::from(exception),
        Err(other) => other,
    }
}
