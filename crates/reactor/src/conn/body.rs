//! Where a request body is kept until the application reads it: in memory while it is small, then in a file that has no
//! name, so that nothing is left behind however the worker ends.

use std::fs::File;
use std::io::{self, Write};

use super::heap;
use super::shared_memory::{Allowance, Share};
use super::socket::BODY_READ_BYTES;
use super::temporary::unnamed_file;

/// A complete request body.
#[derive(Debug, Default)]
pub enum Body {
    /// No content.
    #[default]
    Empty,
    /// Content in memory.
    Memory(Memory),
    /// Content in an unlinked file, from its start.
    File {
        /// The file.
        file: File,
        /// The number of bytes.
        bytes: u64,
    },
}

impl Body {
    /// Whether it holds what is scarce, so that the end of its request should be its own end.
    pub fn is_large(&self) -> bool {
        match self {
            Self::Empty => false,
            Self::Memory(memory) => memory.share.is_some(),
            Self::File { .. } => true,
        }
    }
}

/// Bytes in memory.
#[derive(Debug, Default)]
pub struct Memory {
    /// A buffer that is filled up to `filled`: behind that lies what another body left there.
    buffer: Vec<u8>,
    filled: usize,
    /// What it takes of the memory that large bodies share.
    share: Option<Box<Share>>,
}

impl Memory {
    /// Returns how many bytes are allocated.
    pub fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    fn push(&mut self, bytes: &[u8]) {
        let (place, end) = (self.filled, self.filled + bytes.len());
        match self.buffer.get_mut(place..end) {
            Some(room) => room.copy_from_slice(bytes),
            None => {
                self.buffer.truncate(place);
                self.buffer.extend_from_slice(bytes);
            }
        }
        self.filled = end;
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        match &self.share {
            Some(share) => share.keep(std::mem::take(&mut self.buffer)),
            None => heap::let_go(self.buffer.capacity()),
        }
    }
}

impl std::ops::Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }
}

impl From<Vec<u8>> for Memory {
    fn from(bytes: Vec<u8>) -> Self {
        Self { filled: bytes.len(), buffer: bytes, share: None }
    }
}

/// Collects a body whose size may be unknown.
#[derive(Debug)]
pub(crate) struct Sink {
    memory: Memory,
    file: Option<File>,
    bytes: u64,
    allowance: Allowance,
    /// There is memory for all of it.
    fits: bool,
}

impl Sink {
    /// Makes a sink that keeps in memory what is allowed.
    pub(crate) fn new(allowance: Allowance) -> Self {
        Self { memory: Memory::default(), file: None, bytes: 0, allowance, fits: false }
    }

    /// Makes a sink for a body that is said to be of this size. One that is too large for memory gets its file when so
    /// much of it has come that it is needed: what a client announces costs no descriptor.
    pub(crate) fn with_size(bytes: u64, allowance: Allowance) -> Self {
        let mut sink = Self::new(allowance);
        match usize::try_from(bytes) {
            Ok(bytes) if sink.allowance.allows(&mut sink.memory.share, bytes) => {
                sink.memory.buffer = sink.allowance.buffer(sink.memory.share.as_deref(), bytes);
                sink.fits = true;
            }
            // It would only take from others what it has to give back.
            _ => sink.allowance = sink.allowance.alone(),
        }
        sink
    }

    /// Returns room for more bytes, at most so many, if they can come straight into memory; [`Sink::filled`] says how
    /// many came. For bodies of known size.
    pub(crate) fn room(&mut self, bytes: u64) -> Option<&mut [u8]> {
        if !self.fits {
            return None;
        }
        let Memory { buffer, filled, .. } = &mut self.memory;
        let most = usize::try_from(bytes).unwrap_or(usize::MAX);
        // Fresh memory is touched only when it is needed: the client may never send what it announced.
        let least = *filled + most.min(BODY_READ_BYTES);
        if buffer.len() < least {
            buffer.resize(least, 0);
        }
        let end = buffer.len().min(filled.saturating_add(most));
        Some(&mut buffer[*filled..end])
    }

    /// Notes that so many bytes came into the room.
    pub(crate) fn filled(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.memory.filled += bytes;
    }

    /// Tells whether there is a place for so many bytes more without anything to be taken for it.
    pub(crate) fn has_place(&self, bytes: usize) -> bool {
        let has = self.memory.share.as_ref().map_or(0, |share| share.bytes());
        self.file.is_some() || self.memory.len() + bytes <= self.allowance.each.max(has)
    }

    /// Sees to it that there is a place for so many bytes more. Nothing has happened if there is none, and it can be
    /// tried again.
    ///
    /// # Errors
    /// The disk is full, or no temporary file could be made.
    pub(crate) fn prepare(&mut self, bytes: usize) -> io::Result<()> {
        let wanted = self.memory.len() + bytes;
        if self.file.is_some() || self.allowance.allows(&mut self.memory.share, wanted) {
            return Ok(());
        }
        let mut file = unnamed_file()?;
        file.write_all(&self.memory)?;
        self.memory = Memory::default();
        self.file = Some(file);
        Ok(())
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// The disk is full, or no temporary file could be made.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.prepare(bytes.len())?;
        match &mut self.file {
            Some(file) => file.write_all(bytes)?,
            None => self.memory.push(bytes),
        }
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    pub(crate) fn finish(self) -> Body {
        match self.file {
            Some(file) => Body::File { file, bytes: self.bytes },
            None if self.memory.is_empty() => Body::Empty,
            None => Body::Memory(self.memory),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::SharedMemory;
    use std::io::{Read, Seek};

    fn allowance(each: usize, shared: usize) -> Allowance {
        Allowance { each, shared: SharedMemory::new(shared) }
    }

    #[test]
    fn a_body_moves_to_a_file_when_it_outgrows_memory() {
        let mut sink = Sink::new(allowance(10, 0));
        sink.push(b"12345").unwrap();
        sink.push(b"67890").unwrap();
        assert!(sink.file.is_none());
        sink.push(b"x").unwrap();
        let Body::File { mut file, bytes } = sink.finish() else { panic!("not in a file") };
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), bytes), ("1234567890x", 11));
    }

    #[test]
    fn an_announced_size_opens_no_file_before_the_bytes_come() {
        assert!(Sink::with_size(10, allowance(10, 0)).fits);
        assert!(matches!(Sink::with_size(0, allowance(10, 0)).finish(), Body::Empty));
        let mut sink = Sink::with_size(1_000_000_000, allowance(10, 400));
        assert!(!sink.fits && sink.room(1_000).is_none());
        sink.push(&[b'x'; 10]).unwrap();
        assert!(sink.file.is_none(), "what came fits into memory");
        sink.push(b"y").unwrap();
        assert!(sink.file.is_some(), "it takes nothing of what others share");
        let Body::File { bytes: 11, .. } = sink.finish() else { panic!("not in a file") };
    }

    #[test]
    fn large_bodies_share_memory_and_give_it_back() {
        let allowance = allowance(10, 400);
        let sized = |bytes| Sink::with_size(bytes, allowance.clone());
        assert!(!sized(101).fits, "a body takes a quarter at most");
        let four: Vec<Sink> = (0..4).map(|_| sized(100)).collect();
        assert!(four.iter().all(|sink| sink.fits));
        assert!(!sized(11).fits && sized(10).fits, "the memory is taken");
        drop(four);
        let mut growing = Sink::new(allowance.clone());
        for _ in 0..100 {
            growing.push(b"x").unwrap();
        }
        assert!(growing.file.is_none());
        growing.push(b"x").unwrap();
        assert!(growing.file.is_some());
        let Body::File { bytes: 101, .. } = growing.finish() else { panic!("not in a file") };
        assert!(sized(100).fits, "what a body took was not given back");
    }

    #[test]
    fn a_large_body_gets_the_memory_of_the_one_before_and_none_of_its_bytes() {
        let allowance = allowance(10, 1 << 20);
        let fill = |byte: u8, bytes: usize| {
            let mut sink = Sink::with_size(bytes as u64, allowance.clone());
            assert!(sink.memory.is_empty());
            sink.push(&[byte; 7]).unwrap();
            let mut left = bytes - 7;
            while left > 0 {
                let room = sink.room(left as u64).unwrap();
                let came = room.len().div_ceil(2);
                room[..came].fill(byte);
                sink.filled(came);
                left -= came;
            }
            let Body::Memory(memory) = sink.finish() else { panic!("not in memory") };
            assert!(memory.len() == bytes && memory.iter().all(|one| *one == byte));
            memory.buffer.as_ptr()
        };
        let first = fill(b'a', 200_000);
        assert_eq!(first, fill(b'b', 200_000));
        assert_eq!(first, fill(b'c', 100));
        fill(b'd', 250_000);
        let small = fill(b'e', 10);
        assert!(small != first, "what every body may have is not kept");
    }
}
