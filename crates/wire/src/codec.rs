//! Little-endian fields in and out of a byte string. Nothing here knows what a message means.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// The version byte of every message. A peer of another version is refused, never guessed at.
pub const VERSION: u8 = 2;

/// Why a datagram is no message of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The peer speaks another version.
    Version(u8),
    /// The kind byte means nothing in this direction.
    Kind(u8),
    /// A byte has no meaning where it stands.
    Value(u8),
    /// The datagram ended inside a field.
    Short,
    /// So many bytes were left over.
    Trailing(usize),
    /// A string is not UTF-8.
    Text,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(v) => write!(f, "message of version {v}, this side speaks {}", VERSION),
            Self::Kind(k) => write!(f, "unexpected message of kind {k}"),
            Self::Value(v) => write!(f, "byte {v} has no meaning where it stands"),
            Self::Short => write!(f, "message is cut short"),
            Self::Trailing(n) => write!(f, "message has {n} bytes left over"),
            Self::Text => write!(f, "text is not UTF-8"),
        }
    }
}

impl core::error::Error for DecodeError {}

pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new(version: u8, kind: u8) -> Self {
        let mut bytes = Vec::with_capacity(64);
        bytes.push(version);
        bytes.push(kind);
        Self(bytes)
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.0.extend_from_slice(value);
    }

    /// Writes the byte count, then the bytes. Lengths are bounded far below 4 GiB by `MAX_MESSAGE_BYTES`.
    pub(crate) fn string(&mut self, value: &str) {
        self.u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.0.extend_from_slice(value.as_bytes());
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.0.split_at_checked(count).ok_or(DecodeError::Short)?;
        self.0 = tail;
        Ok(head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(crate) fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(DecodeError::Value(other)),
        }
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn string(&mut self) -> Result<String, DecodeError> {
        let count = self.u32()? as usize;
        let bytes = self.take(count)?;
        core::str::from_utf8(bytes).map(String::from).map_err(|_| DecodeError::Text)
    }

    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.0.len())) }
    }
}

/// What a field of a message may be: how it is laid out.
pub(crate) trait Field: Sized {
    fn write(&self, w: &mut Writer);

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

impl Field for bool {
    fn write(&self, w: &mut Writer) {
        w.u8(u8::from(*self));
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.flag()
    }
}

impl Field for u32 {
    fn write(&self, w: &mut Writer) {
        w.u32(*self);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.u32()
    }
}

impl Field for u64 {
    fn write(&self, w: &mut Writer) {
        w.u64(*self);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.u64()
    }
}

impl Field for i32 {
    fn write(&self, w: &mut Writer) {
        w.u32(*self as u32);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.u32().map(|bits| bits as i32)
    }
}

/// Whether it is there, and then a number in any case.
impl Field for Option<u32> {
    fn write(&self, w: &mut Writer) {
        w.u8(u8::from(self.is_some()));
        w.u32(self.unwrap_or(0));
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let known = r.flag()?;
        let number = r.u32()?;
        Ok(known.then_some(number))
    }
}

impl Field for String {
    fn write(&self, w: &mut Writer) {
        w.string(self);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.string()
    }
}

impl Field for Vec<String> {
    fn write(&self, w: &mut Writer) {
        w.u32(u32::try_from(self.len()).unwrap_or(u32::MAX));
        for value in self {
            w.string(value);
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = r.u32()?;
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(r.string()?);
        }
        Ok(values)
    }
}
