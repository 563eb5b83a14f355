//! Starting a program with listeners at descriptors 3, 4, … as systemd does (sd_listen_fds(3)).

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};

/// Descriptors are inheritable for a moment while a server is started: one start at a time.
static STARTING: Mutex<()> = Mutex::new(());

/// The lowest number of the copies that the shell moves to 3, 4, …: high enough not to collide with those.
const FIRST_COPY: i32 = 100;

/// A command, and the listeners that it inherits.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, Option<String>)>,
    pub(crate) directory: PathBuf,
    pub(crate) listeners: Vec<OwnedFd>,
}

impl Start {
    /// Starts it, with its output in `output`. `LISTEN_PID` must name the process that finally runs, so a shell sets it
    /// and then becomes that process.
    pub(crate) fn spawn(&self, output: File) -> std::io::Result<Child> {
        let _one_at_a_time = STARTING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut script = String::new();
        let mut copies = Vec::new();
        for (index, listener) in self.listeners.iter().enumerate() {
            let copy = fcntl_dupfd_cloexec(listener, FIRST_COPY)?;
            fcntl_setfd(&copy, FdFlags::empty())?;
            let number = std::os::fd::AsRawFd::as_raw_fd(&copy.as_fd());
            script.push_str(&format!("exec {}<&{number} {number}<&-; ", index + 3));
            copies.push(copy);
        }
        if !self.listeners.is_empty() {
            script.push_str(&format!("export LISTEN_FDS={} LISTEN_PID=$$; ", self.listeners.len()));
        }
        script.push_str(r#"exec "$0" "$@""#);
        // bash, not sh: dash takes only descriptors of one digit.
        let mut command = Command::new("bash");
        command.arg("-c").arg(script).arg(&self.program).args(&self.arguments).current_dir(&self.directory);
        // What the test itself inherited must not look like the server's.
        for name in
            ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "UNICORN_FD", "RACK_ENV", "RAILS_ENV", "NOTIFY_SOCKET"]
        {
            command.env_remove(name);
        }
        command.env("PWD", &self.directory);
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        command.spawn()
    }

    /// The command as a person would type it.
    pub(crate) fn display(&self) -> String {
        let mut words = vec![format!("cd {} &&", self.directory.display())];
        for (name, value) in &self.environment {
            words.push(value.as_ref().map_or_else(|| format!("-u {name}"), |value| format!("{name}={value:?}")));
        }
        words.push(self.program.display().to_string());
        words.extend(self.arguments.iter().map(|argument| format!("{argument:?}")));
        words.join(" ")
    }
}

/// Copies a directory tree. See cp(1), `-a`.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg("--").arg(from).arg(to).status().expect("cp runs");
    assert!(status.success(), "failed to copy {} to {}", from.display(), to.display());
}
