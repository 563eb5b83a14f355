//! Standard output and error of this process, sent to files.

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::{Error, Result};

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Opens `path` for appending (mode 0666 less the umask) and makes it the stream. Doing it again after the file was
/// moved is how logs are rotated. See dup2(2).
///
/// # Errors
/// The file cannot be opened.
pub fn redirect(stream: Stream, path: &Path) -> Result<()> {
    let file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o666)
        .open(path)
        .map_err(Error::path("open", path))?;
    match stream {
        Stream::Out => rustix::stdio::dup2_stdout(&file),
        Stream::Err => rustix::stdio::dup2_stderr(&file),
    }
    .map_err(Error::call("dup2"))
}
