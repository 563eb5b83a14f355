//! The time, as logs show it: the text of a second is made once.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustix::time::{ClockId, clock_gettime};

/// The current time as text.
#[derive(Debug)]
pub(crate) struct Stamp {
    zone: TimeZone,
    second: i64,
    pub(crate) utc: String,
    pub(crate) local: String,
    pub(crate) milliseconds: u32,
}

impl Stamp {
    /// Reads the zone of the machine, as localtime(3) does.
    pub(crate) fn new() -> Self {
        Self { zone: TimeZone::system(), second: i64::MIN, utc: String::new(), local: String::new(), milliseconds: 0 }
    }

    /// Looks at the clock.
    pub(crate) fn now(&mut self) {
        let now = clock_gettime(ClockId::Realtime);
        self.set(now.tv_sec, now.tv_nsec as u64);
    }

    fn set(&mut self, second: i64, nanoseconds: u64) {
        self.milliseconds = (nanoseconds / 1_000_000) as u32;
        if self.second != second {
            self.second = second;
            let moment = Timestamp::from_second(second).unwrap_or_default();
            self.utc = moment.strftime("%Y-%m-%dT%H:%M:%S").to_string();
            self.local = moment.to_zoned(self.zone.clone()).strftime("%d/%b/%Y:%H:%M:%S %z").to_string();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_shown_in_utc_and_in_the_zone_of_the_machine() {
        let mut stamp = Stamp { zone: TimeZone::fixed(jiff::tz::offset(2)), ..Stamp::new() };
        stamp.set(1_790_000_000, 45_999_999);
        assert_eq!(stamp.utc, "2026-09-21T14:13:20");
        assert_eq!((stamp.local.as_str(), stamp.milliseconds), ("21/Sep/2026:16:13:20 +0200", 45));
        stamp.set(1_790_000_001, 0);
        assert_eq!(stamp.utc, "2026-09-21T14:13:21");
    }
}
