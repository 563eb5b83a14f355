//! Bytes of strangers, written so that they stay within their place.

use alloc::vec::Vec;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends bytes as nginx does in its logs: what is no printable ASCII, and `"` and `\`, as `\xXX`.
pub(crate) fn plain(out: &mut Vec<u8>, bytes: &[u8]) {
    let is_safe = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
    runs(out, bytes, is_safe, |out, byte| {
        let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
        out.extend_from_slice(&[b'\\', b'x', high, low]);
    });
}

/// Appends what stands between the quotes of a JSON string. What is no UTF-8 becomes U+FFFD. What a terminal acts upon, or
/// some programs take for the end of a line, is escaped too.
pub(crate) fn json(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.is_ascii() {
        return json_ascii(out, bytes);
    }
    for chunk in bytes.utf8_chunks() {
        let text = chunk.valid();
        let mut start = 0;
        for (at, character) in text.char_indices().filter(|(_, character)| is_odd(*character)) {
            json_ascii_or_more(out, &text.as_bytes()[start..at]);
            unicode(out, character as u32);
            start = at + character.len_utf8();
        }
        json_ascii_or_more(out, &text.as_bytes()[start..]);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// Tells whether a character beyond ASCII ends lines or controls a terminal.
fn is_odd(character: char) -> bool {
    matches!(character, '\u{80}'..='\u{9f}' | '\u{2028}' | '\u{2029}')
}

fn json_ascii(out: &mut Vec<u8>, bytes: &[u8]) {
    let is_safe = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
    runs(out, bytes, is_safe, json_byte);
}

/// The same for bytes that are UTF-8.
fn json_ascii_or_more(out: &mut Vec<u8>, bytes: &[u8]) {
    let is_safe = |byte: u8| byte >= 0x20 && byte != 0x7f && byte != b'"' && byte != b'\\';
    runs(out, bytes, is_safe, json_byte);
}

fn json_byte(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => unicode(out, byte.into()),
    }
}

fn unicode(out: &mut Vec<u8>, code: u32) {
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        out.push(HEX[(code >> shift & 15) as usize].to_ascii_lowercase());
    }
}

/// Appends safe bytes together, and others as `escape` has them.
fn runs(out: &mut Vec<u8>, bytes: &[u8], is_safe: impl Fn(u8) -> bool, escape: impl Fn(&mut Vec<u8>, u8)) {
    let mut rest = bytes;
    loop {
        let end = rest.iter().position(|byte| !is_safe(*byte)).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..end]);
        let Some((byte, behind)) = rest[end..].split_first() else { return };
        escape(out, *byte);
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::String;

    fn shown(write: fn(&mut Vec<u8>, &[u8]), bytes: &[u8]) -> String {
        let mut out = Vec::new();
        write(&mut out, bytes);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn plain_text_is_escaped_as_nginx_does() {
        assert_eq!(shown(plain, b"/a b?c=\"d\"\\"), "/a b?c=\\x22d\\x22\\x5C");
        assert_eq!(shown(plain, b"\x00\x1b[2J\x7f\xff\n"), "\\x00\\x1B[2J\\x7F\\xFF\\x0A");
    }

    #[test]
    fn json_text_keeps_what_is_text_and_escapes_what_is_not() {
        assert_eq!(shown(json, b"a\"b\\c\nd\te\x1b\x7f"), "a\\\"b\\\\c\\nd\\te\\u001b\\u007f");
        assert_eq!(shown(json, "é\u{85}\u{2028}\"x".as_bytes()), "é\\u0085\\u2028\\\"x");
        assert_eq!(shown(json, b"\xffa\xc3"), "\u{fffd}a\u{fffd}");
    }

    proptest! {
        #[test]
        fn json_reads_back_what_was_written(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = std::format!("\"{}\"", shown(json, &bytes));
            prop_assert!(!text.chars().any(|character| character.is_control()));
            let read: String = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read, String::from_utf8_lossy(&bytes).into_owned());
        }

        #[test]
        fn plain_text_is_printable_ascii(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = shown(plain, &bytes);
            prop_assert!(text.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'"'));
        }
    }
}
