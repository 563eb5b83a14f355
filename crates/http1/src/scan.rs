//! Byte classes, and searches that look at eight bytes at a time.
//!
//! Byte classes aside, all searches are [`find`]: the usual trick on words, where subtracting from each byte borrows into
//! the top bit of those that were smaller. Borrows also mark bytes above a true hit, so only the lowest mark counts.

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

/// Marks zero bytes by their top bits; the lowest mark is exact.
#[inline]
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & TOPS
}

/// Marks bytes below `least`, and DEL, by their top bits. The lowest mark may be wrong: adding 1 carries out of 0xff.
#[inline]
const fn below_or_del(word: u64, least: u8) -> u64 {
    (word.wrapping_sub(repeat(least)) | word.wrapping_add(ONES)) & !word & TOPS
}

/// Returns the offset of the first byte at or behind `from` that `stops` accepts, or the length. `marks` marks the top
/// bit of at least these bytes of a word, the lowest first.
#[inline(always)]
fn find(buf: &[u8], from: usize, marks: impl Fn(u64) -> u64, stops: impl Fn(u8) -> bool) -> usize {
    let Some(mut rest) = buf.get(from..) else { return buf.len() };
    let mut at = from;
    while let Some((word, behind)) = rest.split_first_chunk::<8>() {
        let hits = marks(u64::from_le_bytes(*word));
        if hits != 0 {
            let hit = at + hits.trailing_zeros() as usize / 8;
            if stops(buf[hit]) {
                return hit;
            }
            // A false mark, or a byte that is excepted: rare. What follows it in this word was not looked at.
            if let Some(more) = word.iter().position(|&byte| stops(byte)) {
                return at + more;
            }
        }
        (rest, at) = (behind, at + 8);
    }
    at + rest.iter().position(|&byte| stops(byte)).unwrap_or(rest.len())
}

/// Returns the offset of the first `:` at or behind `from`, or the length.
#[inline]
pub(crate) fn find_colon(buf: &[u8], from: usize) -> usize {
    find(buf, from, |word| zeros(word ^ repeat(b':')), |byte| byte == b':')
}

/// Returns the offset of the first control byte other than HTAB at or behind `from`, or the length.
#[inline]
pub(crate) fn value_end(buf: &[u8], from: usize) -> usize {
    find(buf, from, |word| below_or_del(word, 0x20), |byte| class(byte) & CONTROL != 0)
}

/// Returns the offset of the first byte at or behind `from` that ends a request target (SP or a control), or the length.
#[inline]
pub(crate) fn target_end(buf: &[u8], from: usize) -> usize {
    find(buf, from, |word| below_or_del(word, 0x21), |byte| byte <= 0x20 || byte == 0x7f)
}

/// Returns the offset of the first `?`, `#` or `%` at or behind `from`, or the length.
#[inline]
pub(crate) fn find_special(buf: &[u8], from: usize) -> usize {
    let marks = |word| zeros(word ^ repeat(b'?')) | zeros(word ^ repeat(b'#')) | zeros(word ^ repeat(b'%'));
    find(buf, from, marks, |byte| matches!(byte, b'?' | b'#' | b'%'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn each_search_finds_each_byte_at_each_place_behind_each_start() {
        for len in 0..27 {
            for at in 0..=len {
                for byte in 0..=255 {
                    for fill in [b'a', 0xff, 0x7e, b'\t', b'!'] {
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
                            assert_eq!(find_colon(&buf, from), naive(&|b| b == b':'), "{buf:?} {from}");
                            assert_eq!(find_special(&buf, from), naive(&|b| b"?#%".contains(&b)), "{buf:?} {from}");
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
