//! The servers that are measured, and how each is started.

use std::path::PathBuf;
use std::process::Command;

use testkit::{Endpoint, program};

use crate::apps::App;

/// One server, or Licorne with one directive more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    Licorne,
    LicorneEven,
    LicorneRefork,
    LicorneWarm,
    LicorneGc,
    /// On Ruby 3.4.
    Licorne34,
    Licorne34Gc,
    Unicorn,
    Puma,
    /// With five threads.
    PumaThreads,
    Pitchfork,
    Passenger,
    Uwsgi,
    BareClose,
    BareEpoll,
    /// The limit for an application.
    BareLoop,
}

/// The servers that the report has something to say about whether they were there or not.
pub(crate) const SERVERS: &[Peer] = &[
    Peer::Licorne,
    Peer::LicorneEven,
    Peer::LicorneRefork,
    Peer::LicorneWarm,
    Peer::LicorneGc,
    Peer::Licorne34,
    Peer::Licorne34Gc,
    Peer::Unicorn,
    Peer::Puma,
    Peer::Pitchfork,
    Peer::Passenger,
    Peer::Uwsgi,
];

impl Peer {
    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Peer::Licorne => "licorne",
            Peer::LicorneEven => "licorne, balance :even",
            Peer::LicorneRefork => "licorne, refork_after",
            Peer::LicorneWarm => "licorne, warm_up",
            Peer::LicorneGc => "licorne, gc :between_requests",
            Peer::Licorne34 => "licorne, ruby 3.4",
            Peer::Licorne34Gc => "licorne, ruby 3.4, gc :between_requests",
            Peer::Unicorn => "unicorn",
            Peer::Puma => "puma",
            Peer::PumaThreads => "puma, 5 threads",
            Peer::Pitchfork => "pitchfork",
            Peer::Passenger => "passenger",
            Peer::Uwsgi => "uwsgi",
            Peer::BareClose => "bare loop",
            Peer::BareEpoll => "bare epoll loop",
            Peer::BareLoop => "bare loop of ruby",
        }
    }

    /// Whether it is Licorne, however it is set.
    pub(crate) fn is_licorne(self) -> bool {
        self.name().starts_with("licorne")
    }

    /// Whether it is no server but what one is held against.
    pub(crate) fn is_limit(self) -> bool {
        self.name().starts_with("bare")
    }

    /// Whether connections are kept where clients keep them.
    pub(crate) fn keeps_connections(self) -> bool {
        !matches!(self, Peer::Unicorn | Peer::Pitchfork)
    }

    /// The directive that makes it another one than plain Licorne, as its configuration has it.
    fn more(self) -> &'static str {
        match self {
            Peer::LicorneEven => "balance :even",
            Peer::LicorneRefork => "refork_after [100, 500, 1000]",
            Peer::LicorneWarm => "warm_up '/api?page=2'",
            Peer::LicorneGc | Peer::Licorne34Gc => "gc :between_requests",
            _ => "",
        }
    }

    /// The program.
    fn program(self) -> PathBuf {
        match self {
            Peer::Licorne34 | Peer::Licorne34Gc => std::env::var_os("LICORNE_BIN_34").unwrap_or_default().into(),
            Peer::Unicorn => "/usr/bin/unicorn".into(),
            Peer::Puma | Peer::PumaThreads => "/usr/bin/puma".into(),
            Peer::Pitchfork => "/usr/local/bin/pitchfork".into(),
            Peer::Passenger => "/usr/bin/passenger".into(),
            Peer::Uwsgi => "/usr/bin/uwsgi".into(),
            Peer::BareClose => beside("bare_close"),
            Peer::BareEpoll => beside("bare_epoll"),
            Peer::BareLoop => "/usr/bin/ruby".into(),
            _ => program::path(),
        }
    }

    /// Why it cannot be started here; `None` when it can.
    pub(crate) fn absence(self) -> Option<String> {
        let program = self.program();
        if self == Peer::Pitchfork && !program.exists() {
            return Some(
                "not a package of Debian; `gem3.3 install pitchfork` in that Debian makes it one of the peers".into(),
            );
        }
        if self == Peer::Uwsgi && plugin().is_none() {
            return Some("no plugin for Ruby in /usr/lib/uwsgi/plugins".into());
        }
        if !program.exists() {
            return Some(match self {
                Peer::Licorne34 | Peer::Licorne34Gc => "LICORNE_BIN_34 names no program".into(),
                _ => format!("no {}", program.display()),
            });
        }
        let directive = self.more().split(' ').next().filter(|word| !word.is_empty())?;
        (!is_directive(directive)).then(|| format!("this Licorne has no directive `{directive}`"))
    }

    /// Whether it can be started here.
    pub(crate) fn is_there(self) -> bool {
        self.absence().is_none()
    }

    /// Its version, for the report.
    pub(crate) fn version(self) -> String {
        let output = Command::new(self.program()).arg("--version").output();
        let text = output.map_or_else(|_| "?".into(), |output| String::from_utf8_lossy(&output.stdout).into_owned());
        text.lines().next().unwrap_or("?").trim().to_owned()
    }

    /// The command that serves `app` at `place` with this many workers.
    pub(crate) fn command(self, app: App, place: &Endpoint, workers: usize, keep_alive: bool) -> Command {
        let address = place.to_string();
        let (program, servers) = (self.program(), program::repository().join("bench/servers"));
        let mut command = Command::new(&program);
        let count = workers.to_string();
        match self {
            Peer::Puma | Peer::PumaThreads => {
                let bind = match place {
                    Endpoint::Tcp(address) => format!("tcp://{address}"),
                    Endpoint::Unix(path) => format!("unix://{}", path.display()),
                };
                command.arg("-C").arg(servers.join("puma.rb")).args(["-b", &bind]).arg(app.rackup());
            }
            Peer::Passenger => {
                // Its watchdog leaves the tree of processes; in a name space of their own all stay together.
                let mut inner = Command::new("unshare");
                inner.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).arg(program);
                let (host, port) = address.rsplit_once(':').unwrap_or((&address, ""));
                let (rackup, pid_file) = (app.rackup(), std::env::temp_dir().join("bench-passenger.pid"));
                inner.arg("start").args(rackup.parent()).args(["--engine=builtin", "-e", "production"]);
                inner.args(["-a", host, "-p", port, "--max-pool-size", &count, "--min-instances", &count]);
                inner.args(["--app-type", "rack", "-R"]).arg(rackup).arg("--pid-file").arg(pid_file);
                inner.args(["--log-file", "/dev/null", "--max-request-queue-size", "1024"]);
                command = inner;
            }
            Peer::Uwsgi => {
                let socket = if keep_alive { "--http11-socket" } else { "--http-socket" };
                command.args(["--plugins", &plugin().unwrap_or_default(), "--master", "--processes", &count]);
                // Its default runs a full garbage collection after every request.
                command.args([socket, &address, "--listen", "1024", "--disable-logging", "--ruby-gc-freq", "100000"]);
                command.arg("--rack").arg(app.rackup());
            }
            Peer::BareClose | Peer::BareEpoll => {
                command.arg(address);
            }
            Peer::BareLoop => {
                command.arg(servers.join("bare_loop.rb")).arg(address).arg(app.rackup());
            }
            _ => {
                if matches!(self, Peer::Licorne34 | Peer::Licorne34Gc) {
                    command.args(["--ruby", "/usr/bin/ruby3.4"]);
                }
                command
                    .arg("-c")
                    .arg(servers.join("unicorn.rb"))
                    .args(["-E", "none", "-l", &address])
                    .arg(app.rackup());
            }
        }
        command.env("RACK_ENV", "production").env("BENCH_WORKERS", count).env("BENCH_MORE", self.more());
        if self == Peer::PumaThreads {
            command.env("BENCH_THREADS", "5");
        }
        command.envs(app.settings().iter().copied());
        command
    }
}

/// A program of this crate.
fn beside(name: &str) -> PathBuf {
    std::env::current_exe().unwrap_or_default().with_file_name(name)
}

/// uWSGI's plugin for the Ruby that is there: `rack_ruby31`, `rack_ruby33`.
fn plugin() -> Option<String> {
    let entries = std::fs::read_dir("/usr/lib/uwsgi/plugins").ok()?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter_map(|name| Some(name.strip_suffix("_plugin.so")?.to_owned()))
        .find(|name| name.starts_with("rack_ruby"))
}

/// Whether the reference of this checkout, which is made from its table of directives, has it.
fn is_directive(name: &str) -> bool {
    let reference = std::fs::read_to_string(program::repository().join("docs/reference.md")).unwrap_or_default();
    reference.lines().any(|line| line.strip_prefix("### ") == Some(name))
}
