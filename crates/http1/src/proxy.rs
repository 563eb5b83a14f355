//! The PROXY protocol, versions 1 and 2: the address of the client whose connection a proxy passed on.
//!
//! A header is the first thing on a connection, or nothing is: the same bytes later on, before a second request or in a
//! body, are no header (CVE-2026-47737). Source: the specification that comes with HAProxy, `proxy-protocol.txt`.
//!
//! ```text
//! v1   PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 CR LF              at most 107 bytes
//! v2   signature(12) version|command(1) family|transport(1) length(2) addresses(length) TLVs, as far as length goes
//! ```

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::reject::Reject;

/// The longest header of version 1, its line end included, as the specification has it.
pub const V1_BYTES: usize = 107;
/// The longest header of version 2. The specification asks for 536 bytes at least; TLVs with certificates are larger.
pub const V2_BYTES: usize = 4_096;

const V1_START: &[u8] = b"PROXY ";
const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED_BYTES: usize = 16;

/// Which versions a listener expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// Text only.
    V1,
    /// Binary only.
    V2,
    /// Either.
    Any,
}

impl Versions {
    /// Finds versions by their name in the configuration: `v1`, `v2`, `any`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "v1" => Some(Self::V1),
            "v2" => Some(Self::V2),
            "any" => Some(Self::Any),
            _ => None,
        }
    }
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How many bytes it has. What follows belongs to the connection.
    pub len: usize,
    /// The ends of the connection that the proxy accepted.
    pub ends: Ends,
}

/// The ends of a connection, as the proxy tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// The proxy speaks for itself (a health check), or does not know: the socket's own addresses count.
    Unknown,
    /// The client came by a UNIX socket. Its path is of no use.
    Unix,
    /// The client came by TCP.
    Tcp {
        /// The client's address.
        source: SocketAddr,
        /// The address that it connected to.
        destination: SocketAddr,
    },
}

/// Looks for a header at the start of `buf`, all that was received on a connection so far. `None`: read more.
///
/// # Errors
/// There is none, or not of these versions, or it is malformed or too long. Close the connection; no answer is due.
pub fn parse(buf: &[u8], versions: Versions) -> Result<Option<Header>, Reject> {
    match versions {
        Versions::V1 => v1(buf),
        Versions::V2 => v2(buf),
        // Their first bytes differ.
        Versions::Any if buf.first() == V2_START.first() => v2(buf),
        Versions::Any => v1(buf),
    }
}

/// Tells whether what is there of `start` is right.
fn begins(buf: &[u8], start: &[u8]) -> bool {
    let known = buf.len().min(start.len());
    buf[..known] == start[..known]
}

fn v1(buf: &[u8]) -> Result<Option<Header>, Reject> {
    if !begins(buf, V1_START) {
        return Err(Reject::bad("no PROXY header"));
    }
    let view = &buf[..buf.len().min(V1_BYTES)];
    let Some(end) = view.iter().position(|byte| *byte == b'\n') else {
        return if view.len() == V1_BYTES { Err(Reject::bad("PROXY header too long")) } else { Ok(None) };
    };
    let malformed = Reject::bad("malformed PROXY header");
    let line = view[V1_START.len()..end].strip_suffix(b"\r").ok_or(malformed)?;
    let ends = v1_ends(line).ok_or(malformed)?;
    Ok(Some(Header { len: end + 1, ends }))
}

/// Reads what is behind `PROXY ` in a line.
fn v1_ends(line: &[u8]) -> Option<Ends> {
    let text = core::str::from_utf8(line).ok().filter(|text| text.bytes().all(|byte| (b' '..=b'~').contains(&byte)))?;
    let mut words = text.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        // Whatever follows is to be ignored.
        return Some(Ends::Unknown);
    }
    let (source, destination) = (words.next()?, words.next()?);
    let (source, destination): (IpAddr, IpAddr) = match family {
        "TCP4" => (source.parse::<Ipv4Addr>().ok()?.into(), destination.parse::<Ipv4Addr>().ok()?.into()),
        "TCP6" => (source.parse::<Ipv6Addr>().ok()?.into(), destination.parse::<Ipv6Addr>().ok()?.into()),
        _ => return None,
    };
    let (source_port, destination_port) = (port(words.next()?)?, port(words.next()?)?);
    if words.next().is_some() {
        return None;
    }
    Some(Ends::Tcp {
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
    })
}

/// A port in decimal digits, without leading zeros.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

fn v2(buf: &[u8]) -> Result<Option<Header>, Reject> {
    if !begins(buf, V2_START) {
        return Err(Reject::bad("no PROXY header"));
    }
    let command = match buf.get(12) {
        None => return Ok(None),
        Some(byte @ (0x20 | 0x21)) => byte & 0xf,
        Some(_) => return Err(Reject::bad("unknown version or command of a PROXY header")),
    };
    let Some(&[family, high, low]) = buf.get(13..V2_FIXED_BYTES).and_then(|bytes| bytes.first_chunk()) else {
        return Ok(None);
    };
    let len = V2_FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if len > V2_BYTES {
        return Err(Reject::bad("PROXY header too long"));
    }
    let addresses = match family {
        0x00 => 0,
        0x11 => 12,
        0x21 => 36,
        0x31 => 216,
        // A proxy's own connection may be of any family.
        _ if command == 0 => 0,
        _ => return Err(Reject::bad("unknown family of a PROXY header")),
    };
    if len < V2_FIXED_BYTES + addresses {
        return Err(Reject::bad("PROXY header too short for its addresses"));
    }
    let Some(rest) = buf.get(V2_FIXED_BYTES..len) else { return Ok(None) };
    let ends = if command == 0 { Ends::Unknown } else { v2_ends(family, rest) };
    Ok(Some(Header { len, ends }))
}

/// Reads addresses, of which there are enough bytes.
fn v2_ends(family: u8, bytes: &[u8]) -> Ends {
    let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let v4 = |at: usize| bytes[at..].first_chunk::<4>().map_or(Ipv4Addr::UNSPECIFIED, |bytes| Ipv4Addr::from(*bytes));
    let v6 = |at: usize| bytes[at..].first_chunk::<16>().map_or(Ipv6Addr::UNSPECIFIED, |bytes| Ipv6Addr::from(*bytes));
    match family {
        0x11 => Ends::Tcp {
            source: SocketAddr::new(v4(0).into(), port(8)),
            destination: SocketAddr::new(v4(4).into(), port(10)),
        },
        0x21 => Ends::Tcp {
            source: SocketAddr::new(v6(0).into(), port(32)),
            destination: SocketAddr::new(v6(16).into(), port(34)),
        },
        0x31 => Ends::Unix,
        _ => Ends::Unknown,
    }
}
