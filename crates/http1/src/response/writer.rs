//! The head of a response: fields in, bytes out, and the decision how the body is framed.

use alloc::vec::Vec;

use super::field::BadField;
use crate::request::Version;

/// What the request says about its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The version of the request.
    pub version: Version,
    /// The method is HEAD.
    pub head: bool,
    /// Client and server are both willing to go on with this connection.
    pub keep_alive: bool,
}

/// How the body is to be written (RFC 9112, section 6.3).
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

/// Writes the head of one final response. Call [`Writer::begin`], [`Writer::field`] for each field of the application
/// in order, then [`Writer::finish`].
///
/// The writer answers for `Date`, `Connection`, `Content-Length` and `Transfer-Encoding`: what the application says of
/// them is taken as a wish, and they are written once, consistent with each other and with the plan.
#[derive(Clone, Debug)]
pub struct Writer {
    asked: Asked,
}

impl Writer {
    /// Appends the status line and `Date`. `date` is an IMF-fixdate that the caller renders once a second; empty leaves
    /// the field out. See [`super::write_status_line`] for `status` and `reason`.
    pub fn begin(out: &mut Vec<u8>, asked: Asked, status: u16, reason: Option<&[u8]>, date: &[u8]) -> Self {
        let _ = (out, status, reason, date);
        Self { asked }
    }

    /// Appends one field of the application, or takes note of it. The value may have several lines as in Rack 2.
    ///
    /// # Errors
    /// The field must not get out; nothing is appended. Go on without it, or answer 500.
    pub fn field(&mut self, out: &mut Vec<u8>, name: &[u8], value: &[u8]) -> Result<(), BadField> {
        let _ = (out, name, value);
        Ok(())
    }

    /// Appends the fields that frame the body and the empty line. `known_length` is the size of the whole body if the
    /// caller knows it (an array, a file); it is used when the application said nothing.
    pub fn finish(self, out: &mut Vec<u8>, known_length: Option<u64>) -> Plan {
        let _ = (out, known_length);
        Plan { framing: BodyFraming::None, keep_alive: self.asked.keep_alive }
    }
}

/// Appends the empty line that ends an interim response (1xx), begun with [`super::write_status_line`] and
/// [`super::write_rack_field`].
pub fn finish_interim(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}
