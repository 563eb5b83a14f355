//! The files behind the standard streams: opened once, and anew after rotation or with other settings.
//!
//! A file system on the network may not answer. While the server boots that is waited for; later the files are opened
//! anew as soon as it answers, and everything else goes on meanwhile.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use sys::pidfd::Pidfd;
use sys::stdio::Stream;
use sys::user::User;

use crate::log::lines::Log;

/// Where the standard streams go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streams<'a> {
    pub(crate) stdout: Option<&'a Path>,
    pub(crate) stderr: Option<&'a Path>,
    /// Whether a stream without a file goes nowhere, since no terminal is there.
    pub(crate) in_background: bool,
    /// Whose rights files in places of others are opened with.
    pub(crate) user: Option<&'a User>,
}

/// Whose log files are to be opened anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Those of this process.
    Own,
    /// Those of all processes of this server.
    All,
}

/// The log files, of which some may have to wait for their file system.
#[derive(Debug, Default)]
pub(crate) struct LogFiles {
    unanswered: Option<Unanswered>,
}

/// Log files that are to be opened anew, whose file system has not answered yet.
#[derive(Debug)]
struct Unanswered {
    /// Ends when it has.
    answer: Pidfd,
    whose: Whose,
}

impl LogFiles {
    /// What to poll.
    pub(crate) fn fds(&self) -> Option<BorrowedFd<'_>> {
        self.unanswered.as_ref().map(|unanswered| unanswered.answer.as_fd())
    }

    /// Returns whose files are to be opened anew now that their file system has answered.
    pub(crate) fn hear(&mut self) -> Option<Whose> {
        let answered = self.unanswered.take_if(|unanswered| unanswered.answer.has_exited());
        answered.map(|unanswered| unanswered.whose)
    }

    /// Asks the file systems whether they answer; returns whether that has to be waited for.
    pub(crate) fn ask(&mut self, streams: Streams<'_>, whose: Whose) -> bool {
        let paths: Vec<&Path> = [streams.stdout, streams.stderr].into_iter().flatten().collect();
        let Some(answer) = sys::remote::ask(&paths) else { return false };
        let before = self.unanswered.replace(Unanswered { answer, whose });
        if let (Some(before), Some(now)) = (before, &mut self.unanswered) {
            if before.whose == Whose::All {
                now.whose = Whose::All;
            }
            // It would wait there as long, one more for each rotation. That it has gone is no error.
            let _ = before.answer.send(sys::signals::Signal::Kill);
        }
        true
    }

    /// Sends the standard streams to other files, as soon as their file systems answer.
    pub(crate) fn change(&mut self, streams: Streams<'_>, log: &Log) {
        if !self.ask(streams, Whose::Own) {
            reopen(streams, log);
        }
    }
}

/// A file that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("{directive}")]
pub struct NotOpened {
    directive: &'static str,
    source: sys::Error,
}

/// Sends the standard streams to their files for the first time.
///
/// # Errors
/// One of them cannot be opened: the text names the directive.
pub(crate) fn redirect(streams: Streams<'_>) -> Result<(), NotOpened> {
    open(streams, sys::stdio::redirect)
}

/// Opens the files of this process anew. One that cannot be opened stays as it is.
pub(crate) fn reopen(streams: Streams<'_>, log: &Log) {
    if let Err(error) = open(streams, sys::stdio::reopen) {
        log.error(format_args!("{}; the log that was open stays", sys::chain(&error)));
    }
}

fn open(streams: Streams<'_>, how: impl Fn(Stream, &Path, Option<&User>) -> sys::Result<()>) -> Result<(), NotOpened> {
    let null = streams.in_background.then(|| Path::new("/dev/null"));
    let open = |directive, stream, path: Option<&Path>| match path.or(null) {
        Some(path) => how(stream, path, streams.user).map_err(|source| NotOpened { directive, source }),
        None => Ok(()),
    };
    let out = open("stdout_path", Stream::Out, streams.stdout);
    // One that cannot be opened does not keep the other from being so.
    let err = open("stderr_path", Stream::Err, streams.stderr);
    out.and(err)
}
