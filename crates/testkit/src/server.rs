//! A server under test: started, asked, signalled, waited for, and always cleaned up.

mod builder;
mod family;
mod holdings;

use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

pub use builder::Builder;
pub use family::Worker;
pub use holdings::Holdings;

use crate::http::{Connection, Endpoint, Request, Response};
use crate::load::Plan;
use crate::output::{Log, Mark};
use crate::process::{self, Finished, Watch};
use crate::{patience, procfs};

/// A running server, and everything that it started.
#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    command: String,
    child: Child,
    watch: Watch,
    status: Option<ExitStatus>,
    log: Log,
    directory: Option<TempDir>,
    endpoints: Vec<Endpoint>,
}

impl Server {
    /// The process id of the process that was started: the master, unless it daemonized or was replaced.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.watch.pid
    }

    /// The directory of this test's files; the application is in `app` below it, the configuration is `config.rb`.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.as_ref().expect("it is there until the server is dropped").path()
    }

    /// A file of the test's directory.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    /// Replaces a file of the test's directory in one step.
    #[track_caller]
    pub fn write(&self, name: &str, text: &str) {
        let new = self.file(&format!("{name}.new"));
        std::fs::write(&new, text).expect("the test's directory can be written");
        std::fs::rename(new, self.file(name)).expect("the test's directory can be written");
    }

    /// Appends lines to the configuration file.
    #[track_caller]
    pub fn append_config(&self, lines: &str) {
        let config = std::fs::read_to_string(self.file("config.rb")).expect("there is a configuration file");
        self.write("config.rb", &format!("{config}{lines}\n"));
    }

    /// The pid that the pid file names.
    #[must_use]
    pub fn pid_in_file(&self, name: &str) -> Option<u32> {
        std::fs::read_to_string(self.file(name)).ok()?.trim().parse().ok()
    }

    /// Where it listens first.
    #[must_use]
    #[track_caller]
    pub fn endpoint(&self) -> &Endpoint {
        self.endpoints.first().expect("the server was given a listener")
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    // ── asking ──

    /// Opens a connection.
    #[must_use]
    #[track_caller]
    pub fn connect(&self) -> Connection {
        Connection::open(self.endpoint())
    }

    /// Sends a request on a connection of its own.
    #[track_caller]
    pub fn request(&self, request: Request) -> Response {
        self.connect().request(&request.close())
    }

    /// Sends a GET request on a connection of its own.
    #[track_caller]
    pub fn get(&self, target: &str) -> Response {
        self.request(Request::get(target))
    }

    /// Describes load on it.
    #[must_use]
    pub fn load(&self) -> Plan {
        Plan::new(self.endpoint())
    }

    // ── telling ──

    /// Sends a signal to the master.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        self.watch.signal(signal);
    }

    /// Runs a subcommand (`reload --wait`, `status --json`, `stop`) on this server.
    #[track_caller]
    pub fn ctl<const N: usize>(&self, arguments: [&str; N]) -> Finished {
        let pid_file = self.file("server.pid").display().to_string();
        process::licorne(arguments.into_iter().chain(["--pid-file", &pid_file]))
    }

    /// Stops a process of the server's while `meanwhile` runs: what happens then, it finds all at once.
    #[track_caller]
    pub fn suspended<T>(&self, pid: u32, meanwhile: impl FnOnce() -> T) -> T {
        process::signal(pid, Signal::STOP).expect("it is there");
        self.eventually("a stopped process", || procfs::process(pid).filter(|process| process.state == 'T'));
        let outcome = meanwhile();
        process::signal(pid, Signal::CONT).expect("it is there");
        outcome
    }

    // ── waiting ──

    /// The log's end, for a later [`Server::wait_for`].
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.log.mark()
    }

    /// What the server and its children printed so far.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Waits for a log line (see [`crate::output::matches()`]) after `mark`.
    #[track_caller]
    pub fn wait_for(&self, mark: Mark, pattern: &str) -> String {
        let line = self.log.wait_for(mark, pattern, patience());
        line.unwrap_or_else(|| panic!("no line matched {pattern:?}"))
    }

    /// Waits until `condition` yields something: for facts that only /proc shows. It is looked at whenever a line is
    /// logged, and at short intervals.
    #[track_caller]
    pub fn eventually<T>(&self, what: &str, condition: impl FnMut() -> Option<T>) -> T {
        self.log.eventually(what, condition)
    }

    /// All that was printed, once every process that could print more is gone.
    #[must_use]
    #[track_caller]
    pub fn whole_output(&self) -> String {
        assert!(self.log.wait_for_end(patience()), "a process still holds the output");
        self.log.text()
    }

    /// Waits for the exit of the process that was started.
    #[track_caller]
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        self.try_wait_for_exit(patience()).expect("the server did not exit")
    }

    /// Waits for the exit of the process that was started; `None` when it still runs after `patience`.
    pub fn try_wait_for_exit(&mut self, patience: Duration) -> Option<ExitStatus> {
        if self.status.is_none() && self.watch.wait(patience) {
            self.status = Some(self.child.wait().expect("a child can be waited for"));
            process::waited_for(self.pid());
        }
        self.status
    }

    /// Stops the server gracefully (SIGQUIT), and asserts that it exits 0 with nothing left behind.
    #[track_caller]
    pub fn stop(&mut self) {
        self.signal(Signal::QUIT);
        let status = self.wait_for_exit();
        assert!(status.success(), "the server ended with {status}");
        self.assert_nothing_is_left();
    }

    /// Asserts that every process of the server ends, and that no process listens where it listened.
    #[track_caller]
    pub fn assert_nothing_is_left(&self) {
        for process in self.family() {
            let gone = Watch::on(process.pid).is_none_or(|watch| watch.wait(patience()));
            assert!(gone, "a process was left: {process:?}");
        }
        let left = self.family();
        assert!(left.is_empty(), "processes were left: {left:#?}");
        for endpoint in &self.endpoints {
            assert!(!is_bound(endpoint), "a listener was left at {endpoint}");
        }
    }

    /// Kills what is left. Returns whether everything is gone.
    fn kill_all(&mut self) -> bool {
        let deadline = Instant::now() + patience();
        while Instant::now() < deadline {
            let _ = self.try_wait_for_exit(Duration::ZERO);
            let family = self.family();
            if family.is_empty() && self.status.is_some() {
                return true;
            }
            for process in family {
                if let Some(watch) = Watch::on(process.pid) {
                    watch.signal(Signal::KILL);
                    let _ = watch.wait(patience());
                }
            }
        }
        false
    }

    fn report_failure(&mut self) {
        let directory = self.directory.take().map(TempDir::keep);
        eprintln!("━━ the server of the failed test ━━");
        eprintln!("command:   {}", self.command);
        eprintln!("directory: {} (kept)", directory.unwrap_or_default().display());
        match self.try_wait_for_exit(Duration::ZERO) {
            Some(status) => eprintln!("status:    {status}"),
            None => eprintln!("status:    running as {}", self.pid()),
        }
        for process in self.family() {
            eprintln!("process:   {} (child of {}, {}) {}", process.pid, process.parent, process.state, process.title);
        }
        eprintln!("output:\n{}", self.log.text());
        eprintln!("━━━━");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.report_failure();
            let _ = self.kill_all();
            return;
        }
        let stopped = self.status.is_some();
        let left: Vec<procfs::Process> = self.family();
        let gone = self.kill_all();
        let bound: Vec<&Endpoint> = self.endpoints.iter().filter(|endpoint| is_bound(endpoint)).collect();
        assert!(gone, "processes could not be killed: {:#?}", self.family());
        assert!(bound.is_empty(), "a listener was left at {bound:?}");
        assert!(!stopped || left.is_empty(), "the server had stopped and left processes: {left:#?}");
    }
}

fn is_bound(endpoint: &Endpoint) -> bool {
    match endpoint {
        Endpoint::Tcp(address) => procfs::listens(*address),
        Endpoint::Unix(path) => procfs::listens_on_path(path),
    }
}
