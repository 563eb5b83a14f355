//! Promise: a bad release meets no client when its boot or its probe shows it, and few clients when only its work does: it
//! is undone by itself, and `reload --wait` names what was worse. The table is in docs/deploys.md.

use std::time::Instant;

use testkit::{App, Server};

/// An application whose code is in a file: what the file ends with answers requests. It is loaded with the application.
const APP: &str = r#"
code = eval(File.read(File.expand_path("../code")))
run(lambda { |env| code.call(env) })
"#;
/// What a good release answers, and what bad ones do where they are not bad.
const GOOD: &str = "lambda { |env| sleep(0.005); [200, {}, ['good']] }";
/// A route that some bad releases break.
const ROUTE: &str = "/orders";

/// What shows that a release is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SeenBy {
    Boot,
    Probe,
    Canary,
    /// It serves as well as another.
    Nothing,
}

struct Release {
    name: &'static str,
    /// Ruby: what is done when it is loaded, and the block that answers.
    code: &'static str,
    seen_by: SeenBy,
    /// What is told of it.
    told: &'static str,
}

const fn release(name: &'static str, seen_by: SeenBy, told: &'static str, code: &'static str) -> Release {
    Release { name, code, seen_by, told }
}

const BEFORE_IT_SERVES: &[Release] = &[
    release("raises in an initializer", SeenBy::Boot, "no such key: SECRET", "raise 'no such key: SECRET'"),
    release(
        "has the wrong database",
        SeenBy::Probe,
        "probe GET /up: 500 Internal Server Error",
        "lambda { |env| raise 'could not connect to server: wrong' if env['PATH_INFO'] == '/up'; good.(env) }",
    ),
    release(
        "needs a migration",
        SeenBy::Probe,
        "Migrations are pending",
        "lambda { |env| raise 'Migrations are pending' if env['PATH_INFO'] == '/up'; good.(env) }",
    ),
    release(
        "has broken its own routes",
        SeenBy::Probe,
        "probe GET /up: 404 Not Found",
        "lambda { |env| [404, {}, []] }",
    ),
];

const BY_ERRORS: &[Release] = &[
    release(
        "raises in one route",
        SeenBy::Canary,
        "responses with 5xx",
        "lambda { |env| raise 'no route' if env['PATH_INFO'] == '/orders'; good.(env) }",
    ),
    release(
        "raises in one of a hundred requests",
        SeenBy::Canary,
        "responses with 5xx",
        "n = 0; lambda { |env| n += 1; raise 'a rare one' if (n % 100).zero?; good.(env) }",
    ),
    release(
        "answers the probe, and nothing else",
        SeenBy::Canary,
        "responses with 5xx",
        "lambda { |env| env['PATH_INFO'] == '/up' ? good.(env) : raise('broken') }",
    ),
    release(
        "misses an asset",
        SeenBy::Canary,
        "responses with 5xx",
        "lambda { |env| env['PATH_INFO'] == '/orders' ? [200, {}, File.open('/nowhere/app.css')] : good.(env) }",
    ),
    release(
        "answers a status that is none",
        SeenBy::Canary,
        "responses with 5xx",
        "lambda { |env| env['PATH_INFO'] == '/orders' ? ['fine', {}, []] : good.(env) }",
    ),
    release(
        "changes its directory",
        SeenBy::Canary,
        "responses with 5xx",
        "lambda { |env| File.stat('config.ru'); Dir.chdir('/') if env['PATH_INFO'] == '/orders'; good.(env) }",
    ),
    release(
        "opens files and closes none",
        SeenBy::Canary,
        "the canary is worse: ",
        "Process.setrlimit(:NOFILE, 400); kept = []; \
         lambda { |env| 20.times { kept << File.open('/dev/null') } if env['PATH_INFO'] == '/orders'; good.(env) }",
    ),
];

const BY_DEATHS: &[Release] = &[
    release(
        "exits in a request",
        SeenBy::Canary,
        "workers lost: ",
        "lambda { |env| exit!(3) if env['PATH_INFO'] == '/orders'; good.(env) }",
    ),
    release(
        "has a segmentation fault",
        SeenBy::Canary,
        "workers lost: ",
        "lambda { |env| Process.kill(:SEGV, $$) && sleep if env['PATH_INFO'] == '/orders'; good.(env) }",
    ),
    release(
        "closes our sockets",
        SeenBy::Canary,
        // Lost in the comparison, or dying again and again before it comes to that.
        "worker",
        "lambda { |env| (3..60).each { |fd| IO.for_fd(fd).close rescue nil } if env['PATH_INFO'] == '/orders'; good.(env) }",
    ),
    release(
        "hangs in one route",
        SeenBy::Canary,
        "workers lost: ",
        "lambda { |env| sleep if env['PATH_INFO'] == '/orders'; good.(env) }",
    ),
    release(
        "waits for a lock that a thread keeps",
        SeenBy::Canary,
        "workers lost: ",
        "lock = Mutex.new; lambda { |env| \
         if env['PATH_INFO'] == '/orders'; Thread.new { lock.lock; sleep }; sleep(0.01); lock.lock; end; good.(env) }",
    ),
];

const BY_TIMES_AND_MEMORY: &[Release] = &[
    release("is three times as slow", SeenBy::Canary, "service time at p", "lambda { |env| sleep(0.01); good.(env) }"),
    release(
        "gets slow when it is warm",
        SeenBy::Canary,
        "service time at p",
        "n = 0; lambda { |env| n += 1; sleep(0.05) if n > 150; good.(env) }",
    ),
    release(
        "leaks 50 MB in each request",
        SeenBy::Canary,
        "private memory: ",
        "kept = []; lambda { |env| kept << 'x' * 50_000_000 if kept.size < 10; good.(env) }",
    ),
    release(
        "forks and forgets",
        SeenBy::Nothing,
        "",
        "n = 0; lambda { |env| n += 1; fork { sleep(1); exit!(0) } if (n % 20).zero?; good.(env) }",
    ),
    release(
        "blocks signals",
        SeenBy::Nothing,
        "",
        "lambda { |env| %w[TERM QUIT INT HUP].each { |name| trap(name, 'IGNORE') }; good.(env) }",
    ),
];

/// Deploys these, one after the other, under load.
#[track_caller]
fn drill(releases: &[Release]) {
    let config = format!(
        "probe '/up'\ncanary workers: 1, watch: WATCH\ntimeout 12\n\
         path = File.expand_path('../code'); File.write(path, \"{GOOD}\") unless File.exist?(path)"
    );
    for Release { name, code, seen_by, told } in releases {
        let watch = if *seen_by == SeenBy::Nothing { "3" } else { "200" };
        let config = config.replace("WATCH", watch);
        let mut server = Server::builder().app(App::rackup(APP)).workers(4).preload(true).config(&config).start();
        let loads = ["/", ROUTE].map(|path| server.load().request(testkit::Request::get(path)).clients(2).begin());
        server.write("code", &format!("good = {GOOD}; {code}"));
        let began = Instant::now();
        let finished = server.ctl(["reload", "--wait"]);
        let took = began.elapsed();
        let is_seen = *seen_by != SeenBy::Nothing;
        assert_eq!(finished.code(), i32::from(is_seen), "a release that {name}: {finished:#?}");
        if is_seen {
            server.eventually("the old code in all slots", || {
                // One of the new code that hangs is left its `timeout`.
                let old = server.workers().into_iter().filter(|worker| worker.generation == Some(1)).count();
                (old == 4).then_some(())
            });
        }
        let reports = loads.map(testkit::Load::stop);
        let failed: usize = reports.iter().map(testkit::Report::failed).sum();
        let all: usize = failed + reports.iter().map(testkit::Report::ok).sum::<usize>();
        let why = finished.stderr.lines().next().unwrap_or("done").replace("licorne: reload failed: ", "");
        println!("| {name} | {seen_by:?} | {failed} of {all} | {:.1} s | {why} |", took.as_secs_f64());
        assert!(finished.stderr.contains(told), "a release that {name}: {finished:#?}");
        match seen_by {
            SeenBy::Boot | SeenBy::Probe | SeenBy::Nothing => assert_eq!(failed, 0, "{name}: {reports:#?}"),
            SeenBy::Canary => assert!(failed * 4 <= all, "{name}: no more than the canary's share: {reports:#?}"),
        }
        server.stop();
    }
}

#[test]
fn releases_that_boot_or_probe_shows_meet_no_client() {
    drill(BEFORE_IT_SERVES);
}

#[test]
fn releases_that_answer_errors_are_undone() {
    drill(BY_ERRORS);
}

#[test]
fn releases_whose_workers_die_or_hang_are_undone() {
    drill(BY_DEATHS);
}

#[test]
fn releases_that_are_slow_or_leak_are_undone() {
    drill(BY_TIMES_AND_MEMORY);
}
