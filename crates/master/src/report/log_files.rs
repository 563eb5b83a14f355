//! The files behind the standard streams: opened once, and anew after rotation or with other settings.
//!
//! A file system on the network may not answer. While the server boots that is waited for; later the files are opened
//! anew as soon as it answers, and everything else goes on meanwhile.

use std::collections::BTreeSet;
use std::path::Path;

use supervisor::Generation;
use sys::pidfd::Pidfd;
use sys::stdio::Stream;
use sys::user::User;
use wire::ToWorker;

use crate::children::mold::Mold;
use crate::config::settings::Settings;
use crate::shell::Shell;

/// Log files that are to be opened anew, whose file system has not answered yet.
#[derive(Debug)]
pub(crate) struct Unanswered {
    /// Ends when it has.
    pub(crate) answer: Pidfd,
    /// Whether the children are to open theirs then, too.
    children: bool,
}

impl Shell {
    /// Sends the standard streams to their files, by `redirect` the first time and by `reopen` ever after.
    pub(crate) fn redirect(
        &self,
        settings: &Settings,
        how: impl Fn(Stream, &Path, Option<&User>) -> sys::Result<()>,
    ) -> Result<(), String> {
        let null = self.options.daemonize.then(|| Path::new("/dev/null"));
        let stdout = settings.stdout_path().or(null);
        let stderr = settings.stderr_path().or(null);
        let user = settings.user.as_ref();
        let redirect = |name: &str, stream, path: Option<&Path>| match path {
            Some(path) => how(stream, path, user).map_err(|error| format!("{name}: {}", error.chain())),
            None => Ok(()),
        };
        let out = redirect("stdout_path", Stream::Out, stdout);
        // One that cannot be opened does not keep the other from being so.
        let err = redirect("stderr_path", Stream::Err, stderr);
        out.and(err)
    }

    /// Sends the standard streams to the files of `settings`, which are about to hold.
    pub(crate) fn redirect_anew(&mut self, settings: &Settings) {
        if !self.ask_for_logs(settings, false) {
            self.reopen_own(settings);
        }
    }

    /// Opens all logs anew.
    pub(crate) fn reopen_logs(&mut self) {
        self.log.info("master reopening logs...");
        let settings = self.settings.take();
        let waits = settings.as_ref().is_some_and(|settings| self.ask_for_logs(settings, true));
        self.settings = settings;
        if !waits {
            self.reopen_all();
        }
    }

    /// Opens the logs anew whose file system has answered.
    pub(crate) fn hear_file_systems(&mut self) {
        if let Some(unanswered) = self.unanswered.take_if(|unanswered| unanswered.answer.has_exited()) {
            match (&self.settings, unanswered.children) {
                (Some(settings), false) => self.reopen_own(settings),
                _ => self.reopen_all(),
            }
        }
    }

    /// Asks the file systems of the logs whether they answer; returns whether that has to be waited for.
    fn ask_for_logs(&mut self, settings: &Settings, children: bool) -> bool {
        let paths = [settings.stdout_path(), settings.stderr_path()];
        let paths: Vec<&Path> = paths.into_iter().flatten().collect();
        let Some(answer) = sys::remote::ask(&paths) else { return false };
        let before = self.unanswered.replace(Unanswered { answer, children });
        if let (Some(before), Some(now)) = (before, &mut self.unanswered) {
            now.children |= before.children;
            // It would wait there as long, one more for each rotation. That it has gone is no error.
            let _ = before.answer.send(sys::signals::Signal::Kill);
        }
        true
    }

    fn reopen_own(&self, settings: &Settings) {
        if let Err(text) = self.redirect(settings, sys::stdio::reopen) {
            self.log.error(format_args!("{text}; the log that was open stays"));
        }
    }

    /// The master's logs first, then the molds', then the workers': each may have to give a new file to the user of the
    /// next, who may be unable to make one.
    fn reopen_all(&mut self) {
        if let Some(settings) = &self.settings {
            self.reopen_own(settings);
        }
        self.log.info("master done reopening logs");
        let generations: BTreeSet<Generation> =
            self.supervisor.workers().map(|(_, worker)| worker.generation).collect();
        self.children.molds_mut().for_each(Mold::reopen_logs);
        for generation in generations.into_iter().filter(|generation| self.children.mold(*generation).is_none()) {
            self.reopen_logs_of_workers(generation);
        }
    }

    /// The mold of these workers has opened its logs anew, or is gone.
    pub(crate) fn reopen_logs_of_workers(&self, generation: Generation) {
        let forked_by_it = self.supervisor.workers().filter(|(_, worker)| worker.generation == generation);
        for worker in forked_by_it.filter_map(|(id, _)| self.children.worker(id)) {
            worker.link.send(&ToWorker::ReopenLogs, &[]);
        }
    }
}
