//! Promise: Thruster needs no configuration in front of the server: it listens where `PORT` says, believes what Thruster
//! says of a request as far as it is told to, and ends as Thruster relays it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;
use tempfile::TempDir;
use testkit::output::Mark;
use testkit::{App, Request, Server, program};

const APP: &str = r#"
KEYS = %w[rack.url_scheme SERVER_NAME SERVER_PORT REMOTE_ADDR HTTP_X_FORWARDED_FOR HTTP_X_FORWARDED_HOST].freeze
run ->(env) { [200, {}, [env.values_at(*KEYS).join(" ")]] }
"#;

/// In a network of its own, where the port of Thruster's default is free.
fn thrust(config: &str) -> (TempDir, Server) {
    let place = TempDir::with_prefix("licorne-thruster-").expect("a temporary directory");
    let path = place.path().join("thrust");
    let (play, licorne) = (program::repository().join("tests/http/thruster.py"), program::path());
    let text = format!(
        "#!/bin/sh\n\
         exec unshare --net sh -ec 'ip link set lo up; exec python3 \"$@\"' sh {play:?} {licorne:?} -c config.rb\n"
    );
    fs::write(&path, text).expect("it can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is there");
    let server = Server::builder().program(&path).app(App::rackup(APP)).no_config().unnamed_listeners();
    let server = server.file("app/config.rb", config).launch();
    server.wait_for(Mark::default(), "listening on addr=0.0.0.0:3000");
    server.wait_for(Mark::default(), "master process ready");
    (place, server)
}

fn end(mut server: Server) {
    server.signal(Signal::TERM);
    assert!(server.wait_for_exit().success());
    server.assert_nothing_is_left();
}

#[test]
fn it_listens_where_thruster_asks_and_sees_what_the_client_did() {
    let (_place, server) = thrust("");
    assert_eq!(server.get("/").text(), "http example.com 80 127.0.0.1 127.0.0.1 example.com");
    let encrypted = Request::get("/").field("X-Forwarded-Proto", "https").field("X-Forwarded-For", "192.0.2.1");
    assert_eq!(server.request(encrypted).text(), "https example.com 443 127.0.0.1 192.0.2.1, 127.0.0.1 example.com");
    end(server);
}

#[test]
fn the_time_in_thruster_counts_as_queue_time_where_it_is_trusted() {
    // Five minutes ago.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("the clock is set");
    let start = format!("t={}", now.as_millis() - 300_000);
    for (trusted, counts) in [("trusted_proxies [\"127.0.0.1\", \"::1\"]\n", true), ("", false)] {
        let (_place, server) = thrust(&format!("{trusted}access_log \"access.log\"\n"));
        server.request(Request::get("/").field("X-Request-Start", &start));
        let line = server.eventually("a line", || {
            fs::read_to_string(server.file("app/access.log")).ok().filter(|text| text.ends_with('\n'))
        });
        let line: serde_json::Value = serde_json::from_str(line.trim()).expect("it is JSON");
        let queued_ms = line["queue_ms"].as_f64().expect("a number");
        assert_eq!(queued_ms >= 300_000.0, counts, "{line}");
        end(server);
    }
}
