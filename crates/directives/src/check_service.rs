//! Is this value right for `service`?

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::nearest::closest;
use crate::{Value, options};

/// The options.
const OPTIONS: [&str; 5] = ["command", "overlap", "stop_timeout", "stop_signal", "min_uptime"];
/// Signals that may ask a service to leave.
pub(crate) const SIGNALS: [&str; 6] = ["TERM", "INT", "QUIT", "HUP", "USR1", "USR2"];

/// Checks `service name, options`, and completes it: a map with all that [`crate::Service`] has.
///
/// # Errors
/// The text to raise.
pub(crate) fn check(value: &Value) -> Result<Value, String> {
    let (name, options) = options::split(value).ok_or("service takes a name and options")?;
    let is_name = |text: &str| {
        let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !text.is_empty() && text.len() <= 64 && text.bytes().all(of_name)
    };
    let name = match name {
        Value::Text(text) | Value::Symbol(text) if is_name(text) => Value::Text(text.clone()),
        other => {
            return Err(format!("not a name of letters, digits, \"-\", \"_\" and \".\": service={}", other.inspect()));
        }
    };
    let mut command = Value::Nil;
    let mut overlap = Value::Bool(false);
    let mut stop_timeout = Value::Int(25);
    let mut stop_signal = Value::Text("TERM".into());
    let mut min_uptime = Value::Int(5);
    for (name, value) in options {
        match name.as_str() {
            "command" => command = check_command(value)?,
            "overlap" if matches!(value, Value::Bool(_)) => overlap = value.clone(),
            "overlap" => return Err(format!("overlap={} not a boolean", value.inspect())),
            "stop_timeout" => stop_timeout = check_seconds("stop_timeout", value)?,
            "stop_signal" => stop_signal = check_signal(value)?,
            "min_uptime" => min_uptime = check_seconds("min_uptime", value)?,
            _ => return Err(options::unknown("service", name, closest(name, OPTIONS.into_iter()))),
        }
    }
    Ok(Value::Map(vec![
        ("name".into(), name),
        ("command".into(), command),
        ("overlap".into(), overlap),
        ("stop_timeout".into(), stop_timeout),
        ("stop_signal".into(), stop_signal),
        ("min_uptime".into(), min_uptime),
    ]))
}

fn check_command(value: &Value) -> Result<Value, String> {
    let items = match value {
        Value::Nil => return Ok(Value::Nil),
        Value::List(items) => items.as_slice(),
        _ => &[],
    };
    let is_word = |item: &Value| matches!(item, Value::Text(text) if !text.contains('\0'));
    let program = matches!(items.first(), Some(Value::Text(text)) if !text.is_empty());
    if program && items.iter().all(is_word) {
        return Ok(Value::List(items.to_vec()));
    }
    Err(format!("not a list of a program and its arguments: command={}", value.inspect()))
}

fn check_seconds(name: &str, value: &Value) -> Result<Value, String> {
    match value {
        Value::Int(seconds) if *seconds >= 0 => Ok(value.clone()),
        Value::Float(seconds) if seconds.is_finite() && *seconds >= 0.0 => Ok(value.clone()),
        Value::Int(_) | Value::Float(_) => Err(format!("too low (< 0): {name}={}", value.inspect())),
        other => Err(format!("not a number: {name}={}", other.inspect())),
    }
}

fn check_signal(value: &Value) -> Result<Value, String> {
    let name = match value {
        Value::Text(name) | Value::Symbol(name) => name.strip_prefix("SIG").unwrap_or(name),
        _ => "",
    };
    if SIGNALS.contains(&name) {
        return Ok(Value::Text(name.into()));
    }
    let known: Vec<String> = SIGNALS.iter().map(|name| format!(":{name}")).collect();
    Err(format!("stop_signal={} is not one of {}", value.inspect(), known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find;

    fn check(value: &Value) -> Result<Value, String> {
        crate::check(find("service").unwrap(), value)
    }

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    fn with(name: &str, value: Value) -> Value {
        Value::List(vec![text("jobs"), Value::Map(vec![(name.into(), value)])])
    }

    #[test]
    fn a_service_is_completed() {
        let command = Value::List(vec![text("bundle"), text("exec"), text("sidekiq")]);
        let Ok(Value::Map(entries)) = check(&with("command", command.clone())) else { panic!() };
        let want = [
            ("name", text("jobs")),
            ("command", command),
            ("overlap", Value::Bool(false)),
            ("stop_timeout", Value::Int(25)),
            ("stop_signal", text("TERM")),
            ("min_uptime", Value::Int(5)),
        ];
        assert_eq!(entries, want.map(|(name, value)| (name.into(), value)));
        let Ok(Value::Map(entries)) = check(&with("stop_signal", Value::Symbol("SIGINT".into()))) else { panic!() };
        assert_eq!(entries[4].1, text("INT"));
        let Ok(Value::Map(entries)) = check(&Value::List(vec![Value::Symbol("jobs".into())])) else { panic!() };
        assert_eq!((&entries[0].1, &entries[1].1), (&text("jobs"), &Value::Nil));
    }

    #[test]
    fn a_wrong_service_is_told_in_rubys_words() {
        let name = "not a name of letters, digits, \"-\", \"_\" and \".\": service=";
        let command = "not a list of a program and its arguments: command=";
        for (value, told) in [
            (text("a b"), format!("{name}\"a b\"")),
            (Value::Int(5), format!("{name}5")),
            (with("command", text("rake jobs")), format!("{command}\"rake jobs\"")),
            (with("command", Value::List(Vec::new())), format!("{command}[]")),
            (with("command", Value::List(vec![text("a"), Value::Int(1)])), format!("{command}[\"a\", 1]")),
            (with("overlap", Value::Nil), "overlap=nil not a boolean".into()),
            (with("stop_timeout", Value::Int(-1)), "too low (< 0): stop_timeout=-1".into()),
            (with("min_uptime", text("5s")), "not a number: min_uptime=\"5s\"".into()),
            (
                with("stop_signal", text("KILL")),
                "stop_signal=\"KILL\" is not one of :TERM, :INT, :QUIT, :HUP, :USR1, :USR2".into(),
            ),
            (
                with("stop_timeut", Value::Nil),
                "unknown option of service: stop_timeut (did you mean stop_timeout?)".into(),
            ),
        ] {
            assert_eq!(check(&value), Err(told));
        }
    }
}
