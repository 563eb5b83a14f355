//! When a proxy received a request: `X-Request-Start`, in the forms that proxies write it.
//!
//! nginx writes `t=` and seconds with milliseconds (`t=${msec}`), Apache `t=` and microseconds, Heroku's router
//! milliseconds, HAProxy what one tells it to. The number alone tells the unit: a moment of this century has 10 digits in
//! seconds, 13 in milliseconds, 16 in microseconds and 19 in nanoseconds.

/// Digits that a number of seconds since 1970 has: until November 2286.
const DIGITS_OF_SECONDS: usize = 10;
/// A request that was received longer ago is none: an hour.
const LONGEST_NS: u64 = 3_600_000_000_000;
/// Digits that count behind the whole seconds: nanoseconds.
const DIGITS_BEHIND: usize = 9;

/// The moment in ns since 1970; `None` when it is in no form that a proxy writes.
pub fn parse(value: &[u8]) -> Option<u64> {
    let value = value.trim_ascii();
    let number = value.strip_prefix(b"t=").unwrap_or(value);
    let point = number.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = match point {
        Some(point) => (&number[..point], &number[point + 1..]),
        None => (number, &[][..]),
    };
    let known = |behind| whole.len() == DIGITS_OF_SECONDS + behind;
    // Tenths of a millisecond are below what any of this is exact to: only seconds may have a fraction that counts.
    let behind = [0, 3, 6, 9].into_iter().find(|behind| known(*behind))?;
    let fraction_counts = if behind == 0 { fraction } else { &[] };
    let digits = whole.iter().chain(fraction_counts.iter().take(DIGITS_BEHIND));
    let missing = DIGITS_BEHIND - behind - fraction_counts.len().min(DIGITS_BEHIND);
    if !fraction.iter().all(u8::is_ascii_digit) || (point.is_some() && fraction.is_empty()) {
        return None;
    }
    digits.chain(core::iter::repeat_n(&b'0', missing)).try_fold(0_u64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// How long ago that was at `now_ns` since 1970. `None` when it is no moment, is still to come (by a clock that goes
/// before), or is longer ago than a request can wait.
pub fn age_ns(value: &[u8], now_ns: u64) -> Option<u64> {
    now_ns.checked_sub(parse(value)?).filter(|age| *age <= LONGEST_NS)
}

#[cfg(test)]
mod tests {
    use super::{age_ns, parse};

    #[test]
    fn a_moment_that_is_to_come_or_hours_ago_has_no_age() {
        const NOW: u64 = 1_512_379_167_574_000_000;
        for (text, age) in [
            ("t=1512379167.574", Some(0)),
            ("t=1512379167.324", Some(250_000_000)),
            ("t=1512375567.574", Some(3_600_000_000_000)),
            ("t=1512375567.573", None),
            ("t=1512379167.575", None),
            ("yesterday", None),
        ] {
            assert_eq!(age_ns(text.as_bytes(), NOW), age, "{text}");
        }
    }

    #[test]
    fn every_form_of_a_moment_is_the_same_moment() {
        let forms = [
            ("t=1512379167.574", 1_512_379_167_574_000_000),
            ("1512379167.574", 1_512_379_167_574_000_000),
            ("1512379167574", 1_512_379_167_574_000_000),
            ("t=1512379167574", 1_512_379_167_574_000_000),
            ("t=1512379167574123", 1_512_379_167_574_123_000),
            ("1512379167574123456", 1_512_379_167_574_123_456),
            ("1512379167", 1_512_379_167_000_000_000),
            ("1512379167.5741234567", 1_512_379_167_574_123_456),
            ("1512379167574.25", 1_512_379_167_574_000_000),
            (" t=1512379167.574\t", 1_512_379_167_574_000_000),
            ("9999999999", 9_999_999_999_000_000_000),
        ];
        for (text, ns) in forms {
            assert_eq!(parse(text.as_bytes()), Some(ns), "{text}");
        }
    }

    #[test]
    fn values_in_other_forms_are_no_moment() {
        let others = [
            "",
            "t=",
            "t=t=1512379167",
            "now",
            "-1512379167",
            "1512379167.",
            ".574",
            "151237916",
            "15123791675",
            "1512379167.57x",
            "1512379167,574",
            "0x1512379167",
            "15123791675741234567",
            "1512379167 574",
            "t=1.5e9",
        ];
        for text in others {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
