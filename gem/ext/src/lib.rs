//! The native extension that molds and workers load: `Licorne::Native`.
//!
//! It joins the crates that know no Ruby (`reactor`, `http1`, `wire`, `scoreboard`, `directives`) to the Ruby side of
//! the gem, and is the only door between them. `ffi` holds the unsafe code; the other modules are safe Rust.
//!
//! Each room imports only what stands above it here.
//!
//! | room | what it is for |
//! |---|---|
//! | `ffi/` | Ruby's C interface |
//! | `error`, `json`, `report`, `socket`, `settings` | small things that several rooms need |
//! | `fork` | this process, or a child that the application forked |
//! | `control`, `logs`, `directives` | what molds and workers need besides the engine |
//! | `request/` | the env of a request |
//! | `seat`, `core` | the worker's seat, and its place on the board; what the objects of the engine share |
//! | `access_log` | what is noted of requests, and where it goes |
//! | `exchange`, `response/` | a request that is being served; from what the application returned to bytes |
//! | `rack/` | the objects in an env that reach back to the connection: input, hijack, early hints |
//! | `serve` | one request: env, application, response, and what comes afterwards |
//! | `probe` | a request that a worker answers before it serves |
//! | `promotion` | a worker forks a mold between two requests |
//! | `engine` | the loop of a worker |

#![allow(missing_docs)] // The macro of magnus makes a public function without any.

mod access_log;
mod control;
mod core;
mod directives;
mod engine;
mod error;
mod exchange;
mod ffi;
mod fork;
mod gc;
mod json;
mod logs;
mod probe;
mod promotion;
mod rack;
mod report;
mod request;
mod response;
mod seat;
mod serve;
mod settings;
mod socket;
mod usage;

use magnus::{Error, RModule, RString, Ruby, TypedData, function, prelude::*};

use control::Control;
use engine::Engine;
use error::system_error;
use gc::Collector;
use request::keys::Keys;
use seat::Questions;

/// Defines the module; Ruby calls it when it loads the extension.
#[magnus::init(name = "licorne_ext")]
fn init(ruby: &Ruby) -> Result<(), Error> {
    let native: RModule = ruby.define_module("Licorne")?.define_module("Native")?;
    native.define_module_function("set_cloexec", function!(set_cloexec, 1))?;
    native.define_module_function("close_heap_gaps", function!(sys::heap::close_gaps, 0))?;
    native.define_module_function("allow_stepping_back", function!(sys::priority::allow_stepping_back, 0))?;
    fork::define(native)?;
    native.define_module_function("note_fatal_signals", function!(seat::note_fatal_signals, 1))?;
    native.define_module_function("printable_lines", function!(printable_lines, 1))?;
    directives::define(native)?;
    logs::define(native)?;
    control::define(ruby, native)?;
    seat::define(ruby, native)?;
    rack::define(ruby, native)?;
    settings::define(ruby, native)?;
    engine::define(ruby, native)?;
    share(ruby)
}

/// Makes what every worker needs first: here it is made in a mold, once, and workers share the memory.
fn share(ruby: &Ruby) -> Result<(), Error> {
    Keys::of(ruby)?;
    Collector::new(false);
    Control::class(ruby);
    Questions::class(ruby);
    Engine::class(ruby);
    Ok(())
}

fn set_cloexec(ruby: &Ruby, number: i32) -> Result<(), Error> {
    ffi::set_cloexec(number).map_err(|error| system_error(ruby, "fcntl", &error))
}

/// Without what a terminal would act upon, and in UTF-8 whatever it was.
fn printable_lines(text: RString) -> String {
    ffi::with_bytes(text.as_value(), |bytes| sys::text::printable_lines(&String::from_utf8_lossy(bytes)).into_owned())
}
