//! HTTP/1.1 without I/O: bytes in, requests out; response parts in, bytes out.
//!
//! Strict by RFC 9112 and RFC 9110, with the differences that Unicorn's users rely on. Nothing here reads a clock, opens
//! a socket or names a Rack concept; deadlines, buffers and the order of things are the shell's.
//!
//! # Requests
//!
//! ```text
//! request::HeadParser::parse(buf, limits) ──> None     read more, call again with the grown buffer
//!                                         ──> Some     the head ends at head.len; the body, or the next request, follows
//!                                         ──> Reject   answer response::error_response(status), close
//! head.framing:  None        no body
//!                Length(n)   the next n bytes
//!                Chunked     chunked::Decoder::decode(input, limits) until Step::Done { consumed }
//! ```
//!
//! - A parser belongs to one buffer from the first byte of a request until its head is complete; then to any.
//! - [`request::Field::again`] false: the CGI key is new, store it unseen. True: look it up; if it is there, join.
//! - [`request::Field::underscore`] true: drop the field, or keep it unless [`request::Head::shadows`] says that a
//!   hyphenated one makes the same key. Such names never frame a message.
//! - [`request::KnownName`] `as usize` indexes ready-made keys. Two of them should not reach an environment: `Version`
//!   (its key is the protocol's) and `Proxy` (httpoxy).
//! - [`request::Head::effective_host`] prefers the target's authority. In HTTP/1.0 there may be none.
//! - A connection that ends in the middle of a head or body: 400 if anything, and never a complete request. A deadline:
//!   408.
//!
//! Before all of that, on connections from a proxy that announces its clients: [`proxy::parse`].
//!
//! # Responses
//!
//! ```text
//! response::Writer::begin(out, Asked::by(head, willing), status, reason, date)
//!     .field(out, name, value) for each of the application's   ──> BadField: leave it out, or answer 500
//!     .finish(out, known_length) ──> Plan { framing, keep_alive }: how to write the body, what to do after it
//! ```
//!
//! Interim responses: [`response::CONTINUE`]; for 103, [`response::write_status_line`], [`response::write_rack_field`],
//! [`response::finish_interim`], and only to HTTP/1.1 clients.
//!
//! # What is deliberately refused
//!
//! | what | status | Unicorn |
//! |---|---|---|
//! | LF without CR, folded lines, CR in values | 400 | accepts the first two |
//! | two `Host`, `Content-Length`, `Transfer-Encoding`, `Content-Type`; equal ones too | 400 | joins or takes the first |
//! | HTTP/1.1 without a valid `Host` | 400 | accepts |
//! | user information in the target; absolute-form with a query but no path | 400 | accepts; refuses |
//! | `Transfer-Encoding` in HTTP/1.0, or beside `Content-Length` | 400 | accepts |
//! | any coding but `chunked` | 501 | ignores |
//! | `CONNECT`, methods of more than 20 characters | 501 | 400 |
//! | major versions other than 1; HTTP/0.9 | 505; 400 | accepts |
//! | `Expect` other than `100-continue` in HTTP/1.1 | 417 | accepts |
//! | trailer fields that frame or route | 400 | merges most |
//! | heads over a limit; targets | 431; 414 | 413 or 400; 414 |
//!
//! Accepted although the grammar forbids it, because clients send it: raw bytes and `"<>\^{|}` in targets, a bare `%` in
//! the query, a fragment, up to two empty lines before a request.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod chunked;
pub mod forwarded;
pub mod limits;
pub mod proxy;
pub mod reject;
pub mod request;
pub mod request_start;
pub mod response;
mod scan;
pub mod span;

pub use limits::Limits;
pub use reject::Reject;
pub use span::Span;
