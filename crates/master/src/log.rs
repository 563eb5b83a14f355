//! Log lines in the format of Ruby's Logger, which tools around Unicorn parse.
//!
//! Lines go to standard error, or, where the configuration brought its own logger, through a mold; see
//! [`Log::take_forwarded`]. Writing never fails the master: a full disk costs the line and nothing else.

use std::cell::RefCell;
use std::fmt::Display;
use std::io::Write;

use wire::Severity;

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

    /// Logs something that somebody must act upon.
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

    /// Writes a line that could not be sent through a mold.
    pub(crate) fn write(severity: Severity, text: &str) {
        let (letter, label) = match severity {
            Severity::Debug => ('D', "DEBUG"),
            Severity::Info => ('I', "INFO"),
            Severity::Warn => ('W', "WARN"),
            Severity::Error => ('E', "ERROR"),
            Severity::Fatal => ('F', "FATAL"),
        };
        let line = format!(
            "{letter}, [{} #{}] {label:>5} -- : {text}\n",
            sys::clock::local_timestamp(),
            sys::process::own_pid()
        );
        // One write(2), so that lines of several processes do not mix.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    fn line(&self, severity: Severity, text: String) {
        if self.forward {
            self.waiting.borrow_mut().push((severity, text));
        } else {
            Self::write(severity, &text);
        }
    }
}
