//! Ruby's C interface behind safe names. All unsafe code of the extension is here and below.
//!
//! # The rules
//! - Ruby raises by jumping over our frames: their destructors do not run. Everything that can raise is a method of
//!   [`Rb`], and an [`Rb`] exists only within [`protect()`], which catches the jump. What a closure given to `protect`
//!   *owns* across such a call leaks when it jumps, so closures borrow what they need.
//! - No panic enters a frame of Ruby: [`protect()`] and the callbacks catch it and hand it on behind Ruby's frames.
//! - No guard of a `RefCell` is held while Ruby code may run: it may come back to us.
//! - A `Value` is kept alive by being on the stack (Ruby scans it), by what contains it, or by [`keep`]. In Rust's own
//!   memory it lies in a [`Root`] or was given to `keep`: nothing else there is marked, and compaction moves what is
//!   not.
#![allow(unsafe_code)]

mod calls;
mod descriptors;
mod forks;
mod gc;
mod locked;
mod protect;
mod roots;
mod serials;
mod strings;
mod wait;

pub(crate) use calls::{Flow, ids, with_block};
pub(crate) use descriptors::{adopt_descriptor, close_abandoned, duplicate_descriptor, set_cloexec};
pub(crate) use forks::{forking_ours, is_forked, keep_from_children, watch_forks};
pub(crate) use gc::{GcNumber, MajorNeed, collect_all, finish_collection, gc_count};
pub(crate) use locked::Locked;
pub(crate) use protect::{Escape, Rb, keep, protect, ruby};
pub(crate) use roots::Root;
pub(crate) use serials::{new_serial_object, serial_of};
pub(crate) use strings::{
    element, fixnum, is_array, is_hash, is_plain_array, is_string, length, with_all_bytes, with_bytes,
};
