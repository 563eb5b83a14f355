//! Promise: what a client may send is bounded, by directives; beyond a bound it gets the status that says so, and the
//! connection is closed.

use testkit::{Connection, Request, Server};

/// Lines of the configuration, what is within its limit, what is beyond, and the status of that.
const CASES: &[(&str, &str, &str, u16)] = &[
    ("request_line_limit 40", "GET /{a*26} HTTP/1.1\r\n~", "GET /{a*27} HTTP/1.1\r\n~", 414),
    ("request_target_limit 10", "GET /{a*9} HTTP/1.1\r\n~", "GET /{a*10} HTTP/1.1\r\n~", 414),
    ("request_path_limit 10", "GET /{a*9} HTTP/1.1\r\n~", "GET /{a*10} HTTP/1.1\r\n~", 414),
    ("request_query_limit 10", "GET /?{a*10} HTTP/1.1\r\n~", "GET /?{a*11} HTTP/1.1\r\n~", 414),
    ("request_fragment_limit 10", "GET /#{a*10} HTTP/1.1\r\n~", "GET /#{a*11} HTTP/1.1\r\n~", 414),
    ("field_name_limit 10", "GET / HTTP/1.1\r\n{N*10}: 1\r\n~", "GET / HTTP/1.1\r\n{N*11}: 1\r\n~", 431),
    ("field_value_limit 10", "GET / HTTP/1.1\r\nX: {v*10}\r\n~", "GET / HTTP/1.1\r\nX: {v*11}\r\n~", 431),
    ("field_count_limit 5", "GET / HTTP/1.1\r\n{X: 1\r\n*3}~", "GET / HTTP/1.1\r\n{X: 1\r\n*4}~", 431),
    // `~` is 30 bytes long. Unicorn's limit lets one byte more through, so ours does.
    ("header_limit 1000", "GET / HTTP/1.1\r\nX: {v*950}\r\n~", "GET / HTTP/1.1\r\nX: {v*951}\r\n~", 431),
    (
        "Unicorn::HttpParser.max_header_len = 1000",
        "GET / HTTP/1.1\r\nX: {v*950}\r\n~",
        "GET / HTTP/1.1\r\nX: {v*951}\r\n~",
        431,
    ),
    (
        "body_limit 10",
        "POST /echo HTTP/1.1\r\nContent-Length: 10\r\n~{b*10}",
        "POST /echo HTTP/1.1\r\nContent-Length: 11\r\nExpect: 100-continue\r\n~",
        413,
    ),
    (
        "body_limit 10",
        "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n~5\r\n{b*5}\r\n5\r\n{b*5}\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n~5\r\n{b*5}\r\n6\r\n",
        413,
    ),
    (
        "chunk_extension_limit 10",
        "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n~1;{e*9}\r\nb\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n~1;{e*100}",
        400,
    ),
    (
        "trailer_limit 10",
        "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n~0\r\nX: {t*3}\r\n\r\n",
        "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n~0\r\nX: {t*100}",
        431,
    ),
];

/// Resolves `{text*3}`, and `~`: the fields that every request here has, and the end of the head.
fn bytes(text: &str) -> Vec<u8> {
    let mut out = text.replace('~', "Host: a\r\nConnection: close\r\n\r\n");
    while let Some(start) = out.find('{') {
        let end = start + out[start..].find('}').expect("a repetition ends");
        let (unit, count) = out[start + 1..end].rsplit_once('*').expect("a repetition has a count");
        let repeated = unit.repeat(count.parse().expect("a number"));
        out.replace_range(start..=end, &repeated);
    }
    out.into_bytes()
}

#[test]
fn each_limit_is_a_directive_and_each_excess_has_its_status() {
    for (config, within, beyond, status) in CASES {
        let mut server = Server::builder().config(config).unix_listeners(1).start();
        for endpoint in server.endpoints() {
            let mut connection = Connection::open(endpoint);
            connection.send(bytes(within));
            let response = connection.receive();
            assert!([200, 404].contains(&response.status), "{config}: {within} was answered {}", response.status);

            let mut connection = Connection::open(endpoint);
            connection.send(bytes(beyond));
            let response = connection.receive();
            assert_eq!((response.status, response.keep_alive), (*status, false), "{config}: {beyond}");
            assert_eq!(connection.read_to_end(), b"", "{config}: {beyond}");
        }
        server.stop();
    }
}

#[test]
fn a_request_that_never_ends_is_answered_408() {
    let mut server = Server::builder().config("header_timeout 1\nbody_timeout 1").start();
    let worker = server.workers()[0].pid;
    for begun in ["GET / HT", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx"] {
        // A connection on which nothing has come for as long is closed without an answer: so it comes at once.
        let mut connection = server.suspended(worker, || {
            let mut connection = server.connect();
            connection.send(begun);
            connection
        });
        let response = connection.receive();
        assert_eq!((response.status, response.keep_alive), (408, false), "{begun}");
        assert_eq!(connection.read_to_end(), b"");
    }
    server.stop();
}

#[test]
fn a_pipeline_is_cut_where_its_limit_says() {
    let mut server = Server::builder().config("pipeline_limit 3").start();
    let mut connection = server.connect();
    connection.send(Request::get("/").bytes().repeat(10));
    let kept: Vec<bool> = (0..4).map(|_| connection.receive().keep_alive).collect();
    assert_eq!(kept, [true, true, true, false]);
    assert_eq!(connection.read_to_end(), b"");

    // Requests that wait for the response before are no pipeline.
    let mut connection = server.connect();
    for _ in 0..10 {
        assert!(connection.request(&Request::get("/")).keep_alive);
    }
    server.stop();
}

#[test]
fn limits_of_clients_do_not_bind_the_application() {
    let app = "chunked = { 'Transfer-Encoding' => 'chunked' }\n\
               body = [\"c8;#{'e' * 50}\\r\\n#{'b' * 200}\\r\\n0\\r\\nX: #{'t' * 50}\\r\\n\\r\\n\"]\n\
               run ->(_) { [200, chunked, body] }\n";
    let config = "body_limit 10\nchunk_extension_limit 10\ntrailer_limit 10";
    let mut server = Server::builder().app(testkit::App::rackup(app)).config(config).start();
    let mut connection = server.connect();
    for _ in 0..2 {
        let response = connection.request(&Request::get("/"));
        assert_eq!((response.status, response.body.len(), response.keep_alive), (200, 200, true));
    }
    server.stop();
}
