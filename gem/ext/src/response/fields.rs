//! The header fields that an application returned.

use magnus::{Value, prelude::*};

use crate::ffi::{self, Flow, Rb, element, is_array, is_hash, is_string, length, with_bytes};

/// Visits names and values of header fields, one value at a time: Strings, elements of Arrays, and what `to_s` makes of
/// others. Keys that begin with `rack.` are for the server.
pub(crate) fn each_field(rb: Rb<'_>, fields: Value, visit: impl FnMut(Value, Value) -> Flow) {
    each_field_with_own(rb, fields, &mut None, visit);
}

/// The same; what the application hijacks the response with goes to `hijack`.
pub(super) fn each_field_with_own(
    rb: Rb<'_>,
    fields: Value,
    hijack: &mut Option<Value>,
    mut visit: impl FnMut(Value, Value) -> Flow,
) {
    let mut pair = |rb: Rb<'_>, name: Value, value: Value| {
        // An array of pairs yields each pair as one object.
        let (name, value) =
            if is_array(name) && value.is_nil() { (element(name, 0), element(name, 1)) } else { (name, value) };
        let name = rb.to_string(name);
        if with_bytes(name, |name| name.starts_with(b"rack.")) {
            if with_bytes(name, |name| name == b"rack.hijack") && !value.is_nil() {
                *hijack = Some(value);
            }
            return Flow::Continue;
        }
        if is_string(value) {
            return visit(name, value);
        }
        if is_array(value) {
            let mut index = 0;
            while index < length(value) {
                let one = rb.to_string(element(value, index));
                if visit(name, one) == Flow::Break {
                    return Flow::Break;
                }
                index += 1;
            }
            return Flow::Continue;
        }
        visit(name, rb.to_string(value))
    };
    if is_hash(fields) {
        rb.each_pair(fields, pair);
    } else if is_array(fields) {
        rb.each_element(fields, |rb, element| pair(rb, element, ffi::ruby().qnil().as_value()));
    } else if !fields.is_nil() {
        rb.each(fields, pair);
    }
}
