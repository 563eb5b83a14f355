//! Where a request body is kept until the application reads it: in memory while it is small, then in a file that has no
//! name, so that nothing is left behind however the worker ends.

use std::fs::File;
use std::io::{self, Write};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// A complete request body.
#[derive(Debug, Default)]
pub enum Body {
    /// No content.
    #[default]
    Empty,
    /// Content in memory.
    Memory(Vec<u8>),
    /// Content in an unlinked file, from its start.
    File {
        /// The file.
        file: File,
        /// The number of bytes.
        bytes: u64,
    },
}

/// Collects a body whose size may be unknown.
#[derive(Debug)]
pub(crate) struct Sink {
    memory: Vec<u8>,
    file: Option<File>,
    bytes: u64,
    memory_limit: usize,
}

impl Sink {
    /// Makes a sink that keeps at most `memory_limit` bytes in memory.
    pub(crate) fn new(memory_limit: usize) -> Self {
        Self { memory: Vec::new(), file: None, bytes: 0, memory_limit }
    }

    /// Makes a sink for a body of known size.
    ///
    /// # Errors
    /// No temporary file could be made.
    pub(crate) fn with_size(bytes: u64, memory_limit: usize) -> io::Result<Self> {
        let mut sink = Self::new(memory_limit);
        match usize::try_from(bytes) {
            Ok(bytes) if bytes <= memory_limit => sink.memory.reserve_exact(bytes),
            _ => sink.file = Some(unnamed_file()?),
        }
        Ok(sink)
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// The disk is full, or no temporary file could be made.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        if let Some(file) = &mut self.file {
            return file.write_all(bytes);
        }
        if self.memory.len() + bytes.len() <= self.memory_limit {
            self.memory.extend_from_slice(bytes);
            return Ok(());
        }
        let mut file = unnamed_file()?;
        file.write_all(&self.memory)?;
        file.write_all(bytes)?;
        self.memory = Vec::new();
        self.file = Some(file);
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

/// Opens a file without a name in `TMPDIR`. See open(2), `O_TMPFILE`; where the file system has no such thing the file
/// is made under a name and unlinked at once.
pub(crate) fn unnamed_file() -> io::Result<File> {
    let directory = std::env::temp_dir();
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    match rustix::fs::open(&directory, flags | OFlags::TMPFILE, mode) {
        Ok(fd) => return Ok(fd.into()),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => {}
        Err(errno) => return Err(errno.into()),
    }
    for attempt in 0_u32.. {
        let path = directory.join(format!("licorne.{}.{attempt}", std::process::id()));
        match rustix::fs::open(&path, flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW, mode) {
            Ok(fd) => {
                std::fs::remove_file(&path)?;
                return Ok(fd.into());
            }
            Err(Errno::EXIST) if attempt < 10_000 => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(Errno::EXIST.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek};

    #[test]
    fn a_body_moves_to_a_file_when_it_outgrows_memory() {
        let mut sink = Sink::new(10);
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
    fn a_size_known_beforehand_decides_at_once() {
        assert!(Sink::with_size(10, 10).unwrap().file.is_none());
        assert!(Sink::with_size(11, 10).unwrap().file.is_some());
        assert!(matches!(Sink::with_size(0, 10).unwrap().finish(), Body::Empty));
    }
}
