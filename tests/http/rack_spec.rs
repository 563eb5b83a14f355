//! Promise: each release of Rack finds its own specification kept, with Rack::Lint around the application: 2.2 on
//! Debian 12, 3.1 on Debian 13, 3.2 on the one after it.

use std::process::Command;
use std::sync::OnceLock;

use testkit::http::Ending;
use testkit::output::Mark;
use testkit::{App, Request, Server, process};

/// The major version of the Rack that applications get.
fn rack() -> u32 {
    static MAJOR: OnceLock<u32> = OnceLock::new();
    *MAJOR.get_or_init(|| {
        let script = "print Rack.release.to_i";
        let finished = process::run(Command::new("ruby").args(["-rrack", "-e", script]), testkit::patience());
        finished.stdout.parse().unwrap_or_else(|_| panic!("no version of Rack: {finished:#?}"))
    })
}

/// An application that serves this lambda's value; `linted` puts Rack::Lint around it.
fn app(linted: bool, body: &str) -> App {
    let lint = if linted { "use Rack::Lint\n" } else { "" };
    App::rackup(format!("{lint}TEXT = {{ 'content-type' => 'text/plain' }}.freeze\nrun ->(env) {{ {body} }}\n"))
}

#[track_caller]
fn no_complaint(server: &Server) {
    let text = server.log().text();
    assert!(!text.contains("app error") && !text.contains("LintError"), "{text}");
}

#[test]
fn names_of_fields_stay_as_they_were_written() {
    let mut server = Server::builder().app(app(true, "[200, { **TEXT, 'x-lower' => 'a' }, ['ok']]")).start();
    let bytes = server.connect().request_raw(Request::get("/").close().bytes());
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("\r\ncontent-type: text/plain\r\nx-lower: a\r\n"), "{text}");
    no_complaint(&server);
    server.stop();
}

#[test]
fn several_values_of_a_field_are_several_lines() {
    let values = if rack() >= 3 { "%w[a=1 b=2]" } else { "\"a=1\\nb=2\"" };
    let mut server =
        Server::builder().app(app(true, &format!("[200, {{ **TEXT, 'set-cookie' => {values} }}, ['ok']]"))).start();
    assert_eq!(server.get("/").all("Set-Cookie"), ["a=1", "b=2"]);
    no_complaint(&server);
    server.stop();
}

#[test]
fn the_input_reads_as_the_specification_says() {
    let body = "input = env['rack.input']; all = [input.gets].compact
        3.times { (piece = input.read(7, +'')) and all << piece }
        input.each { |line| all << line }
        last = [input.read, input.read(1), input.gets]
        [200, { **TEXT }, [[all.sum(&:bytesize), all.map { |piece| piece.encoding.name }.uniq, last].inspect]]";
    let mut server = Server::builder().app(app(true, body)).start();
    for size in [0, 5, 100_000, 300_000] {
        let response = server.request(Request::post("/", "line\n".repeat(size / 5)));
        let encodings = if size == 0 { "[]" } else { "[\"ASCII-8BIT\"]" };
        let expected = format!("[{size}, {encodings}, [\"\", nil, nil]]");
        assert_eq!(response.text(), expected, "{size} bytes");
    }
    no_complaint(&server);
    server.stop();
}

#[test]
fn a_streaming_body_gets_the_stream() {
    // Lint of Rack 2 knows no streaming bodies.
    let linted = rack() >= 3;
    let body =
        "[200, { **TEXT }, ->(stream) { 3.times { |n| stream << \"piece #{n}\\n\"; stream.flush }; stream.close }]";
    let mut server = Server::builder().app(app(linted, body)).start();
    let response = server.get("/");
    assert_eq!((response.status, &*response.text()), (200, "piece 0\npiece 1\npiece 2\n"));
    assert_eq!(response.ending, Ending::Close);
    no_complaint(&server);
    server.stop();
}

#[test]
fn a_connection_is_hijacked_whole_or_behind_the_head() {
    let body = "if env['PATH_INFO'] == '/whole'
          io = env['rack.hijack'].call
          io.write(\"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\nConnection: close\\r\\n\\r\\nwhole\")
          io.close
          [200, { **TEXT }, []]
        else
          [200, { **TEXT, 'rack.hijack' => ->(io) { io.write('partial'); io.close } }, []]
        end";
    let mut server = Server::builder().app(app(true, body)).start();
    assert_eq!(server.get("/whole").text(), "whole");
    assert_eq!(server.get("/partial").text(), "partial");
    no_complaint(&server);
    server.stop();
}

#[test]
fn callables_are_told_of_the_finished_response_in_reverse_order() {
    let body = "2.times do |n|
          (env['rack.response_finished'] ||= []) << lambda do |seen, status, fields, error|
            warn \"finished #{n} #{seen.equal?(env)} #{status.inspect} #{fields&.keys.inspect} #{error.inspect}\"
          end
        end
        raise 'no' if env['PATH_INFO'] == '/raise'
        [200, { **TEXT }, ['ok']]";
    let mut server = Server::builder().app(app(true, body)).start();
    assert_eq!(server.get("/").text(), "ok");
    let first = server.wait_for(Mark::default(), "finished 0 true");
    assert!(first.ends_with(r#"finished 0 true 200 ["content-type"] nil"#), "{first}");
    let order = server.log().since(Mark::default(), "finished ");
    assert!(order[0].contains("finished 1 "), "{order:?}");

    let mark = server.mark();
    assert_eq!(server.get("/raise").status, 500);
    let line = server.wait_for(mark, "finished 0 true");
    assert!(line.ends_with("finished 0 true nil nil #<RuntimeError: no>"), "{line}");
    server.stop();
}

#[test]
fn callables_are_told_that_the_client_left() {
    let body =
        "env['rack.response_finished'] << ->(_, status, _, error) { warn(\"finished #{status} #{error.class}\") }
        [200, { **TEXT }, Enumerator.new { |pieces| loop { pieces << 'x' * 100_000 } }]";
    let mut server = Server::builder().app(app(true, body)).start();
    let mut connection = server.connect();
    connection.send(Request::get("/").bytes());
    connection.peek_at_least(1_000_000);
    drop(connection);
    server.wait_for(Mark::default(), "finished 200 Errno::EPIPE");
    no_complaint(&server);
    server.stop();
}

#[test]
fn a_protocol_that_the_client_offers_is_taken_up_by_its_name() {
    // Lint of Rack 2 knows no streaming bodies.
    let linted = rack() >= 3;
    let body = "offered = env['rack.protocol']
        go_on = ->(stream) { stream.write(offered.inspect); stream.close }
        if offered.nil? then [200, { **TEXT }, ['none']]
        elsif env['PATH_INFO'] == '/each' then [101, { 'rack.protocol' => offered.last }, [offered.inspect]]
        elsif env['PATH_INFO'] == '/refused' then [426, { **TEXT }, ['no']]
        else [200, { 'rack.protocol' => offered.last }, go_on]
        end";
    let mut server = Server::builder().app(app(linted, body)).start();
    let ask = |path: &str, fields: &str| {
        let bytes = server.connect().request_raw(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        String::from_utf8_lossy(&bytes).into_owned()
    };
    for path in ["/", "/each"] {
        let answer = ask(path, "Connection: close, Upgrade\r\nUpgrade: one/1, , two\r\nUpgrade: websocket\r\n");
        assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{answer}");
        let end = "\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n[\"one/1\", \"two\", \"websocket\"]";
        assert!(answer.ends_with(end) && !answer.contains("rack."), "{answer}");
    }
    let refused = ask("/refused", "Connection: close, Upgrade\r\nUpgrade: one\r\n");
    assert!(refused.starts_with("HTTP/1.1 426 ") && refused.ends_with("no"), "{refused}");
    // A field alone is no offer: a proxy may have passed it on.
    assert!(ask("/", "Connection: close\r\nUpgrade: websocket\r\n").ends_with("none"));
    no_complaint(&server);
    server.stop();
}

#[test]
fn early_hints_pass_the_specification() {
    let body = "env['rack.early_hints'].call('link' => '</a.css>; rel=preload'); [200, { **TEXT }, ['ok']]";
    let mut server = Server::builder().app(app(true, body)).config("early_hints true").start();
    let response = server.get("/");
    assert_eq!((response.status, response.interim.len()), (200, 1));
    no_complaint(&server);
    server.stop();
}

#[test]
fn requests_of_every_form_pass_the_specification() {
    let mut server = Server::builder().app(app(true, "[200, { **TEXT }, [env['REQUEST_METHOD']]]")).start();
    let targets = ["/", "/a%20b?c=d&e", "/;p?%zz", "//double", "/?", "/a?b?c", "/%E4"];
    for target in targets {
        for method in ["GET", "PUT", "DELETE", "OPTIONS", "PROPFIND"] {
            assert_eq!(server.request(Request::new(method, target)).text(), method, "{method} {target}");
        }
    }
    let raw = [
        "GET http://other.example/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX-Latin: \u{e4}\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
    ];
    for request in raw {
        let mut connection = server.connect();
        connection.send(request);
        assert_eq!(connection.receive().status, 200, "{request:?}");
    }
    no_complaint(&server);
    server.stop();
}
