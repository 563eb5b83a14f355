//! Promise: what of Rails stays connected works: Action Cable with a thousand clients in one worker, files that go up and
//! down through Active Storage, events of Action Controller Live, which learns that its client has gone.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;

use serde_json::json;
use testkit::fifo::Fifo;
use testkit::output::Mark;
use testkit::swarm::allow_many_descriptors;
use testkit::{App, Endpoint, Request, Server, patience, process};

fn server(config: &str) -> Server {
    Server::builder().app(App::rails_live()).config(config).start()
}

/// A client of Action Cable: text frames alone (RFC 6455), masked with zeros.
struct Client(BufReader<TcpStream>);

impl Client {
    #[track_caller]
    fn connect(server: &Server) -> Client {
        let Endpoint::Tcp(address) = server.endpoint() else { panic!("it listens on TCP") };
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(patience())).expect("a socket has a time limit");
        let mut client = Client(BufReader::new(stream));
        let fields = "Host: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: actioncable-v1-json\r\n";
        client.send(format!("GET /cable HTTP/1.1\r\n{fields}\r\n").as_bytes());
        let mut line = String::new();
        client.0.read_line(&mut line).expect("an answer");
        assert!(line.starts_with("HTTP/1.1 101 "), "{line}");
        while line != "\r\n" {
            line.clear();
            client.0.read_line(&mut line).expect("a head");
        }
        client
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).expect("the server reads");
    }

    fn say(&mut self, message: &serde_json::Value) {
        let text = message.to_string();
        let length = u16::try_from(text.len()).expect("a short message").to_be_bytes();
        self.send(&[&[0x81, 0x80 | 126, length[0], length[1], 0, 0, 0, 0], text.as_bytes()].concat());
    }

    /// Waits for a message with this text in it.
    #[track_caller]
    fn hear(&mut self, wanted: &str) {
        loop {
            let mut head = [0; 2];
            self.0.read_exact(&mut head).expect("a message");
            let mut length = usize::from(head[1]);
            if length == 126 {
                self.0.read_exact(&mut head).expect("its length");
                length = usize::from(u16::from_be_bytes(head));
            }
            let mut text = vec![0; length];
            self.0.read_exact(&mut text).expect("its text");
            if String::from_utf8_lossy(&text).contains(wanted) {
                return;
            }
        }
    }
}

#[test]
fn a_thousand_clients_of_action_cable_share_one_worker() {
    const COUNT: usize = 1_000;
    allow_many_descriptors();
    let mut server = server("");
    let room = r#"{"channel":"RoomChannel"}"#;
    let mut clients: Vec<Client> = (0..COUNT).map(|_| Client::connect(&server)).collect();
    for client in &mut clients {
        client.hear(r#""type":"welcome""#);
        client.say(&json!({ "command": "subscribe", "identifier": room }));
    }
    for (number, client) in clients.iter_mut().enumerate() {
        client.hear(r#""type":"confirm_subscription""#);
        let data = json!({ "action": "echo", "text": format!("of {number} alone") }).to_string();
        client.say(&json!({ "command": "message", "identifier": room, "data": data }));
    }
    for (number, client) in clients.iter_mut().enumerate() {
        client.hear(&format!("of {number} alone"));
    }
    // None of them keeps the only worker from other requests, nor has a thread of its own.
    let cost = parsed(&server.get("/cost"));
    assert_eq!(cost["connections"], COUNT);
    assert!(cost["threads"].as_u64().is_some_and(|threads| threads < 50), "{cost}");
    assert_eq!(server.request(Request::form("/broadcast", &[("text", "to all")])).status, 204);
    clients.iter_mut().for_each(|client| client.hear("to all"));
    drop(clients);
    server.eventually("no client", || (parsed(&server.get("/cost"))["connections"] == 0).then_some(()));
    server.stop();
}

/// The file of all downloads, larger than what a worker keeps of a response in memory.
fn content() -> Vec<u8> {
    (0..5_000_000_u32).map(|number| (number.wrapping_mul(40_503) >> 9) as u8).collect()
}

/// The JSON of a response.
#[track_caller]
fn parsed(response: &testkit::Response) -> serde_json::Value {
    assert_eq!(response.status, 200, "{}", response.text());
    serde_json::from_slice(&response.body).expect("it is JSON")
}

#[test]
fn a_file_goes_to_the_disk_and_comes_back_as_it_was() {
    let mut server = server("");
    let content = content();
    let kept = server.file("a.bin");
    std::fs::write(&kept, &content).expect("it can be written");
    let script = "print Digest::MD5.file(ARGV.first).base64digest";
    let checksum = process::run(Command::new("ruby").args(["-rdigest", "-e", script]).arg(&kept), patience()).stdout;
    // As the browser does it: the blob is announced, sent to where the answer says, and attached.
    let blob = json!({ "blob": { "filename": "a.bin", "byte_size": content.len(), "checksum": checksum,
        "content_type": "application/octet-stream" } });
    let announced =
        Request::new("POST", "/rails/active_storage/direct_uploads").content("application/json", blob.to_string());
    let announced = parsed(&server.request(announced));
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let upload = text(&announced["direct_upload"]["url"]);
    let target = upload.strip_prefix("http://example.com").expect("it is of this server");
    let put = Request::new("PUT", target).content("application/octet-stream", content.clone());
    assert_eq!(server.request(put).status, 204);
    let attached = Request::form("/attach", &[("signed_id", &text(&announced["signed_id"]))]);
    let attached = parsed(&server.request(attached));

    let proxied = server.get(&text(&attached["proxy"]));
    assert_eq!((proxied.status, proxied.body == content), (200, true), "{:?}", proxied.fields);
    let redirected = server.get(&text(&attached["redirect"]));
    assert_eq!(redirected.status, 302);
    let target =
        redirected.field("Location").and_then(|place| place.strip_prefix("http://example.com")).expect("a place");
    let file = server.get(target);
    assert_eq!((file.status, file.body == content), (200, true));
    assert_eq!(file.field("Content-Length"), Some("5000000"));
    let part = server.request(Request::get(target).field("Range", "bytes=10-19"));
    assert_eq!((part.status, &part.body[..]), (206, &content[10..20]));
    server.stop();
}

#[test]
fn each_event_of_action_controller_live_goes_out_at_once() {
    let mut server = Server::builder().app(App::rails_live()).env("GATE", "gate").start();
    let mut gate = Fifo::create(server.file("app/gate"));
    let mut connection = server.connect();
    connection.send(Request::get("/events").bytes());
    let mut seen = 0;
    for number in 0..3 {
        gate.tell("go");
        // Nothing but this event lets the next one happen.
        loop {
            let all = connection.peek_at_least(seen + 1);
            seen = all.len();
            if String::from_utf8_lossy(all).contains(&format!("data: {{\"number\":{number}}}\n\n")) {
                break;
            }
        }
    }
    let response = connection.receive();
    assert_eq!((response.status, response.text().matches("data: ").count()), (200, 3));
    server.stop();
}

#[test]
fn action_controller_live_learns_that_its_client_has_gone() {
    let mut server = server("");
    for _ in 0..3 {
        let mark = server.mark();
        let mut connection = server.connect();
        connection.send(Request::get("/endless").bytes());
        connection.peek_at_least(1_000_000);
        drop(connection);
        server.wait_for(mark, "disconnected: ActionController::Live::ClientDisconnected");
        assert_eq!(server.get("/cost").status, 200);
    }
    server.stop();
    server.wait_for(Mark::default(), "master complete");
}
