//! HTTP/1.1 without I/O: bytes in, requests out; response parts in, bytes out.
//!
//! Strict by RFC 9112 and RFC 9110, with the differences that Unicorn's users rely on. `httparse` tokenises field
//! lines; the request line, framing, limits and policy are ours. Nothing here reads a clock or opens a socket.
//!
//! # How a connection uses it
//!
//! ```text
//! bytes ──> request::HeadParser::parse(buf, limits) ──> None: read more and call again with the grown buffer
//!                                                  ──> Some(head): the request starts at head.len (its body)
//!                                                  ──> Reject: write response::error_response(status), close
//! head.framing: None       no body
//!               Length(n)  the next n bytes
//!               Chunked    chunked::Decoder::decode(input, limits) until Step::Done { consumed }
//! the next request of the connection starts right behind the body (pipelining)
//!
//! response::Writer::begin(out, asked, status, reason, date) ── field(name, value)… ── finish(known_length)
//!     ──> Plan { framing, keep_alive }: how to write the body, and what to do after it
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod chunked;
pub mod limits;
pub mod reject;
pub mod request;
pub mod response;
mod scan;
pub mod span;

pub use limits::Limits;
pub use reject::Reject;
pub use span::Span;
