//! Is this value right for this directive? The texts of Unicorn's directives are Unicorn's.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::{Directive, Kind, Value, workers};
use crate::{
    bytes, check_access_log, check_canary, check_probe, check_reforks, check_service, check_warm_up, listener,
};

/// Checks a value and normalises it: lowers what exceeds a cap, makes Symbols of choices.
///
/// # Errors
/// The text to raise, which names the directive and the value.
pub fn check(directive: &Directive, value: &Value) -> Result<Value, String> {
    let name = directive.name;
    match (directive.kind, value) {
        (Kind::Integer { min, .. }, Value::Int(n)) if *n < min => Err(too_low(name, &format!("{min}"), value)),
        (Kind::Integer { cap, .. }, Value::Int(n)) => Ok(Value::Int(cap.map_or(*n, |cap| cap.min(*n)))),
        (Kind::Integer { .. }, _) => Err(format!("not an integer: {name}={}", value.inspect())),

        (Kind::Workers, _) => workers::check(name, value),

        (Kind::Number { min }, Value::Int(_) | Value::Float(_)) => number(name, min, value),
        (Kind::Number { .. }, _) => Err(format!("not a number: {name}={}", value.inspect())),

        (Kind::Bytes, _) => bytes::check(name, value),
        (Kind::MemoryBudget, _) => bytes::check_budget(name, value),

        (Kind::Boolean, Value::Bool(_)) => Ok(value.clone()),
        (Kind::Boolean, _) => Err(format!("{name}={} not a boolean", value.inspect())),

        (Kind::Path { optional: true }, Value::Nil) => Ok(Value::Nil),
        (Kind::Path { .. }, Value::Text(path)) if !path.is_empty() => Ok(value.clone()),
        (Kind::Path { .. }, _) => Err(format!("not a path: {name}={}", value.inspect())),

        (Kind::Choice(words), Value::Symbol(word) | Value::Text(word)) if words.contains(&word.as_str()) => {
            Ok(Value::Symbol(word.clone()))
        }
        (Kind::Choice(words), _) => Err(format!("{name}={} is not one of :{}", value.inspect(), words.join(", :"))),

        (Kind::Hook { .. }, Value::Nil) => Ok(Value::Nil),
        (Kind::Hook { arity: need }, Value::Hook { arity, .. }) if *arity == need => Ok(value.clone()),
        (Kind::Hook { arity: need }, Value::Hook { arity, inspect }) => {
            Err(format!("{name}={inspect} has invalid arity: {arity} (need {need})"))
        }
        (Kind::Hook { .. }, _) => Err(format!("invalid type: {name}={}", value.inspect())),

        (Kind::Logger, _) => Ok(value.clone()),
        (Kind::Listen, _) => listen(value),
        (Kind::AccessLog, _) => check_access_log::check(value),
        (Kind::Canary, _) => check_canary::check(value),
        (Kind::Probe, _) => check_probe::check(value),
        (Kind::Service, _) => check_service::check(value),
        (Kind::WarmUp, _) => check_warm_up::check(value),
        (Kind::Address, _) => address(name, value),
        (Kind::Networks, _) => networks(name, value),
        (Kind::Hosts, _) => hosts(name, value),
        (Kind::Reforks, _) => check_reforks::check(name, value),
        (Kind::User, _) => user(value),
    }
}

fn too_low(name: &str, min: &str, value: &Value) -> String {
    format!("too low (< {min}): {name}={}", value.inspect())
}

fn number(name: &str, min: f64, value: &Value) -> Result<Value, String> {
    let n = match value {
        #[expect(clippy::cast_precision_loss, reason = "compared with a small bound only")]
        Value::Int(n) => *n as f64,
        Value::Float(n) => *n,
        _ => f64::NAN,
    };
    if !n.is_finite() {
        return Err(format!("not a number: {name}={}", value.inspect()));
    }
    if n < min {
        return Err(too_low(name, &format!("{min}"), value));
    }
    Ok(value.clone())
}

/// `listen address, options`: the address is only looked at for its type, what it means the master knows.
fn listen(value: &Value) -> Result<Value, String> {
    let (address, options): (&Value, &[(String, Value)]) = match value {
        Value::List(items) => match items.as_slice() {
            [address] | [address, Value::Nil] => (address, &[]),
            [address, Value::Map(options)] => (address, options),
            [_, options] => return Err(format!("not a hash: listen options={}", options.inspect())),
            _ => return Err("listen takes an address and options".into()),
        },
        address => (address, &[]),
    };
    match address {
        Value::Text(text) if !text.is_empty() => {}
        Value::Int(port) if (0..=65_535).contains(port) => {}
        Value::Int(port) => return Err(format!("not a port: listen={port}")),
        other => return Err(format!("not an address: listen={}", other.inspect())),
    }
    let checked: Result<Vec<_>, String> =
        options.iter().map(|(name, value)| Ok((name.clone(), listener::check_option(name, value)?))).collect();
    Ok(Value::List(vec![address.clone(), Value::Map(checked?)]))
}

/// `admin_listen 9293` or `"127.0.0.1:9293"`; what it means the master knows.
fn address(name: &str, value: &Value) -> Result<Value, String> {
    match value {
        Value::Nil => Ok(Value::Nil),
        Value::Text(text) if !text.is_empty() => Ok(value.clone()),
        Value::Int(port) if (0..=65_535).contains(port) => Ok(Value::Text(format!("{port}"))),
        other => Err(format!("not an address: {name}={}", other.inspect())),
    }
}

/// `trusted_proxies '10.0.0.0/8'` or a list of such.
fn networks(name: &str, value: &Value) -> Result<Value, String> {
    let items = match value {
        Value::Nil => return Ok(Value::Nil),
        Value::List(items) => items.as_slice(),
        one => core::slice::from_ref(one),
    };
    let checked: Result<Vec<Value>, String> = items
        .iter()
        .map(|item| match item {
            Value::Symbol(word) if word == "unix" => Ok(Value::Text("unix".into())),
            Value::Text(text) if text == "unix" || text == "unix:" => Ok(Value::Text("unix".into())),
            Value::Text(text) if is_network(text) => Ok(item.clone()),
            other => Err(format!("not an address or network: {name}={}", other.inspect())),
        })
        .collect();
    checked.map(Value::List)
}

/// `admin_hosts 'web1.example.com'` or a list of such.
fn hosts(name: &str, value: &Value) -> Result<Value, String> {
    let items = match value {
        Value::Nil => return Ok(Value::Nil),
        Value::List(items) => items.as_slice(),
        one => core::slice::from_ref(one),
    };
    let is_name = |text: &str| {
        !text.is_empty() && text.chars().all(|character| character.is_alphanumeric() || "-_.".contains(character))
    };
    match items.iter().find(|item| !matches!(item, Value::Text(text) if is_name(text))) {
        Some(other) => Err(format!("not a name of a machine: {name}={}", other.inspect())),
        None => Ok(Value::List(items.to_vec())),
    }
}

/// Tells whether a text is an address, alone or with the number of its bits that count.
fn is_network(text: &str) -> bool {
    let (address, bits) = text.split_once('/').unwrap_or((text, "0"));
    let all = address.parse().map_or(0, |address: IpAddr| if address.is_ipv4() { 32 } else { 128 });
    all > 0 && bits.parse::<u8>().is_ok_and(|bits| bits <= all)
}

/// `user name, group = nil`.
fn user(value: &Value) -> Result<Value, String> {
    let (name, group) = match value {
        Value::List(items) => match items.as_slice() {
            [name] => (name, &Value::Nil),
            [name, group] => (name, group),
            _ => return Err("user takes a name and a group".into()),
        },
        name => (name, &Value::Nil),
    };
    if !matches!(name, Value::Text(text) if !text.is_empty()) {
        return Err(format!("not a string: user={}", name.inspect()));
    }
    if !matches!(group, Value::Text(_) | Value::Nil) {
        return Err(format!("not a string: group={}", group.inspect()));
    }
    Ok(Value::List(vec![name.clone(), group.clone()]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn text(text: &str) -> Value {
        Value::Text(text.to_string())
    }

    fn symbol(name: &str) -> Value {
        Value::Symbol(name.to_string())
    }

    fn hook(arity: i32) -> Value {
        Value::Hook { arity, inspect: "#<Proc:0x1 u.rb:1>".to_string() }
    }

    fn listener(address: Value, options: &[(&str, Value)]) -> Value {
        let options = options.iter().map(|(k, v)| (k.to_string(), v.clone())).collect();
        Value::List(vec![address, Value::Map(options)])
    }

    #[track_caller]
    fn checked(name: &str, value: &Value) -> Result<Value, String> {
        check(crate::find(name).expect("a directive of the table"), value)
    }

    #[test]
    fn right_values_pass_and_are_normalised() {
        let cases = [
            ("timeout", Value::Int(3), Value::Int(3)),
            ("timeout", Value::Int(9_999_999), Value::Int(2_592_000)),
            ("worker_processes", symbol("auto"), symbol("auto")),
            ("boot_timeout", Value::Float(1.5), Value::Float(1.5)),
            ("shutdown_delay", Value::Int(0), Value::Int(0)),
            ("pid", Value::Nil, Value::Nil),
            ("stderr_path", text("log/x"), text("log/x")),
            ("upgrade", text("in_place"), symbol("in_place")),
            ("before_fork", hook(2), hook(2)),
            ("after_worker_exit", Value::Nil, Value::Nil),
            ("listen", Value::Int(80), listener(Value::Int(80), &[])),
            ("listen", Value::List(vec![text("/s"), Value::Nil]), listener(text("/s"), &[])),
            ("trusted_proxies", text("10.0.0.0/8"), Value::List(vec![text("10.0.0.0/8")])),
            ("admin_hosts", text(".example.com"), Value::List(vec![text(".example.com")])),
            (
                "trusted_proxies",
                Value::List(vec![text("::1"), symbol("unix")]),
                Value::List(vec![text("::1"), text("unix")]),
            ),
            ("user", text("nobody"), Value::List(vec![text("nobody"), Value::Nil])),
        ];
        for (name, value, want) in cases {
            assert_eq!(checked(name, &value), Ok(want), "{name}={}", value.inspect());
        }
    }

    #[test]
    fn wrong_values_are_refused_in_unicorns_words() {
        let cases = [
            ("worker_processes", text("4"), "not an integer: worker_processes=\"4\""),
            ("worker_processes", Value::Int(0), "too low (< 1): worker_processes=0"),
            ("timeout", Value::Float(3.5), "not an integer: timeout=3.5"),
            ("timeout", Value::Int(2), "too low (< 3): timeout=2"),
            ("timeout", symbol("auto"), "not an integer: timeout=:auto"),
            ("preload_app", Value::Nil, "preload_app=nil not a boolean"),
            ("client_body_buffer_size", Value::Int(-1), "too low (< 0): client_body_buffer_size=-1"),
            ("before_fork", hook(-1), "before_fork=#<Proc:0x1 u.rb:1> has invalid arity: -1 (need 2)"),
            ("before_exec", hook(2), "before_exec=#<Proc:0x1 u.rb:1> has invalid arity: 2 (need 1)"),
            ("after_fork", symbol("x"), "invalid type: after_fork=:x"),
            ("after_fork", Value::Other("#<Method: x>".to_string()), "invalid type: after_fork=#<Method: x>"),
            ("pid", Value::Int(5), "not a path: pid=5"),
            ("working_directory", Value::Nil, "not a path: working_directory=nil"),
            ("user", Value::Nil, "not a string: user=nil"),
            ("boot_timeout", Value::Float(0.5), "too low (< 1): boot_timeout=0.5"),
            ("boot_timeout", Value::Float(f64::NAN), "not a number: boot_timeout=NaN"),
            ("upgrade", symbol("x"), "upgrade=:x is not one of :auto, :two_masters, :in_place"),
            ("admin_hosts", text("http://web1"), "not a name of a machine: admin_hosts=\"http://web1\""),
            ("admin_hosts", Value::List(vec![Value::Int(1)]), "not a name of a machine: admin_hosts=1"),
            ("trusted_proxies", text("lb.example"), "not an address or network: trusted_proxies=\"lb.example\""),
            ("trusted_proxies", text("10.0.0.0/33"), "not an address or network: trusted_proxies=\"10.0.0.0/33\""),
            ("listen", Value::Nil, "not an address: listen=nil"),
            ("listen", Value::Int(99_999), "not a port: listen=99999"),
            ("listen", listener(Value::Int(1), &[("backlog", text("5"))]), "not an integer: backlog=\"5\""),
            (
                "listen",
                listener(Value::Int(1), &[("backlogg", Value::Int(5))]),
                "unknown option of listen: backlogg (did you mean backlog?)",
            ),
            ("listen", listener(Value::Int(1), &[("fast", Value::Nil)]), "unknown option of listen: fast"),
            ("listen", listener(Value::Int(1), &[("tcp_nodelay", Value::Int(1))]), "not boolean: tcp_nodelay=1"),
            ("listen", listener(Value::Int(1), &[("delay", text("x"))]), "not numeric: delay=\"x\""),
        ];
        for (name, value, want) in cases {
            assert_eq!(checked(name, &value), Err(want.to_string()), "{name}={}", value.inspect());
        }
    }
}
