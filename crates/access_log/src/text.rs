//! Numbers in lines, and texts of limited length.

use alloc::vec::Vec;

/// The first bytes of a text.
pub(crate) fn cut(bytes: &[u8], most: usize) -> &[u8] {
    &bytes[..bytes.len().min(most)]
}

/// Digits.
pub(crate) fn number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Three digits at least.
pub(crate) fn padded(out: &mut Vec<u8>, value: u32) {
    for least in [100, 10] {
        if value < least {
            out.push(b'0');
        }
    }
    number(out, value.into());
}

/// Milliseconds with three decimals.
pub(crate) fn ms(out: &mut Vec<u8>, ns: u64) {
    let microseconds = ns / 1_000;
    number(out, microseconds / 1_000);
    out.push(b'.');
    padded(out, (microseconds % 1_000) as u32);
}
