//! Settings that were told to a program before this one, or by a mold that such a program has started: what that version
//! had no word for is what a silent configuration means. The settings of this version's molds are complete.

use directives::{Directive, Kind, TABLE};
use serde_json::{Map, Value, json};

use crate::config::error::Error;

/// Completes the settings that a mold has told.
///
/// # Errors
/// They are no settings.
pub(crate) fn complete(told: &str) -> Result<String, Error> {
    let mut told: Map<String, Value> = serde_json::from_str(told).map_err(Error::NoJson)?;
    for directive in TABLE {
        told.entry(directive.name).or_insert_with(|| silent(directive));
    }
    told.entry("service_environment").or_insert(Value::Null);
    for listener in told.get_mut("listeners").and_then(Value::as_array_mut).into_iter().flatten() {
        complete_listener(listener.as_object_mut().ok_or(Error::NoListener)?);
    }
    Ok(Value::Object(told).to_string())
}

fn silent(directive: &Directive) -> Value {
    match directive.kind {
        Kind::Hook { .. } => json!(false),
        _ => to_json(&directive.default.value()),
    }
}

/// Gives a listener all that is told of one.
fn complete_listener(listener: &mut Map<String, Value>) {
    let given: Vec<_> = listener.iter().map(|(name, value)| (name.clone(), of_json(value))).collect();
    let options = directives::complete_options(&given);
    listener.extend(options.into_iter().map(|(name, value)| (name.to_string(), to_json(&value))));
    for name in ["resolved", "unresolved", "place"] {
        listener.entry(name).or_insert(Value::Null);
    }
}

fn of_json(value: &Value) -> directives::Value {
    match value {
        Value::Null => directives::Value::Nil,
        Value::Bool(value) => directives::Value::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => directives::Value::Int(number),
            None => directives::Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => directives::Value::Text(text.clone()),
        other => directives::Value::Other(other.to_string()),
    }
}

pub(crate) fn to_json(value: &directives::Value) -> Value {
    match value {
        directives::Value::Bool(value) => json!(value),
        directives::Value::Int(number) => json!(number),
        directives::Value::Float(number) => json!(number),
        directives::Value::Text(text) | directives::Value::Symbol(text) => json!(text),
        directives::Value::Other(text) => json!(text),
        directives::Value::Nil
        | directives::Value::List(_)
        | directives::Value::Map(_)
        | directives::Value::Hook { .. } => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::Settings;
    use std::path::Path;
    use std::time::Duration;

    /// What a mold told before each option of each listener was told, word by word.
    const FIRST: &str = include_str!("../../golden/settings-1.json");

    #[test]
    fn settings_of_the_first_molds_are_completed() {
        assert_eq!(Settings::parse(FIRST).unwrap_err().to_string(), "missing field `slow_request`");
        let settings = Settings::parse(&complete(FIRST).unwrap()).unwrap();
        let processes = &settings.processes;
        assert_eq!((processes.worker_processes.most, processes.timeout), (2, Duration::from_secs(30)));
        assert_eq!((settings.pid(), settings.stdout_path()), (Some(Path::new("tmp/app.pid")), None));
        assert_eq!(settings.user.as_ref().map(|user| (user.name.as_str(), user.uid)), Some(("www-data", 33)));
        assert_eq!(settings.program_path.as_deref(), Some(Path::new("/usr/bin/licorne")));
        let [first, second, third] = &settings.listeners[..] else { panic!("three listeners") };
        assert_eq!(
            (first.options.backlog, first.options.tcp_nopush, first.options.delay),
            (Some(64), Some(false), 0.5)
        );
        assert_eq!(second.address().unwrap().to_string(), "127.0.0.1:8081");
        assert_eq!((second.options.tcp_defer_accept, second.proxy.as_deref()), (0, Some("any")));
        assert_eq!((third.options.umask, third.options.tries, third.options.delay), (0o77, 5, 1.0));
        assert_eq!(first.explain("no"), "u.rb:3: listen \"8080\": no");
    }

    #[test]
    fn a_directive_that_was_not_known_is_as_in_a_silent_configuration() {
        let mut told: Value = serde_json::from_str(FIRST).unwrap();
        let fields = told.as_object_mut().unwrap();
        TABLE.iter().for_each(|directive| drop(fields.remove(directive.name)));
        let settings = Settings::parse(&complete(&told.to_string()).unwrap()).unwrap();
        assert_eq!(settings.processes, directives::Settings::default().processes);
    }

    #[test]
    fn complete_settings_stay_as_they_are() {
        let once = complete(FIRST).unwrap();
        assert_eq!(complete(&once).unwrap(), once);
    }
}
