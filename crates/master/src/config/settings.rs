//! What a mold answers when it has evaluated the configuration.
//!
//! Values were checked by the DSL against the table of directives; what does not fit here is a bug, and is said so.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use directives::{
    Asked, Configuration, Listener, ListenerOptions, Processes, Recycling, Service, System, TermSignal, UserIds,
};
use serde::Deserialize;
use serde_json::Value;
use sys::listener::{Address, Options};
use sys::user::User;

use crate::config::error::Error;
use crate::config::older_settings;
use crate::deadlines::Limits;

/// The settings that matter to the master. Everything else stays in the mold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) processes: Processes,
    pub(crate) recycling: Recycling,
    system: System,
    /// The user that the application runs as, where the configuration says it.
    pub(crate) user: Option<User>,
    /// Whether the line of options in the rackup file asks for the background.
    pub(crate) daemonize: bool,
    /// In binding order.
    pub(crate) listeners: Vec<Wanted>,
    /// Whether the configuration brought its own logger: then lines of the master go through the mold.
    pub(crate) custom_logger: bool,
    /// What runs beside the workers.
    pub(crate) services: Vec<Service>,
    /// The variables of services that are programs.
    pub(crate) service_environment: Vec<(String, String)>,
    /// `START_CTX[0]`: the program of an upgrade, which the configuration may change.
    pub(crate) program_path: Option<PathBuf>,
    /// The answer itself, which the next program of an upgrade in place reads again.
    pub(crate) told: String,
}

/// What an address begins with that means sockets of the service manager by their name.
pub(crate) const BY_NAME: &str = "systemd:";

/// Where the admin process answers, and to which names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) listen: String,
    pub(crate) hosts: Vec<String>,
    pub(crate) show_queries: bool,
}

/// A listener that the configuration asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wanted {
    asked: Asked,
    /// The version of the PROXY protocol that its connections begin with, if they do.
    pub(crate) proxy: Option<String>,
    pub(crate) options: Options,
}

impl Wanted {
    fn new(Listener { asked, options }: Listener) -> Result<Self, Error> {
        let wanted = socket_options(&asked.address, &options)?;
        Ok(Self { asked, proxy: options.proxy_protocol, options: wanted })
    }

    /// The address as written.
    pub(crate) fn text(&self) -> &str {
        &self.asked.address
    }

    /// Where it is.
    ///
    /// # Errors
    /// In Ruby's words: the host is unknown, or that is no address.
    pub(crate) fn address(&self) -> Result<Address, Error> {
        match &self.asked.unresolved {
            Some(error) => Err(Error::Unresolved(error.clone())),
            None => Address::parse(self.asked.resolved.as_deref().unwrap_or(self.text())).map_err(Error::Address),
        }
    }

    /// Says of an error where the listener was asked for, and how addresses are written if that is what is wrong.
    pub(crate) fn explain(&self, error: impl Display) -> String {
        let hint = if self.address().is_err() && self.asked.unresolved.is_none() { self.hint() } else { String::new() };
        match &self.asked.place {
            Some(place) => format!("{place}: listen {:?}: {error}{hint}", self.text()),
            None => format!("{error}{hint}"),
        }
    }

    fn hint(&self) -> String {
        match self.text().rsplit_once(':') {
            // It is no address, and whether there is such a socket is the service manager's to say.
            _ if self.text().starts_with(BY_NAME) => String::new(),
            _ if self.text().contains('/') || self.text().ends_with(".sock") => {
                format!("; did you mean \"unix:{}\"? A path begins with /, ~ or unix:", self.text())
            }
            Some((host, port)) if !host.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
                "; ports go up to 65535".to_string()
            }
            Some((_, port)) => format!("; {port:?} is no port: it is a number, as in \"HOST:8080\""),
            None => "; an address is a port, HOST:PORT, or a path that begins with /, ~ or unix:".to_string(),
        }
    }
}

impl Settings {
    /// Reads the mold's answer.
    ///
    /// # Errors
    /// What is missing or of the wrong type.
    pub(crate) fn parse(json: &str) -> Result<Self, Error> {
        let told: Value = serde_json::from_str(json).map_err(Error::NoJson)?;
        let Configuration { settings, findings } = Configuration::deserialize(told)?;
        Ok(Self {
            processes: settings.processes,
            recycling: settings.recycling,
            system: settings.system,
            user: findings.user_ids.map(|UserIds { name, uid, gid, groups }| User { name, uid, gid, groups }),
            daemonize: findings.daemonize,
            listeners: findings.listeners.into_iter().map(Wanted::new).collect::<Result<_, _>>()?,
            custom_logger: findings.custom_logger,
            services: settings.services.service,
            service_environment: findings.service_environment.unwrap_or_default(),
            program_path: findings.start_ctx.program_path.map(PathBuf::from),
            told: json.to_string(),
        })
    }

    /// Reads what was told to a program before this one, or by a mold that such a program has started.
    ///
    /// # Errors
    /// As [`Settings::parse`], but what that program had no word for may be missing.
    pub(crate) fn parse_older(json: &str) -> Result<Self, Error> {
        Self::parse(&older_settings::complete(json)?)
    }

    pub(crate) fn pid(&self) -> Option<&Path> {
        self.system.pid.as_deref().map(Path::new)
    }

    pub(crate) fn control(&self) -> Option<&Path> {
        self.system.control.as_deref().map(Path::new)
    }

    pub(crate) fn stdout_path(&self) -> Option<&Path> {
        self.system.stdout_path.as_deref().map(Path::new)
    }

    pub(crate) fn stderr_path(&self) -> Option<&Path> {
        self.system.stderr_path.as_deref().map(Path::new)
    }

    pub(crate) fn working_directory(&self) -> Option<&Path> {
        self.system.working_directory.as_deref().map(Path::new)
    }

    pub(crate) fn restart_file(&self) -> Option<&str> {
        self.system.restart_file.as_deref()
    }

    /// Where health and metrics are answered, and by which names.
    pub(crate) fn admin(&self) -> Option<Place> {
        let System { admin_listen, admin_hosts, admin_show_queries, .. } = &self.system;
        let place = |listen| Place { listen, hosts: admin_hosts.clone(), show_queries: *admin_show_queries };
        admin_listen.clone().map(place)
    }

    /// How long a request may last. Of a short `timeout`, half at most is left to its end.
    pub(crate) fn limits(&self) -> Limits {
        let Processes { timeout, timeout_cleanup, slow_request, .. } = self.processes;
        let slow = if slow_request.is_zero() { Duration::MAX } else { slow_request };
        Limits { slow, soft: timeout.saturating_sub(timeout_cleanup.min(timeout / 2)), hard: timeout }
    }

    /// The part of the settings that decisions depend on; `upgrade` is how it is meant here.
    pub(crate) fn plan(&self, upgrade: supervisor::Way) -> supervisor::Plan {
        let processes = &self.processes;
        supervisor::Plan {
            worker_processes: processes.worker_processes.least,
            timeout: processes.timeout,
            boot_timeout: processes.boot_timeout,
            surge: processes.surge,
            term_quick: processes.term_signal == TermSignal::Quick,
            shutdown_delay: processes.shutdown_delay,
            linger: processes.keepalive_linger,
            upgrade,
            canary: processes
                .canary
                .as_ref()
                .map(|canary| supervisor::Canary { workers: canary.workers, watch: canary.watch }),
            keep_previous: processes.keep_previous,
            most_workers: Some(processes.worker_processes.most).filter(|most| *most > processes.worker_processes.least),
            refork_after: supervisor::ReforkAfter::of(&processes.refork_after.0),
        }
    }
}

/// What the system has to know of the options of a listener at this address.
///
/// # Errors
/// A number that is out of range.
fn socket_options(address: &str, options: &ListenerOptions) -> Result<Options, Error> {
    let out_of_range = |name, number| Error::OutOfRange { address: address.to_string(), name, number };
    let int = |name, number: i64| i32::try_from(number).map_err(|_| out_of_range(name, number));
    let optional = |name, number: Option<i64>| number.map(|number| int(name, number)).transpose();
    Ok(Options {
        backlog: optional("backlog", options.backlog)?,
        rcvbuf: optional("rcvbuf", options.rcvbuf)?,
        sndbuf: optional("sndbuf", options.sndbuf)?,
        tcp_nodelay: options.tcp_nodelay,
        tcp_nopush: options.tcp_nopush,
        tcp_defer_accept: int("tcp_defer_accept", options.tcp_defer_accept)?,
        ipv6only: options.ipv6only,
        reuseport: options.reuseport,
        umask: int("umask", options.umask)? as u32,
        tries: i64::from(int("tries", options.tries)?),
        delay: options.delay,
    })
}

/// The options of a listener that the configuration gives none.
pub(crate) fn unasked() -> Options {
    socket_options("", &ListenerOptions::default()).expect("the table's defaults are in range")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads what is told, and of all else what a mold tells of a silent configuration.
    fn parse(part: &str) -> Result<Settings, Error> {
        let mut told = serde_json::json!({
            "listeners": [], "custom_logger": false, "daemonize": false, "user_ids": null,
            "start_ctx": { "program_path": null },
        });
        let part: serde_json::Map<String, Value> = serde_json::from_str(part).unwrap();
        told.as_object_mut().unwrap().extend(part);
        Settings::parse_older(&told.to_string())
    }

    #[test]
    fn a_mold_of_this_program_tells_everything() {
        assert_eq!(Settings::parse("{}").unwrap_err().to_string(), "missing field `worker_processes`");
        let told = parse("{}").unwrap().told;
        assert!(Settings::parse(&told).is_ok());
        let mut told: Value = serde_json::from_str(&told).unwrap();
        told.as_object_mut().unwrap().remove("header_timeout");
        assert_eq!(Settings::parse(&told.to_string()).unwrap_err().to_string(), "missing field `header_timeout`");
    }

    #[test]
    fn silence_means_unicorns_defaults() {
        let settings = parse("{}").unwrap();
        assert_eq!(
            (settings.processes.worker_processes.most, settings.processes.timeout),
            (1, Duration::from_secs(60))
        );
        assert_eq!((settings.limits().slow, settings.limits().soft), (Duration::MAX, Duration::from_secs(57)));
        assert!(
            settings.pid().is_none()
                && settings.listeners.is_empty()
                && !settings.plan(supervisor::Way::InPlace).term_quick
        );
    }

    #[test]
    fn a_request_is_reported_when_at_most_half_of_its_time_is_left() {
        #[track_caller]
        fn check(json: &str, soft_ms: u64) {
            let limits = parse(json).unwrap().limits();
            assert_eq!(limits.soft, Duration::from_millis(soft_ms), "{json}");
        }
        check(r#"{"timeout":20,"timeout_cleanup":2.5}"#, 17_500);
        check(r#"{"timeout":20,"timeout_cleanup":0}"#, 20_000);
        check(r#"{"timeout":3}"#, 1_500);
        check(r#"{"timeout":3,"timeout_cleanup":60}"#, 1_500);
    }

    #[test]
    fn hosts_are_where_the_mold_has_found_them() {
        // A name of this kind (RFC 2606) leads nowhere.
        let json = r#"{"listeners":[{"address":"a.invalid:80","resolved":"192.0.2.1:80"},
            {"address":"b.invalid:80","unresolved":"getaddrinfo: no such host (SocketError)"},{"address":"8080"}]}"#;
        let settings = parse(json).unwrap();
        let address = |wanted: &Wanted| wanted.address().map(|a| a.to_string()).map_err(|error| error.to_string());
        let found: Vec<_> = settings.listeners.iter().map(address).collect();
        let unknown = "getaddrinfo: no such host (SocketError)".to_string();
        assert_eq!(found, [Ok("192.0.2.1:80".to_string()), Err(unknown), Ok("0.0.0.0:8080".to_string())]);
    }

    #[test]
    fn a_wrong_listener_is_told_with_its_place() {
        #[track_caller]
        fn check(address: &str, want: &str) {
            let json = format!(r#"{{"listeners":[{{"address":"{address}","place":"c.rb:4"}}]}}"#);
            let wanted = parse(&json).unwrap().listeners.remove(0);
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
        let settings = parse(
            r#"{"listeners":[{"address":"8080","backlog":16,"tcp_defer_accept":false,"tries":-1},{"address":"/s","umask":63}]}"#,
        )
        .unwrap();
        let (first, second) = (&settings.listeners[0].options, &settings.listeners[1].options);
        assert_eq!((first.backlog, first.tcp_defer_accept, first.tries), (Some(16), 0, -1));
        assert_eq!((second.umask, second.backlog), (0o77, None));
        let error = parse(r#"{"listeners":[{"address":"8080","backlog":99999999999}]}"#).unwrap_err();
        assert_eq!(error.to_string(), "listen 8080: backlog=99999999999 is out of range");
    }
}
