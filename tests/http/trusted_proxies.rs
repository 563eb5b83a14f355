//! Promise: whose word counts is what the configuration says; without it everything is as in Unicorn.

use std::collections::BTreeMap;

use testkit::{Connection, Endpoint, Server};

/// What all of these requests say.
const FIELDS: &str = "X-Forwarded-Proto: https\r\nX-Forwarded-For: 6.6.6.6, 192.0.2.1, 127.0.0.5\r\n\
                      X-Forwarded-Host: evil\r\nForwarded: for=6.6.6.6;proto=https\r\nX-Real-IP: 6.6.6.6\r\n";
const SAID: [&str; 5] =
    ["HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_FORWARDED", "HTTP_X_REAL_IP"];

fn environment(endpoint: &Endpoint, target: &str) -> BTreeMap<String, String> {
    let mut connection = Connection::open(endpoint);
    connection.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{FIELDS}\r\n"));
    let text = connection.receive().text();
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned())).collect()
}

#[track_caller]
fn check(config: &str, tcp: (&str, &str, usize), unix: (&str, &str, usize)) {
    let mut server = Server::builder().config(config).unix_listeners(1).start();
    for (endpoint, (address, scheme, said)) in server.endpoints().iter().zip([tcp, unix]) {
        let env = environment(endpoint, "/env");
        assert_eq!((&*env["REMOTE_ADDR"], &*env["rack.url_scheme"]), (address, scheme), "{config} at {endpoint}");
        assert_eq!(SAID.iter().filter(|key| env.contains_key(**key)).count(), said, "{config} at {endpoint}: {env:#?}");
        let port = if scheme == "https" { "443" } else { "80" };
        assert_eq!(env["SERVER_PORT"], port, "{config} at {endpoint}");
    }
    server.stop();
}

#[test]
fn without_the_directive_the_scheme_is_believed_and_the_address_is_the_peers() {
    check("", ("127.0.0.1", "https", 5), ("127.0.0.1", "https", 5));
}

#[test]
fn only_trusted_proxies_speak_for_others() {
    check("trusted_proxies '10.0.0.0/8'", ("127.0.0.1", "http", 0), ("127.0.0.5", "https", 5));
    check("trusted_proxies []", ("127.0.0.1", "http", 0), ("127.0.0.5", "https", 5));
    check("trusted_proxies ['127.0.0.0/8', :unix]", ("192.0.2.1", "https", 5), ("192.0.2.1", "https", 5));
    check("trusted_proxies '127.0.0.1'", ("127.0.0.5", "https", 5), ("127.0.0.5", "https", 5));
}

#[test]
fn an_untrusted_client_cannot_claim_a_scheme_or_slip_a_field_through() {
    let mut server = Server::builder().config("trusted_proxies []\ndrop_underscore_headers false").start();
    let env = environment(server.endpoint(), "https://a/env");
    assert_eq!(env["rack.url_scheme"], "http");
    let mut connection = server.connect();
    connection.send("GET /env HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 6.6.6.6\r\nX_Real-IP: 6.6.6.6\r\n\r\n");
    let text = connection.receive().text();
    assert!(!text.contains("6.6.6.6"), "{text}");
    server.stop();
}
