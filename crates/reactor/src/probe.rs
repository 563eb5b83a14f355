//! The client of a probe: it sends a request and judges what comes back, on a connection that only this process knows.
//!
//! It reads just enough of HTTP to tell whether a response is whole: what it reads was written by the worker itself.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// So much of a response is looked at: its head, and the first lines of its body.
const KEPT_BYTES: usize = 16 * 1024;
/// How many lines of a body are shown, and how long each may be.
const SHOWN_LINES: usize = 5;
const SHOWN_CHARS: usize = 200;
/// How a chunked body ends.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A whole response: its status, the status in words, and the first lines of its body.
    Response {
        /// The status.
        status: u16,
        /// As the first line says it: `500 Internal Server Error`.
        words: String,
        /// The first lines of the body.
        text: String,
    },
    /// The connection ended before the response was whole.
    Broken,
    /// There was no whole response in time.
    Late,
}

/// Sends a request that asks for the connection to be closed, and reads the response.
pub fn ask(mut stream: UnixStream, request: &[u8], patience: Duration) -> Answer {
    let deadline = Instant::now() + patience;
    let left = || Some(deadline.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero());
    if stream.set_write_timeout(Some(patience)).is_err() || stream.write_all(request).is_err() {
        return Answer::Broken;
    }
    let mut response = Response::default();
    let mut piece = [0; 16 * 1024];
    loop {
        let Some(left) = left() else { return Answer::Late };
        if stream.set_read_timeout(Some(left)).is_err() {
            return Answer::Broken;
        }
        match stream.read(&mut piece) {
            Ok(0) => return response.end(),
            Ok(count) => response.add(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Answer::Late,
            Err(_) => return response.end(),
        }
    }
}

/// What has been read.
#[derive(Debug, Default)]
struct Response {
    kept: Vec<u8>,
    total: usize,
    last: Vec<u8>,
}

impl Response {
    fn add(&mut self, bytes: &[u8]) {
        let room = KEPT_BYTES.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&bytes[..room.min(bytes.len())]);
        self.total += bytes.len();
        self.last.extend_from_slice(bytes);
        self.last.drain(..self.last.len().saturating_sub(LAST_CHUNK.len()));
    }

    /// The connection has ended.
    fn end(&self) -> Answer {
        let Some(head_bytes) = self.kept.windows(4).position(|bytes| bytes == b"\r\n\r\n").map(|at| at + 4) else {
            return Answer::Broken;
        };
        let head = String::from_utf8_lossy(&self.kept[..head_bytes]);
        let mut lines = head.lines();
        let words =
            lines.next().and_then(|line| line.split_once(' ')).map(|(_, words)| words.trim()).unwrap_or_default();
        let Some(status) = words.get(..3).and_then(|status| status.parse().ok()) else { return Answer::Broken };
        let field = |name: &str| {
            let fields = head.lines().filter_map(|line| line.split_once(':'));
            fields.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
        };
        let chunked = field("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        let length = field("content-length").and_then(|value| value.parse::<usize>().ok());
        let is_whole = match length {
            _ if chunked => self.last == LAST_CHUNK,
            Some(length) => self.total - head_bytes >= length,
            None => true,
        };
        if !is_whole {
            return Answer::Broken;
        }
        let mut body = &self.kept[head_bytes..];
        if chunked {
            body = first_chunk(body);
        }
        Answer::Response { status, words: words.to_owned(), text: shown(body) }
    }
}

/// The first chunk of a chunked body, as far as it was kept.
fn first_chunk(body: &[u8]) -> &[u8] {
    let Some(end) = body.windows(2).position(|bytes| bytes == b"\r\n") else { return &[] };
    let size = std::str::from_utf8(&body[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
    let chunk = &body[end + 2..];
    &chunk[..size.unwrap_or(0).min(chunk.len())]
}

/// The first lines of a body, as a log may show them.
fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).take(SHOWN_LINES);
    let cut = lines.map(|line| line.chars().take(SHOWN_CHARS).collect::<String>()).collect::<Vec<_>>();
    sys::text::printable_lines(&cut.join("\n")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] = b"GET /up HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

    fn answer(response: &[u8]) -> Answer {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(response).unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        let answer = ask(ours, REQUEST, Duration::from_secs(60));
        let mut request = Vec::new();
        theirs.read_to_end(&mut request).unwrap();
        assert_eq!(request, REQUEST);
        answer
    }

    fn response(status: u16, words: &str, text: &str) -> Answer {
        Answer::Response { status, words: words.into(), text: text.into() }
    }

    #[test]
    fn a_whole_response_is_told_with_the_first_lines_of_its_body() {
        let plain = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 11\r\n\r\nit\r\n\r\nfails";
        assert_eq!(answer(plain), response(500, "500 Internal Server Error", "it\nfails"));
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfine\r\n2\r\nly\r\n0\r\n\r\n";
        assert_eq!(answer(chunked), response(200, "200 OK", "fine"));
        assert_eq!(answer(b"HTTP/1.1 204 No Content\r\n\r\n"), response(204, "204 No Content", ""));
        let long = [&b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"[..], &[b'x'; 100_000]].concat();
        assert_eq!(answer(&long), response(200, "200 OK", &"x".repeat(SHOWN_CHARS)));
    }

    #[test]
    fn a_response_that_ends_early_is_broken() {
        for response in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfine",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n",
            b"HTTP/1.1 OK\r\n\r\n",
        ] {
            assert_eq!(answer(response), Answer::Broken);
        }
    }

    #[test]
    fn a_response_that_does_not_come_in_time_is_late() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"HTTP/1.1 200 OK\r\n\r\nendless").unwrap();
        assert_eq!(ask(ours, REQUEST, Duration::from_millis(10)), Answer::Late);
        drop(theirs);
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert_eq!(ask(ours, REQUEST, Duration::from_millis(10)), Answer::Broken);
    }
}
