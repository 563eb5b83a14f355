//! The head of a final response: the application's fields in, bytes out, and how the body is to be written.

use alloc::vec::Vec;

use super::field::{BadField, append, check_lines, write_rack_field};
use super::framing::{Asked, Facts, Plan, TransferEncoding};
use super::status::write_status_line;

/// Writes the head of one final response. Call [`Writer::begin`], [`Writer::field`] for each field of the application
/// in order, then [`Writer::finish`] or [`Writer::finish_hijacked`].
///
/// The writer answers for `Date`, `Connection`, `Content-Length` and `Transfer-Encoding`: what the application says of
/// them is taken as a wish, and they are written once, consistent with each other and with the plan.
#[derive(Clone, Debug)]
pub struct Writer {
    facts: Facts,
}

impl Writer {
    /// Appends the status line and `Date`. `date` is an IMF-fixdate that the caller renders once a second; empty leaves
    /// the field out. See [`super::write_status_line`] for `status` and `reason`.
    pub fn begin(out: &mut Vec<u8>, asked: Asked, status: u16, reason: Option<&[u8]>, date: &[u8]) -> Self {
        write_status_line(out, status, reason);
        if !date.is_empty() {
            append(out, b"Date", date);
        }
        Self { facts: Facts::new(asked, status) }
    }

    /// Appends the protocol that the connection goes on with. The status is 101, and the client has offered it.
    ///
    /// # Errors
    /// As [`Writer::field`].
    pub fn upgrade(&mut self, out: &mut Vec<u8>, protocol: &[u8]) -> Result<(), BadField> {
        write_rack_field(out, b"Upgrade", protocol)?;
        self.facts.upgrade = true;
        Ok(())
    }

    /// Appends one field of the application, or takes note of it. The value may have several lines as in Rack 2.
    ///
    /// # Errors
    /// The field must not get out; nothing is appended. Go on without it, or answer 500.
    #[inline]
    pub fn field(&mut self, out: &mut Vec<u8>, name: &[u8], value: &[u8]) -> Result<(), BadField> {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"date") => Ok(()),
            10 if name.eq_ignore_ascii_case(b"connection") => {
                self.facts.note_connection(value);
                Ok(())
            }
            // Its parameters belong to a connection that is not the application's.
            10 if name.eq_ignore_ascii_case(b"keep-alive") => Ok(()),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.facts.note_content_length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                check_lines(value)?;
                self.facts.note_transfer_encoding(value);
                Ok(())
            }
            _ => write_rack_field(out, name, value),
        }
    }

    /// Appends the fields that frame the body and the empty line. `known_length` is the size of the whole body if the
    /// caller knows it (an array, a file); it is used when the application said nothing.
    pub fn finish(self, out: &mut Vec<u8>, known_length: Option<u64>) -> Plan {
        let (plan, lines) = self.facts.decide(known_length);
        if let Some(length) = lines.content_length {
            append(out, b"Content-Length", itoa::Buffer::new().format(length).as_bytes());
        }
        if lines.chunked {
            append(out, b"Transfer-Encoding", b"chunked");
        }
        if let Some(connection) = lines.connection {
            append(out, b"Connection", connection.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        plan
    }

    /// Appends what a partly hijacked response needs: the application writes everything behind the head itself, so its
    /// `Content-Length` and `Transfer-Encoding` are passed on as they were understood. The connection is not used again.
    pub fn finish_hijacked(self, out: &mut Vec<u8>) {
        let facts = self.facts;
        if let Some(length) = facts.content_length {
            append(out, b"Content-Length", itoa::Buffer::new().format(length).as_bytes());
        }
        if facts.transfer_encoding == TransferEncoding::Chunked {
            append(out, b"Transfer-Encoding", b"chunked");
        }
        append(out, b"Connection", if facts.upgrade { b"upgrade" } else { b"close" });
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends the empty line that ends an interim response (1xx), begun with [`super::write_status_line`] and
/// [`super::write_rack_field`].
pub fn finish_interim(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}
