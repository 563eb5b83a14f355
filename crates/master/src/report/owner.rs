//! What is told of the server, and what is needed to tell it.

use sys::daemon::Reporter;
use sys::title::Title;

use crate::causes::Causes;
use crate::log::files::LogFiles;
use crate::log::lines::Log;
use crate::report::deaths::Deaths;
use crate::report::memory::Readings;
use crate::report::reloads::Reloads;

/// The log, the process title, the launcher that waits, and what `licorne status` remembers.
pub(crate) struct Report {
    pub(crate) log: Log,
    pub(crate) files: LogFiles,
    pub(crate) causes: Causes,
    pub(crate) deaths: Deaths,
    pub(crate) reloads: Reloads,
    pub(crate) recycled: facts::Recycled,
    pub(crate) reforks: Reloads,
    pub(crate) readings: Readings,
    /// When the server was started (CLOCK_MONOTONIC, ns).
    pub(crate) started_ns: u64,
    title: Option<Title>,
    /// The command that put this process into the background, and waits to be told that the service is up.
    pub(crate) launcher: Option<Reporter>,
    /// Whether it has been logged that everything is done.
    is_complete: bool,
}

impl Report {
    /// The report of a process that starts. Call it once: it claims the process's title.
    pub(crate) fn begin() -> Self {
        Self {
            log: Log::default(),
            files: LogFiles::default(),
            causes: Causes::default(),
            deaths: Deaths::default(),
            reloads: Reloads::default(),
            recycled: facts::Recycled::default(),
            reforks: Reloads::default(),
            readings: Readings::default(),
            started_ns: sys::clock::monotonic_ns(),
            title: Title::claim(),
            launcher: None,
            is_complete: false,
        }
    }

    /// Makes this the title of the process.
    pub(crate) fn show_title(&self, text: &str) {
        if let Some(title) = &self.title {
            title.set(text);
        }
    }

    /// Says why there will be no service. `entered`: the standard streams have been redirected.
    pub(crate) fn boot_failed(&self, why: &str, entered: bool) {
        // Before the streams are redirected, standard error is where the launcher prints it too.
        if !why.is_empty() && (entered || self.launcher.is_none()) {
            Log::last_words(why);
        }
    }

    /// Tells the launcher that the service is up, or why it will not be.
    pub(crate) fn tell_launcher(&mut self, outcome: Result<(), &str>) {
        let Some(launcher) = self.launcher.take() else { return };
        match outcome {
            Ok(()) => launcher.ready(),
            Err(why) => launcher.failed(why),
        }
    }

    /// Says once that nothing is left to be done.
    pub(crate) fn complete(&mut self) {
        if !std::mem::replace(&mut self.is_complete, true) {
            self.log.info("master complete");
        }
    }
}
