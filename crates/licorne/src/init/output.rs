//! Where `licorne init` writes: to standard output, or to a file that is not there yet.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use crate::error::Error;
use crate::usage::Usage;

/// Where to.
pub(super) struct Output {
    /// `-` is standard output, as none is.
    pub(super) path: Option<PathBuf>,
    /// Whether a file that is there may be overwritten.
    pub(super) force: bool,
}

impl Output {
    /// Writes the text.
    ///
    /// # Errors
    /// The file is there already, or cannot be written.
    pub(super) fn write(&self, text: &str) -> Result<(), Error> {
        let Some(path) = self.path.as_deref().filter(|path| path.as_os_str() != "-") else {
            return Ok(sys::stdio::print_file(text)?);
        };
        let mut options = File::options();
        options.write(true);
        match self.force {
            true => options.create(true).truncate(true),
            false => options.create_new(true),
        };
        let failed = |source: std::io::Error| match source.kind() {
            ErrorKind::AlreadyExists => Error::from(Usage::There { path: path.display().to_string() }),
            _ => Error::Output { path: path.to_path_buf(), source },
        };
        options.open(path).and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)
    }
}
