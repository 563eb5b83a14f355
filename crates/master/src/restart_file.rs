//! `restart_file`: a file whose touch asks for a reload.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use sys::path_watch::PathWatch;
use sys::pidfd::Pidfd;
use sys::signals::Signal;

use crate::log::lines::Log;

/// The file that is watched, if the configuration names one.
#[derive(Debug, Default)]
pub(crate) struct RestartFile {
    path: Option<PathBuf>,
    /// `None` as well before its file system has answered, and when it cannot be watched.
    watch: Option<PathWatch>,
    /// Ends when the file systems on the way have answered: before, to look at the file may take for ever. Links on the way
    /// may be another user's, and lead elsewhere each time.
    answer: Option<Pidfd>,
}

impl RestartFile {
    /// What to poll.
    pub(crate) fn fds(&self) -> Option<BorrowedFd<'_>> {
        let answer = self.answer.as_ref().map(AsFd::as_fd);
        answer.or_else(|| self.watch.as_ref().map(AsFd::as_fd))
    }

    /// Watches this file from now on, if it is another one than before.
    pub(crate) fn follow(&mut self, path: Option<PathBuf>, log: &Log) {
        if path == self.path {
            return;
        }
        if let Some(answer) = self.answer.take() {
            // It may wait for ever. That it has gone is no error.
            let _ = answer.send(Signal::Kill);
        }
        (self.path, self.watch) = (path, None);
        // What is there at the beginning is no touch.
        self.look_when_answered(log);
    }

    /// Whether it was touched.
    pub(crate) fn hear(&mut self, log: &Log) -> bool {
        if let Some(answer) = &self.answer {
            return answer.has_exited() && {
                self.answer = None;
                self.look(log)
            };
        }
        self.watch.as_mut().is_some_and(PathWatch::take) && self.look_when_answered(log)
    }

    fn look_when_answered(&mut self, log: &Log) -> bool {
        self.answer = self.path.as_deref().and_then(|path| sys::remote::ask(&[path]));
        self.answer.is_none() && self.look(log)
    }

    /// Looks at the file. Returns whether it was touched since the look before.
    fn look(&mut self, log: &Log) -> bool {
        let Some(path) = &self.path else { return false };
        let looked = match &mut self.watch {
            Some(watch) => watch.look(),
            None => PathWatch::on(path).map(|watch| {
                self.watch = Some(watch);
                false
            }),
        };
        match looked {
            Ok(touched) => {
                if touched {
                    log.info(format_args!("restart_file={} was touched", path.display()));
                }
                touched
            }
            Err(error) => {
                log.error(format_args!("restart_file={} is not watched: {}", path.display(), error.chain()));
                self.watch = None;
                false
            }
        }
    }
}
