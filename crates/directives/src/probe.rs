//! `probe`: what a new worker is asked before it serves, and which answers are right.

use alloc::string::String;
use alloc::vec::Vec;

use crate::record::{plain, record};

record! {
    /// The value of `probe`.
    Probe {
        /// The targets of the requests, in their order.
        paths: Vec<String>,
        /// The statuses that are right: each range from its first to its last.
        status: Vec<(u16, u16)>,
        /// How many seconds each response may take.
        timeout: f64,
        /// Fields of the request, names and values.
        headers: Vec<(String, String)>,
    }
}

plain!(Option<Probe>, Vec<(u16, u16)>, Vec<(String, String)>);
