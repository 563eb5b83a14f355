//! Promise: `licorne init --from FILE` writes what another server was configured or started with for Licorne, a server would
//! start with it, and what has no equivalent says so.
//!
//! `tests/conversions` has configurations as they are in use, and beside each what becomes of it (`LICORNE_BLESS=1` writes
//! that anew).

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;
use testkit::process::{Finished, run};
use testkit::{Connection, Endpoint, Request, Server, patience, program};

/// Where the configurations are.
fn conversions() -> PathBuf {
    program::repository().join("tests/conversions")
}

/// Where they think that they are.
const PLACE: &str = "/srv/app";

/// What a file of this kind is called where it belongs.
fn home(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "puma" => "config/puma.rb",
        "unicorn" => "config/unicorn.rb",
        "pitchfork" => "config/pitchfork.rb",
        "procfile" => "Procfile",
        "supervisord" => "supervisord.conf",
        _ => return None,
    })
}

/// The configurations of this kind, by their names.
fn names(kind: &str) -> Vec<String> {
    let files = std::fs::read_dir(conversions()).expect("it is there").flatten();
    let name = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        Some(name.strip_suffix(&format!(".{kind}"))?.to_owned())
    };
    let mut names: Vec<String> = files.filter_map(name).collect();
    names.sort();
    names
}

/// An application with all files of this name.
fn application(name: &str) -> TempDir {
    let directory = TempDir::with_prefix("licorne-").expect("a temporary directory");
    let here = directory.path();
    for part in ["config", "log", "run", "tmp/pids", "tmp/sockets"] {
        std::fs::create_dir_all(here.join(part)).expect("made");
    }
    std::fs::write(here.join("config.ru"), "run ->(_env) { [200, {}, ['ok']] }\n").expect("written");
    for kind in ["puma", "unicorn", "pitchfork", "procfile", "supervisord"] {
        let Ok(text) = std::fs::read_to_string(conversions().join(format!("{name}.{kind}"))) else { continue };
        let text = text.replace(PLACE, &here.display().to_string());
        std::fs::write(here.join(home(kind).expect("a kind")), text).expect("written");
    }
    directory
}

#[track_caller]
fn licorne(application: &Path, words: &[&str], environment: &[(&str, &str)]) -> Finished {
    let mut command = Command::new(program::path());
    command.args(words).current_dir(application).env("PWD", application).env_remove("PORT");
    run(command.envs(environment.iter().copied()), patience())
}

/// Converts each of this kind, compares that with what was read and found right, and asks whether a server would start.
#[track_caller]
fn check(kind: &str, at_least: usize) {
    let names = names(kind);
    assert!(names.len() >= at_least, "{names:?}");
    for name in names {
        let app = application(&name);
        let here = app.path().display().to_string();
        let finished = licorne(app.path(), &["init", "--from", home(kind).expect("a kind")], &[]);
        assert_eq!(finished.code(), 0, "{name}: {finished:#?}");
        let told = finished.stdout.replace(&here, PLACE);
        let wanted = conversions().join(format!("{name}.{kind}.licorne"));
        if std::env::var_os("LICORNE_BLESS").is_some() {
            std::fs::write(&wanted, &told).expect("written");
        }
        let wanted = std::fs::read_to_string(&wanted).expect("what becomes of it is beside it");
        assert_eq!(told, wanted, "{name}.{kind}");
        std::fs::write(app.path().join("config/licorne.rb"), finished.stdout).expect("written");
        would_start(&name, app.path());
    }
}

/// Whatever the conditions in it are about.
#[track_caller]
fn would_start(name: &str, app: &Path) {
    let stubs = conversions().join("stubs.rb").display().to_string();
    let live = [
        ("RAILS_ENV", "production"),
        ("RACK_ENV", "production"),
        ("WEB_CONCURRENCY", "2"),
        ("RAILS_MAX_THREADS", "4"),
        ("SOLID_QUEUE_IN_PUMA", "1"),
        ("BACKGROUND_JOBS", "embedded"),
        ("LOGSTASH", "1"),
        ("UNICORN_SIDEKIQS", "1"),
        ("SOCKET", "tmp/sockets/web.sock"),
        ("PIDFILE", "tmp/pids/web.pid"),
        ("PORT", "3000"),
    ];
    let alone: &[(&str, &str)] = &[("PORT", "3000")];
    for environment in [alone, &live] {
        let finished = licorne(app, &["check", "-r", &stubs, "-c", "config/licorne.rb"], environment);
        assert_eq!(finished.code(), 0, "{name}, {environment:?}: {finished:#?}");
        assert!(!finished.stdout.contains("warning  configuration"), "{name}: {finished:#?}");
    }
}

#[test]
fn configurations_of_puma_in_use_become_ones_that_a_server_would_start_with() {
    check("puma", 25);
}

#[test]
fn configurations_of_unicorn_in_use_stay_as_they_are_with_remarks() {
    check("unicorn", 8);
    for name in names("unicorn") {
        let text = |kind: &str| std::fs::read_to_string(conversions().join(format!("{name}.{kind}"))).expect("there");
        let code = |text: String| -> Vec<String> {
            let lines = text.lines().filter(|line| !line.trim_start().starts_with('#') && !line.is_empty());
            // What is no directive would end the start.
            lines.filter(|line| !line.contains("worker_proceses")).map(str::to_owned).collect()
        };
        assert_eq!(code(text("unicorn")), code(text("unicorn.licorne")), "{name}");
    }
}

#[test]
fn configurations_of_pitchfork_in_use_become_ones_that_a_server_would_start_with() {
    check("pitchfork", 4);
}

#[test]
fn procfiles_and_sections_of_supervisord_lead_to_their_configuration() {
    check("procfile", 5);
    check("supervisord", 2);
}

/// Puma's blocks note what they see.
const NOTES: &str = r##"
workers 2
threads 1, 1
bind "unix://#{Dir.pwd}/web.sock?umask=0077&backlog=33"
preload_app!
def note(text) = File.write("notes", "#{text}\n", mode: "a")

before_fork { note "before" }
on_worker_boot { |index| note "boot #{index}" }
on_worker_boot do |index|
  next if index.zero?

  note "one #{index}"
end
on_worker_shutdown { |index| note "shutdown #{index}" }
state_path "puma.state"
"##;

#[test]
fn a_converted_configuration_listens_and_calls_the_blocks_as_puma_did() {
    let app = TempDir::with_prefix("licorne-").expect("a temporary directory");
    std::fs::write(app.path().join("puma.rb"), NOTES).expect("written");
    let finished = licorne(app.path(), &["init", "--from", "puma.rb"], &[]);
    assert!(finished.stderr.contains("2 statements have no equivalent"), "{finished:#?}");
    let mut server = Server::builder().config(&finished.stdout).launch();
    server.wait_for_slots(&[0, 1]);
    let endpoint = Endpoint::Unix(server.file("app/web.sock"));
    assert_eq!(Connection::open(&endpoint).request(&Request::get("/").close()).status, 200);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(server.file("app/web.sock")).expect("a socket").permissions(),
    );
    assert_eq!(mode & 0o777, 0o700);
    server.signal(Signal::QUIT);
    assert_eq!(server.wait_for_exit().code(), Some(0));
    let notes = std::fs::read_to_string(server.file("app/notes")).expect("notes");
    let mut notes: Vec<&str> = notes.lines().collect();
    assert_eq!(notes[0], "before");
    notes.sort_unstable();
    assert_eq!(notes, ["before", "boot 0", "boot 1", "one 1", "shutdown 0", "shutdown 1"]);
}

#[test]
fn a_unit_and_a_section_start_what_the_source_started() {
    let app = application("overridden");
    let told = licorne(app.path(), &["init", "procfile", "--from", "Procfile"], &[]).stdout;
    assert_eq!(
        told,
        "web: RUBY_YJIT_ENABLE=1 bundle exec licorne -c config/licorne.rb -E production\nworker: bundle exec sidekiq -c 6\n"
    );
    let unit = licorne(app.path(), &["init", "systemd", "--from", "Procfile", "--name", "shop"], &[]).stdout;
    let command =
        "ExecStart=/bin/bash -lc 'RUBY_YJIT_ENABLE=1 exec bundle exec licorne -c config/licorne.rb -E production'";
    assert!(unit.contains(command), "{unit}");
    accepted_by_systemd(app.path(), &unit);

    let app = application("gitlab");
    let unit = licorne(app.path(), &["init", "systemd", "--from", "supervisord.conf"], &[]).stdout;
    for line in ["User=git", "Environment=\"HOME=/home/git\"\nEnvironment=\"RAILS_ENV=production\"", "-E production'"] {
        assert!(unit.contains(line), "{line} in\n{unit}");
    }
    assert!(unit.contains(&format!("WorkingDirectory={}\n", app.path().display())), "{unit}");
    accepted_by_systemd(app.path(), &unit);

    let app = application("herder");
    let section = licorne(app.path(), &["init", "supervisord", "--from", "supervisord.conf"], &[]).stdout;
    let command = "command=bash -lc 'exec bundle exec licorne -c config/unicorn.rb -E production'\n";
    for line in ["[program:web]", command, "user=app", "stopwaitsecs=120"] {
        assert!(section.contains(line), "{line} in\n{section}");
    }
}

/// The unit's own lines are right; that the user is not here is no fault of it.
#[track_caller]
fn accepted_by_systemd(directory: &Path, unit: &str) {
    std::fs::write(directory.join("shop.service"), unit).expect("written");
    let mut command = Command::new("systemd-analyze");
    command.args(["verify", "--man=no", "./shop.service"]).current_dir(directory);
    let finished = run(&mut command, patience());
    assert!(finished.status.success() && !finished.stderr.contains("shop."), "{finished:#?}");
}

#[test]
fn a_file_that_is_there_is_only_overwritten_when_that_is_asked_for() {
    let app = application("rails-8");
    let init = |more: &[&str]| {
        let words = [&["init", "--from", "config/puma.rb"], more].concat();
        licorne(app.path(), &words, &[])
    };
    let there = || std::fs::read_to_string(app.path().join("config/licorne.rb")).unwrap_or_default();
    let told = init(&[]).stdout;
    assert_eq!(init(&["--output", "-"]).stdout, told);
    assert_eq!(there(), "");
    let finished = init(&["-o", "config/licorne.rb"]);
    assert_eq!((finished.code(), finished.stdout.as_str()), (0, ""), "{finished:#?}");
    assert_eq!(there(), told);
    std::fs::write(app.path().join("config/licorne.rb"), "# mine\n").expect("written");
    let finished = init(&["-o", "config/licorne.rb"]);
    assert_eq!(finished.code(), 1);
    assert!(finished.stderr.contains("config/licorne.rb is there already: --force overwrites it"), "{finished:#?}");
    assert_eq!(there(), "# mine\n");
    assert_eq!(init(&["-o", "config/licorne.rb", "--force"]).code(), 0);
    assert_eq!(there(), told);
}

#[test]
fn a_file_that_cannot_be_converted_is_told_with_its_place() {
    let app = application("forem");
    let here = app.path();
    std::fs::write(here.join("broken.rb"), "workers 2\nif ENV[\"X\"]\n  port 3000\n").expect("written");
    std::fs::write(here.join("Dockerfile"), "FROM ruby\n").expect("written");
    std::fs::write(here.join("Procfile.jobs"), "worker: bundle exec sidekiq\n").expect("written");
    std::fs::write(here.join("Procfile.far"), "web: bundle exec puma -C config/far.rb\n").expect("written");
    for (words, told) in [
        (&["init", "--from", "broken.rb"][..], "licorne init: broken.rb:"),
        (&["init", "--from", "none.rb"], "licorne init: none.rb: No such file or directory"),
        (
            &["init", "--from", "Procfile.jobs"],
            "Procfile.jobs: no line starts Puma, Unicorn, Pitchfork or Rails' server",
        ),
        (&["init", "--from", "Procfile.far"], "config/far.rb, which the command names, is not in "),
        (&["init", "--from", "Dockerfile"], "licorne init: Dockerfile: there is no directive in it"),
        (&["init", "procfile", "--from", "config/puma.rb"], "licorne init: config/puma.rb is no Procfile"),
        (&["init", "config", "--force"], "licorne init: --output PATH is missing"),
    ] {
        let finished = licorne(here, words, &[]);
        assert_eq!(finished.code(), 1, "{words:?}");
        assert!(finished.stderr.contains(told), "{told} in\n{}", finished.stderr);
    }
}
