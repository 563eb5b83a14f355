//! Status lines, reason phrases, and the complete responses that the server gives by itself.

use alloc::vec::Vec;

use super::field::append;
use crate::scan;

/// The interim response that invites a client to send the body it announced with `Expect: 100-continue`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Returns the reason phrase of a status (the IANA registry's as of RFC 9110); empty if it has none.
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        511 => "Network Authentication Required",
        _ => "",
    }
}

/// Appends `HTTP/1.1 status reason` CRLF, whatever the version of the request (RFC 9112, section 2.3).
///
/// `reason` `None` takes [`reason_phrase`]; one with a control byte in it is left out. A status outside of 100..=999
/// becomes 500.
pub fn write_status_line(out: &mut Vec<u8>, status: u16, reason: Option<&[u8]>) {
    if status == 200 && reason.is_none() {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    let status = if (100..=999).contains(&status) { status } else { 500 };
    let digit = |place: u16| b'0' + (status / place % 10) as u8;
    let reason = reason.unwrap_or(reason_phrase(status).as_bytes());
    let reason = if scan::value_end(reason, 0) == reason.len() { reason } else { b"" };
    out.extend_from_slice(b"HTTP/1.1 ");
    // The blank stays also when no reason follows: the grammar wants it.
    out.extend_from_slice(&[digit(100), digit(10), digit(1), b' ']);
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// Declares the complete error responses.
macro_rules! error_responses {
    ($($status:literal $line:literal,)* else $default:literal $default_line:literal) => {
        /// The statuses that [`error_response`] knows.
        pub const ERROR_STATUSES: &[u16] = &[$($status,)* $default];

        /// Returns a complete response, without content, that announces the close of the connection. An unknown status
        /// yields the response of 500.
        pub fn error_response(status: u16) -> &'static [u8] {
            match status {
                $($status => concat!("HTTP/1.1 ", $line, "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),)*
                _ => concat!("HTTP/1.1 ", $default_line, "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
            }
            .as_bytes()
        }
    };
}

error_responses! {
    400 "400 Bad Request",
    408 "408 Request Timeout",
    413 "413 Content Too Large",
    414 "414 URI Too Long",
    417 "417 Expectation Failed",
    431 "431 Request Header Fields Too Large",
    501 "501 Not Implemented",
    503 "503 Service Unavailable",
    505 "505 HTTP Version Not Supported",
    507 "507 Insufficient Storage",
    else 500 "500 Internal Server Error"
}

/// Appends the same with a `Date` field, which a server with a clock owes in a 4xx (RFC 9110, section 6.6.1). `date` is
/// an IMF-fixdate.
pub fn write_error(out: &mut Vec<u8>, status: u16, date: &[u8]) {
    let response = error_response(status);
    let line_end = scan::value_end(response, 0) + 2;
    let (line, rest) = response.split_at(line_end.min(response.len()));
    out.extend_from_slice(line);
    append(out, b"Date", date);
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::{format, vec};

    #[track_caller]
    fn check(status: u16, reason: Option<&[u8]>, expected: &str) {
        let mut out = vec![];
        write_status_line(&mut out, status, reason);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn status_lines_have_code_blank_and_reason() {
        check(200, None, "HTTP/1.1 200 OK\r\n");
        check(404, None, "HTTP/1.1 404 Not Found\r\n");
        check(299, None, "HTTP/1.1 299 \r\n");
        check(200, Some(b"Fine"), "HTTP/1.1 200 Fine\r\n");
        check(999, Some(b"a\r\nb: c"), "HTTP/1.1 999 \r\n");
        check(0, None, "HTTP/1.1 500 Internal Server Error\r\n");
        check(1000, None, "HTTP/1.1 500 Internal Server Error\r\n");
    }

    #[test]
    fn error_responses_are_complete_and_close() {
        for &status in ERROR_STATUSES {
            let (mut line, mut dated) = (vec![], vec![]);
            write_status_line(&mut line, status, None);
            let line = String::from_utf8_lossy(&line).into_owned();
            let rest = "Content-Length: 0\r\nConnection: close\r\n\r\n";
            assert_eq!(String::from_utf8_lossy(error_response(status)), format!("{line}{rest}"));
            write_error(&mut dated, status, b"D");
            assert_eq!(String::from_utf8_lossy(&dated), format!("{line}Date: D\r\n{rest}"));
        }
        assert_eq!(error_response(418), error_response(500));
    }
}
