//! Promise: the recipes that configurations everywhere have work unchanged, and lose no request.
//!
//! The one that stops the old master at once (`before_fork` sends QUIT to `.oldbin`) is in `upgrade`.

use std::collections::BTreeSet;
use std::fs;

use rustix::process::Signal;
use testkit::output::Mark;
use testkit::process::Watch;
use testkit::{App, Connection, Endpoint, Gate, Request, Server, procfs};

/// From Unicorn's own example: the old master gives up one worker for each new one, and leaves with the last.
const INCREMENTAL: &str = r##"
run_once = true
before_fork do |server, worker|
  if run_once
    File.write(File.join(ENV.fetch("TEST_DIR"), "once"), "once\n", mode: "a")
    run_once = false
  end
  old_pid = "#{server.config[:pid]}.oldbin"
  if old_pid != server.pid
    begin
      sig = (worker.nr + 1) >= server.worker_processes ? :QUIT : :TTOU
      Process.kill(sig, File.read(old_pid).to_i)
    rescue Errno::ENOENT, Errno::ESRCH
    end
  end
end
"##;

#[test]
fn the_old_master_gives_up_its_workers_one_by_one() {
    for preload in [true, false] {
        let mut server = Server::builder().workers(3).preload(preload).config(INCREMENTAL).start();
        let old = server.pid();
        let load = server.load().clients(3).start();
        server.signal(Signal::USR2);
        let new = server.new_master(old);
        assert!(server.wait_for_exit().success(), "the old master");
        server.eventually("the new master's workers", || (server.workers_of(new).len() == 3).then_some(()));
        assert_eq!(server.workers().len(), 3);
        assert!(!server.file("server.pid.oldbin").exists());
        load.wait_for_successes(50);
        load.stop().assert_no_failure();
        // Once for each time that the configuration was evaluated, not for each fork.
        assert_eq!(fs::read_to_string(server.file("once")).expect("a trace"), "once\nonce\n");
        server.stop_successor(new);
    }
}

#[test]
fn a_wrapped_process_client_is_called_around_each_request() {
    let config = r##"
module Around
  def process_client(client)
    trace = ->(text) { File.write(File.join(ENV.fetch("TEST_DIR"), "trace"), "#{text}\n", mode: "a") }
    trace.call("before #{client.inspect}")
    Thread.current[:mark] = "mine"
    super
    trace.call("after #{Thread.current[:mark]}")
  end

  def proc_name(tag)
    super("mine #{tag}")
  end
end
Unicorn::HttpServer.prepend(Around)
"##;
    let app = "trace = File.join(ENV.fetch('TEST_DIR'), 'trace')
        run ->(_env) { File.write(trace, \"served #{Thread.current[:mark]}\\n\", mode: 'a');
                       Thread.current[:mark] = 'theirs'; [200, {}, ['ok']] }";
    for preload in [true, false] {
        let mut server = Server::builder().app(App::rackup(app)).preload(preload).config(config).start();
        assert_eq!(server.titled("mine").len(), 1);
        let mut connection = server.connect();
        for _ in 0..2 {
            assert_eq!(connection.request(&Request::get("/")).text(), "ok");
        }
        server.stop();
        let trace = fs::read_to_string(server.file("trace")).expect("a trace");
        assert_eq!(trace, "before nil\nserved mine\nafter theirs\n".repeat(2), "preload {preload}");
    }
}

/// Patches of the master as error reporters, GitHub, GitLab and Discourse have them.
const PATCHES: &str = r##"
class Unicorn::HttpServer
  alias_method :kill_worker_without_report, :kill_worker
  def kill_worker(signal, pid)
    File.write(File.join(ENV.fetch("TEST_DIR"), "killed"), "")
    kill_worker_without_report(signal, pid)
  end

  def murder_lazy_workers = raise("never")
  alias_method :reap_all_workers_plainly, :reap_all_workers
end
class Unicorn::HttpRequest; end
module Reporting
  def reexec = super
  def stop(graceful = true) = super
  def http_response_write(*) = super
end
Unicorn::HttpServer.prepend(Reporting)
Unicorn::HttpResponse.prepend(Reporting)
timeout 3
"##;

#[test]
fn methods_of_a_master_in_ruby_are_redefined_in_vain() {
    let mut server = Server::builder().config(PATCHES).launch();
    server.wait_for(Mark::default(), "worker=0*ready");
    let mut gate = Gate::new(&server);
    let mut held = gate.hold(&server);
    assert_eq!(held.connection.read_to_end(), b"");
    server.wait_for(Mark::default(), "killing");
    assert_eq!(server.get("/").status, 200);
    server.stop();
    assert!(!server.file("killed").exists());
}

#[test]
fn a_wrapped_master_sleep_is_called_beside_the_workers() {
    // As Discourse has it, which looks after its background processes there.
    let config = r##"
before_fork do |server, worker|
  unless $wrapped
    $wrapped = true
    class ::Unicorn::HttpServer
      alias_method :master_sleep_orig, :master_sleep
      def master_sleep(seconds)
        logger.info("looks after the others, then sleeps for #{seconds}")
        (@slept = @slept.to_i + 1) == 1 and raise "fails once"
        master_sleep_orig(0.01)
      end
    end
  end
end
"##;
    for preload in [true, false] {
        let mut server = Server::builder().workers(2).preload(preload).config(config).launch();
        server.wait_for_slots(&[0, 1]);
        for _ in 0..3 {
            let mark = server.mark();
            server.wait_for(mark, "looks after the others, then sleeps for 59");
        }
        // The mold hears its master all the same.
        server.signal(Signal::TTIN);
        server.wait_for_slots(&[0, 1, 2]);
        let finished = server.ctl(["reload", "--wait"]);
        assert_eq!(finished.code(), 0, "{finished:#?}");
        let mark = server.mark();
        server.wait_for(mark, "looks after the others");
        assert_eq!(server.get("/").status, 200);
        server.stop();
    }
}

#[test]
fn exit_after_a_request_replaces_the_worker_and_costs_no_request() {
    // "Kind" limits of memory: what comes after the response may end the worker.
    let config = r##"
class Unicorn::HttpServer
  alias_method :process_client_orig, :process_client
  undef_method :process_client
  def process_client(client)
    process_client_orig(client)
    @served = @served.to_i + 1
    exit(9) if @served == 5
  end
end
"##;
    for preload in [true, false] {
        let mut server = Server::builder().workers(2).preload(preload).config(config).start();
        let load = server.load().clients(2).start();
        load.wait_for_successes(40);
        load.stop().assert_no_failure();
        server.wait_for(Mark::default(), "reaped*exit 9*worker=");
        assert_eq!(server.get("/").status, 200);
        server.stop();
    }
}

#[test]
fn a_program_that_a_hook_starts_belongs_to_the_generation() {
    // Background processes beside the web server, as dynos have them; ended as docs/differences.md says.
    let config = r##"
before_fork do |server, worker|
  @helper ||= spawn("exec cat", in: IO.pipe.first).tap do |pid|
    mold = Process.pid
    at_exit { Process.kill(:TERM, pid) if Process.pid == mold }
    File.write(File.join(ENV.fetch("TEST_DIR"), "helpers"), "#{pid}\n", mode: "a")
  end
end
"##;
    let mut server = Server::builder().workers(2).config(config).launch();
    server.wait_for_slots(&[0, 1]);
    let helpers = |server: &Server| {
        let text = fs::read_to_string(server.file("helpers")).expect("a trace");
        text.lines().map(|pid| pid.parse::<u32>().expect("a pid")).collect::<Vec<_>>()
    };
    let first = Watch::on(helpers(&server)[0]).expect("it runs");
    let finished = server.ctl(["reload", "--wait"]);
    assert_eq!(finished.code(), 0, "{finished:#?}");
    assert!(first.wait(testkit::patience()), "the first helper did not end");
    let helpers = helpers(&server);
    assert_eq!(helpers.len(), 2);
    let second = Watch::on(helpers[1]).expect("it runs");
    server.stop();
    assert!(second.wait(testkit::patience()), "the second helper did not end");
}

#[test]
fn a_server_made_by_hand_is_refused_with_the_reason() {
    let config = "Unicorn::HttpServer.new(->(_env) { [200, {}, []] }, listeners: ['127.0.0.1:0']).start.join";
    let mut server = Server::builder().config(config).launch();
    assert_eq!(server.wait_for_exit().code(), Some(1));
    server.wait_for(Mark::default(), "licorne cannot be embedded in a configuration*(ArgumentError)");
}

#[test]
fn before_exec_changes_the_environment_of_the_next_master() {
    let config = r##"
before_exec do |server|
  ENV["BUNDLE_GEMFILE"] = "/app/current/Gemfile"
  ENV.delete("STALE")
end
before_fork do |server, worker|
  old_pid = "#{server.config[:pid]}.oldbin"
  Process.kill("QUIT", File.read(old_pid).to_i) if File.exist?(old_pid) && server.pid != old_pid
end
"##;
    // No RUBYOPT of Bundler's here: what the variable says is all that matters.
    let app = "run ->(_env) { [200, {}, [ENV.values_at('BUNDLE_GEMFILE', 'STALE').inspect]] }\n";
    let server = Server::builder().app(App::rackup(app)).config(config).env("STALE", "old");
    let mut server = server.env("BUNDLE_GEMFILE", "/app/releases/1/Gemfile").start();
    assert_eq!(server.get("/").text(), r#"["/app/releases/1/Gemfile", "old"]"#);
    let old = server.pid();
    server.signal(Signal::USR2);
    let new = server.new_master(old);
    assert!(server.wait_for_exit().success());
    assert_eq!(server.get("/").text(), r#"["/app/current/Gemfile", nil]"#);
    server.stop_successor(new);
}

#[test]
fn connections_to_the_database_are_closed_before_the_fork_and_opened_after_it() {
    let config = r##"
before_fork do |server, worker|
  defined?(ActiveRecord::Base) and ActiveRecord::Base.connection.disconnect!
end
after_fork do |server, worker|
  defined?(ActiveRecord::Base) and ActiveRecord::Base.establish_connection
end
"##;
    let mut server = Server::builder().app(App::rails()).workers(2).preload(true).config(config).launch();
    server.wait_for(Mark::default(), "master process ready");
    let create = |server: &Server, count: usize| {
        for number in 0..count {
            let created = server.request(Request::post(&format!("/notes?title=n{number}"), Vec::new()));
            assert_eq!(created.status, 201, "{}", created.text());
        }
    };
    create(&server, 10);
    let finished = server.ctl(["reload", "--wait"]);
    assert_eq!(finished.code(), 0, "{finished:#?}");
    create(&server, 5);
    // The generator has made the first.
    assert_eq!(server.get("/notes").text().matches("\"id\":").count(), 16);
    // The mold holds no connection that its workers could share.
    let database = |pid: u32| procfs::descriptors(pid).into_values().any(|target| target.contains(".sqlite3"));
    assert!(server.titled("mold").into_iter().all(|pid| !database(pid)), "the mold has the database open");
    server.stop();
}

#[test]
fn each_worker_may_listen_for_itself() {
    let config = r##"
after_fork do |server, worker|
  server.listen(File.join(ENV.fetch("TEST_DIR"), "worker-#{worker.nr}.sock"), tries: -1, delay: 5, tcp_nopush: true)
end
"##;
    let mut server = Server::builder().workers(2).config(config).launch();
    for _ in 0..2 {
        server.wait_for(Mark::default(), "master process ready");
        for worker in server.wait_for_slots(&[0, 1]) {
            let endpoint = Endpoint::Unix(server.file(&format!("worker-{}.sock", worker.number)));
            let mut connection = Connection::open(&endpoint);
            let answer = connection.request(&Request::get("/pid").close());
            assert_eq!(answer.text(), format!("{}\n", worker.pid));
        }
        assert_eq!(server.get("/").status, 200);
        let finished = server.ctl(["reload", "--wait"]);
        assert_eq!(finished.code(), 0, "{finished:#?}");
    }
    server.stop();
}

/// Ways to give up root.
const SWITCHES: &[&str] = &[
    "user 'nobody', 'nogroup'",
    "after_fork { |server, worker| worker.user('nobody', 'nogroup') if Process.euid == 0 }",
    r#"
after_fork do |server, worker|
  uid, gid = Process.euid, Process.egid
  user, group = 'nobody', 'nogroup'
  target_uid = Etc.getpwnam(user).uid
  target_gid = Etc.getgrnam(group).gid
  if uid != target_uid || gid != target_gid
    Process.initgroups(user, target_gid)
    Process::GID.change_privilege(target_gid)
    Process::UID.change_privilege(target_uid)
  end
end
"#,
];

#[test]
fn workers_give_up_root_and_still_reopen_their_logs() {
    if !rustix::process::geteuid().is_root() {
        // Only root has privileges to give up.
        return;
    }
    for (number, switch) in SWITCHES.iter().enumerate() {
        // The directory of a test is its user's alone.
        let config = format!(
            "require 'etc'\nFile.chmod(0755, ENV.fetch('TEST_DIR'))\n\
             stderr_path File.join(ENV.fetch('TEST_DIR'), 'err.log')\n{switch}"
        );
        let mut server = Server::builder().workers(1).config(&config).launch();
        assert_eq!(server.get("/").status, 200, "{switch}");
        let worker = server.wait_for_slots(&[0])[0];
        let numbers = |name: &str| procfs::status(worker.pid, name).unwrap_or_default();
        for name in ["Uid", "Gid"] {
            let ids: BTreeSet<String> = numbers(name).split_whitespace().map(str::to_owned).collect();
            assert_eq!(ids, BTreeSet::from(["65534".to_owned()]), "{name}, {switch}");
        }
        assert_eq!(numbers("Groups").trim(), "65534", "{switch}");
        assert_eq!(procfs::status(server.pid(), "Uid").unwrap_or_default().split_whitespace().next(), Some("0"));
        // The last one does not give its logs away, in Unicorn no more than here.
        if number < 2 {
            let read = |name: &str| fs::read_to_string(server.file(name)).unwrap_or_default();
            fs::rename(server.file("err.log"), server.file("old.log")).expect("renamed");
            server.signal(Signal::USR1);
            server.eventually("the worker's new log", || {
                read("err.log").contains("worker=0 done reopening logs").then_some(())
            });
            assert_eq!(server.wait_for_slots(&[0])[0], worker, "{switch}");
        }
        server.stop();
    }
}

#[test]
fn term_to_every_process_at_once_is_survived_by_requests() {
    // Heroku sends TERM to all processes of a dyno; this is the recipe that it has told its users for ten years.
    let config = r#"
before_fork do |server, worker|
  Signal.trap 'TERM' do
    puts 'Unicorn master intercepting TERM and sending myself QUIT instead'
    Process.kill 'QUIT', Process.pid
  end
end
after_fork do |server, worker|
  Signal.trap 'TERM' do
    puts 'Unicorn worker intercepting TERM and doing nothing. Wait for master to send QUIT'
  end
end
"#;
    for preload in [true, false] {
        let mut server = Server::builder().workers(2).preload(preload).config(config).launch();
        server.wait_for(Mark::default(), "master process ready");
        let mut gate = Gate::new(&server);
        let held = gate.hold(&server);
        for process in server.family() {
            // An idle worker may have left by now: the master has told it to.
            let _ = testkit::process::signal(process.pid, Signal::TERM);
        }
        server.wait_for(Mark::default(), "reaped*exit 0*worker=");
        assert_eq!(gate.release(held).text(), "waited for the gate\n");
        assert!(server.wait_for_exit().success());
        server.assert_nothing_is_left();
    }
}

#[test]
fn a_log_of_the_application_is_rotated_by_usr1() {
    // logrotate: rename, then `postrotate kill -USR1`.
    let app = r#"
require "logger"
path = File.join(ENV.fetch("TEST_DIR"), "app.log")
LOG = Logger.new(path)
run ->(env) { LOG.info(env["PATH_INFO"]); [200, {}, ["ok"]] }
"#;
    for preload in [true, false] {
        let mut server = Server::builder().app(App::rackup(app)).workers(2).preload(preload).start();
        let read = |name: &str| fs::read_to_string(server.file(name)).unwrap_or_default();
        for round in 0..3 {
            let load = server.load().clients(2).start();
            load.wait_for_successes(20);
            let mark = server.mark();
            fs::rename(server.file("app.log"), server.file("app.log.1")).expect("renamed");
            server.signal(Signal::USR1);
            for worker in 0..2 {
                server.wait_for(mark, &format!("worker={worker} done reopening logs"));
            }
            load.stop().assert_no_failure();
            let rotated = read("app.log.1").len();
            for request in 0..10 {
                assert_eq!(server.get(&format!("/{round}/{request}")).status, 200);
            }
            let text = read("app.log");
            assert!((0..10).all(|request| text.contains(&format!("/{round}/{request}"))), "{text}");
            assert_eq!(read("app.log.1").len(), rotated, "something was written to the rotated file");
        }
        server.stop();
    }
}

/// A configuration as it comes out of deployment tools and guides, with what those had in it over the years.
#[test]
fn a_configuration_of_the_usual_kind_is_served() {
    let config = r##"
rails_root = ENV.fetch("TEST_DIR") + "/app"
working_directory rails_root
listen "#{rails_root}/tmp.sock", :backlog => 64
timeout 30
stderr_path "#{rails_root}/../unicorn.stderr.log"
stdout_path "#{rails_root}/../unicorn.stdout.log"
GC.respond_to?(:copy_on_write_friendly=) and GC.copy_on_write_friendly = true
check_client_connection false
Unicorn::HttpServer::START_CTX[0] = Unicorn::HttpServer::START_CTX[0]
HttpRequest::DEFAULTS["rack.url_scheme"] = "https"
Configurator::DEFAULTS[:logger].formatter = Logger::Formatter.new
logger Logger.new($stderr)
"##;
    let app = "use Unicorn::OobGC, 10\nrun ->(env) { [200, {}, [env['rack.url_scheme'], ' ', Dir.pwd]] }\n";
    let app = App::rackup(format!("require 'unicorn/oob_gc'\n{app}"));
    let mut server = Server::builder().app(app).preload(true).config(config).launch();
    let path = server.file("app").canonicalize().expect("it is there");
    assert_eq!(server.get("/").text(), format!("https {}", path.display()));
    let endpoint = Endpoint::Unix(server.file("app/tmp.sock"));
    assert_eq!(Connection::open(&endpoint).request(&Request::get("/").close()).status, 200);
    server.stop();
    let log = fs::read_to_string(server.file("unicorn.stderr.log")).expect("a log");
    assert!(log.contains("worker=0 ready") && log.contains("master complete"), "{log}");
}

#[test]
fn lines_about_old_workers_go_to_the_logger_of_the_configuration_that_holds_now() {
    let logger =
        |name: &str| format!("require 'logger'\nlogger Logger.new(File.join(ENV.fetch('TEST_DIR'), '{name}'))\n");
    let mut server = Server::builder().workers(2).config(&logger("first.log")).launch();
    let read = |name: &str| std::fs::read_to_string(server.file(name)).unwrap_or_default();
    server.eventually("a server", || read("first.log").contains("master process ready").then_some(()));
    let config = std::fs::read_to_string(server.file("config.rb")).expect("a configuration");
    server.write("config.rb", &config.replace("first.log", "second.log"));
    let finished = server.ctl(["reload", "--wait"]);
    assert_eq!(finished.code(), 0, "{finished:#?}");
    server.eventually("the end of the old workers", || {
        (read("second.log").matches("reaped ").count() == 2).then_some(())
    });
    assert!(!read("first.log").contains("reaped "), "{}", read("first.log"));
    server.stop();
}

#[test]
fn every_line_of_the_master_goes_to_the_logger_of_the_configuration() {
    let config = "require 'logger'\nlogger Logger.new(File.join(ENV.fetch('TEST_DIR'), 'mine.log'))\n\
                  listen File.join(ENV.fetch('TEST_DIR'), 'more.sock')";
    for preload in [true, false] {
        let mut server = Server::builder().preload(preload).config(config).launch();
        server.wait_for_slots(&[0]);
        let finished = server.ctl(["reload", "--wait"]);
        assert_eq!(finished.code(), 0, "{finished:#?}");
        server.signal(Signal::QUIT);
        assert!(server.wait_for_exit().success());
        let log = fs::read_to_string(server.file("mine.log")).expect("a log");
        let lines =
            ["inherited addr=", "listening on addr=", "master process ready", "done reloading", "master complete"];
        for line in lines {
            assert_eq!(log.matches(line).count(), 1, "{line}: {log}");
        }
        assert_eq!(server.log().text(), "", "preload {preload}");
    }
}
