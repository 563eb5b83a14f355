//! `restart_file`: a file whose touch asks for a reload.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use sys::path_watch::PathWatch;

use crate::log::lines::Log;

/// The file that is watched, if the configuration names one.
#[derive(Debug, Default)]
pub(crate) struct RestartFile {
    path: Option<PathBuf>,
    /// `None` as well when it cannot be watched.
    watch: Option<PathWatch>,
}

impl RestartFile {
    /// What to poll.
    pub(crate) fn fds(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(AsFd::as_fd)
    }

    /// Watches this file from now on, if it is another one than before.
    pub(crate) fn follow(&mut self, path: Option<PathBuf>, log: &Log) {
        if path == self.path {
            return;
        }
        self.watch = path.as_ref().and_then(|path| {
            // Looking at it may take for ever there, and what others do to it is not told.
            if sys::remote::ask(&[path]).is_some() {
                log.error(format_args!(
                    "restart_file={} is not watched: it is on a file system on the network",
                    path.display()
                ));
                return None;
            }
            let cannot = |error| {
                log.error(format_args!("restart_file={} is not watched: {}", path.display(), sys::chain(&error)))
            };
            PathWatch::on(path).map_err(cannot).ok()
        });
        self.path = path;
    }

    /// Whether it was touched.
    pub(crate) fn hear(&mut self, log: &Log) -> bool {
        let Some(watch) = &mut self.watch else { return false };
        let path = watch.path().display().to_string();
        match watch.take() {
            Ok(false) => false,
            Ok(true) => {
                log.info(format_args!("restart_file={path} was touched"));
                true
            }
            Err(error) => {
                log.error(format_args!("restart_file={path} is not watched: {}", sys::chain(&error)));
                self.watch = None;
                false
            }
        }
    }
}
