//! What the configuration says about connections.

use std::time::Duration;

use http1::Limits;

use crate::shared_memory::{Allowance, SharedMemory};
use crate::spill::Room;

/// The settings of one reactor. Times are in milliseconds, sizes in bytes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What a request may look like.
    pub limits: Limits,
    /// How many requests in a row may have been received before the response to the one before was taken; then the
    /// connection is closed. 0 is no limit.
    pub pipeline: u32,
    /// How many connections may be open at once; then the one that has been idle for longest makes room.
    pub connections: usize,
    /// Bodies up to this size stay in memory in any case.
    pub body_buffer_bytes: usize,
    /// What longer ones may have together, a quarter of it each; else they go to an unlinked file.
    pub body_memory: SharedMemory,
    /// The application reads bodies while they arrive, unless they came with the head.
    pub stream_bodies: bool,
    /// How much of a response that its client has not taken yet is kept in memory; the rest goes to an unlinked file.
    pub response_buffer_bytes: usize,
    /// How much of a response may be in a file; then the application waits for the client.
    pub response_file_bytes: u64,
    /// How long a connection may be idle between requests. 0 closes after each response.
    pub keepalive_ms: u64,
    /// How long a client may pause within a request head, or before its first byte.
    pub head_ms: u64,
    /// How long a client may pause within a body.
    pub body_ms: u64,
    /// How long a client may take nothing of a response.
    pub write_ms: u64,
    /// How many bytes of a head a client must send per second, on average, once the grace is over. 0 asks for nothing.
    pub head_rate: u64,
    /// The same for a body.
    pub body_rate: u64,
    /// How many bytes of a response a client must take per second.
    pub write_rate: u64,
    /// How long a head, a body or a response may take before its rate counts.
    pub rate_grace_ms: u64,
    /// How long a closed connection's unread input is read and thrown away.
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

impl From<&directives::Settings> for Settings {
    fn from(settings: &directives::Settings) -> Self {
        let directives::Settings { application, connections, rates, limits, .. } = settings;
        Self {
            limits: http1_limits(limits),
            pipeline: connections.pipeline_limit,
            connections: connections.worker_connections,
            body_buffer_bytes: connections.client_body_buffer_size,
            body_memory: SharedMemory::new(connections.body_memory),
            stream_bodies: !(application.request_buffering && application.rewindable_input),
            response_buffer_bytes: connections.response_buffer_size,
            response_file_bytes: connections.response_file_limit,
            keepalive_ms: milliseconds(connections.keepalive_timeout),
            head_ms: milliseconds(connections.header_timeout),
            body_ms: milliseconds(connections.body_timeout),
            write_ms: milliseconds(connections.write_timeout),
            head_rate: rates.minimum_header_rate,
            body_rate: rates.minimum_body_rate,
            write_rate: rates.minimum_write_rate,
            rate_grace_ms: milliseconds(rates.minimum_rate_grace),
            discard_ms: DISCARD_MS,
        }
    }
}

/// Those of a configuration that is silent.
impl Default for Settings {
    fn default() -> Self {
        Self::from(&directives::Settings::default())
    }
}

fn http1_limits(limits: &directives::Limits) -> Limits {
    Limits {
        request_line: limits.request_line_limit,
        target: limits.request_target_limit,
        path: limits.request_path_limit,
        query: limits.request_query_limit,
        fragment: limits.request_fragment_limit,
        field_name: limits.field_name_limit,
        field_value: limits.field_value_limit,
        fields: limits.field_count_limit,
        // Unicorn lets one byte more through than its limit says.
        section: limits.header_limit.saturating_add(1),
        body: Some(limits.body_limit).filter(|bytes| *bytes > 0),
        chunk_extension: limits.chunk_extension_limit,
        trailer_section: limits.trailer_limit,
    }
}

/// Turns a setting into milliseconds.
pub fn milliseconds(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

/// See [`Settings::discard_ms`]; nginx waits up to 5 s between reads.
const DISCARD_MS: u64 = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_a_silent_configuration_are_those_of_http1() {
        assert_eq!(Settings::default().limits, Limits::default());
    }
}
