//! Places for objects in Rust's own memory.

use std::cell::Cell;

use magnus::Value;
use magnus::rb_sys::AsRawValue;
use rb_sys::{Qnil, VALUE};

use super::protect::value;

/// A place for one object, which the garbage collector keeps alive and does not move as long as it is there. The place
/// itself lasts as long as the process: for what a worker has once. See rb_gc_register_address in Ruby's
/// extension.rdoc.
pub(crate) struct Root(&'static Cell<VALUE>);

impl Root {
    pub(crate) fn new() -> Self {
        let place: &'static Cell<VALUE> = Box::leak(Box::new(Cell::new(Qnil as VALUE)));
        // SAFETY: the address is valid for as long as the process lives, and what it holds is an object or nil.
        unsafe { rb_sys::rb_gc_register_address(place.as_ptr()) };
        Self(place)
    }

    /// Returns the object.
    pub(crate) fn get(&self) -> Option<Value> {
        let object = value(self.0.get());
        (self.0.get() != Qnil as VALUE).then_some(object)
    }

    /// Lays an object there, in place of another.
    pub(crate) fn set(&self, object: Value) {
        self.0.set(object.as_raw());
    }

    /// Lets the object go.
    pub(crate) fn clear(&self) {
        self.0.set(Qnil as VALUE);
    }
}
