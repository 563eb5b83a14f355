//! The PROXY protocol by a plain reference: everything at once, with the tools of the standard library.

use std::net::{IpAddr, SocketAddr};

use http1::proxy::{Ends, Header, V1_BYTES, V2_BYTES, Versions, parse};

/// Our parser accepts exactly what the reference accepts and means the same, however much follows; before the end of a
/// header it asks for more.
pub fn check(bytes: &[u8]) {
    for versions in [Versions::V1, Versions::V2, Versions::Any] {
        let ours = parse(bytes, versions).map_err(|_| ());
        if let Some(header) = naive(bytes, versions) {
            assert_eq!(ours, Ok(Some(header)));
            for end in [0, 1, header.len / 2, header.len - 1] {
                assert_eq!(parse(&bytes[..end], versions), Ok(None));
            }
            assert_eq!(parse(&bytes[..header.len], versions), Ok(Some(header)));
        } else {
            assert!(!matches!(ours, Ok(Some(_))), "{ours:?}");
            if bytes.len() >= V2_BYTES {
                assert_eq!(ours, Err(()), "a header may not be that long");
            }
        }
    }
}

fn naive(bytes: &[u8], versions: Versions) -> Option<Header> {
    let v1 = || {
        let end = bytes.iter().take(V1_BYTES).position(|byte| *byte == b'\n')?;
        let line = std::str::from_utf8(&bytes[..end]).ok()?.strip_suffix('\r')?;
        if line.chars().any(|c| !(' '..='~').contains(&c)) {
            return None;
        }
        let ends = match line.split(' ').collect::<Vec<_>>()[..] {
            ["PROXY", "UNKNOWN", ..] => Ends::Unknown,
            ["PROXY", family, source, destination, source_port, destination_port] => {
                let address = |text: &str| match family {
                    "TCP4" => text.parse().ok().map(IpAddr::V4),
                    "TCP6" => text.parse().ok().map(IpAddr::V6),
                    _ => None,
                };
                let port = |text: &str| text.parse::<u16>().ok().filter(|port| port.to_string() == text);
                Ends::Tcp {
                    source: SocketAddr::new(address(source)?, port(source_port)?),
                    destination: SocketAddr::new(address(destination)?, port(destination_port)?),
                }
            }
            _ => return None,
        };
        Some(Header { len: end + 1, ends })
    };
    let v2 = || {
        let rest = bytes.strip_prefix(b"\r\n\r\n\0\r\nQUIT\n")?;
        let (&[command, family, high, low], rest) = rest.split_first_chunk()?;
        let length = usize::from(high) << 8 | usize::from(low);
        let payload = rest.get(..length).filter(|_| length + 16 <= V2_BYTES)?;
        let ip = |range: std::ops::Range<usize>| -> Option<IpAddr> {
            let bytes = payload.get(range)?;
            <[u8; 4]>::try_from(bytes).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
        };
        let port = |at: usize| Some(u16::from_be_bytes(payload.get(at..at + 2)?.try_into().ok()?));
        let ends = match (command, family) {
            (0x20 | 0x21, 0x11) => Ends::Tcp {
                source: SocketAddr::new(ip(0..4)?, port(8)?),
                destination: SocketAddr::new(ip(4..8)?, port(10)?),
            },
            (0x20 | 0x21, 0x21) => Ends::Tcp {
                source: SocketAddr::new(ip(0..16)?, port(32)?),
                destination: SocketAddr::new(ip(16..32)?, port(34)?),
            },
            (0x20 | 0x21, 0x31) => payload.get(215).map(|_| Ends::Unix)?,
            (0x20 | 0x21, 0x00) | (0x20, _) => Ends::Unknown,
            _ => return None,
        };
        Some(Header { len: 16 + length, ends: if command == 0x20 { Ends::Unknown } else { ends } })
    };
    match versions {
        Versions::V1 => v1(),
        Versions::V2 => v2(),
        Versions::Any => v1().or_else(v2),
    }
}
