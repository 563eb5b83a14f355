//! Promise: `rackup -s licorne` and `rails server -u licorne` become the server, with what they were asked for.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;
use testkit::output::Mark;
use testkit::{App, Server};

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

    #[track_caller]
    fn start(&self, app: App) -> Server {
        let server = Server::builder().program(self.0.path().join("licorne")).app(app).no_config().unnamed_listeners();
        let server = server.env("RUBYLIB", &self.0.path().join("gem/lib").display().to_string()).launch();
        server.wait_for(Mark::default(), "master process ready");
        server
    }
}

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
