//! `access_log`: where the lines go, what they look like, and which there are.

use alloc::string::String;
use alloc::vec::Vec;

use crate::record::{plain, record};

record! {
    /// The value of `access_log`.
    AccessLog {
        /// The file; `None` is standard output.
        path: Option<String>,
        /// `json`, `combined` or a template.
        format: String,
        /// Only requests that took at least so many seconds.
        slow_only: Option<f64>,
        /// Words in the names of parameters whose values are hidden.
        redact: Vec<String>,
        /// Whether all of a query is hidden.
        hide_query: bool,
    }
}

plain!(Option<AccessLog>, Option<f64>);
