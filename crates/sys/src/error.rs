//! One error type: which call failed, on what, and why.

use std::path::PathBuf;

/// What the kernel refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call failed.
    #[error("{call} failed")]
    Call {
        /// The call, as its man page names it.
        call: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A call on a path failed.
    #[error("{call} failed for {path}")]
    Path {
        /// The call, as its man page names it.
        call: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another live process holds the pid file.
    #[error("Already running on PID:{pid} (or pid={path} is stale)")]
    AlreadyRunning {
        /// The live process.
        pid: u32,
        /// The pid file.
        path: PathBuf,
    },
    /// The text is no address that can be bound.
    #[error("Don't know how to bind: {0}")]
    Address(String),
    /// The inherited descriptor is a connection.
    #[error("file descriptor {0} is one connection, no listening socket: the socket unit must say Accept=no")]
    Connected(i32),
}

/// The result of a call.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Wraps the failure of `call`; made for `map_err`.
    pub fn call<E: Into<std::io::Error>>(call: &'static str) -> impl Fn(E) -> Self {
        move |source| Self::Call { call, source: source.into() }
    }

    /// Wraps the failure of `call` on `path`; made for `map_err`.
    pub fn path<E: Into<std::io::Error>>(call: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Path { call, path, source: source.into() }
    }

    /// The text with all its causes, in one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}
