//! The servers that are measured, and how each is started.

use std::path::PathBuf;
use std::process::Command;

use testkit::{Endpoint, program};

/// One server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    Licorne,
    Unicorn,
    Puma,
    Uwsgi,
    BareClose,
    BareEpoll,
}

/// What is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum App {
    Hello,
    Sinatra,
    /// 1 MiB in each response.
    Download,
    /// 1 MiB in each request, read in pieces of 64 KiB.
    Upload,
    /// What the end-to-end tests serve, with its 20 MB response.
    Plain,
}

impl App {
    /// The rackup file.
    pub(crate) fn rackup(self) -> PathBuf {
        let path = match self {
            App::Hello => "bench/servers/hello.ru",
            App::Sinatra => "tests/apps/sinatra/config.ru",
            App::Download | App::Upload => "bench/servers/large.ru",
            App::Plain => "tests/apps/plain/config.ru",
        };
        program::repository().join(path)
    }

    /// What clients ask for.
    pub(crate) fn target(self) -> &'static str {
        match self {
            App::Hello | App::Download | App::Upload | App::Plain => "/",
            App::Sinatra => "/json?page=2",
        }
    }

    /// The script that makes wrk ask for it, if the target alone does not.
    pub(crate) fn script(self) -> Option<PathBuf> {
        (self == App::Upload).then(|| program::repository().join("bench/servers/upload.lua"))
    }
}

impl Peer {
    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Peer::Licorne => "licorne",
            Peer::Unicorn => "unicorn",
            Peer::Puma => "puma",
            Peer::Uwsgi => "uwsgi",
            Peer::BareClose => "bare loop",
            Peer::BareEpoll => "bare epoll loop",
        }
    }

    /// Whether it can be started here.
    pub(crate) fn is_there(self) -> bool {
        match self {
            Peer::Licorne => program::path().exists(),
            Peer::Unicorn => PathBuf::from("/usr/bin/unicorn").exists(),
            Peer::Puma => PathBuf::from("/usr/bin/puma").exists(),
            Peer::Uwsgi => PathBuf::from("/usr/bin/uwsgi").exists(),
            Peer::BareClose | Peer::BareEpoll => true,
        }
    }

    /// Its version, for the report.
    pub(crate) fn version(self) -> String {
        let output = match self {
            Peer::Licorne => Command::new(program::path()).arg("--version").output(),
            Peer::Unicorn => Command::new("unicorn").arg("--version").output(),
            Peer::Puma => Command::new("puma").arg("--version").output(),
            Peer::Uwsgi => Command::new("uwsgi").arg("--version").output(),
            Peer::BareClose | Peer::BareEpoll => return "Rust".to_owned(),
        };
        output.map_or_else(|_| "absent".into(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// The command that serves `app` at `place` with this many workers.
    pub(crate) fn command(self, app: App, place: &Endpoint, workers: usize, keep_alive: bool) -> Command {
        let address = place.to_string();
        let servers = program::repository().join("bench/servers");
        let beside = std::env::current_exe().unwrap_or_default();
        let mut command = match self {
            Peer::Licorne | Peer::Unicorn => {
                let path = if self == Peer::Licorne { program::path() } else { "unicorn".into() };
                let mut command = Command::new(path);
                command.arg("-c").arg(servers.join("unicorn.rb")).args(["-E", "none", "-l", &address]);
                command.arg(app.rackup());
                command
            }
            Peer::Puma => {
                let puma_bind = match place {
                    Endpoint::Tcp(address) => format!("tcp://{address}"),
                    Endpoint::Unix(path) => format!("unix://{}", path.display()),
                };
                let mut command = Command::new("puma");
                command.arg("-C").arg(servers.join("puma.rb")).args(["-b", &puma_bind]);
                command.arg(app.rackup());
                command
            }
            Peer::Uwsgi => {
                let socket = if keep_alive { "--http11-socket" } else { "--http-socket" };
                let mut command = Command::new("uwsgi");
                command.args(["--plugins", "rack_ruby31", "--master", "--processes", &workers.to_string()]);
                // Its default runs a full garbage collection after every request.
                command.args([socket, &address, "--listen", "1024", "--disable-logging", "--ruby-gc-freq", "100000"]);
                command.arg("--rack").arg(app.rackup());
                command
            }
            Peer::BareClose => Command::new(beside.with_file_name("bare_close")),
            Peer::BareEpoll => Command::new(beside.with_file_name("bare_epoll")),
        };
        if matches!(self, Peer::BareClose | Peer::BareEpoll) {
            command.arg(address);
        }
        command.env("RACK_ENV", "production").env("BENCH_WORKERS", workers.to_string());
        command
    }
}
