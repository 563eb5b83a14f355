//! How the parsers behave as objects: reuse, reset, early refusal, configured limits, wrong use.
#![allow(clippy::unwrap_used)]

use http1::Limits;
use http1::chunked::{Decoder, Step};
use http1::request::{HeadParser, KnownName, Method, TargetForm, Version};

const GET: &[u8] = b"GET /a?b HTTP/1.1\r\nHost: a\r\nX_Y: 1\r\nX-Y: 2\r\n\r\n";

/// The status that a whole request is refused with.
#[track_caller]
fn refused(request: &str, limits: &Limits, status: u16) {
    let mut parser = HeadParser::new();
    let outcome = parser.parse(request.as_bytes(), limits);
    assert_eq!(outcome.map(|head| head.is_some()).map_err(|reject| reject.status), Err(status), "{request}");
}

#[test]
fn a_head_says_what_the_bytes_say() {
    let mut parser = HeadParser::new();
    let head = parser.parse(GET, &Limits::default()).unwrap().unwrap();
    assert_eq!((head.method.of(GET), head.known_method), (&b"GET"[..], Method::Get));
    assert_eq!((head.form, head.version, head.host), (TargetForm::Origin, Version::Http11, Some(0)));
    assert_eq!((head.path.of(GET), head.query.unwrap().of(GET)), (&b"/a"[..], &b"b"[..]));
    assert_eq!(head.len, GET.len());
    let known: Vec<_> = head.fields.iter().map(|field| (field.known, field.underscore, field.again)).collect();
    let other = KnownName::Other;
    assert_eq!(known, [(KnownName::Host, false, false), (other, true, false), (other, false, true)]);
    assert!(head.shadows(GET, 1) && !head.shadows(GET, 2) && !head.shadows(GET, 99));
}

#[test]
fn a_parser_is_reused_without_a_trace_and_without_allocation() {
    let limits = Limits::default();
    let mut parser = HeadParser::new();
    let big = b"POST http://h/p?q#f HTTP/1.0\r\nContent-Length: 3\r\nConnection: keep-alive\r\nX: 1\r\nX: 2\r\nHost: b\r\n\r\n";
    let fresh = format!("{:?}", HeadParser::new().parse(GET, &limits));
    parser.parse(big, &limits).unwrap().unwrap();
    let place = parser.head().fields.as_ptr();
    assert_eq!(format!("{:?}", parser.parse(GET, &limits)), fresh);
    parser.parse(b"BAD\0", &limits).unwrap_err();
    assert_eq!(format!("{:?}", parser.parse(GET, &limits)), fresh);
    assert_eq!(parser.parse(&big[..60], &limits).unwrap().map(|head| head.len), None);
    parser.reset();
    assert_eq!(format!("{:?}", parser.parse(GET, &limits)), fresh);
    assert_eq!(parser.head().fields.as_ptr(), place);
}

#[test]
fn bytes_that_cannot_become_a_request_are_refused_at_once() {
    let limits = Limits::default();
    for start in ["\x16", "\n", "\0", "{", "GET\t", "GET /\n", "GET / F", "GET / HTTP/1.1\n", "GET / HTTP/1.1\r\n "] {
        refused(start, &limits, 400);
    }
    for line in ["a b", "a\r", ":", "Host: \0", "Host: a\n", "Host: a\r\nHost: b\r\n", "Content-Length: x\r\n"] {
        refused(&format!("GET / HTTP/1.1\r\n{line}"), &limits, 400);
    }
}

#[test]
fn each_limit_can_be_configured_and_has_its_status() {
    let default = Limits::default;
    let request = |target: &str, fields: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    refused(&request("/abc", ""), &Limits { request_line: 16, ..default() }, 414);
    refused(&request("/abc", ""), &Limits { target: 3, ..default() }, 414);
    refused(&request("/abc", ""), &Limits { path: 3, ..default() }, 414);
    refused(&request("/?abc", ""), &Limits { query: 2, ..default() }, 414);
    refused(&request("/#abc", ""), &Limits { fragment: 2, ..default() }, 414);
    refused(&request("/", "Abcde: 1\r\n"), &Limits { field_name: 4, ..default() }, 431);
    refused(&request("/", "Abc: 12345\r\n"), &Limits { field_value: 4, ..default() }, 431);
    refused(&request("/", "A: 1\r\n"), &Limits { fields: 1, ..default() }, 431);
    refused(&request("/", ""), &Limits { section: 26, ..default() }, 431);
    refused(&request("/", "Content-Length: 11\r\n"), &Limits { body: Some(10), ..default() }, 413);
    let least = Limits {
        section: 27,
        fields: 1,
        field_name: 4,
        field_value: 1,
        request_line: 14,
        target: 1,
        path: 1,
        ..default()
    };
    assert!(HeadParser::new().parse(request("/", "").as_bytes(), &least).unwrap().is_some());
    let ten = Limits { body: Some(10), ..default() };
    assert!(HeadParser::new().parse(request("/", "Content-Length: 10\r\n").as_bytes(), &ten).unwrap().is_some());
}

#[test]
fn chunked_bodies_have_their_limits_too() {
    let decode = |body: &str, limits: Limits| {
        let mut decoder = Decoder::new();
        let (mut at, mut steps) = (0, 0);
        loop {
            steps += 1;
            assert!(steps < 100);
            match decoder.decode(&body.as_bytes()[at..], &limits).map_err(|reject| reject.status)? {
                Step::Data { skip, len } => at += skip + len,
                Step::Need => return Ok(None),
                Step::Done { consumed } => return Ok(Some(at + consumed)),
            }
        }
    };
    let ten = || Limits { body: Some(10), ..Limits::default() };
    assert_eq!(decode("5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n", ten()), Ok(Some(25)));
    assert_eq!(decode("5\r\nhello\r\n6\r\n", ten()), Err(413));
    assert_eq!(decode("ffffffff\r\n", ten()), Err(413));
    let strict = || Limits { chunk_extension: 2, trailer_section: 6, ..Limits::default() };
    assert_eq!(decode("1;a\r\nx\r\n0\r\n\r\n", strict()), Ok(Some(13)));
    assert_eq!(decode("1;ab\r\nx\r\n0\r\n\r\n", strict()), Err(400));
    assert_eq!(decode("0\r\na:\r\n\r\n", strict()), Ok(Some(9)));
    assert_eq!(decode("0\r\nab:\r\n\r\n", strict()), Err(431));
}

#[test]
fn a_decoder_that_ended_or_failed_stays_so() {
    let limits = Limits::default();
    let mut decoder = Decoder::new();
    assert_eq!(decoder.decode(b"0\r\n\r\nGET", &limits), Ok(Step::Done { consumed: 5 }));
    for input in [&b""[..], b"GET"] {
        assert_eq!(decoder.decode(input, &limits), Ok(Step::Done { consumed: 0 }));
    }
    let mut decoder = Decoder::new();
    for input in [&b"x"[..], b"0\r\n\r\n"] {
        assert_eq!(decoder.decode(input, &limits).unwrap_err().status, 400);
    }
    assert!(!decoder.is_done());
}

#[test]
fn a_buffer_that_shrank_against_the_rules_does_no_harm() {
    let limits = Limits::default();
    for first in 0..GET.len() {
        for second in 0..first {
            let mut parser = HeadParser::new();
            let _ = parser.parse(&GET[..first], &limits);
            let _ = parser.parse(&GET[..second], &limits);
            let _ = parser.parse(&GET[..second], &Limits { section: 5, ..Limits::default() });
        }
    }
}
