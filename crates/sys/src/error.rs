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
    /// What is at the path is nothing to open.
    #[error("{path} is not opened: {why}")]
    Refused {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A call failed that was made with the rights of the application's user.
    #[error("as user {user}")]
    As {
        /// The login name.
        user: String,
        /// Why.
        #[source]
        source: Box<Error>,
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
    /// The inherited descriptor is something else.
    #[error("file descriptor {0} is {1}")]
    NoListener(i32, &'static str),
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

    /// The message that Ruby has for it: `Address already in use - bind(2) for 0.0.0.0:80 (Errno::EADDRINUSE)`.
    pub fn as_ruby(&self) -> String {
        let Self::Path { call, path, source } = self else { return format!("{} (ArgumentError)", self.chain()) };
        let text = source.to_string();
        let text = text.split(" (os error ").next().unwrap_or(&text);
        match source.raw_os_error() {
            Some(number) => {
                let name = nix::errno::Errno::from_raw(number);
                format!("{text} - {call}(2) for {} (Errno::{name:?})", path.display())
            }
            None if *call == "getaddrinfo" => {
                format!("getaddrinfo: {} (SocketError)", text.rsplit(": ").next().unwrap_or(text))
            }
            None => format!("{text} (ArgumentError)"),
        }
    }

    /// The error number of the call that failed, if it was one that failed.
    pub fn number(&self) -> Option<i32> {
        match self {
            Self::Call { source, .. } | Self::Path { source, .. } => source.raw_os_error(),
            Self::As { source, .. } => source.number(),
            _ => None,
        }
    }

    /// The text with all its causes, in one line.
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// The text of an error with all its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rubys_words_for_an_error_have_its_class() {
        let refused = Error::path("bind", "192.0.2.1:80")(std::io::Error::from_raw_os_error(99));
        let text = "Cannot assign requested address - bind(2) for 192.0.2.1:80 (Errno::EADDRNOTAVAIL)";
        assert_eq!(refused.as_ruby(), text);
        let unknown = std::io::Error::other("failed to lookup address information: Name or service not known");
        let unknown = Error::path("getaddrinfo", "a.invalid:80")(unknown);
        assert_eq!(unknown.as_ruby(), "getaddrinfo: Name or service not known (SocketError)");
        let address = Error::Address("foo.sock".to_string());
        assert_eq!(address.as_ruby(), "Don't know how to bind: foo.sock (ArgumentError)");
    }
}
