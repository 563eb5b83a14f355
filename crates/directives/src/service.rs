//! `service`: a process beside the workers that serves no requests.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::de::{Deserialize, Deserializer};

use crate::record::{Setting, record};

record! {
    /// One `service` of the configuration.
    Service {
        /// Its name.
        name: String,
        /// The program and its arguments; empty when the mold forks it.
        command: Vec<String>,
        /// Whether the next one may be started while the one before runs.
        overlap: bool,
        /// How long it may take to leave.
        stop_timeout: Duration,
        /// The signal that asks it to leave, without `SIG`.
        stop_signal: String,
        /// One that ends earlier has failed.
        min_uptime: Duration,
    }
}

/// `nil` is none.
impl Setting for Vec<Service> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Option::unwrap_or_default)
    }
}
