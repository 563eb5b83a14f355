//! Options of a directive, behind what it is about.

use alloc::format;
use alloc::string::String;

use crate::Value;

/// Splits the value of such a directive. `None` when it is neither the first value alone nor that and options.
pub(crate) fn split(value: &Value) -> Option<(&Value, &[(String, Value)])> {
    match value {
        Value::List(items) => match items.as_slice() {
            [first] => Some((first, &[])),
            [first, Value::Map(options)] => Some((first, options)),
            _ => None,
        },
        first => Some((first, &[])),
    }
}

/// The text to raise for an option that the directive does not have; `near` is the one that it most likely means.
pub(crate) fn unknown(directive: &str, name: &str, near: Option<&str>) -> String {
    let hint = near.map_or_else(String::new, |near| format!(" (did you mean {near}?)"));
    format!("unknown option of {directive}: {name}{hint}")
}

/// Checks an option that is a number above 0.
pub(crate) fn positive(name: &str, value: &Value) -> Result<Value, String> {
    match value {
        Value::Int(number) if *number > 0 => Ok(value.clone()),
        Value::Float(number) if number.is_finite() && *number > 0.0 => Ok(value.clone()),
        Value::Int(_) | Value::Float(_) => Err(format!("too low (<= 0): {name}={}", value.inspect())),
        other => Err(format!("not a number: {name}={}", other.inspect())),
    }
}
