//! Promise: a program that starts the server by itself, with an application that it has made, becomes the server.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;
use testkit::output::Mark;
use testkit::{App, Server};

/// A program, and the gem that it finds.
struct Program(TempDir);

impl Program {
    fn new(text: &str) -> Program {
        let place = TempDir::with_prefix("licorne-embedded-").expect("a temporary directory");
        let path = place.path().join("licorne");
        fs::write(&path, format!("#!/usr/bin/env ruby\n{text}")).expect("it can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is there");
        testkit::program::install_gem(&place.path().join("gem"));
        Program(place)
    }

    #[track_caller]
    fn launch(&self) -> Server {
        let server = Server::builder().program(self.0.path().join("licorne")).exactly(&["one", "--two"]);
        let server =
            server.app(App::rackup("run ->(_env) { [200, {}, [ENV['RACK_ENV'].to_s, ' by a rackup file']] }\n"));
        let server = server.file("app/u.rb", "timeout 20\npid '../server.pid'\n").file("app/code", "old");
        server.env("RUBYLIB", &self.0.path().join("gem/lib").display().to_string()).launch()
    }
}

const OBJECT: &str = r##"
require "licorne/unicorn"
code = File.read("code")
app = ->(_env) { [200, {}, ["#{code} #{ARGV.join(" ")}"]] }
listener = File.join(ENV.fetch("TEST_DIR"), "web.sock")
if $0 == __FILE__
  hook = ->(server, worker) { server.logger.info("worker #{worker.nr} of #{server.worker_processes}") }
  options = { listeners: [listener], worker_processes: 2, config_file: "u.rb", after_fork: hook, preload_app: true }
  Unicorn::HttpServer.new(app, options).start.join
end
raise "nobody comes here"
"##;

#[test]
fn an_application_that_a_program_has_made_is_served_and_reloaded() {
    let program = Program::new(OBJECT);
    let mut server = program.launch();
    server.wait_for(Mark::default(), "master process ready");
    server.wait_for(Mark::default(), "worker 1 of 2");
    assert_eq!(server.titled("master"), [server.pid()]);
    assert_eq!(server.pid_in_file("server.pid"), Some(server.pid()));
    assert_eq!(server.get("/").text(), "old one --two");
    fs::write(server.file("app/code"), "new").expect("it can be written");
    let finished = server.ctl(["reload", "--wait"]);
    assert_eq!(finished.code(), 0, "{finished:#?}");
    assert_eq!(server.get("/").text(), "new one --two");
    server.stop();
}

#[test]
fn a_program_may_serve_a_rackup_file_in_the_background() {
    let program = Program::new(
        r#"
require "licorne/unicorn"
ENV["RACK_ENV"] = "mine"
options = { listeners: File.join(ENV.fetch("TEST_DIR"), "web.sock"), pid: File.join(ENV.fetch("TEST_DIR"), "server.pid") }
app = Unicorn.builder("config.ru", options)
Unicorn::Launcher.daemonize!(options)
Unicorn.run(app, options)
"#,
    );
    let mut server = program.launch();
    assert!(server.wait_for_exit().success());
    assert_eq!(server.get("/").text(), "mine by a rackup file");
    let master = server.pid_in_file("server.pid").expect("a pid file");
    let master = testkit::process::Watch::on(master).expect("the master is there");
    master.signal(rustix::process::Signal::QUIT);
    assert!(master.wait(testkit::patience()), "the master did not stop");
    server.assert_nothing_is_left();
}

#[test]
fn a_program_that_cannot_become_the_server_says_why() {
    for (text, told) in [
        ("Thread.new { Licorne.run(->(_) {}) }.join", "licorne cannot be embedded in a thread*(ArgumentError)"),
        ("$0 = 'irb'; Licorne.run(->(_) {})", "there is no irb (ArgumentError)"),
        ("Licorne.run(nil)", "no application: nil (ArgumentError)"),
        ("Licorne.run(->(_) {}, workers: 2)", "unknown directive: workers (of Puma's*"),
        ("Licorne.run(->(_) {}) unless defined?(Licorne::Mold)", "ended without starting a server"),
    ] {
        let program = Program::new(&format!("require 'licorne'\n{text}\n"));
        let mut server = program.launch();
        assert_eq!(server.wait_for_exit().code(), Some(1), "{text}");
        server.wait_for(Mark::default(), told);
        server.assert_nothing_is_left();
    }
}
