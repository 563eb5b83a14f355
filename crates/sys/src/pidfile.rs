//! Pid files: written whole or not at all, never taken from a live process, removed only by their owner.
//!
//! The content is the decimal process id and a line feed, as Unicorn writes it.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::process::is_alive;
use crate::user::User;
use crate::{Error, Result, safe_open};

/// No pid file is longer, in bytes.
const MOST_BYTES: u64 = 64;

/// The process id in the file, if it is a regular file that holds one.
pub fn read(path: &Path) -> Option<u32> {
    let bytes = safe_open::read(path, MOST_BYTES).ok()?;
    std::str::from_utf8(&bytes).ok()?.trim().parse().ok().filter(|pid| *pid > 0)
}

/// The live process other than `own` that the file names, if any.
pub fn holder(path: &Path, own: u32) -> Option<u32> {
    read(path).filter(|pid| *pid != own && is_alive(*pid))
}

/// Writes `own` to the file: to a temporary file beside it, flushed, then renamed. A root process whose application runs as
/// `user` does so with that user's rights where others than root control the path.
///
/// # Errors
/// A live process holds it ([`Error::AlreadyRunning`]); the directory cannot be written; the disk is full.
pub fn write(path: &Path, own: u32, user: Option<&User>) -> Result<()> {
    safe_open::act(path, user, || write_as_ourselves(path, own))
}

fn write_as_ourselves(path: &Path, own: u32) -> Result<()> {
    if let Some(pid) = holder(path, own) {
        return Err(Error::AlreadyRunning { pid, path: path.to_path_buf() });
    }
    let temporary = temporary_beside(path, own);
    // A file that exists there was left by a process of this number, or is a trap that makes this one write elsewhere.
    let _ = std::fs::remove_file(&temporary);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(&temporary)
        .map_err(Error::path("open", &temporary))?;
    let written = file.write_all(format!("{own}\n").as_bytes()).and_then(|()| file.sync_all());
    let renamed = written.and_then(|()| std::fs::rename(&temporary, path));
    renamed.map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        Error::path("write", path)(error)
    })
}

/// Moves the file of this process to another path; writes it anew when it cannot be moved (gone, other filesystem).
///
/// # Errors
/// As [`write()`], for the new path.
pub fn rename(from: &Path, to: &Path, own: u32, user: Option<&User>) -> Result<()> {
    if let Some(pid) = holder(to, own) {
        return Err(Error::AlreadyRunning { pid, path: to.to_path_buf() });
    }
    let rename = || std::fs::rename(from, to).map_err(Error::path("rename", to));
    if read(from) == Some(own) && safe_open::act_on(&[from, to], user, rename).is_ok() {
        return Ok(());
    }
    write(to, own, user)?;
    remove(from, own, user);
    Ok(())
}

/// Removes the file if it still names this process.
pub fn remove(path: &Path, own: u32, user: Option<&User>) {
    let remove = || std::fs::remove_file(path).map_err(Error::path("unlink", path));
    if read(path) == Some(own) {
        // What is left of it names a process that is gone, which is what readers check.
        let _ = safe_open::act(path, user, remove);
    }
}

fn temporary_beside(path: &Path, own: u32) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".{name}.{own}.tmp"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_or_foreign_content_is_overwritten_and_a_live_one_refused() {
        let dir = std::env::temp_dir().join(format!("licorne-pidfile-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("pid");
        let own = std::process::id();
        for content in ["", "x", "-1", "0", "4194304999", "999999999\n"] {
            std::fs::write(&path, content).unwrap();
            write(&path, own, None).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{own}\n"), "over {content:?}");
        }
        let victim = dir.join("victim");
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, temporary_beside(&path, own)).unwrap();
        write(&path, own, None).unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious", "a link to it is not followed");
        std::fs::remove_file(&victim).unwrap();
        std::fs::write(&path, "1\n").unwrap();
        assert!(matches!(write(&path, own, None), Err(Error::AlreadyRunning { pid: 1, .. })));
        std::fs::write(&path, format!("{own}\n")).unwrap();
        let moved = dir.join("pid.oldbin");
        rename(&path, &moved, own, None).unwrap();
        assert!(!path.exists() && read(&moved) == Some(own));
        remove(&moved, own + 1, None);
        assert!(moved.exists());
        remove(&moved, own, None);
        assert!(!moved.exists());
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0, "no temporary file is left");
        std::fs::remove_dir(&dir).unwrap();
    }
}
