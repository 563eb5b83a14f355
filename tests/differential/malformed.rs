//! The status that malformed requests are refused with.

use testkit::{App, Server};

use crate::compare::Comparison;
use crate::malformed_known::KNOWN;
use crate::pair::{Then, each, exchange};

const APP: &str = "run ->(env) { env['rack.input'].read; [200, { 'Content-Length' => '2' }, ['ok']] }";

/// Request lines and what follows; `{text*1000}` is a repetition.
const REQUESTS: &[&str] = &[
    // Request lines.
    "GET HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET  HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n",
    " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
    "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET x HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET ?x HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET: / HTTP/1.1\r\nHost: a\r\n\r\n",
    "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
    "G\0T / HTTP/1.1\r\nHost: a\r\n\r\n",
    "ABCDEFGHIJKLMNOPQRSTU / HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://a:x/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /\u{7f} HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /%0 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /#a#b HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / http/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.\r\nHost: a\r\n\r\n",
    "GET / HTTP/.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/11.22\r\nHost: a\r\n\r\n",
    "GET / HTTP/0.9\r\nHost: a\r\n\r\n",
    "GET / HTTPS/1.1\r\nHost: a\r\n\r\n",
    "GET / FTP/1.1\r\nHost: a\r\n\r\n",
    "GET /\r\n",
    "GET /\r\n\r\n",
    "get /\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}",
    "SSH-2.0-OpenSSH_9.2\r\n",
    "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "",
    "GET",
    "GET / HTTP/1.1",
    "GET / HTTP/1.1\r\nHost: a\r\n",
    // Fields.
    "GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX(: 1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX\0: 1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nÄ: 1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: a\u{1}b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: a\u{7f}b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n",
    "GET / HTTP/1.1\r\n X: 1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a:b:c\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    // Framing.
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\nx",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 0\r\n\r\nx",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 2\r\n\r\nxy",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 1\r\n\r\nx",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 1\r\n\r\nx",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n 0\r\n\r\nx",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nExpect: the-unexpected\r\nContent-Length: 0\r\n\r\n",
    // Chunks.
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\nx\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n 1\r\nx\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\nx\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\nx\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a=\"b\"\r\nx\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1 ;a\r\nx\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1; a\r\nx\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{F*17}\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX : 1\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1\r\n\r\n",
    // Limits.
    "GET /{a*4095} HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /{a*4096} HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /?{a*10240} HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /?{a*10241} HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /#{a*1024} HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /#{a*1025} HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n{N*256}: 1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n{N*257}: 1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: {v*81920}\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: {v*81921}\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: {v*60000}\r\nY: {v*60000}\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n{X: 1\r\n*99}\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n{X: 1\r\n*100}\r\n",
];

fn bytes(request: &str) -> Vec<u8> {
    let Some((before, rest)) = request.split_once('{') else { return request.as_bytes().to_vec() };
    let (repetition, after) = rest.split_once('}').expect("a repetition ends");
    let (text, count) = repetition.rsplit_once('*').expect("a repetition has a count");
    [before.as_bytes(), text.repeat(count.parse().expect("a number")).as_bytes(), &bytes(after)].concat()
}

fn status(reply: &[u8]) -> String {
    let text = String::from_utf8_lossy(reply);
    match text.strip_prefix("HTTP/1.1 ") {
        Some(rest) => rest.chars().take(3).collect(),
        None if reply.is_empty() => "closed".to_owned(),
        None => format!("no head: {}", reply.escape_ascii()),
    }
}

fn ask(server: &Server) -> Vec<String> {
    // What a server has not read when it closes makes TCP lose its reply; a UNIX socket delivers it.
    let endpoint = server.endpoints().last().expect("there is one");
    REQUESTS.iter().map(|request| status(&exchange(endpoint, &bytes(request), Then::Finish).bytes)).collect()
}

#[test]
fn malformed_requests_are_refused_as_unicorn_does_or_more_strictly() {
    let (unicorn, licorne) = each(|| Server::builder().app(App::rackup(APP)).unix_listeners(1), ask);
    let mut comparison = Comparison::new(KNOWN);
    for (request, (unicorn, licorne)) in REQUESTS.iter().zip(unicorn.iter().zip(&licorne)) {
        comparison.compare(request, "status", unicorn, licorne);
    }
    comparison.settle(110);
}
