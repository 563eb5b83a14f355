//! The PROXY protocol: every case fed whole, byte by byte, and with trailing bytes.
#![allow(clippy::unwrap_used, unreachable_pub)]

use http1::proxy::{Ends, Header, V1_BYTES, V2_BYTES, Versions, parse};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

#[path = "support/announced.rs"]
mod announced;

/// What must become of some bytes.
enum Want {
    /// A header: its ends, and how many bytes it has.
    Header(Ends),
    /// It is refused.
    Refused,
    /// More bytes are needed.
    More,
}

use Want::{Header as Is, More, Refused};

fn tcp(source: &str, destination: &str) -> Want {
    Is(Ends::Tcp { source: source.parse().unwrap(), destination: destination.parse().unwrap() })
}

/// A header of version 2.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([0x20 | command, family]);
    bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    bytes.extend(rest);
    bytes
}

#[track_caller]
fn check(bytes: &[u8], versions: Versions, want: &Want) {
    let shown = bytes.escape_ascii().to_string();
    let whole = parse(bytes, versions);
    match want {
        Is(ends) => {
            let header = Header { len: bytes.len(), ends: *ends };
            assert_eq!(whole, Ok(Some(header)), "{shown}");
            for end in 0..bytes.len() {
                assert_eq!(parse(&bytes[..end], versions), Ok(None), "the first {end} bytes of {shown}");
            }
            for trailing in [&b"\r\n"[..], b"GET / HTTP/1.1\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n", &[0; 5_000]] {
                assert_eq!(parse(&[bytes, trailing].concat(), versions), Ok(Some(header)), "{shown} and more");
            }
        }
        Refused => {
            assert!(whole.is_err(), "{shown}: {whole:?}");
            // Once it is refused nothing that follows changes that, and nothing before was taken for a header.
            let first = (0..=bytes.len()).find(|end| parse(&bytes[..*end], versions).is_err()).unwrap();
            for end in 0..first {
                assert_eq!(parse(&bytes[..end], versions), Ok(None), "the first {end} bytes of {shown}");
            }
            assert!(parse(&[bytes, b"\r\n\r\n"].concat(), versions).is_err(), "{shown} and more");
        }
        More => assert_eq!(whole, Ok(None), "{shown}"),
    }
}

#[test]
fn headers_of_version_1_are_read_or_refused() {
    let six = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let longest = format!("PROXY UNKNOWN {six} {six} 65535 65535\r\n");
    assert_eq!(longest.len(), V1_BYTES);
    let too_long = format!("PROXY UNKNOWN {six} {six} 65535 655355\r\n");
    let cases: &[(&str, Want)] = &[
        ("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", tcp("192.0.2.1:56324", "198.51.100.2:443")),
        ("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n", tcp("255.255.255.255:65535", "0.0.0.0:0")),
        ("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", tcp("[2001:db8::1]:1", "[::1]:2")),
        ("PROXY UNKNOWN\r\n", Is(Ends::Unknown)),
        ("PROXY UNKNOWN whatever this is\r\n", Is(Ends::Unknown)),
        (&longest, Is(Ends::Unknown)),
        (&too_long, Refused),
        ("", More),
        ("PRO", More),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r", More),
        ("GET / HTTP/1.1\r\n", Refused),
        ("proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n", Refused),
        ("\nPROXY UNKNOWN\r\n", Refused),
        ("PROXY UNKNOWN\n", Refused),
        ("PROXY UNKNOWN\r\r\n", Refused),
        ("PROXY \r\n", Refused),
        ("PROXY TCP5 192.0.2.1 198.51.100.2 1 2\r\n", Refused),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n", Refused),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n", Refused),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n", Refused),
        ("PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n", Refused),
        ("PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n", Refused),
        ("PROXY TCP4 192.0.2.256 198.51.100.2 1 2\r\n", Refused),
        ("PROXY TCP4 ::1 ::1 1 2\r\n", Refused),
        ("PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n", Refused),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n", Refused),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n", Refused),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n", Refused),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 1 \r\n", Refused),
        ("PROXY TCP4 192.0.2.1\t198.51.100.2 1 2\r\n", Refused),
    ];
    for (text, want) in cases {
        check(text.as_bytes(), Versions::V1, want);
        check(text.as_bytes(), Versions::Any, want);
        if !text.is_empty() {
            check(text.as_bytes(), Versions::V2, &Refused);
        }
    }
    check(&[b"PROXY ".as_slice(), &[b'A'; 10_000]].concat(), Versions::Any, &Refused);
}

#[test]
fn headers_of_version_2_are_read_or_refused() {
    let four = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x01, 0xbb];
    let mut six = [0_u8; 36];
    (six[15], six[31], six[33], six[35]) = (1, 2, 3, 4);
    let tlv = [0x04, 0x00, 0x03, 1, 2, 3];
    let cases = [
        (v2(1, 0x11, &four), tcp("192.0.2.1:56324", "198.51.100.2:443")),
        (v2(1, 0x21, &six), tcp("[::1]:3", "[::2]:4")),
        (v2(1, 0x11, &[&four[..], &tlv].concat()), tcp("192.0.2.1:56324", "198.51.100.2:443")),
        (v2(1, 0x31, &[b'/'; 216]), Is(Ends::Unix)),
        (v2(1, 0x00, b""), Is(Ends::Unknown)),
        (v2(1, 0x00, &tlv), Is(Ends::Unknown)),
        (v2(0, 0x00, b""), Is(Ends::Unknown)),
        (v2(0, 0x11, &four), Is(Ends::Unknown)),
        (v2(0, 0x77, b""), Is(Ends::Unknown)),
        (v2(1, 0x11, &vec![1; V2_BYTES - 16]), tcp("1.1.1.1:257", "1.1.1.1:257")),
        (v2(1, 0x11, &vec![1; V2_BYTES - 15]), Refused),
        (v2(1, 0x11, &four[..11]), Refused),
        (v2(1, 0x21, &six[..35]), Refused),
        (v2(1, 0x31, &[0; 215]), Refused),
        (v2(1, 0x12, &four), Refused),
        (v2(1, 0x41, &four), Refused),
        (v2(1, 0x10, &four), Refused),
        (v2(2, 0x11, &four), Refused),
        (v2(1, 0x11, &four)[..20].to_vec(), More),
        (b"\r\n\r\nGET / HTTP/1.1\r\n".to_vec(), Refused),
        (b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\x0c".to_vec(), Refused),
    ];
    for (bytes, want) in &cases {
        check(bytes, Versions::V2, want);
        check(bytes, Versions::Any, want);
        check(bytes, Versions::V1, &Refused);
    }
}

proptest! {
    /// Pieces of headers in any order, cut anywhere: the parser means what a plain reference says.
    #[test]
    fn headers_mean_what_a_plain_reference_says(pieces in vec(piece(), 0..12), cut in 0..200_usize) {
        let bytes = pieces.concat();
        announced::check(&bytes);
        announced::check(&bytes[..cut.min(bytes.len())]);
    }
}

/// Something that a header may hold, rightly or not.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        select(vec![
            &b"PROXY "[..],
            b"TCP4",
            b"TCP6",
            b"UNKNOWN",
            b" ",
            b"\r\n",
            b"192.0.2.1",
            b"::1",
            b"65535",
            b"0",
            b"\r\n\r\n\0\r\nQUIT\n",
            b"\x21\x11\0\x0c",
            b"\x20\x21\0\x24",
            b"\x21\x31\0\xd8",
            b"\x21\0\0\0",
        ])
        .prop_map(<[u8]>::to_vec),
        vec(any::<u8>(), 0..40),
    ]
}
