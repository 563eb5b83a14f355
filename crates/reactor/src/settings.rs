//! What the configuration says about connections.

use std::time::Duration;

use directives::Balance;
use http1::Limits;

use crate::conn::{Rates, Requests, Responses, SharedMemory};

/// The settings of one reactor.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many connections may be open at once; then the one that has been idle for longest makes room.
    pub connections: usize,
    /// Which idle worker gets a new connection.
    pub balance: Balance,
    /// How many requests in a row may have been received before the response to the one before was taken; then the
    /// connection is closed. 0 is no limit.
    pub pipeline: u32,
    /// What a request may be, and where its body is kept.
    pub requests: Requests,
    /// Where the part of a response waits that its client has not taken yet.
    pub responses: Responses,
    /// How long a client is waited for.
    pub timeouts: Timeouts,
    /// How much a client must send or take.
    pub rates: Rates,
}

/// How long a client is waited for, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// How long a connection may be idle between requests. 0 closes after each response.
    pub keepalive_ms: u64,
    /// How long a client may pause within a request head, or before its first byte.
    pub head_ms: u64,
    /// How long a client may pause within a body.
    pub body_ms: u64,
    /// How long a client may take nothing of a response.
    pub write_ms: u64,
    /// How long a closed connection's unread input is read and thrown away.
    pub discard_ms: u64,
}

impl From<&directives::Settings> for Settings {
    fn from(settings: &directives::Settings) -> Self {
        let directives::Settings { application, connections, rates, limits, .. } = settings;
        Self {
            connections: connections.worker_connections,
            balance: connections.balance,
            pipeline: connections.pipeline_limit,
            requests: Requests {
                limits: http1_limits(limits),
                body_buffer_bytes: connections.client_body_buffer_size,
                body_memory: SharedMemory::new(connections.body_memory),
                stream_bodies: !(application.request_buffering && application.rewindable_input),
            },
            responses: Responses {
                buffer_bytes: connections.response_buffer_size,
                file_bytes: connections.response_file_limit,
            },
            timeouts: Timeouts {
                keepalive_ms: milliseconds(connections.keepalive_timeout),
                head_ms: milliseconds(connections.header_timeout),
                body_ms: milliseconds(connections.body_timeout),
                write_ms: milliseconds(connections.write_timeout),
                discard_ms: DISCARD_MS,
            },
            rates: Rates {
                head: rates.minimum_header_rate,
                body: rates.minimum_body_rate,
                write: rates.minimum_write_rate,
                grace_ms: milliseconds(rates.minimum_rate_grace),
            },
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

/// See [`Timeouts::discard_ms`]; nginx waits up to 5 s between reads.
const DISCARD_MS: u64 = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_a_silent_configuration_are_those_of_http1() {
        assert_eq!(Settings::default().requests.limits, Limits::default());
    }
}
