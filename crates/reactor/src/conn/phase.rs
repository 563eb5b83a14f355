//! What a connection is doing, how reading went, and what becomes of it after a response.

use std::io;
use std::ops::Range;

use http1::chunked::Decoder;
use http1::proxy::Versions;

use super::body::{Body, Sink};
use super::inflow::Inflow;
use super::patience::Patience;

/// What a connection is doing.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Waiting for the header of a proxy, or reading it.
    Proxy(Versions),
    /// Waiting for a request, or reading its head.
    Head,
    /// Reading a body of so many more bytes.
    Sized { sink: Box<Sink>, left: u64 },
    /// Reading a chunked body.
    Chunked { sink: Box<Sink>, decoder: Box<Decoder> },
    /// The head is complete; the application reads the body while it arrives.
    Open(Inflow),
    /// The request is complete; its body waits to be taken.
    Complete(Content),
    /// Writing the rest of a response.
    Writing { after: After },
    /// The response is out and no more is sent; input is thrown away until the client closes.
    Discarding,
}

/// The body of a complete request.
#[derive(Debug)]
pub(crate) enum Content {
    /// It lies in the intake's buffer.
    Inline(Range<usize>),
    /// It is kept apart.
    Apart(Body),
}

/// How reading went.
#[derive(Debug)]
pub(crate) enum Progress {
    /// A request is complete.
    Request,
    /// Nothing more to read now.
    Wait(Patience),
    /// There may be more to read, but others are waiting.
    Yield,
    /// The client is gone, or closed between two requests.
    Gone,
    /// Answer with this status and close.
    Refuse(u16),
    /// The proxy's header is missing or wrong: close. Holds what is wrong.
    NoProxy(&'static str),
    /// The body could not be stored. Answer 500 and close.
    Storage(io::Error),
}

/// What a client has not let come to its end: it left, or was too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aborted {
    /// A request that it had begun.
    Request,
    /// The response to it.
    Response,
}

/// What becomes of a connection after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It waits for the next request.
    KeepAlive,
    /// It is closed once the response is out.
    Close,
    /// The same, and that tells the client where the body ends: the stream is ended even if another process holds the
    /// descriptor.
    End,
    /// It is closed at once: the response cannot be completed.
    Abort,
}
