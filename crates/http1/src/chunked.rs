//! The chunked transfer coding of bodies (RFC 9112, section 7.1), incremental and strict.
//!
//! Extensions and trailer fields are checked and discarded. Neither is of use to a Rack application, and a trailer field
//! that joins the header fields is a way past a proxy.

use crate::limits::Limits;
use crate::reject::Reject;
use crate::scan::{self, CONTROL, NOT_TOKEN};

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
/// Make a new one for each body.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    state: State,
    /// Content handed out.
    total: u64,
    /// Content of the current chunk that is still to come; while its size is read, what the digits say so far.
    left: u64,
    /// Bytes of extensions that no content has paid for yet.
    extensions: u64,
    trailer: Trailer,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A chunk size of which so many digits were seen.
    Size { digits: u8 },
    /// Blanks before a `;`.
    ExtensionBlank,
    /// The blanks behind a `;`, or the first character of an extension's name.
    ExtensionStart,
    /// The name of an extension.
    ExtensionName,
    /// Blanks behind the name of an extension.
    ExtensionNameEnd,
    /// The blanks behind the `=` of an extension, or the first character of its value.
    ExtensionValueStart,
    /// The value of an extension, a token.
    ExtensionToken,
    /// The value of an extension, within quotes.
    ExtensionQuoted,
    /// The character behind a backslash within quotes.
    ExtensionEscape,
    /// What follows a closing quote.
    ExtensionEnd,
    /// The LF of a chunk's first line.
    SizeLf,
    /// Content.
    Content,
    /// The CR behind the content of a chunk.
    ContentCr,
    /// The LF behind the content of a chunk.
    ContentLf,
    /// The first byte of a trailer field or of the final empty line.
    TrailerStart,
    /// The name of a trailer field.
    TrailerName,
    /// The value of a trailer field.
    TrailerValue,
    /// The LF of a trailer field.
    TrailerLf,
    /// The LF of the final empty line.
    LastLf,
    /// Nothing: the body has ended.
    Done,
    /// Nothing: the body was refused.
    Failed,
}

impl Default for State {
    fn default() -> Self {
        Self::Size { digits: 0 }
    }
}

/// More digits than any size has; leading zeros count.
const DIGITS_MAX: u8 = 16;

impl Decoder {
    /// Makes a decoder that stands at the start of a body.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the bytes that follow those used up by earlier calls. An empty `input` yields [`Step::Need`].
    ///
    /// # Errors
    /// 400 malformed, or extensions over their limit; 413 content over `limits.body`; 431 trailer section over its limit.
    /// All later calls fail too.
    pub fn decode(&mut self, input: &[u8], limits: &Limits) -> Result<Step, Reject> {
        for (at, &byte) in input.iter().enumerate() {
            match self.state {
                State::Content => {
                    let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len() - at);
                    self.left -= len as u64;
                    self.total += len as u64;
                    if self.left == 0 {
                        self.state = State::ContentCr;
                    }
                    return Ok(Step::Data { skip: at, len });
                }
                State::Done => return Ok(Step::Done { consumed: at }),
                _ => {}
            }
            self.state = self.framing(byte, limits).inspect_err(|_| self.state = State::Failed)?;
            if self.state == State::Done {
                return Ok(Step::Done { consumed: at + 1 });
            }
        }
        Ok(if self.is_done() { Step::Done { consumed: 0 } } else { Step::Need })
    }

    /// Returns the bytes of content handed out so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Tells whether no byte was looked at yet.
    pub fn is_at_start(&self) -> bool {
        self.state == State::default() && self.total == 0
    }

    /// Tells whether [`Step::Done`] was returned.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes one byte of framing.
    fn framing(&mut self, byte: u8, limits: &Limits) -> Result<State, Reject> {
        match (self.state, byte) {
            (State::Size { digits }, _) => self.size(digits, byte, limits),
            (State::SizeLf, b'\n') if self.left > 0 => Ok(State::Content),
            (State::SizeLf, b'\n') => Ok(State::TrailerStart),
            (State::SizeLf, _) => Err(Reject::bad("CR without LF behind a chunk size")),
            (State::ContentCr, b'\r') => Ok(State::ContentLf),
            (State::ContentLf, b'\n') => Ok(State::Size { digits: 0 }),
            (State::ContentCr | State::ContentLf, _) => Err(Reject::bad("chunk longer than its size")),
            (State::TrailerStart | State::TrailerName | State::TrailerValue | State::TrailerLf | State::LastLf, _) => {
                self.trailer.take(self.state, byte, limits)
            }
            (State::Content | State::Done | State::Failed, _) => Err(Reject::bad("malformed chunked body")),
            (state, _) => self.extension(state, byte, limits),
        }
    }

    fn size(&mut self, digits: u8, byte: u8, limits: &Limits) -> Result<State, Reject> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b'\r' | b';' | b' ' | b'\t' if digits > 0 => {
                self.announce(limits)?;
                return match byte {
                    b'\r' => Ok(State::SizeLf),
                    b';' => Ok(State::ExtensionStart),
                    _ => self.extension(State::ExtensionBlank, byte, limits),
                };
            }
            _ => return Err(Reject::bad("malformed chunk size")),
        };
        if digits == DIGITS_MAX || self.left >> 60 != 0 {
            return Err(Reject::bad("chunk size too large"));
        }
        self.left = self.left << 4 | u64::from(digit);
        Ok(State::Size { digits: digits + 1 })
    }

    /// Checks the size of a chunk, now complete.
    fn announce(&mut self, limits: &Limits) -> Result<(), Reject> {
        let total = self.total.checked_add(self.left).filter(|&total| total <= i64::MAX as u64);
        let total = total.ok_or(Reject::bad("chunk size too large"))?;
        if limits.body.is_some_and(|limit| total > limit) {
            return Err(Reject::new(413, "chunked content too long"));
        }
        // Extensions are paid for by content, so that honest ones (signatures) may go on for ever.
        self.extensions = self.extensions.saturating_sub(self.left);
        Ok(())
    }

    /// Takes one byte of the extensions of a chunk: `;name`, `;name=token` or `;name="quoted"`, with blanks around `;` and
    /// `=` (RFC 9112, section 7.1.1), but none before the end of the line.
    fn extension(&mut self, state: State, byte: u8, limits: &Limits) -> Result<State, Reject> {
        use State::*;
        self.extensions += 1;
        if self.extensions > limits.chunk_extension as u64 {
            return Err(Reject::bad("chunk extensions too long"));
        }
        let token = scan::class(byte) & NOT_TOKEN == 0;
        match (state, byte) {
            (ExtensionStart | ExtensionValueStart, b' ' | b'\t') => Ok(state),
            (ExtensionName | ExtensionNameEnd, b' ' | b'\t') => Ok(ExtensionNameEnd),
            (ExtensionBlank | ExtensionToken | ExtensionEnd, b' ' | b'\t') => Ok(ExtensionBlank),
            (ExtensionStart | ExtensionName, _) if token => Ok(ExtensionName),
            (ExtensionName | ExtensionNameEnd, b'=') => Ok(ExtensionValueStart),
            (ExtensionValueStart | ExtensionToken, _) if token => Ok(ExtensionToken),
            (ExtensionValueStart, b'"') => Ok(ExtensionQuoted),
            (ExtensionQuoted, b'"') => Ok(ExtensionEnd),
            (ExtensionQuoted, b'\\') => Ok(ExtensionEscape),
            (ExtensionQuoted | ExtensionEscape, _) if scan::class(byte) & CONTROL == 0 => Ok(ExtensionQuoted),
            (ExtensionName | ExtensionToken | ExtensionEnd, b'\r') => Ok(SizeLf),
            (ExtensionBlank | ExtensionName | ExtensionNameEnd | ExtensionToken | ExtensionEnd, b';') => {
                Ok(ExtensionStart)
            }
            _ => Err(Reject::bad("malformed chunk extension")),
        }
    }
}

/// The trailer section. Of each name only so much is kept as is needed to recognize the forbidden ones.
#[derive(Clone, Debug, Default)]
struct Trailer {
    bytes: usize,
    name: [u8; 18],
    name_len: usize,
}

impl Trailer {
    fn take(&mut self, state: State, byte: u8, limits: &Limits) -> Result<State, Reject> {
        self.bytes += 1;
        if self.bytes > limits.trailer_section {
            return Err(Reject::new(431, "trailer section too long"));
        }
        match (state, byte) {
            (State::TrailerStart, b'\r') => Ok(State::LastLf),
            (State::LastLf, b'\n') => Ok(State::Done),
            (State::TrailerStart | State::TrailerName, _) if scan::class(byte) & NOT_TOKEN == 0 => {
                if state == State::TrailerStart {
                    self.name_len = 0;
                }
                if let Some(place) = self.name.get_mut(self.name_len) {
                    *place = byte;
                    self.name_len += 1;
                }
                Ok(State::TrailerName)
            }
            (State::TrailerName, b':') => self.check_name(),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, _) if scan::class(byte) & CONTROL == 0 => Ok(State::TrailerValue),
            (State::TrailerLf, b'\n') => Ok(State::TrailerStart),
            _ => Err(Reject::bad("malformed trailer field")),
        }
    }

    /// Refuses fields that frame or route a message (RFC 9110, section 6.5.1). They are discarded in any case, but a
    /// client that sends them attacks.
    fn check_name(&self) -> Result<State, Reject> {
        const FORBIDDEN: [&[u8]; 4] = [b"content-length", b"host", b"trailer", b"transfer-encoding"];
        let name = &self.name[..self.name_len];
        if FORBIDDEN.iter().any(|forbidden| forbidden.eq_ignore_ascii_case(name)) {
            return Err(Reject::bad("forbidden trailer field"));
        }
        Ok(State::TrailerValue)
    }
}
