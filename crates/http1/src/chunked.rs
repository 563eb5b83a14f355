//! The chunked transfer coding of request bodies (RFC 9112, section 7.1), incremental and strict.

use crate::limits::Limits;
use crate::reject::Reject;

/// What a call of [`Decoder::decode`] found in its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// All of the input was framing and is used up; read more.
    Need,
    /// `skip` bytes of framing, then `len` (> 0) bytes of content. Call again with what follows these.
    Data {
        /// Bytes to pass over.
        skip: usize,
        /// Bytes of content behind them.
        len: usize,
    },
    /// The body, its trailer section included, ends after `consumed` bytes. What follows is the next request.
    Done {
        /// Bytes of framing that were the last of this body.
        consumed: usize,
    },
}

/// Takes a chunked body apart. It never buffers: content is handed out where it lies in the input.
/// Trailer fields are checked and discarded. Make a new one for each body.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    total: u64,
}

impl Decoder {
    /// Makes a decoder that stands at the start of a body.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the bytes that follow those used up by earlier calls. An empty `input` yields [`Step::Need`].
    ///
    /// # Errors
    /// 400 malformed, 413 over `limits.body`, 431 over `limits.trailer_section`. The decoder must not be used further.
    pub fn decode(&mut self, input: &[u8], limits: &Limits) -> Result<Step, Reject> {
        let _ = (input, limits);
        Ok(Step::Need)
    }

    /// Returns the bytes of content handed out so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Tells whether [`Step::Done`] was returned.
    pub fn is_done(&self) -> bool {
        false
    }
}
