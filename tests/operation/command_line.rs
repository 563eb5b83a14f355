//! Promise: the command line of Unicorn, under each of the names that it may be called by, mistakes included.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;
use testkit::output::Mark;
use testkit::process::{Finished, Watch, run};
use testkit::{App, Connection, Endpoint, Request, Server};

/// A directory with an application, configurations, and the program under other names.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(TempDir::with_prefix("licorne-command-").expect("a temporary directory"));
        for name in ["licorne", "unicorn", "unicorn_rails"] {
            std::os::unix::fs::symlink(testkit::program::path(), place.path(name)).expect("a link");
        }
        for (name, text) in [
            ("config.ru", "run ->(_env) { [200, {}, []] }\n"),
            ("wrong.rb", "worker_processes 0\n"),
            ("exit.rb", "exit 3\n"),
            ("done.rb", "exit\n"),
            ("gone.rb", "exit!(0)\n"),
            ("abort.rb", "abort 'not here'\n"),
            ("version.ru", "# a comment\n#\\ -v\n"),
            ("help.ru", "#\\ -h\n"),
            ("option.ru", "#\\ -x\n"),
        ] {
            fs::write(place.path(name), text).expect("it can be written");
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a command line to its end.
    #[track_caller]
    fn run(&self, line: &str) -> Finished {
        let mut words = line.split_whitespace();
        let mut command = Command::new(self.path(words.next().expect("a program")));
        command.args(words).current_dir(self.0.path()).env("PWD", self.0.path());
        run(&mut command, testkit::patience())
    }
}

/// Command lines that end at once: the exit status, and what standard error must contain.
///
/// A daemon's command says the same as the server in the foreground, and then that it failed.
const MISTAKES: &[(&str, i32, &[&str])] = &[
    ("licorne --bogus", 1, &["invalid option: --bogus (OptionParser::InvalidOption)"]),
    ("licorne -x", 1, &["invalid option: -x (OptionParser::InvalidOption)"]),
    ("licorne -l", 1, &["missing argument: -l (OptionParser::MissingArgument)"]),
    ("licorne --config-file", 1, &["missing argument: --config-file (OptionParser::MissingArgument)"]),
    ("licorne -p abc", 1, &["invalid argument: -p abc (OptionParser::InvalidArgument)"]),
    ("licorne -p=9000", 1, &["invalid argument: -p=9000 (OptionParser::InvalidArgument)"]),
    ("licorne --e x", 1, &["ambiguous option: --e (OptionParser::AmbiguousOption)"]),
    ("licorne --daemonize=yes", 1, &["needless argument: --daemonize=yes (OptionParser::NeedlessArgument)"]),
    ("licorne -c nowhere.rb", 1, &["No such file or directory @ rb_sysopen - nowhere.rb (Errno::ENOENT)"]),
    ("licorne missing.ru", 1, &["rackup file (missing.ru) not readable (ArgumentError)"]),
    ("licorne missing.rb", 1, &["rackup file (missing.rb) not readable (ArgumentError)"]),
    ("licorne word", 1, &["rackup file (word) not readable (ArgumentError)"]),
    ("licorne -l foo.sock", 1, &["FATAL -- : error adding listener addr=foo.sock", "Don't know how to bind: foo.sock"]),
    ("licorne -l host.invalid:80", 1, &["error adding listener addr=host.invalid:80", "getaddrinfo"]),
    // Unicorn lets the number wrap and serves on port 34463.
    ("licorne -l 127.0.0.1:99999", 1, &["error adding listener addr=127.0.0.1:99999"]),
    ("licorne -c wrong.rb", 1, &["wrong.rb:1: too low (< 1): worker_processes=0 (ArgumentError)"]),
    ("licorne -c wrong.rb -D", 1, &["too low (< 1)", "master failed to start, check stderr log for details"]),
    ("licorne -c exit.rb", 3, &[]),
    ("licorne -c exit.rb -D", 1, &["master failed to start, check stderr log for details"]),
    ("licorne -c abort.rb", 1, &["not here"]),
    ("licorne option.ru", 1, &["option.ru:1: invalid option: -x"]),
    ("licorne -P x.pid word", 1, &["Use of --pid/-P is strongly discouraged", "Use the 'pid' directive"]),
    ("licorne -s thin word", 1, &["-s/--server only exists for compatibility"]),
    ("licorne start", 1, &["there is no command `start`, and no such file: start a server with `licorne -c "]),
    ("licorne restart", 1, &["`licorne reload` loads new code"]),
    ("licorne -w 4", 1, &["-w turns on warnings and takes no number", "worker_processes 4", "WEB_CONCURRENCY=4"]),
    // Under Unicorn's names there is nothing but Unicorn's command line.
    ("licorne relaod --wait", 1, &["there is no command `relaod`, and no such file: did you mean `reload`?"]),
    ("licorne help relaod", 1, &["there is no command `relaod`"]),
    ("unicorn reload", 1, &["rackup file (reload) not readable"]),
    ("unicorn --control x", 1, &["invalid option: --control"]),
    ("unicorn_rails -N", 1, &["invalid option: -N"]),
    ("unicorn_rails -s thin", 1, &["invalid option: -s"]),
    ("unicorn_rails --pid x", 1, &["invalid option: --pid"]),
    ("unicorn_rails word.ru", 1, &["unicorn_rails must be run inside RAILS_ROOT: there is no word.ru"]),
];

#[test]
fn a_mistake_in_the_command_line_is_explained_and_fails() {
    let place = Place::new();
    for (line, code, told) in MISTAKES {
        let finished = place.run(line);
        assert_eq!(finished.code(), *code, "{line}: {finished:#?}");
        for told in *told {
            assert!(finished.stderr.contains(told), "{line}: {told:?} is not in {finished:#?}");
        }
    }
}

/// Command lines that only say something: what standard output begins with, and nothing goes to standard error.
const SAYINGS: &[(&str, &str)] = &[
    ("licorne -v", concat!("licorne v", env!("CARGO_PKG_VERSION"), "\n")),
    ("licorne --vers", "licorne v"),
    ("licorne -h", "Usage: licorne [ruby options] [licorne options] [rackup config file]\n"),
    ("unicorn -v", "unicorn v6.1.0"),
    ("unicorn -Dv", "unicorn v6.1.0"),
    ("unicorn --help", "Usage: unicorn [ruby options] [unicorn options] [rackup config file]\nRuby options:\n"),
    ("unicorn_rails -v", "unicorn_rails v6.1.0"),
    ("unicorn_rails -h", "Usage: unicorn_rails [ruby options] [unicorn_rails options] [rackup config file]\n"),
    ("licorne version.ru", "licorne v"),
    ("licorne help.ru", "Usage: licorne"),
    ("licorne -c done.rb", ""),
    ("licorne -c gone.rb", ""),
    ("licorne help", "Usage: licorne"),
    ("licorne help reload", "Usage: licorne reload"),
    ("licorne help herd", "usage: licorne herd"),
];

#[test]
fn help_and_version_are_printed() {
    let place = Place::new();
    for (line, said) in SAYINGS {
        let finished = place.run(line);
        assert_eq!((finished.code(), &*finished.stderr), (0, ""), "{line}: {finished:#?}");
        assert!(finished.stdout.starts_with(said), "{line}: {finished:#?}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_mistake() {
    for word in ["--help", "status --help", "init systemd", "herd --help", "herd reload --help"] {
        let (reader, writer) = testkit::process::pipe();
        drop(reader);
        let mut command = Command::new(testkit::program::path());
        let ended = command.args(word.split(' ')).stdout(writer).output().expect("it can be run");
        let told = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success() && !told.contains("panicked"), "licorne {word}: {ended:?}");
    }
}

#[test]
fn a_link_named_unicorn_is_unicorn_in_titles_too() {
    let place = Place::new();
    let mut server = Server::builder().program(place.path("unicorn")).start();
    assert_eq!(server.titled("master"), [server.pid()]);
    assert_eq!(server.workers().len(), 1);
    assert_eq!(server.get("/").status, 200);
    server.stop();
}

/// What an application under `unicorn_rails` sees.
const RAILS: &str = r#"
seen = ENV.values_at("RAILS_ENV", "RACK_ENV", "RAILS_RELATIVE_URL_ROOT") + Dir["tmp/*"].sort
run ->(_env) { [200, {}, [seen.inspect]] }
"#;

#[test]
fn unicorn_rails_sets_up_a_rails_application() {
    let place = Place::new();
    let server = Server::builder().program(place.path("unicorn_rails")).app(App::rackup(RAILS));
    let mut server = server.rack_env("staging").arg("-P").arg("/shop").start();
    let seen = r#"["staging", nil, "/shop", "tmp/cache", "tmp/pids", "tmp/sessions", "tmp/sockets"]"#;
    assert_eq!(server.get("/").text(), seen);
    server.stop();
}

#[test]
fn unicorn_rails_in_the_background_has_a_pid_file() {
    let place = Place::new();
    let server = Server::builder().program(place.path("unicorn_rails")).app(App::rackup(RAILS)).no_config();
    let mut server = server.tcp_listeners(0).arg("-D").arg("-l").arg("unix:rails.sock").launch();
    assert!(server.wait_for_exit().success());
    let file = server.file("app/tmp/pids/unicorn.pid");
    let pid: u32 = fs::read_to_string(&file).expect("a pid file").trim().parse().expect("a pid");
    let endpoint = Endpoint::Unix(server.file("app/rails.sock"));
    assert_eq!(Connection::open(&endpoint).request(&Request::get("/").close()).status, 200);
    let master = Watch::on(pid).expect("the master is there");
    master.signal(Signal::QUIT);
    assert!(master.wait(testkit::patience()), "the master did not stop");
    server.assert_nothing_is_left();
}

/// What a rackup file's own options did.
const OPTIONS: &str = r#"# The first line that begins with these two characters counts.
#\ -E staging -I lib -r tool -e $evaluated=__LINE__ -l unix:late.sock -o 127.0.0.1 -p 0 -N -c other.rb
#\ -E never
seen = [ENV["RACK_ENV"], Tool::NAME, $evaluated]
run ->(_env) { [200, {}, [seen.inspect]] }
"#;

#[test]
fn options_in_the_rackup_file_act() {
    let early = "Dir.mkdir('lib')\nFile.write('lib/tool.rb', \"module Tool; NAME = 'tool'; end\")";
    let config = format!("{early}\nENV['RACK_ENV'] = 'production'\nlisten 'unix:configured.sock'");
    let mut server = Server::builder().app(App::rackup(OPTIONS)).config(&config).start();
    assert_eq!(server.get("/").text(), r#"["staging", "tool", 1]"#);
    let endpoint = Endpoint::Unix(server.file("app/late.sock"));
    assert_eq!(Connection::open(&endpoint).request(&Request::get("/").close()).status, 200);
    // In this order: the command line, the configuration, the rackup file, and -o with -p at last.
    let text = server.log().text();
    let bound: Vec<&str> = text.lines().filter_map(|line| line.split_once(" addr=").map(|(_, rest)| rest)).collect();
    let order = ["127.0.0.1:", "/", "/", "127.0.0.1:"];
    assert_eq!(bound.len(), order.len(), "{bound:#?}");
    assert!(bound.iter().zip(order).all(|(bound, want)| bound.contains(want)), "{bound:#?}");
    assert!(bound[1].contains("configured.sock") && bound[2].contains("late.sock"), "{bound:#?}");
    server.stop();
}

#[test]
fn a_rackup_file_may_ask_for_the_background() {
    let app = App::rackup("#\\ -D\nrun ->(_env) { [200, {}, []] }\n");
    let server = Server::builder().app(app).tcp_listeners(0).config("listen 'unix:d.sock'");
    let mut server = server.launch();
    assert!(server.wait_for_exit().success());
    let master = server.pid_in_file("server.pid").expect("a pid file");
    let endpoint = Endpoint::Unix(server.file("app/d.sock"));
    assert_eq!(Connection::open(&endpoint).request(&Request::get("/").close()).status, 200);
    let master = Watch::on(master).expect("the master is there");
    master.signal(Signal::QUIT);
    assert!(master.wait(testkit::patience()), "the master did not stop");
    server.assert_nothing_is_left();
}

#[test]
fn a_rackup_file_that_the_working_directory_leads_to_may_ask_for_the_background() {
    let rackup = "#\\ -D -l unix:{dir}/late.sock\nrun ->(_env) { [200, {}, [Dir.pwd]] }\n";
    let config = "working_directory File.join(ENV.fetch('TEST_DIR'), 'elsewhere')";
    let server = Server::builder().file("elsewhere/config.ru", rackup).config(config).app(App::file("x", ""));
    let mut server = server.unnamed_listeners().launch();
    assert!(server.wait_for_exit().success());
    let master = server.pid_in_file("server.pid").expect("a pid file");
    assert_ne!(master, server.pid());
    // The socket that was passed is served as well.
    for endpoint in [Endpoint::Unix(server.file("late.sock")), server.endpoint().clone()] {
        let answer = Connection::open(&endpoint).request(&Request::get("/").close());
        assert!(answer.text().ends_with("/elsewhere"), "{endpoint:?}");
    }
    let master = Watch::on(master).expect("the master is there");
    master.signal(Signal::QUIT);
    assert!(master.wait(testkit::patience()), "the master did not stop");
    server.assert_nothing_is_left();
}

#[test]
fn options_of_ruby_act_in_the_order_in_which_they_came() {
    let app = "run ->(_env) { [200, {}, [[$order, $VERBOSE, $LOAD_PATH.first(2)].inspect]] }\n";
    let mut server = Server::builder().app(App::rackup(app));
    for argument in ["-e", "$order = [:first]", "-I", "/a:/b", "-e", "$order << :second", "-w"] {
        server = server.arg(argument);
    }
    let mut server = server.start();
    assert_eq!(server.get("/").text(), r#"[[:first, :second], true, ["/a", "/b"]]"#);
    server.stop();
}

#[test]
fn a_stop_is_a_success() {
    for signal in [Signal::QUIT, Signal::TERM, Signal::INT] {
        let mut server = Server::builder().launch();
        server.wait_for(Mark::default(), "master process ready");
        server.signal(signal);
        assert_eq!(server.wait_for_exit().code(), Some(0), "{signal:?}");
        server.assert_nothing_is_left();
    }
}

#[test]
fn the_environment_is_heard_where_the_configuration_is_silent() {
    let silent = Server::builder().exactly(&["-l", "{dir}/web.sock"]).env("WEB_CONCURRENCY", "3");
    let mut server = silent.env("PORT", "1").launch();
    server.wait_for_slots(&[0, 1, 2]);
    assert_eq!(server.get("/").status, 200);
    server.stop();
    let mut server = Server::builder().workers(2).env("WEB_CONCURRENCY", "3").start();
    assert_eq!(server.workers().len(), 2);
    server.stop();
}

#[test]
fn a_rackup_file_is_read_as_a_file() {
    let app = "# frozen_string_literal: true\n\
               run ->(_env) { [200, {}, [[__LINE__, 'a'.frozen?, 'a'.encoding].inspect]] }\n\
               __END__\nmore\nthan one line\n";
    let mut server = Server::builder().app(App::rackup(app)).start();
    assert_eq!(server.get("/").text(), "[2, true, #<Encoding:UTF-8>]");
    server.stop();
}
