//! Promise: a root master whose application runs as another user opens, writes, creates and gives away nothing of root's,
//! whatever that user puts into its directories, never waits for it, and serves on.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use testkit::output::Mark;
use testkit::{Builder, Server, process};

const NOBODY: u32 = 65534;

/// A root server for `nobody`, whose `shared` is laid out by Ruby lines in the configuration; `there` is the directory of
/// the test. `secret` is a file of root's, `roots` a directory of root's.
fn builder(layout: &str) -> Option<Builder> {
    if !rustix::process::geteuid().is_root() {
        // Another user's master can do no more than its application.
        return None;
    }
    let config = format!(
        r##"
require 'fileutils'
there = ENV.fetch('TEST_DIR')
unless File.exist?("#{{there}}/shared")
  File.chmod(0755, there)
  FileUtils.mkdir_p(%w[roots shared/log shared/pids].map {{ |name| "#{{there}}/#{{name}}" }})
  File.write("#{{there}}/secret", "precious")
  File.chmod(0600, "#{{there}}/secret")
  FileUtils.chown_R(65534, 65534, "#{{there}}/shared")
  {layout}
end
user 'nobody', 'nogroup'
"##
    );
    Some(Server::builder().config(&config))
}

const ERR_LOG: &str = r##"stderr_path "#{there}/shared/log/err.log""##;

fn read(server: &Server, name: &str) -> String {
    std::fs::read_to_string(server.file(name)).unwrap_or_default()
}

#[track_caller]
fn wait_for_line(server: &Server, file: &str, text: &str) {
    server.eventually(&format!("{text:?} in {file}"), || read(server, file).contains(text).then_some(()));
}

/// Root's file is as it was.
#[track_caller]
fn assert_untouched(server: &Server) {
    let meta = std::fs::metadata(server.file("secret")).expect("it is there");
    assert_eq!(read(server, "secret"), "precious");
    assert_eq!((meta.uid(), meta.gid(), meta.permissions().mode() & 0o7777), (0, 0, 0o600));
    assert_eq!(std::fs::read_dir(server.file("roots")).expect("a directory").count(), 0, "something is in it");
}

/// Puts something in the place of the log, and has the server open its logs anew by all that makes it do so.
#[track_caller]
fn check_placed(what: &str, place: impl Fn(&Server, &Path)) {
    let Some(builder) = builder("") else { return };
    let mut server = builder.config(ERR_LOG).launch();
    assert_eq!(server.get("/").status, 200);
    assert_eq!(std::fs::metadata(server.file("shared/log/err.log")).expect("a log").uid(), NOBODY);
    let log = server.file("shared/log/err.log");
    // A second name: the place itself, or all of its directory, is about to be another's.
    std::fs::hard_link(&log, server.file("old.log")).expect("another name");
    std::fs::remove_file(&log).expect("removed");
    place(&server, &log);
    server.signal(Signal::USR1);
    wait_for_line(&server, "old.log", "master done reopening logs");
    let refused = || read(&server, "old.log").lines().filter(|line| line.contains("shared/log/err.log")).count();
    assert!(refused() > 0, "{what}: nothing is said\n{}", read(&server, "old.log"));
    // Workers cannot go on without their log. The next one has the one that there was.
    assert_eq!(server.get("/").status, 200, "{what}");
    let before = refused();
    server.signal(Signal::HUP);
    wait_for_line(&server, "old.log", "error reloading");
    assert!(refused() > before, "{what}: nothing is said\n{}", read(&server, "old.log"));
    let before = refused();
    assert_eq!(server.ctl(["upgrade", "--wait"]).code(), 1, "{what}");
    assert!(refused() > before, "{what}: nothing is said\n{}", read(&server, "old.log"));
    assert_eq!(server.get("/").status, 200, "{what}");
    let worker = server.wait_for_slots(&[0])[0];
    process::signal(worker.pid, Signal::KILL).expect("it is there");
    server.eventually("another worker", || (server.wait_for_slots(&[0])[0] != worker).then_some(()));
    assert_eq!(server.get("/").status, 200, "{what}");
    assert_untouched(&server);
    server.stop();
}

#[test]
fn a_log_that_became_a_link_to_a_file_of_roots_is_left_alone() {
    check_placed("a link", |server, log| symlink(server.file("secret"), log).expect("a link"));
}

#[test]
fn a_log_that_became_a_hard_link_to_a_file_of_roots_is_left_alone() {
    check_placed("a hard link", |server, log| std::fs::hard_link(server.file("secret"), log).expect("a link"));
}

#[test]
fn a_log_directory_that_became_a_link_to_one_of_roots_gets_no_log() {
    check_placed("a directory", |server, log| {
        let directory = log.parent().expect("it is in one");
        std::fs::remove_dir(directory).expect("removed");
        symlink(server.file("roots"), directory).expect("a link");
    });
}

#[test]
fn a_log_that_became_a_fifo_without_a_reader_keeps_no_process_waiting() {
    check_placed("a FIFO", |_, log| {
        mknodat(CWD, log, FileType::Fifo, Mode::from_raw_mode(0o666), 0).expect("a FIFO");
        chown(log, Some(NOBODY), Some(NOBODY)).expect("given away");
    });
}

#[test]
fn a_log_that_is_a_link_before_the_boot_is_refused_and_said() {
    for (config, name) in [(ERR_LOG, "stderr_path"), (r##"stdout_path "#{there}/shared/log/err.log""##, "stdout_path")]
    {
        let Some(builder) = builder(r##"File.symlink("#{there}/secret", "#{there}/shared/log/err.log")"##) else {
            return;
        };
        let mut server = builder.config(config).launch();
        assert_eq!(server.wait_for_exit().code(), Some(1));
        let why = "err.log is not opened: it is a symbolic link that others can replace";
        server.wait_for(Mark::default(), &format!("{name}: as user nobody: *{why}"));
        assert_untouched(&server);
    }
}

#[test]
fn a_fifo_without_a_reader_before_the_boot_is_refused_and_said() {
    let Some(builder) = builder(
        r##"File.mkfifo("#{there}/shared/log/err.log", 0666)
            File.chown(65534, nil, "#{there}/shared/log/err.log")"##,
    ) else {
        return;
    };
    let mut server = builder.config(ERR_LOG).launch();
    assert_eq!(server.wait_for_exit().code(), Some(1));
    server.wait_for(Mark::default(), "stderr_path: as user nobody: *err.log is not opened: there is no reader*");
}

#[test]
fn logs_behind_a_linked_directory_are_rotated_and_the_workers_stay() {
    // Capistrano's layout: the release's `log` leads to `shared/log`.
    let layout = r##"
  FileUtils.mkdir_p("#{there}/releases/1")
  File.symlink("../../shared/log", "#{there}/releases/1/log")
  File.symlink("releases/1", "#{there}/current")
  FileUtils.chown_R(65534, 65534, "#{there}/releases")
"##;
    let Some(builder) = builder(layout) else { return };
    let mut server = builder.config(r##"stderr_path "#{there}/current/log/err.log""##).workers(2).launch();
    assert_eq!(server.get("/").status, 200);
    let workers = server.wait_for_slots(&[0, 1]);
    for number in 1..=3 {
        let old = server.file(&format!("shared/log/err.log.{number}"));
        std::fs::rename(server.file("shared/log/err.log"), old).expect("rotated");
        server.signal(Signal::USR1);
        wait_for_line(&server, "shared/log/err.log", "worker=0 done reopening logs");
        wait_for_line(&server, "shared/log/err.log", "worker=1 done reopening logs");
        let meta = std::fs::metadata(server.file("shared/log/err.log")).expect("a log");
        assert_eq!((meta.uid(), meta.gid()), (NOBODY, NOBODY));
    }
    assert_eq!(server.wait_for_slots(&[0, 1]), workers);
    assert_eq!(server.ctl(["reload", "--wait"]).code(), 0);
    server.stop();
}

#[test]
fn a_pid_file_in_a_directory_of_the_users_is_written_as_the_user() {
    for placed in [
        r##"File.symlink("#{there}/secret", "#{there}/shared/pids/app.pid")"##,
        r##"File.mkfifo("#{there}/shared/pids/app.pid", 0666)"##,
        r##"File.symlink("/dev/zero", "#{there}/shared/pids/app.pid")"##,
    ] {
        let Some(builder) = builder(placed) else { return };
        let mut server = builder.config(r##"pid "#{there}/shared/pids/app.pid""##).start();
        let path = server.file("shared/pids/app.pid");
        assert_eq!(server.pid_in_file("shared/pids/app.pid"), Some(server.pid()), "{placed}");
        let meta = std::fs::symlink_metadata(&path).expect("a pid file");
        assert!(meta.is_file() && meta.uid() == NOBODY, "{placed}");
        // The directory leads elsewhere now: what is there is none of the server's business.
        std::fs::rename(server.file("shared/pids"), server.file("shared/away")).expect("moved");
        symlink(server.file("roots"), server.file("shared/pids")).expect("a link");
        server.append_config(r##"pid "#{there}/shared/pids/other.pid""##);
        let mark = server.mark();
        server.signal(Signal::HUP);
        server.wait_for(mark, "*other.pid*Permission denied*");
        assert_eq!(server.get("/").status, 200);
        assert_untouched(&server);
        server.stop();
    }
}

#[test]
fn a_socket_in_a_directory_of_the_users_is_bound_as_the_user() {
    let Some(builder) = builder("") else { return };
    let mut server = builder.config(r##"listen "#{there}/shared/web.sock""##).start();
    assert_eq!(std::fs::metadata(server.file("shared/web.sock")).expect("a socket").uid(), NOBODY);
    // A reload binds a socket anew whose path is gone.
    std::fs::remove_file(server.file("shared/web.sock")).expect("removed");
    symlink(server.file("secret"), server.file("shared/web.sock")).expect("a link");
    let finished = server.ctl(["reload", "--wait"]);
    assert!(finished.code() == 1 && finished.stderr.contains("not a socket"), "{finished:#?}");
    std::fs::remove_file(server.file("shared/web.sock")).expect("removed");
    std::fs::rename(server.file("shared"), server.file("away")).expect("moved");
    std::fs::create_dir(server.file("shared")).expect("a directory");
    chown(server.file("shared"), Some(NOBODY), None).expect("given away");
    symlink(server.file("roots"), server.file("shared/log")).expect("a link");
    server.append_config(r##"listen "#{there}/shared/log/web.sock""##);
    let finished = server.ctl(["reload", "--wait"]);
    assert!(finished.code() == 1 && finished.stderr.contains("Permission denied"), "{finished:#?}");
    assert_eq!(server.get("/").status, 200);
    assert_untouched(&server);
    server.stop();
}

#[test]
fn a_socket_that_a_hook_binds_as_root_is_the_users_where_the_directory_is() {
    let Some(builder) = builder("") else { return };
    let hook = r##"after_fork { |server, worker| server.listen("#{there}/shared/own.sock") }"##;
    let mut server = builder.config(hook).start();
    assert_eq!(std::fs::metadata(server.file("shared/own.sock")).expect("a socket").uid(), NOBODY);
    assert_untouched(&server);
    server.stop();
}

#[test]
fn a_control_socket_in_a_directory_of_the_users_takes_no_commands_of_the_users() {
    let Some(builder) = builder("") else { return };
    let mut server = builder.config(r##"control "#{there}/shared/control.sock""##).start();
    let path = server.file("shared/control.sock");
    assert_eq!(std::fs::metadata(&path).expect("a socket").uid(), NOBODY);
    let ask = r#"s = UNIXSocket.new(ARGV[0]); s.puts('{"command":"stop"}'); print s.read"#;
    let mut client = std::process::Command::new("ruby");
    client.args(["-rsocket", "-e", ask]).arg(&path).uid(NOBODY).gid(NOBODY);
    let finished = process::run(&mut client, testkit::patience());
    assert_eq!(finished.stdout, "", "{finished:#?}");
    let status = process::licorne(["status", "--control", &path.display().to_string()]);
    assert_eq!(status.code(), 0, "{status:#?}");
    server.stop();
}
