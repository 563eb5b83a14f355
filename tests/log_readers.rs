//! Promise: what reads the log can stop reading: the master goes on, and tells how many lines were lost. What clients and
//! applications put into it does nothing to a terminal.

use std::fs::File;
use std::io::{Read, Write};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::process::Signal;
use testkit::output::Mark;
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
        told.contains("log lines were lost: what reads standard error did not read").then_some(())
    });
    assert!(told.contains("master reopening logs..."), "{told}");
    assert_eq!(server.get("/").status, 200);
    server.stop();
}

const FOUL: &str = "a\\e[2Jb\\u009Bc\\u202Ed";

#[test]
fn what_others_put_into_the_log_does_nothing_to_a_terminal() {
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
