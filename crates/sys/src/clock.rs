//! The clocks: monotonic for deadlines, local wall time for log lines.

use rustix::time::{ClockId, clock_gettime};

/// No clock here is before its beginning.
fn ns(clock: ClockId) -> u64 {
    let t = clock_gettime(clock);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// `CLOCK_MONOTONIC` in nanoseconds. See clock_gettime(2); it cannot fail for this clock.
pub fn monotonic_ns() -> u64 {
    ns(ClockId::Monotonic)
}

/// The processor time of this thread, in nanoseconds. It costs a system call.
pub fn thread_cpu_ns() -> u64 {
    ns(ClockId::ThreadCPUTime)
}

/// A moment on both clocks, so that those of the one can be told by the other.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    monotonic_ns: u64,
    unix_ns: u64,
}

impl Moment {
    /// This moment.
    pub fn now() -> Self {
        Self { unix_ns: ns(ClockId::Realtime), monotonic_ns: monotonic_ns() }
    }

    /// By `CLOCK_MONOTONIC`, in nanoseconds.
    pub fn monotonic_ns(self) -> u64 {
        self.monotonic_ns
    }

    /// When the monotonic clock stood at `at_ns`, in seconds of Unix time, to the millisecond.
    pub fn unix_s(self, at_ns: u64) -> f64 {
        let unix_ns = (self.unix_ns + at_ns).saturating_sub(self.monotonic_ns);
        (unix_ns / 1_000_000) as f64 / 1e3
    }
}

/// Local time as Ruby's Logger writes it, `2026-11-21T19:07:36.281788`, without a zone. See localtime_r(3).
pub fn local_timestamp() -> String {
    let now = clock_gettime(ClockId::Realtime);
    format!("{}.{:06}", local(now.tv_sec, 'T'), now.tv_nsec / 1000)
}

/// A moment in seconds of Unix time as local time for people, `2026-11-21 19:07:36`. See localtime_r(3).
pub fn local_time(unix_s: f64) -> String {
    local(unix_s as i64, ' ')
}

fn local(seconds: nix::libc::time_t, between: char) -> String {
    // SAFETY: `tm` is plain integers and a pointer, for which zero is a value.
    let mut tm: nix::libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live locals. The master has one thread, so no other one changes TZ meanwhile.
    unsafe { nix::libc::localtime_r(&raw const seconds, &raw mut tm) };
    let (year, month) = (tm.tm_year + 1900, tm.tm_mon + 1);
    let (day, hour, minute, second) = (tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    format!("{year:04}-{month:02}-{day:02}{between}{hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_the_monotonic_clock_are_told_in_unix_time() {
        let now = Moment { monotonic_ns: 60_000_000_000, unix_ns: 1_764_363_000_123_456_789 };
        assert_eq!(now.unix_s(60_000_000_000), 1_764_363_000.123);
        assert_eq!(now.unix_s(0), 1_764_362_940.123);
        assert_eq!(now.unix_s(61_000_000_000), 1_764_363_001.123);
        let early = Moment { monotonic_ns: u64::MAX / 2, unix_ns: 5 };
        assert_eq!(early.unix_s(0), 0.0, "a wall clock that stands before the boot");
    }
}
