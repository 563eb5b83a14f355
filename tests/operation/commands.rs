//! Promise: a command speaks to the master that it means, believes no other, says what it did, and the master's log says
//! who asked.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use testkit::output::Mark;
use testkit::process::{Finished, run};
use testkit::{Server, program};

/// Runs a command in a directory.
fn at(directory: &Path, arguments: &[&str]) -> Finished {
    let mut command = Command::new(program::path());
    command.args(arguments).current_dir(directory).env("PWD", directory);
    run(&mut command, testkit::patience())
}

#[test]
fn a_command_without_a_target_means_the_master_of_its_directory() {
    let mut one = Server::builder().workers(1).start();
    let mut two = Server::builder().workers(1).start();
    let elsewhere = tempfile::TempDir::with_prefix("licorne-elsewhere-").expect("a directory");
    for command in ["stop", "reload", "upgrade", "status"] {
        let finished = at(elsewhere.path(), &[command]);
        assert_eq!(finished.code(), 2, "{finished:#?}");
        for server in [&one, &two] {
            assert!(finished.stderr.contains(&format!("master pid {} (", server.pid())), "{finished:#?}");
        }
    }
    // In the master's working directory, and in the one that has its pid file.
    for directory in [one.file("app"), one.file(".")] {
        let status = at(&directory, &["status"]);
        assert!(status.stdout.contains(&format!("pid={} ", one.pid())), "{status:#?}");
    }
    let reload = at(&one.file("app"), &["reload", "--wait"]);
    assert_eq!(reload.code(), 0, "{reload:#?}");
    assert!(reload.stdout.contains(&format!("generation 2 serves: master pid {} (", one.pid())), "{reload:#?}");
    let asked = one.wait_for(Mark::default(), "reload asked for by");
    assert!(asked.contains(" pid=") && asked.contains("licorne reload --wait\""), "{asked}");
    let stop = at(&one.file("app"), &["stop"]);
    assert_eq!(stop.code(), 0, "{stop:#?}");
    assert!(stop.stdout.starts_with(&format!("stopped master pid {} (", one.pid())), "{stop:#?}");
    assert!(one.wait_for_exit().success());
    assert_eq!(two.get("/").status, 200);
    two.stop();
}

/// Plays a master, as another user, where a command of root's looks for the socket of process `ARGV[0]`.
const FALSE_MASTER: &str = r##"
  require "socket"
  Process::Sys.setgid(65534)
  Process::Sys.setuid(65534)
  directory = "/tmp/licorne-0"
  Dir.mkdir(directory, 0755)
  path = "#{directory}/#{ARGV[0]}.sock"
  server = UNIXServer.new(path)
  File.chmod(0777, path)
  puts "ready"
  $stdout.flush
  Thread.new do
    loop do
      client = server.accept
      client.gets
      client.puts('{"answer":"done","generation":9}')
      client.close
    end
  end
  $stdin.read
  File.unlink(path)
  Dir.rmdir(directory)
"##;

#[test]
fn a_socket_of_another_user_is_not_taken_for_a_master() {
    if !rustix::process::geteuid().is_root() || Path::new("/tmp/licorne-0").exists() {
        return;
    }
    let own = std::process::id().to_string();
    let mut ruby = Command::new("ruby")
        .args(["-e", FALSE_MASTER, &own])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ruby");
    let mut line = String::new();
    BufReader::new(ruby.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n");
    let named = testkit::process::licorne(["reload", "--wait", "--pid", &own]);
    let path = format!("/tmp/licorne-0/{own}.sock");
    let verbose = testkit::process::licorne(["reload", "--wait", "-v", "--pid", &own]);
    let elsewhere = tempfile::TempDir::with_prefix("licorne-elsewhere-").expect("a directory");
    let unnamed = at(elsewhere.path(), &["reload", "--wait"]);
    drop(ruby.stdin.take());
    assert!(ruby.wait().expect("it ends").success());
    assert_eq!(named.code(), 1, "{named:#?}");
    assert!(!named.stdout.contains("serves"), "{named:#?}");
    assert!(verbose.stderr.contains(&format!("{path}: not process {own}, but uid=65534")), "{verbose:#?}");
    assert_eq!(unnamed.code(), 2, "{unnamed:#?}");
    assert!(!unnamed.stdout.contains("serves"), "{unnamed:#?}");
}

/// The master that the server's command has put into a container.
fn contained(server: &Server) -> u32 {
    testkit::procfs::children(server.pid()).first().expect("a master").pid
}

#[test]
fn masters_with_the_same_process_id_in_two_containers_both_have_their_control_socket() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let place = tempfile::TempDir::with_prefix("licorne-container-").expect("a directory");
    let container = place.path().join("container");
    let script = format!(
        "#!/bin/sh\nexec unshare --pid --fork --mount-proc --kill-child=KILL \\\n  \
         sh -c 'LISTEN_PID=$$ exec {:?} \"$@\"' - \"$@\"\n",
        program::path()
    );
    std::fs::write(&container, script).expect("a file");
    std::fs::set_permissions(&container, PermissionsExt::from_mode(0o755)).expect("ours");
    let servers = [1, 2].map(|workers| {
        let server = Server::builder().program(&container).workers(workers).launch();
        server.eventually("it serves", || (server.get("/").status == 200).then_some(()));
        (workers, server)
    });
    for (workers, server) in &servers {
        let master = contained(server).to_string();
        let mut inside = Command::new("nsenter");
        inside.args(["--target", &master, "--pid", "--mount"]).arg(program::path());
        inside.args(["status", "--json", "--pid", "1"]);
        let status = run(&mut inside, testkit::patience());
        assert_eq!(status.code(), 0, "{status:#?}");
        let status: serde_json::Value = serde_json::from_str(&status.stdout).expect("JSON");
        assert_eq!(status["workers"].as_array().map(Vec::len), Some(*workers as usize));
        // From outside it has another process id.
        assert_eq!(testkit::process::licorne(["status", "--pid", &master]).code(), 0);
    }
    for (_, mut server) in servers {
        testkit::process::signal(contained(&server), Signal::QUIT).expect("it is there");
        let _ = server.wait_for_exit();
    }
}

#[test]
fn the_configuration_that_holds_is_shown_with_where_each_value_is_from() {
    let mut server = Server::builder().workers(1).config("slow_request 30\nbefore_exec { |server| }").start();
    let shown = |arguments: &[&str]| {
        let pid = server.pid().to_string();
        let arguments = [&["config", "--pid", &pid][..], arguments].concat();
        at(&server.file("."), &arguments)
    };
    let place = |text: &str, directive: &str| -> String {
        let line = text.lines().find(|line| line.starts_with(&format!("{directive} ")));
        line.unwrap_or_else(|| panic!("{directive} in {text}"))
            .split_whitespace()
            .last()
            .unwrap_or_default()
            .to_string()
    };
    let given = shown(&[]);
    assert_eq!(given.code(), 0, "{given:#?}");
    let slow = place(&given.stdout, "slow_request");
    assert!(slow.contains("config.rb:") && given.stdout.contains(" 30 seconds "), "{}", given.stdout);
    assert_eq!(place(&given.stdout, "listen"), "-l");
    assert!(place(&given.stdout, "before_exec").contains("config.rb:"));
    assert!(!given.stdout.contains("keepalive_timeout") && given.stdout.contains("ruby "), "{}", given.stdout);
    let one = shown(&["keepalive_timeout"]);
    assert!(one.stdout.ends_with("\nkeepalive_timeout  75 seconds  default\n"), "{}", one.stdout);
    let none = shown(&["keepalive_timout"]);
    assert!(none.code() == 1 && none.stderr.contains("did you mean `keepalive_timeout`?"), "{none:#?}");

    // One that does not hold is not shown, and what signals have changed is.
    server.append_config("slow_request 'soon'");
    assert_eq!(at(&server.file("app"), &["reload", "--wait"]).code(), 1);
    server.signal(Signal::TTIN);
    server.eventually("two workers", || (server.workers().len() == 2).then_some(()));
    let json: serde_json::Value = serde_json::from_str(&shown(&["--json"]).stdout).expect("JSON");
    let directive = |name: &str| {
        let all = json["directives"].as_array().expect("a list").iter();
        all.clone().find(|told| told["name"] == name).expect("each is told").clone()
    };
    assert_eq!((json["generation"].as_u64(), directive("slow_request")["value"].as_f64()), (Some(1), Some(30.0)));
    let workers = directive("worker_processes");
    assert_eq!((&workers["value"], &workers["from"]), (&2.into(), &"SIGTTIN, SIGTTOU".into()));
    assert!(directive("control")["value"].as_str().is_some_and(|path| path.ends_with(".sock")), "{json:#}");
    assert_eq!(directive("user")["from"], serde_json::Value::Null);
    server.stop();
}
