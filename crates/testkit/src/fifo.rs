//! A named pipe that hooks and applications of a server write to: the way to wait for a moment inside them.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, OFlags};

use crate::process;

/// One FIFO, open for reading, with what was read and not asked for yet.
#[derive(Debug)]
pub struct Fifo {
    path: PathBuf,
    file: File,
    read: Vec<u8>,
}

impl Fifo {
    /// Makes the FIFO. See mkfifo(3).
    ///
    /// It is opened for reading and writing, so that writers come and go without an end of file, and never wait.
    #[must_use]
    #[track_caller]
    pub fn create(path: impl Into<PathBuf>) -> Fifo {
        let path = path.into();
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o622), 0).expect("a FIFO can be made");
        let file = rustix::fs::open(&path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).expect("it can be opened");
        Fifo { path, file: file.into(), read: Vec::new() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a line, for a process that waits for one: a gate that the test opens.
    pub fn tell(&mut self, line: &str) {
        writeln!(self.file, "{line}").expect("a FIFO that is open for reading can be written");
    }

    /// Waits for the next line; `None` when `patience` runs out first.
    pub fn line(&mut self, patience: Duration) -> Option<String> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(end) = self.read.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if !process::readable(self.file.as_fd(), deadline) {
                return None;
            }
            let mut buffer = [0; 4096];
            let count = self.file.read(&mut buffer).expect("a FIFO can be read");
            self.read.extend_from_slice(&buffer[..count]);
        }
    }
}
