//! Standard output and error of this process, sent to files.

use std::fmt::Display;
use std::fs::File;
use std::io::Write;
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
/// file belongs to whom the old one belonged to, since workers of another user must be able to open it as well. A file
/// that is still there is left alone: to open a FIFO would mean to wait for a reader.
///
/// # Errors
/// The file cannot be opened.
pub fn reopen(stream: Stream, path: &Path) -> Result<()> {
    let before = match stream {
        Stream::Out => rustix::fs::fstat(rustix::stdio::stdout()),
        Stream::Err => rustix::fs::fstat(rustix::stdio::stderr()),
    };
    if let (Ok(before), Ok(there)) = (&before, rustix::fs::stat(path))
        && (before.st_dev, before.st_ino) == (there.st_dev, there.st_ino)
    {
        return Ok(());
    }
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

/// Writes to standard output. That nobody reads on (`| head`) is no error.
///
/// # Errors
/// The disk is full, for one.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::call("write")(error)),
        _ => Ok(()),
    }
}

/// Writes a line to standard error, in one write(2). That nobody reads it is no reason to fail, as `eprintln!` would.
pub fn complain(text: impl Display) {
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
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

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode};

    #[test]
    fn a_fifo_without_a_reader_is_left_alone_and_a_file_that_was_moved_is_not() {
        let directory = std::env::temp_dir().join(format!("licorne-stdio-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let (fifo, file) = (directory.join("fifo"), directory.join("log"));
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let reader = File::options().read(true).write(true).open(&fifo).unwrap();
        redirect(Stream::Err, &fifo).unwrap();
        drop(reader);
        reopen(Stream::Err, &fifo).unwrap();
        complain("nobody reads this");
        redirect(Stream::Err, &file).unwrap();
        std::fs::rename(&file, directory.join("log.1")).unwrap();
        reopen(Stream::Err, &file).unwrap();
        complain("to the new file");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "to the new file\n");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
