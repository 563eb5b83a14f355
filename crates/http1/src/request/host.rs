//! Whether a `Host` value, or the authority of a target, may name a host (RFC 3986, section 3.2).

use crate::scan::{NOT_REG_NAME, class};

/// Tells whether `value` is `host` or `host:port` with a host that is not empty.
///
/// User information (`@`), paths and blanks make it invalid: each has been used to smuggle a second host past a check of
/// the first (CVE-2026-34835 of Rack). The port may be empty.
pub(super) fn is_valid_host(value: &[u8]) -> bool {
    // One look at each byte decides the usual case.
    let end = value.iter().position(|&byte| class(byte) & NOT_REG_NAME != 0).unwrap_or(value.len());
    match &value[end..] {
        [] => end > 0,
        [b':', port @ ..] => end > 0 && is_port(port),
        _ => is_unusual_host(value),
    }
}

/// The same for hosts in brackets or with percent-encoding.
#[cold]
fn is_unusual_host(value: &[u8]) -> bool {
    let (host_ok, rest) = if let Some(inner) = value.strip_prefix(b"[") {
        let end = inner.iter().position(|&byte| byte == b']');
        let Some((address, rest)) = end.map(|end| (&inner[..end], &inner[end + 1..])) else { return false };
        (is_address(address), rest)
    } else {
        let end = value.iter().position(|&byte| byte == b':').unwrap_or(value.len());
        (is_reg_name(&value[..end]), &value[end..])
    };
    host_ok && (rest.is_empty() || rest.strip_prefix(b":").is_some_and(is_port))
}

/// An IPv6 address by its characters: whether its groups make sense does not matter here.
fn is_address(address: &[u8]) -> bool {
    address.contains(&b':') && address.iter().all(|&byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
}

fn is_reg_name(name: &[u8]) -> bool {
    let mut rest = name;
    while let [byte, tail @ ..] = rest {
        rest = match (byte, tail) {
            (b'%', [high, low, tail @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => tail,
            _ if class(*byte) & NOT_REG_NAME == 0 => tail,
            _ => return false,
        };
    }
    !name.is_empty()
}

fn is_port(port: &[u8]) -> bool {
    let number = port.iter().try_fold(0_u32, |number, &byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    });
    number.is_some_and(|number| number <= 65_535)
}

#[cfg(test)]
mod tests {
    use super::is_valid_host;

    #[test]
    fn hosts_with_and_without_port_are_valid() {
        for host in
            ["a", "a.example", "a_b", "xn--a-b.", "127.0.0.1:80", "[::1]", "[::ffff:1.2.3.4]:8080", "a:", "%41:1"]
        {
            assert!(is_valid_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn anything_else_is_not() {
        let bad = [
            "",
            ":80",
            "a b",
            "a/b",
            "a@b",
            "u:p@b",
            "a:b",
            "a:80:80",
            "a:+1",
            "a:65536",
            "a:99999999999999",
            "[]",
            "[::1",
            "::1",
            "[g::]",
            "[1]",
            "[::1]a",
            "[::1]]",
            "a?",
            "a#",
            "a\\b",
            "a\"",
            "<a>",
            "%4",
            "%zz",
            "ä",
            "a\tb",
        ];
        for host in bad {
            assert!(!is_valid_host(host.as_bytes()), "{host}");
        }
    }
}
