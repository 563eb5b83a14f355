//! An entry as a JSON object on one line.

use alloc::vec::Vec;

use crate::entry::{Entry, Line};
use crate::escape;
use crate::redact::Redact;
use crate::text::{cut, ms, number, padded};

/// Appends it, without a line end. The keys are documented in docs/logs.md, and always the same and in this order, but for
/// `request`, which only a request has whose first line was not understood.
pub(crate) fn write(entry: &Entry<'_>, redact: &Redact, most: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(entry.time.utc.as_bytes());
    out.push(b'.');
    padded(out, entry.time.milliseconds);
    out.extend_from_slice(b"Z\",\"id\":\"");
    escape::json(out, entry.id);
    out.extend_from_slice(b"\",\"client\":\"");
    out.extend_from_slice(entry.client.as_bytes());
    out.push(b'"');
    write_line(entry.line, redact, most, out);
    string(out, b",\"host\":", entry.host.map(|host| cut(host, most)));
    out.extend_from_slice(b",\"status\":");
    match entry.status {
        0 => out.extend_from_slice(b"null"),
        status => number(out, status.into()),
    }
    out.extend_from_slice(b",\"ended\":\"");
    out.extend_from_slice(entry.ended.word().as_bytes());
    out.push(b'"');
    for (key, value) in [
        (&b",\"sent_bytes\":"[..], entry.bytes.sent),
        (b",\"body_bytes\":", entry.bytes.body),
        (b",\"received_bytes\":", entry.bytes.received),
    ] {
        out.extend_from_slice(key);
        number(out, value);
    }
    for (key, value) in [(&b",\"service_ms\":"[..], entry.service_ns), (b",\"queue_ms\":", entry.queue_ns)] {
        out.extend_from_slice(key);
        match value {
            Some(ns) => ms(out, ns),
            None => out.extend_from_slice(b"null"),
        }
    }
    for (key, value) in [
        (&b",\"worker\":"[..], entry.process.slot),
        (b",\"generation\":", entry.process.generation),
        (b",\"pid\":", entry.process.pid),
    ] {
        out.extend_from_slice(key);
        number(out, value.into());
    }
    out.extend_from_slice(b",\"referer\":");
    url(out, entry.referer.map(|referer| cut(referer, most)), redact);
    string(out, b",\"user_agent\":", entry.user_agent.map(|agent| cut(agent, most)));
    out.push(b'}');
}

fn write_line(line: Line<'_>, redact: &Redact, most: usize, out: &mut Vec<u8>) {
    match line {
        Line::Parsed { method, path, query, protocol, .. } => {
            string(out, b",\"method\":", Some(cut(method, most)));
            string(out, b",\"path\":", Some(cut(path, most)));
            out.extend_from_slice(b",\"query\":");
            match query {
                Some(query) => {
                    out.push(b'"');
                    redact.query(cut(query, most), |piece| escape::json(out, piece));
                    out.push(b'"');
                }
                None => out.extend_from_slice(b"null"),
            }
            string(out, b",\"protocol\":", Some(protocol.as_bytes()));
        }
        Line::Raw(bytes) => {
            out.extend_from_slice(b",\"request\":");
            url(out, Some(cut(bytes, most)), redact);
            out.extend_from_slice(b",\"method\":null,\"path\":null,\"query\":null,\"protocol\":null");
        }
    }
}

fn string(out: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) {
    out.extend_from_slice(key);
    match value {
        Some(bytes) => {
            out.push(b'"');
            escape::json(out, bytes);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}

fn url(out: &mut Vec<u8>, value: Option<&[u8]>, redact: &Redact) {
    match value {
        Some(bytes) => {
            out.push(b'"');
            redact.url(bytes, |piece| escape::json(out, piece));
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}
