//! What a client has not taken yet of its response. Bytes are copied here only when the socket is full, so a response
//! that fits goes out straight from the application's memory.

use std::collections::VecDeque;
use std::fs::File;
use std::io::IoSlice;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags};

/// Parts that one sendmsg(2) takes; far below the kernel's 1,024, since the array lies on the stack.
const BATCH: usize = 64;
/// The most that one sendfile(2) is asked for, so that a fast reader of a large file does not hold up the others.
const FILE_BYTES_AT_ONCE: usize = 1 << 20;

#[derive(Debug)]
enum Segment {
    Bytes { bytes: Vec<u8>, at: usize },
    File { file: File, offset: u64, left: u64 },
}

/// The queue of one connection.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    segments: VecDeque<Segment>,
    queued_bytes: usize,
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Returns the bytes that are held in memory.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Sends `parts` in order behind what is queued; keeps a copy of what the socket does not take now.
    pub(crate) fn send(&mut self, fd: BorrowedFd<'_>, parts: &[&[u8]]) -> Result<(), Errno> {
        self.send_with(fd, parts, SendFlags::NOSIGNAL)
    }

    /// As [`Outbox::send`], for what the connection's end follows at once: the kernel holds the last segment back until
    /// then, and sends both as one. See send(2), `MSG_MORE`.
    pub(crate) fn send_last(&mut self, fd: BorrowedFd<'_>, parts: &[&[u8]]) -> Result<(), Errno> {
        self.send_with(fd, parts, SendFlags::NOSIGNAL | SendFlags::MORE)
    }

    fn send_with(&mut self, fd: BorrowedFd<'_>, parts: &[&[u8]], flags: SendFlags) -> Result<(), Errno> {
        let mut sent = 0;
        if self.is_empty() {
            sent = send_now(fd, parts, flags)?;
        }
        let mut skip = sent;
        for part in parts {
            if skip >= part.len() {
                skip -= part.len();
            } else {
                self.keep(&part[skip..]);
                skip = 0;
            }
        }
        Ok(())
    }

    /// Queues a part of a file and sends what the socket takes now.
    pub(crate) fn send_file(&mut self, fd: BorrowedFd<'_>, file: File, offset: u64, left: u64) -> Result<(), Errno> {
        if left > 0 {
            self.segments.push_back(Segment::File { file, offset, left });
        }
        self.flush(fd)
    }

    /// Sends what the socket takes.
    pub(crate) fn flush(&mut self, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        while let Some(segment) = self.segments.front_mut() {
            match segment {
                Segment::Bytes { bytes, at } => {
                    match rustix::net::send(fd, &bytes[*at..], SendFlags::NOSIGNAL) {
                        Ok(count) => {
                            *at += count;
                            self.queued_bytes -= count;
                        }
                        Err(Errno::AGAIN) => return Ok(()),
                        Err(Errno::INTR) => {}
                        Err(errno) => return Err(errno),
                    }
                    if *at < bytes.len() {
                        continue;
                    }
                }
                Segment::File { file, offset, left } => {
                    let ask = usize::try_from(*left).unwrap_or(usize::MAX).min(FILE_BYTES_AT_ONCE);
                    match rustix::fs::sendfile(fd, &*file, Some(offset), ask) {
                        // The file became shorter than announced: the client must see that the body is incomplete.
                        Ok(0) => return Err(Errno::IO),
                        Ok(count) => *left -= count as u64,
                        Err(Errno::AGAIN) => return Ok(()),
                        Err(Errno::INTR) => {}
                        Err(errno) => return Err(errno),
                    }
                    if *left > 0 {
                        continue;
                    }
                }
            }
            self.segments.pop_front();
        }
        Ok(())
    }

    fn keep(&mut self, rest: &[u8]) {
        self.queued_bytes += rest.len();
        if let Some(Segment::Bytes { bytes, .. }) = self.segments.back_mut() {
            bytes.extend_from_slice(rest);
        } else {
            self.segments.push_back(Segment::Bytes { bytes: rest.to_vec(), at: 0 });
        }
    }
}

/// Sends parts until all are sent or the socket is full; returns how many bytes went.
fn send_now(fd: BorrowedFd<'_>, parts: &[&[u8]], flags: SendFlags) -> Result<usize, Errno> {
    let mut sent = 0;
    let mut first = 0;
    let mut skip = 0;
    while first < parts.len() {
        if parts[first].len() == skip {
            first += 1;
            skip = 0;
            continue;
        }
        let outcome = if first + 1 == parts.len() {
            rustix::net::send(fd, &parts[first][skip..], flags)
        } else {
            let mut slices = [IoSlice::new(&[]); BATCH];
            let mut used = 0;
            for (slice, part) in slices.iter_mut().zip(&parts[first..]) {
                *slice = IoSlice::new(if used == 0 { &part[skip..] } else { part });
                used += 1;
            }
            rustix::net::sendmsg(fd, &slices[..used], &mut SendAncillaryBuffer::default(), flags)
        };
        match outcome {
            Ok(count) => {
                sent += count;
                skip += count;
                while first < parts.len() && skip >= parts[first].len() {
                    skip -= parts[first].len();
                    first += 1;
                }
            }
            Err(Errno::AGAIN) => break,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use std::io::{Read, Seek, Write};
    use std::os::fd::{AsFd, OwnedFd};
    use std::os::unix::net::UnixStream;

    fn pair() -> (OwnedFd, UnixStream) {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)
                .unwrap();
        let theirs = UnixStream::from(theirs);
        theirs.set_nonblocking(false).unwrap();
        (ours, theirs)
    }

    #[test]
    fn many_parts_arrive_in_order_however_slowly_they_are_taken() {
        let (ours, mut theirs) = pair();
        let pieces: Vec<Vec<u8>> = (0..300_usize).map(|n| vec![n as u8; n * 37 % 9_000]).collect();
        let parts: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let mut outbox = Outbox::default();
        outbox.send(ours.as_fd(), &parts).unwrap();
        assert!(outbox.queued_bytes() > 0, "the socket took all of it; the test proves nothing");
        let want = pieces.concat();
        let mut got = vec![0; want.len()];
        let mut filled = 0;
        while filled < got.len() {
            filled += theirs.read(&mut got[filled..]).unwrap();
            outbox.flush(ours.as_fd()).unwrap();
        }
        assert!(got == want && outbox.is_empty() && outbox.queued_bytes() == 0);
    }

    #[test]
    fn a_file_follows_queued_bytes_and_a_file_cut_short_is_an_error() {
        let (ours, mut theirs) = pair();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![b'f'; 2_000_000]).unwrap();
        file.rewind().unwrap();
        let mut outbox = Outbox::default();
        outbox.send(ours.as_fd(), &[b"head"]).unwrap();
        outbox.send_file(ours.as_fd(), file.try_clone().unwrap(), 10, 1_999_990).unwrap();
        let mut got = vec![0; 1_999_994];
        let mut filled = 0;
        while filled < got.len() {
            filled += theirs.read(&mut got[filled..]).unwrap();
            outbox.flush(ours.as_fd()).unwrap();
        }
        assert!(got.starts_with(b"headfff") && outbox.is_empty());
        assert_eq!(outbox.send_file(ours.as_fd(), file, 1_999_999, 2), Err(Errno::IO));
    }

    #[test]
    fn a_client_that_left_is_an_error_not_a_signal() {
        let (ours, theirs) = pair();
        drop(theirs);
        assert_eq!(Outbox::default().send(ours.as_fd(), &[b"x", b"y"]), Err(Errno::PIPE));
    }
}
