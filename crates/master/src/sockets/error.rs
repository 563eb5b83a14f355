//! Why a socket cannot be had.

/// Which, and what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Those that the process was started with.
    #[error("UNICORN_FD={list}: {number} is no number")]
    NoNumber { list: String, number: String },
    #[error("{} (Errno::EBADF)", .0.chain())]
    NoListener(sys::Error),
    /// Those that the configuration asks for.
    #[error(
        "no socket named {name} was passed (passed: {passed}); the name is the FileDescriptorName= of a socket unit \
         (ArgumentError)"
    )]
    NotPassed { name: String, passed: String },
    /// One of the above, or one that cannot be bound, as the settings explain it.
    #[error("{0}")]
    Listener(String),
    /// Those that the program before this one held.
    #[error("a listener is missing")]
    Missing,
    #[error(transparent)]
    System(#[from] sys::Error),
}
