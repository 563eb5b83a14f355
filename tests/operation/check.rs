//! Promise: `licorne check` tells whether a server would start, by the code that starts one, and neither binds nor writes.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use testkit::process::{Finished, run};
use testkit::{Server, program};

/// An application in a directory of its own.
fn application(rackup: &str, config: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("config.ru"), rackup).expect("it is ours");
    std::fs::write(directory.path().join("server.rb"), config).expect("it is ours");
    directory
}

#[track_caller]
fn check(directory: &Path, arguments: &[&str]) -> Finished {
    let mut command = Command::new(program::path());
    command.current_dir(directory).args(["check", "-E", "none", "-c", "server.rb"]).args(arguments);
    run(&mut command, testkit::patience())
}

#[test]
fn a_server_that_would_start_is_fine_and_nothing_is_written() {
    let config = "pid 'app.pid'\nstderr_path 'app.log'\naccess_log 'access.log'\nlisten 'unix:app.sock'";
    let directory = application("run ->(_) { [200, {}, []] }", config);
    let finished = check(directory.path(), &[]);
    assert_eq!(finished.code(), 0, "{finished:#?}");
    for found in ["ok       configuration: read", "app.sock is free", "ok       application: loaded in "] {
        assert!(finished.stdout.contains(found), "{found} in\n{}", finished.stdout);
    }
    let mut files: Vec<_> =
        std::fs::read_dir(directory.path()).expect("ours").flatten().map(|entry| entry.file_name()).collect();
    files.sort();
    assert_eq!(files, ["config.ru", "server.rb"]);
}

#[test]
fn an_application_that_does_not_load_is_an_error_with_its_backtrace() {
    let directory = application("raise 'no database'", "");
    let finished = check(directory.path(), &["-l", "unix:app.sock"]);
    assert_eq!(finished.code(), 1, "{finished:#?}");
    let text = "error    application: no database (RuntimeError)\n           config.ru:1:in ";
    assert!(finished.stdout.contains(text), "{}", finished.stdout);
}

#[test]
fn a_mistake_in_the_configuration_is_told_with_file_line_and_the_nearest_name() {
    let directory = application("run ->(_) { [200, {}, []] }", "worker_proceses 3");
    let finished = check(directory.path(), &["--json"]);
    assert_eq!(finished.code(), 1, "{finished:#?}");
    let told: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    let found = &told["findings"][0];
    assert_eq!((&found["level"], &found["about"]), (&"error".into(), &"configuration".into()), "{told:#}");
    let text = found["text"].as_str().expect("a text");
    assert!(
        text.starts_with("server.rb:1: unknown directive: worker_proceses (did you mean worker_processes?)"),
        "{text}"
    );
}

#[test]
fn threads_and_sockets_that_are_left_in_the_mold_are_a_warning() {
    let rackup =
        "Thread.new { sleep }.name = 'metrics'\nrequire 'socket'\nPAIR = UNIXSocket.pair\nrun ->(_) { [200, {}, []] }";
    let directory = application(rackup, "preload_app true\nlisten 'unix:app.sock'");
    let finished = check(directory.path(), &[]);
    assert_eq!(finished.code(), 0, "warnings are no errors: {finished:#?}");
    assert!(
        finished.stdout.contains("warning  fork safety: threads that no worker will have: metrics"),
        "{finished:#?}"
    );
    assert!(
        finished.stdout.contains("warning  fork safety: sockets that all workers would share: fd "),
        "{finished:#?}"
    );
}

#[test]
fn an_address_that_a_server_has_is_a_warning() {
    let mut server = Server::builder().unix_listeners(1).start();
    let directory = application("run ->(_) { [200, {}, []] }", "");
    let address = format!("unix:{}", server.file("0.sock").display());
    let finished = check(directory.path(), &["-l", &address]);
    assert_eq!(finished.code(), 0, "{finished:#?}");
    assert!(finished.stdout.contains("is in use, which is right if it is this server's that runs"), "{finished:#?}");
    server.stop();
}
