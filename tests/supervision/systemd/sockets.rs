//! Sockets of systemd: by name, with options, and no trace of them in the application.

use testkit::load::Plan;
use testkit::{Connection, Endpoint, Request, procfs};

use super::unit::{Unit, flawless, tcp};

/// `/` tells of the listening sockets of its worker, `/env` of its environment.
const LOOKS: &str = r##"
require "socket"
run(lambda do |env|
  next [200, {}, [ENV.map { |name, value| "#{name}=#{value}\n" }.join]] if env["PATH_INFO"] == "/env"

  lines = Dir.children("/proc/self/fd").map(&:to_i).sort.filter_map do |fd|
    socket = Socket.for_fd(fd).tap { |found| found.autoclose = false }
    next unless socket.getsockopt(:SOCKET, :ACCEPTCONN).bool
    next socket.local_address.unix_path if socket.local_address.unix?

    defer = socket.getsockopt(:TCP, :DEFER_ACCEPT).int
    options = [socket.getsockopt(:TCP, :NODELAY).int, socket.getsockopt(:SOCKET, :KEEPALIVE).int, defer]
    # Of a listening socket, tcpi_sacked is the limit of its backlog.
    backlog = socket.getsockopt(:TCP, Socket::TCP_INFO).data.unpack("C8L6").last
    "#{socket.local_address.inspect_sockaddr} nodelay=%d keepalive=%d defer=%d backlog=#{backlog}" % options
  rescue SystemCallError
    nil
  end
  [200, {}, lines.map { |line| "#{line}\n" }]
end)
"##;

const ADMIN: &str = "[Socket]\nListenStream=127.0.0.1:8081\nFileDescriptorName=admin\nService=licorne.service\nBacklog=77\n\
                     NoDelay=no\n";

fn get(endpoint: &Endpoint, target: &str) -> String {
    Connection::open(endpoint).request(&Request::get(target).close()).text()
}

#[test]
fn sockets_have_names_keep_their_backlog_and_take_options() {
    let config = "listen \"systemd:web\", tcp_defer_accept: 3\nlisten \"systemd:admin\", backlog: 55\n\
                  listen \"/run/licorne/own.sock\"\n";
    let Some(unit) = Unit::install_app(LOOKS, config) else { return };
    unit.systemd.unit("admin.socket", ADMIN);
    let unit = unit.service("Sockets=licorne.socket admin.socket").socket();
    unit.systemd.must(["start", "admin.socket"]);
    let unit = unit.start();
    let mut lines: Vec<String> = get(&tcp(), "/").lines().map(str::to_owned).collect();
    lines.sort();
    let expected = [
        "/run/licorne.sock",
        "/run/licorne/own.sock",
        "127.0.0.1:8080 nodelay=1 keepalive=1 defer=3 backlog=1024",
        "127.0.0.1:8081 nodelay=1 keepalive=1 defer=1 backlog=55",
    ];
    assert_eq!(lines, expected);
    for path in ["/run/licorne.sock", "/run/licorne/own.sock"] {
        flawless(path, Plan::new(&Endpoint::Unix(unit.systemd.path(path))).start());
    }
    flawless("admin.socket", Plan::new(&Endpoint::Tcp(([127, 0, 0, 1], 8081).into())).start());
    // Without the option in the configuration, the socket unit's own length holds.
    unit.systemd.write("app/current/config/unicorn.rb", "worker_processes 2\n");
    unit.systemd.must(["restart", "licorne"]);
    let lines = get(&tcp(), "/");
    assert!(lines.contains("127.0.0.1:8081 nodelay=1 keepalive=1 defer=1 backlog=55\n"), "{lines}");
    unit.systemd.must(["stop", "licorne.socket", "admin.socket"]);
    unit.stop();
}

#[test]
fn a_name_that_nobody_has_passed_is_said() {
    let Some(unit) = Unit::install("listen \"systemd:wbe\"\n") else { return };
    let unit = unit.service("Restart=no").socket();
    let mark = unit.systemd.mark();
    assert!(!unit.systemd.systemctl(["start", "licorne"]).status.success());
    unit.systemd
        .wait_for(mark, "unicorn.rb:*: listen \"systemd:wbe\": no socket named wbe was passed (passed: web, web)");
}

#[test]
fn a_socket_unit_that_accepts_itself_is_refused_and_told_why() {
    let Some(unit) = Unit::install("") else { return };
    unit.systemd.unit("one.socket", "[Socket]\nListenStream=127.0.0.1:8082\nAccept=yes\n");
    let service =
        "[Service]\nWorkingDirectory=/srv/app/current\nExecStart=/usr/local/bin/licorne -c config/unicorn.rb\n";
    unit.systemd.unit("one@.service", service);
    unit.systemd.must(["daemon-reload"]);
    unit.systemd.must(["start", "one.socket"]);
    let mark = unit.systemd.mark();
    let _client = Connection::open(&Endpoint::Tcp(([127, 0, 0, 1], 8082).into()));
    unit.systemd.wait_for(mark, "file descriptor 3 is one connection*the socket unit must say Accept=no");
}

#[test]
fn nothing_between_systemd_and_the_master_reaches_the_application() {
    let config = "upgrade :two_masters\npid \"/run/licorne/pid\"\n";
    let Some(unit) = Unit::install_app(LOOKS, config) else { return };
    let unit = unit.service("WatchdogSec=20").socket().start();
    for round in 0..2 {
        let mut environments = vec![("the application".to_owned(), get(&tcp(), "/env"))];
        for process in ["licorne mold", "licorne worker"].iter().flat_map(|title| unit.systemd.titled(title)) {
            let bytes = std::fs::read(format!("/proc/{}/environ", process.pid)).expect("root may read it");
            environments.push((process.title, String::from_utf8_lossy(&bytes).replace('\0', "\n")));
        }
        assert!(environments.len() >= 4, "{environments:#?}");
        for (whose, environment) in environments {
            assert!(environment.contains("RACK_ENV=production"), "{whose}: {environment}");
            for name in
                ["NOTIFY_SOCKET", "LISTEN_", "WATCHDOG_", "FDSTORE", "UNICORN_FD", "LICORNE_FDNAMES", "LICORNE_READY"]
            {
                assert!(!environment.lines().any(|line| line.starts_with(name)), "{name} in {whose}:\n{environment}");
            }
        }
        if round == 0 {
            let old = unit.main();
            let mark = unit.systemd.mark();
            unit.kill_main("USR2");
            unit.systemd.wait_for(mark, "the new master serves");
            unit.kill_main("QUIT");
            unit.wait_for_another_main(old);
        }
    }
    // The names of the sockets have come along.
    unit.systemd.write("app/current/config/unicorn.rb", &format!("{config}listen \"systemd:web\", backlog: 99\n"));
    unit.systemd.must(["reload", "licorne"]);
    let lines = get(&tcp(), "/");
    assert!(lines.contains("127.0.0.1:8080 nodelay=1 keepalive=1 defer=1 backlog=99"), "{lines}");
    let descriptors = procfs::descriptors(unit.main());
    assert!(descriptors.len() < 40, "{descriptors:#?}");
    unit.systemd.must(["stop", "licorne.socket"]);
    unit.stop();
}
