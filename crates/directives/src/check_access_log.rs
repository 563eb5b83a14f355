//! Is this value right for `access_log`?

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use access_log::{DEFAULT_NAMES, FIELDS, Format, Mistake};

use crate::nearest::closest;
use crate::{Value, options};

/// The options.
const OPTIONS: [&str; 3] = ["format", "slow_only", "redact"];

/// Checks `access_log target, options`, and completes it: `nil`, or a map with all that [`crate::AccessLog`] has.
///
/// # Errors
/// The text to raise.
pub(crate) fn check(value: &Value) -> Result<Value, String> {
    let (target, options) = options::split(value).ok_or("access_log takes a path or :stdout, and options")?;
    let mut format = Value::Text("json".into());
    let mut slow_only = Value::Nil;
    let mut redact = DEFAULT_NAMES.iter().map(|name| Value::Text((*name).into())).collect();
    let mut hide_query = false;
    for (name, value) in options {
        match name.as_str() {
            "format" => format = check_format(value)?,
            "slow_only" => slow_only = check_slow(value)?,
            "redact" => (redact, hide_query) = check_redact(value)?,
            _ => return Err(options::unknown("access_log", name, closest(name, OPTIONS.into_iter()))),
        }
    }
    let path = match target {
        Value::Nil | Value::Bool(false) => return Ok(Value::Nil),
        Value::Symbol(word) if word == "stdout" => Value::Nil,
        Value::Text(path) if !path.is_empty() => target.clone(),
        other => return Err(format!("not a path or :stdout: access_log={}", other.inspect())),
    };
    Ok(Value::Map(vec![
        ("path".into(), path),
        ("format".into(), format),
        ("slow_only".into(), slow_only),
        ("redact".into(), Value::List(redact)),
        ("hide_query".into(), Value::Bool(hide_query)),
    ]))
}

fn check_format(value: &Value) -> Result<Value, String> {
    let text = match value {
        Value::Symbol(word) if word == "json" || word == "combined" => word,
        Value::Text(text) => text,
        Value::Symbol(_) => return Err(format!("format={} is not one of :json, :combined", value.inspect())),
        other => return Err(format!("neither :json nor :combined, nor a template: format={}", other.inspect())),
    };
    match Format::parse(text) {
        Ok(_) => Ok(Value::Text(text.clone())),
        Err(Mistake::UnknownField(name)) => {
            let hint = match closest(&name, FIELDS.iter().copied()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("there are {}", FIELDS.join(", ")),
            };
            Err(format!("unknown field of an access_log: {name} ({hint})"))
        }
        Err(mistake) => Err(format!("{mistake}: format={}", value.inspect())),
    }
}

fn check_slow(value: &Value) -> Result<Value, String> {
    match value {
        Value::Nil => Ok(Value::Nil),
        Value::Int(seconds) if *seconds >= 0 => Ok(value.clone()),
        Value::Float(seconds) if seconds.is_finite() && *seconds >= 0.0 => Ok(value.clone()),
        Value::Int(_) | Value::Float(_) => Err(format!("too low (< 0): slow_only={}", value.inspect())),
        other => Err(format!("not a number: slow_only={}", other.inspect())),
    }
}

/// Names, and whether all of the query is hidden.
fn check_redact(value: &Value) -> Result<(Vec<Value>, bool), String> {
    let items = match value {
        Value::Symbol(word) if word == "query" => return Ok((Vec::new(), true)),
        Value::Nil => &[],
        Value::List(items) => items.as_slice(),
        one => core::slice::from_ref(one),
    };
    let name = |item: &Value| match item {
        Value::Symbol(name) | Value::Text(name) if !name.is_empty() => Ok(Value::Text(name.clone())),
        _ => Err(format!("neither :query nor names of parameters: redact={}", value.inspect())),
    };
    Ok((items.iter().map(name).collect::<Result<_, _>>()?, false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find;

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    fn with(name: &str, value: Value) -> Value {
        Value::List(vec![text("log/access.log"), Value::Map(vec![(name.into(), value)])])
    }

    #[track_caller]
    fn checked(value: &Value) -> Result<Value, String> {
        crate::check(find("access_log").unwrap(), value)
    }

    /// What a checked value has under this key.
    #[track_caller]
    fn entry(value: &Value, key: &str) -> Value {
        let Ok(Value::Map(entries)) = checked(value) else { panic!("{:?}", checked(value)) };
        entries.into_iter().find(|(name, _)| name == key).unwrap().1
    }

    #[test]
    fn a_target_and_options_are_completed() {
        for none in [Value::Nil, Value::Bool(false), Value::List(vec![Value::Nil])] {
            assert_eq!(checked(&none), Ok(Value::Nil));
        }
        assert_eq!(entry(&Value::Symbol("stdout".into()), "path"), Value::Nil);
        assert_eq!(entry(&text("a.log"), "path"), text("a.log"));
        assert_eq!(entry(&text("a.log"), "format"), text("json"));
        assert_eq!(entry(&with("format", Value::Symbol("combined".into())), "format"), text("combined"));
        assert_eq!(entry(&with("format", text("{id} {status}")), "format"), text("{id} {status}"));
        assert_eq!(entry(&with("slow_only", Value::Float(0.5)), "slow_only"), Value::Float(0.5));
        assert_eq!(entry(&with("redact", Value::Symbol("mail".into())), "redact"), Value::List(vec![text("mail")]));
        assert_eq!(entry(&with("redact", Value::List(vec![])), "redact"), Value::List(vec![]));
        assert_eq!(entry(&with("redact", Value::Symbol("query".into())), "hide_query"), Value::Bool(true));
        let Value::List(usual) = entry(&text("a.log"), "redact") else { panic!() };
        assert!(usual.contains(&text("passw")));
    }

    #[test]
    fn a_wrong_option_is_named_with_the_nearest_right_one() {
        let cases = [
            (Value::Int(5), "not a path or :stdout: access_log=5"),
            (Value::Symbol("stderr".into()), "not a path or :stdout: access_log=:stderr"),
            (with("fromat", Value::Nil), "unknown option of access_log: fromat (did you mean format?)"),
            (with("rotate", Value::Nil), "unknown option of access_log: rotate"),
            (
                with("format", text("{client} {statsu}")),
                "unknown field of an access_log: statsu (did you mean status?)",
            ),
            (
                with("format", text("common")),
                "it is neither :json nor :combined, nor a template with a {field}: format=\"common\"",
            ),
            (with("format", Value::Symbol("common".into())), "format=:common is not one of :json, :combined"),
            (with("slow_only", Value::Int(-1)), "too low (< 0): slow_only=-1"),
            (with("slow_only", text("1")), "not a number: slow_only=\"1\""),
            (with("redact", Value::Int(1)), "neither :query nor names of parameters: redact=1"),
        ];
        for (value, want) in cases {
            assert_eq!(checked(&value), Err(want.into()), "{}", value.inspect());
        }
        let unknown = checked(&with("format", text("{upstream_connect_time}"))).unwrap_err();
        assert!(unknown.starts_with("unknown field of an access_log: upstream_connect_time (there are time, "));
    }
}
