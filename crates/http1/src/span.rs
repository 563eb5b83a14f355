//! A piece of a buffer by its offsets, so that a parsed head borrows nothing and its vectors are reused.

use core::ops::Range;

/// The bytes `start..end` of the buffer that was parsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The offset of the first byte.
    pub start: u32,
    /// The offset behind the last byte.
    pub end: u32,
}

impl Span {
    /// Makes a span of two offsets; those of a head fit into 32 bits because the parser limits its size.
    #[inline]
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    /// Returns the bytes of the buffer that was parsed; empty when the span lies outside of `buf`.
    #[inline]
    pub fn of(self, buf: &[u8]) -> &[u8] {
        buf.get(self.range()).unwrap_or_default()
    }

    /// Returns the offsets as a range.
    #[inline]
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Returns the number of bytes.
    #[inline]
    pub fn len(self) -> usize {
        self.range().len()
    }

    /// Tells whether there are no bytes.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.start >= self.end
    }
}
