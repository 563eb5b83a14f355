//! The options of `listen`.

use alloc::format;
use alloc::string::String;

use crate::Value;
use crate::nearest::closest;

/// What values a listener option takes. `nil` and `false` mean "leave it alone" for integers, as in Unicorn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionKind {
    /// An Integer.
    Integer,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Option {
    /// Its key.
    pub name: &'static str,
    /// What values it takes.
    pub kind: OptionKind,
    /// Which listeners it acts on.
    pub transport: Transport,
    /// The default, as the reference shows it.
    pub default: &'static str,
    /// What it does.
    pub doc: &'static str,
}

const fn option(
    name: &'static str,
    kind: OptionKind,
    transport: Transport,
    default: &'static str,
    doc: &'static str,
) -> Option {
    Option { name, kind, transport, default, doc }
}

/// Every option of `listen`.
pub const OPTIONS: &[Option] = &[
    option(
        "backlog",
        OptionKind::Integer,
        Transport::Both,
        "1024",
        "How many connections may wait (listen(2)). A socket that was inherited keeps its own, unless this is set.",
    ),
    option("rcvbuf", OptionKind::Integer, Transport::Both, "unset", "`SO_RCVBUF`, in bytes."),
    option("sndbuf", OptionKind::Integer, Transport::Both, "unset", "`SO_SNDBUF`, in bytes."),
    option("tcp_nodelay", OptionKind::Boolean, Transport::Tcp, "true", "`TCP_NODELAY` on accepted connections."),
    option("tcp_nopush", OptionKind::Boolean, Transport::Tcp, "unset", "`TCP_CORK` on accepted connections."),
    option(
        "tcp_defer_accept",
        OptionKind::Any,
        Transport::Tcp,
        "1",
        "`TCP_DEFER_ACCEPT`, in seconds; `true` and `nil` are 1, `false` is 0.",
    ),
    option("accept_filter", OptionKind::Any, Transport::Neither, "unset", "Only FreeBSD has it."),
    option("ipv6only", OptionKind::Boolean, Transport::Tcp, "the system's", "`IPV6_V6ONLY`, when bound."),
    option("reuseport", OptionKind::Boolean, Transport::Tcp, "false", "`SO_REUSEPORT`, when bound."),
    option(
        "proxy_protocol",
        OptionKind::Choice(&["v1", "v2", "any"]),
        Transport::Both,
        "false",
        "Each connection has to begin with a header of the PROXY protocol, of this version or (`true`) of any; one without \
         is closed. `REMOTE_ADDR`, `REMOTE_PORT`, `SERVER_ADDR` and `SERVER_PORT` come from it.",
    ),
    option("umask", OptionKind::Integer, Transport::Unix, "0", "The umask for the socket file, when bound."),
    option(
        "tries",
        OptionKind::Integer,
        Transport::Both,
        "5",
        "How often to try again when the address is in use; negative is for ever.",
    ),
    option("delay", OptionKind::Numeric, Transport::Both, "0.5", "Seconds between tries."),
];

/// An option of Unicorn's for another system.
const ELSEWHERE: &str = "accept_filter";

/// Checks one option.
///
/// # Errors
/// The text to raise, which names the option and the value; of an unknown one the nearest.
pub fn check_option(name: &str, value: &Value) -> Result<Value, String> {
    let kind = match OPTIONS.iter().find(|option| option.name == name) {
        Some(option) => option.kind,
        None if name == ELSEWHERE => OptionKind::Any,
        None => {
            let hint = nearest_option(name).map_or_else(String::new, |near| format!(" (did you mean {near}?)"));
            return Err(format!("unknown option of listen: {name}{hint}"));
        }
    };
    match (kind, value) {
        (OptionKind::Any, _)
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
pub fn nearest_option(name: &str) -> core::option::Option<&'static str> {
    closest(name, OPTIONS.iter().map(|option| option.name))
}
