//! Responses: heads that are always well-formed, how their bodies are framed, and ready-made error responses.

mod chunk;
mod field;
mod status;
mod writer;

pub use chunk::{ChunkHeader, LAST_CHUNK, chunk_header};
pub use field::{BadField, write_field, write_rack_field};
pub use status::{CONTINUE, error_response, reason_phrase, write_error, write_status_line};
pub use writer::{Asked, BodyFraming, Plan, Writer, finish_interim};
