//! Ruby objects that hold nothing but a number: no memory of ours, so nothing to free. One is made for each request.

use std::ffi::c_void;

use magnus::rb_sys::AsRawValue;
use magnus::{RClass, Value};
use rb_sys::{VALUE, rb_data_type_t};

use super::protect::{Rb, value};

struct Type(rb_data_type_t);

// SAFETY: it is never written to.
unsafe impl Sync for Type {}

static TYPE: Type = {
    // SAFETY: plain pointers, flags and optional functions, for all of which zero is a value: nothing to mark or free.
    let mut kind: rb_data_type_t = unsafe { std::mem::zeroed() };
    kind.wrap_struct_name = c"Licorne::Native::Request".as_ptr();
    kind.flags = rb_sys::rbimpl_typeddata_flags::RUBY_TYPED_FREE_IMMEDIATELY as VALUE;
    Type(kind)
};

/// Makes an object of `class` that holds `serial`.
pub(crate) fn new_serial_object(_rb: Rb<'_>, class: RClass, serial: u64) -> Value {
    // SAFETY: within `protect`; the type lives for ever, and the number is never taken for an address, since the type
    // has no functions.
    value(unsafe { rb_sys::rb_data_typed_object_wrap(class.as_raw(), serial as *mut c_void, &raw const TYPE.0) })
}

/// Returns the number that an object of this kind holds; `None` for other objects.
pub(crate) fn serial_of(object: Value) -> Option<u64> {
    let raw = object.as_raw();
    if rb_sys::SPECIAL_CONST_P(raw) {
        return None;
    }
    // SAFETY: it is a live object on the heap.
    let is_ours = unsafe { rb_sys::RTYPEDDATA_P(raw) && rb_sys::RTYPEDDATA_TYPE(raw) == &raw const TYPE.0 };
    // SAFETY: it is typed data, as was seen.
    is_ours.then(|| unsafe { rb_sys::RTYPEDDATA_GET_DATA(raw) } as u64)
}
