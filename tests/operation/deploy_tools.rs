//! Promise: what deploy tools have done to Unicorn for fifteen years does the same to Licorne: the tasks of
//! capistrano3-unicorn, the signals of init scripts, logrotate.
//!
//! The sleeps are the tools' own: they are what has to be enough.

use std::process::Command;

use testkit::process::{Finished, Watch, run};
use testkit::upgrade::RECIPE;
use testkit::{Builder, Herded, Server, patience};

/// What capistrano3-unicorn's `unicorn:start` comes down to, with the program called `unicorn`.
const START: &str = r#"
PATH="{dir}:$PATH"
if [ -e "{dir}/server.pid" ] && kill -0 "$(cat "{dir}/server.pid")"; then
  echo "unicorn is running..."
else
  unicorn -c "{dir}/config.rb" -E deployment -D -l "{dir}/web.sock"
fi
"#;

/// A server that `START` puts into the background.
fn started(configure: impl FnOnce(Builder) -> Builder) -> Server {
    let application = Herded::Licorne.application().link("unicorn").file("start", START);
    let application =
        application.config("stderr_path File.join(ENV.fetch('TEST_DIR'), 'log', 'web.log')").file("log/.keep", "");
    let mut server = configure(application).program("/bin/sh").exactly(&["{dir}/start"]).launch();
    assert!(server.wait_for_exit().success(), "the start");
    server
}

/// Runs a task: shell, with `F` for the pid file.
#[track_caller]
fn task(server: &Server, script: &str) -> Finished {
    let mut command = Command::new("sh");
    command.args(["-ec", script]).env("F", server.file("server.pid")).env("TEST_DIR", server.directory());
    let finished = run(command.current_dir(server.file("app")), patience());
    assert!(finished.status.success(), "{script}: {finished:#?}");
    finished
}

fn master(server: &Server) -> u32 {
    server.pid_in_file("server.pid").expect("a pid file")
}

/// QUIT, and nothing is left.
#[track_caller]
fn stop(server: &Server) {
    let watch = Watch::on(master(server)).expect("it serves");
    task(
        server,
        r#"if [ -e "$F" ]; then if kill -0 "$(cat "$F")"; then kill -s QUIT "$(cat "$F")"; else rm "$F"; fi; fi"#,
    );
    assert!(watch.wait(patience()), "the master");
    server.assert_nothing_is_left();
    assert!(!server.file("server.pid").exists());
}

#[test]
fn capistrano_starts_once_and_restarts_by_the_hook_of_the_configuration() {
    let server = started(|application| application.config(RECIPE));
    let again = task(&server, &format!("sh \"{}\"", server.file("start").display()));
    assert_eq!(again.stdout, "unicorn is running...\n");
    let load = server.load().start();
    for generation in ["g2", "g3", "g4"] {
        let old = master(&server);
        let left = Watch::on(old).expect("it serves");
        server.write("generation", generation);
        task(&server, r#"kill -s USR2 "$(cat "$F")""#);
        assert!(left.wait(patience()), "the old master");
        load.wait_until_seen(generation);
        server.eventually("a new master", || server.pid_in_file("server.pid").filter(|pid| *pid != old));
    }
    load.stop().assert_no_failure();
    stop(&server);
}

#[test]
fn capistrano_restarts_the_old_way_and_changes_the_number_of_workers() {
    let server = started(|application| application);
    let load = server.load().start();
    server.write("generation", "g2");
    let old = Watch::on(master(&server)).expect("it serves");
    task(
        &server,
        r#"kill -s USR2 "$(cat "$F")"; sleep 3; if [ -e "$F.oldbin" ]; then kill -s QUIT "$(cat "$F.oldbin")"; fi"#,
    );
    assert!(old.wait(patience()));
    load.wait_until_seen("g2");
    task(&server, r#"kill -s TTIN "$(cat "$F")""#);
    server.eventually("three workers", || (server.workers_by_title("unicorn") == 3).then_some(()));
    task(&server, r#"kill -s TTOU "$(cat "$F")""#);
    server.eventually("two workers", || (server.workers_by_title("unicorn") == 2).then_some(()));
    server.write("generation", "g3");
    task(&server, r#"kill -s HUP "$(cat "$F")""#);
    load.wait_until_seen("g3");
    load.stop().assert_no_failure();
    stop(&server);
}

/// The `upgrade` of Debian's and of capistrano-unicorn-nginx's init script.
const UPGRADE: &str = r#"
sig () { test -s "$F" && kill -"$1" "$(cat "$F")"; }
oldsig () { test -s "$F.oldbin" && kill -"$1" "$(cat "$F.oldbin")"; }
if sig USR2 && sleep 2 && sig 0 && oldsig QUIT; then
  n=60
  while test -s "$F.oldbin" && test $n -ge 0; do printf .; sleep 1; n=$((n - 1)); done
  echo
  if test $n -lt 0 && test -s "$F.oldbin"; then echo >&2 "$F.oldbin still exists after 60 seconds"; exit 1; fi
  exit 0
fi
echo >&2 "Couldn't upgrade, starting a second one instead"
exit 1
"#;

#[test]
fn an_init_script_upgrades_an_application_that_boots_longer_than_it_waits() {
    // It sends QUIT to the old master after two seconds, whether the new one is ready or not.
    let server = started(|application| application.env("BOOT_SECONDS", "4").preload(true));
    let load = server.load().start();
    server.write("generation", "g2");
    task(&server, UPGRADE);
    load.wait_until_seen("g2");
    let report = load.stop();
    report.assert_no_failure();
    task(&server, r#"test -s "$F" && kill -USR1 "$(cat "$F")""#);
    stop(&server);
}

#[test]
fn our_own_init_script_does_what_it_says() {
    let server = started(|application| application);
    let printed = testkit::process::run(
        Command::new(testkit::program::path())
            .args(["init", "init-script", "--user", "root", "--directory"])
            .arg(server.file("app"))
            .arg("--config-file")
            .arg(server.file("config.rb")),
        patience(),
    );
    // Our configuration's pid file is no path below the application's directory.
    let pid = server.file("server.pid").display().to_string();
    let script = printed.stdout.replace(&format!("{}/tmp/pids/licorne.pid", server.file("app").display()), &pid);
    assert!(script.contains(&format!("PID={pid}")), "{script}");
    server.write("init", &script);
    let load = server.load().start();
    let words = |word: &str| task(&server, &format!("sh \"{}\" {word}", server.file("init").display()));
    server.write("generation", "g2");
    assert!(words("reload").stdout.contains("reload done"));
    load.wait_until_seen("g2");
    server.write("generation", "g3");
    words("upgrade");
    load.wait_until_seen("g3");
    assert!(words("status").stdout.contains("serving"));
    assert_eq!(words("start").stdout, "licorne runs already\n");
    words("reopen-logs");
    load.stop().assert_no_failure();
    let watch = Watch::on(master(&server)).expect("it serves");
    words("stop");
    assert!(watch.wait(patience()));
    server.assert_nothing_is_left();
}

#[test]
fn logrotate_moves_the_log_and_every_process_follows() {
    let server = started(|application| application);
    let log = server.file("log/web.log");
    let printed = testkit::process::run(
        Command::new(testkit::program::path()).args(["init", "logrotate", "--directory"]).arg(server.directory()),
        patience(),
    );
    let rules = printed.stdout.replace("tmp/pids/licorne.pid", "server.pid");
    server.write("rules", &rules);
    // logrotate trusts only rules and directories that no other user may write.
    task(&server, "chmod 0644 \"$TEST_DIR/rules\"; chmod 0755 \"$TEST_DIR/log\"");
    let load = server.load().start();
    for number in 1..=3 {
        task(&server, "logrotate -f -s \"$TEST_DIR/state\" \"$TEST_DIR/rules\"");
        // The master says so in the new file, when it has opened it.
        server.eventually("the new log", || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            text.contains("done reopening logs").then_some(())
        });
        let inode = |path: &str| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).expect("open"));
        let new = inode(&log.display().to_string());
        for process in server.family() {
            let same = || inode(&format!("/proc/{}/fd/2", process.pid)) == new;
            server.eventually("every process writes to the new file", || same().then_some(()));
        }
        assert!(server.file(&format!("log/web.log.{}", if number == 1 { "1" } else { "2.gz" })).exists());
        load.wait_for_successes(20);
    }
    load.stop().assert_no_failure();
    stop(&server);
}

#[test]
fn a_release_that_does_not_boot_stops_a_deploy() {
    let server = started(|application| application.preload(true));
    server.write("generation", "broken");
    let pid_file = server.file("server.pid").display().to_string();
    let finished = testkit::process::licorne(["reload", "--wait", "--pid-file", &pid_file]);
    assert_eq!(finished.code(), 1, "{finished:#?}");
    assert!(finished.stderr.contains("it does not boot"), "{finished:#?}");
    assert_eq!(server.get("/").field("X-Generation"), Some("g1"));
    stop(&server);
}
