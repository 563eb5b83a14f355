//! Promise: behind a proxy with upstream keep-alive no request fails, however often the server is reloaded: no idle
//! connection is closed under the proxy's hands.

use rustix::process::Signal;
use testkit::proxy::{Kind, Proxy};
use testkit::{App, Server};

/// Tells the generation in each response.
const GENERATION: &str = r#"
generation = File.read("../generation").chomp
body = ["ok\n"]
run ->(_env) { [200, { "content-type" => "text/plain", "content-length" => "3", "x-generation" => generation }, body] }
"#;

#[track_caller]
fn check_reloads_behind(kind: Kind, over_unix: bool) {
    let server = Server::builder().app(App::rackup(GENERATION)).workers(2).preload(true);
    let server =
        server.config("path = File.expand_path('../generation'); File.write(path, 'g1') unless File.exist?(path)");
    let server = if over_unix { server.tcp_listeners(0).unix_listeners(1) } else { server };
    let mut server = server.start();
    let proxy = Proxy::start(kind, server.endpoint());
    let kept = testkit::load::Plan::new(proxy.endpoint()).clients(6).keep_alive(true).start();
    let new = testkit::load::Plan::new(proxy.endpoint()).clients(2).start();
    for number in 2..=testkit::rounds(20) + 1 {
        server.write("generation", &format!("g{number}"));
        server.signal(Signal::HUP);
        kept.wait_until_seen(&format!("g{number}"));
        new.wait_until_seen(&format!("g{number}"));
        server.eventually("two workers of one generation", || {
            let workers = server.workers();
            (workers.len() == 2 && workers.iter().all(|worker| worker.generation == Some(number))).then_some(())
        });
    }
    let (kept, new) = (kept.stop(), new.stop());
    kept.assert_no_failure();
    new.assert_no_failure();
    assert_eq!(kept.stale + new.stale, 0, "the proxy closed connections");
    drop(proxy);
    server.stop();
}

#[test]
fn reloads_behind_nginx_over_a_unix_socket_lose_no_request() {
    check_reloads_behind(Kind::Nginx, true);
}

#[test]
fn reloads_behind_nginx_over_tcp_lose_no_request() {
    check_reloads_behind(Kind::Nginx, false);
}

#[test]
fn reloads_behind_haproxy_over_a_unix_socket_lose_no_request() {
    check_reloads_behind(Kind::Haproxy, true);
}

#[test]
fn reloads_behind_haproxy_over_tcp_lose_no_request() {
    check_reloads_behind(Kind::Haproxy, false);
}
