//! Lines of an access log: what was asked, what was answered, how long it took.
//!
//! [`Format::parse`] reads what a configuration asks for; [`Format::write`] makes one line of an [`Entry`]. What a client
//! sent is data of a stranger: it can neither end a line nor leave its quotes, whatever its bytes are, and values of
//! [`Redact`]'s parameters are not written at all.
//!
//! No file is opened here and no clock is read.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod entry;
mod escape;
mod format;
mod json;
mod redact;
mod text;

pub use entry::{Bytes, Ended, Entry, Line, Process, Time, user_of};
pub use format::{FIELDS, Format, Mistake};
pub use redact::{DEFAULT_NAMES, Redact};
