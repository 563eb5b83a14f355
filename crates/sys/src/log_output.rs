//! A log that several processes append to: whole lines, and never a wait for a reader.
//!
//! To a regular file all lines go by one write(2): with `O_APPEND` the kernel finds the end and writes there under one lock, so
//! that what another process writes comes before or behind. When the disk is full in the middle of a line, what there is of
//! that line is taken back.
//!
//! A pipe takes up to `PIPE_BUF` bytes whole or not at all: it gets lines in pieces of that size. If it has no room, that
//! is told; see [`crate::stderr`] for how it is written without waiting.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, SeekFrom, fstat, ftruncate, seek};
use rustix::io::Errno;

use crate::stderr::write_without_waiting;

/// The longest line that goes whole into a pipe.
pub const PIPE_LINE_BYTES: usize = rustix::pipe::PIPE_BUF;

/// Where lines go.
#[derive(Debug)]
pub struct LogOutput {
    fd: OwnedFd,
    is_file: bool,
}

impl LogOutput {
    /// Takes a descriptor that was opened for appending.
    pub fn new(fd: OwnedFd) -> Self {
        let is_file = fstat(&fd).is_ok_and(|meta| FileType::from_raw_mode(meta.st_mode).is_file());
        Self { fd, is_file }
    }

    /// The standard output of this process, as it is now.
    ///
    /// # Errors
    /// It is closed, or no descriptors are left.
    pub fn stdout() -> std::io::Result<Self> {
        rustix::stdio::stdout().try_clone_to_owned().map(Self::new)
    }

    /// Tells whether lines of any length stay whole.
    pub fn is_file(&self) -> bool {
        self.is_file
    }

    /// Whose it is, user and group, if it is a file.
    pub fn owner(&self) -> Option<(u32, u32)> {
        fstat(&self.fd).ok().filter(|_| self.is_file).map(|meta| (meta.st_uid, meta.st_gid))
    }

    /// Writes lines. Returns how many bytes were, which are whole lines, and why it is not all: [`Errno::AGAIN`] when a
    /// reader is slow.
    pub fn write(&self, lines: &[u8]) -> (usize, Result<(), Errno>) {
        if self.is_file { self.append(lines) } else { self.pass_on(lines) }
    }

    fn append(&self, lines: &[u8]) -> (usize, Result<(), Errno>) {
        let mut written = 0;
        while written < lines.len() {
            match rustix::io::write(&self.fd, &lines[written..]) {
                Ok(0) => return (written, Err(Errno::IO)),
                Ok(count) => {
                    let whole = whole_lines(&lines[written..written + count]);
                    if count > whole {
                        self.take_back((count - whole) as u64);
                    }
                    written += whole;
                    if whole == 0 {
                        return (written, Err(Errno::NOSPC));
                    }
                }
                Err(Errno::INTR) => {}
                Err(errno) => return (written, Err(errno)),
            }
        }
        (written, Ok(()))
    }

    /// Takes the end of what was written just now out of the file again, if nothing was written behind it: the disk is full,
    /// so that nothing was.
    fn take_back(&self, bytes: u64) {
        let (Ok(end), Ok(meta)) = (seek(&self.fd, SeekFrom::Current(0)), fstat(&self.fd)) else { return };
        if u64::try_from(meta.st_size) == Ok(end) {
            let _ = ftruncate(&self.fd, end.saturating_sub(bytes));
        }
    }

    fn pass_on(&self, lines: &[u8]) -> (usize, Result<(), Errno>) {
        let mut written = 0;
        while written < lines.len() {
            let rest = &lines[written..];
            let piece = match whole_lines(&rest[..rest.len().min(PIPE_LINE_BYTES)]) {
                // A line that is longer than that.
                0 => rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1),
                whole => whole,
            };
            match write_without_waiting(self.fd.as_fd(), &rest[..piece]) {
                (_, Ok(())) => written += piece,
                (count, Err(errno)) => return (written + count, Err(errno)),
            }
        }
        (written, Ok(()))
    }

    /// Waits until a reader takes something, `patience_ns` at most.
    pub fn wait(&self, patience_ns: u64) {
        let _ = crate::poll::wait(&[], &[self.fd.as_fd()], Some(patience_ns));
    }
}

impl AsFd for LogOutput {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What an error that cost lines was, in words. Any number may be given.
pub fn why_lost(errno: i32) -> String {
    match errno {
        _ if errno == Errno::AGAIN.raw_os_error() => "its reader does not read".to_string(),
        _ if errno == Errno::BADF.raw_os_error() => "it could not be opened".to_string(),
        1.. => {
            let text = std::io::Error::from_raw_os_error(errno).to_string();
            text.split(" (os error ").next().unwrap_or(&text).to_string()
        }
        _ => "unknown".to_string(),
    }
}

/// How many bytes are whole lines.
fn whole_lines(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use std::io::Read;

    fn open(path: &std::path::Path) -> LogOutput {
        LogOutput::new(std::fs::File::options().append(true).create(true).open(path).unwrap().into())
    }

    #[test]
    fn a_line_that_does_not_fit_is_taken_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let (log, other) = (open(&path), open(&path));
        assert!(log.is_file() && log.owner().is_some());
        assert_eq!(other.write(b"first\n"), (6, Ok(())));
        // As a full disk does, a limit of the size has a write end early. See setrlimit(2).
        let (_guard, before) = (signal_ignored(), getrlimit(Resource::Fsize));
        setrlimit(Resource::Fsize, Rlimit { current: Some(20), maximum: before.maximum }).unwrap();
        let outcome = log.write(b"second\nthis one is too long\nthird\n");
        let again = log.write(b"this one is too long\n");
        setrlimit(Resource::Fsize, before).unwrap();
        assert_eq!((outcome, again), ((7, Err(Errno::NOSPC)), (0, Err(Errno::NOSPC))));
        assert_eq!(other.write(b"last\n"), (5, Ok(())));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first\nsecond\nlast\n");
    }

    #[test]
    fn the_reason_of_a_loss_is_told_in_words() {
        let told = [28, 11, 9, 0, -1].map(why_lost);
        let want =
            ["No space left on device", "its reader does not read", "it could not be opened", "unknown", "unknown"];
        assert_eq!(told, want);
        assert!(why_lost(i32::MAX).contains("Unknown error"));
    }

    /// SIGXFSZ, which would end the process.
    fn signal_ignored() -> impl Sized {
        // SAFETY: to ignore a signal calls no handler.
        unsafe { nix::sys::signal::signal(nix::sys::signal::Signal::SIGXFSZ, nix::sys::signal::SigHandler::SigIgn) }
    }

    #[test]
    fn a_pipe_gets_whole_lines_and_is_not_waited_for() {
        let (reader, writer) = crate::spawn::pipe().unwrap();
        let log = LogOutput::new(writer);
        assert!(!log.is_file() && log.owner().is_none());
        let lines = format!("{}\n", "x".repeat(99)).repeat(2_000);
        let (written, outcome) = log.write(lines.as_bytes());
        assert_eq!((written % 100, outcome), (0, Err(Errno::AGAIN)));
        assert!((40_000..200_000).contains(&written), "{written}");
        let mut room = vec![0; written];
        let mut reader = std::fs::File::from(reader);
        reader.read_exact(&mut room).unwrap();
        assert!(lines.as_bytes().starts_with(&room));
        log.wait(60_000_000_000);
        assert_eq!(log.write(b"y\n"), (2, Ok(())));
        drop(reader);
        assert_eq!(log.write(b"z\n").1, Err(Errno::PIPE));
    }
}
