//! Promise: `licorne status` tells what the server does in text for people and in documented JSON, once or again and again.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use testkit::output::{Log, Mark};
use testkit::process::{run, signal};
use testkit::{Gate, Server, Terminal, program};

fn pid_file(server: &Server) -> String {
    server.file("server.pid").display().to_string()
}

#[test]
fn the_text_answers_what_is_done_which_code_serves_and_what_died() {
    let mut server = Server::builder().workers(2).start();
    let mut gate = Gate::new(&server);
    let held = gate.hold(&server);
    let text = server.ctl(["status"]).stdout;
    assert!(text.contains("GET /wait") && text.contains(" serving generation=1 up "), "{text}");
    assert!(text.contains(&format!("release {}\n", server.file("app").display())), "{text}");
    assert_eq!(gate.release(held).status, 200);
    server.eventually("a request that was counted", || {
        server.ctl(["status"]).stdout.contains("1 request: 2xx 1, ").then_some(())
    });
    assert!(
        server.ctl(["status"]).stdout.lines().all(|line| line.chars().count() <= 100 || line.starts_with("release"))
    );
    server.stop();
}

/// The fields that docs/status.md has, of the first table.
fn documented() -> Vec<String> {
    let text = std::fs::read_to_string(program::repository().join("docs/status.md")).expect("it is there");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned));
    rows.collect()
}

fn undocumented(value: &Value, path: &str, known: &[String], into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                undocumented(value, &path, known, into);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            items.iter().for_each(|item| undocumented(item, &format!("{path}[]"), known, into));
        }
        _ if known.iter().any(|known| known == path) => {}
        _ => into.push(path.to_owned()),
    }
}

#[test]
fn each_field_of_a_real_answer_is_documented() {
    let mut server = Server::builder().workers(1).start();
    let mut gate = Gate::new(&server);
    let held = gate.hold(&server);
    let status: Value = serde_json::from_str(&server.ctl(["status", "--json"]).stdout).expect("JSON");
    assert_eq!(status["schema"], 1);
    assert_eq!(status["workers"][0]["request"]["line"], "GET /wait");
    let (known, mut missing) = (documented(), Vec::new());
    undocumented(&status, "", &known, &mut missing);
    assert!(missing.is_empty(), "docs/status.md lacks {missing:?}");
    assert_eq!(gate.release(held).status, 200);
    server.stop();
}

#[test]
fn watching_prints_a_line_of_json_each_time_and_ends_with_the_master() {
    let mut server = Server::builder().workers(1).start();
    let told = server.file("told");
    let script =
        format!("{:?} status --json --watch=0.1 --pid-file {:?} >{told:?}", program::path(), pid_file(&server));
    let watching = std::thread::spawn(move || run(Command::new("sh").args(["-c", &script]), testkit::patience()));
    let lines = || std::fs::read_to_string(&told).unwrap_or_default();
    server.eventually("three lines", || (lines().lines().count() > 3).then_some(()));
    server.stop();
    let finished = watching.join().expect("it does not panic");
    assert!(finished.status.success() && finished.stderr.contains("has ended"), "{finished:#?}");
    for line in lines().lines() {
        let status: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(status["pid"], server.pid());
    }
}

#[test]
fn watching_prints_the_text_again_and_stops_when_its_reader_leaves() {
    let mut server = Server::builder().workers(1).start();
    let script =
        format!("{:?} status --watch=0.1 --pid-file {:?} | grep -m 2 ' serving '", program::path(), pid_file(&server));
    let finished = run(Command::new("sh").args(["-c", &script]), testkit::patience());
    assert_eq!(finished.stdout.lines().count(), 2, "{finished:#?}");
    server.stop();
}

#[test]
fn watching_repaints_a_terminal() {
    let mut server = Server::builder().workers(2).start();
    let arguments = ["status", "--watch=0.1", "--pid-file", &pid_file(&server)];
    let mut terminal = Terminal::start(&program::path(), &arguments, &[], 24, 100);
    terminal.wait_for_text("now 0 requests/s");
    assert_eq!(server.ctl(["reload", "--wait"]).code(), 0);
    terminal.wait_for_text("generation 2 took over");
    let shown = terminal.text();
    assert_eq!(shown.matches("licorne ").count(), 1, "{shown}");
    signal(terminal.pid(), Signal::INT).expect("it is there");
    assert!(!terminal.wait_for_exit().success());
    server.stop();
}

/// Plays a master of the version before there was a schema, at the socket `ARGV[0]`.
const OLD_MASTER: &str = r##"
  require "socket"
  server = UNIXServer.new(ARGV[0])
  puts "ready"
  $stdout.flush
  # A command looks first at which process listens, and then asks.
  client = server.accept
  client = server.accept until client.gets
  client.puts('{"answer":"status","pid":7,"version":"0.0.9","phase":"serving","generation":3,"worker_processes":1,' \
    '"ready":true,"uptime_s":61,"listeners":["0.0.0.0:8080"],"release":null,"last_reload":null,"roll":null,' \
    '"successor":null,"molds":[{"generation":3,"pid":8}],"troubles":[],"workers":[{"slot":0,"generation":3,"pid":9,' \
    '"state":"busy","requests":5,"busy_ms":70,"server_errors":1,"connections":2,' \
    '"request":{"line":"GET /old","age_ms":1200}}]}')
  client.close
"##;

#[test]
fn the_answer_of_an_older_master_is_shown() {
    let place = tempfile::TempDir::with_prefix("licorne-old-").expect("a directory");
    let path = place.path().join("old.sock");
    let path: &Path = &path;
    let mut ruby =
        Command::new("ruby").args(["-e", OLD_MASTER]).arg(path).stdout(Stdio::piped()).spawn().expect("ruby");
    let log = Log::collect(ruby.stdout.take().expect("a pipe"));
    assert!(log.wait_for(Mark::default(), "ready", testkit::patience()).is_some());
    let finished = testkit::process::licorne(["status", "--control", &path.display().to_string()]);
    assert!(ruby.wait().expect("it ends").success());
    assert_eq!(
        finished.stdout,
        "licorne 0.0.9 pid=7 serving generation=3 up 1 min 1 s\nlistening on 0.0.0.0:8080\n\
         slot gen     pid state    requests   5xx conn       age request\n   \
         0   3       9 busy            5     1    2     1.2 s GET /old\n",
        "{finished:#?}"
    );
}
