//! Another program in front of, or beside, the server under test (HAProxy, nginx, a client in Python): started with
//! listeners at 3, 4, …, and always cleaned up.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Child;

use rustix::process::Signal;

use crate::http::Endpoint;
use crate::output::Log;
use crate::process::{self, Watch};
use crate::spawn::Start;

/// A running program.
#[derive(Debug)]
pub struct Front {
    child: Child,
    watch: Watch,
    log: Log,
    command: String,
    /// Where it listens.
    pub endpoint: Endpoint,
}

impl Front {
    /// Starts `program` in `directory`, with a TCP listener as descriptor 3. It must stay in the foreground.
    #[must_use]
    #[track_caller]
    pub fn start(program: &str, arguments: &[&str], directory: &Path) -> Front {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address: SocketAddr = listener.local_addr().expect("it is bound");
        let listeners: Vec<OwnedFd> = vec![listener.into()];
        let start = Start {
            program: program.into(),
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
            environment: Vec::new(),
            directory: directory.to_path_buf(),
            listeners,
        };
        let (reader, writer) = process::pipe();
        let child = start.spawn(writer).unwrap_or_else(|error| panic!("failed to start {}: {error}", start.display()));
        process::started(child.id());
        let watch = Watch::on(child.id()).expect("a child that was not waited for is there");
        Front { child, watch, log: Log::collect(reader), command: start.display(), endpoint: Endpoint::Tcp(address) }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.watch.pid
    }

    /// What it printed.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.watch.signal(Signal::KILL);
        let _ = self.child.wait();
        process::waited_for(self.watch.pid);
        if std::thread::panicking() {
            eprintln!("━━ {} ━━\n{}\n━━━━", self.command, self.log.text());
        }
    }
}
