//! Lines on standard error, written without ever waiting for its reader.
//!
//! A supervisor hangs, a terminal was stopped (Ctrl-S), no process reads a FIFO: a process that waits for them is stopped
//! too. So a line that finds no room is lost and counted, and the next line that does reports the count. So is one that a
//! full disk does not take, or a reader that is gone.
//!
//! `O_NONBLOCK` does not help: it belongs to the open file, which workers, the application and the shell share. So a line goes
//! to a pipe or terminal through an open file of its own (`/proc/self/fd/2`), or, where this user may not open it again,
//! by splice(2), which can be told not to wait. A file on the network, whose server may not answer, is written by a process
//! apart ([`remote`]); every other regular file as it is.
//!
//! [`remote`]: crate::remote

use std::io::IsTerminal;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SendFlags;
use rustix::pipe::{PIPE_BUF, PipeFlags, SpliceFlags};

use crate::remote::{self, Identity, Writer};

/// Lines that were lost and not told yet.
static LOST: AtomicU64 = AtomicU64::new(0);
/// What was lost in all.
static LOSSES: Mutex<Losses> = Mutex::new(Losses { lines: 0, errno: 0, at_ns: 0 });
/// Whether the last line was lost in the middle.
static IS_BROKEN: AtomicBool = AtomicBool::new(false);
/// The file that was written last, and the process that writes it if it is on the network.
static FILE: Mutex<Option<(Identity, Option<Writer>)>> = Mutex::new(None);

/// Lines that this process has lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Losses {
    /// How many.
    pub lines: u64,
    /// Why the last one was.
    pub errno: i32,
    /// When that was (CLOCK_MONOTONIC, ns).
    pub at_ns: u64,
}

/// What was lost in all, told or not.
pub fn losses() -> Losses {
    *LOSSES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes a line, if there is room. When lines were lost before, the line that `notice` makes of their number goes first.
pub fn write_line(line: &str, notice: impl FnOnce(u64) -> String) {
    let Err(errno) = tell(notice).and_then(|()| put(line)) else { return };
    LOST.fetch_add(1, Ordering::Relaxed);
    let mut losses = LOSSES.lock().unwrap_or_else(PoisonError::into_inner);
    let lines = losses.lines.saturating_add(1);
    *losses = Losses { lines, errno: errno.raw_os_error(), at_ns: crate::clock::monotonic_ns() };
}

/// Writes the line that `notice` makes of the number of lines that were lost, if any were and there is room for it.
pub fn tell_lost(notice: impl FnOnce(u64) -> String) {
    // It is told with a later line.
    let _ = tell(notice);
}

fn tell(notice: impl FnOnce(u64) -> String) -> Result<(), Errno> {
    let lost = LOST.load(Ordering::Relaxed);
    if lost > 0 {
        put(&notice(lost))?;
        LOST.fetch_sub(lost, Ordering::Relaxed);
    }
    Ok(())
}

/// Writes the last words of a process, which nothing waits for: what finds no room waits for some, `patience_ns` in all.
pub fn write_last(text: &str, patience_ns: u64) {
    write_within(rustix::stdio::stderr(), format!("{text}\n").as_bytes(), patience_ns);
}

/// Waits until what was written is where it belongs, `patience_ns` at most. For the end of a process.
pub fn finish(patience_ns: u64) {
    if let Some((_, Some(writer))) = FILE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        writer.finish(patience_ns);
    }
}

fn write_within(to: BorrowedFd<'_>, mut bytes: &[u8], patience_ns: u64) {
    let deadline = crate::clock::monotonic_ns().saturating_add(patience_ns);
    loop {
        let (written, result) = write_without_waiting(to, bytes);
        bytes = &bytes[written..];
        let left = deadline.saturating_sub(crate::clock::monotonic_ns());
        if result != Err(Errno::AGAIN) || left == 0 || crate::poll::wait(&[], &[to], Some(left)).is_err() {
            return;
        }
    }
}

/// Writes a line; why it was not written whole.
fn put(line: &str) -> Result<(), Errno> {
    let broken = IS_BROKEN.load(Ordering::Relaxed);
    let text = format!("{}{line}\n", if broken { "\n" } else { "" });
    let (written, result) = write_without_waiting(rustix::stdio::stderr(), text.as_bytes());
    if written > 0 {
        IS_BROKEN.store(written < text.len(), Ordering::Relaxed);
    }
    result
}

/// Writes what there is room for. Returns how much that was, and why it is not all.
pub(crate) fn write_without_waiting(to: BorrowedFd<'_>, bytes: &[u8]) -> (usize, Result<(), Errno>) {
    // To ask for more than is known would be to wait for the server of a file on the network.
    let known = remote::identify(to);
    let mode = known.map(|(mode, _)| mode).or_else(|_| rustix::fs::fstat(to).map(|meta| meta.st_mode));
    let kind = mode.map(FileType::from_raw_mode);
    let own = || {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        rustix::fs::open(format!("/proc/self/fd/{}", to.as_raw_fd()), flags, Mode::empty())
    };
    match kind {
        Ok(FileType::RegularFile) => match known {
            Ok((_, file)) => write_file(to, file, bytes),
            Err(_) => in_pieces(bytes, |piece| rustix::io::write(to, piece)),
        },
        Ok(FileType::Socket) => {
            in_pieces(bytes, |piece| rustix::net::send(to, piece, SendFlags::DONTWAIT | SendFlags::NOSIGNAL))
        }
        Ok(FileType::Fifo) => match own() {
            Ok(own) => in_pieces(bytes, |piece| rustix::io::write(&own, piece)),
            Err(Errno::NXIO) => (0, Err(Errno::PIPE)),
            Err(_) => in_pieces(bytes, |piece| splice(to, piece)),
        },
        Ok(FileType::CharacterDevice) if to.is_terminal() => match own() {
            Ok(own) => in_pieces(bytes, |piece| rustix::io::write(&own, piece)),
            // It says whether it takes something; only typing fills it up between two calls.
            Err(_) => {
                in_pieces(bytes, |piece| if has_room(to) { rustix::io::write(to, piece) } else { Err(Errno::AGAIN) })
            }
        },
        _ => in_pieces(bytes, |piece| rustix::io::write(to, piece)),
    }
}

/// Writes to a regular file: itself, or, if it is on the network, through a process apart.
fn write_file(to: BorrowedFd<'_>, file: Identity, bytes: &[u8]) -> (usize, Result<(), Errno>) {
    let mut last = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let is_known = last.as_ref().is_some_and(|(known, writer)| match writer {
        Some(writer) => writer.is_for(file),
        None => *known == file,
    });
    if !is_known {
        let writer = remote::is_remote(file).then(|| Writer::start(to, file)).flatten();
        *last = Some((file, writer));
    }
    match &*last {
        Some((_, Some(writer))) => in_pieces(bytes, |piece| rustix::io::write(writer.pipe(), piece)),
        _ => in_pieces(bytes, |piece| rustix::io::write(to, piece)),
    }
}

/// Pieces of this size go into a pipe whole or not at all. See pipe(7).
fn in_pieces(bytes: &[u8], mut write: impl FnMut(&[u8]) -> Result<usize, Errno>) -> (usize, Result<(), Errno>) {
    let mut written = 0;
    while written < bytes.len() {
        let end = bytes.len().min(written + PIPE_BUF);
        match write(&bytes[written..end]) {
            Ok(0) => return (written, Err(Errno::IO)),
            Ok(count) => written += count,
            Err(Errno::INTR) => {}
            Err(errno) => return (written, Err(errno)),
        }
    }
    (written, Ok(()))
}

/// Moves a piece into a pipe through another one. See splice(2).
fn splice(to: BorrowedFd<'_>, piece: &[u8]) -> Result<usize, Errno> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let count = rustix::io::write(writer.as_fd(), piece)?;
    rustix::pipe::splice(&reader, None, to, None, count, SpliceFlags::NONBLOCK)
}

fn has_room(to: BorrowedFd<'_>) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut [PollFd::new(&to, PollFlags::OUT)], Some(&now)).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    type Write = fn(BorrowedFd<'_>, &[u8]) -> (usize, Result<(), Errno>);

    /// Writes until there is no room; returns how often there was.
    #[track_caller]
    fn fill(to: BorrowedFd<'_>, write: Write) -> usize {
        let line = [b'x'; 999];
        (0..10_000).position(|_| write(to, &line) != (999, Ok(()))).expect("there is no end of the room")
    }

    #[test]
    fn a_pipe_that_nobody_reads_is_filled_and_not_waited_for_and_still_waits_for_others() {
        let by_splice: Write = |to, bytes| in_pieces(bytes, |piece| splice(to, piece));
        for (write, least) in [(write_without_waiting as Write, 60), (by_splice, 10)] {
            let (reader, writer) = crate::spawn::pipe().unwrap();
            let lines = fill(writer.as_fd(), write);
            assert!(lines >= least, "{lines}");
            assert_eq!(write(writer.as_fd(), &[b'x'; 999]), (0, Err(Errno::AGAIN)));
            let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
            assert!(!flags.contains(OFlags::NONBLOCK), "all processes that share it would have it");
            drop(writer);
            let mut read = String::new();
            std::fs::File::from(reader).read_to_string(&mut read).unwrap();
            assert_eq!(read.len(), lines * 999, "lines are whole");
        }
    }

    #[test]
    fn last_words_wait_for_a_reader_that_reads_and_for_no_other() {
        let (reader, writer) = crate::spawn::pipe().unwrap();
        write_within(writer.as_fd(), &[b'x'; 100_000], 10_000_000);
        let reads = std::thread::spawn(move || {
            let mut read = Vec::new();
            std::fs::File::from(reader).read_to_end(&mut read).unwrap();
            read.len()
        });
        write_within(writer.as_fd(), &[b'x'; 300_000], 60_000_000_000);
        drop(writer);
        assert!(reads.join().unwrap() > 300_000);
    }

    #[test]
    fn long_lines_go_as_far_as_there_is_room() {
        let (_reader, writer) = crate::spawn::pipe().unwrap();
        let (written, result) = write_without_waiting(writer.as_fd(), &[b'x'; 100_000]);
        assert_eq!(result, Err(Errno::AGAIN));
        assert!((PIPE_BUF..100_000).contains(&written), "{written}");
    }

    #[test]
    fn sockets_and_files_are_written_too_and_a_reader_that_is_gone_is_no_lack_of_room() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(fill(ours.as_fd(), write_without_waiting) > 10);
        drop(theirs);
        assert_eq!(write_without_waiting(ours.as_fd(), b"x"), (0, Err(Errno::PIPE)));
        let null = std::fs::File::options().write(true).open("/dev/null").unwrap();
        assert_eq!(write_without_waiting(null.as_fd(), &[b'x'; 10_000]), (10_000, Ok(())));
        let (reader, writer) = crate::spawn::pipe().unwrap();
        drop(reader);
        assert_eq!(write_without_waiting(writer.as_fd(), b"x"), (0, Err(Errno::PIPE)));
    }
}
