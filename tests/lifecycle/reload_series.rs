//! Promise: reloads that follow each other at once, while clients ask as fast as the machine can serve, lose no request.

use std::time::Duration;

use testkit::{App, Server};

/// How many reloads follow each other at the rate that the machine can serve: a thousand are `LICORNE_RELOADS=1000`.
fn reloads_in_a_row() -> usize {
    std::env::var("LICORNE_RELOADS").map_or(100, |count| count.parse().expect("a number"))
}

#[test]
fn reloads_in_a_row_at_the_top_rate_lose_no_request() {
    let app = App::rackup("run(lambda { |_env| [200, {}, ['hello']] })");
    let server = Server::builder().app(app).workers(2).preload(true).tcp_listeners(1).unix_listeners(1);
    let mut server = server.start();
    let loads: Vec<_> = server
        .endpoints()
        .iter()
        .flat_map(|endpoint| [false, true].map(|kept| (endpoint, kept)))
        .map(|(endpoint, kept)| {
            testkit::load::Plan::new(endpoint).clients(2).keep_alive(kept).think(Duration::ZERO).start()
        })
        .collect();
    for number in 1..=reloads_in_a_row() {
        let finished = server.ctl(["reload", "--wait"]);
        assert_eq!(finished.code(), 0, "reload {number}: {finished:#?}");
    }
    for load in loads {
        load.stop().assert_no_failure();
    }
    server.stop();
}
