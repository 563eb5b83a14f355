//! Response heads: the table of body framings, and that nothing malformed gets out whatever the application says.
#![allow(clippy::unwrap_used)]

use http1::request::Version::{Http10, Http11};
use http1::request::{HeadParser, Version};
use http1::response::BodyFraming::{self, Chunked, Length, None as Nothing, Prechunked, Unchunk, UntilClose};
use http1::response::{
    Asked, BadField, Plan, Writer, chunk_header, finish_interim, write_rack_field, write_status_line,
};
use proptest::collection::vec;
use proptest::prelude::*;

const GET: Asked = Asked { version: Http11, head: false, keep_alive: true, upgrade: false };
const GET_10: Asked = Asked { version: Http10, ..GET };
const HEAD: Asked = Asked { head: true, ..GET };
const LAST: Asked = Asked { keep_alive: false, ..GET };

type Fields<'a> = &'a [(&'a str, &'a str)];

/// Writes a head; the plan and the field lines.
fn write(asked: Asked, status: u16, fields: Fields, known: Option<u64>) -> (Plan, String) {
    let mut out = Vec::new();
    let mut writer = Writer::begin(&mut out, asked, status, None, b"");
    for (name, value) in fields {
        writer.field(&mut out, name.as_bytes(), value.as_bytes()).unwrap();
    }
    let plan = writer.finish(&mut out, known);
    let text = String::from_utf8(out).unwrap();
    let lines = text.split_once("\r\n").unwrap().1.strip_suffix("\r\n").unwrap().replace("\r\n", "|");
    (plan, lines)
}

#[track_caller]
fn check(asked: Asked, status: u16, fields: Fields, known: Option<u64>, framing: BodyFraming, keep: bool, lines: &str) {
    let (plan, written) = write(asked, status, fields, known);
    assert_eq!((plan, written.as_str()), (Plan { framing, keep_alive: keep }, lines));
}

const LENGTH: (&str, &str) = ("content-length", "5");
const CODING: (&str, &str) = ("Transfer-Encoding", "chunked");

#[test]
fn a_declared_length_frames_the_body() {
    check(GET, 200, &[LENGTH], None, Length(5), true, "Content-Length: 5|");
    check(GET, 200, &[LENGTH], Some(7), Length(5), true, "Content-Length: 5|");
    check(GET, 200, &[("Content-Length", " 005 "), LENGTH], None, Length(5), true, "Content-Length: 5|");
    check(GET_10, 200, &[LENGTH], None, Length(5), true, "Content-Length: 5|Connection: keep-alive|");
    check(LAST, 200, &[LENGTH], None, Length(5), false, "Content-Length: 5|Connection: close|");
    check(GET, 205, &[LENGTH], None, Nothing, true, "Content-Length: 0|");
}

#[test]
fn a_known_length_frames_a_body_of_which_nothing_was_said() {
    check(GET, 200, &[], Some(0), Length(0), true, "Content-Length: 0|");
    check(GET, 404, &[], Some(9), Length(9), true, "Content-Length: 9|");
    check(GET_10, 200, &[], Some(9), Length(9), true, "Content-Length: 9|Connection: keep-alive|");
}

#[test]
fn a_body_of_unknown_length_is_chunked_or_ends_with_the_connection() {
    check(GET, 200, &[], None, Chunked, true, "Transfer-Encoding: chunked|");
    check(LAST, 200, &[], None, Chunked, false, "Transfer-Encoding: chunked|Connection: close|");
    check(GET_10, 200, &[], None, UntilClose, false, "Connection: close|");
}

#[test]
fn an_application_that_chunks_is_believed_and_its_length_is_not() {
    check(GET, 200, &[CODING], None, Prechunked, true, "Transfer-Encoding: chunked|");
    check(GET, 200, &[LENGTH, CODING], Some(9), Prechunked, true, "Transfer-Encoding: chunked|");
    check(GET, 200, &[("transfer-encoding", "gzip, Chunked")], None, Prechunked, true, "Transfer-Encoding: chunked|");
    check(GET_10, 200, &[CODING], None, Unchunk, false, "Connection: close|");
    check(GET, 200, &[("Transfer-Encoding", "identity")], None, Chunked, true, "Transfer-Encoding: chunked|");
}

#[test]
fn responses_without_a_body_have_none_whatever_is_said() {
    check(HEAD, 200, &[LENGTH], None, Nothing, true, "Content-Length: 5|");
    check(HEAD, 200, &[], Some(0), Nothing, true, "");
    check(HEAD, 200, &[CODING], None, Nothing, true, "");
    check(GET, 304, &[LENGTH], Some(0), Nothing, true, "Content-Length: 5|");
    check(GET, 204, &[LENGTH, CODING], Some(0), Nothing, true, "");
    check(GET, 100, &[LENGTH], None, Nothing, true, "");
    check(GET_10, 204, &[], None, Nothing, true, "Connection: keep-alive|");
}

#[test]
fn the_application_may_close_but_not_keep_the_connection() {
    check(GET, 200, &[LENGTH, ("connection", "Close")], None, Length(5), false, "Content-Length: 5|Connection: close|");
    let keep = ("Connection", "keep-alive");
    check(LAST, 200, &[LENGTH, keep], None, Length(5), false, "Content-Length: 5|Connection: close|");
    check(GET, 200, &[LENGTH, keep, ("Keep-Alive", "timeout=99")], None, Length(5), true, "Content-Length: 5|");
    check(GET, 200, &[LENGTH, ("Connection", "upgrade")], None, Length(5), true, "Content-Length: 5|");
}

#[test]
fn another_protocol_takes_the_connection_over() {
    let fields = [("Upgrade", "websocket"), ("Connection", "Upgrade")];
    check(GET, 101, &fields, None, UntilClose, false, "Upgrade: websocket|Connection: upgrade|");
}

#[test]
fn the_server_names_the_protocol_that_was_chosen() {
    for (protocol, lines) in [("websocket", "Upgrade: websocket|Connection: upgrade|"), ("a\rb", "Connection: close|")]
    {
        let mut out = Vec::new();
        let mut writer = Writer::begin(&mut out, Asked { upgrade: true, ..GET }, 101, None, b"");
        let written = writer.upgrade(&mut out, protocol.as_bytes());
        assert_eq!(written.is_ok(), lines.starts_with("Upgrade"));
        writer.finish_hijacked(&mut out);
        let text = String::from_utf8(out).unwrap().replace("\r\n", "|");
        assert_eq!(text, format!("HTTP/1.1 101 Switching Protocols|{lines}|"));
    }
}

#[test]
fn a_partly_hijacked_response_is_framed_by_the_application() {
    for (fields, lines) in [
        (&[LENGTH][..], "Content-Length: 5\r\nConnection: close\r\n"),
        (&[CODING], "Transfer-Encoding: chunked\r\nConnection: close\r\n"),
        (&[], "Connection: close\r\n"),
        (&[("Connection", "upgrade")], "Connection: upgrade\r\n"),
    ] {
        let mut out = Vec::new();
        let mut writer = Writer::begin(&mut out, GET, 200, None, b"");
        fields.iter().for_each(|(name, value)| writer.field(&mut out, name.as_bytes(), value.as_bytes()).unwrap());
        writer.finish_hijacked(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("HTTP/1.1 200 OK\r\n{lines}\r\n"));
    }
}

#[test]
fn lengths_that_are_no_number_or_differ_are_refused() {
    let mut out = Vec::new();
    let mut writer = Writer::begin(&mut out, GET, 200, None, b"");
    for bad in ["", "x", "-1", "+1", "1,1", "1\n2", "18446744073709551616"] {
        assert_eq!(writer.field(&mut out, b"Content-Length", bad.as_bytes()), Err(BadField::ContentLength), "{bad}");
    }
    writer.field(&mut out, b"Content-Length", b"1").unwrap();
    assert_eq!(writer.field(&mut out, b"Content-Length", b"2"), Err(BadField::ContentLength));
    assert_eq!(writer.finish(&mut out, None).framing, Length(1));
}

#[test]
fn a_whole_head_reads_as_expected() {
    let mut out = Vec::new();
    let mut writer = Writer::begin(&mut out, GET_10, 200, None, b"Sun, 06 Nov 1994 08:49:37 GMT");
    for (name, value) in
        [("date", "never"), ("Content-Type", "text/plain"), ("Set-Cookie", "a=1\nb=2"), ("X-Empty", "")]
    {
        writer.field(&mut out, name.as_bytes(), value.as_bytes()).unwrap();
    }
    writer.field(&mut out, b"X", b"a\r\nSet-Cookie: x=1").unwrap_err();
    writer.finish(&mut out, Some(2));
    let expected = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\n\
        Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Empty: \r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn early_hints_are_checked_like_other_fields() {
    let mut out = Vec::new();
    write_status_line(&mut out, 103, None);
    write_rack_field(&mut out, b"Link", b"</a.css>\n</b.js>").unwrap();
    write_rack_field(&mut out, b"Link", b"</c>\rX: y").unwrap_err();
    finish_interim(&mut out);
    let expected = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nLink: </b.js>\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn chunk_headers_are_hex_without_leading_zeros() {
    for (len, text) in [(1, "1\r\n"), (16, "10\r\n"), (0xabc, "abc\r\n"), (u64::MAX, "ffffffffffffffff\r\n")] {
        assert_eq!(chunk_header(len).as_bytes(), text.as_bytes());
    }
}

#[test]
fn the_head_of_a_request_decides_how_it_is_answered() {
    let mut parser = HeadParser::new();
    let head =
        parser.parse(b"HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &Default::default()).unwrap().unwrap();
    assert_eq!(Asked::by(head, true), Asked { version: Http10, head: true, keep_alive: true, upgrade: false });
    assert!(!Asked::by(head, false).keep_alive);
}

fn versions() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Http10), Just(Http11)]
}

/// Names and values, usual ones and any bytes.
fn fields() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    let name =
        prop_oneof!["[A-Za-z-]{1,12}", "(?i)content-length|transfer-encoding|connection|date", "[ -~\r\n\0é]{0,6}"];
    let value = prop_oneof!["[0-9]{1,3}", "chunked|close|upgrade|keep-alive", "[ -~\t\r\n\0é]{0,40}"];
    vec((name.prop_map(String::into_bytes), value.prop_map(String::into_bytes)), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn whatever_the_application_says_the_head_is_one_head(
        version in versions(), head: bool, keep_alive: bool, status: u16, reason in proptest::option::of(vec(any::<u8>(), 0..9)),
        fields in fields(), known in proptest::option::of(any::<u64>()),
    ) {
        let mut out = Vec::new();
        let asked = Asked { version, head, keep_alive, upgrade: false };
        let mut writer = Writer::begin(&mut out, asked, status, reason.as_deref(), b"D");
        let mut lines = 0;
        for (name, value) in &fields {
            let before = out.len();
            match writer.field(&mut out, name, value) {
                Ok(()) => lines += out[before..].iter().filter(|&&byte| byte == b'\n').count(),
                Err(_) => prop_assert_eq!(out.len(), before),
            }
        }
        let plan = writer.finish(&mut out, known);
        prop_assert!(out.ends_with(b"\r\n\r\n"));
        prop_assert_eq!(out.windows(4).position(|window| window == b"\r\n\r\n"), Some(out.len() - 4));

        let mut parsed = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut parsed);
        prop_assert_eq!(response.parse(&out), Ok(httparse::Status::Complete(out.len())));
        let count = |name: &str| response.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).count();
        let framing = count("content-length") + count("transfer-encoding");
        prop_assert!(framing <= 1 && count("connection") <= 1 && count("date") == 1);
        prop_assert_eq!(response.headers.len(), lines + framing + count("connection") + 1);
        let delimited = match plan.framing {
            Chunked | Prechunked => count("transfer-encoding") == 1,
            Length(_) => count("content-length") == 1,
            Nothing => true,
            UntilClose | Unchunk => !plan.keep_alive && framing == 0,
        };
        prop_assert!(delimited);
        prop_assert!(keep_alive || !plan.keep_alive);
    }
}
