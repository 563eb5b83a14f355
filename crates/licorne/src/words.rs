//! Times, sizes and shares, in as few characters as say enough.

use std::time::{SystemTime, UNIX_EPOCH};

use facts::Logs;
use sys::text::printable;

const SECONDS_OF: [(u64, &str); 3] = [(86_400, "d"), (3_600, "h"), (60, "min")];

/// A span of time by its two largest units: `45 s`, `3 min 20 s`, `2 h`, `3 d 4 h`.
pub(crate) fn span(seconds: f64) -> String {
    let seconds = if seconds > 0.0 { seconds as u64 } else { 0 };
    let units = SECONDS_OF.iter().copied().chain([(1, "s")]);
    let mut left = seconds;
    let mut parts = Vec::new();
    for (size, unit) in units {
        let count = left / size;
        left %= size;
        if count > 0 {
            parts.push(format!("{count} {unit}"));
        } else if !parts.is_empty() {
            break;
        }
    }
    parts.truncate(2);
    if parts.is_empty() { "0 s".to_string() } else { parts.join(" ") }
}

/// How long ago a moment was (Unix time in seconds). A clock that was set back makes it no time.
pub(crate) fn ago(at: f64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |now| now.as_secs_f64());
    format!("{} ago", span(now - at))
}

/// A duration as people measure those of requests: `0.12 ms`, `1.5 ms`, `120 ms`, `2.3 s`, `1 min 4 s`.
pub(crate) fn milliseconds(ms: f64) -> String {
    match ms {
        ..0.995 => format!("{ms:.2} ms"),
        ..9.95 => format!("{ms:.1} ms"),
        ..999.5 => format!("{ms:.0} ms"),
        ..9_950.0 => format!("{:.1} s", ms / 1000.0),
        ..59_500.0 => format!("{:.0} s", ms / 1000.0),
        _ => span(ms / 1000.0),
    }
}

/// Percentiles in one line: `p50 1.5 ms, p95 20 ms, p99 31 ms`; a dash where nothing was measured.
pub(crate) fn percentiles(durations: &facts::Durations) -> String {
    let (Some(half), Some(most), Some(nearly_all)) = (durations.p50_ms, durations.p95_ms, durations.p99_ms) else {
        return "-".to_string();
    };
    format!("p50 {}, p95 {}, p99 {}", milliseconds(half), milliseconds(most), milliseconds(nearly_all))
}

/// A size in five characters at most, by powers of 1024: `812K`, `34M`, `1.2G`.
pub(crate) fn size(bytes: u64) -> String {
    let mut value = bytes as f64 / 1024.0;
    for unit in ["K", "M", "G"] {
        if value < 999.5 {
            return if value < 9.95 && unit != "K" { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1}T")
}

/// A count in eight characters at most: from ten millions on by a power of a thousand.
pub(crate) fn count(count: u64) -> String {
    match count {
        0..10_000_000 => count.to_string(),
        10_000_000..10_000_000_000 => format!("{:.1}M", count as f64 / 1e6),
        _ => format!("{:.1}G", count as f64 / 1e9),
    }
}

/// How often something happens in a second: `0`, `0.4`, `12`, `3400`.
pub(crate) fn rate(per_second: f64) -> String {
    if per_second > 0.0 && per_second < 9.95 { format!("{per_second:.1}") } else { format!("{per_second:.0}") }
}

/// What was lost of each log: `3 lines of the access log were lost, the last 7 s ago: No space left on device`.
pub(crate) fn losses(logs: &Logs) -> impl Iterator<Item = String> {
    logs.each().into_iter().filter(|(_, _, loss)| loss.lost_lines > 0).map(|(_, log, loss)| {
        let were = if loss.lost_lines == 1 { "was" } else { "were" };
        let last = loss.last_at.map_or_else(String::new, |at| format!(", the last {}", ago(at)));
        let why = loss.last_error.as_ref().map_or_else(String::new, |why| format!(": {}", printable(why)));
        format!("{} of the {log} {were} lost{last}{why}", plural(loss.lost_lines, "line"))
    })
}

/// `1 worker`, `2 workers`.
pub(crate) fn plural(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_at_most() {
        for (seconds, want) in [
            (-5.0, "0 s"),
            (0.4, "0 s"),
            (45.0, "45 s"),
            (60.0, "1 min"),
            (200.0, "3 min 20 s"),
            (7_200.0, "2 h"),
            (7_205.0, "2 h"),
            (7_320.0, "2 h 2 min"),
            (86_400.0 * 3.0 + 4.0 * 3_600.0 + 59.0, "3 d 4 h"),
        ] {
            assert_eq!(span(seconds), want, "{seconds}");
        }
        assert_eq!(ago(f64::MAX), "0 s ago");
    }

    #[test]
    fn durations_have_two_digits_that_count() {
        for (ms, want) in [
            (0.0, "0.00 ms"),
            (0.123, "0.12 ms"),
            (0.999, "1.0 ms"),
            (1.46, "1.5 ms"),
            (9.97, "10 ms"),
            (120.3, "120 ms"),
            (999.9, "1.0 s"),
            (2_345.0, "2.3 s"),
            (31_000.0, "31 s"),
            (64_000.0, "1 min 4 s"),
        ] {
            assert_eq!(milliseconds(ms), want, "{ms}");
        }
    }

    #[test]
    fn sizes_counts_and_rates_fit_their_columns() {
        for (bytes, want) in [
            (0, "0K"),
            (900 << 10, "900K"),
            (1023 << 10, "1.0M"),
            (34 << 20, "34M"),
            (1_300 << 20, "1.3G"),
            (999 << 30, "999G"),
            (3 << 40, "3.0T"),
        ] {
            assert_eq!(size(bytes), want);
        }
        assert_eq!([9_999_999, 12_345_678, 98_765_432_100].map(count), ["9999999", "12.3M", "98.8G"]);
        assert!([u64::MAX / 1_000_000_000_000, 9_999_999_999].iter().all(|n| count(*n).len() <= 8));
        assert_eq!([0.0, 0.42, 9.96, 3_400.4].map(rate), ["0", "0.4", "10", "3400"]);
    }
}
