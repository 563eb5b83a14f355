//! Finds the master that is meant, and checks that it is the one that answers.
//!
//! Sockets lie in directories that any user may have made (`/tmp/licorne-UID`). So the kernel tells which process listens: a
//! process id that was given must be the listener's, and the listener must be of root, of this user, or of the user that
//! controls the place that was named: the process, the socket's directory, the working directory.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use herd::place::is_place;
use master::control::candidates;
use sys::peer::Peer;
use sys::runtime_directory::{owner, sweep};

/// Configurations that a master is usually started with, seen from the application's directory.
const CONFIGURATIONS: [&str; 4] = ["config/licorne.rb", "config/unicorn.rb", "licorne.rb", "unicorn.rb"];
/// Where pid files usually are.
const PID_DIRECTORIES: [&str; 4] = ["tmp/pids", "shared/pids", "tmp", "."];
/// No configuration is longer, in bytes.
const CONFIGURATION_BYTES: u64 = 1 << 20;

/// A master's control socket, and the process that listens on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where the socket is.
    pub(crate) path: PathBuf,
    /// The process that listens.
    pub(crate) peer: Peer,
    /// The master's working directory, if it may be looked at.
    pub(crate) directory: Option<PathBuf>,
}

impl Found {
    fn new(path: &Path, peer: Peer) -> Self {
        let directory = (peer.pid != 0).then(|| std::fs::read_link(format!("/proc/{}/cwd", peer.pid)).ok()).flatten();
        Self { path: path.to_path_buf(), peer, directory }
    }

    /// Which master this is: `master pid 123 (/srv/app)`, with its user where that is neither root nor this user.
    pub(crate) fn name(&self) -> String {
        let Peer { pid, uid } = self.peer;
        let whose = match self.peer.is_trusted() {
            true => String::new(),
            false => format!(" of {}", sys::process::user_name(uid).unwrap_or_else(|| format!("uid {uid}"))),
        };
        let place = self.directory.as_deref().unwrap_or(&self.path).display().to_string();
        match pid {
            0 => format!("master{whose} ({})", sys::text::printable(&place)),
            pid => format!("master pid {pid}{whose} ({})", sys::text::printable(&place)),
        }
    }

    /// Connects once more, to the same process.
    ///
    /// # Errors
    /// Nothing listens there any more, or another process does.
    pub(crate) fn connect(&self) -> Result<UnixStream, Unreachable> {
        let stream = UnixStream::connect(&self.path).map_err(|error| Unreachable::socket(&self.path, error))?;
        match Peer::of(&stream) {
            Ok(peer) if peer == self.peer => Ok(stream),
            _ => Err(Unreachable::Another { path: self.path.clone() }),
        }
    }
}

/// Why no master is talked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreachable {
    #[error("{path}: no master listens there")]
    Nothing {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path}: for the master's user and root only")]
    Forbidden {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path}")]
    Socket {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path}: another process listens there now")]
    Another { path: PathBuf },
    #[error("{path}: it is not trusted: listening there is {peer}")]
    Untrusted { path: PathBuf, peer: String },
    #[error("{path}: no pid file of a master")]
    NoPidFile { path: PathBuf },
    #[error("no process {0}: the master is not running")]
    NotRunning(u32),
    #[error("process {pid} has no control socket (looked for {looked}); say --control PATH")]
    NoSocket { pid: u32, looked: String },
    #[error("the working directory")]
    WorkingDirectory(#[source] std::io::Error),
    #[error(transparent)]
    System(#[from] sys::Error),
}

impl Unreachable {
    fn socket(path: &Path, source: std::io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => Self::Nothing { path, source },
            ErrorKind::PermissionDenied => Self::Forbidden { path, source },
            _ => Self::Socket { path, source },
        }
    }
}

/// The master that listens on this very socket.
///
/// # Errors
/// Nothing listens there, or a process of a user that does not control the socket's directory.
pub(crate) fn of_socket(path: &Path) -> Result<Found, Unreachable> {
    let stream = UnixStream::connect(path).map_err(|error| Unreachable::socket(path, error))?;
    let peer = Peer::of(&stream)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let resolved = std::fs::canonicalize(directory).ok();
    if peer.is_trusted() || resolved.and_then(|directory| owner(&directory)) == Some(peer.uid) {
        return Ok(Found::new(path, peer));
    }
    Err(Unreachable::Untrusted { path: path.to_path_buf(), peer: peer.describe() })
}

/// The master whose process id is in a file.
///
/// # Errors
/// Those of [`of_pid`]; there is no process id in the file.
pub(crate) fn of_pid_file(file: &Path, notes: &mut Vec<String>) -> Result<Found, Unreachable> {
    let pid = sys::pidfile::read(file).ok_or_else(|| Unreachable::NoPidFile { path: file.to_path_buf() })?;
    of_pid(pid, notes)
}

/// The master with this process id. `notes` tells what was passed over.
///
/// # Errors
/// There is no such process, or it listens on none of the usual sockets.
pub(crate) fn of_pid(pid: u32, notes: &mut Vec<String>) -> Result<Found, Unreachable> {
    if !sys::process::is_alive(pid) {
        return Err(Unreachable::NotRunning(pid));
    }
    let (all, mut hidden) = (candidates(pid), None);
    for path in &all {
        match sys::listener::connect(path) {
            Ok(stream) => match Peer::of(&stream) {
                Ok(peer) if is_process(peer, pid) => return Ok(Found::new(path, peer)),
                Ok(peer) => notes.push(format!("{}: not process {pid}, but {}", path.display(), peer.describe())),
                Err(error) => notes.push(error.chain()),
            },
            // One that this user may not look at is there for all we know: then that is what is wrong. A full backlog is
            // that of a process that hangs.
            Err(errno) if [ErrorKind::PermissionDenied, ErrorKind::WouldBlock].contains(&errno.kind()) => {
                hidden = hidden.or_else(|| Some(Unreachable::socket(path, errno.into())));
            }
            Err(_) => {}
        }
    }
    // A master of a container has another process id there, after which its socket is named.
    if let Some(found) = running(notes).into_iter().find(|found| is_process(found.peer, pid)) {
        return Ok(found);
    }
    Err(hidden.unwrap_or_else(|| {
        let looked = all.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        Unreachable::NoSocket { pid, looked }
    }))
}

/// Whether a listener is this process. Not by its id alone: a process of another user that had the id before may have left
/// its socket to a child.
fn is_process(peer: Peer, pid: u32) -> bool {
    peer.pid == pid && (peer.is_trusted() || sys::process::owner_of(pid) == Some(peer.uid))
}

/// Every master that listens on a usual socket, and whose user controls the socket's directory.
pub(crate) fn running(notes: &mut Vec<String>) -> Vec<Found> {
    let mut directories: Vec<PathBuf> =
        candidates(std::process::id()).iter().filter_map(|path| path.parent()).map(Path::to_path_buf).collect();
    if sys::process::own_uid() == 0 {
        // Those of other users: they are listed, and found by their directory.
        let below = |place: &str| std::fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.path());
        // With the user's number: other directories of that name hold sockets of other kinds.
        let is_uid = |text: &str| text.parse::<u32>().is_ok();
        let temporary = |path: &PathBuf| path.to_string_lossy().strip_prefix("/tmp/licorne-").is_some_and(is_uid);
        directories.extend(below("/run/user").map(|path| path.join("licorne")));
        directories.extend(below("/run").filter(|path| unit_of(path).is_some()));
        directories.extend(below("/tmp").filter(temporary));
    }
    directories.sort();
    directories.dedup();
    let mut found: Vec<Found> = directories.iter().flat_map(|directory| in_directory(directory, notes)).collect();
    found.sort_by_key(|found| (found.peer.pid, found.path.clone()));
    found.dedup_by_key(|found| (found.peer, found.path.clone()));
    found
}

/// The name of the unit `licorne@NAME` that systemd has made this directory for (`RuntimeDirectory=%N`). No program but root's
/// can make one, so what listens there is that unit's master, or another process of its user's.
fn unit_of(directory: &Path) -> Option<&str> {
    directory.to_str()?.strip_prefix("/run/licorne@").filter(|name| !name.contains('/'))
}

fn in_directory(directory: &Path, notes: &mut Vec<String>) -> Vec<Found> {
    sweep(directory);
    let controlled_by = owner(directory);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        // Those of masters begin with their process id; an application's own may be beside them.
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with(|first: char| first.is_ascii_digit()) || !name.ends_with(".sock") {
            continue;
        }
        let Some(peer) = sys::listener::connect(&path).ok().and_then(|stream| Peer::of(&stream).ok()) else { continue };
        if peer.is_trusted() || controlled_by == Some(peer.uid) {
            found.push(Found::new(&path, peer));
        } else {
            notes.push(format!("{}: not trusted: listening there is {}", path.display(), peer.describe()));
        }
    }
    found
}

/// Where a command stands.
#[derive(Debug)]
pub(crate) struct Here {
    /// The working directory, without links.
    directory: PathBuf,
    /// Whose it is.
    uid: u32,
}

impl Here {
    /// The working directory.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn find() -> Result<Self, Unreachable> {
        let directory = std::env::current_dir().map_err(Unreachable::WorkingDirectory)?;
        let uid = std::fs::metadata(&directory).map_err(Unreachable::WorkingDirectory)?.uid();
        Ok(Self { directory, uid })
    }

    /// The masters that this directory names: by the pid files that are in it or in its configuration, else by their
    /// working directory.
    pub(crate) fn masters(&self, running: &[Found]) -> Vec<Found> {
        let pids: Vec<u32> = self.pid_files().iter().filter_map(|file| self.pid_in(file)).collect();
        let is_mine = |found: &&Found| {
            let Found { peer, path, .. } = found;
            peer.is_trusted() || peer.uid == self.uid || path.parent().is_some_and(|parent| self.is_of(parent))
        };
        let mine: Vec<&Found> = running.iter().filter(is_mine).collect();
        let by_file: Vec<Found> =
            mine.iter().filter(|found| pids.contains(&found.peer.pid)).copied().cloned().collect();
        if !by_file.is_empty() {
            return by_file;
        }
        let stands =
            |found: &&&Found| found.directory.as_deref().is_some_and(|theirs| is_place(&self.directory, theirs));
        mine.iter().filter(stands).copied().cloned().collect()
    }

    /// Whether it is an application of this unit's: the unit `licorne@app` serves `/srv/app`, or a release below. The user of
    /// another unit may say that it serves this directory.
    fn is_of(&self, unit: &Path) -> bool {
        unit_of(unit).is_some_and(|name| self.directory.iter().any(|part| part == name))
    }

    fn pid_files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = CONFIGURATIONS
            .iter()
            .filter_map(|name| sys::safe_open::read(&self.directory.join(name), CONFIGURATION_BYTES).ok())
            .flat_map(|text| pid_directives(&String::from_utf8_lossy(&text)))
            .map(|path| self.directory.join(path))
            .collect();
        for directory in PID_DIRECTORIES.map(|name| self.directory.join(name)) {
            let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
            files.extend(entries.filter(|path| path.extension().is_some_and(|end| end == "pid")));
        }
        files
    }

    /// The process id in a file that belongs to root, to this user, or to the user that owns the working directory: in a
    /// directory for all, others may have put one.
    fn pid_in(&self, file: &Path) -> Option<u32> {
        let uid = std::fs::metadata(file).ok()?.uid();
        let trusted = [0, sys::process::own_uid(), self.uid].contains(&uid);
        sys::pidfile::read(file).filter(|_| trusted)
    }
}

/// The paths that `pid "…"` lines of a configuration name, as far as they are plain text.
fn pid_directives(text: &str) -> Vec<String> {
    let path = |line: &str| {
        let rest = line.trim_start().strip_prefix("pid")?;
        let rest = rest.trim_start_matches([' ', '\t', '(']);
        let quote = rest.chars().next().filter(|mark| ['"', '\''].contains(mark))?;
        let (path, _) = rest[1..].split_once(quote)?;
        (!path.contains("#{")).then(|| path.to_string())
    };
    text.lines().filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_is_believed_in_the_directory_that_bears_its_name_and_below() {
        for (directory, unit, believed) in [
            ("/srv/app", "/run/licorne@app", true),
            ("/srv/app/releases/3", "/run/licorne@app", true),
            ("/srv/app", "/run/licorne@other", false),
            ("/srv/application", "/run/licorne@app", false),
            ("/srv/app", "/run/licorne@app/app", false),
            ("/srv/app", "/tmp/licorne@app", false),
        ] {
            let here = Here { directory: directory.into(), uid: 0 };
            assert_eq!(here.is_of(Path::new(unit)), believed, "{unit} in {directory}");
        }
    }

    #[test]
    fn pid_lines_of_a_configuration_are_found_where_they_are_plain() {
        let text =
            "# pid 'no'\npid \"tmp/a.pid\"\n  pid('/run/b.pid') # here\npid File.join(x, 'c')\npid \"#{x}/d.pid\"\n";
        assert_eq!(pid_directives(text), ["tmp/a.pid", "/run/b.pid"]);
    }
}
