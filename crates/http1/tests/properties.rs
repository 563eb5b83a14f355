//! What holds for all inputs: nothing panics, splitting changes nothing, and the parsers agree with a plain reference
//! and with `httparse`.
#![allow(clippy::unwrap_used)]

mod support;

use http1::limits::Limits;
use http1::request::HeadParser;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use support::serve::serve;
use support::{compare, corpus};

/// Pieces that requests are made of, right and wrong ones.
const PIECES: &[&str] = &[
    "GET",
    "POST",
    "OPTIONS",
    "CONNECT",
    " ",
    " ",
    "/",
    "/a?b#c",
    "*",
    "http://h/x",
    "http://h",
    "http://h?x",
    "?",
    "#",
    "%",
    "%20",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/2.0",
    "\r\n",
    "\r\n",
    "\r\n",
    "\r\n\r\n",
    "\r",
    "\n",
    "\t",
    "\0",
    ":",
    ": ",
    "_",
    "Host: a\r\n",
    "Host: a:80\r\n",
    "Host:\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Content-Length",
    "Content_Length: 1\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "chunked",
    ",",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Expect: 100-continue\r\n",
    "Expect: x\r\n",
    "X: y\r\n",
    "x-y: z\r\n",
    "X_Y: z\r\n",
    "Content-Type: a/b\r\n",
    "5\r\nhello\r\n",
    "0\r\n\r\n",
    "0\r\n",
    "a;b=c\r\n0123456789\r\n",
    "hello",
    "GET / HTTP/1.1\r\nHost: a\r\n",
    "GET /b HTTP/1.0\r\n",
    "ü",
    "[::1]",
    "@",
    "close",
    "\x7f",
];

/// Requests put together of pieces.
fn assembled() -> impl Strategy<Value = Vec<u8>> {
    vec(select(PIECES), 0..24).prop_map(|pieces| pieces.concat().into_bytes())
}

/// Cases of the corpus with a few bytes changed, cut out or doubled.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let cases: Vec<_> = corpus::load().into_iter().map(|case| case.send).filter(|send| send.len() < 2_000).collect();
    let change = (any::<Index>(), 0..4_u8, select(b"\r\n\t\0 :;,/%#?_-a0\x7f\xff".to_vec()));
    (select(cases), vec(change, 0..4)).prop_map(|(mut bytes, changes)| {
        for (index, kind, byte) in changes {
            if bytes.is_empty() {
                break;
            }
            let at = index.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at),
            }
        }
        bytes
    })
}

fn requests() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![assembled(), mutated(), vec(any::<u8>(), 0..200)]
}

/// Limits so small that all of them are reached.
fn small_limits() -> impl Strategy<Value = Limits> {
    let (short, long) = (0..12_usize, 0..200_usize);
    let line = (long.clone(), short.clone(), short.clone(), short.clone(), short.clone());
    let rest = (short.clone(), short.clone(), 0..4_usize, long, proptest::option::of(0..10_u64), short.clone(), short);
    (line, rest).prop_map(|(line, rest)| {
        let (request_line, target, path, query, fragment) = line;
        let (field_name, field_value, fields, section, body, chunk_extension, trailer_section) = rest;
        Limits {
            request_line,
            target,
            path,
            query,
            fragment,
            field_name,
            field_value,
            fields,
            section,
            body,
            chunk_extension,
            trailer_section,
        }
    })
}

/// Cuts `bytes` at the given places.
fn cut<'a>(bytes: &'a [u8], places: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    places.sort_unstable();
    let mut from = 0;
    let mut pieces: Vec<_> = places.iter().map(|&to| &bytes[std::mem::replace(&mut from, to)..to]).collect();
    pieces.push(&bytes[from..]);
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn splitting_changes_nothing(bytes in requests(), places in vec(any::<Index>(), 0..5)) {
        let limits = Limits::default();
        let whole = serve([bytes.as_slice()], &limits);
        prop_assert_eq!(&serve(cut(&bytes, &places), &limits), &whole);
        prop_assert_eq!(&serve(bytes.chunks(1), &limits), &whole);
    }

    #[test]
    fn splitting_changes_nothing_at_any_limit(bytes in requests(), limits in small_limits()) {
        prop_assert_eq!(serve(bytes.chunks(1), &limits), serve([bytes.as_slice()], &limits));
    }

    #[test]
    fn heads_mean_what_the_plain_reference_says(bytes in requests()) {
        compare::head_with_naive(&bytes, &Limits::default());
    }

    #[test]
    fn httparse_reads_accepted_requests_alike(bytes in requests()) {
        compare::head_with_httparse(&bytes, &Limits::default());
    }

    #[test]
    fn repeated_keys_are_seen(names in vec("[xX][-_][aAbB]?|[hH]ost|[aA]ccept|[aA]cc_ept|content[-_]md5", 1..8)) {
        let fields: String = names.iter().map(|name| format!("{name}: v\r\n")).collect();
        let bytes = format!("GET / HTTP/1.0\r\n{fields}\r\n").into_bytes();
        let mut parser = HeadParser::new();
        let Ok(Some(head)) = parser.parse(&bytes, &Limits::default()) else { return Ok(()) };
        let keys: Vec<_> = names.iter().map(|name| name.to_lowercase().replace('_', "-")).collect();
        for (index, field) in head.fields.iter().enumerate() {
            prop_assert_eq!(field.again, keys[..index].contains(&keys[index]));
            prop_assert_eq!(field.underscore, names[index].contains('_'));
            let hyphen = |other: usize| keys[other] == keys[index] && !names[other].contains('_');
            let shadows = field.underscore && (0..names.len()).any(hyphen);
            prop_assert_eq!(head.shadows(&bytes, index), shadows);
        }
    }

    #[test]
    fn chunked_bodies_mean_what_the_plain_reference_says(
        pieces in vec(select(&["0", "5", "a", "hello", "0123456789", "\r\n", "\r\n", "\r\n", "0\r\n\r\n", "5\r\nhello\r\n",
            "\r", "\n", "x: y\r\n", "Host: a\r\n", ":", " ", "8000000000000000", "00000000000000001", "g", "+"][..]), 0..16)
    ) {
        compare::chunked_with_naive(pieces.concat().as_bytes(), &Limits::default());
    }

    #[test]
    fn content_survives_chunking(pieces in vec(vec(any::<u8>(), 1..300), 0..8), trailing in vec(any::<u8>(), 0..9)) {
        let mut coded = Vec::new();
        for piece in &pieces {
            coded.extend_from_slice(http1::response::chunk_header(piece.len() as u64).as_bytes());
            coded.extend_from_slice(piece);
            coded.extend_from_slice(b"\r\n");
        }
        coded.extend_from_slice(http1::response::LAST_CHUNK);
        let len = coded.len();
        coded.extend(trailing);
        prop_assert_eq!(compare::decode(&coded, &Limits::default()), Ok(Some((pieces.concat(), len))));
    }
}

#[test]
fn where_nothing_was_received_nothing_is_refused() {
    let limits = Limits { section: 0, ..Limits::default() };
    assert!(matches!(HeadParser::new().parse(b"", &limits), Ok(None)));
    assert_eq!(HeadParser::new().parse(b"G", &limits).unwrap_err().status, 431);
}
