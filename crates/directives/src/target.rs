//! What a request of the server's own asks for, as `probe` and `warm_up` take it: paths, and fields.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::Value;

/// A path, or a list of such; `None` is none.
pub(crate) fn paths(directive: &str, value: &Value) -> Result<Option<Value>, String> {
    let items = match value {
        Value::Nil | Value::Bool(false) => return Ok(None),
        Value::List(items) => items.as_slice(),
        one => core::slice::from_ref(one),
    };
    for item in items {
        let is_path = |text: &str| text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !matches!(item, Value::Text(text) if is_path(text)) {
            return Err(format!("not a path that begins with \"/\": {directive}={}", item.inspect()));
        }
    }
    Ok((!items.is_empty()).then(|| Value::List(items.to_vec())))
}

/// Names and values of fields, as pairs.
pub(crate) fn fields(value: &Value) -> Result<Value, String> {
    let wrong = || format!("not names and values of fields: headers={}", value.inspect());
    let Value::Map(fields) = value else { return Err(wrong()) };
    let mut checked = Vec::new();
    for (name, value) in fields {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let is_plain = |text: &str| text.bytes().all(|byte| byte >= b' ' && byte != 0x7f);
        match value {
            Value::Text(text) if !name.is_empty() && name.bytes().all(is_token) && is_plain(text) => {
                checked.push(Value::List([Value::Text(name.clone()), value.clone()].into()));
            }
            _ => return Err(wrong()),
        }
    }
    Ok(Value::List(checked))
}
