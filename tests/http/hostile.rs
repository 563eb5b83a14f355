//! Promise: hostile bytes are refused by the running server as they are by its parser, whole or byte by byte, and an
//! application that answers with hostile bytes gets none of them out.
//!
//! The cases are those of `crates/http1/corpus`, where the sources of the attacks are named.

use std::collections::BTreeMap;
use std::time::Instant;

use testkit::http::Broken;
use testkit::{App, Connection, Request, Response, Server};

#[path = "../../crates/http1/tests/support/corpus.rs"]
#[allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]
mod corpus;

use corpus::{Case, Expect};

/// Tells what it was asked, in hexadecimal, in fields: a HEAD response has them too.
const MIRROR: &str = r##"
hex = ->(text) { text.unpack1("H*") }
run lambda { |env|
  body = env["rack.input"].read
  fields = env.select { |key, _| key.start_with?("HTTP_", "CONTENT_") }
  seen = { "method" => env["REQUEST_METHOD"], "uri" => env["REQUEST_URI"], "path" => env["PATH_INFO"],
           "query" => env["QUERY_STRING"], "scheme" => env["rack.url_scheme"], "body" => body }
  headers = seen.to_h { |key, value| ["x-#{key}", hex.(value)] }
  headers["x-env"] = fields.map { |key, value| "#{hex.(key)}=#{hex.(value)}" }.join(",") if fields.to_s.size < 20_000
  [200, headers, ["seen\n"]]
}
"##;

/// Longer cases are not sent byte by byte: that a socket cuts anywhere is shown by the short ones.
const LONG_BYTES: usize = 3_000;

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits");
    (0..text.len()).step_by(2).map(digit).collect()
}

fn seen(response: &Response, name: &str) -> Vec<u8> {
    response.field(&format!("x-{name}")).map(unhex).unwrap_or_default()
}

fn environment(response: &Response) -> Option<BTreeMap<Vec<u8>, Vec<u8>>> {
    let text = response.field("x-env")?;
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    Some(pairs.map(|(key, value)| (unhex(key), unhex(value))).collect())
}

/// Sends a case and compares what comes back with what is expected.
fn play(server: &Server, case: &Case, pieces: impl Iterator<Item = Vec<u8>>) -> Result<(), String> {
    // A UNIX socket: what a server has not read when it closes makes TCP lose its reply.
    let endpoint = server.endpoints().last().expect("there is one");
    let deadline = Instant::now() + testkit::patience();
    let mut connection = Connection::open(endpoint);
    for piece in pieces {
        connection.try_send(&piece, deadline).map_err(|error| format!("sending: {error:?}"))?;
    }
    connection.finish_sending();
    for expect in &case.expect {
        let method = match expect {
            Expect::Request(method, ..) => String::from_utf8_lossy(method).into_owned(),
            _ => "GET".to_owned(),
        };
        let received = connection.try_receive(&method, deadline);
        match (expect, received) {
            (Expect::Reject(status), Ok(response)) if response.status == *status && !response.keep_alive => {}
            // The client has gone in the middle of a request: a refusal or nothing at all.
            (Expect::Incomplete, Err(Broken::Reset)) => return Ok(()),
            (Expect::Incomplete, Ok(response)) if response.status == 400 => {}
            (Expect::Request(_, uri, properties), Ok(response)) if response.status == 200 => {
                compare(&response, &method, uri, properties)?;
            }
            (_, received) => return Err(format!("expected {expect:?}, got {received:?}")),
        }
    }
    match connection.read_to_end() {
        rest if rest.is_empty() => Ok(()),
        rest => Err(format!("and then {}", rest.escape_ascii())),
    }
}

fn compare(
    response: &Response,
    method: &str,
    uri: &[u8],
    properties: &[(String, Option<Vec<u8>>)],
) -> Result<(), String> {
    let differs = |what: &str, got: &[u8]| Err(format!("{what}: {}", got.escape_ascii()));
    if seen(response, "method") != method.as_bytes() {
        return differs("method", &seen(response, "method"));
    }
    if seen(response, "uri") != uri {
        return differs("uri", &seen(response, "uri"));
    }
    for (name, value) in properties {
        let Some(value) = value else {
            if (name == "close" && response.keep_alive) || (name == "keep" && !response.keep_alive) {
                return differs(name, b"");
            }
            continue;
        };
        match name.as_str() {
            "path" | "query" | "scheme" | "body" if seen(response, name) != *value => {
                return differs(name, &seen(response, name));
            }
            "field" => {
                let colon = value.iter().position(|byte| *byte == b':').expect("field=name:value");
                has_field(response, &value[..colon], &value[colon + 1..])?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// The field is in env, unless it is one that never gets there.
fn has_field(response: &Response, name: &[u8], value: &[u8]) -> Result<(), String> {
    let key = name.to_ascii_uppercase().iter().map(|b| if *b == b'-' { b'_' } else { *b }).collect::<Vec<u8>>();
    let key = if key.starts_with(b"CONTENT_") { key } else { [b"HTTP_", key.as_slice()].concat() };
    let dropped = name.contains(&b'_') || [&b"HTTP_VERSION"[..], b"HTTP_PROXY"].contains(&key.as_slice());
    let Some(env) = environment(response).filter(|_| !dropped) else { return Ok(()) };
    match env.get(&key) {
        Some(got) if got.windows(value.len().max(1)).any(|part| part == value) || got == value => Ok(()),
        got => Err(format!("{}: {got:?}", key.escape_ascii())),
    }
}

fn mirror(config: &str) -> Server {
    Server::builder().app(App::rackup(MIRROR)).config(config).unix_listeners(1).start()
}

#[track_caller]
fn play_all(cut: impl Fn(&[u8]) -> Option<Vec<Vec<u8>>>) {
    let mut server = mirror("");
    let cases = corpus::load_from(&testkit::program::repository().join("crates/http1/corpus"));
    assert!(cases.len() > 290, "only {} cases were found", cases.len());
    let mut failures = Vec::new();
    for case in &cases {
        let Some(pieces) = cut(&case.send) else { continue };
        if let Err(difference) = play(&server, case, pieces.into_iter()) {
            failures.push(format!("{}: {}", case.name, difference.chars().take(600).collect::<String>()));
        }
    }
    assert!(failures.is_empty(), "{} cases failed:\n{}", failures.len(), failures.join("\n"));
    // It is well after all of that.
    assert_eq!(server.get("/").status, 200);
    assert!(!server.log().text().contains("ERROR"), "something was logged");
    server.stop();
}

#[test]
fn every_case_has_its_outcome_over_a_socket() {
    play_all(|bytes| Some(vec![bytes.to_vec()]));
}

#[test]
fn every_case_has_its_outcome_byte_by_byte() {
    play_all(|bytes| (bytes.len() <= LONG_BYTES).then(|| bytes.chunks(1).map(<[u8]>::to_vec).collect()));
}

#[test]
fn names_with_an_underscore_neither_frame_nor_shadow() {
    for (config, alone) in [("", false), ("drop_underscore_headers false", true)] {
        let mut server = mirror(config);
        for fields in [
            "X-Forwarded-For: 1.1.1.1\r\nx_forwarded_for: 2.2.2.2",
            "X_FORWARDED-FOR: 2.2.2.2\r\nX-Forwarded-For: 1.1.1.1",
        ] {
            let mut connection = server.connect();
            connection.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n"));
            let env = environment(&connection.receive()).expect("it is small");
            assert_eq!(env[&b"HTTP_X_FORWARDED_FOR"[..]], b"1.1.1.1", "{config}: {fields}");
        }
        let mut connection = server.connect();
        let smuggled = "Content_Length: 27\r\nTransfer_Encoding: chunked\r\nX_User: a";
        connection
            .send(format!("GET / HTTP/1.1\r\nHost: a\r\n{smuggled}\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n"));
        let first = connection.receive();
        assert_eq!(seen(&first, "body"), b"", "{config}");
        assert_eq!(environment(&first).expect("it is small").contains_key(&b"HTTP_X_USER"[..]), alone, "{config}");
        assert_eq!(seen(&connection.receive(), "uri"), b"/second", "{config}");
        server.stop();
    }
}

#[test]
fn hostile_fields_of_a_response_never_get_out() {
    let app = r#"
      HOSTILE = [["X-A", "a\r\nSet-Cookie: x=1"], ["X-A", "a\rSet-Cookie: x=1"], ["X-A", "a\0b"],
                 ["X-A", ["fine", "b\r\nSet-Cookie: x=1"]], ["X-A", ["b\nSet-Cookie: x=1"]], ["X A", "a"],
                 ["X-A\r\nSet-Cookie", "x=1"], ["X-A:", "a"], ["", "a"], ["X-A", "a\u007f\e[2J"],
                 ["Content-Length", "5\r\nSet-Cookie: x=1"], ["Transfer-Encoding", "chunked\r\nSet-Cookie: x=1"],
                 ["Location", "/\r\n\r\nHTTP/1.1 200 OK\r\nSet-Cookie: x=1"]].freeze
      run ->(env) { [200, [HOSTILE[Integer(env["QUERY_STRING"])]], ["hello"]] }
    "#;
    let mut server = Server::builder().app(App::rackup(app)).start();
    for number in 0..13 {
        let mut connection = server.connect();
        let bytes = connection.request_raw(Request::get(&format!("/?{number}")).close().bytes());
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{number}: no head: {text}"));
        for line in head.split("\r\n") {
            let clean = !line.contains(['\r', '\n', '\0', '\u{7f}', '\u{1b}']);
            assert!(clean && !line.starts_with("Set-Cookie") && !line.starts_with("X A"), "{number}: {head:?}");
        }
        assert_eq!(body, "hello", "{number}: {head}");
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{number}: {text}");
    }
    server.stop();
}

#[test]
fn a_body_is_never_longer_than_declared_and_a_shorter_one_closes_the_connection() {
    let app = r#"
      class Pieces
        def initialize(pieces) = @pieces = pieces
        def each(&block) = @pieces.each(&block)
      end
      run lambda { |env|
        length, *pieces = env["QUERY_STRING"].split(",")
        pieces.map! { |size| "x" * Integer(size) }
        [200, { "Content-Length" => length }, env["PATH_INFO"] == "/array" ? pieces : Pieces.new(pieces)]
      }
    "#;
    let mut server = Server::builder().app(App::rackup(app)).start();
    for (query, complete) in [
        ("5,5", true),
        ("5,3,2", true),
        ("5,9", true),
        ("5,3,9,9", true),
        ("0,7", true),
        ("5,4", false),
        ("200000,3,4", false),
    ] {
        for path in ["/array", "/each"] {
            let mut connection = server.connect();
            let next = Request::get("/each?2,2").close().bytes();
            let bytes = connection.request_raw([Request::get(&format!("{path}?{query}")).bytes(), next].concat());
            let text = String::from_utf8_lossy(&bytes);
            let (head, rest) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path} {query}: no head: {text}"));
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse::<usize>().ok());
            let body = rest.bytes().take_while(|byte| *byte == b'x').count();
            let what = format!("{path} {query}: {text}");
            match length {
                Some(length) if complete || body == length => {
                    assert_eq!(body, length, "{what}");
                    assert!(rest[length..].starts_with("HTTP/1.1 200") && rest.ends_with("\r\n\r\nxx"), "{what}");
                }
                // What was declared does not come: nothing else may.
                Some(length) => assert!(body < length && rest.len() == body, "{what}"),
                None => panic!("no length: {what}"),
            }
        }
    }
    server.stop();
}

#[test]
fn chunks_of_the_application_end_with_the_last_one() {
    let app = r##"
      class Pieces
        def initialize(pieces) = @pieces = pieces
        def each(&block) = @pieces.each(&block)
      end
      SPLIT = "HTTP/1.1 200 OK\r\nX-Split: yes\r\nContent-Length: 0\r\n\r\n"
      BODIES = [["5\r\nhello\r\n0\r\n\r\n", SPLIT], ["5\r\nhello\r\n0\r\n\r\n#{SPLIT}"],
                ["5\r\nhello\r\nzz\r\n#{SPLIT}"], ["5\r\nhello\r\n"], [SPLIT]].freeze
      run lambda { |env|
        pieces = BODIES[Integer(env["QUERY_STRING"])]
        [200, { "Transfer-Encoding" => "chunked" }, env["PATH_INFO"] == "/array" ? pieces : Pieces.new(pieces)]
      }
    "##;
    let mut server = Server::builder().app(App::rackup(app)).start();
    for (number, complete) in [true, true, false, false, false].into_iter().enumerate() {
        for path in ["/array", "/each"] {
            let next = Request::get("/each?0").close().bytes();
            let request = Request::get(&format!("{path}?{number}")).bytes();
            let bytes = server.connect().request_raw([request, next].concat());
            let text = String::from_utf8_lossy(&bytes);
            let what = format!("{path}?{number}: {text}");
            assert!(!text.contains("X-Split"), "{what}");
            assert_eq!(text.matches("HTTP/1.1 200").count(), if complete { 2 } else { 1 }, "{what}");
            assert_eq!(text.ends_with("\r\n5\r\nhello\r\n0\r\n\r\n"), complete, "{what}");
        }
    }
    server.stop();
}
