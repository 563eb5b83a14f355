//! Compares the parsers with the plain reference and with `httparse`; panics where they disagree.

use http1::Limits;
use http1::chunked::{Decoder, Step};
use http1::request::{Framing, HeadParser};

use super::naive;

/// Our parser accepts exactly what the reference accepts, and means the same.
pub fn head_with_naive(bytes: &[u8], limits: &Limits) {
    let mut parser = HeadParser::new();
    match (parser.parse(bytes, limits), naive::head(bytes)) {
        (Ok(Some(head)), Some(Some(naive))) => {
            let (length, chunked) = match head.framing {
                Framing::None => (None, false),
                Framing::Length(length) => (Some(length), false),
                Framing::Chunked => (None, true),
            };
            let copy = |span: http1::Span| span.of(bytes).to_vec();
            let ours = naive::Naive {
                method: copy(head.method),
                target: copy(head.target),
                fields: head.fields.iter().map(|field| (copy(field.name), copy(field.value))).collect(),
                length,
                chunked,
                keep_alive: head.keep_alive,
                len: head.len,
            };
            assert_eq!(ours, naive);
        }
        (Ok(None), None) | (Err(_), None | Some(None)) => {}
        (ours, naive) => panic!("ours {ours:?}, naive {naive:?}"),
    }
}

/// What our parser accepts, `httparse` accepts alike, but for versions above 1.1. The reverse does not hold.
pub fn head_with_httparse(bytes: &[u8], limits: &Limits) {
    let mut parser = HeadParser::new();
    let Ok(Some(head)) = parser.parse(bytes, limits) else { return };
    if std::str::from_utf8(head.target.of(bytes)).is_err() {
        // It refuses these, Unicorn does not.
        return;
    }
    let version = &bytes[head.target.range().end..];
    if matches!(version, [b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9', ..]) {
        return;
    }
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut theirs = httparse::Request::new(&mut fields);
    assert_eq!(theirs.parse(bytes), Ok(httparse::Status::Complete(head.len)));
    assert_eq!(theirs.method.unwrap().as_bytes(), head.method.of(bytes));
    assert_eq!(theirs.path.unwrap().as_bytes(), head.target.of(bytes));
    assert_eq!(theirs.headers.len(), head.fields.len());
    for (theirs, ours) in theirs.headers.iter().zip(&head.fields) {
        assert_eq!(theirs.name.as_bytes(), ours.name.of(bytes));
        assert_eq!(theirs.value, ours.value.of(bytes));
    }
}

/// Our decoder accepts exactly what the reference accepts, and means the same. For bodies without extensions.
pub fn chunked_with_naive(bytes: &[u8], limits: &Limits) {
    match (decode(bytes, limits), naive::chunked(bytes)) {
        (Ok(Some(ours)), Some(Some(naive))) => assert_eq!(ours, naive),
        (Ok(None), None) | (Err(_), None | Some(None)) => {}
        // The reference knows no limit of the trailer section.
        (Err(431), _) => {}
        (ours, naive) => panic!("ours {ours:?}, naive {naive:?}"),
    }
}

/// Decodes at once: the content and the length of the coded body; `None` when bytes are missing.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Option<(Vec<u8>, usize)>, u16> {
    let mut decoder = Decoder::new();
    let (mut content, mut at) = (Vec::new(), 0);
    loop {
        match decoder.decode(&bytes[at..], limits).map_err(|reject| reject.status)? {
            Step::Need => return Ok(None),
            Step::Data { skip, len } => {
                content.extend_from_slice(&bytes[at + skip..at + skip + len]);
                at += skip + len;
            }
            Step::Done { consumed } => return Ok(Some((content, at + consumed))),
        }
    }
}
