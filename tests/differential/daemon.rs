//! A daemon, from the command that starts it to its end.

use rustix::process::Signal;
use testkit::process::run;
use testkit::{Connection, Endpoint, Request, Server, procfs};

use crate::compare::Comparison;
use crate::story::compare;

/// What ps(1) says of a process.
fn ps(column: &str, pid: u32) -> String {
    let mut command = std::process::Command::new("ps");
    run(command.args(["-o", &format!("{column}="), "-p", &pid.to_string()]), testkit::patience())
        .stdout
        .trim()
        .to_owned()
}

#[test]
fn a_daemon_lives_as_unicorns_does() {
    let mut comparison = Comparison::new(&[]);
    for preload in [true, false] {
        // A daemon binds its own socket: the variable that announces inherited ones names the process that was started.
        let server = || {
            Server::builder()
                .workers(2)
                .preload(preload)
                .tcp_listeners(0)
                .arg("-D")
                .config("listen File.join(ENV.fetch('TEST_DIR'), 'd.sock')")
                .config("stderr_path File.join(ENV.fetch('TEST_DIR'), 'err.log')")
        };
        let name = format!("preload {preload}");
        compare(&mut comparison, &name, server, |story| {
            let status = story.server.wait_for_exit();
            story.note("boot", "status", status.to_string());
            let master = story.server.pid_in_file("server.pid").expect("a pid file");
            // Unicorn's workers may boot still; the socket takes connections all the same.
            let endpoint = Endpoint::Unix(story.server.file("d.sock"));
            assert_eq!(Connection::open(&endpoint).request(&Request::get("/").close()).status, 200);
            story.server.eventually("both workers", || {
                (story.server.workers_of(master).len() == 2 && story.server.titled("master") == [master]).then_some(())
            });
            story.note("boot", "leads its session", (ps("sid", master) == master.to_string()).to_string());
            story.note("boot", "leads its group", (ps("pgid", master) == master.to_string()).to_string());
            story.note("boot", "terminal", ps("tty", master));
            let descriptors = procfs::descriptors(master);
            for number in 0..3 {
                let target = descriptors.get(&number).cloned().unwrap_or_default();
                story.note("boot", &format!("descriptor {number}"), story.plain(&target));
            }
            let link = |name: &str| std::fs::read_link(format!("/proc/{master}/{name}")).unwrap_or_default();
            story.note("boot", "directory", story.plain(&link("cwd").display().to_string()));
            let status = std::fs::read_to_string(format!("/proc/{master}/status")).unwrap_or_default();
            let umask = status.lines().find(|line| line.starts_with("Umask")).unwrap_or("");
            story.note("boot", "umask", umask);
            story.stop(master, Signal::QUIT);
            let log = std::fs::read_to_string(story.server.file("err.log")).unwrap_or_default();
            story.note("end", "the log says that it is complete", log.contains("master complete").to_string());
            story.note("end", "the socket is left", story.server.file("d.sock").exists().to_string());
        });
    }
    comparison.settle(25);
}
