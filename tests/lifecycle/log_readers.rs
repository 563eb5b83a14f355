//! Promise: what reads the log can stop reading: the master goes on, and tells how many lines were lost. What clients and
//! applications put into it does nothing to a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, Command};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::process::Signal;
use testkit::output::Mark;
use testkit::process::Watch;
use testkit::{App, Request, Server};

/// A FIFO that the test reads and writes, without waiting.
fn fifo(path: &std::path::Path) -> File {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a FIFO");
    rustix::fs::open(path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).expect("it opens").into()
}

/// Everything that is in it.
fn drain(fifo: &mut File) -> String {
    let mut text = Vec::new();
    // The end is that nothing is left for now.
    let _ = fifo.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn a_log_that_is_not_read_stops_no_master_and_the_lost_lines_are_told() {
    let mut server = Server::builder().workers(1).start();
    let path = server.file("err.fifo");
    let mut log = fifo(&path);
    server.append_config(&format!("stderr_path {:?}", path.display().to_string()));
    assert_eq!(server.ctl(["reload", "--wait"]).code(), 0);
    while log.write(&[b'x'; 4096]).is_ok_and(|count| count > 0) {}
    while log.write(b"x").is_ok_and(|count| count > 0) {}
    // The master logs each of these. The worker does too, in Ruby, and waits for the reader as Ruby does.
    for _ in 0..3 {
        server.signal(Signal::USR1);
        assert_eq!(server.ctl(["status"]).code(), 0);
    }
    drain(&mut log);
    let mut told = String::new();
    server.eventually("the lost lines", || {
        server.signal(Signal::USR1);
        told.push_str(&drain(&mut log));
        told.contains("log lines were lost: standard error took no more").then_some(())
    });
    assert!(told.contains("master reopening logs..."), "{told}");
    assert_eq!(server.get("/").status, 200);
    server.stop();
}

/// A directory behind a process: Debian's bindfs, a file system by FUSE. Where that process stands still, nothing in the
/// directory answers, as with a network file system whose server is gone.
struct Remote {
    process: Child,
    place: PathBuf,
}

impl Remote {
    fn mount(server: &Server) -> Remote {
        let (real, place) = (server.file("real"), server.file("remote"));
        for directory in [&real, &place] {
            std::fs::create_dir(directory).expect("a new directory");
        }
        let process = Command::new("bindfs").arg("-f").args([&real, &place]).spawn().expect("bindfs is installed");
        let remote = Remote { process, place };
        let device = |path: &std::path::Path| std::fs::metadata(path).expect("it is there").dev();
        server.eventually("the mount", || (device(&remote.place) != device(&real)).then_some(()));
        remote
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.place).status();
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_log_on_a_file_system_that_does_not_answer_stops_no_master_and_is_opened_anew_when_it_does() {
    let mut server = Server::builder().workers(1).start();
    let remote = Remote::mount(&server);
    let real = server.file("real");
    let log = |name: &str| std::fs::read_to_string(real.join(name)).unwrap_or_default();
    server.append_config(&format!("stderr_path {:?}", remote.place.join("err.log").display().to_string()));
    assert_eq!(server.ctl(["reload", "--wait"]).code(), 0);
    server.eventually("the log", || log("err.log").contains("done reloading").then_some(()));
    let place = &remote.place;
    std::fs::rename(place.join("err.log"), place.join("err.log.1")).expect("it is there");
    server.suspended(remote.process.id(), || {
        // The master logs each of these.
        for _ in 0..3 {
            server.signal(Signal::USR1);
            assert_eq!(server.ctl(["status"]).code(), 0);
        }
        assert_eq!(server.get("/").status, 200);
        // One writes the log, the other waits for an answer, however often that was asked for.
        server.eventually("two helpers", || (server.titled("helper").len() == 2).then_some(()));
        assert!(!log("err.log.1").contains("reopening logs"), "the file system has answered");
    });
    server.eventually("the log, opened anew", || log("err.log").contains("worker=0 done reopening logs").then_some(()));
    let rotated = log("err.log.1");
    assert_eq!(rotated.matches("master reopening logs...").count(), 3, "{rotated}");
    // A helper writes what the master logs: the worker, which writes itself, may be there first.
    let done = || log("err.log").matches("master done reopening logs").count();
    server.eventually("the master's last line", || (done() > 0).then_some(()));
    assert_eq!(done(), 1, "{}", log("err.log"));
    // What is logged last is there before the process has ended, and where it cannot be, the process ends all the same.
    let master = Watch::on(server.pid()).expect("it runs");
    server.suspended(remote.process.id(), || {
        server.signal(Signal::TERM);
        assert!(master.wait(testkit::patience()));
    });
    assert!(server.wait_for_exit().success());
    server.eventually("the last line", || log("err.log").contains("master complete").then_some(()));
}

const FOUL: &str = "a\\e[2Jb\\u009Bc\\u202Ed";

#[test]
fn control_characters_in_the_log_are_escaped() {
    let app = App::rackup(format!("run lambda {{ |env| raise \"{FOUL}\" }}"));
    let mut server = Server::builder().app(app).start();
    assert_eq!(server.request(Request::get("/")).status, 500);
    server.wait_for(Mark::default(), "*app error*");
    let mark = server.mark();
    server.write("config.rb.old", &std::fs::read_to_string(server.file("config.rb")).expect("a configuration"));
    server.append_config(&format!("raise \"{FOUL}\""));
    let finished = server.ctl(["reload", "--wait"]);
    assert_eq!(finished.code(), 1);
    server.wait_for(mark, "*error reloading*a\\x1b[2Jb\\u{9b}c\\u{202e}d*");
    let shown = format!("{}{}{}", finished.stdout, finished.stderr, server.log().text());
    let foul = |c: &char| *c != '\n' && (c.is_control() || *c == '\u{202e}');
    assert_eq!(shown.chars().find(foul), None, "{}", shown.escape_debug());
    assert!(finished.stderr.contains("a\\x1b[2Jb\\u{9b}c\\u{202e}d"), "{finished:#?}");
    server.stop();
}
