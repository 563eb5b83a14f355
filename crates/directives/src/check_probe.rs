//! Is this value right for `probe`?

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::nearest::closest;
use crate::{Value, options, target};

/// The options.
const OPTIONS: [&str; 3] = ["status", "timeout", "headers"];
/// Statuses that a response can end with.
const STATUSES: core::ops::RangeInclusive<i64> = 200..=599;

/// Checks `probe paths, options`, and completes it: `nil`, or a map with all that [`crate::Probe`] has.
///
/// # Errors
/// The text to raise.
pub(crate) fn check(value: &Value) -> Result<Value, String> {
    let (paths, options) = options::split(value).ok_or("probe takes paths and options")?;
    let mut status = Value::List(vec![range(200, 399)]);
    let mut timeout = Value::Int(5);
    let mut headers = Value::List(Vec::new());
    for (name, value) in options {
        match name.as_str() {
            "status" => status = check_status(value)?,
            "timeout" => timeout = options::positive(name, value)?,
            "headers" => headers = target::fields(value)?,
            _ => return Err(options::unknown("probe", name, closest(name, OPTIONS.into_iter()))),
        }
    }
    let Some(paths) = target::paths("probe", paths)? else { return Ok(Value::Nil) };
    Ok(Value::Map(vec![
        ("paths".into(), paths),
        ("status".into(), status),
        ("timeout".into(), timeout),
        ("headers".into(), headers),
    ]))
}

fn range(first: i64, last: i64) -> Value {
    Value::List(vec![Value::Int(first), Value::Int(last)])
}

/// A status, a range of two, or a list of such.
fn check_status(value: &Value) -> Result<Value, String> {
    let one = |item: &Value| match item {
        Value::Int(status) if STATUSES.contains(status) => Some(range(*status, *status)),
        Value::List(ends) => match ends.as_slice() {
            [Value::Int(first), Value::Int(last)]
                if first <= last && STATUSES.contains(first) && STATUSES.contains(last) =>
            {
                Some(range(*first, *last))
            }
            _ => None,
        },
        _ => None,
    };
    let all = match value {
        Value::List(items) if !items.is_empty() => items.iter().map(one).collect::<Option<Vec<_>>>(),
        item => one(item).map(|range| vec![range]),
    };
    all.map(Value::List).ok_or_else(|| format!("not statuses between 200 and 599: status={}", value.inspect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find;

    fn check(value: &Value) -> Result<Value, String> {
        crate::check(find("probe").unwrap(), value)
    }

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    fn with(name: &str, value: Value) -> Value {
        Value::List(vec![text("/up"), Value::Map(vec![(name.into(), value)])])
    }

    #[test]
    fn a_probe_is_completed() {
        let Ok(Value::Map(entries)) = check(&Value::List(vec![text("/up")])) else { panic!() };
        assert_eq!(entries[0], ("paths".into(), Value::List(vec![text("/up")])));
        assert_eq!(entries[1], ("status".into(), Value::List(vec![range(200, 399)])));
        assert_eq!(entries[2], ("timeout".into(), Value::Int(5)));
        assert_eq!(check(&Value::Nil), Ok(Value::Nil));
        assert_eq!(check(&Value::List(vec![Value::List(Vec::new())])), Ok(Value::Nil));
        let Ok(Value::Map(entries)) = check(&with("status", Value::List(vec![Value::Int(204), range(300, 308)])))
        else {
            panic!()
        };
        assert_eq!(entries[1].1, Value::List(vec![range(204, 204), range(300, 308)]));
        let host = Value::Map(vec![("Host".into(), text("example.com"))]);
        let Ok(Value::Map(entries)) = check(&with("headers", host)) else { panic!() };
        assert_eq!(entries[3].1, Value::List(vec![Value::List(vec![text("Host"), text("example.com")])]));
    }

    #[test]
    fn a_wrong_probe_is_told_in_rubys_words() {
        for (value, told) in [
            (Value::List(vec![text("up")]), "not a path that begins with \"/\": probe=\"up\""),
            (Value::List(vec![text("/a b")]), "not a path that begins with \"/\": probe=\"/a b\""),
            (Value::List(vec![Value::Int(5)]), "not a path that begins with \"/\": probe=5"),
            (with("statsu", Value::Nil), "unknown option of probe: statsu (did you mean status?)"),
            (with("status", Value::Int(100)), "not statuses between 200 and 599: status=100"),
            (
                with("status", Value::List(vec![range(399, 200)])),
                "not statuses between 200 and 599: status=[[399, 200]]",
            ),
            (with("timeout", Value::Int(0)), "too low (<= 0): timeout=0"),
            (with("timeout", text("5s")), "not a number: timeout=\"5s\""),
            (with("headers", text("Host: a")), "not names and values of fields: headers=\"Host: a\""),
            (
                with("headers", Value::Map(vec![("A".into(), text("b\r\nC: d"))])),
                "not names and values of fields: headers={:A=>\"b\\r\\nC: d\"}",
            ),
        ] {
            assert_eq!(check(&value), Err(told.into()));
        }
    }
}
