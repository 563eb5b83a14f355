//! What a mold answers when it has evaluated the configuration.
//!
//! Values were checked by the DSL against the table of directives; what does not fit here is a bug, and is said so.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use sys::listener::{Address, Options};
use sys::user::User;

use crate::admin::Place;
use crate::listeners::BY_NAME;
use crate::watch::Limits;

/// The settings that matter to the master. Everything else stays in the mold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) worker_processes: u32,
    /// How long a request, and a graceful stop, may last.
    pub(crate) timeout: Duration,
    /// How long before its end by `timeout` a request is reported.
    pub(crate) timeout_cleanup: Duration,
    /// How long a mold or worker may take until it is ready.
    pub(crate) boot_timeout: Duration,
    pub(crate) surge: u32,
    pub(crate) term_quick: bool,
    pub(crate) shutdown_delay: Duration,
    /// How long idle kept-alive connections may stay on a worker that leaves.
    pub(crate) linger: Duration,
    pub(crate) pid: Option<PathBuf>,
    pub(crate) control: Option<PathBuf>,
    /// Where health and metrics are answered, and by which names.
    pub(crate) admin: Option<Place>,
    pub(crate) stdout_path: Option<PathBuf>,
    pub(crate) stderr_path: Option<PathBuf>,
    pub(crate) working_directory: Option<PathBuf>,
    /// The user that the application runs as, where the configuration says it.
    pub(crate) user: Option<User>,
    pub(crate) upgrade: UpgradeWay,
    /// Whether the line of options in the rackup file asks for the background.
    pub(crate) daemonize: bool,
    /// In binding order.
    pub(crate) listeners: Vec<Wanted>,
    /// Whether the configuration brought its own logger: then lines of the master go through the mold.
    pub(crate) custom_logger: bool,
    /// `START_CTX[0]`: the program of an upgrade, which the configuration may change.
    pub(crate) program_path: Option<PathBuf>,
    /// The answer itself, which the next program of an upgrade in place reads again.
    pub(crate) told: String,
}

/// A listener that the configuration asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wanted {
    /// The address as written.
    pub(crate) text: String,
    /// The same with its host looked up, which the mold does: this process never waits.
    resolved: Option<String>,
    /// Where it was asked for, `config.rb:4`; `None` on the command line.
    place: Option<String>,
    /// Why the host could not be looked up, in Ruby's words.
    unresolved: Option<String>,
    /// The version of the PROXY protocol that its connections begin with, if they do.
    pub(crate) proxy: Option<String>,
    pub(crate) options: Options,
}

impl Wanted {
    /// Where it is.
    ///
    /// # Errors
    /// In Ruby's words: the host is unknown, or that is no address.
    pub(crate) fn address(&self) -> Result<Address, String> {
        match &self.unresolved {
            Some(error) => Err(error.clone()),
            None => Address::parse(self.resolved.as_ref().unwrap_or(&self.text)).map_err(|error| error.as_ruby()),
        }
    }

    /// Says of an error where the listener was asked for, and how addresses are written if that is what is wrong.
    pub(crate) fn explain(&self, error: &str) -> String {
        let hint = if self.address().is_err() && self.unresolved.is_none() { self.hint() } else { String::new() };
        match &self.place {
            Some(place) => format!("{place}: listen {:?}: {error}{hint}", self.text),
            None => format!("{error}{hint}"),
        }
    }

    fn hint(&self) -> String {
        match self.text.rsplit_once(':') {
            // It is no address, and whether there is such a socket is the service manager's to say.
            _ if self.text.starts_with(BY_NAME) => String::new(),
            _ if self.text.contains('/') || self.text.ends_with(".sock") => {
                format!("; did you mean \"unix:{}\"? A path begins with /, ~ or unix:", self.text)
            }
            Some((host, port)) if !host.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
                "; ports go up to 65535".to_string()
            }
            Some((_, port)) => format!("; {port:?} is no port: it is a number, as in \"HOST:8080\""),
            None => "; an address is a port, HOST:PORT, or a path that begins with /, ~ or unix:".to_string(),
        }
    }
}

/// `upgrade`: how a new program is brought in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpgradeWay {
    Auto,
    TwoMasters,
    InPlace,
}

impl Settings {
    /// Reads the mold's answer.
    ///
    /// # Errors
    /// What is missing or of the wrong type.
    pub(crate) fn parse(json: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(json).map_err(|error| format!("settings are no JSON: {error}"))?;
        let listeners = match &value["listeners"] {
            Value::Array(all) => all.iter().map(listener).collect::<Result<_, _>>()?,
            Value::Null => Vec::new(),
            other => return Err(format!("listeners: no list: {other}")),
        };
        Ok(Self {
            worker_processes: whole(&value, "worker_processes", 1)?,
            timeout: seconds(&value, "timeout", 60.0)?,
            timeout_cleanup: seconds(&value, "timeout_cleanup", 3.0)?,
            boot_timeout: seconds(&value, "boot_timeout", 120.0)?,
            surge: whole(&value, "surge", 1)?,
            term_quick: value["term_signal"] == "quick",
            shutdown_delay: seconds(&value, "shutdown_delay", 0.0)?,
            linger: seconds(&value, "keepalive_linger", 2.0)?,
            pid: path(&value, "pid")?,
            control: path(&value, "control")?,
            admin: value["admin_listen"]
                .as_str()
                .map(|listen| Place { listen: listen.to_string(), hosts: texts(&value["admin_hosts"]) }),
            stdout_path: path(&value, "stdout_path")?,
            stderr_path: path(&value, "stderr_path")?,
            working_directory: path(&value, "working_directory")?,
            user: user(&value["user_ids"])?,
            listeners,
            program_path: path(&value["start_ctx"], "program_path")?,
            custom_logger: value["custom_logger"] == true,
            upgrade: upgrade(&value)?,
            daemonize: value["daemonize"] == true,
            told: json.to_string(),
        })
    }

    /// How long a request may last. Of a short `timeout`, half at most is left to its end.
    pub(crate) fn limits(&self) -> Limits {
        Limits { soft: self.timeout.saturating_sub(self.timeout_cleanup.min(self.timeout / 2)), hard: self.timeout }
    }

    /// The part of the settings that decisions depend on; how `upgrade` is meant is the shell's to know.
    pub(crate) fn plan(&self, upgrade: supervisor::Way) -> supervisor::Plan {
        supervisor::Plan {
            worker_processes: self.worker_processes,
            timeout: self.timeout,
            boot_timeout: self.boot_timeout,
            surge: self.surge,
            term_quick: self.term_quick,
            shutdown_delay: self.shutdown_delay,
            linger: self.linger,
            upgrade,
        }
    }
}

fn upgrade(value: &Value) -> Result<UpgradeWay, String> {
    match value["upgrade"].as_str() {
        None | Some("auto") => Ok(UpgradeWay::Auto),
        Some("two_masters") => Ok(UpgradeWay::TwoMasters),
        Some("in_place") => Ok(UpgradeWay::InPlace),
        Some(other) => Err(format!("upgrade: unknown: {other}")),
    }
}

fn whole(value: &Value, name: &str, default: u32) -> Result<u32, String> {
    match &value[name] {
        Value::Null => Ok(default),
        number => number
            .as_u64()
            .and_then(|n| u32::try_from(n).ok())
            .ok_or_else(|| format!("{name}: no whole number in range: {number}")),
    }
}

fn seconds(value: &Value, name: &str, default: f64) -> Result<Duration, String> {
    let number = match &value[name] {
        Value::Null => default,
        number => number.as_f64().ok_or_else(|| format!("{name}: no number of seconds: {number}"))?,
    };
    Duration::try_from_secs_f64(number).map_err(|error| format!("{name}: {error}"))
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_string).collect()
}

fn path(value: &Value, name: &str) -> Result<Option<PathBuf>, String> {
    match &value[name] {
        Value::Null => Ok(None),
        Value::String(path) => Ok(Some(PathBuf::from(path))),
        other => Err(format!("{name}: no path: {other}")),
    }
}

/// The user that the mold has looked up, which asks a server in some networks.
fn user(value: &Value) -> Result<Option<User>, String> {
    let number = |value: &Value| {
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| format!("user_ids: no id: {value}"))
    };
    if value.is_null() {
        return Ok(None);
    }
    Ok(Some(User {
        name: value["name"].as_str().unwrap_or_default().to_string(),
        uid: number(&value["uid"])?,
        gid: number(&value["gid"])?,
        groups: value["groups"].as_array().into_iter().flatten().map(number).collect::<Result<_, _>>()?,
    }))
}

fn listener(entry: &Value) -> Result<Wanted, String> {
    let address = entry["address"].as_str().ok_or_else(|| format!("listener without an address: {entry}"))?;
    let standard = Options::default();
    let int = |name: &str| -> Result<Option<i32>, String> {
        match &entry[name] {
            Value::Null | Value::Bool(false) => Ok(None),
            Value::Bool(true) => Ok(Some(1)),
            number => number
                .as_i64()
                .and_then(|n| i32::try_from(n).ok())
                .map(Some)
                .ok_or_else(|| format!("listen {address}: {name}={number} is out of range")),
        }
    };
    let defer = match &entry["tcp_defer_accept"] {
        Value::Bool(false) => 0,
        _ => int("tcp_defer_accept")?.unwrap_or(standard.tcp_defer_accept),
    };
    let text = |name: &str| entry[name].as_str().map(str::to_string);
    Ok(Wanted {
        text: address.to_string(),
        resolved: text("resolved"),
        unresolved: text("unresolved"),
        place: text("place"),
        proxy: text("proxy_protocol"),
        options: Options {
            backlog: int("backlog")?,
            rcvbuf: int("rcvbuf")?,
            sndbuf: int("sndbuf")?,
            tcp_nodelay: entry["tcp_nodelay"].as_bool().unwrap_or(standard.tcp_nodelay),
            tcp_nopush: entry["tcp_nopush"].as_bool(),
            tcp_defer_accept: defer,
            ipv6only: entry["ipv6only"].as_bool(),
            reuseport: entry["reuseport"].as_bool().unwrap_or(false),
            umask: int("umask")?.map_or(standard.umask, i32::cast_unsigned),
            tries: int("tries")?.map_or(standard.tries, i64::from),
            delay: entry["delay"].as_f64().unwrap_or(standard.delay),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_means_unicorns_defaults() {
        let settings = Settings::parse("{}").unwrap();
        assert_eq!((settings.worker_processes, settings.timeout), (1, Duration::from_secs(60)));
        assert_eq!(settings.limits().soft, Duration::from_secs(57));
        assert!(settings.pid.is_none() && settings.listeners.is_empty() && !settings.term_quick);
    }

    #[test]
    fn a_request_is_reported_when_at_most_half_of_its_time_is_left() {
        #[track_caller]
        fn check(json: &str, soft_ms: u64) {
            let limits = Settings::parse(json).unwrap().limits();
            assert_eq!(limits.soft, Duration::from_millis(soft_ms), "{json}");
        }
        check(r#"{"timeout":20,"timeout_cleanup":2.5}"#, 17_500);
        check(r#"{"timeout":20,"timeout_cleanup":0}"#, 20_000);
        check(r#"{"timeout":3}"#, 1_500);
        check(r#"{"timeout":3,"timeout_cleanup":60}"#, 1_500);
    }

    #[test]
    fn hosts_are_where_the_mold_has_found_them() {
        // A name of this kind (RFC 2606) leads nowhere: whoever asked for it would be told so.
        let json = r#"{"listeners":[{"address":"a.invalid:80","resolved":"192.0.2.1:80"},
            {"address":"b.invalid:80","unresolved":"getaddrinfo: no such host (SocketError)"},{"address":"8080"}]}"#;
        let settings = Settings::parse(json).unwrap();
        let found: Vec<_> = settings.listeners.iter().map(|wanted| wanted.address().map(|a| a.to_string())).collect();
        let unknown = "getaddrinfo: no such host (SocketError)".to_string();
        assert_eq!(found, [Ok("192.0.2.1:80".to_string()), Err(unknown), Ok("0.0.0.0:8080".to_string())]);
    }

    #[test]
    fn what_is_wrong_with_a_listener_is_told_with_its_place() {
        #[track_caller]
        fn check(address: &str, want: &str) {
            let json = format!(r#"{{"listeners":[{{"address":"{address}","place":"c.rb:4"}}]}}"#);
            let wanted = Settings::parse(&json).unwrap().listeners.remove(0);
            let error = wanted.address().unwrap_err();
            assert_eq!(wanted.explain(&error), format!("c.rb:4: listen \"{address}\": {error}{want}"));
        }
        check("./a.sock", "; did you mean \"unix:./a.sock\"? A path begins with /, ~ or unix:");
        check("localhost:notaport", "; \"notaport\" is no port: it is a number, as in \"HOST:8080\"");
        check("systemd:web", "");
        check("127.0.0.1:99999", "; ports go up to 65535");
        check("localhost", "; an address is a port, HOST:PORT, or a path that begins with /, ~ or unix:");
    }

    #[test]
    fn listener_options_are_read_and_wrong_ones_named() {
        let settings = Settings::parse(
            r#"{"listeners":[{"address":"8080","backlog":16,"tcp_defer_accept":false,"tries":-1},{"address":"/s","umask":63}]}"#,
        )
        .unwrap();
        let (first, second) = (&settings.listeners[0].options, &settings.listeners[1].options);
        assert_eq!((first.backlog, first.tcp_defer_accept, first.tries), (Some(16), 0, -1));
        assert_eq!((second.umask, second.backlog), (0o77, None));
        let error = Settings::parse(r#"{"listeners":[{"address":"8080","backlog":99999999999}]}"#).unwrap_err();
        assert_eq!(error, "listen 8080: backlog=99999999999 is out of range");
    }
}
