//! The chunked transfer coding on the way out, without allocation.

/// The end of a chunked body without trailer fields.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The line before the data of a chunk: its size in hex and CRLF. Another CRLF must follow the data.
#[derive(Clone, Copy, Debug)]
pub struct ChunkHeader {
    bytes: [u8; 18],
    start: u8,
}

impl ChunkHeader {
    /// Returns the bytes to write.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(usize::from(self.start)..).unwrap_or_default()
    }
}

/// Makes the line before `len` bytes of data. Never for 0 bytes: that would end the body; leave empty pieces out.
pub fn chunk_header(len: u64) -> ChunkHeader {
    let mut bytes = *b"0000000000000000\r\n";
    let mut rest = len;
    let mut start = 16;
    loop {
        start -= 1;
        bytes[start] = b"0123456789abcdef"[(rest & 15) as usize];
        rest >>= 4;
        if rest == 0 {
            return ChunkHeader { bytes, start: start as u8 };
        }
    }
}
