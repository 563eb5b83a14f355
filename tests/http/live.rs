//! Promise: what is alive stays alive: events arrive as they happen, a hijacked WebSocket speaks for as long as it
//! likes, and a client that has gone is noticed.

use std::process::Command;

use testkit::fifo::Fifo;
use testkit::output::Mark;
use testkit::{App, Request, Server, patience, process};

const APP: &str = r##"
require "digest"
require "base64"
tell = ->(line) { File.write(File.join(ENV["TEST_DIR"], "told"), "#{line}\n", mode: "a") }
GATE = File.join(ENV["TEST_DIR"], "gate")

# Server-sent events, each when the test says so.
Events = Struct.new(:tell) do
  def each
    File.open(GATE) do |gate|
      3.times { |n| gate.gets; yield "data: #{n}\n\n" }
    end
  end

  def close = tell.("closed")
end

# Pieces until the client has gone.
Endless = Struct.new(:tell) do
  def each
    loop { yield "x" * 100_000 }
  end

  def close = tell.("closed")
end

# One echo of a WebSocket (RFC 6455): small frames of text only, then whatever the client says last.
echo = lambda do |socket, key|
  accept = Base64.strict_encode64(Digest::SHA1.digest("#{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
  socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
               "Sec-WebSocket-Accept: #{accept}\r\n\r\n")
  loop do
    kind, length = socket.readpartial(2).unpack("CC")
    mask = socket.read(4).bytes
    text = socket.read(length & 0x7f).to_s.bytes.each_with_index.map { |byte, n| byte ^ mask[n % 4] }.pack("C*")
    socket.write([kind, text.bytesize].pack("CC") + text)
    break if kind & 0xf == 8
  end
  socket.close
end

run lambda { |env|
  case env["PATH_INFO"]
  when "/events" then [200, { "Content-Type" => "text/event-stream" }, Events.new(tell)]
  when "/endless" then [200, {}, Endless.new(tell)]
  when "/socket"
    socket = env["rack.hijack"].call
    # The worker serves others meanwhile.
    Thread.new { echo.(socket, env["HTTP_SEC_WEBSOCKET_KEY"]) }
    [-1, {}, []]
  else
    tell.("called")
    [200, {}, ["hello\n"]]
  end
}
"##;

fn server(config: &str) -> (Server, Fifo, Fifo) {
    let server = Server::builder().app(App::rackup(APP)).config(config).start();
    let (told, gate) = (Fifo::create(server.file("told")), Fifo::create(server.file("gate")));
    (server, told, gate)
}

#[test]
fn events_arrive_as_they_happen() {
    let (mut server, mut told, mut gate) = server("");
    let mut connection = server.connect();
    connection.send(Request::get("/events").bytes());
    let mut seen = 0;
    for number in 0..3 {
        gate.tell("go");
        let wanted = format!("data: {number}\n\n");
        // Nothing but this event lets the next one happen.
        loop {
            let all = connection.peek_at_least(seen + 1);
            seen = all.len();
            if String::from_utf8_lossy(all).contains(&wanted) {
                break;
            }
        }
    }
    let response = connection.receive();
    assert_eq!((&*response.text(), response.keep_alive), ("data: 0\n\ndata: 1\n\ndata: 2\n\n", true));
    assert_eq!(told.line(patience()).as_deref(), Some("closed"));
    server.stop();
}

#[test]
fn a_client_that_goes_in_mid_stream_is_noticed_and_the_body_closed_once() {
    let (mut server, mut told, _gate) = server("");
    for _ in 0..3 {
        let mut connection = server.connect();
        connection.send(Request::get("/endless").bytes());
        connection.peek_at_least(1_000_000);
        drop(connection);
        assert_eq!(told.line(patience()).as_deref(), Some("closed"));
        assert_eq!(server.get("/").status, 200);
        assert_eq!(told.line(patience()).as_deref(), Some("called"));
    }
    assert!(!server.log().text().contains("ERROR"), "a client that left was logged");
    server.stop();
}

#[test]
fn a_websocket_speaks_on_a_hijacked_connection_while_the_worker_serves_others() {
    let (mut server, _told, _gate) = server("");
    let client = "import asyncio, sys, urllib.request, websockets\n\
                  async def main():\n\
                  \x20   async with websockets.connect('ws://' + sys.argv[1] + '/socket', compression=None) as socket:\n\
                  \x20       for text in ['one', 'two', '\u{fc}', 'x' * 100]:\n\
                  \x20           await socket.send(text)\n\
                  \x20           assert await socket.recv() == text\n\
                  \x20           with urllib.request.urlopen('http://' + sys.argv[1] + '/') as other:\n\
                  \x20               assert other.read() == b'hello\\n'\n\
                  \x20   print('fine')\n\
                  asyncio.run(main())\n";
    let address = server.endpoint().to_string();
    let finished = process::run(Command::new("/usr/bin/python3").args(["-c", client, &address]), patience());
    assert_eq!((finished.code(), &*finished.stdout), (0, "fine\n"), "{finished:#?}");
    server.stop();
}

#[test]
fn a_client_that_left_before_its_turn_does_not_reach_the_application() {
    let (mut server, mut told, mut gate) = server("check_client_connection true");
    let mut busy = server.connect();
    busy.send(Request::get("/events").bytes());
    gate.tell("go");
    busy.peek_at_least(1);
    // It waits in the backlog behind the one worker's request, and goes.
    let mut leaver = server.connect();
    leaver.send(Request::get("/").bytes());
    drop(leaver);
    let mut patient = server.connect();
    patient.send(Request::get("/patient").bytes());
    gate.tell("go");
    gate.tell("go");
    assert_eq!(busy.receive().status, 200);
    assert_eq!(told.line(patience()).as_deref(), Some("closed"));
    assert_eq!(patient.receive().status, 200);
    assert_eq!(told.line(patience()).as_deref(), Some("called"));
    server.stop();
    assert!(told.line(std::time::Duration::ZERO).is_none(), "the application was called for a client that had left");
    server.wait_for(Mark::default(), "master complete");
}
