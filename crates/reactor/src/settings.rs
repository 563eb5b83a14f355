//! What the configuration says about connections.

use http1::Limits;

/// The settings of one reactor. Times are in milliseconds, sizes in bytes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What a request may look like.
    pub limits: Limits,
    /// How many requests in a row may have been received before the response to the one before was taken; then the
    /// connection is closed. 0 is no limit. Default 1,000 (nginx closes after as many requests, however they came).
    pub pipeline: u32,
    /// Bodies up to this size stay in memory, longer ones go to an unlinked file. Default 114,688 (Unicorn, nginx-like).
    pub body_buffer_bytes: usize,
    /// How long a connection may be idle between requests. Default 75,000 (nginx), above the 60 s of load balancers.
    /// 0 closes after each response.
    pub keepalive_ms: u64,
    /// How long a client may pause within a request head, or before its first byte. Default 60,000 (nginx).
    pub head_ms: u64,
    /// How long a client may pause within a body. Default 60,000 (nginx).
    pub body_ms: u64,
    /// How long a client may take nothing of a response. Default 60,000 (nginx).
    pub write_ms: u64,
    /// How long a closed connection's unread input is read and thrown away. Default 2,000; nginx waits up to 5 s
    /// between reads.
    pub discard_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            pipeline: 1_000,
            body_buffer_bytes: 114_688,
            keepalive_ms: 75_000,
            head_ms: 60_000,
            body_ms: 60_000,
            write_ms: 60_000,
            discard_ms: 2_000,
        }
    }
}
