//! The life of a server that is changed while it runs: reloads, upgrades, log rotation.

use std::fs;

use rustix::process::Signal;
use testkit::{App, Server};

use crate::changes_known::{RELOAD, UPGRADE};
use crate::compare::Comparison;
use crate::story::{Story, compare, log_line};

/// An idle worker of Unicorn's may notice what came at the wrong moment only when half of its timeout is over.
fn server() -> testkit::Builder {
    Server::builder().workers(2).config("timeout 10")
}

/// An application whose code is in a file that `require` loads.
const CODE: &str = r#"
require File.join(ENV.fetch("TEST_DIR"), "code.rb")
run ->(_env) { [200, { "Content-Type" => "text/plain" }, [CODE]] }
"#;

/// The configuration that writes that file at first.
const FIRST: &str = r#"
code = File.join(ENV.fetch("TEST_DIR"), "code.rb")
File.write(code, "CODE = 'first'") unless File.exist?(code)
"#;

#[track_caller]
fn boot(story: &mut Story) {
    story.wait_for("ready", 3);
    story.look("boot", 1);
}

#[test]
fn a_reload_does_what_it_does_in_unicorn() {
    let mut comparison = Comparison::new(RELOAD);
    for preload in [false, true] {
        let name = |what: &str| format!("{what}{}", if preload { " with preloading" } else { "" });
        let server = || server().preload(preload).app(App::rackup(CODE)).config(FIRST);
        compare(&mut comparison, &name("HUP"), server, |story| {
            boot(story);
            let before = story.workers();
            story.note("boot", "code", story.server.get("/").text());
            story.server.write("code.rb", "CODE = 'second'");
            story.signal(Signal::HUP);
            story.wait_for("done reloading config_file", 1);
            story.wait_for_slots(&[0, 1], &before);
            story.wait_for("worker=* ready", 4);
            story.wait_for_generation();
            story.look("HUP", 1);
            story.note("HUP", "code", story.server.get("/").text());
            for number in [0, 1] {
                let lines = story.server.log().lines();
                let place = |text: String, which: usize| {
                    lines.iter().enumerate().filter(|line| line.1.contains(&text)).nth(which).map(|line| line.0)
                };
                let gone = place(format!("exit 0> worker={number}"), 0);
                let ready = place(format!("worker={number} ready"), 1);
                story.note("HUP", "the old worker leaves before the new one is ready", (gone < ready).to_string());
            }
            story.signal(Signal::QUIT);
        });
        compare(&mut comparison, &name("HUP with a longer list of workers and another pid file"), server, |story| {
            boot(story);
            let before = story.workers();
            story.server.append_config("worker_processes 3\npid File.join(ENV.fetch('TEST_DIR'), 'other.pid')");
            story.signal(Signal::HUP);
            story.wait_for("done reloading config_file", 1);
            story.wait_for_slots(&[0, 1, 2], &before);
            story.wait_for("worker=* ready", 5);
            story.wait_for_generation();
            story.look("HUP", 1);
            story.signal(Signal::QUIT);
        });
        for (what, lines) in [
            ("a syntax error", "worker_processes ("),
            ("an exception", "raise 'not today'"),
            ("a wrong value", "timeout 'soon'"),
            ("an unreadable log", "stderr_path '/nowhere/at/all'"),
        ] {
            compare(&mut comparison, &name(&format!("HUP with {what}")), server, |story| {
                boot(story);
                story.server.append_config(lines);
                story.signal(Signal::HUP);
                story.wait_for("error reloading config_file", 1);
                story.look("HUP", 1);
                assert_eq!(story.server.get("/").status, 200);
                story.signal(Signal::QUIT);
            });
        }
    }
    comparison.settle(100);
}

#[test]
fn an_upgrade_does_what_it_does_in_unicorn() {
    let mut comparison = Comparison::new(UPGRADE);
    compare(&mut comparison, "USR2 and QUIT to the old", server, |story| {
        boot(story);
        let second = upgrade(story);
        story.stop(story.server.pid(), Signal::QUIT);
        story.server.wait_for_exit();
        story.look("QUIT to the old", 1);
        assert_eq!(story.server.get("/").status, 200);
        story.stop(second, Signal::QUIT);
    });
    compare(&mut comparison, "USR2 and QUIT to the new", server, |story| {
        boot(story);
        let second = upgrade(story);
        story.stop(second, Signal::QUIT);
        story.wait_for("exec()-ed", 1);
        story.look("QUIT to the new", 1);
        assert_eq!(story.server.get("/").status, 200);
        story.signal(Signal::QUIT);
    });
    compare(&mut comparison, "USR2, WINCH to the old, HUP to the old, QUIT to the new", server, |story| {
        boot(story);
        // How far the workers that are brought back come before they are replaced is a matter of luck.
        for line in ["ready", "spawned", "reaped", "Refreshing"] {
            story.forget(line);
        }
        let second = upgrade(story);
        story.signal(Signal::WINCH);
        story.wait_for_slots(&[0, 1], &[]);
        story.look("WINCH to the old", 2);
        story.signal(Signal::HUP);
        story.wait_for_slots(&[0, 0, 1, 1], &[]);
        story.wait_for("worker=* ready", 6);
        story.wait_for_generation();
        story.look("HUP to the old", 2);
        story.stop(second, Signal::QUIT);
        story.wait_for("exec()-ed", 1);
        story.look("QUIT to the new", 1);
        story.signal(Signal::QUIT);
    });
    compare(&mut comparison, "USR2 with a broken configuration", server, |story| {
        boot(story);
        story.server.append_config("raise 'not today'");
        story.signal(Signal::USR2);
        story.wait_for("exec()-ed", 1);
        story.look("USR2", 1);
        assert_eq!(story.server.get("/").status, 200);
        story.signal(Signal::QUIT);
    });
    compare(
        &mut comparison,
        "HUP without a configuration file",
        || server().no_config().workers(1),
        |story| {
            story.wait_for("ready", 2);
            story.signal(Signal::HUP);
            story.wait_for("worker=* ready", 2);
            story.wait_for("master process ready", 2);
            story.look("HUP", 2);
            let second = story.masters()[1];
            story.stop(story.server.pid(), Signal::QUIT);
            story.stop(second, Signal::QUIT);
        },
    );
    comparison.settle(100);
}

/// Starts a second master, and waits until it serves.
#[track_caller]
fn upgrade(story: &mut Story) -> u32 {
    story.signal(Signal::USR2);
    story.wait_for("worker=* ready", 4);
    story.wait_for("master process ready", 2);
    story.look("USR2", 2);
    story.masters()[1]
}

#[test]
fn logs_are_reopened_as_in_unicorn() {
    let mut comparison = Comparison::new(&[]);
    // An idle worker of Unicorn's looks at its pipe once in half the timeout.
    let server =
        || server().config("timeout 3").config("stderr_path File.join(ENV.fetch('TEST_DIR'), 'err.log')").preload(true);
    compare(&mut comparison, "USR1", server, |story| {
        let read = |story: &Story, name: &str| fs::read_to_string(story.server.file(name)).unwrap_or_default();
        let wait = |story: &Story, name: &str, text: &str, count: usize| {
            story.server.eventually(text, || (read(story, name).matches(text).count() == count).then_some(()));
        };
        wait(story, "err.log", "ready", 3);
        fs::rename(story.server.file("err.log"), story.server.file("old.log")).expect("renamed");
        story.signal(Signal::USR1);
        wait(story, "err.log", "done reopening logs", 3);
        story.server.get("/raise");
        wait(story, "err.log", "app error", 1);
        for name in ["old.log", "err.log"] {
            let mut lines: Vec<String> = read(story, name).lines().map(|line| story.plain(&log_line(line))).collect();
            lines.retain(|line| !line.contains(":in `"));
            lines.sort();
            for line in lines {
                story.note(name, &line, "logged");
            }
        }
        story.signal(Signal::QUIT);
    });
    comparison.settle(10);
}
