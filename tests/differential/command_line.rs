//! Command lines that end by themselves: exit status, and what is printed.

use std::process::Command;

use tempfile::TempDir;
use testkit::process::run;

use crate::command_line_known::KNOWN;
use crate::compare::Comparison;
use crate::pair::Which;
use crate::story::log_line;

/// A case: arguments, `config.rb`, `config.ru`. `DIR` is the directory.
type Case = (&'static [&'static str], &'static str, &'static str);

const APP: &str = "run ->(_env) { [200, {}, []] }";

const CASES: &[Case] = &[
    (&["--help"], "", APP),
    (&["-h"], "", APP),
    (&["--version"], "", APP),
    (&["-v"], "", APP),
    (&["--vers"], "", APP),
    (&["--no-such-option"], "", APP),
    (&["-Z"], "", APP),
    (&["--e"], "", APP),
    (&["-p", "abc"], "", APP),
    (&["-p"], "", APP),
    (&["-p=9000"], "", APP),
    (&["--port=abc"], "", APP),
    (&["-l"], "", APP),
    (&["-e", "puts 1; exit 7"], "", APP),
    (&["-e", "puts 1", "-v"], "", APP),
    (&["-e", "puts 1; exit 7", "-v"], "", APP),
    (&["-e", "raise 'x'"], "", APP),
    (&["-r", "no_such_library"], "", APP),
    (&["-c", "missing.rb"], "", APP),
    (&["missing.ru"], "", APP),
    (&["missing"], "", APP),
    (&["-l", "foo.sock"], "", APP),
    (&["-l", "no.such.host.invalid:80"], "", APP),
    (&["-l", "192.0.2.1:80"], "", APP),
    (&["-c", "config.rb"], "worker_processes (", APP),
    (&["-c", "config.rb"], "raise 'not today'", APP),
    (&["-c", "config.rb"], "no_such_directive 1", APP),
    (&["-c", "config.rb"], "timeout 'soon'", APP),
    (&["-c", "config.rb"], "exit", APP),
    (&["-c", "config.rb"], "exit 3", APP),
    (&["-c", "config.rb"], "exit! 4", APP),
    (&["-c", "config.rb"], "abort 'enough'", APP),
    (&["-c", "config.rb"], "stderr_path '/nowhere/at/all'", APP),
    (&["-c", "config.rb"], "pid '/nowhere/at/all'", APP),
    (&["-c", "config.rb"], "working_directory '/nowhere/at/all'", APP),
    (&["-c", "config.rb"], "user 'nobody-of-that-name'", APP),
    (&["-c", "config.rb"], "pid 'own.pid'\nFile.write('own.pid', 1)\n", APP),
    (&["-c", "config.rb"], "check_client_connection true\nlisten 'DIR/x.sock', tcp_nopush: true", APP),
    (&["-c", "config.rb"], "preload_app true\nlisten 'DIR/x.sock'", "raise 'not today'"),
    (&["-c", "config.rb"], "preload_app true\nlisten 'DIR/x.sock'", "run ("),
    (&["-c", "config.rb"], "preload_app true\nlisten 'DIR/x.sock'", "exit 5"),
    (&["-c", "config.rb"], "listen 'DIR/config.ru'", APP),
    (&["-c", "config.rb"], "listen 'DIR/x.sock', backlogg: 5\nexit 3", APP),
    (&["-c", "config.rb", "-D"], "raise 'not today'", APP),
    (&["-c", "config.rb"], "listen 'DIR/x.sock'", "#\\ --no-such-option\nrun nil"),
    (&["-c", "config.rb"], "listen 'DIR/x.sock'", "#\\ -v\nrun nil"),
];

/// Exit status, standard output, and what a person sees first of an error.
fn outcome(which: Which, (arguments, config, rackup): &Case) -> [String; 3] {
    let directory = TempDir::with_prefix("licorne-").expect("a temporary directory");
    let place = directory.path().display().to_string();
    for (name, text) in [("config.rb", config), ("config.ru", rackup)] {
        std::fs::write(directory.path().join(name), text.replace("DIR", &place)).expect("it can be written");
    }
    let mut command = Command::new(which.program());
    command.args(*arguments).current_dir(directory.path());
    for name in ["RACK_ENV", "LISTEN_FDS", "LISTEN_PID", "UNICORN_FD", "PORT", "WEB_CONCURRENCY"] {
        command.env_remove(name);
    }
    let finished = run(&mut command, testkit::patience());
    let program = which.program();
    let name = program.file_name().expect("it has a name").to_string_lossy();
    let plain = |text: &str| text.replace(&place, "DIR").replace(&*name, "PROGRAM");
    [finished.status.to_string(), output(&plain(&finished.stdout)), log_line(&error(&plain(&finished.stderr)))]
}

/// The message and class of the exception that Ruby, or the program in its place, reports; without log and trace.
fn error(stderr: &str) -> String {
    let mut messages = Vec::new();
    for line in stderr.lines().filter(|line| !line.contains(" -- : ")) {
        match line.split_once("': ") {
            Some((place, message)) if place.contains(":in `") => messages.push(message),
            _ if line.contains(":in `") && line.ends_with('\'') => {}
            _ => messages.push(line),
        }
    }
    let text = messages.join(" | ");
    // The rest is all that a configurator holds.
    text.split_once(" for #<Unicorn::Configurator").map_or(text.clone(), |(before, _)| before.to_owned())
}

/// Standard output: versions are of this release, and of a help only the options count.
fn output(stdout: &str) -> String {
    if !stdout.starts_with("Usage: ") {
        return stdout.replace("v6.0.0", "vX").replace(concat!("v", env!("CARGO_PKG_VERSION")), "vX");
    }
    let lines = stdout.lines().filter(|line| line.trim_start().starts_with('-'));
    let words = lines.flat_map(|line| line.split("  ").find(|column| !column.is_empty()).unwrap_or("").split(' '));
    let mut options: Vec<&str> =
        words.filter(|word| word.starts_with('-')).map(|word| word.trim_matches(',')).collect();
    options.sort_unstable();
    options.join(" ")
}

#[test]
fn command_lines_end_as_unicorns_do() {
    let mut comparison = Comparison::new(KNOWN);
    for case in CASES {
        let (unicorn, licorne) = (outcome(Which::Unicorn, case), outcome(Which::Licorne, case));
        let name = format!("{} | {} | {}", case.0.join(" "), case.1, if case.2 == APP { "" } else { case.2 });
        let name = name.trim_end_matches([' ', '|']).to_owned();
        for (what, (unicorn, licorne)) in ["status", "output", "error"].into_iter().zip(unicorn.iter().zip(&licorne)) {
            comparison.compare(&name, what, unicorn, licorne);
        }
    }
    comparison.settle(100);
}
