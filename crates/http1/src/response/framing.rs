//! How the body of a response is framed (RFC 9112, section 6.3), decided in one place.

use super::field::BadField;
use crate::request::{Head, Method, Version};

/// What the request says about its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The version of the request.
    pub version: Version,
    /// The method is HEAD.
    pub head: bool,
    /// Client and server are both willing to go on with this connection.
    pub keep_alive: bool,
    /// The client would go on with another protocol.
    pub upgrade: bool,
}

impl Asked {
    /// Takes it from a request head. `willing`: the server, for its part, would go on with the connection.
    pub fn by(head: &Head, willing: bool) -> Self {
        let Head { version, known_method, keep_alive, upgrade, .. } = *head;
        Self { version, head: known_method == Method::Head, keep_alive: keep_alive && willing, upgrade }
    }

    /// Tells whether a response with this status has content, or bytes of another protocol, behind its head.
    pub fn gets_content(&self, status: u16) -> bool {
        status == 101 || !(self.head || matches!(status, 100..=199 | 204 | 205 | 304))
    }
}

/// How the body is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    /// Write nothing, whatever the application yields.
    None,
    /// Write exactly so many bytes: never more; if there are fewer, close the connection at the end.
    Length(u64),
    /// Write each non-empty piece as a chunk, and [`super::LAST_CHUNK`] only if the body ended without error.
    Chunked,
    /// Write the pieces as they are and close the connection at the end.
    UntilClose,
    /// The application does the chunking (Rack 2's `Rack::Chunked`): write its pieces as they are. Run them through a
    /// [`crate::chunked::Decoder`]; unless it is done exactly at the end, close the connection.
    Prechunked,
    /// The application does the chunking, but the client is of HTTP/1.0: write what a [`crate::chunked::Decoder`]
    /// finds in the pieces, and close the connection at the end.
    Unchunk,
}

/// What to do after the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How to write the body.
    pub framing: BodyFraming,
    /// The connection may serve another request if the body went out as planned.
    pub keep_alive: bool,
}

/// What the application says about the coding of the body that it yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TransferEncoding {
    /// Nothing, or `identity`.
    None,
    /// `chunked`.
    Chunked,
}

/// What is known of a response before its body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    asked: Asked,
    status: u16,
    pub(super) content_length: Option<u64>,
    pub(super) transfer_encoding: TransferEncoding,
    close: bool,
    pub(super) upgrade: bool,
}

/// The fields that follow from a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) content_length: Option<u64>,
    pub(super) chunked: bool,
    pub(super) connection: Option<&'static str>,
}

impl Facts {
    pub(super) fn new(asked: Asked, status: u16) -> Self {
        let transfer_encoding = TransferEncoding::None;
        Self { asked, status, content_length: None, transfer_encoding, close: false, upgrade: false }
    }

    pub(super) fn note_connection(&mut self, value: &[u8]) {
        for token in value.split(|byte| matches!(byte, b',' | b'\n')) {
            let token = token.trim_ascii();
            self.close |= token.eq_ignore_ascii_case(b"close");
            self.upgrade |= token.eq_ignore_ascii_case(b"upgrade");
        }
    }

    /// Takes a number, several times at most if it is the same one.
    pub(super) fn note_content_length(&mut self, value: &[u8]) -> Result<(), BadField> {
        let value = value.trim_ascii();
        let number = value.iter().try_fold(0_u64, |number, &byte| {
            let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
            number.checked_mul(10)?.checked_add(digit)
        });
        let number = number.filter(|_| !value.is_empty()).ok_or(BadField::ContentLength)?;
        if self.content_length.is_some_and(|earlier| earlier != number) {
            return Err(BadField::ContentLength);
        }
        self.content_length = Some(number);
        Ok(())
    }

    /// Any mention of `chunked` means that the application chunks, as in Unicorn. Other codings do not exist in practice
    /// and are not announced.
    pub(super) fn note_transfer_encoding(&mut self, value: &[u8]) {
        let mut codings = value.split(|byte| matches!(byte, b',' | b'\n')).map(<[u8]>::trim_ascii);
        if codings.any(|coding| coding.eq_ignore_ascii_case(b"chunked")) {
            self.transfer_encoding = TransferEncoding::Chunked;
        }
    }

    /// The table: the first row that fits decides.
    ///
    /// | case | framing |
    /// |---|---|
    /// | 101 | until close: the bytes are of another protocol |
    /// | HEAD, 1xx, 204, 304 | none |
    /// | 205 | none, `Content-Length: 0` |
    /// | the application chunks | as it is; undone for HTTP/1.0 |
    /// | a length is declared or known | that length |
    /// | HTTP/1.1 | chunked |
    /// | HTTP/1.0 | until close |
    pub(super) fn decide(&self, known_length: Option<u64>) -> (Plan, Lines) {
        let http11 = self.asked.version == Version::Http11;
        let declared = self.content_length;
        let (framing, content_length) = match self.status {
            101 => (BodyFraming::UntilClose, None),
            100..=199 | 204 => (BodyFraming::None, None),
            205 => (BodyFraming::None, Some(0)),
            // These may say how long the content would be; a length that only we know might be that of an empty stand-in.
            304 => (BodyFraming::None, declared),
            _ if self.asked.head => (BodyFraming::None, declared),
            _ if self.transfer_encoding == TransferEncoding::Chunked => {
                (if http11 { BodyFraming::Prechunked } else { BodyFraming::Unchunk }, None)
            }
            _ => match (declared.or(known_length), http11) {
                (Some(length), _) => (BodyFraming::Length(length), Some(length)),
                (None, true) => (BodyFraming::Chunked, None),
                (None, false) => (BodyFraming::UntilClose, None),
            },
        };
        let until_close = matches!(framing, BodyFraming::UntilClose | BodyFraming::Unchunk);
        let keep_alive = self.asked.keep_alive && !self.close && !until_close;
        let connection = match () {
            () if self.status == 101 && self.upgrade => Some("upgrade"),
            () if !keep_alive => Some("close"),
            () if !http11 => Some("keep-alive"),
            () => None,
        };
        let chunked = matches!(framing, BodyFraming::Chunked | BodyFraming::Prechunked);
        (Plan { framing, keep_alive }, Lines { content_length, chunked, connection })
    }
}
