//! Why a request was refused, and with which status.

use core::fmt;

/// A request that must not be served: answer with [`crate::response::error_response`] and close the connection.
///
/// The fault is always the client's. After one of these the position in the byte stream is unknown, so nothing that
/// follows may be read as a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The status to answer: 400, 413, 414, 417, 431, 501 or 505.
    pub status: u16,
    /// What was wrong, for the log; holds no byte of the request.
    pub reason: &'static str,
}

impl Reject {
    /// Makes a rejection.
    pub(crate) const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason }
    }

    /// Makes the rejection of malformed bytes, 400.
    pub(crate) const fn bad(reason: &'static str) -> Self {
        Self::new(400, reason)
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.status)
    }
}

impl core::error::Error for Reject {}
