//! What a check has found.

use serde::Serialize;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It is as it should be.
    Fine,
    /// A server would start, and may have trouble later.
    Warning,
    /// No server would start, or it could not serve.
    Error,
}

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// What was looked at, in a word.
    pub about: &'static str,
    /// What was found, and what to do about it. A backtrace follows its message line by line.
    pub text: String,
}

impl Finding {
    pub(crate) fn fine(about: &'static str, text: impl Into<String>) -> Self {
        Self { level: Level::Fine, about, text: text.into() }
    }

    pub(crate) fn warning(about: &'static str, text: impl Into<String>) -> Self {
        Self { level: Level::Warning, about, text: text.into() }
    }

    pub(crate) fn error(about: &'static str, text: impl Into<String>) -> Self {
        Self { level: Level::Error, about, text: text.into() }
    }
}
