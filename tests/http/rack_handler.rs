//! Promise: `rackup -s licorne` and `rails server -u licorne` become the server, with what they were asked for.

use std::fs;

use rustix::process::Signal;
use testkit::output::Mark;
use testkit::process::signal;
use testkit::{App, Connection, Endpoint, Terminal};

use crate::launcher::{DATABASE, Launcher};

/// Rails in development serves no other host.
const LOCAL: &str = "GET /pid HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

const SEEN: &str = r#"
seen = [ENV["RACK_ENV"], $VERBOSE, defined?(Set)]
run ->(env) { [200, { "Content-Type" => "text/plain" }, [seen.inspect]] }
"#;

#[test]
fn rackup_becomes_the_server() {
    let launcher = Launcher::new("rackup -s licorne -o 127.0.0.1 -E deployment -w -r set -P rack.pid");
    let mut server = launcher.start(App::rackup(SEEN));
    assert_eq!(server.titled("master"), [server.pid()]);
    assert_eq!(server.get("/").text(), r#"["deployment", true, "constant"]"#);
    // The environment's middleware is around it.
    server.wait_for(Mark::default(), "*\"GET / HTTP/1.1\" 200 *");
    let pid_file = server.file("app/rack.pid");
    assert_eq!(fs::read_to_string(&pid_file).expect("a pid file").trim(), server.pid().to_string());
    server.stop();
    assert!(!pid_file.exists(), "the pid file was left");
}

#[test]
fn rackup_passes_a_configuration_file_on() {
    let launcher = Launcher::new("rackup -s licorne -o 127.0.0.1 -E none -O config_file=u.rb");
    let app = "File.write('ready', '') if ENV['CONFIGURED']\n";
    let config = "File.write('u.rb', \"ENV['CONFIGURED'] = 'yes'\\n\") unless File.exist?('u.rb')\n";
    let app = App::rackup(format!("{config}{app}{SEEN}"));
    let mut server = launcher.start(app);
    assert_eq!(server.get("/").status, 200);
    assert!(server.file("app/ready").exists());
    server.stop();
}

#[test]
fn rails_server_becomes_the_server() {
    let words = "ruby bin/rails server -u licorne -b 127.0.0.1 -e production -P tmp/pids/server.pid";
    let launcher = Launcher::new(words);
    let mut server = launcher.start(App::rails());
    assert_eq!(server.titled("master"), [server.pid()]);
    assert_eq!(server.get("/").text(), "Hello Rails\n");
    let pid_file = server.file("app/tmp/pids/server.pid");
    assert_eq!(fs::read_to_string(&pid_file).expect("a pid file").trim(), server.pid().to_string());
    server.stop();
    assert!(!pid_file.exists(), "the pid file was left");
}

#[test]
fn rails_server_shows_the_log_on_the_console_where_it_does_under_puma() {
    let logged = "*Started GET \"/pid\" for 127.0.0.1 *";
    for (words, name, is_shown) in [
        ("-e development", "development.log", true),
        ("-e production", "production.log", false),
        ("-e production --log-to-stdout", "production.log", true),
    ] {
        let launcher = Launcher::new(&format!("ruby bin/rails server -u licorne -b 127.0.0.1 {words}"));
        let mut server = launcher.start(App::rails());
        // In production the applications of Rails 7.1 and later log to standard output, and to no file.
        let settings = fs::read_to_string(server.file("app/config/environments/production.rb")).expect("settings");
        let has_file =
            name != "production.log" || !settings.contains("config.logger = ActiveSupport::Logger.new(STDOUT)");
        let is_shown = is_shown || !has_file;
        for served in 1..=2 {
            let mark = server.mark();
            assert!(server.connect().request_raw(LOCAL).starts_with(b"HTTP/1.1 200 "));
            if is_shown {
                server.wait_for(mark, logged);
            }
            let file = server.file("app/log").join(name);
            let count = || fs::read_to_string(&file).unwrap_or_default().matches("Started GET \"/pid\"").count();
            server.eventually("the log file", || (!has_file || count() == served).then_some(()));
            assert_eq!(server.log().since(mark, logged).len(), usize::from(is_shown), "{words}");
            // The next worker loads the application anew.
            let mark = server.mark();
            signal(server.workers()[0].pid, Signal::QUIT).expect("it is there");
            server.wait_for(mark, "worker=0 ready");
        }
        server.stop();
    }
}

#[test]
fn rails_server_at_a_terminal_is_the_server_with_its_log() {
    let launcher = Launcher::new("rails");
    let app = launcher.path("app");
    App::rails().install(&app);
    let command = "cd \"$APP\" && exec ruby bin/rails server -u licorne -b 127.0.0.1 -p 0";
    let place = app.display().to_string();
    let environment =
        [("APP", place.as_str()), ("RUBYLIB", &launcher.library()), ("DATABASE_URL", DATABASE), ("RAILS_ENV", "")];
    let mut terminal = Terminal::start(std::path::Path::new("/bin/sh"), &["-c", command], &environment, 50, 160);
    terminal.wait_for_text("=> Booting Licorne");
    let address = terminal.wait_for("its address", |shown| {
        let line = shown.lines().find_map(|line| line.trim().strip_prefix("http://127.0.0.1:")?.strip_suffix('/'));
        format!("127.0.0.1:{}", line?).parse().ok()
    });
    let mut client = Connection::connect(&Endpoint::Tcp(address), testkit::patience()).expect("it listens");
    assert!(client.request_raw(LOCAL).starts_with(b"HTTP/1.1 200 "));
    terminal.wait_for_text("Started GET \"/pid\" for 127.0.0.1");
    terminal.wait_for_text("Completed 200 OK");
    terminal.press("\u{3}");
    assert!(terminal.wait_for_exit().success());
}
