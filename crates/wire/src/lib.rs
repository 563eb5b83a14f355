//! The messages that travel between master, mold and worker and from worker to worker, and the state that one master program
//! hands to the next.
//!
//! What master, mold and worker say to each other has a type for each direction ([`ToMold`], [`FromMold`], [`ToWorker`],
//! [`FromWorker`]), all of one codec ([`Message`]). Each message is one datagram of a `SOCK_SEQPACKET` socket pair: a version byte, a kind byte, then the fields in the
//! order in which they are declared, integers little-endian, strings and lists behind a `u32` count.
//! Descriptors are not part of the bytes: they are attached to the datagram (`SCM_RIGHTS`, unix(7)) in the order that
//! the documentation of the message gives.
//!
//! The state of an upgrade in place is JSON: see [`state`].
//!
//! This crate does no I/O and keeps no state. The end of a channel is how each side learns of the other's death, so
//! there is no goodbye message.
//!
//! Source: `docs/design`, "What connects them".
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod codec;
mod handoff;
mod message;
pub mod state;

pub use codec::{DecodeError, VERSION};
pub use handoff::{BodyApart, Bytes, HANDOFF_VERSION, Handoff, INLINE_BYTES, Part, Proxy, Then, Unsent};
pub use message::{FromMold, FromService, FromWorker, Message, Severity, ToMold, ToService, ToWorker};

/// The largest message that either side sends, in bytes: well below the kernel's default socket buffer (212,992).
pub const MAX_MESSAGE_BYTES: usize = 128 * 1024;
/// The longest text (a backtrace, a log line) that travels in one message, in bytes. Longer ones are cut by the sender.
pub const MAX_TEXT_BYTES: usize = 96 * 1024;
