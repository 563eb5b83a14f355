//! One field line (RFC 9112, section 5): where it ends, and whether its bytes are allowed.

use super::head::Field;
use super::names::KnownName;
use crate::limits::Limits;
use crate::reject::Reject;
use crate::scan::{self, NOT_TOKEN, UNDERSCORE};
use crate::span::Span;

/// What was found where a field line may start.
pub(super) enum Line {
    /// A field, and where the next line starts.
    Field(Field, usize),
    /// The empty line that ends the head, and what is behind it.
    End(usize),
    /// More bytes are needed. The value has no end before this offset.
    Incomplete(usize),
}

/// Reads one line at `start`. `searched` is what an earlier call said in [`Line::Incomplete`], or 0.
///
/// Violations are reported in the order of the bytes, so that it makes no difference how the bytes are split.
#[inline]
pub(super) fn parse(view: &[u8], start: usize, searched: usize, limits: &Limits) -> Result<Line, Reject> {
    if view.get(start) == Some(&b'\r') {
        return end(view, start);
    }
    // Not beyond the longest name: behind the last field there may be much of a body.
    let nearest = start.saturating_add(limits.field_name).saturating_add(1).min(view.len());
    let colon = scan::find_colon(&view[..nearest], start);
    if colon == nearest {
        return no_colon(view.get(start..nearest).unwrap_or_default(), limits);
    }
    let known = KnownName::find_at(view, start, colon - start);
    let mut underscore = false;
    if known == KnownName::Other {
        let classes = scan::classes_of(&view[start..colon]);
        if classes & NOT_TOKEN != 0 || colon == start {
            return Err(bad_name(&view[start..]));
        }
        underscore = classes & UNDERSCORE != 0;
    }
    // The one usual blank before a value does not count towards its limit.
    let value_start = colon + 1 + usize::from(view.get(colon + 1) == Some(&b' '));
    let value_end = scan::value_end(view, value_start.max(searched));
    if value_end - value_start > limits.field_value {
        return Err(Reject::new(431, "field value too long"));
    }
    match (view.get(value_end), view.get(value_end + 1)) {
        (None, _) | (Some(b'\r'), None) => return Ok(Line::Incomplete(value_end)),
        (Some(b'\r'), Some(b'\n')) => {}
        (Some(b'\r'), Some(_)) => return Err(Reject::bad("CR without LF in a field value")),
        (Some(b'\n'), _) => return Err(Reject::bad("field line ends without CR")),
        _ => return Err(Reject::bad("control byte in a field value")),
    }
    let name = Span::new(start, colon);
    let value = trim(view, value_start, value_end);
    Ok(Line::Field(Field { name, value, known, underscore, again: false }, value_end + 2))
}

/// Reads a line that begins with CR.
#[inline]
fn end(view: &[u8], start: usize) -> Result<Line, Reject> {
    match view.get(start + 1) {
        None => Ok(Line::Incomplete(0)),
        Some(b'\n') => Ok(Line::End(start + 2)),
        Some(_) => Err(Reject::bad("CR without LF at the start of a field line")),
    }
}

/// Tells what is wrong with a line that has no colon within the limit of a name, if anything is. `rest` is at most one
/// byte longer than that.
#[cold]
fn no_colon(rest: &[u8], limits: &Limits) -> Result<Line, Reject> {
    if scan::classes_of(rest) & NOT_TOKEN != 0 {
        return Err(bad_name(rest));
    }
    if rest.len() > limits.field_name {
        return Err(Reject::new(431, "field name too long"));
    }
    Ok(Line::Incomplete(0))
}

#[cold]
fn bad_name(rest: &[u8]) -> Reject {
    Reject::bad(match rest {
        [b' ' | b'\t', ..] => "folded field line",
        [b'\n', ..] => "head ends without CR",
        _ => "malformed field name",
    })
}

/// Leaves surrounding blanks out; nothing but blanks leaves an empty span at the end.
#[inline]
fn trim(view: &[u8], mut start: usize, mut end: usize) -> Span {
    while start < end && matches!(view[start], b' ' | b'\t') {
        start += 1;
    }
    while end > start && matches!(view[end - 1], b' ' | b'\t') {
        end -= 1;
    }
    Span::new(start, end)
}
