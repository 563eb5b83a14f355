//! Why a master cannot begin, or cannot do what new settings want.

use supervisor::SnapshotError;
use wire::state::StateError;

use crate::log::files::NotOpened;
use crate::{children, config, sockets};

/// In which room it was found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration, or the installation.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The sockets.
    #[error(transparent)]
    Sockets(#[from] sockets::Error),
    /// The children that the program before this one had.
    #[error(transparent)]
    Children(#[from] children::Error),
    /// The files behind the standard streams.
    #[error(transparent)]
    Log(#[from] NotOpened),
    /// What the program before this one has left is not understood.
    #[error(transparent)]
    State(#[from] StateError),
    /// What it has decided makes no sense.
    #[error(transparent)]
    Decisions(#[from] SnapshotError),
    /// It has left that to another process.
    #[error("the state is for process {0}")]
    OtherProcess(u32),
    /// A call of the system.
    #[error(transparent)]
    System(#[from] sys::Error),
}
