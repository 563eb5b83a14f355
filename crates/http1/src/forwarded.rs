//! Whom to believe what is said of other connections: `X-Forwarded-For` and its like.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;

/// Addresses that share their first bits, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u32,
}

impl FromStr for Network {
    type Err = NoNetwork;

    /// Reads `192.0.2.0/24`, `2001:db8::/32` or an address alone.
    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let base: IpAddr = address.parse().map_err(|_| NoNetwork)?;
        let all = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(all), |bits| bits.parse().map_err(|_| NoNetwork))?;
        if bits <= all { Ok(Self { base, bits }) } else { Err(NoNetwork) }
    }
}

/// A text that names no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoNetwork;

impl Network {
    /// Tells whether an address is in it. An IPv4 address is the same in its IPv6 clothes (`::ffff:192.0.2.1`).
    pub fn contains(&self, address: IpAddr) -> bool {
        let shift = |all: u32| all - self.bits;
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                (u32::from(base) ^ u32::from(address)).checked_shr(shift(32)).unwrap_or(0) == 0
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                (u128::from(base) ^ u128::from(address)).checked_shr(shift(128)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// The proxies that are believed. A client on a UNIX socket always is: the file system says who may connect there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trusted(pub Vec<Network>);

impl Trusted {
    /// Tells whether a peer is a trusted proxy; `None` is one on a UNIX socket.
    pub fn includes(&self, peer: Option<IpAddr>) -> bool {
        peer.is_none_or(|peer| self.0.iter().any(|network| network.contains(peer)))
    }

    /// Finds the client behind `peer` in the values of its `X-Forwarded-For` fields, in their order: the last address
    /// that is not a trusted proxy's. Each proxy adds the address that it saw at the end, so that whatever is before the
    /// last untrusted one may be invented. `None`: the peer is the client.
    ///
    /// Something that is no address ends the search, and the proxy that reported it counts as the client.
    pub fn client<'v>(
        &self,
        peer: Option<IpAddr>,
        values: impl DoubleEndedIterator<Item = &'v [u8]>,
    ) -> Option<IpAddr> {
        if !self.includes(peer) {
            return None;
        }
        let mut found = None;
        for word in values.rev().flat_map(|value| value.rsplit(|byte| *byte == b',')) {
            let Some(address) = address(word.trim_ascii()) else { break };
            found = Some(address);
            if !self.includes(found) {
                break;
            }
        }
        found
    }
}

/// Reads an address, with a port or without.
fn address(word: &[u8]) -> Option<IpAddr> {
    let text = core::str::from_utf8(word).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// Tells whether a field is a proxy's to say: of the connection that it forwards, or of the files that it sends for Rack
/// (CVE-2025-61780). `_` counts as `-`, since both make the same key.
pub fn is_forwarding(name: &[u8]) -> bool {
    const PREFIX: &[u8] = b"x-forwarded-";
    const OTHERS: [&[u8]; 4] = [b"forwarded", b"x-real-ip", b"x-sendfile-type", b"x-accel-mapping"];
    let same = |name: &[u8], other: &[u8]| {
        name.len() == other.len()
            && name.iter().zip(other).all(|(a, b)| a.to_ascii_lowercase() == *b || (*a == b'_' && *b == b'-'))
    };
    name.get(..PREFIX.len()).is_some_and(|start| same(start, PREFIX)) || OTHERS.iter().any(|other| same(name, other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn networks(texts: &[&str]) -> Trusted {
        Trusted(texts.iter().map(|text| text.parse().expect("a network")).collect())
    }

    #[test]
    fn networks_are_read_and_know_their_addresses() {
        let cases = [
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
            ("::1", "::1", true),
        ];
        for (network, address, inside) in cases {
            let network: Network = network.parse().expect("a network");
            assert_eq!(network.contains(address.parse().expect("an address")), inside, "{address} in {network:?}");
        }
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "10.0.0.0/-1", "example.com", "unix"] {
            assert_eq!(text.parse::<Network>(), Err(NoNetwork), "{text}");
        }
    }

    #[test]
    fn the_client_is_the_last_address_that_no_trusted_proxy_has() {
        let trusted = networks(&["127.0.0.0/8", "10.0.0.0/8", "fd00::/8"]);
        let cases: &[(&str, &[&str], Option<&str>)] = &[
            ("127.0.0.1", &["192.0.2.1"], Some("192.0.2.1")),
            ("127.0.0.1", &["6.6.6.6, 192.0.2.1"], Some("192.0.2.1")),
            ("127.0.0.1", &["6.6.6.6, 192.0.2.1,10.0.0.3 , 10.0.0.2"], Some("192.0.2.1")),
            ("127.0.0.1", &["6.6.6.6", "192.0.2.1", "10.0.0.3"], Some("192.0.2.1")),
            ("127.0.0.1", &["192.0.2.1:4711"], Some("192.0.2.1")),
            ("127.0.0.1", &["[2001:db8::1]:4711"], Some("2001:db8::1")),
            ("127.0.0.1", &["[2001:db8::1]"], Some("2001:db8::1")),
            ("127.0.0.1", &["10.0.0.9"], Some("10.0.0.9")),
            ("127.0.0.1", &["192.0.2.1, unknown, 10.0.0.2"], Some("10.0.0.2")),
            ("127.0.0.1", &["unknown"], None),
            ("127.0.0.1", &[""], None),
            ("127.0.0.1", &[], None),
            ("192.0.2.9", &["1.2.3.4"], None),
            ("fd00::1", &["192.0.2.1"], Some("192.0.2.1")),
        ];
        for (peer, values, client) in cases {
            let found = trusted.client(Some(peer.parse().expect("an address")), values.iter().map(|v| v.as_bytes()));
            assert_eq!(found, client.map(|text| text.parse().expect("an address")), "{peer}: {values:?}");
        }
        let values = vec![b"192.0.2.1".as_slice()];
        assert_eq!(Trusted::default().client(None, values.into_iter()), "192.0.2.1".parse().ok());
    }

    #[test]
    fn fields_that_speak_of_other_connections_are_known_however_they_are_written() {
        for name in [
            "X-Forwarded-For",
            "x_forwarded-proto",
            "X-FORWARDED-ANYTHING",
            "Forwarded",
            "X-Real-IP",
            "X_Accel_Mapping",
        ] {
            assert!(is_forwarding(name.as_bytes()), "{name}");
        }
        for name in ["X-Forwarded", "X-Forward-For", "Forwarded-For", "Host", "X-Real-Ip-2"] {
            assert!(!is_forwarding(name.as_bytes()), "{name}");
        }
    }
}
