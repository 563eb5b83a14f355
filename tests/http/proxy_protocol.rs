//! Promise: behind a proxy that speaks the PROXY protocol the application sees the proxy's client; a connection without
//! a valid header is closed, and nothing later on a connection is taken for one.

use std::collections::BTreeMap;
use std::time::Duration;

use testkit::output::Mark;
use testkit::{Connection, Front, Request, Server};

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.2 56324 443\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x02\xdc\x04\x01\xbb";
/// The addresses that `-l` gave, in a configuration.
const GIVEN: &str = "Unicorn::Configurator::RACKUP[:options][:listeners]";
const KEYS: [&str; 4] = ["REMOTE_ADDR", "REMOTE_PORT", "SERVER_ADDR", "SERVER_PORT"];

/// A server whose listeners, one TCP and one UNIX, have this option.
fn server(option: &str) -> Server {
    let config = format!("{GIVEN}.each {{ |address| listen address, proxy_protocol: {option} }}");
    Server::builder().config(&config).unix_listeners(1).start()
}

fn environment(connection: &mut Connection) -> BTreeMap<String, String> {
    let response = connection.request(&Request::get("/env"));
    let pairs = response.text();
    let pairs = pairs.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned())).collect()
}

fn ends(env: &BTreeMap<String, String>) -> [Option<&str>; 4] {
    KEYS.map(|key| env.get(key).map(String::as_str))
}

const CLIENT: [Option<&str>; 4] = [Some("192.0.2.7"), Some("56324"), Some("198.51.100.2"), Some("443")];
/// What the socket itself tells.
const SOCKET: [Option<&str>; 4] = [Some("127.0.0.1"), None, None, Some("80")];

#[test]
fn the_header_tells_who_the_client_is_on_every_request_of_the_connection() {
    let mut server = server("true");
    for endpoint in server.endpoints() {
        for header in [V1, V2] {
            let mut connection = Connection::open(endpoint);
            connection.send(header);
            for _ in 0..3 {
                assert_eq!(ends(&environment(&mut connection)), CLIENT);
            }
            // With a request right behind it, and byte by byte.
            let mut connection = Connection::open(endpoint);
            connection.send([header, &Request::get("/").bytes()].concat());
            assert_eq!(connection.receive().status, 200);
            assert_eq!(ends(&environment(&mut connection)), CLIENT);
            let mut connection = Connection::open(endpoint);
            header.iter().for_each(|byte| connection.send([*byte]));
            assert_eq!(ends(&environment(&mut connection)), CLIENT);
        }
        for own in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
            let mut connection = Connection::open(endpoint);
            connection.send(own);
            assert_eq!(ends(&environment(&mut connection)), SOCKET);
        }
    }
    server.stop();
}

#[test]
fn a_connection_without_a_valid_header_is_closed_without_a_word() {
    let mut server = server(":v1");
    let long = [&b"PROXY TCP4 "[..], &[b'1'; 200]].concat();
    for bytes in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], V2, &long, b"PROXY TCP4 1 2 3 4\r\n", b"\x16\x03\x01"] {
        for endpoint in server.endpoints() {
            assert_eq!(Connection::open(endpoint).request_raw(bytes), b"");
        }
    }
    server.wait_for(Mark::default(), "*closed a connection that has to come from a proxy*");
    let mut connection = server.connect();
    connection.send(V1);
    assert_eq!(ends(&environment(&mut connection)), CLIENT);
    server.stop();
}

#[test]
fn only_the_first_bytes_of_a_connection_are_a_header() {
    let mut server = server("true");
    let mut connection = server.connect();
    connection.send([V1, &Request::get("/").bytes(), V1].concat());
    assert_eq!(connection.receive().status, 200);
    assert_eq!(connection.receive().status, 400);
    // In a body it is content.
    let mut connection = server.connect();
    connection.send(V1);
    let body = [&b"prefix\n"[..], b"PROXY TCP4 1.1.1.1 2.2.2.2 3 4\r\nsuffix"].concat();
    let told = connection.request(&Request::post("/echo", body.clone())).text();
    assert_eq!(told, format!("{} {}\n", body.len(), testkit::process::sha256(&body)));
    assert_eq!(ends(&environment(&mut connection)), CLIENT);
    server.stop();

    // Without the option it is no header at all.
    let mut plain = Server::builder().start();
    let mut connection = plain.connect();
    connection.send([V1, &Request::get("/").bytes()].concat());
    assert_eq!(connection.receive().status, 400);
    plain.stop();
}

#[test]
fn a_dripped_header_has_one_deadline_in_all() {
    let config = format!("header_timeout 1\nlisten {GIVEN}.first, proxy_protocol: true");
    let mut server = Server::builder().config(&config).start();
    let mut connection = server.connect();
    // Ten bytes a second would come in time for a deadline between bytes.
    let sent = connection.drip(V1, Duration::from_millis(100));
    assert!(sent < V1.len(), "{sent} bytes were taken");
    assert_eq!(connection.read_to_end(), b"");
    server.stop();
}

#[test]
fn a_haproxy_in_front_passes_its_client_on() {
    let mut server = server("true");
    for (send, versions) in [("send-proxy", "v1"), ("send-proxy-v2", "v2")] {
        let config = format!(
            "global\n  maxconn 50\ndefaults\n  mode http\n  timeout connect 30s\n  timeout client 30s\n  timeout server 30s\n\
             frontend f\n  bind fd@3\n  default_backend b\nbackend b\n  server s {} {send}\n",
            server.endpoint()
        );
        server.write("haproxy.cfg", &config);
        let file = server.file("haproxy.cfg").display().to_string();
        let front = Front::start("haproxy", &["-db", "-q", "-f", &file], server.directory());
        let mut connection = Connection::open(&front.endpoint);
        let port = connection.local_port().to_string();
        for _ in 0..3 {
            let env = environment(&mut connection);
            let listener = front.endpoint.to_string();
            let (address, own) = listener.split_once(':').expect("an address and a port");
            assert_eq!(ends(&env), [Some("127.0.0.1"), Some(&*port), Some(address), Some(own)], "{versions}");
        }
    }
    server.stop();
}
