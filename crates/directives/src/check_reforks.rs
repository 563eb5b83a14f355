//! Is this value right for `refork_after`?

use alloc::format;
use alloc::string::String;

use crate::Value;
use crate::reforks::Reforks;

/// Checks `refork_after [50, 100, 1000]`, whose last one may be `false`: `nil`, or the list.
///
/// # Errors
/// The text to raise.
pub(crate) fn check(name: &str, value: &Value) -> Result<Value, String> {
    let items = match value {
        Value::Nil | Value::Bool(false) => return Ok(Value::Nil),
        Value::List(items) => items.as_slice(),
        one => core::slice::from_ref(one),
    };
    if items.len() > Reforks::MOST {
        return Err(format!("more than {} numbers: {name}={}", Reforks::MOST, value.inspect()));
    }
    let counts = items.strip_suffix(&[Value::Bool(false)]).unwrap_or(items);
    for count in counts {
        match count {
            Value::Int(1..=0xffff_ffff) => {}
            Value::Int(..1) => return Err(format!("too low (< 1): {name}={}", count.inspect())),
            Value::Bool(false) => return Err(format!("false comes last: {name}={}", value.inspect())),
            other => return Err(format!("not a number of requests: {name}={}", other.inspect())),
        }
    }
    Ok(if counts.is_empty() { Value::Nil } else { Value::List(items.to_vec()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find;
    use alloc::vec;
    use alloc::vec::Vec;

    fn check(value: &Value) -> Result<Value, String> {
        crate::check(find("refork_after").unwrap(), value)
    }

    /// A list of counts; 0 stands for `false`.
    fn list(counts: &[i64]) -> Value {
        let count = |count: &i64| if *count == 0 { Value::Bool(false) } else { Value::Int(*count) };
        Value::List(counts.iter().map(count).collect())
    }

    #[test]
    fn counts_are_a_list_that_false_may_end() {
        for (value, checked) in [
            (Value::Int(50), list(&[50])),
            (list(&[50, 100]), list(&[50, 100])),
            (list(&[50, 0]), list(&[50, 0])),
            (list(&[0]), Value::Nil),
            (list(&[]), Value::Nil),
            (Value::Bool(false), Value::Nil),
            (Value::Nil, Value::Nil),
        ] {
            assert_eq!(check(&value), Ok(checked), "{value:?}");
        }
    }

    #[test]
    fn wrong_counts_are_named() {
        let many: Vec<i64> = vec![1; 9];
        for (value, told) in [
            (list(&[50, -1]), "too low (< 1): refork_after=-1"),
            (Value::Int(0), "too low (< 1): refork_after=0"),
            (list(&[50, 0, 100]), "false comes last: refork_after=[50, false, 100]"),
            (list(&many), "more than 8 numbers: refork_after=[1, 1, 1, 1, 1, 1, 1, 1, 1]"),
            (Value::Symbol("auto".into()), "not a number of requests: refork_after=:auto"),
            (Value::Float(1.5), "not a number of requests: refork_after=1.5"),
        ] {
            assert_eq!(check(&value), Err(told.into()));
        }
    }
}
