//! Standard output and error of this process, sent to files.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FileType, Gid, Uid};

use crate::{Error, Result};

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Opens `path` for appending (mode 0666 less the umask) and makes it the stream. See dup2(2).
///
/// # Errors
/// The file cannot be opened.
pub fn redirect(stream: Stream, path: &Path) -> Result<()> {
    replace(stream, &open(path)?)
}

/// The same for a stream that was redirected before: after its file was moved, which is how logs are rotated. The new
/// file belongs to whom the old one belonged to, since workers of another user must be able to open it as well.
///
/// # Errors
/// The file cannot be opened.
pub fn reopen(stream: Stream, path: &Path) -> Result<()> {
    let before = match stream {
        Stream::Out => rustix::fs::fstat(rustix::stdio::stdout()),
        Stream::Err => rustix::fs::fstat(rustix::stdio::stderr()),
    };
    let file = open(path)?;
    let after = rustix::fs::fstat(&file).map_err(Error::call("fstat"))?;
    if let Ok(before) = before
        && FileType::from_raw_mode(before.st_mode).is_file()
        && (before.st_uid, before.st_gid) != (after.st_uid, after.st_gid)
    {
        let (user, group) = (Uid::from_raw(before.st_uid), Gid::from_raw(before.st_gid));
        // Whoever may not give files away has no workers of another user either.
        let _ = rustix::fs::fchown(&file, Some(user), Some(group));
    }
    replace(stream, &file)
}

fn open(path: &Path) -> Result<File> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true).mode(0o666).open(path).map_err(Error::path("open", path))
}

fn replace(stream: Stream, file: &File) -> Result<()> {
    match stream {
        Stream::Out => rustix::stdio::dup2_stdout(file),
        Stream::Err => rustix::stdio::dup2_stderr(file),
    }
    .map_err(Error::call("dup2"))
}
