//! Byte classes, and searches that look at eight or sixteen bytes at a time.
//!
//! Eight at a time is the usual trick on words: subtracting 1 from each byte borrows into the top bit of those that were
//! zero. A borrow may also mark bytes above a true hit, so only the lowest mark is believed.

/// The byte is no token character (RFC 9110, section 5.6.2).
pub(crate) const NOT_TOKEN: u8 = 1;
/// The byte is `_`.
pub(crate) const UNDERSCORE: u8 = 2;
/// The byte may not occur in a registered name or an IPv4 address of a URI (RFC 3986, section 3.2.2), `%` aside.
pub(crate) const NOT_REG_NAME: u8 = 4;
/// The byte is a control other than HTAB.
pub(crate) const CONTROL: u8 = 8;

const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);

/// The classes of each byte.
pub(crate) static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        let alnum = byte.is_ascii_alphanumeric();
        let mut class = 0;
        if !(alnum || is_one_of(byte, b"!#$%&'*+-.^_`|~")) {
            class |= NOT_TOKEN;
        }
        if byte == b'_' {
            class |= UNDERSCORE;
        }
        if !(alnum || is_one_of(byte, b"-._~!$&'()*+,;=")) {
            class |= NOT_REG_NAME;
        }
        if byte.is_ascii_control() && byte != b'\t' {
            class |= CONTROL;
        }
        table[at] = class;
        at += 1;
    }
    table
}

const fn is_one_of(byte: u8, set: &[u8]) -> bool {
    let mut at = 0;
    while at < set.len() {
        if set[at] == byte {
            return true;
        }
        at += 1;
    }
    false
}

/// Returns the classes of one byte.
#[inline]
pub(crate) fn class(byte: u8) -> u8 {
    CLASS[usize::from(byte)]
}

/// Returns the classes that occur in `bytes`.
#[inline]
pub(crate) fn classes_of(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |seen, &byte| seen | class(byte))
}

/// Tells whether `name` is a token.
pub(crate) fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && classes_of(name) & NOT_TOKEN == 0
}

#[inline]
const fn repeat(byte: u8) -> u64 {
    ONES * byte as u64
}

/// Loads eight bytes as a number whose lowest byte is the first.
#[inline]
pub(crate) fn word(buf: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*buf.get(at..)?.first_chunk()?))
}

/// Marks zero bytes by their top bits; the lowest mark is exact.
#[inline]
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & TOPS
}

/// Marks bytes below `least` and DEL by their top bits; the lowest mark is exact.
#[inline]
const fn below_or_del(word: u64, least: u8) -> u64 {
    (word.wrapping_sub(repeat(least)) & !word & TOPS) | zeros(word ^ repeat(0x7f))
}

/// Returns the offset of the first `:` at or behind `from`, or `None`.
#[inline]
pub(crate) fn find_colon(buf: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(word) = word(buf, at) {
        let hits = zeros(word ^ repeat(b':'));
        if hits != 0 {
            return Some(at + first(hits));
        }
        at += 8;
    }
    Some(at + buf.get(at..)?.iter().position(|&byte| byte == b':')?)
}

/// Returns the offset of the first control byte other than HTAB at or behind `from`, or the length.
#[inline]
pub(crate) fn value_end(buf: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(block) = buf.get(at..).and_then(|rest| rest.first_chunk::<16>()) {
        // Without early exit, so that it becomes vector instructions.
        let control = |byte: u8| ((byte < 0x20) & (byte != b'\t')) | (byte == 0x7f);
        if block.iter().fold(false, |any, &byte| any | control(byte)) {
            break;
        }
        at += 16;
    }
    while let Some(word) = word(buf, at) {
        let hits = below_or_del(word, 0x20);
        if hits == 0 {
            at += 8;
            continue;
        }
        at += first(hits);
        if buf[at] != b'\t' {
            return at;
        }
        at += 1;
    }
    while buf.get(at).is_some_and(|&byte| class(byte) & CONTROL == 0) {
        at += 1;
    }
    at.min(buf.len())
}

/// Returns the offset of the first byte at or behind `from` that ends a request target (SP or a control), or the length.
#[inline]
pub(crate) fn target_end(buf: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(word) = word(buf, at) {
        let hits = below_or_del(word, 0x21);
        if hits != 0 {
            return at + first(hits);
        }
        at += 8;
    }
    while buf.get(at).is_some_and(|&byte| byte > 0x20 && byte != 0x7f) {
        at += 1;
    }
    at.min(buf.len())
}

/// Returns the index of the first marked byte.
#[inline]
const fn first(hits: u64) -> usize {
    hits.trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn each_search_finds_each_byte_at_each_place_behind_each_start() {
        for len in 0..40 {
            for at in 0..=len {
                for byte in 0..=255 {
                    for fill in [b'a', 0xff, b'\t', b'!'] {
                        let mut buf = vec![fill; len];
                        if let Some(place) = buf.get_mut(at) {
                            *place = byte;
                        }
                        for from in [0, at.min(1), at] {
                            let naive = |stops: &dyn Fn(u8) -> bool| {
                                buf[from..].iter().position(|&b| stops(b)).map_or(len, |found| from + found)
                            };
                            let control = |b: u8| b.is_ascii_control() && b != b'\t';
                            assert_eq!(value_end(&buf, from), naive(&control), "{buf:?} {from}");
                            assert_eq!(target_end(&buf, from), naive(&|b| b <= 0x20 || b == 0x7f), "{buf:?} {from}");
                            assert_eq!(find_colon(&buf, from).unwrap_or(len), naive(&|b| b == b':'), "{buf:?} {from}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn token_characters_are_those_of_the_rfc() {
        let tokens = (0..=255u8).filter(|&byte| class(byte) & NOT_TOKEN == 0).count();
        assert_eq!(tokens, 26 * 2 + 10 + 15);
        assert!(is_token(b"X-1_~") && !is_token(b"") && !is_token(b"a b") && !is_token("ß".as_bytes()));
    }
}
