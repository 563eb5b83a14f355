//! Why a child cannot be had, and what it has broken the protocol with.

use wire::DecodeError;

use crate::{config, sockets};

/// What is missing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// For a worker that is asked for.
    #[error("all seats are taken")]
    Full,
    #[error("the memory of a seat is too small")]
    TooSmall,
    #[error("seats of layout {0}")]
    UnknownLayout(u32),
    #[error("the seats of this mold are gone")]
    SeatsGone,
    #[error("the mold is gone")]
    MoldGone,
    #[error("the worker is gone")]
    WorkerGone,
    /// What has served clients is not to be trusted with more than it has.
    #[error("the worker is another user than its mold")]
    OtherUser,
    /// For a child that the program before this one had.
    #[error("worker {0} is no child")]
    NoChild(u32),
    #[error("a worker without a seat")]
    NoSeat,
    #[error("a histogram with other buckets")]
    OtherBuckets,
    #[error("a worker about which nothing is decided")]
    Undecided,
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    Sockets(#[from] sockets::Error),
    #[error(transparent)]
    System(#[from] sys::Error),
}

/// What is not a child's to say.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lie {
    /// No message at all.
    #[error("{error} ({bytes} bytes)")]
    NoMessage { error: DecodeError, bytes: usize },
    #[error("message with descriptors")]
    Descriptors,
    #[error("message of {0} bytes")]
    TooLong(usize),
    #[error(transparent)]
    System(#[from] sys::Error),
    /// A message of this kind, now. What is in it may be long, and is the application's word.
    #[error("{}", DecodeError::Kind(*.0))]
    Unexpected(u8),
    /// It talks and talks.
    #[error("messages without end")]
    Endless,
    /// It announces another process than a worker that was not known.
    #[error("PID:{0} is something else already")]
    Known(u32),
    #[error("PID:{0} is no child of this process")]
    Stranger(u32),
}
