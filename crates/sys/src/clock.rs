//! The clocks: monotonic for deadlines, local wall time for log lines.

use rustix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC` in nanoseconds. See clock_gettime(2); it cannot fail for this clock.
pub fn monotonic_ns() -> u64 {
    let t = clock_gettime(ClockId::Monotonic);
    t.tv_sec.cast_unsigned() * 1_000_000_000 + t.tv_nsec.cast_unsigned()
}

/// Local time as Ruby's Logger writes it, `2026-11-21T19:07:36.281788`, without a zone. See localtime_r(3).
pub fn local_timestamp() -> String {
    let now = clock_gettime(ClockId::Realtime);
    let seconds: nix::libc::time_t = now.tv_sec;
    // SAFETY: `tm` is plain integers and a pointer, for which zero is a value.
    let mut tm: nix::libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live locals. The master has one thread, so no other one changes TZ meanwhile.
    unsafe { nix::libc::localtime_r(&raw const seconds, &raw mut tm) };
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}",
        tm.tm_year + 1900,
        tm.tm_mon + 1,
        tm.tm_mday,
        tm.tm_hour,
        tm.tm_min,
        tm.tm_sec,
        now.tv_nsec / 1000
    )
}
