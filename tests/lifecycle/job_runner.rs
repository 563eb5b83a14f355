//! Promise: a real job runner that is deployed as a service loses no job, and does none twice, through reloads.

use std::collections::BTreeSet;
use std::fs;

use testkit::output::Mark;
use testkit::{App, Front, Server};

/// The jobs, as the application and the runner know them. Each notes that it has begun, and that it is done.
const JOBS: &str = r##"
require "sidekiq"

class Job
  include Sidekiq::Worker
  sidekiq_options retry: false

  def perform(id)
    File.write(File.expand_path("begun", __dir__), "#{id}\n", mode: "a")
    sleep 0.05
    File.write(File.expand_path("done", __dir__), "#{id}\n", mode: "a")
  end
end
"##;

/// Asks for a job with each request, and notes that it has.
const APP: &str = r##"
require "../jobs"
count = 0
run(lambda { |_env|
  id = "#{Process.pid}-#{count += 1}"
  Job.perform_async(id)
  File.write(File.expand_path("../asked"), "#{id}\n", mode: "a")
  [200, {}, ["ok"]]
})
"##;

const CONFIG: &str = r#"
service "jobs", command: %w[sidekiq -r ../jobs.rb -c 2 -t 20], stop_timeout: 25
"#;

fn lines(server: &Server, name: &str) -> Vec<String> {
    fs::read_to_string(server.file(name)).unwrap_or_default().lines().map(str::to_string).collect()
}

#[test]
fn a_job_runner_loses_no_job_and_does_none_twice_through_reloads() {
    let place = tempfile::tempdir().expect("a directory");
    let socket = place.path().join("redis.sock").display().to_string();
    let arguments = ["--port", "0", "--unixsocket", &socket, "--save", "", "--appendonly", "no"];
    let redis = Front::start("redis-server", &arguments, place.path());
    let begun = redis.log().wait_for(Mark::default(), "eady to accept connections", testkit::patience());
    begun.expect("redis begins");
    let server = Server::builder().app(App::rackup(APP)).workers(2).preload(true).file("jobs.rb", JOBS).config(CONFIG);
    let mut server = server.env("REDIS_URL", &format!("unix://{socket}")).start();
    let load = server.load().clients(1).think(std::time::Duration::from_millis(60)).start();
    let more_is_done = |after: usize| {
        server.eventually("jobs that the new runner has done", || (lines(&server, "done").len() > after).then_some(()));
    };
    more_is_done(0);
    for number in 1..=testkit::rounds(50) {
        let mark = server.mark();
        let finished = server.ctl(["reload", "--wait"]);
        assert_eq!(finished.code(), 0, "reload {number}: {finished:#?}");
        server.wait_for(mark, &format!("service=jobs gen={} PID:* started", number + 1));
        // None of the runner before is there any more.
        more_is_done(lines(&server, "done").len());
    }
    load.stop().assert_no_failure();
    let asked = lines(&server, "asked");
    server.eventually("all jobs", || (lines(&server, "done").len() >= asked.len()).then_some(()));
    server.stop();
    for name in ["begun", "done"] {
        let all = lines(&server, name);
        let once: BTreeSet<&String> = all.iter().collect();
        assert_eq!(once.len(), all.len(), "a job was {name} twice");
        assert_eq!(once, asked.iter().collect(), "each job was {name}");
    }
    println!("{} jobs", asked.len());
}
