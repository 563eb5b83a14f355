//! Promise: an application sees the Rack environment that the specification describes, and its response reaches the
//! client as it was meant, whatever its shape.

use std::collections::BTreeMap;

use testkit::http::Ending;
use testkit::output::Mark;
use testkit::process::sha256;
use testkit::{App, Connection, Gate, Request, Server};

/// `/env` of the plain application, as a map of Ruby's `inspect` texts.
fn environment(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn the_environment_tells_all_of_the_request() {
    let mut server = Server::builder().start();
    let request = Request::get("/env?a=b&c=%20d").field("X-One", "1").field("X-One", "2").field("Cookie", "a=1");
    let env = environment(&server.request(request).text());
    let expected = [
        ("REQUEST_METHOD", r#""GET""#),
        ("PATH_INFO", r#""/env""#),
        ("REQUEST_PATH", r#""/env""#),
        ("REQUEST_URI", r#""/env?a=b&c=%20d""#),
        ("QUERY_STRING", r#""a=b&c=%20d""#),
        ("SCRIPT_NAME", r#""""#),
        ("SERVER_NAME", r#""example.com""#),
        ("SERVER_PORT", r#""80""#),
        ("SERVER_PROTOCOL", r#""HTTP/1.1""#),
        ("REMOTE_ADDR", r#""127.0.0.1""#),
        ("HTTP_HOST", r#""example.com""#),
        ("HTTP_X_ONE", r#""1,2""#),
        ("HTTP_COOKIE", r#""a=1""#),
        ("HTTP_CONNECTION", r#""close""#),
        ("rack.url_scheme", r#""http""#),
        ("rack.multithread", "false"),
        ("rack.multiprocess", "true"),
        ("rack.run_once", "false"),
        ("rack.hijack?", "true"),
        ("rack.version", "[1, 2]"),
    ];
    for (key, value) in expected {
        assert_eq!(env.get(key).map(String::as_str), Some(value), "{key} in {env:#?}");
    }
    for key in ["rack.input", "rack.errors", "rack.hijack", "rack.logger", "rack.after_reply", "SERVER_SOFTWARE"] {
        assert!(env.contains_key(key), "{key} in {env:#?}");
    }
    assert!(!env.contains_key("HTTP_CONTENT_LENGTH") && !env.contains_key("HTTP_CONTENT_TYPE"), "{env:#?}");
    server.stop();
}

#[test]
fn scheme_and_port_follow_what_the_client_and_the_proxy_say() {
    let mut server = Server::builder().unix_listeners(1).start();
    let cases = [
        ("Host: a.example:81\r\n", "a.example", "81", "http"),
        ("Host: [::1]:82\r\n", "[::1]", "82", "http"),
        ("Host: a\r\nX-Forwarded-Proto: https\r\n", "a", "443", "https"),
        ("Host: a\r\nX-Forwarded-Ssl: on\r\n", "a", "443", "https"),
    ];
    for endpoint in server.endpoints() {
        for (fields, name, port, scheme) in cases {
            let mut connection = Connection::open(endpoint);
            connection.send(format!("GET /env HTTP/1.1\r\nConnection: close\r\n{fields}\r\n"));
            let env = environment(&connection.receive().text());
            assert_eq!(env["SERVER_NAME"], format!("{name:?}"), "{fields:?} at {endpoint}");
            assert_eq!(env["SERVER_PORT"], format!("{port:?}"), "{fields:?} at {endpoint}");
            assert_eq!(env["rack.url_scheme"], format!("{scheme:?}"), "{fields:?} at {endpoint}");
            assert_eq!(env["REMOTE_ADDR"], r#""127.0.0.1""#, "at {endpoint}");
        }
    }
    server.stop();
}

#[test]
fn lint_finds_nothing_to_complain_about() {
    let plain = testkit::program::repository().join("tests/apps/plain/plain");
    // The application answers HEAD like GET, which is for Rack::Head to put right.
    let app = App::rackup(format!("require {plain:?}\nuse Rack::Lint\nuse Rack::Head\nrun Plain\n"));
    let mut server = Server::builder().app(app).start();
    let mut connection = server.connect();
    for target in
        ["/", "/env?x=y", "/big?kib=200", "/stream", "/file", "/headers", "/status?code=404", "/status?code=304"]
    {
        let response = connection.request(&Request::get(target));
        assert_ne!(response.status, 500, "{target}: {}", response.text());
        if !response.keep_alive {
            connection = server.connect();
        }
    }
    let requests = [
        Request::post("/echo", vec![1; 1000]),
        Request::post("/echo", vec![2; 300_000]),
        Request::new("HEAD", "/"),
        Request::new("DELETE", "/"),
        Request::new("OPTIONS", "/"),
    ];
    for request in requests {
        let method = String::from_utf8_lossy(&request.bytes()).split(' ').next().unwrap_or("").to_owned();
        let mut connection = server.connect();
        connection.send(request.clone().close().bytes());
        let response = connection.receive_for(&method);
        assert_eq!(response.status, 200, "{request:?}: {}", response.text());
    }
    assert!(!server.log().text().contains("app error"), "Lint complained");
    server.stop();
}

#[test]
fn a_kept_connection_serves_request_after_request() {
    let mut server = Server::builder().start();
    let mut connection = server.connect();
    for _ in 0..20 {
        let response = connection.request(&Request::get("/"));
        assert_eq!((response.status, response.ending, response.keep_alive), (200, Ending::Length, true));
    }
    let last = connection.request(&Request::get("/").close());
    assert!(!last.keep_alive);
    assert_eq!(connection.read_to_end(), b"");
    server.stop();
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let mut server = Server::builder().start();
    let mut connection = server.connect();
    let targets = ["/", "/status?code=404", "/headers", "/big?kib=64", "/"];
    let bytes: Vec<u8> = targets.iter().flat_map(|target| Request::get(target).bytes()).collect();
    connection.send(bytes);
    let statuses: Vec<u16> = targets.iter().map(|_| connection.receive().status).collect();
    assert_eq!(statuses, [200, 404, 200, 200, 200]);
    server.stop();
}

#[test]
fn http_1_0_closes_unless_it_is_asked_to_keep() {
    let mut server = Server::builder().start();
    let mut connection = server.connect();
    connection.send("GET / HTTP/1.0\r\n\r\n");
    let response = connection.receive();
    assert_eq!((response.status, &*response.text(), response.keep_alive), (200, "Hello World\n", false));
    assert_eq!(connection.read_to_end(), b"");

    let mut connection = server.connect();
    for _ in 0..3 {
        connection.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let response = connection.receive();
        assert_eq!(response.field("Connection").map(str::to_ascii_lowercase).as_deref(), Some("keep-alive"));
    }
    // A streamed body has no length: in HTTP/1.0 its end is the connection's.
    let mut connection = server.connect();
    connection.send("GET /stream HTTP/1.0\r\n\r\n");
    let response = connection.receive();
    assert_eq!((response.ending, response.text().lines().count()), (Ending::Close, 10));
    server.stop();
}

#[test]
fn a_body_that_must_not_be_sent_is_not_sent() {
    let mut server = Server::builder().start();
    let mut connection = server.connect();
    let response = connection.request(&Request::new("HEAD", "/"));
    assert_eq!((response.status, response.field("Content-Length")), (200, Some("12")));
    for code in [204, 304] {
        let response = connection.request(&Request::get(&format!("/status?code={code}")));
        assert_eq!((response.status, response.body.len()), (code, 0));
        assert_eq!((response.field("Transfer-Encoding"), response.field("Content-Length")), (None, None), "{code}");
    }
    // The bytes of a next response come right behind: nothing was left over.
    assert_eq!(connection.request(&Request::get("/")).text(), "Hello World\n");
    server.stop();
}

#[test]
fn a_streamed_body_is_chunked_and_closed_once() {
    let mut server = Server::builder().start();
    let mark = server.mark();
    let mut connection = server.connect();
    let response = connection.request(&Request::get("/stream?lines=100"));
    assert_eq!((response.ending, response.text().lines().count()), (Ending::Chunked, 100));
    assert_eq!(connection.request(&Request::get("/")).status, 200);
    server.wait_for(mark, "closed stream");
    assert_eq!(server.log().since(mark, "closed stream").len(), 1);
    server.stop();
}

#[test]
fn a_body_that_breaks_ends_the_connection_without_pretending_to_be_whole() {
    let mut server = Server::builder().start();
    let mark = server.mark();
    let bytes = server.connect().request_raw(Request::get("/broken").bytes());
    let text = String::from_utf8_lossy(&bytes);
    assert!(!text.ends_with("0\r\n\r\n"), "{text}");
    server.wait_for(mark, "app error: the body broke (RuntimeError)");
    server.wait_for(mark, "closed broken");
    assert_eq!(server.log().since(mark, "closed broken").len(), 1);
    assert_eq!(server.get("/").status, 200);
    server.stop();
}

#[test]
fn a_file_is_sent_as_it_is() {
    let mut server = Server::builder().start();
    let mark = server.mark();
    let content = std::fs::read(server.file("app/plain.rb")).expect("the application");
    let mut connection = server.connect();
    for _ in 0..3 {
        assert_eq!(connection.request(&Request::get("/file")).body, content);
    }
    server.wait_for(mark, "closed file");
    server.stop();
}

#[test]
fn large_responses_arrive_whole() {
    let mut server = Server::builder().start();
    let response = server.get("/big?kib=20000");
    assert_eq!(response.body.len(), 20_000 * 1024);
    assert!(response.body.chunks(16).all(|piece| piece == b"0123456789abcdef"));
    server.stop();
}

#[test]
fn bytes_behind_the_last_request_cost_no_response() {
    let mut server = Server::builder().unix_listeners(1).start();
    let requests = [
        "POST /big?kib=2000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 7\r\n\r\n1234567",
        "POST /big?kib=2000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        "POST /big?kib=2000 HTTP/1.0\r\nContent-Length: 7\r\n\r\n1234567",
    ];
    for (endpoint, request) in
        server.endpoints().iter().flat_map(|endpoint| requests.map(|request| (endpoint, request)))
    {
        let mut connection = Connection::open(endpoint);
        connection.send(request);
        // The server is done with the request, and the client is not with the response.
        connection.peek_at_least(1);
        connection.send("tricked\r\n");
        let bytes = connection.read_to_end();
        let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
        assert_eq!(bytes.len() - head, 2_000 * 1024, "{endpoint:?}: {request}");
    }
    server.stop();
}

#[test]
fn uploads_of_every_size_arrive_whole() {
    let mut server = Server::builder().start();
    let mut connection = server.connect();
    for size in [0, 1, 16_383, 16_384, 114_688, 114_689, 3_000_000] {
        let content: Vec<u8> = (0..size).map(|n: u32| (n.wrapping_mul(40_503) >> 8) as u8).collect();
        let response = connection.request(&Request::post("/echo", content.clone()));
        assert_eq!(response.text(), format!("{size} {}\n", sha256(&content)), "{size} bytes");
    }
    server.stop();
}

#[test]
fn a_chunked_upload_arrives_whole() {
    let mut server = Server::builder().start();
    let content: Vec<u8> = (0..200_000_u32).map(|n| (n.wrapping_mul(40_503) >> 8) as u8).collect();
    let mut connection = server.connect();
    connection.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in content.chunks(7_001) {
        connection.send(format!("{:x};extension=1\r\n", piece.len()));
        connection.send(piece);
        connection.send("\r\n");
    }
    connection.send("0\r\nX-Trailer: t\r\n\r\n");
    assert_eq!(connection.receive().text(), format!("{} {}\n", content.len(), sha256(&content)));
    assert_eq!(connection.request(&Request::get("/")).status, 200);
    server.stop();
}

#[test]
fn the_input_can_be_read_in_every_way() {
    let mut server = Server::builder().start();
    for size in [10, 300_000] {
        let content = "line\n".repeat(size / 5);
        let response = server.request(Request::post("/reread", content));
        assert_eq!(response.text(), format!("{size} true 5 \"\"\n"));
    }
    server.stop();
}

#[test]
fn a_client_that_expects_100_continue_gets_it_before_it_sends() {
    let mut server = Server::builder().start();
    let mut connection = server.connect();
    connection.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    let seen = connection.peek_at_least(25).to_vec();
    assert!(seen.starts_with(b"HTTP/1.1 100 Continue\r\n\r\n"), "{}", String::from_utf8_lossy(&seen));
    connection.send("hello");
    let response = connection.receive();
    assert_eq!((response.status, response.interim.len()), (200, 1));
    assert!(response.text().starts_with("5 "));
    server.stop();
}

#[test]
fn slow_clients_keep_nobody_waiting() {
    let mut server = Server::builder().workers(1).start();
    // Heads and bodies that stop in the middle, one connection each.
    let mut slow: Vec<Connection> = (0..20).map(|_| server.connect()).collect();
    for (number, connection) in slow.iter_mut().enumerate() {
        let begun =
            if number % 2 == 0 { "GET / HT" } else { "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe" };
        connection.send(begun);
    }
    for _ in 0..10 {
        assert_eq!(server.get("/").status, 200);
    }
    for (number, connection) in slow.iter_mut().enumerate() {
        connection.send(if number % 2 == 0 { "TP/1.1\r\nHost: x\r\n\r\n" } else { "llo" });
        assert_eq!(connection.receive().status, 200);
    }
    server.stop();
}

#[test]
fn a_busy_worker_takes_no_connection() {
    let mut server = Server::builder().workers(2).start();
    let mut gate = Gate::new(&server);
    let held = gate.hold(&server);
    for _ in 0..30 {
        let pid: u32 = server.get("/pid").text().trim().parse().expect("a pid");
        assert_ne!(pid, held.worker);
    }
    gate.release(held);
    server.stop();
}

#[test]
fn an_error_of_the_application_is_a_500_and_is_told() {
    let mut server = Server::builder().start();
    let mark = server.mark();
    assert_eq!(server.get("/raise").status, 500);
    server.wait_for(mark, "app error: as asked (RuntimeError)");
    server.wait_for(mark, "plain.rb:");
    assert_eq!(server.get("/").status, 200);
    server.stop();
}

#[test]
fn field_lines_are_written_one_by_one() {
    let mut server = Server::builder().start();
    let response = server.get("/headers");
    assert_eq!(response.all("Set-Cookie"), ["a=1", "b=2"]);
    assert_eq!(response.field("X-Number"), Some("7"));
    assert!(response.field("Date").is_some());
    server.stop();
}

#[test]
fn a_field_that_would_split_the_response_is_not_written() {
    for value in ["a\\r\\nX-Evil: 1", "a\\0b", "a\\rb"] {
        let app = format!("run ->(_env) {{ [200, {{ 'X-Value' => \"{value}\" }}, ['ok']] }}");
        let mut server = Server::builder().app(App::rackup(app)).start();
        let bytes = server.connect().request_raw(Request::get("/").close().bytes());
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.to_lowercase().contains("x-evil:"), "{value}: {text}");
        assert!(!bytes.contains(&0), "{value}: {text}");
        server.stop();
    }
}

#[test]
fn early_hints_come_before_the_response() {
    let mut server = Server::builder().config("early_hints true").start();
    let response = server.get("/early");
    assert_eq!((response.status, &*response.text()), (200, "hinted\n"));
    let (status, fields) = response.interim.first().expect("an interim response");
    assert_eq!((*status, fields[0].0.to_lowercase()), (103, "link".to_owned()));
    server.stop();
}

#[test]
fn a_connection_can_be_hijacked() {
    let mut server = Server::builder().start();
    let response = server.get("/hijack");
    assert_eq!((response.status, &*response.text()), (200, "hijacked\n"));
    let response = server.get("/partial-hijack");
    assert_eq!((response.status, &*response.text()), (200, "partly hijacked\n"));
    assert_eq!(server.get("/").status, 200);
    server.stop();
}

#[test]
fn a_hijacked_connection_is_not_closed_because_a_body_fails_to_close() {
    let app = r#"
      body = Object.new
      def body.each = yield("never")
      def body.close = raise("cannot be closed")
      run lambda { |env|
        io = env["rack.hijack"].call
        gate = File.join(ENV["TEST_DIR"], "gate")
        Thread.new { File.open(gate, &:gets); io.write("later"); io.close }
        [200, {}, body]
      }
    "#;
    let mut server = Server::builder().app(App::rackup(app)).start();
    let mut gate = testkit::fifo::Fifo::create(server.file("gate"));
    let mut connection = server.connect();
    let mark = server.mark();
    connection.send(Request::get("/").bytes());
    server.wait_for(mark, "cannot be closed");
    gate.tell("go");
    assert_eq!(connection.read_to_end(), b"later");
    server.stop();
}

#[test]
fn a_body_that_streams_is_not_called_for_a_response_without_content() {
    let app = r#"
      run ->(env) { [Integer(env["QUERY_STRING"]), {}, ->(io) { io.write("content"); io.close }] }
    "#;
    let mut server = Server::builder().app(App::rackup(app)).start();
    for (method, status) in [("HEAD", 200), ("GET", 204), ("GET", 205), ("GET", 304)] {
        let mut connection = server.connect();
        for _ in 0..2 {
            let response = connection.request(&Request::new(method, &format!("/?{status}")));
            assert_eq!((response.status, response.body.len(), response.keep_alive), (status, 0, true), "{method}");
        }
    }
    assert_eq!(server.get("/?200").text(), "content");
    server.stop();
}

#[test]
fn a_path_that_is_no_file_is_not_opened_for_the_client() {
    let app = r#"
      body = Object.new
      def body.to_path = File.join(ENV["TEST_DIR"], "fifo")
      def body.each = yield("each")
      run ->(_) { [200, {}, body] }
    "#;
    let mut server = Server::builder().app(App::rackup(app)).start();
    // No process ever writes to it.
    rustix::fs::mkfifoat(rustix::fs::CWD, server.file("fifo"), rustix::fs::Mode::RUSR).expect("it is new");
    assert_eq!(server.get("/").text(), "each");
    server.stop();
}

#[test]
fn callbacks_after_the_reply_run() {
    let mut server = Server::builder().start();
    let mark = server.mark();
    assert_eq!(server.get("/after-reply").text(), "before\n");
    server.wait_for(mark, "after reply");
    server.stop();
}

#[test]
fn requests_that_are_no_http_are_refused_and_their_connection_closed() {
    let mut server = Server::builder().start();
    let cases: &[(&str, &str)] = &[
        ("nonsense\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
        ("GET /\u{1} HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "400"),
        ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", "400"),
    ];
    for (request, status) in cases {
        // What follows must never be taken for a request of its own.
        let bytes = server.connect().request_raw(format!("{request}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"));
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {text}");
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{request:?}: {text}");
    }
    assert_eq!(server.get("/").status, 200);
    server.stop();
}

#[test]
fn an_endless_head_is_refused() {
    let mut server = Server::builder().start();
    let mut connection = server.connect();
    let mut request = "GET / HTTP/1.1\r\nHost: a\r\n".to_owned();
    for number in 0..20 {
        request.push_str(&format!("X-{number}: {}\r\n", "x".repeat(8000)));
    }
    let text = String::from_utf8_lossy(&connection.request_raw(request)).into_owned();
    let status = text.split(' ').nth(1).unwrap_or("").to_owned();
    // A reset may overtake the answer, since bytes are left unread; an answer of another kind is wrong.
    assert!(["", "413", "431"].contains(&status.as_str()), "{text}");
    assert_eq!(server.get("/").status, 200);
    server.stop();
}

#[test]
fn the_default_middleware_of_development_is_there() {
    let mut server = Server::builder().rack_env("development").start();
    assert_eq!(server.get("/").text(), "Hello World\n");
    // CommonLogger's line on standard error.
    server.wait_for(Mark::default(), "\"GET / HTTP/1.1\" 200 12");
    // ShowExceptions' page.
    let response = server.request(Request::get("/raise").field("Accept", "text/html"));
    assert_eq!(response.status, 500);
    assert!(response.text().contains("as asked"), "{}", response.text());
    server.stop();
}

#[test]
fn the_default_middleware_is_left_out_when_it_is_not_wanted() {
    let mut server = Server::builder().rack_env("development").arg("-N").start();
    assert_eq!(server.get("/").text(), "Hello World\n");
    assert!(!server.log().text().contains("\"GET / HTTP/1.1\""));
    server.stop();
}
