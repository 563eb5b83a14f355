//! Standard output and error of this process, sent to files.

use std::fmt::Display;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::libc;
use rustix::fs::FileType;

use crate::safe_open::open_log;
use crate::text::printable_lines;
use crate::user::User;
use crate::{Error, Result};

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Opens `path` for appending, for an application of `user`, and makes it the stream. See dup2(2), [`open_log`].
///
/// # Errors
/// The file cannot be opened; then the stream is as it was.
pub fn redirect(stream: Stream, path: &Path, user: Option<&User>) -> Result<()> {
    replace(stream, &open_log(path, user, None)?)
}

/// The same for a stream that was redirected before: after its file was moved, which is how logs are rotated. A file that
/// is still there is left alone: a FIFO may have no reader just now.
///
/// # Errors
/// The file cannot be opened; then the stream is as it was.
pub fn reopen(stream: Stream, path: &Path, user: Option<&User>) -> Result<()> {
    let before = match stream {
        Stream::Out => rustix::fs::fstat(rustix::stdio::stdout()),
        Stream::Err => rustix::fs::fstat(rustix::stdio::stderr()),
    };
    let before = before.ok();
    let is_before = |there: rustix::fs::Stat| {
        before.is_some_and(|before| (before.st_dev, before.st_ino) == (there.st_dev, there.st_ino))
    };
    if rustix::fs::stat(path).is_ok_and(is_before) {
        return Ok(());
    }
    let before = before.filter(|before| FileType::from_raw_mode(before.st_mode).is_file());
    replace(stream, &open_log(path, user, before.map(|before| (before.st_uid, before.st_gid)))?)
}

/// Writes to standard output, control characters escaped. A reader that has left (`| head`) is no error.
///
/// # Errors
/// The disk is full, for one.
pub fn print(text: &str) -> Result<()> {
    write_out(&printable_lines(text))
}

/// Writes a file's text to standard output: as it is, and for a terminal with its control characters escaped.
///
/// # Errors
/// The disk is full, for one.
pub fn print_file(text: &str) -> Result<()> {
    if std::io::stdout().is_terminal() { print(text) } else { write_out(text) }
}

fn write_out(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::call("write")(error)),
        _ => Ok(()),
    }
}

/// Writes a line to standard error, in one write(2), control characters escaped. A reader that has left is no
/// reason to fail, as `eprintln!` would. It waits for a reader that is slow: for commands, not for the master ([`stderr`]).
///
/// [`stderr`]: crate::stderr
pub fn complain(text: impl Display) {
    let text = text.to_string();
    let _ = std::io::stderr().write_all(format!("{}\n", printable_lines(&text)).as_bytes());
}

/// Makes `fd` the descriptor of that number, which stays open all the while. See dup3(2).
///
/// # Errors
/// The number is beyond the limit.
pub fn put_at(fd: OwnedFd, number: RawFd) -> Result<()> {
    let flags = if number > 2 { libc::O_CLOEXEC } else { 0 };
    // SAFETY: dup3 takes integers and touches no memory; the caller names a descriptor of Ruby's, which stays its owner.
    match unsafe { libc::dup3(fd.as_raw_fd(), number, flags) } {
        -1 => Err(Error::call("dup3")(std::io::Error::last_os_error())),
        _ => Ok(()),
    }
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
        redirect(Stream::Err, &fifo, None).unwrap();
        drop(reader);
        reopen(Stream::Err, &fifo, None).unwrap();
        complain("nobody reads this");
        redirect(Stream::Err, &file, None).unwrap();
        std::fs::rename(&file, directory.join("log.1")).unwrap();
        reopen(Stream::Err, &file, None).unwrap();
        complain("to the new file");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "to the new file\n");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
