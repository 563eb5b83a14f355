//! Promise: `rackup -s licorne` and `rails server -u licorne` become the server, with what they were asked for.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;
use tempfile::TempDir;
use testkit::output::Mark;
use testkit::process::signal;
use testkit::{App, Connection, Endpoint, Server, Terminal};

/// Starts a launcher on the port of the listener that is inherited as descriptor 3, so that no test chooses one.
struct Launcher(TempDir);

impl Launcher {
    fn new(words: &str) -> Launcher {
        let place = TempDir::with_prefix("licorne-launcher-").expect("a temporary directory");
        let text = format!(
            "#!/usr/bin/env ruby\n\
             require \"socket\"\n\
             port = Socket.for_fd(3).tap {{ |socket| socket.autoclose = false }}.local_address.ip_port.to_s\n\
             exec(*%w[{words}], \"-p\", port, *ARGV.drop(2), close_others: false)\n"
        );
        let path = place.path().join("licorne");
        fs::write(&path, text).expect("it can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is there");
        testkit::program::install_gem(&place.path().join("gem"));
        Launcher(place)
    }

    /// Where Ruby finds the gem.
    fn library(&self) -> String {
        self.0.path().join("gem/lib").display().to_string()
    }

    #[track_caller]
    fn start(&self, app: App) -> Server {
        let server = Server::builder().program(self.0.path().join("licorne")).app(app).no_config().unnamed_listeners();
        let server = server.env("RUBYLIB", &self.library()).env("DATABASE_URL", DATABASE).launch();
        server.wait_for(Mark::default(), "master process ready");
        server
    }
}

/// The only one that there is, in each environment.
const DATABASE: &str = "sqlite3:db/production.sqlite3";

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
    let app = launcher.0.path().join("app");
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
