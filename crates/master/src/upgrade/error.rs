//! Why an upgrade fails.

use wire::state::StateError;

use crate::config;

/// What went wrong, and on which side.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The hook.
    #[error("before_exec failed, the new master was not started")]
    Hook,
    #[error("the mold died while it ran before_exec")]
    MoldDied,
    /// The second master.
    #[error("the new master died at once")]
    DiedAtOnce,
    /// The running program, before it executes another.
    #[error("something else goes on")]
    Busy,
    /// The preflight, as the new program runs it.
    #[error("{0} is for the master, which looks at a new program with it")]
    NoMaster(&'static str),
    #[error("the master has sent no state")]
    NoState,
    #[error(transparent)]
    Answer(#[from] serde_json::Error),
    /// The preflight, as the running program sees it.
    #[error("it left with exit status {0}")]
    Exited(i32),
    #[error("it was ended by {0}")]
    Killed(String),
    #[error("it is no program that knows of upgrades in place")]
    Unknowing,
    #[error("its answer is not understood")]
    NotUnderstood(#[source] serde_json::Error),
    #[error("it did not say which program it is")]
    Nameless,
    #[error(
        "licorne {program} takes over state of versions {reads:?}, this one hands over version {}",
        wire::state::VERSION
    )]
    OtherState { program: String, reads: Vec<u32> },
    #[error(
        "licorne {program} speaks version {speaks} with molds and workers, those that run speak version {}",
        wire::VERSION
    )]
    OtherMessages { program: String, speaks: u8 },
    #[error(
        "licorne {program} reads seats of layout {reads}, those of the workers that run are of layout {}",
        scoreboard::LAYOUT
    )]
    OtherScoreboard { program: String, reads: u32 },
    /// What the new program says that it lacks.
    #[error("{0}")]
    Lacks(String),
    /// One of these, and what the new program has printed.
    #[error("{}\n{printed}", sys::chain(.why))]
    Printed { why: Box<Self>, printed: String },
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    System(#[from] sys::Error),
}
