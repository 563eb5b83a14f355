//! For whom a connection speaks, and whether its word counts: one decision, for env and for logs.

use http1::forwarded::Trusted;
use http1::request::{Head, KnownName};

use crate::conn::Peer;

/// Tells whether what a peer says of others is believed. Where the configuration names no proxies every peer is, as in
/// Unicorn.
pub fn is_believed(peer: Peer, proxies: Option<&Trusted>) -> bool {
    proxies.is_none_or(|proxies| proxies.includes(peer.ip()))
}

/// Finds out whose request it is: the peer's, or that of the client for whom a trusted proxy says that it speaks.
pub fn client(head: &Head, buffer: &[u8], peer: Peer, proxies: Option<&Trusted>) -> Peer {
    let Some(proxies) = proxies else { return peer };
    let fields = head.fields.iter().filter(|field| field.known == KnownName::XForwardedFor);
    let client = proxies.client(peer.ip(), fields.map(|field| field.value.of(buffer)));
    client.map_or(peer, Peer::Ip)
}
