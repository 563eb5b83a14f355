//! The options of `listen`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::nearest::closest;
use crate::record::record;
use crate::{Default, Value, options, settings};

/// What values a listener option takes. `nil` and `false` mean "leave it alone" for integers, as in Unicorn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionKind {
    /// An Integer.
    Integer,
    /// An Integer, `true` or `false`, which is 0. Anything else passes.
    Seconds,
    /// `true`, `false` or `nil`.
    Boolean,
    /// An Integer or a Float.
    Numeric,
    /// `true`, `false`, `nil`, or one of these Symbols. `true` means the last of them.
    Choice(&'static [&'static str]),
    /// Anything.
    Any,
}

/// Which listeners an option acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP only.
    Tcp,
    /// UNIX sockets only.
    Unix,
    /// Both.
    Both,
    /// None on this system: accepted and ignored.
    Neither,
}

/// One option of `listen`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ListenerOption {
    /// Its key.
    pub name: &'static str,
    /// What values it takes.
    pub kind: OptionKind,
    /// Which listeners it acts on.
    pub transport: Transport,
    /// What holds when it is not given.
    pub default: Default,
    /// What it does.
    pub doc: &'static str,
}

const fn option(kind: OptionKind, transport: Transport, default: Default, doc: &'static str) -> ListenerOption {
    ListenerOption { name: "", kind, transport, default, doc }
}

/// How long the queue of a socket is that is bound with no `backlog`: Unicorn's length.
pub const BACKLOG: i32 = 1024;

/// Defines the table of all options, and the struct of their values. `NAME: TYPE = ENTRY;` is an option whose value is of
/// that type; one without a type is not told.
macro_rules! options {
    ($($name:ident $(: $type:ty)? = $entry:expr;)*) => {
        /// Every option of `listen`.
        pub const OPTIONS: &[ListenerOption] = &[$(ListenerOption { name: stringify!($name), ..$entry },)*];

        record! {
            /// The values of all options of one listener.
            ListenerOptions {
                $($(
                    #[doc = concat!("The value of `", stringify!($name), "`.")]
                    $name: $type,
                )?)*
            }
        }

        /// Those of a listener that is given none.
        impl core::default::Default for ListenerOptions {
            fn default() -> Self {
                Self { $($($name: settings::read::<$type>($entry.default),)?)* }
            }
        }
    };
}

options! {
    backlog: Option<i64> = option(
        OptionKind::Integer,
        Transport::Both,
        Default::Described("1024"),
        "How many connections may wait (listen(2)). An inherited socket keeps its own limit, unless this is set.",
    );
    rcvbuf: Option<i64> =
        option(OptionKind::Integer, Transport::Both, Default::Described("unset"), "`SO_RCVBUF`, in bytes.");
    sndbuf: Option<i64> =
        option(OptionKind::Integer, Transport::Both, Default::Described("unset"), "`SO_SNDBUF`, in bytes.");
    tcp_nodelay: bool =
        option(OptionKind::Boolean, Transport::Tcp, Default::Bool(true), "`TCP_NODELAY` on accepted connections.");
    tcp_nopush: Option<bool> =
        option(OptionKind::Boolean, Transport::Tcp, Default::Described("unset"), "`TCP_CORK` on accepted connections.");
    tcp_defer_accept: i64 = option(
        OptionKind::Seconds,
        Transport::Tcp,
        Default::Int(1),
        "`TCP_DEFER_ACCEPT`, in seconds; `true` and `nil` are 1, `false` is 0.",
    );
    accept_filter =
        option(OptionKind::Any, Transport::Neither, Default::Described("unset"), "Only FreeBSD has it.");
    ipv6only: Option<bool> =
        option(OptionKind::Boolean, Transport::Tcp, Default::Described("the system's"), "`IPV6_V6ONLY`, when bound.");
    reuseport: bool =
        option(OptionKind::Boolean, Transport::Tcp, Default::Bool(false), "`SO_REUSEPORT`, when bound.");
    proxy_protocol: Option<String> = option(
        OptionKind::Choice(&["v1", "v2", "any"]),
        Transport::Both,
        Default::Described("false"),
        "Each connection has to begin with a header of the PROXY protocol, of this version or (`true`) of any; a connection \
         without one is closed. `REMOTE_ADDR`, `REMOTE_PORT`, `SERVER_ADDR` and `SERVER_PORT` come from it.",
    );
    umask: i64 =
        option(OptionKind::Integer, Transport::Unix, Default::Int(0), "The umask for the socket file, when bound.");
    tries: i64 = option(
        OptionKind::Integer,
        Transport::Both,
        Default::Int(5),
        "How often to try again when the address is in use; a negative number means for ever.",
    );
    delay: f64 = option(OptionKind::Numeric, Transport::Both, Default::Float(0.5), "Seconds between tries.");
}

/// Every option of a listener with its value: the one that was given and [checked](check_option), or the default.
pub fn complete_options(given: &[(String, Value)]) -> Vec<(&'static str, Value)> {
    let value = |option: &ListenerOption| {
        let given = given.iter().find(|(name, _)| name == option.name);
        match (option.kind, given.map_or(&Value::Nil, |(_, value)| value)) {
            (OptionKind::Seconds, Value::Bool(false)) => Value::Int(0),
            (_, Value::Nil) | (OptionKind::Integer | OptionKind::Seconds, Value::Bool(_)) => option.default.value(),
            (_, value) => value.clone(),
        }
    };
    OPTIONS.iter().map(|option| (option.name, value(option))).collect()
}

/// Checks one option.
///
/// # Errors
/// The text to raise, which names the option and the value; of an unknown one the nearest.
pub fn check_option(name: &str, value: &Value) -> Result<Value, String> {
    let kind = match OPTIONS.iter().find(|option| option.name == name) {
        Some(option) => option.kind,
        None => return Err(options::unknown("listen", name, nearest_option(name))),
    };
    match (kind, value) {
        (OptionKind::Any | OptionKind::Seconds, _)
        | (OptionKind::Integer, Value::Int(_) | Value::Nil | Value::Bool(false))
        | (OptionKind::Boolean, Value::Bool(_) | Value::Nil)
        | (OptionKind::Numeric, Value::Int(_) | Value::Float(_) | Value::Nil) => Ok(value.clone()),
        (OptionKind::Choice(_), Value::Nil | Value::Bool(false)) => Ok(Value::Nil),
        (OptionKind::Choice(words), Value::Bool(true)) => {
            Ok(words.last().map_or(Value::Nil, |word| Value::Symbol((*word).into())))
        }
        (OptionKind::Choice(words), Value::Symbol(word) | Value::Text(word)) if words.contains(&word.as_str()) => {
            Ok(Value::Symbol(word.clone()))
        }
        (OptionKind::Choice(words), _) => {
            Err(format!("{name}={} is not one of true, false, :{}", value.inspect(), words.join(", :")))
        }
        (OptionKind::Integer, _) => Err(format!("not an integer: {name}={}", value.inspect())),
        (OptionKind::Boolean, _) => Err(format!("not boolean: {name}={}", value.inspect())),
        (OptionKind::Numeric, _) => Err(format!("not numeric: {name}={}", value.inspect())),
    }
}

/// The option that a misspelled one most likely means, if one is close.
pub fn nearest_option(name: &str) -> Option<&'static str> {
    closest(name, OPTIONS.iter().map(|option| option.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn each_option_is_told_with_what_was_given_or_the_default() {
        let told = |name: &str, value: Value| {
            let all = complete_options(&[(name.to_string(), value)]);
            assert_eq!(all.len(), OPTIONS.len());
            all.into_iter().find(|(option, _)| *option == name).map(|(_, value)| value)
        };
        let cases = [
            ("backlog", Value::Int(5), Value::Int(5)),
            ("backlog", Value::Bool(false), Value::Nil),
            ("tries", Value::Bool(false), Value::Int(5)),
            ("umask", Value::Nil, Value::Int(0)),
            ("delay", Value::Nil, Value::Float(0.5)),
            ("tcp_nodelay", Value::Nil, Value::Bool(true)),
            ("tcp_nodelay", Value::Bool(false), Value::Bool(false)),
            ("tcp_nopush", Value::Nil, Value::Nil),
            ("tcp_defer_accept", Value::Nil, Value::Int(1)),
            ("tcp_defer_accept", Value::Bool(true), Value::Int(1)),
            ("tcp_defer_accept", Value::Bool(false), Value::Int(0)),
            ("tcp_defer_accept", Value::Int(30), Value::Int(30)),
            ("proxy_protocol", Value::Symbol("v1".into()), Value::Symbol("v1".into())),
        ];
        for (name, given, want) in cases {
            assert_eq!(told(name, given.clone()), Some(want), "{name}={}", given.inspect());
        }
    }

    #[test]
    fn a_listener_without_options_has_the_defaults_that_the_reference_shows() {
        let options = ListenerOptions::default();
        assert_eq!((options.backlog, options.tries, options.delay), (None, 5, 0.5));
        let shown = OPTIONS.iter().find(|option| option.name == "backlog").map(|option| option.default.text());
        assert_eq!(shown, Some(BACKLOG.to_string()));
    }
}
