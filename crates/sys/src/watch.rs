//! Notices that the files of a directory change. See inotify(7).

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify;

use crate::{Error, Result};

/// A watch on one directory.
#[derive(Debug)]
pub struct DirectoryWatch {
    fd: OwnedFd,
}

impl DirectoryWatch {
    /// Begins to watch for files that are created, written, renamed or removed.
    ///
    /// # Errors
    /// The directory is not there, or no watch is left (`fs.inotify.max_user_instances`).
    pub fn on(directory: &Path) -> Result<Self> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let fd = inotify::init(flags).map_err(Error::call("inotify_init1"))?;
        let events = inotify::WatchFlags::CREATE
            | inotify::WatchFlags::CLOSE_WRITE
            | inotify::WatchFlags::MOVE
            | inotify::WatchFlags::DELETE;
        inotify::add_watch(&fd, directory, events).map_err(Error::path("inotify_add_watch", directory))?;
        Ok(Self { fd })
    }

    /// Takes all that has happened. Returns whether a file that `matters` was among it (or events were lost).
    pub fn take(&self, matters: impl Fn(&[u8]) -> bool) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.fd, &mut buffer);
        let mut any = false;
        while let Ok(event) = reader.next() {
            any |= event.file_name().is_none_or(|name| matters(name.to_bytes()));
        }
        any
    }
}

impl AsFd for DirectoryWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rename_into_the_directory_is_noticed_and_other_names_do_not_matter() {
        let directory = std::env::temp_dir().join(format!("licorne-watch-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let watch = DirectoryWatch::on(&directory).unwrap();
        let pid = |name: &[u8]| name.starts_with(b"pid");
        assert!(!watch.take(pid));
        std::fs::write(directory.join("other"), "").unwrap();
        assert!(!watch.take(pid));
        std::fs::rename(directory.join("other"), directory.join("pid.oldbin")).unwrap();
        assert!(watch.take(pid));
        assert!(!watch.take(pid));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
