//! Is this value right for `canary`?

use alloc::format;
use alloc::string::String;

use crate::nearest::closest;
use crate::{Value, options};

/// The options.
const OPTIONS: [&str; 5] = ["workers", "watch", "max_error_ratio", "max_slowdown", "max_memory_ratio"];

/// Checks `canary options`, and completes it: `nil`, or a map with all that [`crate::Canary`] has.
///
/// # Errors
/// The text to raise.
pub(crate) fn check(value: &Value) -> Result<Value, String> {
    let (wanted, options) = options::split(value).ok_or("canary takes options")?;
    let mut checked = [1, 60, 2, 2, 2].map(Value::Int);
    for (name, value) in options {
        let Some(index) = OPTIONS.iter().position(|option| option == name) else {
            return Err(options::unknown("canary", name, closest(name, OPTIONS.into_iter())));
        };
        checked[index] = match name.as_str() {
            "workers" => check_workers(value)?,
            "watch" => options::positive(name, value)?,
            _ => check_ratio(name, value)?,
        };
    }
    match wanted {
        Value::Nil | Value::Bool(false) => Ok(Value::Nil),
        Value::Bool(true) => Ok(Value::Map(OPTIONS.map(String::from).into_iter().zip(checked).collect())),
        other => Err(format!("canary takes options, as in `canary workers: 1, watch: 60`: canary={}", other.inspect())),
    }
}

fn check_workers(value: &Value) -> Result<Value, String> {
    match value {
        Value::Int(count) if (1..=i64::from(u32::MAX)).contains(count) => Ok(value.clone()),
        Value::Int(_) => Err(format!("too low (< 1): workers={}", value.inspect())),
        other => Err(format!("not an integer: workers={}", other.inspect())),
    }
}

/// How many times as much something may be: not less than as much.
fn check_ratio(name: &str, value: &Value) -> Result<Value, String> {
    match value {
        Value::Int(ratio) if *ratio >= 1 => Ok(value.clone()),
        Value::Float(ratio) if ratio.is_finite() && *ratio >= 1.0 => Ok(value.clone()),
        Value::Int(_) | Value::Float(_) => Err(format!("too low (< 1): {name}={}", value.inspect())),
        other => Err(format!("not a number: {name}={}", other.inspect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find;
    use alloc::{vec, vec::Vec};

    fn check(value: &Value) -> Result<Value, String> {
        crate::check(find("canary").unwrap(), value)
    }

    fn with(name: &str, value: Value) -> Value {
        Value::List(vec![Value::Bool(true), Value::Map(vec![(name.into(), value)])])
    }

    #[test]
    fn a_canary_is_completed() {
        let Ok(Value::Map(entries)) = check(&with("watch", Value::Float(0.5))) else { panic!() };
        let names: Vec<_> = entries.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, OPTIONS);
        let values: Vec<_> = entries.into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, [Value::Int(1), Value::Float(0.5), Value::Int(2), Value::Int(2), Value::Int(2)]);
        assert_eq!(check(&Value::Nil), Ok(Value::Nil));
        assert_eq!(check(&Value::List(vec![Value::Bool(false)])), Ok(Value::Nil));
    }

    #[test]
    fn a_wrong_canary_is_told_in_rubys_words() {
        for (value, told) in [
            (with("worker", Value::Int(1)), "unknown option of canary: worker (did you mean workers?)"),
            (with("workers", Value::Int(0)), "too low (< 1): workers=0"),
            (with("workers", Value::Float(1.5)), "not an integer: workers=1.5"),
            (with("watch", Value::Int(0)), "too low (<= 0): watch=0"),
            (with("max_slowdown", Value::Float(0.5)), "too low (< 1): max_slowdown=0.5"),
            (with("max_error_ratio", Value::Nil), "not a number: max_error_ratio=nil"),
            (Value::Int(3), "canary takes options, as in `canary workers: 1, watch: 60`: canary=3"),
        ] {
            assert_eq!(check(&value), Err(told.into()));
        }
    }
}
