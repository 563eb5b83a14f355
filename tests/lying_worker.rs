//! Promise: what a worker says is a claim. One that lies to its master loses its own requests at most; the others serve on,
//! and no process is signalled that it names.

use std::process::Command;

use rustix::process::Signal;
use testkit::{App, Server};

/// Says what it is asked to say on each of its packet sockets: the control socket, and the queue's ends.
const LIAR: &str = r##"
  require "socket"
  run ->(env) do
    if env["PATH_INFO"] == "/lie"
      lie = [env["QUERY_STRING"]].pack("H*")
      Dir.children("/proc/self/fd").each do |number|
        socket = Socket.for_fd(Integer(number))
        socket.autoclose = false
        socket.send(lie, 0) if socket.getsockopt(:SOCKET, :TYPE).int == Socket::SOCK_SEQPACKET
      rescue SystemCallError
        next
      end
    end
    [200, { "Content-Type" => "text/plain" }, [$$.to_s]]
  end
"##;

/// Starts a server whose workers are of another user where that is possible.
fn liar() -> Server {
    let user = if rustix::process::geteuid().is_root() { "user \"nobody\"" } else { "" };
    Server::builder().app(App::rackup(LIAR)).workers(2).config(user).start()
}

fn lie(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut connection = server.connect();
    connection.send(format!("GET /lie?{hex} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    connection.read_to_end()
}

#[test]
fn a_process_that_a_worker_names_as_itself_is_not_signalled() {
    let mut server = liar();
    let mut bystander = Command::new("sleep").arg("1000").spawn().expect("it starts");
    let mark = server.mark();
    lie(&server, &[&[1, 16][..], &bystander.id().to_le_bytes()].concat());
    server.wait_for(mark, "unexpected message kind=16, killing");
    server.wait_for(mark, "worker=* ready");
    assert_eq!(server.get("/").status, 200);
    server.signal(Signal::QUIT);
    assert!(server.wait_for_exit().success());
    assert!(bystander.try_wait().expect("it is a child").is_none(), "it was signalled");
    bystander.kill().expect("it lives");
    bystander.wait().expect("it is a child");
    server.assert_nothing_is_left();
}

#[test]
fn a_worker_that_sends_what_is_not_its_to_send_is_ended_and_replaced() {
    let mut server = liar();
    let text = |kind: u8, text: &str| [&[1, kind][..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let lies = [
        vec![1, 2],
        [&[1, 5][..], &u32::MAX.to_le_bytes()].concat(),
        text(6, "/etc/passwd"),
        vec![1, 7],
        vec![1, 9],
        text(11, "{}"),
        text(12, "{}"),
    ];
    for said in &lies {
        let mark = server.mark();
        lie(&server, said);
        server.wait_for(mark, &format!("unexpected message kind={}, killing", said[1]));
        server.wait_for(mark, "worker=* ready");
        assert_eq!(server.get("/").status, 200, "{said:?}");
    }
    let status = server.ctl(["status"]);
    assert_eq!(status.code(), 0, "{status:#?}");
    server.stop();
}
