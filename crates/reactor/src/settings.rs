//! What the configuration says about connections.

use http1::Limits;

use crate::shared_memory::{Allowance, SharedMemory};
use crate::spill::Room;

/// The settings of one reactor. Times are in milliseconds, sizes in bytes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What a request may look like.
    pub limits: Limits,
    /// How many requests in a row may have been received before the response to the one before was taken; then the
    /// connection is closed. 0 is no limit. Default 1,000 (nginx closes after as many requests, however they came).
    pub pipeline: u32,
    /// How many connections may be open at once; then the one that has been idle for longest makes room. Default 10,000.
    pub connections: usize,
    /// Bodies up to this size stay in memory in any case. Default 114,688 (Unicorn).
    pub body_buffer_bytes: usize,
    /// What longer ones may have together, a quarter of it each; else they go to an unlinked file. Default 16 MiB.
    pub body_memory: SharedMemory,
    /// The application reads bodies while they arrive, unless they came with the head. Default false.
    pub stream_bodies: bool,
    /// How much of a response that its client has not taken yet is kept in memory; the rest goes to an unlinked file.
    /// Default 1,048,576.
    pub response_buffer_bytes: usize,
    /// How much of a response may be in a file; then the application waits for the client. Default 1 GiB (nginx).
    pub response_file_bytes: u64,
    /// How long a connection may be idle between requests. Default 75,000 (nginx), above the 60 s of load balancers.
    /// 0 closes after each response.
    pub keepalive_ms: u64,
    /// How long a client may pause within a request head, or before its first byte. Default 60,000 (nginx).
    pub head_ms: u64,
    /// How long a client may pause within a body. Default 60,000 (nginx).
    pub body_ms: u64,
    /// How long a client may take nothing of a response. Default 60,000 (nginx).
    pub write_ms: u64,
    /// How many bytes of a head a client must send per second, on average, once the grace is over. 0 asks for nothing.
    /// Default 240 (Kestrel).
    pub head_rate: u64,
    /// The same for a body. Default 240 (Kestrel).
    pub body_rate: u64,
    /// How many bytes of a response a client must take per second. Default 240 (Kestrel).
    pub write_rate: u64,
    /// How long a head, a body or a response may take before its rate counts. Default 20,000 (Kestrel: 5,000; a client on
    /// a bad line may lose its first segments).
    pub rate_grace_ms: u64,
    /// How long a closed connection's unread input is read and thrown away. Default 2,000; nginx waits up to 5 s
    /// between reads.
    pub discard_ms: u64,
}

impl Settings {
    pub(crate) fn allowance(&self) -> Allowance {
        Allowance { each: self.body_buffer_bytes, shared: self.body_memory.clone() }
    }

    pub(crate) fn room(&self) -> Room {
        Room { memory_bytes: self.response_buffer_bytes, file_bytes: self.response_file_bytes }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            pipeline: 1_000,
            connections: 10_000,
            body_buffer_bytes: 114_688,
            body_memory: SharedMemory::new(16 << 20),
            stream_bodies: false,
            response_buffer_bytes: 1 << 20,
            response_file_bytes: 1 << 30,
            keepalive_ms: 75_000,
            head_ms: 60_000,
            body_ms: 60_000,
            write_ms: 60_000,
            head_rate: 240,
            body_rate: 240,
            write_rate: 240,
            rate_grace_ms: 20_000,
            discard_ms: 2_000,
        }
    }
}
