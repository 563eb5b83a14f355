//! Requests: the head, what it says, and what its body looks like on the wire.

mod field;
mod framing;
mod head;
mod host;
mod line;
mod names;
mod parser;

pub use crate::reject::Reject;
pub use head::{Field, Framing, Head, Method, Scheme, TargetForm, Version};
pub use names::{KnownName, write_cgi_key};
pub use parser::HeadParser;
