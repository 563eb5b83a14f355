//! A connection without a socket: feeds pieces of bytes to the parser as a shell would, and tells what came out.

use http1::chunked::{Decoder, Step};
use http1::limits::Limits;
use http1::request::{Framing, Head, HeadParser};

/// What became of one request, with everything that is of interest copied out of the buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was complete.
    Request(Box<Request>),
    /// It was refused with this status.
    Reject(u16),
    /// Bytes are missing.
    Incomplete,
}

/// A complete request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Request {
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    pub uri: Vec<u8>,
    pub path: Vec<u8>,
    pub query: Option<Vec<u8>>,
    pub fragment: Option<Vec<u8>>,
    pub scheme: Option<String>,
    pub host: Option<Vec<u8>>,
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub again: Vec<bool>,
    pub body: Vec<u8>,
    pub chunked: bool,
    pub keep_alive: bool,
    pub expect_continue: bool,
    pub upgrade: bool,
}

/// The receiving side of a connection.
#[derive(Default)]
pub struct Connection {
    parser: HeadParser,
    buf: Vec<u8>,
    body: Option<Body>,
    outcomes: Vec<Outcome>,
    closed: bool,
}

struct Body {
    request: Box<Request>,
    left: Left,
}

enum Left {
    Length(u64),
    Chunks(Decoder),
}

/// Feeds the pieces and returns what became of each request. `Incomplete` comes last if anything else was begun, or if
/// nothing was.
pub fn serve<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: &Limits) -> Vec<Outcome> {
    let mut connection = Connection::default();
    for piece in pieces {
        connection.receive(piece, limits);
    }
    connection.finish()
}

impl Connection {
    fn receive(&mut self, piece: &[u8], limits: &Limits) {
        self.buf.extend_from_slice(piece);
        while !self.closed && self.step(limits) {}
    }

    fn finish(mut self) -> Vec<Outcome> {
        if !self.closed && (self.body.is_some() || !self.buf.is_empty() || self.outcomes.is_empty()) {
            self.outcomes.push(Outcome::Incomplete);
        }
        self.outcomes
    }

    /// Goes on by a head or a body; false when bytes are missing.
    fn step(&mut self, limits: &Limits) -> bool {
        if let Some(body) = &mut self.body {
            return match body.advance(&mut self.buf, limits) {
                Ok(true) => {
                    let request = self.body.take().expect("there is a body").request;
                    self.closed = !request.keep_alive;
                    self.outcomes.push(Outcome::Request(request));
                    true
                }
                Ok(false) => false,
                Err(status) => self.reject(status),
            };
        }
        match self.parser.parse(&self.buf, limits) {
            Ok(Some(head)) => {
                let left = match head.framing {
                    Framing::None => Left::Length(0),
                    Framing::Length(length) => Left::Length(length),
                    Framing::Chunked => Left::Chunks(Decoder::new()),
                };
                let len = head.len;
                self.body = Some(Body { request: Box::new(Request::of(head, &self.buf)), left });
                self.buf.drain(..len);
                true
            }
            Ok(None) => false,
            Err(reject) => self.reject(reject.status),
        }
    }

    fn reject(&mut self, status: u16) -> bool {
        self.outcomes.push(Outcome::Reject(status));
        self.closed = true;
        false
    }
}

impl Body {
    /// Takes what is there of the body; true when it is complete.
    fn advance(&mut self, buf: &mut Vec<u8>, limits: &Limits) -> Result<bool, u16> {
        match &mut self.left {
            Left::Length(left) => {
                let now = buf.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                self.request.body.extend(buf.drain(..now));
                *left -= now as u64;
                Ok(*left == 0)
            }
            Left::Chunks(decoder) => loop {
                match decoder.decode(buf, limits).map_err(|reject| reject.status)? {
                    Step::Need => {
                        buf.clear();
                        return Ok(false);
                    }
                    Step::Data { skip, len } => {
                        assert!(len > 0);
                        self.request.body.extend_from_slice(&buf[skip..skip + len]);
                        buf.drain(..skip + len);
                        assert_eq!(decoder.total(), self.request.body.len() as u64);
                    }
                    Step::Done { consumed } => {
                        assert!(decoder.is_done());
                        buf.drain(..consumed);
                        return Ok(true);
                    }
                }
            },
        }
    }
}

impl Request {
    fn of(head: &Head, buf: &[u8]) -> Self {
        let copy = |span: http1::Span| span.of(buf).to_vec();
        Self {
            method: copy(head.method),
            target: copy(head.target),
            uri: [if head.omits_path() { &b"/"[..] } else { b"" }, &copy(head.uri)].concat(),
            path: copy(head.path),
            query: head.query.map(copy),
            fragment: head.fragment.map(copy),
            scheme: head.scheme.map(|scheme| format!("{scheme:?}").to_lowercase()),
            host: head.effective_host().map(copy),
            fields: head.fields.iter().map(|field| (copy(field.name), copy(field.value))).collect(),
            again: head.fields.iter().map(|field| field.again).collect(),
            body: Vec::new(),
            chunked: head.framing == Framing::Chunked,
            keep_alive: head.keep_alive,
            expect_continue: head.expect_continue,
            upgrade: head.upgrade,
        }
    }

    /// Tells whether the field is there.
    pub fn has(&self, name: &[u8], value: &[u8]) -> bool {
        self.fields.iter().any(|(n, v)| n.eq_ignore_ascii_case(name) && v == value)
    }
}
