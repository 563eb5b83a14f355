//! The head parser: from the bytes read so far to a head, a request for more, or a rejection.
//!
//! It reads line by line and keeps its place, so that each byte is looked at once however the head drips in, and so that
//! the outcome does not depend on how the bytes were split. `httparse` does neither, reports no cause that a status could
//! be chosen by, and takes bare LF; it is what the tests compare with.

use super::field::{self, Line};
use super::framing::Facts;
use super::head::{Field, Head};
use super::line;
use super::names::{KnownName, same_key};
use crate::limits::Limits;
use crate::reject::Reject;

/// Parses request heads, one after the other. Reused for all requests of a connection, or of many: it allocates only
/// when a head has more fields than any before.
#[derive(Clone, Debug, Default)]
pub struct HeadParser {
    head: Head,
    facts: Facts,
    stage: Stage,
}

/// How far the parser has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// The request line is not complete.
    #[default]
    RequestLine,
    /// The next field line starts at `at`; its value, if that has begun, does not end before `searched`.
    Fields { at: usize, searched: usize },
    /// The head was handed out.
    Done,
}

impl HeadParser {
    /// Makes a parser.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the bytes of one request from its very start. `None`: incomplete; call again with the same bytes and
    /// more behind them. `Some`: the head, also kept for [`HeadParser::head`]; the next call starts a new request.
    ///
    /// An empty `buf`, or one of at most two CRLF, is incomplete: empty lines before a request line are passed over and
    /// belong to the head.
    ///
    /// # Errors
    /// A [`Reject`] when the head is malformed, unsupported or over a limit, as soon as the bytes show it. The parser
    /// is then ready for another connection.
    pub fn parse(&mut self, buf: &[u8], limits: &Limits) -> Result<Option<&Head>, Reject> {
        match self.advance(buf, limits) {
            Ok(true) => {
                self.stage = Stage::Done;
                Ok(Some(&self.head))
            }
            Ok(false) => Ok(None),
            Err(reject) => {
                self.reset();
                Err(reject)
            }
        }
    }

    /// Returns the head that [`HeadParser::parse`] found last; meaningless before, and while another is incomplete.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Forgets an incomplete head, for a connection that was closed in the middle of one.
    pub fn reset(&mut self) {
        self.stage = Stage::RequestLine;
    }

    fn advance(&mut self, buf: &[u8], limits: &Limits) -> Result<bool, Reject> {
        // What lies behind the limit does not exist, lest it decide what is wrong with the bytes before.
        let longest = limits.section.min(u32::MAX as usize);
        let view = &buf[..buf.len().min(longest)];
        if self.read_lines(view, limits)? {
            return Ok(true);
        }
        // Where nothing was received there is nothing to refuse, not even with a limit of zero.
        let full = view.len() == longest && !buf.is_empty();
        if full { Err(Reject::new(431, "head too long")) } else { Ok(false) }
    }

    fn read_lines(&mut self, view: &[u8], limits: &Limits) -> Result<bool, Reject> {
        let (mut at, mut searched) = match self.stage {
            Stage::Fields { at, searched } => (at, searched),
            Stage::RequestLine | Stage::Done => {
                self.stage = Stage::RequestLine;
                let Some(at) = line::parse(view, limits, &mut self.head)? else { return Ok(false) };
                self.head.fields.clear();
                self.head.host = None;
                self.facts = Facts::default();
                (at, 0)
            }
        };
        loop {
            match field::parse(view, at, searched, limits)? {
                Line::Field(field, next) => {
                    if self.head.fields.len() >= limits.fields {
                        return Err(Reject::new(431, "too many fields"));
                    }
                    self.take(view, field)?;
                    (at, searched) = (next, 0);
                }
                Line::End(end) => {
                    self.facts.decide(limits, &mut self.head)?;
                    self.head.len = end;
                    return Ok(true);
                }
                Line::Incomplete(searched) => {
                    self.stage = Stage::Fields { at, searched };
                    return Ok(false);
                }
            }
        }
    }

    /// Takes note of a field and stores it.
    #[inline]
    fn take(&mut self, view: &[u8], mut field: Field) -> Result<(), Reject> {
        if field.known == KnownName::Other {
            field.again = self.again_other(view, &field);
        } else {
            field.again = self.facts.has(field.known) || (self.facts.underscores && self.same_key_before(view, &field));
            self.facts.note(view, &field, &mut self.head)?;
        }
        self.head.fields.push(field);
        Ok(())
    }

    /// Tells whether a name that is not a known one makes the key of an earlier field.
    fn again_other(&mut self, view: &[u8], field: &Field) -> bool {
        let name = field.name.of(view);
        // Case, and `_` for `-`, are left out of the few bits that choose the place in the filter.
        let sample =
            |byte: Option<&u8>| byte.map_or(0, |byte| if byte.is_ascii_alphanumeric() { byte & 0x1f } else { 0 });
        let mix = name.len() as u8 ^ sample(name.last()) ^ (sample(name.get(name.len() / 2)) << 1);
        let bit = 1 << (mix & 63);
        let maybe = self.facts.seen_others & bit != 0 || field.underscore;
        self.facts.seen_others |= bit;
        self.facts.underscores |= field.underscore;
        maybe && self.same_key_before(view, field)
    }

    fn same_key_before(&self, view: &[u8], field: &Field) -> bool {
        let name = field.name.of(view);
        self.head.fields.iter().any(|earlier| same_key(earlier.name.of(view), name))
    }
}
