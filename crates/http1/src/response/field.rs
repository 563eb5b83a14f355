//! Field lines of responses. What an application sends is checked: no line break or other control byte gets out.

use alloc::vec::Vec;
use core::fmt;

use crate::scan;

/// A field that must not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadField {
    /// The name is no token.
    Name,
    /// The value has a control byte other than HTAB: CR, LF, NUL, DEL…
    Value,
    /// `Content-Length` is no plain number, or there are several that differ.
    ContentLength,
}

impl fmt::Display for BadField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "field name is not a token",
            Self::Value => "field value has a control byte",
            Self::ContentLength => "content-length is not one number",
        })
    }
}

impl core::error::Error for BadField {}

/// Appends `name: value` CRLF as given.
///
/// # Errors
/// The name is no token, or the value has a control byte; nothing is appended then.
pub fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) -> Result<(), BadField> {
    check_name(name)?;
    check_value(value)?;
    append(out, name, value);
    Ok(())
}

/// Appends one line for each non-empty line of `value`: Rack 2 joins repeated fields with LF. A value without LF is one
/// line, also when it is empty.
///
/// # Errors
/// As [`write_field`] for any of the lines; nothing is appended then.
pub fn write_rack_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) -> Result<(), BadField> {
    check_name(name)?;
    if value.get(scan::value_end(value, 0)).is_none() {
        append(out, name, value);
        return Ok(());
    }
    check_lines(value)?;
    lines(value).filter(|line| !line.is_empty()).for_each(|line| append(out, name, line));
    Ok(())
}

fn lines(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b'\n')
}

pub(super) fn check_lines(value: &[u8]) -> Result<(), BadField> {
    lines(value).try_for_each(check_value)
}

/// Appends a line that is known to be right.
#[inline]
pub(super) fn append(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[inline]
fn check_name(name: &[u8]) -> Result<(), BadField> {
    if scan::is_token(name) { Ok(()) } else { Err(BadField::Name) }
}

#[inline]
fn check_value(value: &[u8]) -> Result<(), BadField> {
    if scan::value_end(value, 0) == value.len() { Ok(()) } else { Err(BadField::Value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::vec;

    type Write = fn(&mut Vec<u8>, &[u8], &[u8]) -> Result<(), BadField>;

    #[track_caller]
    fn check(write: Write, name: &[u8], value: &[u8], expected: Result<&str, BadField>) {
        let mut out = b"before|".to_vec();
        let outcome = write(&mut out, name, value);
        let added = String::from_utf8_lossy(&out[7..]).into_owned();
        assert_eq!(outcome.map(|()| added.as_str()), expected);
        assert!(outcome.is_ok() || added.is_empty());
    }

    #[test]
    fn a_field_is_written_as_given() {
        for write in [write_field as Write, write_rack_field] {
            check(
                write,
                b"Content-Type",
                b"text/html; charset=utf-8",
                Ok("Content-Type: text/html; charset=utf-8\r\n"),
            );
            check(write, b"x", b"", Ok("x: \r\n"));
            check(write, b"x", b"a\tb ", Ok("x: a\tb \r\n"));
            check(write, b"x", "grüße".as_bytes(), Ok("x: grüße\r\n"));
        }
    }

    #[test]
    fn a_field_that_breaks_out_is_refused_and_leaves_nothing() {
        for write in [write_field as Write, write_rack_field] {
            for byte in (0..=255_u8).filter(|byte| byte.is_ascii_control() && !b"\t\n".contains(byte)) {
                check(write, b"x", &[b"0123456789abcdefghij", &[byte][..], b"b"].concat(), Err(BadField::Value));
            }
            check(write, b"x", b"a\r\nSet-Cookie: x=1", Err(BadField::Value));
            for name in ["", "a b", "a:", "a\r\nb", "ä", " a", "a\0"] {
                check(write, name.as_bytes(), b"v", Err(BadField::Name));
            }
        }
        check(write_field, b"x", b"a\nb", Err(BadField::Value));
        check(write_rack_field, b"x", b"a\nb\rc", Err(BadField::Value));
    }

    #[test]
    fn rack_2_values_become_a_line_each() {
        check(write_rack_field, b"Set-Cookie", b"a=1\nb=2", Ok("Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n"));
        check(write_rack_field, b"x", b"\n\na\n\nb\n", Ok("x: a\r\nx: b\r\n"));
        check(write_rack_field, b"x", b"\n", Ok(""));
        let mut out = vec![];
        assert_eq!(write_rack_field(&mut out, b"", b"\n"), Err(BadField::Name));
    }
}
