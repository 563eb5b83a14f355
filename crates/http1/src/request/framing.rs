//! What the fields say together: how the body is framed, which host the request is for, and whether the connection persists.

use super::head::{Field, Framing, Head, Version};
use super::host::is_valid_host;
use super::names::KnownName;
use crate::limits::Limits;
use crate::reject::Reject;

/// What was noted of the fields while they were read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    /// The known names that occurred, one bit each.
    seen: u64,
    /// A filter of the other names that occurred: equal names set equal bits.
    pub(super) seen_others: u64,
    /// Some name had an underscore, so that even a known name may make the key of another field.
    pub(super) underscores: bool,
    content_length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    upgrade: bool,
    expect: Expect,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expect {
    #[default]
    Nothing,
    Continue,
    Unknown,
}

const _: () = assert!(KnownName::ALL.len() <= 64, "Facts::seen has a bit for each known name");

impl Facts {
    pub(super) fn has(&self, name: KnownName) -> bool {
        self.seen & (1 << name as u8) != 0
    }

    /// Takes note of a field that has a known name and is about to become the last one of `head`.
    ///
    /// # Errors
    /// The field is malformed, or there may be only one of its kind.
    #[inline]
    pub(super) fn note(&mut self, view: &[u8], field: &Field, head: &mut Head) -> Result<(), Reject> {
        let value = field.value.of(view);
        let twice = self.has(field.known);
        self.seen |= 1 << field.known as u8;
        match field.known {
            KnownName::Host if twice => return Err(Reject::bad("two Host fields")),
            // Empty where the client's own target names no host (RFC 9112, section 3.2).
            KnownName::Host if !value.is_empty() && !is_valid_host(value) => return Err(Reject::bad("invalid Host")),
            KnownName::Host => head.host = Some(head.fields.len()),
            // Equal values too: a proxy before us may have believed in another reading than ours.
            KnownName::ContentLength if twice => return Err(Reject::bad("two Content-Length fields")),
            KnownName::ContentLength => self.content_length = Some(length(value)?),
            KnownName::TransferEncoding if twice => return Err(Reject::bad("two Transfer-Encoding fields")),
            KnownName::TransferEncoding => {
                transfer_coding(value)?;
                self.chunked = true;
            }
            KnownName::ContentType if twice => return Err(Reject::bad("two Content-Type fields")),
            KnownName::Connection => self.note_connection(value),
            KnownName::Expect if self.expect == Expect::Nothing && value.eq_ignore_ascii_case(b"100-continue") => {
                self.expect = Expect::Continue;
            }
            KnownName::Expect => self.expect = Expect::Unknown,
            _ => {}
        }
        Ok(())
    }

    #[inline]
    fn note_connection(&mut self, value: &[u8]) {
        if value.eq_ignore_ascii_case(b"keep-alive") {
            self.keep_alive = true;
        } else {
            self.note_connection_list(value);
        }
    }

    fn note_connection_list(&mut self, value: &[u8]) {
        for token in value.split(|&byte| byte == b',') {
            let token = token.trim_ascii();
            self.close |= token.eq_ignore_ascii_case(b"close");
            self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade |= token.eq_ignore_ascii_case(b"upgrade");
        }
    }

    /// Decides, when all fields were read.
    ///
    /// # Errors
    /// 400 for what contradicts itself, 413 for a declared length over the limit, 417 for an unknown expectation.
    pub(super) fn decide(&self, limits: &Limits, head: &mut Head) -> Result<(), Reject> {
        let http11 = head.version == Version::Http11;
        if http11 && head.host.is_none() {
            return Err(Reject::bad("no Host"));
        }
        head.framing = match (self.chunked, self.content_length) {
            // RFC 9112, section 6.1: the sender may be attempting to smuggle, or the message was mangled on its way.
            (true, Some(_)) => return Err(Reject::bad("both Transfer-Encoding and Content-Length")),
            (true, None) if !http11 => return Err(Reject::bad("Transfer-Encoding in HTTP/1.0")),
            (true, None) => Framing::Chunked,
            (false, Some(length)) if limits.body.is_some_and(|limit| length > limit) => {
                return Err(Reject::new(413, "declared content too long"));
            }
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::None,
        };
        if http11 && self.expect == Expect::Unknown {
            return Err(Reject::new(417, "unknown expectation"));
        }
        let has_body = !matches!(head.framing, Framing::None | Framing::Length(0));
        head.expect_continue = http11 && has_body && self.expect == Expect::Continue;
        head.keep_alive = !self.close && (http11 || self.keep_alive);
        head.upgrade = http11 && self.upgrade && self.has(KnownName::Upgrade);
        Ok(())
    }
}

/// Reads a `Content-Length`: digits only, at most 2^63 - 1 (what a file can hold; Unicorn's limit too).
fn length(value: &[u8]) -> Result<u64, Reject> {
    const BAD: Reject = Reject::bad("malformed Content-Length");
    if value.is_empty() {
        return Err(BAD);
    }
    let number = value.iter().try_fold(0_i64, |number, &byte| {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    });
    number.map(i64::unsigned_abs).ok_or(BAD)
}

/// Accepts `chunked` alone: proxies disagree on everything else.
fn transfer_coding(value: &[u8]) -> Result<(), Reject> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let mut codings = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let last = codings.next_back().unwrap_or_default();
    if last.is_empty() || codings.any(is_chunked) {
        return Err(Reject::bad("malformed Transfer-Encoding"));
    }
    Err(Reject::new(501, "unknown transfer coding"))
}
