//! What a slow client has not taken of its response and memory has no room for: in a file that has no name, as request
//! bodies are.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::settings::Responses;
use super::temporary::unnamed_file;

/// Bytes `offset..end` of a file.
#[derive(Debug)]
pub(crate) struct Spill {
    pub(crate) file: File,
    pub(crate) offset: u64,
    pub(crate) end: u64,
}

impl Spill {
    /// Makes an empty one.
    ///
    /// # Errors
    /// No temporary file could be made.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { file: unnamed_file()?, offset: 0, end: 0 })
    }

    /// Returns how many bytes are left, at most `most`.
    pub(crate) fn left(&self, most: usize) -> usize {
        usize::try_from(self.end - self.offset).unwrap_or(usize::MAX).min(most)
    }

    /// Appends bytes. Returns how many, and why it was not all of them: the disk is full, or the room is used up.
    pub(crate) fn append(&mut self, bytes: &[u8], room: Responses) -> (usize, io::Result<()>) {
        let mut written = 0;
        while written < bytes.len() {
            let allowed = usize::try_from(room.file_bytes.saturating_sub(self.end)).unwrap_or(usize::MAX);
            let ask = allowed.min(bytes.len() - written);
            if ask == 0 {
                return (written, Err(io::ErrorKind::FileTooLarge.into()));
            }
            match self.file.write_at(&bytes[written..written + ask], self.end) {
                Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    written += count;
                    self.end += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (written, Err(error)),
            }
        }
        (written, Ok(()))
    }
}
