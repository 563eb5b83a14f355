//! The table itself.

use alloc::string::{String, ToString};

use crate::Value;
use crate::clients::CLIENTS;

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
    /// An Integer of at least `min`; above `cap` it is silently lowered to it. `auto` allows the Symbol `:auto`.
    Integer {
        /// The least value.
        min: i64,
        /// The greatest value that has an effect.
        cap: Option<i64>,
        /// Whether `:auto` is a value.
        auto: bool,
    },
    /// An Integer or Float of at least `min`.
    Number {
        /// The least value.
        min: f64,
    },
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
    /// One address to listen on, or a port; `nil` is none.
    Address,
    /// Addresses and networks: one or a list. `:unix` is allowed.
    Networks,
    /// Names of machines: one or a list.
    Hosts,
    /// A user name and, optionally, a group name.
    User,
}

impl Kind {
    /// The type's name, as the DSL and the reference show it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Integer { .. } => "integer",
            Self::Number { .. } => "number",
            Self::Boolean => "boolean",
            Self::Path { .. } => "path",
            Self::Choice(_) => "choice",
            Self::Hook { .. } => "hook",
            Self::Logger => "logger",
            Self::Listen => "listen",
            Self::Address => "address",
            Self::Networks => "networks",
            Self::Hosts => "hosts",
            Self::User => "user",
        }
    }
}

/// What holds when the configuration is silent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Default {
    /// Nothing: `nil`.
    Unset,
    /// `true` or `false`.
    Bool(bool),
    /// An Integer.
    Int(i64),
    /// A Symbol.
    Symbol(&'static str),
    /// Something that a word of prose tells better than a value; the value is `nil`.
    Described(&'static str),
}

impl Default {
    /// The default as a value.
    pub fn value(&self) -> Value {
        match self {
            Self::Unset | Self::Described(_) => Value::Nil,
            Self::Bool(b) => Value::Bool(*b),
            Self::Int(n) => Value::Int(*n),
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
    /// What holds when the configuration is silent.
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

/// The directive with this name.
pub fn find(name: &str) -> Option<&'static Directive> {
    TABLE.iter().find(|directive| directive.name == name)
}

const fn unicorn(name: &'static str, kind: Kind, default: Default, doc: &'static str) -> Directive {
    let origin = Origin::Unicorn;
    Directive { name, kind, unit: None, default, environment: None, reloadable: true, since: "0.1.0", origin, doc }
}

pub(crate) const fn licorne(name: &'static str, kind: Kind, default: Default, doc: &'static str) -> Directive {
    let origin = Origin::Licorne;
    Directive { name, kind, unit: None, default, environment: None, reloadable: true, since: "0.1.0", origin, doc }
}

pub(crate) const fn integer(min: i64) -> Kind {
    Kind::Integer { min, cap: None, auto: false }
}

/// Unicorn's greatest timeout, in seconds: thirty days.
const LONGEST_TIMEOUT: i64 = 30 * 24 * 60 * 60;

/// Every directive, Unicorn's first, each group in the order in which the reference shows it.
pub const TABLE: &[Directive] = &joined::<{ SERVER.len() + CLIENTS.len() }>(&[SERVER, CLIENTS]);

/// Makes one list of several, when this is compiled.
const fn joined<const N: usize>(groups: &[&[Directive]]) -> [Directive; N] {
    let mut all = [groups[0][0]; N];
    let (mut group, mut next) = (0, 0);
    while group < groups.len() {
        let mut index = 0;
        while index < groups[group].len() {
            all[next] = groups[group][index];
            (index, next) = (index + 1, next + 1);
        }
        group += 1;
    }
    all
}

/// All but those that bound what a client may do.
const SERVER: &[Directive] = &[
    Directive {
        environment: Some("WEB_CONCURRENCY"),
        ..unicorn(
            "worker_processes",
            Kind::Integer { min: 1, cap: None, auto: true },
            Default::Int(1),
            "How many workers serve requests, each one request at a time. `:auto` is the CPU quota of the cgroup, or the \
             number of processors.",
        )
    },
    Directive {
        unit: Some("seconds"),
        ..unicorn(
            "timeout",
            Kind::Integer { min: 3, cap: Some(LONGEST_TIMEOUT), auto: false },
            Default::Int(60),
            "How long one request may last before its worker is killed and replaced. Also bounds a graceful stop.",
        )
    },
    Directive {
        environment: Some("PORT"),
        ..unicorn(
            "listen",
            Kind::Listen,
            Default::Described("`0.0.0.0:8080`"),
            "Adds a listener: a port, `\"host:port\"`, `\"[ipv6]:port\"`, `\"/path/of.sock\"` or `\"unix:path\"`, and \
             the options below. `PORT` replaces 8080 when there is no other listener. \
             `\"systemd:name\"` gives options to the sockets that systemd passes under that name (`FileDescriptorName=`), \
             which are listened on in any case.",
        )
    },
    unicorn(
        "pid",
        Kind::Path { optional: true },
        Default::Unset,
        "The file that holds the master's process id while it runs.",
    ),
    unicorn(
        "preload_app",
        Kind::Boolean,
        Default::Bool(false),
        "Load the application once, in the mold, before workers are forked: memory is shared and workers start at once.",
    ),
    unicorn(
        "worker_exec",
        Kind::Boolean,
        Default::Bool(false),
        "Start each worker as a fresh Ruby program instead of a mere fork, so that its address space is its own.",
    ),
    Directive {
        ..unicorn(
            "default_middleware",
            Kind::Boolean,
            Default::Bool(true),
            "Wrap the application as `RACK_ENV` asks: in development with ContentLength, CommonLogger, ShowExceptions, \
             Lint and TempfileReaper, in deployment with ContentLength, CommonLogger and TempfileReaper. `-N` wins.",
        )
    },
    unicorn(
        "early_hints",
        Kind::Boolean,
        Default::Bool(false),
        "Give the application `rack.early_hints`, which sends `103 Early Hints`.",
    ),
    unicorn(
        "check_client_connection",
        Kind::Boolean,
        Default::Bool(false),
        "Do not call the application for a client that has already left. Not with `tcp_nopush: true`.",
    ),
    unicorn(
        "rewindable_input",
        Kind::Boolean,
        Default::Bool(true),
        "Whether `rack.input` can be rewound. `false` keeps nothing of a body: it streams to the application.",
    ),
    Directive {
        unit: Some("bytes"),
        ..unicorn(
            "client_body_buffer_size",
            integer(0),
            Default::Int(114_688),
            "Request bodies up to this size stay in memory in any case; see `body_memory` for longer ones.",
        )
    },
    Directive {
        unit: Some("bytes"),
        ..licorne(
            "body_memory",
            integer(0),
            Default::Int(16_777_216),
            "Memory of one worker that request bodies above `client_body_buffer_size` share. A body that needs more than a \
             quarter of it, or comes when it is taken, goes to an unlinked temporary file. 0 sends them all there.",
        )
    },
    unicorn(
        "logger",
        Kind::Logger,
        Default::Described("`Logger.new($stderr)`"),
        "Where the server logs, and what the application sees as `rack.logger`.",
    ),
    unicorn(
        "stderr_path",
        Kind::Path { optional: true },
        Default::Described("unset; `/dev/null` with `-D`"),
        "The file that standard error is appended to.",
    ),
    unicorn(
        "stdout_path",
        Kind::Path { optional: true },
        Default::Described("unset; `/dev/null` with `-D`"),
        "The file that standard output is appended to.",
    ),
    unicorn(
        "working_directory",
        Kind::Path { optional: false },
        Default::Described("where the server was started"),
        "The directory to work in. Acts at once, while the file is being read; a symbolic link is followed anew by each \
         reload.",
    ),
    unicorn(
        "user",
        Kind::User,
        Default::Unset,
        "The user, and optionally the group, that workers run as. Without a group it is the user's own, with the \
         supplementary groups of the user. Logs, pid file and UNIX sockets are opened as this user where others than \
         root can write a directory on the way to them.",
    ),
    unicorn(
        "before_fork",
        Kind::Hook { arity: 2 },
        Default::Described("logs `worker=N spawning...`"),
        "Called in the mold with server and worker, before each worker is forked.",
    ),
    unicorn(
        "after_fork",
        Kind::Hook { arity: 2 },
        Default::Described("logs `worker=N spawned pid=P`"),
        "Called in the worker with server and worker, before the user is switched and the application is loaded.",
    ),
    unicorn(
        "after_worker_ready",
        Kind::Hook { arity: 2 },
        Default::Described("logs `worker=N ready`"),
        "Called in the worker with server and worker, once the application is loaded, just before it serves.",
    ),
    unicorn(
        "after_worker_exit",
        Kind::Hook { arity: 3 },
        Default::Described("logs `reaped STATUS worker=N`"),
        "Called in the mold with server, worker and a Process::Status, when a worker has died.",
    ),
    unicorn(
        "before_exec",
        Kind::Hook { arity: 1 },
        Default::Described("logs `forked child re-executing...`"),
        "Called with server in a child of the mold before an upgrade; what it changes in `ENV` the new program gets.",
    ),
    Directive {
        unit: Some("seconds"),
        ..licorne(
            "timeout_cleanup",
            Kind::Number { min: 0.0 },
            Default::Int(3),
            "How long before its end by `timeout` a request is reported: its worker logs the backtrace of each thread and \
             calls `after_worker_timeout`. Never more than half of `timeout`; 0 reports nothing. `timeout 20, cleanup: 3` \
             sets both.",
        )
    },
    licorne(
        "after_worker_timeout",
        Kind::Hook { arity: 3 },
        Default::Described("does nothing"),
        "Called in the worker, in a thread of its own, with server, worker and what is known (`thread`, `rack_env`, \
         `elapsed` in seconds), once its request has been reported and is about to be ended by `timeout`.",
    ),
    Directive {
        unit: Some("seconds"),
        ..licorne(
            "boot_timeout",
            Kind::Number { min: 1.0 },
            Default::Int(120),
            "How long a mold or a worker may take from its start until it is ready. One that takes longer is killed.",
        )
    },
    Directive {
        unit: Some("workers"),
        ..licorne(
            "surge",
            integer(1),
            Default::Int(1),
            "How many workers beyond `worker_processes` may live while a reload replaces them.",
        )
    },
    licorne(
        "term_signal",
        Kind::Choice(&["graceful", "quick"]),
        Default::Symbol("graceful"),
        "What SIGTERM means: finish the running requests, or leave at once as Unicorn does.",
    ),
    Directive {
        unit: Some("seconds"),
        ..licorne(
            "shutdown_delay",
            Kind::Number { min: 0.0 },
            Default::Int(0),
            "How long to keep serving after a graceful stop was asked for, so that load balancers can notice.",
        )
    },
    Directive {
        unit: Some("seconds"),
        ..licorne(
            "keepalive_timeout",
            Kind::Number { min: 0.0 },
            Default::Int(75),
            "How long a connection may stay idle between requests. 0 closes after each response.",
        )
    },
    Directive {
        unit: Some("seconds"),
        ..licorne(
            "header_timeout",
            Kind::Number { min: 1.0 },
            Default::Int(60),
            "How long a client may pause while it sends the head of a request. Not how long the head may take in all.",
        )
    },
    Directive {
        unit: Some("seconds"),
        ..licorne(
            "body_timeout",
            Kind::Number { min: 1.0 },
            Default::Int(60),
            "How long a client may pause while it sends a body. A slow upload that keeps coming is let through.",
        )
    },
    Directive {
        unit: Some("seconds"),
        ..licorne(
            "write_timeout",
            Kind::Number { min: 1.0 },
            Default::Int(60),
            "How long a client may pause while it takes a response.",
        )
    },
    Directive {
        unit: Some("seconds"),
        ..licorne(
            "keepalive_linger",
            Kind::Number { min: 0.0 },
            Default::Int(2),
            "How long idle kept-alive connections may stay on a worker that retires while no other worker takes them, so \
             that a client that is about to send its next request is still served.",
        )
    },
    licorne(
        "worker_connections",
        integer(1),
        Default::Int(10_000),
        "How many connections one worker keeps open at once, but never more than its limit of descriptors allows. A worker \
         that has so many leaves newcomers to others that have room. When none has, the connection that has been idle for \
         longest makes room for the next; when none is idle, the slowest body: on average over its whole time, if that is less \
         than 16 KiB a second and it began more than a second ago. Without one it is the connection whose request head has \
         been awaited for longest, whether or not it sends a byte now and then. A \
         connection whose request has begun to be served, or takes a response, is never closed for another.",
    ),
    licorne(
        "drop_underscore_headers",
        Kind::Boolean,
        Default::Bool(true),
        "Ignore request fields with an underscore in their name: they could pose as the ones with a hyphen.",
    ),
    Directive {
        ..licorne(
            "upgrade",
            Kind::Choice(&["auto", "two_masters", "in_place"]),
            Default::Symbol("auto"),
            "How SIGUSR2 brings in a new program: a second master beside the old one, or in place under the same pid.",
        )
    },
    licorne(
        "admin_listen",
        Kind::Address,
        Default::Unset,
        "Where `/livez`, `/readyz`, `/status` and `/metrics` are answered, by a process of their own, however busy the \
         workers are. Where the master is root that process runs as `nobody`, or as `daemon` or `bin` where the application \
         runs as `nobody`.",
    ),
    licorne(
        "admin_hosts",
        Kind::Hosts,
        Default::Unset,
        "The names by which `admin_listen` may be asked, `\"web1.example.com\"` or a list; `\".example.com\"` means all names \
         that end so. A request whose `Host` is another name is answered with 403: a page on the web could read the answers \
         else, with a name that leads here (DNS rebinding). Addresses, names without a dot, the machine's own name and the \
         one in `admin_listen` are always known, and on a UNIX socket every name.",
    ),
    Directive {
        reloadable: false,
        ..licorne(
            "control",
            Kind::Path { optional: true },
            Default::Described("`PID.sock` in a directory of Licorne's"),
            "The socket by which `licorne reload`, `stop` and `status` reach the master. By default it is \
             `/run/licorne/PID.sock` for root; for others `PID.sock` in `$RUNTIME_DIRECTORY`, \
             `$XDG_RUNTIME_DIR/licorne` or `/tmp/licorne-UID`, whichever there is first: whoever knows the master's \
             process id, or its pid file, finds it. A second master of the same process id (containers that share \
             `/run`) has `PID-NAMESPACE.sock`.",
        )
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_each_entry_is_documented() {
        let names: BTreeSet<_> = TABLE.iter().map(|directive| directive.name).collect();
        assert_eq!(names.len(), TABLE.len());
        for directive in TABLE {
            assert!(directive.doc.ends_with('.'), "{}", directive.name);
            assert_eq!(find(directive.name), Some(directive));
        }
    }

    #[test]
    fn defaults_pass_their_own_check() {
        for directive in TABLE {
            let value = directive.default.value();
            if value != Value::Nil {
                assert_eq!(crate::check(directive, &value), Ok(value), "{}", directive.name);
            }
        }
    }
}
