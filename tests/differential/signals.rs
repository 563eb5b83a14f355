//! The life of a server under signals: processes, titles, pid files, log lines and exit statuses.

use rustix::process::Signal;
use testkit::process::signal;
use testkit::{Gate, Server};

use crate::compare::Comparison;
use crate::signals_known::{KNOWN, TIMEOUT};
use crate::story::{Story, compare};

/// An idle worker of Unicorn's may notice what came at the wrong moment only when half of its timeout is over.
fn server() -> testkit::Builder {
    Server::builder().workers(2).config("timeout 10")
}

/// Waits for the first two workers.
#[track_caller]
fn boot(story: &mut Story) {
    story.wait_for("ready", 3);
    story.wait_for("master process ready", 1);
    story.look("boot", 1);
    assert_eq!(story.server.get("/").status, 200);
}

#[test]
fn signals_do_to_master_and_workers_what_they_do_in_unicorn() {
    let mut comparison = Comparison::new(KNOWN);
    for (name, stop) in [("QUIT", Signal::QUIT), ("TERM", Signal::TERM), ("INT", Signal::INT)] {
        compare(&mut comparison, name, server, |story| {
            boot(story);
            story.signal(stop);
        });
        compare(
            &mut comparison,
            &format!("{name} during a request"),
            || server().workers(1),
            |story| {
                story.wait_for("ready", 2);
                let mut gate = Gate::new(&story.server);
                let mut held = gate.hold(&story.server);
                story.signal(stop);
                if !(stop == Signal::QUIT || stop == Signal::TERM && story.which == crate::pair::Which::Licorne) {
                    story.note(
                        "request",
                        "outcome",
                        if held.connection.read_to_end().is_empty() { "cut" } else { "?" },
                    );
                    return;
                }
                story.note("request", "outcome", gate.release(held).text());
            },
        );
    }
    scale(&mut comparison);
    workers(&mut comparison);
    comparison.settle(100);
}

#[test]
fn a_request_that_outlives_the_timeout_ends_as_in_unicorn() {
    let mut comparison = Comparison::new(TIMEOUT);
    let server = || server().workers(1).config("timeout 3");
    compare(&mut comparison, "timeout", server, |story| {
        story.wait_for("ready", 2);
        let mut gate = Gate::new(&story.server);
        let mut held = gate.hold(&story.server);
        let reply = held.connection.read_to_end();
        story.note("request", "reply", reply.escape_ascii().to_string());
        story.wait_for("worker=0 ready", 2);
        story.look("after it", 1);
        story.signal(Signal::QUIT);
    });
    comparison.settle(15);
}

/// TTIN, TTOU, WINCH and HUP.
#[track_caller]
fn scale(comparison: &mut Comparison) {
    compare(comparison, "TTIN and TTOU", server, |story| {
        boot(story);
        // A worker that is new is ready before it goes.
        for (change, slots, ready) in [
            (Signal::TTIN, &[0, 1, 2][..], 3),
            (Signal::TTIN, &[0, 1, 2, 3], 4),
            (Signal::TTOU, &[0, 1, 2], 4),
            (Signal::TTOU, &[0, 1], 4),
            (Signal::TTOU, &[0], 4),
            (Signal::TTOU, &[], 4),
            (Signal::TTIN, &[0], 5),
        ] {
            story.signal(change);
            story.wait_for_slots(slots, &[]);
            story.wait_for("worker=* ready", ready);
        }
        story.look("after it", 1);
        story.signal(Signal::QUIT);
    });
    compare(comparison, "WINCH", server, |story| {
        boot(story);
        story.signal(Signal::WINCH);
        story.wait_for_slots(&[], &[]);
        story.look("WINCH", 1);
        story.signal(Signal::TTIN);
        story.wait_for_slots(&[0], &[]);
        story.wait_for("ready", 4);
        story.signal(Signal::HUP);
        story.wait_for("done reloading config_file", 1);
        story.wait_for("worker=1 ready", 2);
        story.wait_for_generation();
        story.look("HUP", 1);
        story.signal(Signal::QUIT);
    });
}

/// What happens to workers that are signalled directly.
#[track_caller]
fn workers(comparison: &mut Comparison) {
    for (name, sent) in [
        ("KILL to a worker", Signal::KILL),
        ("QUIT to a worker", Signal::QUIT),
        ("TERM to a worker", Signal::TERM),
        ("INT to a worker", Signal::INT),
        ("ABRT to a worker", Signal::ABORT),
    ] {
        compare(comparison, name, server, |story| {
            boot(story);
            let worker = story.workers()[0];
            signal(worker, sent).expect("the worker is there");
            story.wait_for_slots(&[0, 1], &[worker]);
            story.wait_for("worker=0 ready", 2);
            story.look("after it", 1);
            story.signal(Signal::QUIT);
        });
    }
    compare(
        comparison,
        "USR1 to a worker",
        || server().workers(1),
        |story| {
            story.wait_for("ready", 2);
            signal(story.workers()[0], Signal::USR1).expect("the worker is there");
            // An idle worker of Unicorn's may notice with its next request.
            story.server.eventually("reopened logs", || {
                let done = story.server.log().text().contains("worker=0 done reopening logs");
                (done || story.server.get("/").status != 200).then_some(())
            });
            story.signal(Signal::QUIT);
        },
    );
    let ignored = [Signal::HUP, Signal::USR2, Signal::WINCH, Signal::TTIN, Signal::TTOU];
    compare(comparison, "what is meant for the master to a worker", server, |story| {
        boot(story);
        for sent in ignored {
            signal(story.workers()[0], sent).expect("the worker is there");
        }
        assert_eq!(story.server.get("/").status, 200);
        story.look("after it", 1);
        story.signal(Signal::QUIT);
    });
}
