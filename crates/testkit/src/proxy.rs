//! The real reverse proxies in front of a server: Debian's nginx and HAProxy, with upstream keep-alive.
//!
//! They listen on a UNIX socket of the test's, so that no test picks a port, and are configured to hide no failure: no retry,
//! no second server.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::http::Endpoint;
use crate::output::{Log, Mark};
use crate::process::{self, Watch};

/// Which proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// nginx, one worker process.
    Nginx,
    /// HAProxy, one thread.
    Haproxy,
}

/// A proxy that answers.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    log: Log,
    endpoint: Endpoint,
    directory: TempDir,
}

impl Proxy {
    /// Starts one in front of the server at `upstream`, on a UNIX socket, and returns when it listens.
    #[must_use]
    #[track_caller]
    pub fn start(kind: Kind, upstream: &Endpoint) -> Proxy {
        let directory = TempDir::with_prefix("proxy-").expect("a temporary directory");
        let front = Endpoint::Unix(directory.path().join("front.sock"));
        Proxy::start_in(directory, kind, front, upstream)
    }

    /// Starts one that listens at `front`.
    #[must_use]
    #[track_caller]
    pub fn start_at(kind: Kind, front: Endpoint, upstream: &Endpoint) -> Proxy {
        Proxy::start_in(TempDir::with_prefix("proxy-").expect("a temporary directory"), kind, front, upstream)
    }

    #[track_caller]
    fn start_in(directory: TempDir, kind: Kind, endpoint: Endpoint, upstream: &Endpoint) -> Proxy {
        let place = directory.path().to_path_buf();
        let config = place.join("proxy.conf");
        let text = match kind {
            Kind::Nginx => nginx(&place, &endpoint, upstream),
            Kind::Haproxy => haproxy(&endpoint, upstream),
        };
        std::fs::write(&config, text).expect("the test's directory can be written");
        let (mut command, listening) = match kind {
            Kind::Nginx => {
                let mut command = Command::new("nginx");
                command.arg("-p").arg(&place).arg("-e").arg("stderr").arg("-c").arg(&config);
                (command, "*start worker process *")
            }
            Kind::Haproxy => {
                let mut command = Command::new("haproxy");
                command.args(["-W", "-db", "-f"]).arg(&config);
                (command, "*Loading success*")
            }
        };
        let (reader, writer) = process::pipe();
        let output = writer.try_clone().expect("a descriptor is left");
        let child = command.stdin(Stdio::null()).stdout(output).stderr(writer).spawn();
        let child = child.unwrap_or_else(|error| panic!("failed to start {command:?}: {error}"));
        drop(command);
        process::started(child.id());
        let log = Log::collect(reader);
        if log.wait_for(Mark::default(), listening, crate::patience()).is_none() {
            panic!("{kind:?} did not come up:\n{}", log.text());
        }
        Proxy { child, log, endpoint, directory }
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Its process id; its workers are its children.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it printed.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("━━ the proxy at {} ━━\n{}", self.directory.path().display(), self.log.text());
        }
        let family: Vec<u32> = crate::procfs::descendants(self.pid()).iter().map(|process| process.pid).collect();
        let family: Vec<Watch> = family.into_iter().chain([self.pid()]).filter_map(Watch::on).collect();
        let _ = process::signal(self.pid(), Signal::TERM);
        for watch in family {
            if !watch.wait(crate::patience()) {
                watch.signal(Signal::KILL);
            }
        }
        let _ = self.child.wait();
        process::waited_for(self.pid());
    }
}

/// An endpoint as the proxies write it; `prefix` marks a path.
fn written(endpoint: &Endpoint, prefix: &str) -> String {
    match endpoint {
        Endpoint::Tcp(address) => address.to_string(),
        Endpoint::Unix(path) => format!("{prefix}{}", path.display()),
    }
}

fn nginx(place: &Path, front: &Endpoint, upstream: &Endpoint) -> String {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("    {name}_temp_path {};\n", place.join(name).display()))
        .collect();
    // As root its workers would become another user, who could not enter the test's directory.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    format!(
        "daemon off;\n{user}\nworker_processes 1;\npid {pid};\nerror_log stderr notice;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n    access_log off;\n{temporary}\
         \x20   upstream app {{ server {upstream} max_fails=0; keepalive 64; keepalive_requests 1000000; }}\n\
         \x20   server {{\n        listen {front};\n        keepalive_requests 1000000;\n\
         \x20       client_max_body_size 0;\n\
         \x20       location / {{\n            proxy_pass http://app;\n            proxy_http_version 1.1;\n\
         \x20           proxy_set_header Connection \"\";\n            proxy_set_header Host $http_host;\n\
         \x20           proxy_next_upstream off;\n        }}\n    }}\n}}\n",
        pid = place.join("nginx.pid").display(),
        front = written(front, "unix:"),
        upstream = written(upstream, "unix:"),
    )
}

fn haproxy(front: &Endpoint, upstream: &Endpoint) -> String {
    format!(
        "global\n    nbthread 1\n    maxconn 4096\n\
         defaults\n    mode http\n    timeout connect 10s\n    timeout client 60s\n    timeout server 60s\n\
         \x20   retries 0\n    http-reuse always\n\
         frontend front\n    bind {}\n    default_backend app\n\
         backend app\n    server app {}\n",
        written(front, "unix@"),
        written(upstream, "unix@")
    )
}
