//! The objects in an env that reach back to the connection. Each belongs to one request, and does nothing once that is
//! over: an object that an application kept must not reach another client.

mod early_hints;
mod feed;
mod hijack;
mod input;

use magnus::{Error, RModule, Ruby};

pub(crate) use early_hints::EarlyHints;
pub(crate) use hijack::request_class;
pub(crate) use input::Input;

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    input::define(ruby, native)?;
    hijack::define(ruby, native)?;
    early_hints::define(ruby, native)
}
