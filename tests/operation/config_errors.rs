//! Promise: what is wrong with a configuration is said in one clear message, the exit status is 1, nothing is left.

use std::net::TcpListener;

use rustix::process::Signal;
use testkit::output::Mark;
use testkit::{App, Server};

/// A mistake in the configuration file, and what the message must contain.
const MISTAKES: &[(&str, &[&str])] = &[
    ("worker_proceses 2", &["worker_proceses", "worker_processes", "config.rb:4"]),
    ("worker_processes 'two'", &["not an integer: worker_processes=\"two\"", "config.rb:4"]),
    ("worker_processes 0", &["too low (< 1): worker_processes=0"]),
    ("timeout 2", &["too low (< 3): timeout=2"]),
    ("timeout 3.5", &["not an integer: timeout=3.5"]),
    ("preload_app nil", &["preload_app=nil not a boolean"]),
    ("listen 8080, backlog: '5'", &["not an integer: backlog=\"5\""]),
    ("listen 8080, tcp_nodelay: 1", &["not boolean: tcp_nodelay=1"]),
    ("logger Object.new", &["does not respond to method=debug"]),
    ("before_fork { |server| }", &["before_fork=", "has invalid arity: 1 (need 2)"]),
    ("pid '/nonexistent/directory/x.pid'", &["directory for pid=/nonexistent/directory/x.pid not writable"]),
    (
        "stderr_path '/nonexistent/directory/x.log'",
        &["directory for stderr_path=/nonexistent/directory/x.log not writable"],
    ),
    ("working_directory '/nonexistent'", &["No such file or directory", "/nonexistent"]),
    (
        "listen 'foo.sock'",
        &["config.rb:4: listen \"foo.sock\": Don't know how to bind: foo.sock", "\"unix:foo.sock\"?"],
    ),
    (
        "listen './a.sock'",
        &["config.rb:4: listen \"./a.sock\": Don't know how to bind", "did you mean \"unix:./a.sock\"?"],
    ),
    ("listen 'localhost:notaport'", &["config.rb:4: listen \"localhost:notaport\": ", "\"notaport\" is no port"]),
    ("listen '/nonexistent/a.sock'", &["config.rb:4: listen \"/nonexistent/a.sock\": No such file or directory"]),
    ("timeout = 45", &["config.rb:4: `timeout = …` only sets a local variable", "without the equals sign"]),
    ("raise 'broken on purpose'", &["broken on purpose", "config.rb:4"]),
    ("this is no Ruby at all (", &["config.rb:", "SyntaxError"]),
    ("user 'no-such-user-here'", &["can't find user for no-such-user-here"]),
];

#[track_caller]
fn check(mut server: Server, what: &str, told: &[&str]) {
    let status = server.wait_for_exit();
    let said = server.whole_output();
    assert_eq!(status.code(), Some(1), "{what}: {said}");
    for told in told {
        assert!(said.contains(told), "{what}: {told:?} is not in:\n{said}");
    }
    server.assert_nothing_is_left();
    assert!(!server.file("server.pid").exists(), "{what}: a pid file was left");
}

#[test]
fn each_mistake_in_the_configuration_is_told() {
    for (lines, told) in MISTAKES {
        check(Server::builder().config(lines).launch(), lines, told);
    }
}

#[test]
fn a_variable_of_the_user_s_own_may_have_the_name_of_a_directive() {
    let config = "user = 'deploy'\ntimeout = 45\n$stderr.puts(\"for #{user}\")\ntimeout timeout";
    let mut server = Server::builder().config(config).start();
    server.wait_for(Mark::default(), "for deploy");
    server.stop();
}

#[test]
fn a_failed_boot_is_explained_once_and_without_frames_of_the_server() {
    let app = || App::rackup("def broken = raise('this code is broken')\nbroken\n");
    for builder in [
        Server::builder().app(app()).workers(2).preload(true),
        Server::builder().app(app()).workers(1),
        Server::builder().app(app()).workers(1).config("worker_exec true"),
        Server::builder().workers(1).config("after_fork { |_, _| raise 'this code is broken' }"),
        Server::builder().workers(1).config("before_fork { |_, _| raise 'this code is broken' }"),
        Server::builder().workers(1).config("raise 'this code is broken'"),
    ] {
        let mut server = builder.launch();
        assert_eq!(server.wait_for_exit().code(), Some(1));
        let said = server.whole_output();
        assert_eq!(said.matches("this code is broken").count(), 1, "{said}");
        assert!(said.contains("config.ru:") || said.contains("config.rb:"), "{said}");
        assert!(!said.contains("/licorne/"), "{said}");
    }
}

#[test]
fn a_message_about_a_mistake_is_short() {
    // Ruby 3.1 inspects the whole receiver of an unknown method: several kilobytes on one line.
    let mut server = Server::builder().config("worker_proceses 2").launch();
    server.wait_for_exit();
    let said = server.whole_output();
    assert!(said.len() < 2000, "{} bytes: {said}", said.len());
}

#[test]
fn a_port_that_is_in_use_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let server = Server::builder().config(&format!("listen '{address}', tries: 0")).launch();
    check(server, "a port in use", &["Address already in use", &address]);
}

#[test]
fn a_port_that_is_in_use_is_waited_for_whatever_happens_to_the_terminal() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let mut server = Server::builder().config(&format!("listen '{address}', tries: -1, delay: 0.1")).launch();
    server.wait_for(Mark::default(), "retrying in");
    let mark = server.mark();
    for signal in [Signal::WINCH, Signal::USR1] {
        server.signal(signal);
    }
    server.wait_for(mark, "retrying in");
    drop(taken);
    server.wait_for(mark, "master process ready");
    server.stop();
}

#[test]
fn a_stop_ends_the_wait_for_a_port() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let mut server = Server::builder().config(&format!("listen '{address}', tries: -1, delay: 3600")).launch();
    server.wait_for(Mark::default(), "adding listener failed");
    server.signal(Signal::TERM);
    server.wait_for_exit();
    server.assert_nothing_is_left();
}

#[test]
fn a_pid_file_of_a_running_process_is_respected() {
    // This test's own process stands for another server.
    let pid = std::process::id();
    let lines = format!("File.write(File.join(ENV.fetch('TEST_DIR'), 'server.pid'), '{pid}')");
    let mut server = Server::builder().config(&lines).launch();
    assert_eq!(server.wait_for_exit().code(), Some(1));
    let said = server.whole_output();
    assert!(said.contains(&format!("Already running on PID:{pid}")), "{said}");
    assert_eq!(server.pid_in_file("server.pid"), Some(pid), "the other's pid file was touched");
    server.assert_nothing_is_left();
}

#[test]
fn a_missing_rackup_file_is_told() {
    check(Server::builder().arg("missing.ru").launch(), "missing.ru", &["rackup file (missing.ru) not readable"]);
}

#[test]
fn a_missing_configuration_file_is_told() {
    let server = Server::builder().no_config().arg("-c").arg("nowhere.rb").launch();
    let there = Server::builder().no_config().file("app/config/nowhere.rb", "").arg("-c").arg("nowhere.rb").launch();
    check(server, "-c nowhere.rb", &["-c nowhere.rb, seen from /", "No such file or directory", "nowhere.rb"]);
    check(there, "-c nowhere.rb", &["(did you mean config/nowhere.rb?)"]);
}

#[test]
fn wrong_command_lines_are_told() {
    let cases: &[(&str, &str)] = &[
        ("--bogus", "invalid option: --bogus"),
        ("-pabc", "invalid argument: -p"),
        ("--e", "ambiguous option: --e"),
        ("-c", "missing argument: -c"),
    ];
    for (argument, told) in cases {
        check(Server::builder().arg(argument).launch(), argument, &[told]);
    }
}

#[test]
fn an_exit_in_the_configuration_is_honoured() {
    let mut server = Server::builder().config("exit 7").launch();
    assert_eq!(server.wait_for_exit().code(), Some(7));
    server.assert_nothing_is_left();
    let mut server = Server::builder().config("abort 'not here'").launch();
    assert_eq!(server.wait_for_exit().code(), Some(1));
    assert!(server.whole_output().contains("not here"));
    server.assert_nothing_is_left();
}

#[test]
fn a_boot_that_failed_is_no_success_whatever_a_hook_of_its_exits_with() {
    let mut server = Server::builder().config("at_exit { exit!(0) }\nraise 'not here'").launch();
    assert_eq!(server.wait_for_exit().code(), Some(1));
    assert!(server.whole_output().contains("not here"));
    server.assert_nothing_is_left();
}

#[test]
fn an_application_that_exits_while_it_boots_ends_the_boot() {
    let mut server = Server::builder().app(App::rackup("exit 5")).preload(true).launch();
    let status = server.wait_for_exit();
    assert!(!status.success(), "{status}");
    server.assert_nothing_is_left();
}
