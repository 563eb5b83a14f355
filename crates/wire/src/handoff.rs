//! A connection on its way from one worker to another.
//!
//! Workers of different generations, and of the two masters of an upgrade, take from one queue. So nothing of the
//! parser's state crosses, only bytes as they were received: the other side parses them again, by its own limits.
//!
//! ```text
//! version  u8     HANDOFF_VERSION
//! kind     u8     1 = a connection
//! served   u8     1 = it has had a response
//! peer     u8     0 = UNIX socket; 4 or 6 = an address of 4 or 16 bytes follows
//! proxy    u8     0 = nothing; 1 = its ends follow, each: 4 or 6, address, port u16;
//!                 2, 3, 4 = its header is still to come, of version 1, 2 or either
//! row      u32    requests in a row that were there before the response to the one before was out
//! body     u8     0 = none apart; 1 = was in memory; 2 = was in a file; after 1 and 2 its length, u64
//! unsent   u8     0 = no response is begun; 1, 2, 3 = one is, and then the connection is kept, closed, or ended and
//!                 closed; after 1 to 3: parts u8, each: offset u64, length u64
//! received u8     0 = inline: length u32, bytes; 1 = in a descriptor: length u32
//! ```
//!
//! Attached: the connection, then the descriptor with the received bytes if they are not inline, then the body's, then one
//! for each part of the response.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::codec::{DecodeError, Reader, Writer};

/// The version byte of the queue. A worker never meets another: two masters share a queue only if theirs is the same, and
/// a program takes the place of another only if [`crate::VERSION`] is, which grows with this one.
pub const HANDOFF_VERSION: u8 = 1;
/// The most received bytes that travel in the message itself.
pub const INLINE_BYTES: usize = 32 * 1024;

const CONNECTION: u8 = 1;

/// A connection that another worker is to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handoff<'a> {
    /// Whether it has had a response.
    pub served: bool,
    /// The client's address; `None` on a UNIX socket.
    pub peer: Option<IpAddr>,
    /// What is known of a proxy in between.
    pub proxy: Proxy,
    /// How many requests in a row were there before the response to the one before was out.
    pub pipelined: u32,
    /// The body of the request that is complete, if it is kept apart from what was received. What was received then has
    /// no body between the head and the next request.
    pub body: Option<BodyApart>,
    /// What the client has not taken yet of a response. Then there is no body.
    pub unsent: Option<Unsent>,
    /// What was received and not served: nothing, a part of a head, or requests.
    pub received: Bytes<'a>,
}

/// A proxy that announces whose connection it passes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// There is none, or it has said nothing.
    Silent,
    /// The ends of the connection that it accepted: the client's address, and where the client connected to.
    Said {
        /// The client's address.
        source: SocketAddr,
        /// The address that it connected to.
        destination: SocketAddr,
    },
    /// Its header is expected: version 1 or 2, or either (`None`).
    Awaited(Option<u8>),
}

/// A body in a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyApart {
    /// Whether it was in a file; otherwise it was in memory.
    pub in_file: bool,
    /// How many bytes it has.
    pub length: u64,
}

/// The rest of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsent {
    /// What becomes of the connection behind it.
    pub then: Then,
    /// Where its bytes lie, in order, a descriptor each.
    pub parts: Vec<Part>,
}

/// Some bytes of what a descriptor stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where they begin.
    pub offset: u64,
    /// How many they are.
    pub length: u64,
}

/// What becomes of a connection behind a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It waits for the next request.
    KeepAlive,
    /// It is closed.
    Close,
    /// It is closed, and that tells the client where the response ends.
    End,
}

/// Bytes in the message or beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bytes<'a> {
    /// In the message, at most [`INLINE_BYTES`].
    Inline(&'a [u8]),
    /// So many, in a descriptor.
    Descriptor(u32),
}

impl<'a> Handoff<'a> {
    /// Encodes it as one datagram.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(HANDOFF_VERSION, CONNECTION);
        w.u8(u8::from(self.served));
        match self.peer {
            None => w.u8(0),
            Some(ip) => address(&mut w, ip),
        }
        match self.proxy {
            Proxy::Silent => w.u8(0),
            Proxy::Said { source, destination } => {
                w.u8(1);
                socket_address(&mut w, source);
                socket_address(&mut w, destination);
            }
            Proxy::Awaited(Some(1)) => w.u8(2),
            Proxy::Awaited(Some(_)) => w.u8(3),
            Proxy::Awaited(None) => w.u8(4),
        }
        w.u32(self.pipelined);
        match self.body {
            None => w.u8(0),
            Some(body) => {
                w.u8(if body.in_file { 2 } else { 1 });
                w.bytes(&body.length.to_le_bytes());
            }
        }
        match &self.unsent {
            None => w.u8(0),
            Some(Unsent { then, parts }) => {
                w.u8(match then {
                    Then::KeepAlive => 1,
                    Then::Close => 2,
                    Then::End => 3,
                });
                w.u8(u8::try_from(parts.len()).unwrap_or(u8::MAX));
                for part in parts {
                    w.bytes(&part.offset.to_le_bytes());
                    w.bytes(&part.length.to_le_bytes());
                }
            }
        }
        match self.received {
            Bytes::Inline(bytes) => {
                w.u8(0);
                w.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                w.bytes(bytes);
            }
            Bytes::Descriptor(length) => {
                w.u8(1);
                w.u32(length);
            }
        }
        w.finish()
    }

    /// Decodes one datagram.
    ///
    /// # Errors
    /// Another version, an unknown kind, a field that is cut short or out of range, bytes left over.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        match r.u8()? {
            HANDOFF_VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        match r.u8()? {
            CONNECTION => {}
            other => return Err(DecodeError::Kind(other)),
        }
        let served = r.flag()?;
        let peer = match r.u8()? {
            0 => None,
            family => Some(read_address(&mut r, family)?),
        };
        let proxy = match r.u8()? {
            0 => Proxy::Silent,
            1 => Proxy::Said { source: read_socket_address(&mut r)?, destination: read_socket_address(&mut r)? },
            2 => Proxy::Awaited(Some(1)),
            3 => Proxy::Awaited(Some(2)),
            4 => Proxy::Awaited(None),
            other => return Err(DecodeError::Value(other)),
        };
        let pipelined = r.u32()?;
        let body = match r.u8()? {
            0 => None,
            kind @ (1 | 2) => Some(BodyApart { in_file: kind == 2, length: u64::from_le_bytes(r.array()?) }),
            other => return Err(DecodeError::Value(other)),
        };
        let unsent = match r.u8()? {
            0 => None,
            1 => Some(read_unsent(&mut r, Then::KeepAlive)?),
            2 => Some(read_unsent(&mut r, Then::Close)?),
            3 => Some(read_unsent(&mut r, Then::End)?),
            other => return Err(DecodeError::Value(other)),
        };
        let received = match r.u8()? {
            0 => {
                let length = r.u32()? as usize;
                Bytes::Inline(r.take(length)?)
            }
            1 => Bytes::Descriptor(r.u32()?),
            other => return Err(DecodeError::Value(other)),
        };
        r.end()?;
        Ok(Self { served, peer, proxy, pipelined, body, unsent, received })
    }

    /// How many descriptors belong to it.
    pub fn descriptors(&self) -> usize {
        let parts = self.unsent.as_ref().map_or(0, |unsent| unsent.parts.len());
        1 + usize::from(matches!(self.received, Bytes::Descriptor(_))) + usize::from(self.body.is_some()) + parts
    }
}

fn read_unsent(r: &mut Reader<'_>, then: Then) -> Result<Unsent, DecodeError> {
    let mut parts = Vec::new();
    for _ in 0..r.u8()? {
        parts.push(Part { offset: u64::from_le_bytes(r.array()?), length: u64::from_le_bytes(r.array()?) });
    }
    Ok(Unsent { then, parts })
}

fn address(w: &mut Writer, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            w.u8(4);
            w.bytes(&ip.octets());
        }
        IpAddr::V6(ip) => {
            w.u8(6);
            w.bytes(&ip.octets());
        }
    }
}

fn read_address(r: &mut Reader<'_>, family: u8) -> Result<IpAddr, DecodeError> {
    match family {
        4 => Ok(IpAddr::from(r.array::<4>()?)),
        6 => Ok(IpAddr::from(r.array::<16>()?)),
        other => Err(DecodeError::Value(other)),
    }
}

fn socket_address(w: &mut Writer, end: SocketAddr) {
    address(w, end.ip());
    w.bytes(&end.port().to_le_bytes());
}

fn read_socket_address(r: &mut Reader<'_>) -> Result<SocketAddr, DecodeError> {
    let family = r.u8()?;
    let ip = read_address(r, family)?;
    Ok(SocketAddr::new(ip, u16::from_le_bytes(r.array()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use core::net::{Ipv4Addr, Ipv6Addr};
    use proptest::prelude::*;

    const IDLE: Handoff<'_> = Handoff {
        served: true,
        peer: None,
        proxy: Proxy::Silent,
        pipelined: 0,
        body: None,
        unsent: None,
        received: Bytes::Inline(b""),
    };

    #[test]
    fn golden_bytes_of_version_1() {
        assert_eq!(IDLE.encode(), [1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let ready = Handoff {
            served: false,
            peer: Some(Ipv4Addr::new(192, 0, 2, 7).into()),
            proxy: Proxy::Said { source: "[::2]:3".parse().unwrap(), destination: "1.2.3.4:515".parse().unwrap() },
            pipelined: 5,
            body: Some(BodyApart { in_file: true, length: 258 }),
            unsent: None,
            received: Bytes::Inline(b"GET"),
        };
        let mut bytes = vec![1, 1, 0, 4, 192, 0, 2, 7, 1, 6];
        bytes.extend([0; 15]);
        bytes.extend([2, 3, 0, 4, 1, 2, 3, 4, 3, 2, 5, 0, 0, 0]);
        bytes.extend([2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, b'G', b'E', b'T']);
        assert_eq!(ready.encode(), bytes);
        let large = Handoff {
            peer: Some(Ipv6Addr::LOCALHOST.into()),
            proxy: Proxy::Awaited(Some(2)),
            body: Some(BodyApart { in_file: false, length: 1 }),
            received: Bytes::Descriptor(40_000),
            ..IDLE
        };
        let mut bytes = vec![1, 1, 1, 6];
        bytes.extend([0; 15]);
        bytes.extend([1, 3, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x40, 0x9c, 0, 0]);
        assert_eq!(large.encode(), bytes);
        assert_eq!((IDLE.descriptors(), ready.descriptors(), large.descriptors()), (1, 2, 3));
        let parts = vec![Part { offset: 2, length: 258 }, Part { offset: 0, length: 1 }];
        let slow = Handoff { unsent: Some(Unsent { then: Then::End, parts }), ..IDLE };
        let mut bytes = vec![1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 3, 2];
        bytes.extend([2, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0]);
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([0; 5]);
        assert_eq!((slow.encode(), slow.descriptors()), (bytes, 3));
    }

    #[test]
    fn another_version_kind_or_value_is_named_in_the_error() {
        assert_eq!(Handoff::decode(&[2, 1]), Err(DecodeError::Version(2)));
        assert_eq!(Handoff::decode(&[1, 2]), Err(DecodeError::Kind(2)));
        assert_eq!(Handoff::decode(&[1, 1, 2]), Err(DecodeError::Value(2)));
        assert_eq!(Handoff::decode(&[1, 1, 0, 5]), Err(DecodeError::Value(5)));
        assert_eq!(Handoff::decode(&[1, 1, 0, 0, 5]), Err(DecodeError::Value(5)));
        assert_eq!(Handoff::decode(&[1, 1, 0, 0, 1, 5]), Err(DecodeError::Value(5)));
        assert_eq!(Handoff::decode(&[1, 1, 0, 0, 0, 0, 0, 0, 0, 3]), Err(DecodeError::Value(3)));
        assert_eq!(Handoff::decode(&[1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 4]), Err(DecodeError::Value(4)));
        assert_eq!(Handoff::decode(&[1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]), Err(DecodeError::Value(2)));
    }

    proptest! {
        #[test]
        fn a_connection_is_decoded_as_it_was_sent_and_nothing_shorter_or_longer_is(
            served: bool,
            peer: Option<IpAddr>,
            said: Option<(IpAddr, u16, IpAddr, u16)>,
            awaited in proptest::option::of(proptest::option::of(1_u8..3)),
            pipelined: u32,
            body in proptest::option::of((any::<bool>(), any::<u64>())),
            unsent in proptest::option::of((0_usize..3, proptest::collection::vec(any::<(u64, u64)>(), 0..4))),
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            apart in proptest::option::of(any::<u32>()),
        ) {
            let received = apart.map_or(Bytes::Inline(&bytes), Bytes::Descriptor);
            let body = body.map(|(in_file, length)| BodyApart { in_file, length });
            let said = said.map(|(source, port, destination, to)| Proxy::Said {
                source: SocketAddr::new(source, port),
                destination: SocketAddr::new(destination, to),
            });
            let proxy = said.or(awaited.map(Proxy::Awaited)).unwrap_or(Proxy::Silent);
            let unsent = unsent.map(|(then, parts)| Unsent {
                then: [Then::KeepAlive, Then::Close, Then::End][then],
                parts: parts.into_iter().map(|(offset, length)| Part { offset, length }).collect(),
            });
            let handoff = Handoff { served, peer, proxy, pipelined, body, unsent, received };
            let mut encoded = handoff.encode();
            prop_assert_eq!(Handoff::decode(&encoded), Ok(handoff.clone()));
            for end in 0..encoded.len() {
                prop_assert!(Handoff::decode(&encoded[..end]).is_err());
            }
            encoded.push(0);
            prop_assert_eq!(Handoff::decode(&encoded), Err(DecodeError::Trailing(1)));
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Handoff::decode(&bytes);
        }
    }
}
