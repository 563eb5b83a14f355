//! Promise: what `docs/migrating.md` says works.

use testkit::output::Mark;
use testkit::{App, Connection, Endpoint, Request, Server};

/// The configurations on the page, in order.
fn configurations() -> Vec<String> {
    let page = testkit::program::repository().join("docs/migrating.md");
    let text = std::fs::read_to_string(page).expect("the page is there");
    let blocks = text.split("```ruby\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// What a deployed application has beside its code.
const DIRECTORIES: &str = "require 'fileutils'\nFileUtils.mkdir_p(%w[tmp/pids tmp/sockets log])\n";

#[test]
fn each_configuration_serves_and_reloads() {
    let configurations = configurations();
    assert_eq!(configurations.len(), 3);
    for configuration in configurations {
        let config = format!("{DIRECTORIES}{configuration}");
        let mut server = Server::builder().app(App::rails()).config(&config).launch();
        assert_eq!(server.get("/").text(), "Hello Rails\n", "{configuration}");
        assert_eq!(server.wait_for_slots(&[0, 1]).len(), 2, "{configuration}");
        assert!(server.get("/notes").text().contains("first"), "{configuration}");
        for socket in ["web.sock", "puma.sock"].iter().filter(|name| configuration.contains(*name)) {
            let endpoint = Endpoint::Unix(server.file(&format!("app/tmp/sockets/{socket}")));
            assert_eq!(Connection::open(&endpoint).request(&Request::get("/").close()).status, 200);
        }
        let finished = server.ctl(["reload", "--wait"]);
        assert_eq!(finished.code(), 0, "{configuration}: {finished:#?}");
        assert_eq!(server.get("/").text(), "Hello Rails\n", "{configuration}");
        server.stop();
    }
}

#[test]
fn directives_of_others_are_told_with_their_line() {
    for (line, told) in [
        ("refork_after [50, 100]", "unknown directive: refork_after"),
        ("workers 2", "unknown directive: workers"),
        ("preload_app!", "unknown directive: preload_app!"),
        ("spawn_timeout 5", "unknown directive: spawn_timeout"),
    ] {
        let mut server = Server::builder().config(line).launch();
        assert_eq!(server.wait_for_exit().code(), Some(1), "{line}");
        server.wait_for(Mark::default(), &format!("config.rb:4: {told}"));
    }
}
