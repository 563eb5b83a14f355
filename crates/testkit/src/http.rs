//! A small HTTP/1.1 client that hides nothing: bytes in, responses out, one connection at a time.
//!
//! It is not `http1` turned around, on purpose: a mistake in our parser must not be repeated in what judges it.

mod parse;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use parse::{Ending, Malformed, Parser, Response};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP address.
    Tcp(SocketAddr),
    /// The path of a UNIX socket.
    Unix(PathBuf),
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Endpoint::Tcp(address) => address.fmt(f),
            Endpoint::Unix(path) => path.display().fmt(f),
        }
    }
}

/// A request in the making; `bytes` renders it.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// A request without content.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Request {
        Request { method: method.into(), target: target.into(), fields: Vec::new(), body: Vec::new() }
    }

    /// A GET request.
    #[must_use]
    pub fn get(target: &str) -> Request {
        Request::new("GET", target)
    }

    /// A POST request with its content.
    #[must_use]
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Request {
        Request::new("POST", target).content("application/octet-stream", body)
    }

    /// Gives it content of this media type.
    #[must_use]
    pub fn content(self, media_type: &str, body: impl Into<Vec<u8>>) -> Request {
        let body = body.into();
        let length = body.len().to_string();
        Request { body, ..self }.field("Content-Length", &length).field("Content-Type", media_type)
    }

    /// A POST request of a form (application/x-www-form-urlencoded), as a browser sends it.
    #[must_use]
    pub fn form(target: &str, values: &[(&str, &str)]) -> Request {
        let pairs: Vec<String> =
            values.iter().map(|(name, value)| format!("{}={}", form_encoded(name), form_encoded(value))).collect();
        Request::new("POST", target).content("application/x-www-form-urlencoded", pairs.join("&"))
    }

    /// A POST request of a form with one file in it (RFC 7578), as a browser sends it.
    #[must_use]
    pub fn upload(target: &str, name: &str, content: &[u8]) -> Request {
        let boundary = "----testkit-boundary-7f3a";
        let mut body = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}.bin\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        )
        .into_bytes();
        body.extend_from_slice(content);
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        Request::new("POST", target).content(&format!("multipart/form-data; boundary={boundary}"), body)
    }

    /// Adds a field line.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Request {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Asks for the connection to be closed after the response.
    #[must_use]
    pub fn close(self) -> Request {
        self.field("Connection", "close")
    }

    /// The bytes to send.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: example.com\r\n", self.method, self.target);
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// Everything but letters and digits as `%` and two hexadecimal digits.
fn form_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// Why no whole response came.
#[derive(Debug)]
pub enum Broken {
    /// Connecting failed.
    Refused(std::io::Error),
    /// The connection ended before a byte of the response, or was reset.
    Reset,
    /// It ended inside the response.
    Short,
    /// These bytes are no HTTP/1 response.
    Malformed(Malformed),
    /// The deadline passed.
    Timeout,
    /// Another error of the socket.
    Other(std::io::Error),
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// One connection to a server.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    unread: Vec<u8>,
}

impl Connection {
    /// Connects, with the patience of the tests.
    #[must_use]
    #[track_caller]
    pub fn open(endpoint: &Endpoint) -> Connection {
        match Connection::connect(endpoint, crate::patience()) {
            Ok(connection) => connection,
            Err(error) => panic!("failed to connect to {endpoint}: {error:?}"),
        }
    }

    /// Connects.
    ///
    /// # Errors
    /// `Refused`, `Timeout` or `Other`.
    pub fn connect(endpoint: &Endpoint, patience: Duration) -> Result<Connection, Broken> {
        let stream = match endpoint {
            Endpoint::Tcp(address) => TcpStream::connect_timeout(address, patience).and_then(|stream| {
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }),
            Endpoint::Unix(path) => UnixStream::connect(path).map(Stream::Unix),
        };
        match stream {
            Ok(stream) => Ok(Connection { stream, unread: Vec::new() }),
            Err(error) => Err(match error.kind() {
                ErrorKind::ConnectionRefused | ErrorKind::NotFound | ErrorKind::WouldBlock => Broken::Refused(error),
                ErrorKind::ConnectionReset => Broken::Reset,
                ErrorKind::TimedOut => Broken::Timeout,
                _ => Broken::Other(error),
            }),
        }
    }

    /// Sends these bytes.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes.as_ref(), Instant::now() + crate::patience()).expect("the server reads");
    }

    /// Sends these bytes. An early answer of the server (413, 503) that closes the connection is no error here: the
    /// response tells.
    ///
    /// # Errors
    /// `Timeout` or `Other`.
    pub fn try_send(&mut self, bytes: &[u8], deadline: Instant) -> Result<(), Broken> {
        let left = left(deadline).ok_or(Broken::Timeout)?;
        let written = match &mut self.stream {
            Stream::Tcp(stream) => stream.set_write_timeout(Some(left)).and_then(|()| stream.write_all(bytes)),
            Stream::Unix(stream) => stream.set_write_timeout(Some(left)).and_then(|()| stream.write_all(bytes)),
        };
        match written {
            Ok(()) => Ok(()),
            Err(error) => match error.kind() {
                ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Ok(()),
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Err(Broken::Timeout),
                _ => Err(Broken::Other(error)),
            },
        }
    }

    /// Sends byte after byte, one `every` so often, until the server says something or closes. Returns how many it took.
    #[track_caller]
    pub fn drip(&mut self, bytes: &[u8], every: Duration) -> usize {
        for (sent, byte) in bytes.iter().enumerate() {
            self.send([*byte]);
            if crate::process::readable(self.as_fd(), Instant::now() + every) {
                return sent;
            }
        }
        bytes.len()
    }

    /// Reads at most `most` bytes and pauses. Returns how many it were; 0 when the server has closed or reset.
    #[track_caller]
    pub fn take_some(&mut self, most: usize, pause: Duration) -> usize {
        let mut buffer = vec![0; most];
        let count = self.read(&mut buffer, Instant::now() + crate::patience()).unwrap_or(0);
        // Nothing can become readable in an empty pipe: a pause that needs no sleep.
        let (nothing, _writer) = crate::process::pipe();
        crate::process::readable(nothing.as_fd(), Instant::now() + pause);
        count
    }

    /// The port of this end; 0 on a UNIX socket.
    #[must_use]
    pub fn local_port(&self) -> u16 {
        match &self.stream {
            Stream::Tcp(stream) => stream.local_addr().map_or(0, |address| address.port()),
            Stream::Unix(_) => 0,
        }
    }

    /// Says that nothing more will be sent. See shutdown(2), `SHUT_WR`.
    pub fn finish_sending(&self) {
        let _ = match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    /// Sends a request and waits for its response.
    #[track_caller]
    pub fn request(&mut self, request: &Request) -> Response {
        self.send(request.bytes());
        self.receive_for(&request.method)
    }

    /// Waits for the response to a request whose response has content (any but HEAD).
    #[track_caller]
    pub fn receive(&mut self) -> Response {
        self.receive_for("GET")
    }

    /// Waits for the response to a request of this method.
    #[track_caller]
    pub fn receive_for(&mut self, method: &str) -> Response {
        let received = self.try_receive(method, Instant::now() + crate::patience());
        received.unwrap_or_else(|error| {
            panic!("no whole response: {error:?}, after {:?}", String::from_utf8_lossy(&self.unread))
        })
    }

    /// Waits for the response to a request of this method.
    ///
    /// # Errors
    /// What [`Broken`] lists, but for `Refused`.
    pub fn try_receive(&mut self, method: &str, deadline: Instant) -> Result<Response, Broken> {
        let mut parser = Parser::new(method);
        let mut buffer = [0; 65536];
        let mut started = false;
        loop {
            let unread = std::mem::take(&mut self.unread);
            started |= !unread.is_empty();
            let rest = parser.feed(&unread).map_err(Broken::Malformed)?;
            self.unread = unread[unread.len() - rest..].to_vec();
            if parser.is_complete() {
                return Ok(parser.into_response());
            }
            let count = match self.read(&mut buffer, deadline) {
                Ok(0) if parser.end() => return Ok(parser.into_response()),
                Ok(0) if started => return Err(Broken::Short),
                Ok(0) => return Err(Broken::Reset),
                Ok(count) => count,
                Err(error) => {
                    return Err(match error.kind() {
                        ErrorKind::WouldBlock | ErrorKind::TimedOut => Broken::Timeout,
                        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Broken::Reset,
                        _ => Broken::Other(error),
                    });
                }
            };
            self.unread.extend_from_slice(&buffer[..count]);
        }
    }

    /// Sends these bytes and reads until the server closes the connection.
    #[track_caller]
    pub fn request_raw(&mut self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        self.send(bytes);
        self.read_to_end()
    }

    /// Reads until the server closes the connection, and returns what came, as it came. A reset ends it too.
    #[must_use]
    #[track_caller]
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + crate::patience();
        let mut bytes = std::mem::take(&mut self.unread);
        let mut buffer = [0; 65536];
        loop {
            match self.read(&mut buffer, deadline) {
                Ok(0) => return bytes,
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return bytes,
                Err(error) => panic!("the server did not close: {error}, after {}", String::from_utf8_lossy(&bytes)),
            }
        }
    }

    /// Waits until at least `count` bytes were received, and returns all that are there, without consuming them.
    #[track_caller]
    pub fn peek_at_least(&mut self, count: usize) -> &[u8] {
        let deadline = Instant::now() + crate::patience();
        let mut buffer = [0; 65536];
        while self.unread.len() < count {
            match self.read(&mut buffer, deadline) {
                Ok(0) => panic!("closed after {:?}", String::from_utf8_lossy(&self.unread)),
                Ok(more) => self.unread.extend_from_slice(&buffer[..more]),
                Err(error) => panic!("{error}, after {:?}", String::from_utf8_lossy(&self.unread)),
            }
        }
        &self.unread
    }

    /// Whether the server has closed the connection, or sent something without a request. Does not wait.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        crate::process::readable(self.as_fd(), Instant::now())
    }

    fn read(&mut self, buffer: &mut [u8], deadline: Instant) -> std::io::Result<usize> {
        loop {
            let left = left(deadline).ok_or(ErrorKind::TimedOut)?;
            let outcome = match &mut self.stream {
                Stream::Tcp(stream) => stream.set_read_timeout(Some(left)).and_then(|()| stream.read(buffer)),
                Stream::Unix(stream) => stream.set_read_timeout(Some(left)).and_then(|()| stream.read(buffer)),
            };
            // A process that was stopped and goes on comes back from a read with a time limit. See signal(7).
            if !matches!(&outcome, Err(error) if error.kind() == ErrorKind::Interrupted) {
                return outcome;
            }
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }
}

/// What is left until `deadline`; `None` when it has passed (a zero timeout would mean "for ever").
fn left(deadline: Instant) -> Option<Duration> {
    deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
}
