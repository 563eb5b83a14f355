//! Does one thing many times, so that its instructions can be counted: `count-instructions` runs it under callgrind.
//!
//! `httparse`: that alone. `ours`: our head parser. `env`: the same, and a key and a value for each field, as an
//! environment needs them. `head`: writing a response head.

use std::hint::black_box;
use std::process::ExitCode;

use http1::Limits;
use http1::request::{HeadParser, KnownName, Version, write_cgi_key};
use http1::response::{Asked, Writer};

/// Twelve fields, as a browser sends them.
const REQUEST: &[u8] = b"GET /articles/42?page=3&sort=asc HTTP/1.1\r\n\
Host: www.example.com\r\n\
Connection: keep-alive\r\n\
sec-ch-ua: \"Chromium\";v=\"124\", \"Not-A.Brand\";v=\"99\"\r\n\
sec-ch-ua-mobile: ?0\r\n\
Upgrade-Insecure-Requests: 1\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
Sec-Fetch-Site: same-origin\r\n\
Referer: https://www.example.com/articles\r\n\
Accept-Encoding: gzip, deflate, br\r\n\
Accept-Language: en-GB,en;q=0.9\r\n\
Cookie: _session=c29tZXRoaW5nIHNlY3JldCBhbmQgbG9uZw%3D%3D; theme=dark\r\n\r\n";

/// What a load generator sends.
const SMALL: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

/// What a server needs of each field to fill an environment: a key and a value.
#[derive(Default)]
struct Env {
    keys: Vec<u8>,
    entries: Vec<(KnownName, usize, http1::Span)>,
}

impl Env {
    #[inline(never)]
    fn fill(&mut self, parser: &HeadParser, buf: &[u8]) {
        self.keys.clear();
        self.entries.clear();
        for field in parser.head().fields.iter().filter(|field| !field.underscore) {
            let from = self.keys.len();
            if field.known == KnownName::Other {
                write_cgi_key(&mut self.keys, field.name.of(buf));
            }
            self.entries.push((field.known, from, field.value));
        }
    }
}

/// What is counted. Not inlined, so that its name can be told to the tool.
#[inline(never)]
fn measured(what: &str, rounds: u32, request: &[u8]) -> usize {
    let limits = Limits::default();
    let mut parser = HeadParser::new();
    let mut env = Env::default();
    let mut out = Vec::with_capacity(4096);
    let mut sum = 0;
    for _ in 0..rounds {
        let request = black_box(request);
        match what {
            "httparse" => {
                let mut fields = [const { std::mem::MaybeUninit::uninit() }; 100];
                let mut theirs = httparse::Request::new(&mut []);
                sum += usize::from(theirs.parse_with_uninit_headers(request, &mut fields).is_ok());
                sum += black_box(&theirs).headers.len();
            }
            "ours" => sum += parser.parse(request, &limits).ok().flatten().map_or(0, |head| head.fields.len()),
            "env" => {
                sum += parser.parse(request, &limits).ok().flatten().map_or(0, |head| head.fields.len());
                env.fill(&parser, request);
                black_box(&env.entries);
            }
            _ => {
                out.clear();
                let asked = Asked { version: Version::Http11, head: false, keep_alive: true, upgrade: false };
                let mut writer = Writer::begin(&mut out, asked, 200, None, b"Sun, 06 Nov 1994 08:49:37 GMT");
                for (name, value) in
                    [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", "1234"), ("X-A", "b")]
                {
                    sum += usize::from(writer.field(&mut out, name.as_bytes(), value.as_bytes()).is_ok());
                }
                black_box(writer.finish(&mut out, None));
            }
        }
    }
    sum
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, what, size, rounds] = &arguments[..] else {
        eprintln!("usage: instructions httparse|ours|env|head small|browser ROUNDS");
        return ExitCode::from(2);
    };
    let request = if size == "small" { SMALL } else { REQUEST };
    println!("{}", measured(what, rounds.parse().unwrap_or(1), request));
    ExitCode::SUCCESS
}
