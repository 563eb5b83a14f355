//! Promise: new code that does worse than the old one is undone while few workers are of it, and `reload --wait` names the
//! figures. What is as good takes over. Operators may end a trial either way.

use testkit::{App, Server};

/// An application whose code is in a file. It is loaded with the application.
const APP: &str = r#"
code = eval(File.read("../code"))
run(lambda { |env| code.call(env) })
"#;
const GOOD: &str = "lambda { |env| sleep(0.01); [200, {}, ['good']] }";

fn server(config: &str) -> Server {
    let config =
        format!("{config}\npath = File.expand_path('../code'); File.write(path, \"{GOOD}\") unless File.exist?(path)");
    Server::builder().app(App::rackup(APP)).workers(3).preload(true).config(&config).start()
}

fn status(server: &Server) -> serde_json::Value {
    serde_json::from_str(&server.ctl(["status", "--json"]).stdout).expect("JSON")
}

#[test]
fn code_that_fails_is_undone_with_its_figures_and_the_old_workers_serve_on() {
    let mut server = server("canary watch: 300");
    let load = server.load().clients(3).begin();
    server.write("code", "lambda { |env| sleep(0.01); [500, {}, ['bad']] }");
    let old = server.workers();
    let finished = server.ctl(["reload", "--wait"]);
    assert_eq!(finished.code(), 1, "{finished:#?}");
    let told = "reload failed: the canary is worse: responses with 5xx: 100.00 % (";
    assert!(finished.stderr.contains(told), "{finished:#?}");
    let back = server.eventually("the old generation alone", || {
        let workers = server.workers();
        (workers.len() == 3 && workers.iter().all(|worker| worker.generation == Some(1))).then_some(workers)
    });
    let kept = old.iter().filter(|worker| back.contains(worker)).count();
    assert_eq!(kept, 2, "those that were not on trial have not been touched");
    let report = load.stop();
    assert!(report.failed() < report.ok(), "{report:?}");
    let status = status(&server);
    assert!(status["canary"].is_null(), "{status}");
    let failure = status["last_reload"]["failure"].as_str().expect("it failed");
    assert!(failure.starts_with("the canary is worse: responses with 5xx"), "{failure}");
    server.stop();
}

#[test]
fn code_that_is_as_good_takes_over_when_it_has_been_watched() {
    let mut server = server("");
    let mark = server.mark();
    let load = server.load().clients(3).start();
    let finished = server.ctl(["reload", "--wait", "--canary", "1", "--watch", "2"]);
    assert_eq!(finished.code(), 0, "{finished:#?}");
    server.wait_for(mark, "canary: 1 of gen=2 serve, watched for 2 s");
    let passed = server.wait_for(mark, "canary: gen=2 has passed: ");
    assert!(passed.contains(" requests, 0 with 5xx; ") && passed.ends_with(" and 0 on the old workers"), "{passed}");
    load.stop().assert_no_failure();
    server.stop();
}

#[test]
fn status_shows_the_trial_and_operators_end_it() {
    let mut server = server("canary workers: 2, watch: 300");
    let none = server.ctl(["reload", "--promote"]);
    assert_eq!((none.code(), none.stderr.contains("there is no canary to promote")), (1, true), "{none:#?}");
    let none = server.ctl(["reload", "--abort"]);
    assert_eq!((none.code(), none.stderr.contains("there is no reload under way")), (1, true), "{none:#?}");

    for (end, generation) in [("--abort", 1), ("--promote", 3)] {
        assert_eq!(server.ctl(["reload"]).code(), 0);
        server.eventually("a watch", || status(&server)["canary"]["left_s"].is_number().then_some(()));
        let told = status(&server);
        assert_eq!((&told["canary"]["workers"], &told["phase"]), (&2.into(), &"rolling".into()), "{told}");
        let text = server.ctl(["status"]).stdout;
        assert!(text.contains("canary: 2 workers of generation") && text.contains("\n  old  "), "{text}");
        let ended = server.ctl(["reload", end]);
        assert_eq!(ended.code(), 0, "{ended:#?}");
        server.eventually("one generation", || {
            let workers = server.workers();
            (workers.len() == 3 && workers.iter().all(|worker| worker.generation == Some(generation))).then_some(())
        });
    }
    server.stop();
}

#[test]
fn a_reload_is_asked_for_no_trial() {
    let mut server = server("canary watch: 300");
    let finished = server.ctl(["reload", "--wait", "--canary", "0"]);
    assert_eq!(finished.code(), 0, "{finished:#?}");
    server.stop();
}
