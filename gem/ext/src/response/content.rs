//! What kind of body the application returned.

use std::fs::File;

use magnus::{Value, prelude::*};

use crate::ffi::{Flow, Rb, element, ids, is_array, is_string, length, with_bytes};

/// A body by how it is sent.
pub(crate) enum Content {
    /// An Array of Strings, and how many bytes they are.
    Strings(Value, u64),
    /// A regular file.
    File(File, u64),
    /// Something that yields pieces.
    Pieces,
    /// Something that is called with the connection (Rack 3's streaming body).
    Stream,
    /// Nothing.
    Nothing,
}

impl Content {
    /// Returns the number of bytes if it is known.
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Self::Strings(_, bytes) | Self::File(_, bytes) => Some(*bytes),
            Self::Nothing => Some(0),
            Self::Pieces | Self::Stream => None,
        }
    }
}

/// Finds out.
///
/// # Errors
/// It is none of these: the text to raise.
pub(crate) fn classify(rb: Rb<'_>, body: Value, asks_for_arrays: bool) -> Result<Content, String> {
    if is_array(body) {
        return Ok(strings(rb, body));
    }
    if body.is_nil() {
        return Ok(Content::Nothing);
    }
    if rb.responds(body, ids().to_path) {
        if let Some((file, bytes)) = open(rb.call(body, ids().to_path, &[])) {
            return Ok(Content::File(file, bytes));
        }
    }
    if rb.responds(body, ids().each) {
        if asks_for_arrays && rb.responds(body, ids().to_ary) {
            let array = rb.to_array(body);
            return Ok(if is_array(array) { strings(rb, array) } else { Content::Pieces });
        }
        // It has all its pieces already, so that asking for them takes no time: then the length is known beforehand.
        // Its `to_ary` is called before Rack 3 only, where it may be nil; since then it is an Array, and closes the body.
        if rb.responds(body, ids().to_ary) {
            let pieces = rb.array();
            rb.each(body, |rb, piece, _| {
                rb.push(pieces, piece);
                Flow::Continue
            });
            return Ok(strings(rb, pieces));
        }
        return Ok(Content::Pieces);
    }
    if rb.responds(body, ids().call) {
        return Ok(Content::Stream);
    }
    Err("the body answers neither each nor call".to_owned())
}

fn strings(rb: Rb<'_>, array: Value) -> Content {
    let mut bytes = 0;
    let mut index = 0;
    while index < length(array) {
        let piece = element(array, index);
        if !is_string(piece) {
            return converted(rb, array);
        }
        bytes += with_bytes(piece, <[u8]>::len) as u64;
        index += 1;
    }
    Content::Strings(array, bytes)
}

/// Some elements are no Strings: a new Array with what `to_s` makes of them.
fn converted(rb: Rb<'_>, array: Value) -> Content {
    let texts = rb.array();
    let mut bytes = 0;
    let mut index = 0;
    while index < length(array) {
        let text = rb.to_string(element(array, index));
        bytes += with_bytes(text, <[u8]>::len) as u64;
        rb.push(texts, text);
        index += 1;
    }
    Content::Strings(texts, bytes)
}

/// Opens what `to_path` named, if it is a regular file that can be read. Otherwise the body's `each` may still work.
fn open(path: Value) -> Option<(File, u64)> {
    use std::os::unix::ffi::OsStrExt;
    // A FIFO would make the worker wait for a writer, with the lock of the interpreter. See open(2), `O_NONBLOCK`.
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
    let open = |path: &[u8]| rustix::fs::open(std::ffi::OsStr::from_bytes(path), flags, rustix::fs::Mode::empty());
    let file = File::from(with_bytes(path, open).ok()?);
    let metadata = file.metadata().ok()?;
    metadata.is_file().then_some((file, metadata.len()))
}
