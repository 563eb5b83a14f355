//! What a client has not taken yet of its response. Bytes are copied here only when the socket is full, so a response
//! that fits goes out straight from the application's memory. What does not fit into the room of memory goes to a file
//! without a name (see [`super::spill`]), so that neither the application nor the memory waits for a slow client.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags};

use super::heap;
use super::settings::Responses;
use super::spill::Spill;

/// Parts that one sendmsg(2) takes; far below the kernel's 1,024, since the array lies on the stack.
const BATCH: usize = 64;
/// The most that one sendfile(2) is asked for, so that a fast reader of a large file does not hold up the others.
const FILE_BYTES_AT_ONCE: usize = 1 << 20;
/// What is over the room of memory is collected to this before it is written to a file: small pieces would cost a call
/// each (a response of 20 MB in pieces of 1 KiB took 97 ms).
const BATCH_BYTES: usize = 64 * 1024;

#[derive(Debug)]
enum Segment {
    Bytes { bytes: Vec<u8>, at: usize },
    File { file: File, offset: u64, left: u64 },
    Spill(Spill),
}

/// The queue of one connection.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    segments: VecDeque<Segment>,
    queued_bytes: usize,
    /// How many bytes were taken late, by [`Outbox::flush`], since that was asked last.
    flushed_bytes: usize,
    /// Why nothing can go to a file, and whether that was told.
    trouble: Option<(io::Error, bool)>,
}

/// A part of what is queued.
#[derive(Debug)]
pub(crate) enum Queued<'a> {
    Bytes(&'a [u8]),
    /// So many bytes of a file from an offset on: file, offset, bytes.
    File(&'a File, u64, u64),
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Returns the bytes that are held in memory.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Returns the bytes that were not given to the kernel yet, in memory and in files.
    pub(crate) fn left_bytes(&self) -> u64 {
        let left = |segment: &Segment| match segment {
            Segment::Bytes { bytes, at } => (bytes.len() - at) as u64,
            Segment::Spill(spill) => spill.end - spill.offset,
            Segment::File { left, .. } => *left,
        };
        self.segments.iter().map(left).sum()
    }

    /// Returns how many bytes the client took late since this was asked.
    pub(crate) fn take_flushed(&mut self) -> usize {
        std::mem::take(&mut self.flushed_bytes)
    }

    /// Sends `parts` in order behind what is queued; keeps a copy of what the socket does not take now.
    pub(crate) fn send(&mut self, fd: BorrowedFd<'_>, parts: &[&[u8]], room: Responses) -> Result<(), Errno> {
        self.send_with(fd, parts, room, SendFlags::NOSIGNAL)
    }

    /// As [`Outbox::send`], for what the connection's end follows at once: the kernel holds the last segment back until
    /// then, and sends both as one. See send(2), `MSG_MORE`.
    pub(crate) fn send_last(&mut self, fd: BorrowedFd<'_>, parts: &[&[u8]], room: Responses) -> Result<(), Errno> {
        self.send_with(fd, parts, room, SendFlags::NOSIGNAL | SendFlags::MORE)
    }

    fn send_with(
        &mut self,
        fd: BorrowedFd<'_>,
        parts: &[&[u8]],
        room: Responses,
        flags: SendFlags,
    ) -> Result<(), Errno> {
        if !self.is_empty() {
            // The client may have taken some: a stream whose client was slow once must not wait for its end.
            self.flush(fd)?;
        }
        let mut skip = 0;
        if self.is_empty() {
            skip = send_now(fd, parts, flags)?;
        }
        let rest = parts.iter().map(|part| part.len()).sum::<usize>() - skip;
        if rest == 0 {
            return Ok(());
        }
        // Once it is put aside here the application has no more use for its own.
        heap::let_go(rest);
        let fits = self.queued_bytes + rest <= room.buffer_bytes;
        let small = self.segments.len() > 1 && self.tail_bytes() + rest < BATCH_BYTES;
        let to_file = !fits && !small && room.file_bytes > 0 && self.trouble.is_none() && self.make_spill(room);
        let mut batch = Vec::new();
        for part in parts {
            let (sent, part) = part.split_at(skip.min(part.len()));
            skip -= sent.len();
            if !to_file {
                self.keep(part);
            } else if batch.is_empty() && part.len() >= BATCH_BYTES {
                self.put_aside(part, room);
            } else {
                batch.extend_from_slice(part);
                if batch.len() >= BATCH_BYTES {
                    self.put_aside(&batch, room);
                    batch.clear();
                }
            }
        }
        self.put_aside(&batch, room);
        Ok(())
    }

    /// Puts bytes into the spill at the end of the queue; what it does not take stays in memory.
    fn put_aside(&mut self, bytes: &[u8], room: Responses) {
        let written = self.spill(bytes, room);
        self.keep(&bytes[written..]);
    }

    /// Takes what the operator should know of: a response could not be put aside in a file.
    pub(crate) fn take_trouble(&mut self) -> Option<io::Error> {
        let (error, told) = self.trouble.as_mut().filter(|(_, told)| !told)?;
        *told = true;
        Some(error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error))
    }

    /// Returns the bytes at the end of the queue that lie in memory behind a file.
    fn tail_bytes(&self) -> usize {
        match self.segments.back() {
            Some(Segment::Bytes { bytes, .. }) if self.segments.len() > 1 => bytes.len(),
            _ => 0,
        }
    }

    /// Has the queue end with a spill, which takes over the tail in memory. False when there can be none.
    fn make_spill(&mut self, room: Responses) -> bool {
        let tail = match self.segments.back() {
            Some(Segment::Bytes { .. }) if self.segments.len() > 1 => self.segments.pop_back(),
            _ => None,
        };
        if !matches!(self.segments.back(), Some(Segment::Spill(_))) {
            match Spill::new() {
                Ok(spill) => self.segments.push_back(Segment::Spill(spill)),
                Err(error) => self.trouble = Some((error, false)),
            }
        }
        if let Some(Segment::Bytes { bytes, at }) = tail {
            self.queued_bytes -= bytes.len() - at;
            self.put_aside(&bytes[at..], room);
        }
        self.trouble.is_none()
    }

    /// Appends to the spill at the end of the queue as much as it takes.
    fn spill(&mut self, bytes: &[u8], room: Responses) -> usize {
        let Some(Segment::Spill(spill)) = self.segments.back_mut() else { return 0 };
        let (written, outcome) = spill.append(bytes, room);
        if let Err(error) = outcome {
            self.trouble = Some((error, false));
        }
        written
    }

    /// What is queued, in order, for another worker to send.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Queued<'_>> {
        self.segments.iter().map(|segment| match segment {
            Segment::Bytes { bytes, at } => Queued::Bytes(&bytes[*at..]),
            Segment::Spill(Spill { file, offset, end }) => Queued::File(file, *offset, end - offset),
            Segment::File { file, offset, left } => Queued::File(file, *offset, *left),
        })
    }

    /// Queues a part of a file, without an attempt to send it.
    pub(crate) fn queue_file(&mut self, file: File, offset: u64, left: u64) {
        if left > 0 {
            self.segments.push_back(Segment::File { file, offset, left });
        }
    }

    /// Queues a part of a file and sends what the socket takes now.
    pub(crate) fn send_file(&mut self, fd: BorrowedFd<'_>, file: File, offset: u64, left: u64) -> Result<(), Errno> {
        self.queue_file(file, offset, left);
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
                            self.flushed_bytes += count;
                        }
                        Err(Errno::AGAIN) => return Ok(()),
                        Err(Errno::INTR) => {}
                        Err(errno) => return Err(errno),
                    }
                    if *at < bytes.len() {
                        continue;
                    }
                }
                Segment::Spill(spill) => {
                    let ask = spill.left(FILE_BYTES_AT_ONCE);
                    if ask == 0 {
                        // The disk was full before it took anything.
                        self.segments.pop_front();
                        continue;
                    }
                    match rustix::fs::sendfile(fd, &spill.file, Some(&mut spill.offset), ask) {
                        Ok(0) => return Err(Errno::IO),
                        Ok(count) => self.flushed_bytes += count,
                        Err(Errno::AGAIN) => return Ok(()),
                        Err(Errno::INTR) => {}
                        Err(errno) => return Err(errno),
                    }
                    if spill.offset < spill.end {
                        continue;
                    }
                }
                Segment::File { file, offset, left } => {
                    let ask = usize::try_from(*left).unwrap_or(usize::MAX).min(FILE_BYTES_AT_ONCE);
                    match rustix::fs::sendfile(fd, &*file, Some(offset), ask) {
                        // The file became shorter than announced: the client must see that the body is incomplete.
                        Ok(0) => return Err(Errno::IO),
                        Ok(count) => {
                            *left -= count as u64;
                            self.flushed_bytes += count;
                        }
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
        if rest.is_empty() {
            return;
        }
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

    const ROOM: Responses = Responses { buffer_bytes: 16 << 20, file_bytes: 1 << 30 };

    fn pair() -> (OwnedFd, UnixStream) {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)
                .unwrap();
        let theirs = UnixStream::from(theirs);
        theirs.set_nonblocking(false).unwrap();
        (ours, theirs)
    }

    /// Takes so many bytes as a client does, piece by piece, while the rest is sent.
    fn drain(outbox: &mut Outbox, ours: &OwnedFd, theirs: &mut UnixStream, bytes: usize) -> Vec<u8> {
        let mut got = vec![0; bytes];
        let mut filled = 0;
        while filled < got.len() {
            filled += theirs.read(&mut got[filled..]).unwrap();
            outbox.flush(ours.as_fd()).unwrap();
        }
        got
    }

    #[test]
    fn many_parts_arrive_in_order_however_slowly_they_are_taken() {
        let (ours, mut theirs) = pair();
        let pieces: Vec<Vec<u8>> = (0..300_usize).map(|n| vec![n as u8; n * 37 % 9_000]).collect();
        let parts: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let mut outbox = Outbox::default();
        outbox.send(ours.as_fd(), &parts, ROOM).unwrap();
        assert!(outbox.queued_bytes() > 0, "the socket took all of it; the test proves nothing");
        let want = pieces.concat();
        let got = drain(&mut outbox, &ours, &mut theirs, want.len());
        assert!(got == want && outbox.is_empty() && outbox.queued_bytes() == 0);
    }

    #[test]
    fn a_file_follows_queued_bytes_and_a_file_cut_short_is_an_error() {
        let (ours, mut theirs) = pair();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![b'f'; 2_000_000]).unwrap();
        file.rewind().unwrap();
        let mut outbox = Outbox::default();
        outbox.send(ours.as_fd(), &[b"head"], ROOM).unwrap();
        outbox.send_file(ours.as_fd(), file.try_clone().unwrap(), 10, 1_999_990).unwrap();
        let got = drain(&mut outbox, &ours, &mut theirs, 1_999_994);
        assert!(got.starts_with(b"headfff") && outbox.is_empty());
        assert_eq!(outbox.send_file(ours.as_fd(), file, 1_999_999, 2), Err(Errno::IO));
    }

    /// Sends pieces, takes them back, and returns the most that was in memory.
    fn through(pieces: &[Vec<u8>], room: Responses) -> usize {
        let (ours, mut theirs) = pair();
        let mut outbox = Outbox::default();
        let mut most = 0;
        for piece in pieces {
            outbox.send(ours.as_fd(), &[&piece[..piece.len() / 2], &piece[piece.len() / 2..]], room).unwrap();
            most = most.max(outbox.queued_bytes());
        }
        let want = pieces.concat();
        let got = drain(&mut outbox, &ours, &mut theirs, want.len());
        assert!(got == want && outbox.is_empty() && outbox.queued_bytes() == 0);
        most
    }

    #[test]
    fn bytes_beyond_the_memory_limit_go_through_a_file_in_order() {
        let small: Vec<Vec<u8>> = (0..3_000_usize).map(|n| vec![n as u8; 1_000 + n % 700]).collect();
        let large = vec![vec![b'a'; 9_000_000], vec![b'b'; 10], vec![b'c'; 3_000_000]];
        let room = Responses { buffer_bytes: 100_000, file_bytes: 1 << 30 };
        for pieces in [&small, &large] {
            let most = through(pieces, room);
            assert!((1..=100_000 + BATCH_BYTES).contains(&most), "{most} bytes were in memory");
        }
        // When the file has its bytes, memory takes the rest: the caller sees it and waits.
        let most = through(&large, Responses { buffer_bytes: 100_000, file_bytes: 1_000_000 });
        assert!(most > 1_000_000, "{most}");
        assert!(through(&large, Responses { buffer_bytes: 100_000, file_bytes: 0 }) > 1_000_000);
    }

    #[test]
    fn a_client_that_was_slow_once_gets_the_next_piece_at_once() {
        for buffer_bytes in [0, 16 << 20] {
            let (ours, mut theirs) = pair();
            let mut outbox = Outbox::default();
            let room = Responses { buffer_bytes, ..ROOM };
            outbox.send(ours.as_fd(), &[&vec![b'a'; 400_000]], room).unwrap();
            assert!(!outbox.is_empty());
            let mut got = vec![0; 400_000];
            while !outbox.is_empty() {
                theirs.read_exact(&mut got[..1_000]).unwrap();
                outbox.send(ours.as_fd(), &[b"b"], room).unwrap();
            }
        }
    }

    #[test]
    fn a_client_that_left_is_an_error_not_a_signal() {
        let (ours, theirs) = pair();
        drop(theirs);
        assert_eq!(Outbox::default().send(ours.as_fd(), &[b"x", b"y"], ROOM), Err(Errno::PIPE));
    }
}
