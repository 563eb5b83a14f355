//! Promise: `gem "licorne"` in the Gemfile of a Rails application is all that `rails server` needs, and Rails gets what
//! it expects of a server: a generator, its port, the errors that only the server saw.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use testkit::output::Mark;
use testkit::process::{Finished, run};
use testkit::{App, Connection, Endpoint, Server, patience, program};

use crate::launcher::{DATABASE, Launcher};

const SERVER: &str = "ruby bin/rails server -b 127.0.0.1 -e production";

/// Runs Ruby in an application, in production.
#[track_caller]
fn ruby(place: &Path, words: &[&str], environment: &[(&str, &str)]) -> Finished {
    let mut command = Command::new("ruby");
    command.args(words).current_dir(place).env_remove("RACK_ENV").env("RAILS_ENV", "production");
    command.env("DATABASE_URL", DATABASE).envs(environment.iter().copied());
    run(&mut command, patience())
}

/// Puts the application beside the launcher, with the gem in its Gemfile.
fn install(launcher: &Launcher, gems: &[&str]) -> std::path::PathBuf {
    let place = launcher.path("app");
    App::rails().install(&place);
    fs::write(place.join("Gemfile"), launcher.gemfile(gems)).expect("the application can be written");
    place
}

#[test]
fn the_only_server_in_the_gemfile_is_the_one_that_starts() {
    let launcher = Launcher::new(SERVER);
    let mut server = launcher.builder(App::rails()).file("app/Gemfile", &launcher.gemfile(&[])).launch();
    server.wait_for(Mark::default(), "=> Booting Licorne");
    server.wait_for(Mark::default(), "master process ready");
    assert_eq!(server.titled("master"), [server.pid()]);
    assert_eq!(server.get("/").text(), "Hello Rails\n");
    server.stop();
}

#[test]
fn the_gemfile_and_rack_handler_choose_the_server() {
    let script = "require './config/boot'
        require 'rails/command'
        require 'rails/commands/server/server_command'
        server = Rails::Server.new(Rails::Command::ServerCommand.new([], []).server_options)
        require './config/application'
        print server.server";
    let is_there = |gem: &str| {
        let find = "exit(Gem::Specification.find_all_by_name(ARGV.first).any?)";
        run(Command::new("ruby").args(["-e", find, gem]), patience()).status.success()
    };
    let cases: [(&[&str], &str, &str); 5] = [
        (&[], "", "Licorne"),
        (&["webrick"], "", "Licorne"),
        (&["webrick"], "webrick", "WEBrick"),
        (&["puma"], "", "Puma"),
        (&["puma"], "licorne", "Licorne"),
    ];
    for (gems, variable, chosen) in cases {
        if !gems.iter().all(|gem| is_there(gem)) {
            continue;
        }
        let launcher = Launcher::new("");
        let place = install(&launcher, gems);
        let variables = [("RACK_HANDLER", variable)];
        let finished = ruby(&place, &["-e", script], &variables[..usize::from(!variable.is_empty())]);
        let wanted = format!("Handler::{chosen}");
        assert!(finished.stdout.ends_with(&wanted), "{gems:?} {variable:?}: {finished:#?}");
    }
}

#[test]
fn its_configuration_says_where_rails_server_listens_unless_it_was_told() {
    let config = "listen \"#{Dir.pwd}/tmp/web.sock\"\nafter_fork { |server, _| server.logger.info(\"configured\") }\n";
    for (launcher, told) in
        [(Launcher::without_port(SERVER.split(" -b").next().unwrap_or("")), false), (Launcher::new(SERVER), true)]
    {
        let server = launcher.builder(App::rails()).file("app/Gemfile", &launcher.gemfile(&[]));
        let server = server.file("app/config/licorne.rb", config).env("RAILS_ENV", "production");
        let mut server = server.launch();
        server.wait_for(Mark::default(), "configured");
        server.wait_for(Mark::default(), "master process ready");
        assert_eq!(server.file("app/tmp/web.sock").exists(), !told);
        assert_eq!(server.get("/").text(), "Hello Rails\n");
        // Nor does it say that it were there.
        assert!(!server.log().text().contains(":3000"), "{}", server.log().text());
        server.stop();
    }
}

#[test]
fn the_generator_writes_a_configuration_that_serves() {
    let launcher = Launcher::new(SERVER);
    let place = install(&launcher, &[]);
    let path = place.join("config/licorne.rb");
    let generate = |words: &[&str]| {
        let finished = ruby(&place, &[&["bin/rails"][..], words].concat(), &[]);
        assert_eq!(finished.code(), 0, "{finished:#?}");
        fs::read_to_string(&path).unwrap_or_default()
    };
    let written = generate(&["generate", "licorne:install"]);
    assert!(written.contains("\n# probe \"/up\" if production\n"), "{written}");

    let mut check = Command::new(program::path());
    check.args(["check", "-c", "config/licorne.rb", "-E", "production"]).current_dir(&place);
    let finished = run(check.env("DATABASE_URL", DATABASE).env("PORT", "0"), patience());
    assert_eq!(finished.code(), 0, "{finished:#?}");

    // What is there is the user's.
    fs::write(&path, "# mine\n").expect("the application can be written");
    assert_eq!(generate(&["generate", "licorne:install", "--skip"]), "# mine\n");
    let routes = place.join("config/routes.rb");
    let text = fs::read_to_string(&routes)
        .expect("it has routes")
        .replace("  root to:", "  get \"up\" => \"rails/health#show\", as: :rails_health_check\n  root to:");
    fs::write(&routes, text).expect("the application can be written");
    let probed = generate(&["generate", "licorne:install", "--force"]);
    assert_eq!(probed, written.replace("# probe", "probe"));
    assert_eq!(generate(&["destroy", "licorne:install"]), "");

    let server = launcher.builder(App::rails()).file("app/Gemfile", &launcher.gemfile(&[]));
    let mut server = server.file("app/config/licorne.rb", &written).launch();
    server.wait_for(Mark::default(), "master process ready");
    assert_eq!(server.get("/").text(), "Hello Rails\n");
    // `bin/rails restart` touches it.
    let mark = server.mark();
    fs::write(server.file("app/tmp/restart.txt"), "").expect("it can be written");
    server.wait_for(mark, "done reloading");
    server.stop();
}

#[test]
fn foreman_starts_and_stops_it_as_bin_dev_has_it() {
    let launcher = Launcher::without_port("foreman start -f Procfile.dev -p 0");
    let server = launcher.builder(App::rails()).file("app/Gemfile", &launcher.gemfile(&[]));
    let server = server.file("app/Procfile.dev", "web: ruby bin/rails server -b 127.0.0.1\n");
    let mut server = server.env("RAILS_ENV", "development").launch();
    let line = server.wait_for(Mark::default(), "listening on addr=127.0.0.1:");
    let address = line.split("addr=").nth(1).and_then(|rest| rest.split(' ').next()).expect("an address");
    server.wait_for(Mark::default(), "master process ready");
    let endpoint = Endpoint::Tcp(address.parse().expect("it is one"));
    let mut client = Connection::open(&endpoint);
    // In development it serves no other host.
    let answer = client.request_raw("GET /pid HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    server.signal(Signal::TERM);
    server.wait_for(Mark::default(), "web.1*exited with code 0");
    server.wait_for_exit();
    server.assert_nothing_is_left();
}

/// Each report is a line; middleware of the outside, a body, and a controller raise.
const ERRORS: &str = r#"
Subscriber = Class.new do
  def report(error, handled:, severity:, context:, source: nil)
    told = context.slice(:worker, :request_method, :path)
    warn("reported #{error.message} handled=#{handled} severity=#{severity} source=#{source} #{told.to_a.flatten.join(",")}")
  end
end
Rails.error.subscribe(Subscriber.new) if Rails.respond_to?(:error)

Outside = Struct.new(:app) do
  def call(env)
    raise "outside" if env["PATH_INFO"] == "/outside"

    env["rack.response_finished"] << ->(*) { raise "afterwards" } if env["PATH_INFO"] == "/afterwards"
    app.call(env)
  end
end
Broken = Class.new do
  def each
    yield "begun"
    raise "in the body"
  end
end
Rails.application.config.middleware.insert_before(0, Outside)
Rails.application.config.action_dispatch.show_exceptions = Rails.version.to_f >= 7.1 ? :none : false
Rails.application.routes.prepend do
  get "/body", to: ->(_) { [200, { "last-modified" => "now" }, Broken.new] }
  get "/inside", to: ->(_) { raise "inside" }
  get "/afterwards", to: ->(_) { [200, {}, []] }
end
"#;

#[test]
fn rails_is_told_of_each_error_once() {
    let version = run(Command::new("ruby").args(["-rrails/version", "-e", "print Rails.version"]), patience()).stdout;
    let knows = version.split('.').take(2).collect::<Vec<_>>().join(".").parse::<f64>().expect("a version") >= 7.1;
    let app = Server::builder().app(App::rails()).env("DATABASE_URL", DATABASE);
    let mut server = app.file("app/config/initializers/errors.rb", ERRORS).start();
    let cases = [
        ("/outside", "outside", "licorne"),
        ("/body", "in the body", "licorne"),
        ("/inside", "inside", "application.action_dispatch"),
        ("/afterwards", "afterwards", "licorne"),
    ];
    for (path, message, source) in cases {
        let mark = server.mark();
        server.connect().request_raw(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        server.wait_for(mark, &format!(" error: {message} (RuntimeError)"));
        // The next request is served when all is said of this one.
        server.get("/pid");
        let reports = server.log().since(mark, "reported ");
        if !knows {
            assert_eq!(reports, Vec::<String>::new(), "Rails {version}");
            continue;
        }
        assert_eq!(reports.len(), 1, "{path}: {reports:?}");
        let wanted = format!("reported {message} handled=false severity=error source={source}");
        assert!(reports[0].contains(&wanted), "{reports:?}");
        if source == "licorne" {
            assert!(reports[0].ends_with(&format!("worker,0,request_method,GET,path,{path}")), "{reports:?}");
        }
    }
    server.stop();
}
