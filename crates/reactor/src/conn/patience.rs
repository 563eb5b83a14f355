//! What a client is waited for. Each has a time limit of its own.

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Patience {
    /// The first byte of its first request, and the proxy's header before it.
    Fresh,
    /// The next request of a kept-alive connection.
    Idle,
    /// The rest of a request head.
    Head,
    /// The rest of a body.
    Body,
    /// The client to take some of the response.
    Write,
    /// The end of input that is thrown away, after the response.
    Discard,
}

impl Patience {
    /// All of them.
    pub(crate) const ALL: [Self; 6] = [Self::Fresh, Self::Idle, Self::Head, Self::Body, Self::Write, Self::Discard];

    /// Tells whether a head is awaited that has not begun on a new connection, or has begun.
    pub(crate) fn is_asking(self) -> bool {
        matches!(self, Self::Fresh | Self::Head)
    }
}
