//! Responses: heads that are always well-formed, how their bodies are framed, and ready-made error responses.

mod body;
mod chunk;
mod field;
mod framing;
mod status;
mod writer;

pub use body::{Body, Framed};
pub use chunk::{ChunkHeader, LAST_CHUNK, chunk_header};
pub use field::{BadField, write_field, write_rack_field};
pub use framing::{Asked, BodyFraming, Plan};
pub use status::{CONTINUE, ERROR_STATUSES, error_response, reason_phrase, write_error, write_status_line};
pub use writer::{Writer, finish_interim};
