//! The output of a command that the herder has started. The command may print without end, and leave processes behind that keep
//! its output open: the herder waits for neither.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// As much is kept, in bytes: the text of a boot that failed is at most as long.
const MOST_BYTES: usize = 128 * 1024;

/// The reading end of its output.
#[derive(Debug)]
pub(crate) struct Output {
    /// `None` once its end was read.
    reader: Option<File>,
    text: Vec<u8>,
}

impl Output {
    /// Makes a pipe. The other end is the command's.
    ///
    /// # Errors
    /// No descriptors left.
    pub(crate) fn pipe() -> sys::Result<(Self, OwnedFd)> {
        let (reader, writer) = sys::spawn::pipe_to_look_into()?;
        Ok((Self { reader: Some(reader.into()), text: Vec::new() }, writer))
    }

    /// The descriptor to poll, if more may come.
    pub(crate) fn readable(&self) -> Option<BorrowedFd<'_>> {
        self.reader.as_ref().map(AsFd::as_fd)
    }

    /// Takes what there is to read, up to as much as a pipe holds.
    pub(crate) fn hear(&mut self) {
        let mut bytes = [0; 4096];
        for _ in 0..16 {
            let Some(reader) = &mut self.reader else { return };
            match reader.read(&mut bytes) {
                Ok(0) => self.reader = None,
                Ok(count) => {
                    let room = MOST_BYTES - self.text.len();
                    self.text.extend_from_slice(&bytes[..count.min(room)]);
                }
                // Nothing for now.
                Err(_) => return,
            }
        }
    }

    /// All that was heard.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_command_that_says_too_much_or_leaves_its_output_open_is_not_waited_for() {
        let (mut output, writer) = Output::pipe().unwrap();
        let mut writer = File::from(writer);
        for _ in 0..100 {
            writer.write_all(&[b'x'; 4096]).unwrap();
            output.hear();
        }
        output.hear();
        assert_eq!(output.text().len(), MOST_BYTES);
        assert!(output.readable().is_some());
        drop(writer);
        output.hear();
        assert!(output.readable().is_none());
    }
}
