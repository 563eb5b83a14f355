//! Promise: a new worker serves only when it has answered the probe. Code that fails it meets no client, and
//! `reload --wait` says what it answered.

use testkit::{App, Server};

/// An application whose code is in a file, and which answers what the file says to `/up`.
const APP: &str = r##"
code = File.read("../code")
run(lambda do |env|
  next [200, {}, ["#{env.key?("licorne.probe")}"]] unless env["PATH_INFO"] == "/up"
  File.write("../seen", env.slice("licorne.probe", "HTTP_HOST", "REMOTE_ADDR", "HTTP_X_TOKEN").inspect)
  eval(code)
end)
"##;
const GOOD: &str = "[200, {}, ['fine']]";

/// A bad release: what it does when it is probed, and what is told of it.
struct Bad {
    name: &'static str,
    code: &'static str,
    told: &'static [&'static str],
}

const BAD: &[Bad] = &[
    Bad {
        name: "raises",
        code: "raise 'no such table'",
        told: &[
            "probe GET /up: 500 Internal Server Error, expected 200..399",
            "no such table (RuntimeError)",
            "(eval):1",
        ],
    },
    Bad {
        name: "answers an error",
        code: "[503, {}, ['no ', 'database']]",
        told: &["probe GET /up: 503 Service Unavailable", "no database"],
    },
    Bad { name: "hangs", code: "sleep", told: &["probe GET /up: no response within 2 s", "(eval):1:in `sleep'"] },
    Bad { name: "exits", code: "exit 0", told: &["probe GET /up: the application ended the worker", "(eval):1"] },
    Bad {
        name: "is killed",
        code: "Process.kill(:KILL, $$); sleep",
        told: &["ended while booting in the probe GET /up: ", "SIGKILL"],
    },
    Bad {
        name: "breaks off",
        code: "[200, { 'Content-Length' => '9' }, ['fine']]",
        told: &["probe GET /up: the response ended before it was whole"],
    },
];

fn server(preload: bool, config: &str) -> Server {
    let config =
        format!("{config}\npath = File.expand_path('../code'); File.write(path, \"{GOOD}\") unless File.exist?(path)");
    Server::builder().app(App::rackup(APP)).workers(2).preload(preload).config(&config).start()
}

#[track_caller]
fn check_bad_releases(preload: bool) {
    let mut server = server(preload, "probe '/up', timeout: 2");
    let before = server.workers();
    let load = server.load().clients(2).start();
    for Bad { name, code, told } in BAD {
        server.write("code", code);
        let finished = server.ctl(["reload", "--wait"]);
        assert_eq!(finished.code(), 1, "code that {name}: {finished:#?}");
        for told in *told {
            assert!(finished.stderr.contains(told), "code that {name}, {told}: {finished:#?}");
        }
        server.eventually("the old generation alone", || (server.workers() == before).then_some(()));
    }
    server.write("code", GOOD);
    let finished = server.ctl(["reload", "--wait"]);
    assert_eq!(finished.code(), 0, "{finished:#?}");
    assert_eq!(server.get("/").text(), "false", "a request of a client's is no probe");
    load.stop().assert_no_failure();
    server.stop();
}

#[test]
fn releases_that_fail_the_probe_meet_no_client() {
    check_bad_releases(true);
}

#[test]
fn releases_that_fail_the_probe_meet_no_client_when_each_worker_loads_them() {
    check_bad_releases(false);
}

#[test]
fn a_probe_has_its_fields_and_is_marked_and_counts_nowhere() {
    let config = "probe '/up', status: [200, 404...406], headers: { 'host' => 'example.com', 'X-Token' => 'a' }\n\
                  access_log '../access.log', format: '{path}'";
    let mut server = server(true, config);
    let seen = std::fs::read_to_string(server.file("seen")).expect("it was probed");
    for part in [r#""licorne.probe"=>true"#, r#""HTTP_HOST"=>"example.com""#, "127.0.0.1", r#""HTTP_X_TOKEN"=>"a""#] {
        assert!(seen.contains(part), "{seen}");
    }
    server.get("/client");
    let status: serde_json::Value = serde_json::from_str(&server.ctl(["status", "--json"]).stdout).expect("JSON");
    let totals = &status["totals"];
    assert_eq!((&totals["requests"], &totals["responses"]["2xx"]), (&1.into(), &1.into()), "{totals}");
    server.stop();
    let log = std::fs::read_to_string(server.file("access.log")).expect("it was written");
    assert_eq!(log, "/client\n");
}

#[test]
fn a_first_boot_that_fails_the_probe_ends_the_server() {
    let config = "probe '/up'\nFile.write(File.expand_path('../code'), \"raise 'no such table'\")";
    let mut server = Server::builder().app(App::rackup(APP)).workers(1).config(config).launch();
    let status = server.wait_for_exit();
    assert_eq!(status.code(), Some(1), "{status:?}");
    let output = server.whole_output();
    for told in ["probe GET /up: 500 Internal Server Error", "no such table (RuntimeError)"] {
        assert!(output.contains(told), "{output}");
    }
}

#[test]
fn a_reload_is_asked_to_probe_other_paths() {
    let mut server = server(true, "");
    server.write("code", "[404, {}, ['none']]");
    let finished = server.ctl(["reload", "--wait", "--probe", "/", "--probe=/up"]);
    assert_eq!(finished.code(), 1, "{finished:#?}");
    assert!(finished.stderr.contains("probe GET /up: 404 Not Found, expected 200..399"), "{finished:#?}");
    let finished = server.ctl(["reload", "--wait", "--probe", "up"]);
    assert!(finished.stderr.contains("not a path that begins with \"/\""), "{finished:#?}");
    let finished = server.ctl(["reload", "--wait"]);
    assert_eq!(finished.code(), 0, "the next one is asked nothing: {finished:#?}");
    server.stop();
}
