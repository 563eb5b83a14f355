//! Promise: a server at a terminal tells where it answers, how to reload and stop it, and that a configuration file is there
//! that was not named; where there is no terminal, it writes its log alone.

use std::path::Path;

use testkit::{Server, Terminal, program};

const INTERRUPT: &str = "\u{3}";

/// A directory with an application, and a configuration of Puma's.
fn application() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::create_dir(directory.path().join("config")).expect("it is ours");
    std::fs::write(directory.path().join("config.ru"), "run ->(_) { [200, {}, []] }").expect("it is ours");
    std::fs::write(directory.path().join("config/puma.rb"), "workers 2").expect("it is ours");
    directory
}

/// Starts a server there, in a terminal.
fn start(directory: &Path, arguments: &[&str]) -> Terminal {
    let (place, program) = (directory.display().to_string(), program::path().display().to_string());
    let socket = directory.join("app.sock").display().to_string();
    let all = [&["-C", place.as_str(), program.as_str(), "-l", socket.as_str()], arguments].concat();
    Terminal::start(Path::new("/usr/bin/env"), &all, &[("RACK_ENV", "development")], 40, 100)
}

#[test]
fn a_server_at_a_terminal_says_where_it_answers_and_how_to_reload_and_stop_it() {
    let directory = application();
    let mut terminal = start(directory.path(), &[]);
    terminal.wait_for_text("live view:");
    let shown = terminal.text();
    for line in ["development environment", "unix:/", "reload --wait --pid ", "stop:      Ctrl-C"] {
        assert!(shown.contains(line), "{line} in\n{shown}");
    }
    terminal
        .wait_for_text("config/puma.rb is there, and was not read: convert it with licorne init --from config/puma.rb");
    terminal.press(INTERRUPT);
    assert!(terminal.wait_for_exit().success(), "{}", terminal.text());
}

#[test]
fn a_configuration_that_was_named_is_not_asked_for() {
    let directory = application();
    std::fs::write(directory.path().join("own.rb"), "worker_processes 1").expect("it is ours");
    let mut terminal = start(directory.path(), &["-c", "own.rb"]);
    terminal.wait_for_text("stop:      Ctrl-C");
    assert!(!terminal.text().contains("is there, and was not read"), "{}", terminal.text());
    terminal.press(INTERRUPT);
    assert!(terminal.wait_for_exit().success(), "{}", terminal.text());
}

#[test]
fn a_server_without_a_terminal_writes_its_log_alone() {
    let mut server = Server::builder().start();
    let text = server.log().text();
    assert!(!text.contains("live view:"), "{text}");
    server.stop();
}
