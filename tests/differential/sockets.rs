//! The listeners, their options as the kernel has them, and the files of UNIX sockets.

use testkit::{App, Connection, Endpoint, Request, Server};

use crate::compare::{Comparison, Listed};
use crate::pair::each;

/// Answers with a line for each listener of its worker: where it is, and what getsockopt(2) and stat(2) say.
const APP: &str = r##"
require "socket"
OPTIONS = {
  "keepalive" => [:SOCKET, :KEEPALIVE], "reuseaddr" => [:SOCKET, :REUSEADDR], "reuseport" => [:SOCKET, :REUSEPORT],
  "rcvbuf" => [:SOCKET, :RCVBUF], "sndbuf" => [:SOCKET, :SNDBUF]
}.freeze
TCP = {
  "nodelay" => [:TCP, :NODELAY], "cork" => [:TCP, :CORK], "defer_accept" => [:TCP, :DEFER_ACCEPT],
  "user_timeout" => [:TCP, :USER_TIMEOUT], "keepidle" => [:TCP, :KEEPIDLE], "fastopen" => [:TCP, :FASTOPEN]
}.freeze

def look(socket)
  listens = socket.getsockopt(:SOCKET, :ACCEPTCONN).bool
  return unless listens

  address = socket.local_address
  facts = OPTIONS.to_h { |name, option| [name, socket.getsockopt(*option).int] }
  if address.ip?
    facts.merge!(TCP.to_h { |name, option| [name, socket.getsockopt(*option).int] })
    # `tcpi_sacked` of a listener is its backlog (tcp_diag).
    facts["backlog"] = socket.getsockopt(:TCP, :INFO).data.unpack1("@28L")
    facts["v6only"] = socket.getsockopt(:IPV6, :V6ONLY).int if address.ipv6?
  else
    facts["mode"] = File.stat(address.unix_path).mode.to_s(8)
  end
  flags = socket.fcntl(Fcntl::F_GETFL)
  facts["nonblock"] = flags & File::NONBLOCK != 0
  facts["cloexec"] = socket.fcntl(Fcntl::F_GETFD) & Fcntl::FD_CLOEXEC != 0
  name = address.ip? ? "#{address.ip_address} ##{socket.fileno}" : "#{File.basename(address.unix_path)} ##{socket.fileno}"
  facts.map { |fact, value| "#{name} #{fact}=#{value}" }
end

run(lambda do |_env|
  lines = Dir.children("/proc/self/fd").map(&:to_i).sort.flat_map do |number|
    next [] unless File.readlink("/proc/self/fd/#{number}").start_with?("socket:")

    socket = BasicSocket.for_fd(number)
    socket.autoclose = false
    look(socket) || []
  rescue SystemCallError
    []
  end
  [200, { "Content-Type" => "text/plain" }, [lines.join("\n")]]
end)
"##;

/// Each is one `listen` line of a configuration. Ports are the kernel's choice; what binds only by itself cannot be
/// passed down.
const LISTENERS: &[&str] = &[
    "listen '127.0.0.1:0'",
    "listen '127.0.0.2:0', backlog: 64",
    "listen '127.0.0.3:0', backlog: 100_000",
    "listen '127.0.0.4:0', tcp_nodelay: false",
    "listen '127.0.0.5:0', tcp_nopush: true",
    "listen '127.0.0.6:0', tcp_nopush: false",
    "listen '127.0.0.7:0', tcp_defer_accept: false",
    "listen '127.0.0.8:0', tcp_defer_accept: 10",
    "listen '127.0.0.9:0', tcp_defer_accept: true",
    "listen '127.0.0.10:0', rcvbuf: 20_000",
    "listen '127.0.0.11:0', sndbuf: 20_000",
    "listen '127.0.0.12:0', reuseport: true",
    "listen '127.0.0.13:0', reuseport: false",
    "listen '[::1]:0'",
    "listen File.join(ENV.fetch('TEST_DIR'), 'plain.sock')",
    "listen File.join(ENV.fetch('TEST_DIR'), 'umask.sock'), umask: 0o077",
    "listen File.join(ENV.fetch('TEST_DIR'), 'group.sock'), umask: 0o007, backlog: 5",
    "listen File.join(ENV.fetch('TEST_DIR'), 'bufs.sock'), rcvbuf: 20_000, sndbuf: 20_000",
    "listen \"unix:#{ENV.fetch('TEST_DIR')}/prefix.sock\"",
];

/// Each is a configuration of its own: an address is bound once.
const ALONE: &[&str] = &[
    "listen '[::1]:0', ipv6only: true",
    "listen '[::1]:0', ipv6only: false",
    "listen '[::]:0'",
    "listen '[::]:0', ipv6only: false, backlog: 7",
];

/// See [`Listed`].
pub(crate) const KNOWN: &[Listed] = &[Listed {
    heading: "Sockets of a service manager keep their backlog",
    rows: &[("*", "127.0.0.1 backlog", "1024", "128"), ("together", "127.0.0.1 backlog", "1024 1024", "1024 128")],
}];

/// The facts of each listener, without what a descriptor is numbered.
fn facts(server: &Server, endpoint: &Endpoint) -> Vec<(String, String)> {
    let response = Connection::open(endpoint).request(&Request::get("/").close());
    assert_eq!(response.status, 200, "{}", server.log().text());
    let text = response.text();
    let mut facts: Vec<(String, String)> = text
        .lines()
        .map(|line| {
            let (name, fact) = line.split_once(" #").expect("a line of the application");
            let (fact, value) = fact.split_once(' ').and_then(|(_, fact)| fact.split_once('=')).expect("a fact");
            (format!("{name} {fact}"), value.replace(&server.directory().display().to_string(), "DIR"))
        })
        .collect();
    facts.sort();
    facts
}

#[test]
fn listeners_have_the_options_that_unicorn_gives_them() {
    let mut comparison = Comparison::new(KNOWN);
    compare(&mut comparison, "together", &LISTENERS.join("\n"));
    for line in ALONE {
        compare(&mut comparison, line, line);
    }
    comparison.settle(300);
}

#[track_caller]
fn compare(comparison: &mut Comparison, case: &str, config: &str) {
    let (unicorn, licorne) = each(
        || Server::builder().app(App::rackup(APP)).config(config).unix_listeners(1),
        |server| {
            // Unicorn prepares a listener when it first tries to accept from it.
            assert_eq!(server.get("/").status, 200);
            facts(server, server.endpoint())
        },
    );
    let mut names: Vec<&String> = unicorn.iter().chain(&licorne).map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    for name in names {
        let all = |facts: &[(String, String)]| {
            facts.iter().filter(|fact| fact.0 == *name).map(|fact| fact.1.as_str()).collect::<Vec<_>>().join(" ")
        };
        comparison.compare(case, name, &all(&unicorn), &all(&licorne));
    }
}
