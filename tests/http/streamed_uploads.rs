//! Promise: with `request_buffering false` or `rewindable_input false` the application reads a body while it arrives; a
//! client that does not keep to its word costs its own request only.

use testkit::fifo::Fifo;
use testkit::output::Mark;
use testkit::process::sha256;
use testkit::{App, Connection, Gate, Request, Server, patience};

const APP: &str = r##"
require "digest"
tell = ->(line) { File.write(File.join(ENV["TEST_DIR"], "told"), "#{line}\n", mode: "a") }
gate = -> { File.open(File.join(ENV["TEST_DIR"], "gate"), &:gets) }
text = ->(body) { [200, { "Content-Length" => body.bytesize.to_s }, [body]] }
run lambda { |env|
  input = env["rack.input"]
  case env["PATH_INFO"]
  when "/first"
    first = input.read(5)
    tell.(first)
    text.("#{first}#{input.read}")
  when "/invite"
    tell.("called")
    gate.()
    text.(input.read)
  when "/lines"
    lines = []
    input.each { |line| lines << line }
    text.(lines.map(&:size).inspect)
  when "/again"
    first = input.gets
    input.rewind
    all = input.read
    input.rewind
    text.([first, all.bytesize, Digest::SHA256.hexdigest(all), input.size, input.read(3)].inspect)
  when "/pieces"
    sum = Digest::SHA256.new
    bytes = 0
    while (piece = input.read(16_384))
      bytes += piece.bytesize
      sum << piece
    end
    text.("#{bytes} #{sum.hexdigest} #{input.class} #{input.respond_to?(:rewind)}")
  when "/class"
    begin
      text.(input.read)
    rescue Unicorn::ClientShutdown => e
      tell.(e.class)
      raise
    end
  else
    text.("not read\n")
  end
}
"##;

fn server(config: &str) -> (Server, Fifo, Fifo) {
    let server = Server::builder().app(App::rackup(APP)).config(config).start();
    let (told, gate) = (Fifo::create(server.file("told")), Fifo::create(server.file("gate")));
    (server, told, gate)
}

const WAYS: [&str; 2] = ["request_buffering false", "rewindable_input false"];

#[test]
fn the_application_reads_while_the_body_arrives() {
    for config in WAYS {
        let (mut server, mut told, _gate) = server(config);
        for (framing, begun, rest) in [
            ("Content-Length: 11", "hello", " world"),
            ("Transfer-Encoding: chunked", "5\r\nhello\r\n", "6\r\n world\r\n0\r\n\r\n"),
        ] {
            let mut connection = server.connect();
            // The connection goes on when the body was read.
            for _ in 0..2 {
                connection.send(format!("POST /first HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{begun}"));
                assert_eq!(told.line(patience()).as_deref(), Some("hello"), "{config}: {framing}");
                connection.send(rest);
                let response = connection.receive();
                assert_eq!((&*response.text(), response.keep_alive), ("hello world", true), "{config}: {framing}");
            }
        }
        server.stop();
    }
}

#[test]
fn large_bodies_pass_whole_and_in_order() {
    let body: Vec<u8> = (0..9_000_000_u32).map(|n| (n / 7) as u8).collect();
    let chunks: Vec<u8> = body
        .chunks(70_001)
        .flat_map(|part| [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat())
        .chain(*b"0\r\n\r\n")
        .collect();
    for (config, class, rewinds) in
        [(WAYS[0], "Licorne::Native::Input", true), (WAYS[1], "Licorne::Native::StreamInput", false)]
    {
        let (mut server, _told, _gate) = server(config);
        let expected = format!("{} {} {class} {rewinds}", body.len(), sha256(&body));
        let mut connection = server.connect();
        assert_eq!(connection.request(&Request::post("/pieces", body.clone())).text(), expected);
        connection.send("POST /pieces HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        connection.send(&chunks);
        assert_eq!(connection.receive().text(), expected);
        server.stop();
    }
}

#[test]
fn a_streamed_body_can_be_read_again_unless_that_was_given_up() {
    let (mut server, _told, _gate) = server(WAYS[0]);
    let mut connection = server.connect();
    for size in [10, 300_000] {
        let body = [&b"abc\n"[..], &vec![b'x'; size]].concat();
        let expected = format!("[\"abc\\n\", {0}, \"{1}\", {0}, \"abc\"]", body.len(), sha256(&body));
        assert_eq!(connection.request(&Request::post("/again", body)).text(), expected);
    }
    assert_eq!(connection.request(&Request::post("/lines", "one\n\ntwo\nthree")).text(), "[4, 1, 4, 5]");
    server.stop();
}

#[test]
fn a_client_is_invited_when_the_application_reads() {
    for config in WAYS {
        let (mut server, mut told, mut gate) = server(config);
        let mut connection = server.connect();
        connection.send("POST /invite HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
        assert_eq!(told.line(patience()).as_deref(), Some("called"));
        assert!(!connection.is_stale(), "{config}: it was invited before anybody read");
        gate.tell("go");
        assert!(connection.peek_at_least(25).starts_with(b"HTTP/1.1 100 Continue\r\n\r\n"), "{config}");
        connection.send("body");
        let response = connection.receive();
        assert_eq!((&*response.text(), response.keep_alive, response.interim.len()), ("body", true, 1), "{config}");
        server.stop();
    }
}

#[test]
fn an_unread_body_is_no_request() {
    for config in WAYS {
        let (mut server, _told, _gate) = server(config);
        let smuggled = "GET /class HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut connection = server.connect();
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", smuggled.len() + 10);
        connection.send(format!("{head}{smuggled}"));
        let response = connection.receive();
        assert_eq!((response.status, response.keep_alive), (200, false), "{config}");
        assert_eq!(connection.read_to_end(), b"", "{config}");
        // One that was never invited is not waited for.
        let mut connection = server.connect();
        connection.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
        let response = connection.receive();
        assert_eq!((response.status, response.interim.len()), (200, 0), "{config}");
        assert_eq!(connection.read_to_end(), b"", "{config}");
        server.stop();
    }
}

#[test]
fn a_client_that_does_not_keep_its_word_is_answered_and_costs_no_other() {
    for config in WAYS {
        let (mut server, mut told, _gate) = server(&format!("{config}\nbody_timeout 1\nbody_limit 20"));
        let chunked = "Transfer-Encoding: chunked\r\n\r\n";
        for (rest, status) in [
            ("Content-Length: 9\r\n\r\nhalf", 408),
            (&*format!("{chunked}5\r\nhello\r\nx"), 400),
            (&*format!("{chunked}5\r\nhello\r\nff\r\n"), 413),
        ] {
            let mut connection = server.connect();
            connection.send(format!("POST /class HTTP/1.1\r\nHost: a\r\n{rest}"));
            assert_eq!(told.line(patience()).as_deref(), Some("Unicorn::ClientShutdown"), "{config}: {rest}");
            let response = connection.receive();
            assert_eq!((response.status, response.keep_alive), (status, false), "{config}: {rest}");
            assert_eq!(connection.read_to_end(), b"", "{config}: {rest}");
        }
        let mut leaver = server.connect();
        leaver.send("POST /class HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
        drop(leaver);
        assert_eq!(told.line(patience()).as_deref(), Some("Unicorn::ClientShutdown"), "{config}");
        assert_eq!(server.get("/").status, 200);
        assert!(!server.log().text().contains("ERROR"), "{config}: a client's fault was logged");
        server.stop();
    }
}

#[test]
fn a_worker_that_waits_for_a_body_leaves_when_it_is_told_to_and_finishes_first() {
    let (mut server, mut told, _gate) = server(WAYS[0]);
    let mut connection: Connection = server.connect();
    connection.send("POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello");
    assert_eq!(told.line(patience()).as_deref(), Some("hello"));
    server.signal(rustix::process::Signal::QUIT);
    connection.send(" world");
    assert_eq!(connection.receive().text(), "hello world");
    assert!(server.wait_for_exit().success());
    server.wait_for(Mark::default(), "master complete");
}

#[test]
fn requests_whose_bodies_still_arrive_do_not_wait_for_a_worker_in_a_long_call() {
    for config in WAYS {
        let mut server = Server::builder().config(config).workers(2).start();
        let mut gate = Gate::new(&server);
        let mut all: Vec<_> = (0..20)
            .map(|_| {
                let mut connection = server.connect();
                let home = connection.request(&Request::get("/pid")).text();
                (connection, home)
            })
            .collect();
        let held = gate.hold(&server);
        all.retain(|(_, home)| *home == format!("{}\n", held.worker));
        for (connection, _) in &mut all {
            connection.send("POST /pid HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf");
        }
        // The worker that has the request answers without the rest.
        for (connection, home) in &mut all {
            assert_ne!(connection.receive().text(), *home, "{config}");
        }
        assert_eq!(gate.release(held).status, 200);
        server.stop();
    }
}
