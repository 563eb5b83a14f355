//! `licorne herd reload`: asks a running herder to restart its server, and tells how that went.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use sys::peer::Peer;
use sys::runtime_directory::{beside, owner, sweep};
use sys::stdio::complain;

use crate::control::usual_path;
use crate::place::is_place;

/// The exit status when it is not clear which herder is meant.
const WHICH_HERDER: u8 = 2;

/// Which herder is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The one that listens on this socket.
    Socket(PathBuf),
    /// The one with this process id.
    Pid(u32),
    /// The one whose process id is in this file.
    PidFile(PathBuf),
    /// The one whose working directory this is.
    Here,
}

/// Has a herder replace its server by a new one, as `SIGHUP` does, and, with `wait`, tells how that went. Returns the exit
/// status.
///
/// # Errors
/// No herder is found, or the restart fails.
pub fn reload(target: &Target, wait: bool) -> Result<u8, String> {
    let path = match target {
        Target::Socket(path) => path.clone(),
        Target::Pid(pid) => of_pid(*pid)?,
        Target::PidFile(file) => {
            of_pid(sys::pidfile::read(file).ok_or_else(|| format!("{}: no pid file", file.display()))?)?
        }
        Target::Here => match the_one_here()? {
            Some(path) => path,
            None => return Ok(WHICH_HERDER),
        },
    };
    ask(&path, wait)
}

fn ask(path: &Path, wait: bool) -> Result<u8, String> {
    let trouble = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut stream = UnixStream::connect(path).map_err(trouble)?;
    let peer = Peer::of(&stream).map_err(|error| error.chain())?;
    if !peer.is_trusted() && path.parent().and_then(owner) != Some(peer.uid) {
        return Err(format!("{}: it is not trusted: listening there is {}", path.display(), peer.describe()));
    }
    stream.write_all(if wait { b"reload wait\n" } else { b"reload\n" }).map_err(trouble)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(trouble)?;
    match answer.trim_end().split_once(' ') {
        Some(("ok", text)) => {
            sys::stdio::print(&format!("{text}\n")).map_err(|error| error.chain())?;
            Ok(0)
        }
        Some(("failed", text)) => Err(format!("restart failed: {}", text.replace(" | ", "\n"))),
        _ => Err("the herder exited without an answer".into()),
    }
}

/// Where the herder with this process id listens: that process, and no other.
fn of_pid(pid: u32) -> Result<PathBuf, String> {
    let uid = sys::process::owner_of(pid).ok_or_else(|| format!("no process {pid}: the herder is not running"))?;
    let usual = usual_path(pid, uid);
    let all: Vec<PathBuf> = beside(&usual).into_iter().chain([usual.clone()]).collect();
    let is_its = |peer: Peer| peer.pid == pid && (peer.is_trusted() || peer.uid == uid);
    let found = all.into_iter().find(|path| listening_process(path).is_some_and(is_its));
    found.ok_or_else(|| format!("{}: process {pid} does not listen there", usual.display()))
}

fn listening_process(path: &Path) -> Option<Peer> {
    Peer::of(&sys::listener::connect(path).ok()?).ok()
}

/// The one herder of the working directory; `None` when there is not just one, which is said.
fn the_one_here() -> Result<Option<PathBuf>, String> {
    let here = std::env::current_dir().map_err(|error| format!("the working directory: {error}"))?;
    let sample = usual_path(0, sys::process::own_uid());
    let directory = sample.parent().unwrap_or(Path::new("/"));
    sweep(directory);
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let herder = |path: PathBuf| {
        let peer = listening_process(&path).filter(|peer| peer.is_trusted())?;
        Some((std::fs::read_link(format!("/proc/{}/cwd", peer.pid)).ok(), peer.pid, path))
    };
    let running: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "ctl")).filter_map(herder).collect();
    let mut meant = running.iter().filter(|(place, ..)| place.as_deref().is_some_and(|theirs| is_place(&here, theirs)));
    if let (Some((_, _, path)), None) = (meant.next(), meant.next()) {
        return Ok(Some(path.clone()));
    }
    let place = |place: &Option<PathBuf>| place.as_ref().map_or_else(String::new, |path| path.display().to_string());
    let lines: String = running.iter().map(|(at, pid, _)| format!("\n  herder pid {pid} ({})", place(at))).collect();
    let why = if running.is_empty() { "no running herder found" } else { "not just one herder is of this directory" };
    complain(format_args!("licorne herd reload: {why}; say --pid PID, --pid-file FILE or --control PATH{lines}"));
    Ok(None)
}
