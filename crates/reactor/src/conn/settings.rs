//! What the configuration says about one connection. Times are in milliseconds, sizes in bytes.

use http1::Limits;

use super::shared_memory::{Allowance, SharedMemory};

/// What a request may be, and where its body is kept.
#[derive(Clone, Debug)]
pub struct Requests {
    /// What it may look like.
    pub limits: Limits,
    /// Bodies up to this size stay in memory in any case.
    pub body_buffer_bytes: usize,
    /// What longer bodies may have together, a quarter of it each; else they go to an unlinked file.
    pub body_memory: SharedMemory,
    /// The application reads bodies while they arrive, unless they came with the head.
    pub stream_bodies: bool,
}

impl Requests {
    pub(crate) fn allowance(&self) -> Allowance {
        Allowance { each: self.body_buffer_bytes, shared: self.body_memory.clone() }
    }
}

/// Where the part of a response waits that its client has not taken yet.
#[derive(Clone, Copy, Debug)]
pub struct Responses {
    /// How much of it is kept in memory; the rest goes to an unlinked file.
    pub buffer_bytes: usize,
    /// How much of it may be in a file; then the application waits for the client.
    pub file_bytes: u64,
}

/// How many bytes per second a client must send or take, on average, once the grace is over. 0 asks for nothing.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Bytes of a head.
    pub head: u64,
    /// Bytes of a body.
    pub body: u64,
    /// Bytes of a response.
    pub write: u64,
    /// How long a head, a body or a response may take before its rate counts.
    pub grace_ms: u64,
}
