//! How much a client may send. The defaults are Unicorn's where it has one.

/// The limits of one connection. Sizes are in bytes; a size equal to the limit passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The request line without its CRLF; more is 414. Default 16,384 (Unicorn: none, its parts are limited).
    pub request_line: usize,
    /// The request target as sent; more is 414. Default 15,360 (Unicorn).
    pub target: usize,
    /// The path of the target; more is 414. Default 8,192 (Puma), so that each request line of 8,000 bytes passes (RFC
    /// 9112, section 3); Unicorn 4,096.
    pub path: usize,
    /// The query of the target; more is 414. Default 10,240 (Unicorn).
    pub query: usize,
    /// The fragment of the target; more is 414. Default 1,024 (Unicorn).
    pub fragment: usize,
    /// A field name; more is 431. Default 256 (Unicorn, which answers 400).
    pub field_name: usize,
    /// A field value without surrounding blanks; more is 431. Default 81,920 (Unicorn, which answers 400).
    pub field_value: usize,
    /// The number of field lines; more is 431. Default 100 (gunicorn; Unicorn: none).
    pub fields: usize,
    /// The whole head, request line and final CRLF included; more is 431. Default 114,689 (Unicorn, which answers 413).
    pub section: usize,
    /// The content, by its declared length or as decoded from chunks; more is 413. Default: no limit (Unicorn).
    pub body: Option<u64>,
    /// Chunk extensions in a body, as far as content of the same size does not pay for them; more is 400. Default 4,096.
    /// A limit for each chunk alone would let one byte of content carry so much.
    pub chunk_extension: usize,
    /// The trailer section of a chunked body, its final CRLF included; more is 431. Default 8,192 (Unicorn: as the head).
    pub trailer_section: usize,
}

impl Limits {
    /// None at all, for what a program of our own wrote.
    pub const NONE: Self = Self {
        request_line: usize::MAX,
        target: usize::MAX,
        path: usize::MAX,
        query: usize::MAX,
        fragment: usize::MAX,
        field_name: usize::MAX,
        field_value: usize::MAX,
        fields: usize::MAX,
        section: usize::MAX,
        body: None,
        chunk_extension: usize::MAX,
        trailer_section: usize::MAX,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_line: 16_384,
            target: 15_360,
            path: 8_192,
            query: 10_240,
            fragment: 1_024,
            field_name: 256,
            field_value: 81_920,
            fields: 100,
            section: 114_689,
            body: None,
            chunk_extension: 4_096,
            trailer_section: 8_192,
        }
    }
}
