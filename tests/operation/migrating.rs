//! Promise: what `docs/migrating.md` and `docs/from-passenger.md` say works.

use rustix::process::Signal;
use testkit::output::Mark;
use testkit::{App, Connection, Endpoint, Request, Server};

/// The configurations on the pages, in order.
fn configurations() -> Vec<String> {
    let docs = testkit::program::repository().join("docs");
    let pages = ["migrating.md", "from-passenger.md"].map(|name| std::fs::read_to_string(docs.join(name)));
    let text = pages.map(|page| page.expect("the page is there")).concat();
    let blocks = text.split("```ruby\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// What a deployed application has beside its code.
const DIRECTORIES: &str = "require 'fileutils'\nFileUtils.mkdir_p(%w[tmp/pids tmp/sockets log])\n";

#[test]
fn each_configuration_serves_and_reloads() {
    let configurations = configurations();
    assert_eq!(configurations.len(), 4);
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
        ("setpgid true", "setpgid (of Pitchfork's; there is nothing like it here: leave it out)"),
        ("spawn_timeout 5", "spawn_timeout (of Pitchfork's; write boot_timeout)"),
        ("workers 2", "workers (of Puma's; write worker_processes)"),
        ("preload_app!", "preload_app! (of Puma's; write preload_app true)"),
        ("bind 'tcp://0.0.0.0:80'", "bind (of Puma's; write listen, without tcp:// or unix://)"),
        ("on_worker_boot { }", "on_worker_boot (of Puma's; write after_fork { |server, worker| })"),
    ] {
        let mut server = Server::builder().config(line).launch();
        assert_eq!(server.wait_for_exit().code(), Some(1), "{line}");
        let line = server.wait_for(Mark::default(), &format!("config.rb:4: unknown directive: {told}"));
        assert!(line.contains("config.rb` converts all of it"), "{line}");
    }
}

/// Serves what it finds out about the names that it uses.
const NAMES: &str = r#"
require "unicorn"
require "unicorn/oob_gc"
require "unicorn/worker_killer"
use Unicorn::OobGC, 2
theirs = $LOADED_FEATURES.grep(%r{/unicorn-[0-9.]+/|vendor_ruby/unicorn})
names = [Unicorn::HttpServer, Unicorn::Configurator, Gem.loaded_specs.key?("unicorn"), theirs]
run ->(_env) { [200, { "content-type" => "text/plain" }, [names.inspect]] }
"#;

#[test]
fn unicorn_may_stay_in_the_gemfile() {
    let place = tempfile::TempDir::new().expect("a temporary directory");
    let gemfile = place.path().join("Gemfile");
    std::fs::write(&gemfile, "source 'https://rubygems.org'\ngem 'rack'\ngem 'unicorn'\n").expect("it can be written");
    let mut bundle = std::process::Command::new("bundle");
    let bundle = bundle.args(["install", "--local", "--quiet"]).env("BUNDLE_GEMFILE", &gemfile);
    let finished = testkit::process::run(bundle, testkit::patience());
    assert!(finished.status.success(), "{finished:#?}");
    let gemfile = gemfile.display().to_string();
    for preload in [true, false] {
        let mut server = Server::builder()
            .app(App::rackup(NAMES))
            .preload(preload)
            .env("BUNDLE_GEMFILE", &gemfile)
            .env("RUBYOPT", "-rbundler/setup")
            .launch();
        server.wait_for(Mark::default(), "worker=0*ready");
        assert_eq!(server.get("/").text(), "[Licorne::Server, Licorne::Configurator, true, []]", "preload {preload}");
        server.stop();
    }
}

#[test]
fn a_worker_killer_replaces_workers_between_requests() {
    let app = "require 'unicorn/worker_killer'\nuse Unicorn::WorkerKiller::MaxRequests, 3, 3\n\
               run ->(_env) { [200, { 'content-type' => 'text/plain' }, [Process.pid.to_s]] }\n";
    let mut server = Server::builder().app(App::rackup(app)).workers(2).start();
    let mut pids = std::collections::BTreeSet::new();
    let mut asked = 0;
    while pids.len() < 5 {
        let response = server.get("/");
        assert_eq!(response.status, 200);
        pids.insert(response.text());
        asked += 1;
        assert!(asked < 200, "workers stay: {pids:?}");
    }
    server.stop();
}

#[test]
fn a_link_named_unicorn_takes_the_old_command_line() {
    let place = tempfile::TempDir::new().expect("a temporary directory");
    let link = place.path().join("unicorn");
    std::os::unix::fs::symlink(testkit::program::path(), &link).expect("a link can be made");
    let config = format!("{DIRECTORIES}{}", configurations()[0]);
    let mut server = Server::builder().program(link).app(App::rails()).config(&config).launch();
    assert_eq!(server.get("/").text(), "Hello Rails\n");
    server.wait_for_slots(&[0, 1]);
    // As scripts do it: no subcommand, a signal and the pid file.
    testkit::process::signal(server.pid_in_file("server.pid").expect("a pid file"), Signal::HUP).expect("it is there");
    // It is told in the file that the configuration names.
    server.eventually("the line that scripts wait for", || {
        let log = std::fs::read_to_string(server.file("app/log/web.log")).unwrap_or_default();
        log.contains("done reloading config_file=").then_some(())
    });
    let generations: Vec<_> = server.workers().iter().map(|worker| worker.generation).collect();
    assert_eq!(generations, [Some(2), Some(2)]);
    assert_eq!(server.get("/").text(), "Hello Rails\n");
    server.stop();
}
