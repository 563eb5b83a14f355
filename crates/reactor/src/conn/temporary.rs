//! Files without a name, for request bodies and responses that memory has no room for.

use std::fs::File;
use std::io;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// Opens a file without a name in `TMPDIR`. See open(2), `O_TMPFILE`; where the file system has no such thing the file
/// is made under a name and unlinked at once.
///
/// # Errors
/// Those of open(2).
pub fn unnamed_file() -> io::Result<File> {
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
