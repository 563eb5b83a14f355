//! `canary`: how new code is tried on few workers before all are of it.

use core::time::Duration;

use crate::record::{plain, record};

record! {
    /// The value of `canary`.
    Canary {
        /// How many workers.
        workers: u32,
        /// For how long, from the moment that all of them serve.
        watch: Duration,
        /// How many times as large as that of the old workers their share of 5xx may be.
        max_error_ratio: f64,
        /// How many times as slow they may be.
        max_slowdown: f64,
        /// How many times as much private memory as the largest old worker one of them may have.
        max_memory_ratio: f64,
    }
}

plain!(Option<Canary>);
