//! The `Date` field, rendered once a second.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// The current time as an IMF-fixdate (RFC 9110, section 5.6.7).
#[derive(Debug, Default)]
pub struct HttpDate {
    second: u64,
    text: String,
}

impl HttpDate {
    /// Returns the text for this second. The coarse clock is enough and costs least.
    pub fn current(&mut self) -> &[u8] {
        let second = clock_gettime(ClockId::RealtimeCoarse).tv_sec as u64;
        if second != self.second || self.text.is_empty() {
            self.second = second;
            let time: SystemTime = UNIX_EPOCH + Duration::from_secs(second);
            self.text = httpdate::fmt_http_date(time);
        }
        self.text.as_bytes()
    }
}
