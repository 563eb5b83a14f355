//! What a client gets of each response.

use testkit::http::Parser;
use testkit::{App, Builder, Server};

use crate::apps::{EXPECT, FINISH, GET, HEAD, KEPT, OLD, PRELUDE};
use crate::compare::Comparison;
use crate::pair::{Reply, Then, each, exchange};
use crate::responses_known::KNOWN;

/// How each list of applications is asked.
const KINDS: &[(&str, &[&str], &str)] = &[
    ("GET", GET, "GET /@ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    ("HEAD", HEAD, "HEAD /@ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    ("HTTP/1.0", OLD, "GET /@ HTTP/1.0\r\nHost: a\r\n\r\n"),
    ("finish", FINISH, "GET /@ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    ("kept", KEPT, "GET /@ HTTP/1.1\r\nHost: a\r\n\r\n"),
    (
        "expect",
        EXPECT,
        "POST /@ HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
    ),
];

fn server() -> Builder {
    let mut rackup = PRELUDE.to_owned();
    rackup.push_str("APPS = {\n");
    for (kind, apps, _) in KINDS {
        for (number, app) in apps.iter().enumerate() {
            rackup.push_str(&format!("  '/{kind}/{number}' => ->(env) {{ {app} }},\n"));
        }
    }
    rackup.push_str("}\nrun ->(env) { APPS.fetch(env['PATH_INFO']).call(env) }\n");
    Server::builder().app(App::rackup(rackup)).config("early_hints true")
}

/// A response taken apart, so that each part is compared by itself.
struct Parts(Vec<(&'static str, String)>);

impl Parts {
    fn whole(&self) -> String {
        let parts = self.0.iter().filter(|(_, text)| !text.is_empty());
        parts.map(|(name, text)| format!("{name}: {text}")).collect::<Vec<_>>().join("; ")
    }
}

fn parts(reply: &Reply, head: bool) -> Parts {
    let mut parts = Vec::new();
    let mut rest = &reply.bytes[..];
    let mut interim = Vec::new();
    let (lines, body) = loop {
        let Some((lines, body)) = split_head(rest) else {
            parts.push(("raw", shown(rest)));
            break (Vec::new(), &b""[..]);
        };
        let is_interim = lines[0].starts_with("HTTP/1.1 1") && !lines[0].starts_with("HTTP/1.1 101");
        if !is_interim || body.is_empty() {
            break (lines, body);
        }
        interim.push(lines.iter().filter(|line| !line.starts_with("Date: ")).cloned().collect::<Vec<_>>().join(" | "));
        rest = body;
    };
    parts.push(("interim", interim.join(" || ")));
    parts.push(("end", format!("{:?}", reply.end)));
    if lines.is_empty() {
        return Parts(parts);
    }
    let named = |name: &str| -> Vec<String> {
        let values = lines.iter().skip(1).filter_map(|line| line.split_once(": "));
        values.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).collect()
    };
    let apart = ["date", "connection", "content-length", "transfer-encoding"];
    let is_apart = |line: &&String| {
        line.split_once(':').is_some_and(|(name, _)| apart.contains(&name.to_ascii_lowercase().as_str()))
    };
    parts.push(("status", lines[0].clone()));
    parts.push(("date", if named("date").iter().any(|date| date.ends_with(" GMT")) { "yes" } else { "no" }.into()));
    parts.push(("connection", named("connection").join(" | ")));
    parts
        .push(("fields", lines.iter().skip(1).filter(|line| !is_apart(line)).cloned().collect::<Vec<_>>().join(" | ")));
    let (framing, content) = frame(&named("content-length"), &named("transfer-encoding"), body, head);
    parts.push(("framing", framing));
    parts.push(("body", shown(&content)));
    Parts(parts)
}

/// How the body is framed, and what it is without the framing.
fn frame(length: &[String], coding: &[String], body: &[u8], head: bool) -> (String, Vec<u8>) {
    let right = length == [body.len().to_string()];
    match (length, coding) {
        ([], []) => ("until close".into(), body.to_vec()),
        (_, []) if right && !head => ("its length".into(), body.to_vec()),
        (_, []) => (format!("length {} for {}", length.join(","), body.len()), body.to_vec()),
        ([], [coding]) if coding == "chunked" && !head => match dechunk(body) {
            Some(content) => ("chunked".into(), content),
            None => ("broken chunks".into(), body.to_vec()),
        },
        _ => (format!("length {} and {}", length.join(","), coding.join(",")), body.to_vec()),
    }
}

fn dechunk(body: &[u8]) -> Option<Vec<u8>> {
    let mut parser = Parser::new("GET");
    parser.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").expect("a head");
    let rest = parser.feed(body).ok()?;
    (parser.is_complete() && rest == 0).then(|| parser.into_response().body)
}

fn split_head(bytes: &[u8]) -> Option<(Vec<String>, &[u8])> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let lines: Vec<String> = head.split("\r\n").map(|line| shown(line.as_bytes())).collect();
    lines[0].starts_with("HTTP/").then_some((lines, &bytes[end + 4..]))
}

/// Readable, and long runs short.
fn shown(bytes: &[u8]) -> String {
    if bytes.len() > 1000 {
        let sum = bytes.iter().fold(5381_u32, |sum, byte| sum.wrapping_mul(33) ^ u32::from(*byte));
        return format!("{} bytes {sum:08x}", bytes.len());
    }
    bytes.escape_ascii().to_string()
}

fn ask(server: &Server) -> Vec<(String, Parts)> {
    let mut answers = Vec::new();
    // The first list ends with what ends the worker.
    for (kind, apps, request) in KINDS.iter().rev() {
        let then = if *kind == "finish" { Then::Finish } else { Then::Wait };
        for (number, app) in apps.iter().enumerate() {
            let request = request.replace('@', &format!("{kind}/{number}"));
            let reply = exchange(server.endpoint(), request.as_bytes(), then);
            answers.push((format!("{kind}: {app}"), parts(&reply, *kind == "HEAD")));
        }
    }
    answers
}

#[test]
fn a_client_gets_the_response_that_unicorn_writes() {
    let (unicorn, licorne) = each(server, ask);
    let mut comparison = Comparison::new(KNOWN);
    for ((case, unicorn), (_, licorne)) in unicorn.iter().zip(&licorne) {
        let names = |parts: &Parts| parts.0.iter().map(|part| part.0).collect::<Vec<_>>();
        if names(unicorn) == names(licorne) {
            for (unicorn, licorne) in unicorn.0.iter().zip(&licorne.0) {
                comparison.compare(case, unicorn.0, &unicorn.1, &licorne.1);
            }
        } else {
            comparison.compare(case, "all", &unicorn.whole(), &licorne.whole());
        }
    }
    comparison.settle(800);
}
