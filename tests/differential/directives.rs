//! What the configuration language accepts, and what it says of what it does not.

use testkit::Server;

use crate::compare::Comparison;
use crate::directives_known::KNOWN;
use crate::pair::Which;

/// Tries each line of `tries.rb` by itself, writes what came of it, and ends the boot.
const CONFIG: &str = r##"
File.readlines(File.join(ENV.fetch("TEST_DIR"), "tries.rb"), chomp: true).each do |line|
  begin
    instance_eval(line)
    puts "#{line}\tfine"
  rescue Exception => e
    known = e.class.ancestors.find { |name| name.is_a?(Class) && !name.to_s.start_with?("Licorne") }
    puts "#{line}\t#{known}: #{e.message.lines.first.to_s.chomp[0, 100]}"
  end
end
$stdout.flush
exit 0
"##;

const TRIES: &[&str] = &[
    "worker_processes 3",
    "worker_processes 0",
    "worker_processes -1",
    "worker_processes 1.5",
    "worker_processes '2'",
    "worker_processes nil",
    "timeout 30",
    "timeout 3",
    "timeout 2",
    "timeout 3.5",
    "timeout '30'",
    "timeout nil",
    "timeout 99_999_999",
    "listen 8080",
    "listen '8080'",
    "listen ':8080'",
    "listen '*:8080'",
    "listen 'localhost:8080'",
    "listen '/tmp/x.sock'",
    "listen 'unix:x.sock'",
    "listen '~/x.sock'",
    "listen 'x.sock'",
    "listen '[::1]:80'",
    "listen 'no.such.host.invalid:80'",
    "listen 8081, backlog: 5",
    "listen 8081, backlog: '5'",
    "listen 8081, rcvbuf: 1.5",
    "listen 8081, sndbuf: 'x'",
    "listen 8081, tcp_nodelay: 1",
    "listen 8081, tcp_nopush: 'on'",
    "listen 8081, ipv6only: 1",
    "listen 8081, reuseport: 1",
    "listen 8081, umask: '077'",
    "listen 8081, tries: 'x'",
    "listen 8081, tries: -1",
    "listen 8081, delay: 'x'",
    "listen 8081, delay: 0.1",
    "listen 8081, tcp_defer_accept: 'x'",
    "listen 8081, accept_filter: 'dataready'",
    "pid '/tmp/licorne-differential.pid'",
    "pid nil",
    "pid 5",
    "stderr_path nil",
    "stderr_path 5",
    "stdout_path :x",
    "preload_app true",
    "preload_app nil",
    "preload_app 'yes'",
    "preload_app 1",
    "early_hints true",
    "early_hints nil",
    "check_client_connection true",
    "check_client_connection 'x'",
    "rewindable_input false",
    "rewindable_input nil",
    "default_middleware false",
    "default_middleware nil",
    "worker_exec false",
    "worker_exec nil",
    "client_body_buffer_size 0",
    "client_body_buffer_size -1",
    "client_body_buffer_size '1'",
    "client_body_buffer_size 1.5",
    "logger Logger.new($stderr)",
    "logger nil",
    "logger Object.new",
    "before_fork { |server, worker| }",
    "before_fork { |server| }",
    "before_fork { || }",
    "before_fork { |*a| }",
    "before_fork { |a, b = 1| }",
    "before_fork 5",
    "before_fork method(:puts)",
    "before_fork nil",
    "before_fork",
    "after_fork { |server, worker| }",
    "after_fork { |server| }",
    "after_worker_ready { |server, worker| }",
    "after_worker_ready { |server| }",
    "after_worker_exit { |server, worker, status| }",
    "after_worker_exit { |server, worker| }",
    "before_exec { |server| }",
    "before_exec { |server, worker| }",
    "user 'nobody'",
    "user 'nobody', 'nogroup'",
    "user 'nobody-of-that-name'",
    "user 'nobody', 'nogroup-of-that-name'",
    "user nil",
    "user 65534",
    "working_directory '/'",
    "working_directory '/nowhere/at/all'",
    "working_directory 5",
    "worker_proceses 3",
    "foo 3",
    "set.class",
    "HttpServer",
    "HttpRequest::DEFAULTS['rack.url_scheme']",
    "Configurator::DEFAULTS[:timeout]",
    "Unicorn::Configurator::RACKUP.class",
    "Worker",
    "raise 'x'",
    "no_such_local",
    "NoSuchConstant",
];

fn answers(which: Which) -> Vec<String> {
    let config = format!("File.write(File.join(ENV.fetch('TEST_DIR'), 'tries.rb'), {:?})\n{CONFIG}", TRIES.join("\n"));
    let mut server = Server::builder().program(which.program()).config(&config).launch();
    server.wait_for_exit();
    server.assert_nothing_is_left();
    let output = server.whole_output().replace(&server.directory().display().to_string(), "DIR");
    TRIES
        .iter()
        .map(|line| {
            let mut answers = output.lines().filter_map(|answer| answer.strip_prefix(*line)?.strip_prefix('\t'));
            plain(answers.next().unwrap_or("(nothing)"))
        })
        .collect()
}

/// Addresses of objects, and places in files, are of this run.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("0x") {
        plain.push_str(&rest[..at]);
        plain.push_str("0xN");
        rest = rest[at + 2..].trim_start_matches(|c: char| c.is_ascii_hexdigit());
    }
    plain + rest
}

#[test]
fn the_configuration_language_is_unicorns() {
    let (unicorn, licorne) = (answers(Which::Unicorn), answers(Which::Licorne));
    let mut comparison = Comparison::new(KNOWN);
    for (line, (unicorn, licorne)) in TRIES.iter().zip(unicorn.iter().zip(&licorne)) {
        assert_ne!(unicorn, "(nothing)", "{line}");
        let (class, message) = licorne.split_once(": ").unwrap_or((licorne, ""));
        let (place, message) = match message.strip_prefix("(eval):1: ") {
            Some(message) => ("named", message),
            None => ("not named", message),
        };
        let (expected, told) = unicorn.split_once(": ").unwrap_or((unicorn, ""));
        comparison.compare(line, "class", expected, class);
        comparison.compare(line, "message", told, message);
        comparison.compare(line, "line", "not named", place);
    }
    comparison.settle(100);
}
