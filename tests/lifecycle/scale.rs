//! Promise: workers come and go by TTIN and TTOU while not one request fails.

use std::time::Duration;

use rustix::process::Signal;
use testkit::Server;

/// The longest time without a success that is promised.
const GAP: Duration = Duration::from_millis(50);

#[track_caller]
fn check(preload: bool) {
    let mut server = Server::builder().workers(2).preload(preload).start();
    let close = server.load().start();
    let kept = server.load().keep_alive(true).start();
    for _ in 0..2 {
        for expected in [&[0, 1, 2][..], &[0, 1, 2, 3]] {
            server.signal(Signal::TTIN);
            server.wait_for_slots(expected);
            close.wait_for_successes(20);
        }
        for expected in [&[0, 1, 2][..], &[0, 1]] {
            server.signal(Signal::TTOU);
            server.wait_for_slots(expected);
            kept.wait_for_successes(20);
        }
    }
    close.stop().assert_flawless(GAP);
    kept.stop().assert_flawless(GAP);
    server.stop();
}

#[test]
fn workers_are_added_and_taken_away_under_load_without_a_failure() {
    check(false);
}

#[test]
fn preloaded_workers_are_added_and_taken_away_under_load_without_a_failure() {
    check(true);
}
