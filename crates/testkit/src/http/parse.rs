//! The incremental parser of one HTTP/1 response (RFC 9112).

/// How the end of a response's content was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// There is none: HEAD, 204, 304.
    NoContent,
    /// `Content-Length`.
    Length,
    /// Chunked coding.
    Chunked,
    /// The end of the connection.
    Close,
}

/// These bytes are no HTTP/1 response, because of this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// A whole response.
#[derive(Clone, Debug)]
pub struct Response {
    /// For example 200.
    pub status: u16,
    /// For example `OK`.
    pub reason: String,
    /// The minor version: 0 or 1.
    pub minor: u8,
    /// The field lines, in order, as they were written.
    pub fields: Vec<(String, String)>,
    /// The content, decoded.
    pub body: Vec<u8>,
    /// Status and field lines of the 1xx responses that came before.
    pub interim: Vec<(u16, Vec<(String, String)>)>,
    /// How its end was known.
    pub ending: Ending,
    /// Whether the server promised to keep the connection.
    pub keep_alive: bool,
    /// The trailer section's field lines.
    pub trailers: Vec<(String, String)>,
}

impl Response {
    /// The value of the first field of this name (in any case).
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// The values of all fields of this name, in order.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&str> {
        let wanted = |pair: &&(String, String)| pair.0.eq_ignore_ascii_case(name);
        self.fields.iter().filter(wanted).map(|(_, value)| value.as_str()).collect()
    }

    /// The content as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Content(usize),
    UntilClose,
    ChunkSize,
    ChunkContent(usize),
    ChunkEnd,
    Trailers,
    Complete,
}

/// Takes bytes as they come, until one response is complete.
#[derive(Debug)]
pub struct Parser {
    head_request: bool,
    state: State,
    line: Vec<u8>,
    lines: Vec<String>,
    response: Response,
}

impl Parser {
    /// A parser for the response to a request of this method.
    #[must_use]
    pub fn new(method: &str) -> Parser {
        let response = Response {
            status: 0,
            reason: String::new(),
            minor: 1,
            fields: Vec::new(),
            body: Vec::new(),
            interim: Vec::new(),
            ending: Ending::NoContent,
            keep_alive: true,
            trailers: Vec::new(),
        };
        Parser { head_request: method == "HEAD", state: State::Head, line: Vec::new(), lines: Vec::new(), response }
    }

    /// Whether the response is complete.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// The connection has ended. Returns whether that completes the response.
    pub fn end(&mut self) -> bool {
        if self.state == State::UntilClose {
            self.state = State::Complete;
        }
        self.is_complete()
    }

    /// The response; call it when [`Parser::is_complete`].
    #[must_use]
    pub fn into_response(self) -> Response {
        self.response
    }

    /// Takes bytes, and returns how many at the end of `bytes` belong to what follows the response.
    ///
    /// # Errors
    /// The bytes are no HTTP/1 response.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut rest = bytes;
        while !rest.is_empty() && self.state != State::Complete {
            match self.state {
                State::Content(left) => {
                    let left = left - self.take(&mut rest, left);
                    self.state = if left == 0 { State::Complete } else { State::Content(left) };
                }
                State::UntilClose => {
                    self.take(&mut rest, usize::MAX);
                }
                State::ChunkContent(left) => {
                    let left = left - self.take(&mut rest, left);
                    self.state = if left == 0 { State::ChunkEnd } else { State::ChunkContent(left) };
                }
                State::Head | State::ChunkSize | State::ChunkEnd | State::Trailers => {
                    if let Some(line) = self.take_line(&mut rest)? {
                        self.handle_line(line)?;
                    }
                }
                State::Complete => {}
            }
        }
        Ok(rest.len())
    }

    fn take(&mut self, rest: &mut &[u8], limit: usize) -> usize {
        let (content, after) = rest.split_at(rest.len().min(limit));
        self.response.body.extend_from_slice(content);
        *rest = after;
        content.len()
    }

    fn take_line(&mut self, rest: &mut &[u8]) -> Result<Option<String>, Malformed> {
        let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
            self.line.extend_from_slice(rest);
            *rest = &[];
            // Bytes that do not begin a response never become one: fail now, and not at the deadline.
            let begun = &self.line[..self.line.len().min(7)];
            let wrong = self.state == State::Head && self.lines.is_empty() && !b"HTTP/1.".starts_with(begun);
            return if wrong { Err(Malformed("status line")) } else { Ok(None) };
        };
        self.line.extend_from_slice(&rest[..end]);
        *rest = &rest[end + 1..];
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r").ok_or(Malformed("line without CR"))?;
        Ok(Some(String::from_utf8_lossy(line).into_owned()))
    }

    fn handle_line(&mut self, line: String) -> Result<(), Malformed> {
        match self.state {
            State::Head if !line.is_empty() => self.lines.push(line),
            State::Head => {
                let lines = std::mem::take(&mut self.lines);
                self.handle_head(&lines)?;
            }
            State::ChunkSize => {
                let size = line.split(';').next().unwrap_or("");
                let size = usize::from_str_radix(size, 16).map_err(|_| Malformed("chunk size"))?;
                self.state = if size == 0 { State::Trailers } else { State::ChunkContent(size) };
            }
            State::ChunkEnd if line.is_empty() => self.state = State::ChunkSize,
            State::ChunkEnd => return Err(Malformed("chunk end")),
            State::Trailers if line.is_empty() => self.state = State::Complete,
            State::Trailers => self.response.trailers.push(field(&line)?),
            State::Content(_) | State::UntilClose | State::ChunkContent(_) | State::Complete => {}
        }
        Ok(())
    }

    fn handle_head(&mut self, lines: &[String]) -> Result<(), Malformed> {
        let (status_line, fields) = lines.split_first().ok_or(Malformed("status line"))?;
        let rest = status_line.strip_prefix("HTTP/1.").ok_or(Malformed("status line"))?;
        let mut words = rest.splitn(3, ' ');
        let minor: u8 = words.next().and_then(|word| word.parse().ok()).ok_or(Malformed("version"))?;
        let status: u16 = words.next().and_then(|word| word.parse().ok()).ok_or(Malformed("status code"))?;
        let fields = fields.iter().map(|line| field(line)).collect::<Result<Vec<_>, _>>()?;
        if (100..200).contains(&status) {
            self.response.interim.push((status, fields));
            return Ok(());
        }
        self.response.status = status;
        self.response.minor = minor;
        self.response.reason = words.next().unwrap_or("").to_owned();
        self.response.fields = fields;
        self.frame()
    }

    fn frame(&mut self) -> Result<(), Malformed> {
        let connection = self.response.all("Connection").join(",").to_ascii_lowercase();
        let asks = |option: &str| connection.split(',').any(|word| word.trim() == option);
        let keep = if self.response.minor == 0 { asks("keep-alive") } else { !asks("close") };
        let coding = self.response.all("Transfer-Encoding").join(",").to_ascii_lowercase();
        let (ending, state) = if self.head_request || matches!(self.response.status, 204 | 304) {
            (Ending::NoContent, State::Complete)
        } else if coding.contains("chunked") {
            (Ending::Chunked, State::ChunkSize)
        } else if let Some(length) = self.response.field("Content-Length") {
            let length = length.parse().map_err(|_| Malformed("content length"))?;
            (Ending::Length, if length == 0 { State::Complete } else { State::Content(length) })
        } else {
            (Ending::Close, State::UntilClose)
        };
        self.response.keep_alive = keep && ending != Ending::Close;
        self.response.ending = ending;
        self.state = state;
        Ok(())
    }
}

fn field(line: &str) -> Result<(String, String), Malformed> {
    let (name, value) = line.split_once(':').ok_or(Malformed("field line"))?;
    if name.is_empty() || name.contains(' ') {
        return Err(Malformed("field name"));
    }
    Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each case whole, byte by byte, and with bytes of a next response behind it.
    #[track_caller]
    fn check(method: &str, bytes: &str, status: u16, body: &str, ending: Ending, keep_alive: bool) {
        let judge = |mut parser: Parser| {
            assert!(parser.is_complete() || parser.end());
            let response = parser.into_response();
            assert_eq!((response.status, &*response.text()), (status, body));
            assert_eq!((response.ending, response.keep_alive), (ending, keep_alive));
        };
        let mut whole = Parser::new(method);
        assert_eq!(whole.feed(bytes.as_bytes()), Ok(0));
        judge(whole);
        let mut dripped = Parser::new(method);
        for byte in bytes.as_bytes() {
            assert_eq!(dripped.feed(&[*byte]), Ok(0));
        }
        judge(dripped);
        if ending != Ending::Close {
            let mut followed = Parser::new(method);
            assert_eq!(followed.feed(format!("{bytes}HTTP/1.1 ").as_bytes()), Ok(9));
            judge(followed);
        }
    }

    #[test]
    fn each_framing_ends_where_it_should() {
        check("GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi", Ending::Length, true);
        check("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", Ending::Length, true);
        check("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", 200, "", Ending::NoContent, true);
        check("GET", "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", 204, "", Ending::NoContent, false);
        check("GET", "HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, "until the end", Ending::Close, false);
        check("GET", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x", Ending::Length, false);
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3;a=b\r\n yo\r\n0\r\nT: v\r\n\r\n";
        check("GET", chunked, 200, "hi yo", Ending::Chunked, true);
        let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
        check("GET", interim, 200, "x", Ending::Length, true);
    }

    #[test]
    fn bytes_that_are_no_response_are_refused_at_once() {
        for bytes in ["SSH-2.0", "HTTP/2", "HTTP/1.1 two\r\n\r\n", "HTTP/1.1 200 OK\nA: b\n\n", "\r\n\r\n"] {
            assert!(Parser::new("GET").feed(bytes.as_bytes()).is_err(), "{bytes:?}");
        }
        let size = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
        assert_eq!(Parser::new("GET").feed(size.as_bytes()), Err(Malformed("chunk size")));
    }
}
