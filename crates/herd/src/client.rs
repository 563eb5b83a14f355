//! `licorne herd reload`: asks a running herder to restart its server, and tells how that went.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::control::usual_path;

const USAGE: &str = "\
usage: licorne herd reload [options]

Asks the running herder to replace its server by a new one, as SIGHUP does.

  -w, --wait          wait until the new server serves; fail, and say why, when it does not
      --pid PID       the herder's process id
      --pid-file PATH a file with it (see --write-pid)
      --control PATH  the herder's control socket";

/// Runs the subcommand with the arguments after `reload`. Returns the exit status.
///
/// # Errors
/// The arguments are wrong, no herder is found, or the restart fails.
pub fn reload(arguments: &[String]) -> Result<u8, String> {
    let (mut wait, mut path) = (false, None);
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        let (name, glued) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        let mut value = || glued.or_else(|| rest.next().map(String::as_str)).ok_or(format!("{word} needs a value"));
        match name {
            "-h" | "--help" => {
                sys::stdio::print(&format!("{USAGE}\n")).map_err(|error| error.chain())?;
                return Ok(0);
            }
            "-w" | "--wait" => wait = true,
            "--control" => path = Some(PathBuf::from(value()?)),
            "--pid" => path = Some(of_pid(value()?.parse().map_err(|_| format!("{word}: no process id"))?)),
            "--pid-file" => {
                let file = value()?;
                let pid = sys::pidfile::read(Path::new(file)).ok_or(format!("{file}: no pid file"))?;
                path = Some(of_pid(pid));
            }
            _ => return Err(format!("licorne herd reload: what is `{word}`?\n{USAGE}")),
        }
    }
    let path = path.map_or_else(only_one, Ok)?;
    ask(&path, wait)
}

fn ask(path: &Path, wait: bool) -> Result<u8, String> {
    let trouble = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut stream = UnixStream::connect(path).map_err(trouble)?;
    stream.write_all(if wait { b"reload wait\n" } else { b"reload\n" }).map_err(trouble)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(trouble)?;
    match answer.trim_end().split_once(' ') {
        Some(("ok", text)) => {
            sys::stdio::print(&format!("{text}\n")).map_err(|error| error.chain())?;
            Ok(0)
        }
        Some(("failed", text)) => Err(format!("restart failed: {}", text.replace(" | ", "\n"))),
        _ => Err("the herder left without an answer".into()),
    }
}

fn of_pid(pid: u32) -> PathBuf {
    usual_path(pid, sys::process::owner_of(pid).unwrap_or_else(sys::process::own_uid))
}

/// Without a word about which herder is meant there must be just one.
fn only_one() -> Result<PathBuf, String> {
    let sample = usual_path(0, sys::process::own_uid());
    let entries = sample.parent().and_then(|directory| std::fs::read_dir(directory).ok());
    let paths = entries.into_iter().flatten().flatten().map(|entry| entry.path());
    let is_herder =
        |path: &PathBuf| path.extension().is_some_and(|end| end == "ctl") && UnixStream::connect(path).is_ok();
    let found: Vec<PathBuf> = paths.filter(is_herder).collect();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err("no running herder found; say --pid PID, --pid-file FILE or --control PATH".into()),
        several => {
            let listed: Vec<String> = several.iter().map(|path| path.display().to_string()).collect();
            Err(format!("several herders run; say which with --control PATH:\n  {}", listed.join("\n  ")))
        }
    }
}
