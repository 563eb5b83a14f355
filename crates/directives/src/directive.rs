//! What an entry of the table says of its directive.

use alloc::string::{String, ToString};

use crate::Value;

/// Where a directive comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Unicorn has it too, with the same meaning.
    Unicorn,
    /// Licorne's own.
    Licorne,
}

impl Origin {
    /// The lower-case name: `unicorn` or `licorne`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unicorn => "unicorn",
            Self::Licorne => "licorne",
        }
    }
}

/// What values a directive takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// An Integer of at least `min`; above `cap` it is silently lowered to it.
    Integer {
        /// The least value.
        min: i64,
        /// The greatest value that has an effect.
        cap: Option<i64>,
    },
    /// A number of workers or `:auto`, or two of them: an Integer, or a Range.
    Workers,
    /// An Integer or Float of at least `min`.
    Number {
        /// The least value.
        min: f64,
    },
    /// A number of bytes of at least 0, or a text such as `"300M"`.
    Bytes,
    /// The same, or a Float of at most 1: a share.
    MemoryBudget,
    /// `true` or `false`.
    Boolean,
    /// A file or directory name. `optional` allows `nil`.
    Path {
        /// Whether `nil` is a value.
        optional: bool,
    },
    /// One of these Symbols.
    Choice(&'static [&'static str]),
    /// A block or Proc of exactly this arity; `nil` is the default hook.
    Hook {
        /// The number of arguments.
        arity: i32,
    },
    /// An object that answers as Ruby's Logger does.
    Logger,
    /// An address and a map of listener options; see [`crate::OPTIONS`].
    Listen,
    /// A file, or standard output, and a map of options; `nil` is none.
    AccessLog,
    /// Whether, and a map of options; `nil` is not.
    Canary,
    /// Paths, and a map of options; `nil` is none.
    Probe,
    /// A name, and a map of options; it may be given again for another name.
    Service,
    /// Paths, and a map of options; beside them there may be a block.
    WarmUp,
    /// One address to listen on, or a port; `nil` is none.
    Address,
    /// Addresses and networks: one or a list. `:unix` is allowed.
    Networks,
    /// Names of machines: one or a list.
    Hosts,
    /// Counts of requests: one, or a list whose last one may be `false`; `nil` is none.
    Reforks,
    /// A user name and, optionally, a group name.
    User,
}

impl Kind {
    /// The type's name, as the DSL and the reference show it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Integer { .. } => "integer",
            Self::Workers => "workers",
            Self::Number { .. } => "number",
            Self::Bytes => "bytes",
            Self::MemoryBudget => "memory_budget",
            Self::Boolean => "boolean",
            Self::Path { .. } => "path",
            Self::Choice(_) => "choice",
            Self::Hook { .. } => "hook",
            Self::Logger => "logger",
            Self::Listen => "listen",
            Self::AccessLog => "access_log",
            Self::Canary => "canary",
            Self::Probe => "probe",
            Self::Service => "service",
            Self::WarmUp => "warm_up",
            Self::Address => "address",
            Self::Networks => "networks",
            Self::Hosts => "hosts",
            Self::Reforks => "reforks",
            Self::User => "user",
        }
    }
}

/// The value when the configuration does not set it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Default {
    /// Nothing: `nil`.
    Unset,
    /// `true` or `false`.
    Bool(bool),
    /// An Integer.
    Int(i64),
    /// A Float.
    Float(f64),
    /// A Symbol.
    Symbol(&'static str),
    /// Something that words describe better than a value; the value is `nil`.
    Described(&'static str),
}

impl Default {
    /// The default as a value.
    pub fn value(&self) -> Value {
        match self {
            Self::Unset | Self::Described(_) => Value::Nil,
            Self::Bool(b) => Value::Bool(*b),
            Self::Int(n) => Value::Int(*n),
            Self::Float(n) => Value::Float(*n),
            Self::Symbol(name) => Value::Symbol((*name).to_string()),
        }
    }

    /// The default as the reference shows it.
    pub fn text(&self) -> String {
        match self {
            Self::Described(words) => (*words).to_string(),
            other => other.value().inspect(),
        }
    }
}

/// One directive of the configuration file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Directive {
    /// The method of the DSL, and the key in `set`.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// What its numbers count.
    pub unit: Option<&'static str>,
    /// The value when the configuration does not set it.
    pub default: Default,
    /// The variable of the environment that gives the default, when set and not blank.
    pub environment: Option<&'static str>,
    /// Whether a reload applies a change; otherwise an upgrade does.
    pub reloadable: bool,
    /// The version of Licorne that has it first.
    pub since: &'static str,
    /// Where it comes from.
    pub origin: Origin,
    /// What it does, in one or two sentences.
    pub doc: &'static str,
}

/// An entry for a directive of Unicorn's.
pub(crate) const fn unicorn(kind: Kind, default: Default, doc: &'static str) -> Directive {
    Directive { origin: Origin::Unicorn, ..licorne(kind, default, doc) }
}

/// An entry for one of Licorne's own. Its name the table gives.
pub(crate) const fn licorne(kind: Kind, default: Default, doc: &'static str) -> Directive {
    let (name, since, origin) = ("", "0.1.0", Origin::Licorne);
    Directive { name, kind, unit: None, default, environment: None, reloadable: true, since, origin, doc }
}

/// One for a size that a client must not exceed.
pub(crate) const fn bytes(default: i64, doc: &'static str) -> Directive {
    licorne(integer(1), Default::Int(default), doc).unit("bytes")
}

/// One for a speed that a client must have: Kestrel's.
pub(crate) const fn rate(doc: &'static str) -> Directive {
    licorne(integer(0), Default::Int(240), doc).unit("bytes per second")
}

/// An Integer of at least `min`.
pub(crate) const fn integer(min: i64) -> Kind {
    Kind::Integer { min, cap: None }
}

impl Directive {
    /// Its numbers count these.
    pub(crate) const fn unit(self, unit: &'static str) -> Self {
        Self { unit: Some(unit), ..self }
    }

    /// The environment gives its default.
    pub(crate) const fn environment(self, variable: &'static str) -> Self {
        Self { environment: Some(variable), ..self }
    }

    /// A reload does not apply its changes.
    pub(crate) const fn fixed(self) -> Self {
        Self { reloadable: false, ..self }
    }
}
