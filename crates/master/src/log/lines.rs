//! Log lines in the format of Ruby's Logger, which tools around Unicorn parse.
//!
//! Lines go to standard error, or, where the configuration brought its own logger, through a mold; see
//! [`Log::take_forwarded`]. Writing never fails the master: a full disk costs the line, which is counted, and
//! nothing else.

use std::cell::RefCell;
use std::fmt::Display;

use scoreboard::Losses;
use sys::text::{printable, printable_lines};
use wire::Severity;

/// How long the last words of a server wait for a reader.
pub(crate) const LAST_WORDS_NS: u64 = 1_000_000_000;

/// Where the master's lines go.
#[derive(Debug, Default)]
pub(crate) struct Log {
    forward: bool,
    waiting: RefCell<Vec<(Severity, String)>>,
}

impl Log {
    /// Sends lines through the mold from now on, or to standard error.
    pub(crate) fn set_forward(&mut self, forward: bool) {
        self.forward = forward;
    }

    /// Whether lines go through the mold.
    pub(crate) fn forwards(&self) -> bool {
        self.forward
    }

    /// Logs an event of normal life.
    pub(crate) fn info(&self, text: impl Display) {
        self.line(Severity::Info, text.to_string());
    }

    /// Logs something that was coped with.
    pub(crate) fn warn(&self, text: impl Display) {
        self.line(Severity::Warn, text.to_string());
    }

    /// Logs something that an operator must act upon.
    pub(crate) fn error(&self, text: impl Display) {
        self.line(Severity::Error, text.to_string());
    }

    /// Logs why the server cannot go on.
    pub(crate) fn fatal(&self, text: impl Display) {
        self.line(Severity::Fatal, text.to_string());
    }

    /// The lines that wait to be sent through the mold.
    pub(crate) fn take_forwarded(&self) -> Vec<(Severity, String)> {
        std::mem::take(&mut self.waiting.borrow_mut())
    }

    /// Writes a line that could not be sent through a mold. A reader that does not read is not waited for.
    pub(crate) fn write(severity: Severity, text: &str) {
        sys::stderr::write_line(&Self::format(severity, text), Self::lost);
    }

    /// Writes text for a person at the terminal, as it is.
    pub(crate) fn plain(text: &str) {
        sys::stderr::write_line(text, Self::lost);
    }

    /// Says how many lines were lost, if any were and there is room for this one.
    pub(crate) fn tell_lost() {
        sys::stderr::tell_lost(Self::lost);
    }

    /// What was lost of what this process has written.
    pub(crate) fn losses() -> Losses {
        let sys::stderr::Losses { lines, errno, at_ns } = sys::stderr::losses();
        Losses { lines, errno, at_ns }
    }

    /// Writes why there will be no service, as it is.
    pub(crate) fn last_words(text: &str) {
        sys::stderr::write_last(&printable_lines(text.trim_end()), LAST_WORDS_NS);
    }

    fn lost(count: u64) -> String {
        let (lines, were) = if count == 1 { ("line", "was") } else { ("lines", "were") };
        Self::format(Severity::Warn, &format!("{count} log {lines} {were} lost: standard error took no more"))
    }

    fn format(severity: Severity, text: &str) -> String {
        let (letter, label) = match severity {
            Severity::Debug => ('D', "DEBUG"),
            Severity::Info => ('I', "INFO"),
            Severity::Warn => ('W', "WARN"),
            Severity::Error => ('E', "ERROR"),
            Severity::Fatal => ('F', "FATAL"),
        };
        format!("{letter}, [{} #{}] {label:>5} -- : {text}", sys::clock::local_timestamp(), sys::process::own_pid())
    }

    /// Text of others may be in it, and several lines: each gets its own beginning, so that none can pass for another.
    fn line(&self, severity: Severity, text: String) {
        for line in text.trim_end_matches('\n').split('\n') {
            let line = printable(line);
            if self.forward {
                self.waiting.borrow_mut().push((severity, line.into_owned()));
            } else {
                Self::write(severity, &line);
            }
        }
    }
}
