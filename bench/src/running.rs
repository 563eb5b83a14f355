//! A server in its own process group, pinned to CPU 0: started, measured, ended.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use testkit::http::Broken;
use testkit::process::Watch;
use testkit::{Connection, Endpoint, Request, procfs};

use crate::apps::App;
use crate::peers::Peer;

/// A port of 127.0.0.1 that was free a moment ago: not every peer can inherit a listener.
pub(crate) fn free_place() -> anyhow::Result<Endpoint> {
    Ok(Endpoint::Tcp(TcpListener::bind("127.0.0.1:0")?.local_addr()?))
}

/// A process and all its descendants, but for zombies.
pub(crate) fn tree(root: u32) -> Vec<procfs::Process> {
    let mut tree: Vec<_> = procfs::process(root).into_iter().chain(procfs::descendants(root)).collect();
    tree.retain(|process| process.state != 'Z');
    tree
}

/// The CPU that the server gets.
pub(crate) const SERVER_CPU: &str = "0";
/// And that of the clients.
pub(crate) const CLIENT_CPU: &str = "1";

/// The beginning of a command that runs on this CPU.
pub(crate) fn pinned(cpu: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", cpu]);
    command
}

/// The beginning of a command that runs wherever it likes.
pub(crate) fn plain() -> Command {
    Command::new("env")
}

/// A tree that has done nothing for so long has settled.
const SETTLED: Duration = Duration::from_millis(400);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// A server that never rests is taken as it is.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that answers.
#[derive(Debug)]
pub(crate) struct Running {
    peer: Peer,
    child: Child,
    place: Endpoint,
    began: Instant,
    /// From the start of the program to its first response.
    pub(crate) first_response: Duration,
}

impl Running {
    /// Starts a server on a TCP port and waits for its first response.
    pub(crate) fn start(peer: Peer, app: App, workers: usize, keep_alive: bool) -> anyhow::Result<Running> {
        Running::start_at(free_place()?, peer, app, workers, keep_alive, pinned(SERVER_CPU))
    }

    /// Starts a server at `place`, by a command that runs what is appended to it.
    pub(crate) fn start_at(
        place: Endpoint,
        peer: Peer,
        app: App,
        workers: usize,
        keep_alive: bool,
        mut command: Command,
    ) -> anyhow::Result<Running> {
        let inner = peer.command(app, &place, workers, keep_alive);
        command.arg(inner.get_program()).args(inner.get_args());
        for (name, value) in inner.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        // All errors of a server go to a file that is shown when it does not come up.
        let log = std::env::temp_dir().join(format!("bench-{peer:?}-{}.log", std::process::id()));
        let output = std::fs::File::create(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
        let began = Instant::now();
        let child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let mut running = Running { peer, child, place, began, first_response: Duration::ZERO };
        let answered = running.wait_for_response(app, began + Duration::from_secs(60));
        running.first_response = began.elapsed();
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let _ = std::fs::remove_file(&log);
        answered.with_context(|| format!("{} did not come up:\n{text}", peer.name()))?;
        Ok(running)
    }

    /// The process ids of the whole tree.
    pub(crate) fn tree(&self) -> Vec<procfs::Process> {
        tree(self.child.id())
    }

    /// CPU time of the whole tree so far, with that of the children it has reaped.
    pub(crate) fn cpu(&self) -> Duration {
        self.tree().iter().map(|process| process.cpu).sum()
    }

    /// How long threads of the tree were ready to run and waited for the CPU. See proc(5), `schedstat`: the second field.
    pub(crate) fn waited(&self) -> Duration {
        let tasks = |pid: u32| std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let delay = |task: std::fs::DirEntry| {
            let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_ascii_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
        };
        self.tree().iter().flat_map(|process| tasks(process.pid)).filter_map(delay).sum()
    }

    /// The memory of the whole tree.
    pub(crate) fn memory(&self) -> procfs::Memory {
        self.tree().iter().map(|process| procfs::memory(process.pid)).fold(procfs::Memory::default(), |sum, one| {
            procfs::Memory {
                rss_kib: sum.rss_kib + one.rss_kib,
                pss_kib: sum.pss_kib + one.pss_kib,
                private_kib: sum.private_kib + one.private_kib,
            }
        })
    }

    /// Waits until the tree neither changes nor uses CPU time: the last worker is there, what was asked is done. Returns how
    /// long after its start it did so for the last time.
    pub(crate) fn settle(&self) -> Duration {
        let (_keep, never) = channel::<()>();
        let state = || (self.tree().len(), self.cpu());
        let called = Instant::now();
        let (mut last, mut changed) = (state(), called);
        while changed.elapsed() < SETTLED && called.elapsed() < PATIENCE {
            let _ = never.recv_timeout(LOOK);
            let now = state();
            if now != last {
                (last, changed) = (now, Instant::now());
            }
        }
        changed - self.began
    }

    /// The process that was started: the master.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Which server it is.
    pub(crate) fn peer(&self) -> Peer {
        self.peer
    }

    /// Where it listens.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.place
    }

    fn wait_for_response(&mut self, app: App, deadline: Instant) -> anyhow::Result<()> {
        let (_keep, never) = channel::<()>();
        let request = Request::get(app.target()).close().bytes();
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}");
            }
            let answer = Connection::connect(&self.place, Duration::from_secs(5)).and_then(|mut connection| {
                connection.try_send(&request, deadline)?;
                connection.try_receive("GET", deadline)
            });
            match answer {
                Ok(response) => {
                    ensure!(response.status == 200, "it answered {}", response.status);
                    return Ok(());
                }
                Err(Broken::Refused(_) | Broken::Reset) => {}
                Err(broken) => bail!("{broken:?}"),
            }
            let _ = never.recv_timeout(Duration::from_millis(1));
        }
        bail!("no response in time")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let watches: Vec<Watch> = self.tree().iter().filter_map(|process| Watch::on(process.pid)).collect();
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
        for watch in watches {
            watch.signal(Signal::KILL);
            let _ = watch.wait(Duration::from_secs(5));
        }
    }
}
