//! Is this value right for `warm_up`?

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::nearest::closest;
use crate::{Value, options, target};

/// Checks `warm_up paths, options`, and completes it: a map with all that [`crate::WarmUp`] has. Without paths there may be
/// a block.
///
/// # Errors
/// The text to raise.
pub(crate) fn check(value: &Value) -> Result<Value, String> {
    let (paths, options) = options::split(value).ok_or("warm_up takes paths and options")?;
    let mut headers = Value::List(Vec::new());
    for (name, value) in options {
        match name.as_str() {
            "headers" => headers = target::fields(value)?,
            _ => return Err(options::unknown("warm_up", name, closest(name, core::iter::once("headers")))),
        }
    }
    let paths = target::paths("warm_up", paths)?.unwrap_or_else(|| Value::List(Vec::new()));
    Ok(Value::Map(vec![("paths".into(), paths), ("headers".into(), headers)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find;

    fn check(value: &Value) -> Result<Value, String> {
        crate::check(find("warm_up").unwrap(), value)
    }

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn a_warm_up_is_completed() {
        let given = Value::List(vec![Value::List(vec![text("/"), text("/login")])]);
        let Ok(Value::Map(entries)) = check(&given) else { panic!() };
        assert_eq!(entries[0], ("paths".into(), Value::List(vec![text("/"), text("/login")])));
        let host = Value::Map(vec![("headers".into(), Value::Map(vec![("Host".into(), text("example.com"))]))]);
        let Ok(Value::Map(entries)) = check(&Value::List(vec![Value::List(vec![]), host])) else { panic!() };
        assert_eq!(entries[0].1, Value::List(vec![]), "there may be a block alone");
        assert_eq!(entries[1].1, Value::List(vec![Value::List(vec![text("Host"), text("example.com")])]));
    }

    #[test]
    fn a_wrong_warm_up_is_told_in_rubys_words() {
        let option = |name: &str| Value::List(vec![text("/"), Value::Map(vec![(name.into(), Value::Nil)])]);
        for (value, told) in [
            (Value::List(vec![text("login")]), "not a path that begins with \"/\": warm_up=\"login\""),
            (option("header"), "unknown option of warm_up: header (did you mean headers?)"),
            (option("headers"), "not names and values of fields: headers=nil"),
        ] {
            assert_eq!(check(&value), Err(told.into()));
        }
    }
}
