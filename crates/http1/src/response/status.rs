//! Status lines, reason phrases, and the complete responses that the server gives by itself.

use alloc::vec::Vec;

/// The interim response that invites a client to send the body it announced with `Expect: 100-continue`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Returns the reason phrase of a status; empty if it has none.
pub fn reason_phrase(status: u16) -> &'static str {
    let _ = status;
    ""
}

/// Appends `HTTP/1.1 status reason` CRLF. `reason` `None` takes [`reason_phrase`]; control bytes in it are left out.
/// A status outside of 100..=999 is written as 500.
pub fn write_status_line(out: &mut Vec<u8>, status: u16, reason: Option<&[u8]>) {
    let _ = (out, status, reason);
}

/// Returns a complete response, without content, that announces the close of the connection. Statuses: 400, 408, 413,
/// 414, 417, 431, 500, 501, 503, 505; any other yields 500's.
pub fn error_response(status: u16) -> &'static [u8] {
    let _ = status;
    b""
}

/// Appends the same with a `Date` field.
pub fn write_error(out: &mut Vec<u8>, status: u16, date: &[u8]) {
    let _ = (out, status, date);
}
