//! Promise: the access log has one whole line for each request that was answered, by whom it was asked, how it was answered
//! and by which worker, in a form that other tools read.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use testkit::{App, Front, Request, Server};

const APP: &str = r#"
run lambda { |env|
  case env["PATH_INFO"]
  when "/id" then [200, {}, [env["HTTP_X_REQUEST_ID"].to_s]]
  when "/raise" then raise "on purpose"
  when "/slow" then sleep 0.2; [200, {}, ["slow"]]
  when "/stream" then [200, {}, Enumerator.new { |y| 3.times { |i| y << "piece#{i}" } }]
  when "/hijack"
    socket = env["rack.hijack"].call
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    socket.close
  else [200, { "content-type" => "text/plain" }, ["hello"]]
  end
}
"#;

fn server(config: &str) -> Server {
    Server::builder().app(App::rackup(APP)).workers(1).config(config).start()
}

/// The lines of a log, once there are so many.
#[track_caller]
fn lines(server: &Server, name: &str, count: usize) -> Vec<String> {
    server.eventually(&format!("{count} lines in {name}"), || {
        let text = std::fs::read_to_string(server.file(name)).unwrap_or_default();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        assert!(lines.len() <= count, "{text}");
        (lines.len() == count && text.ends_with('\n')).then_some(lines)
    })
}

#[track_caller]
fn entries(server: &Server, name: &str, count: usize) -> Vec<Value> {
    lines(server, name, count).iter().map(|line| serde_json::from_str(line).expect(line)).collect()
}

#[test]
fn each_request_that_was_answered_is_a_line_of_json() {
    let mut server = server("access_log '../access.log'");
    let agent = "a \"quoted\" \u{e9}";
    server.request(
        Request::get("/?a=1&token=secret").field("User-Agent", agent).field("Referer", "http://b/?password=x"),
    );
    server.request(Request::new("HEAD", "/"));
    server.get("/raise");
    server.get("/stream");
    server.get("/hijack");
    server.request(Request::post("/", "12345"));
    let garbage = server.connect().request_raw("\x16\x03\x01 hello\r\n\r\n");
    assert!(garbage.starts_with(b"HTTP/1.1 400 "));
    let no_host = server.connect().request_raw("GET /nohost?token=x HTTP/1.1\r\n\r\n");
    assert!(no_host.starts_with(b"HTTP/1.1 400 "));
    let both = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answers = server.connect().request_raw(both);

    let entries = entries(&server, "access.log", 10);
    let told: Vec<Value> =
        entries.iter().map(|entry| json!([entry["method"], entry["path"], entry["status"], entry["ended"]])).collect();
    let want = [
        json!(["GET", "/", 200, "complete"]),
        json!(["HEAD", "/", 200, "complete"]),
        json!(["GET", "/raise", 500, "complete"]),
        json!(["GET", "/stream", 200, "complete"]),
        json!(["GET", "/hijack", null, "hijacked"]),
        json!(["POST", "/", 200, "complete"]),
        json!([null, null, 400, "complete"]),
        json!(["GET", "/nohost", 400, "complete"]),
        json!(["GET", "/1", 200, "complete"]),
        json!(["GET", "/2", 200, "complete"]),
    ];
    assert_eq!(told, want);
    let first = &entries[0];
    assert_eq!(first["query"], "a=1&token=[redacted]");
    assert_eq!((&first["user_agent"], &first["referer"]), (&json!(agent), &json!("http://b/?password=[redacted]")));
    assert_eq!((&first["body_bytes"], &first["worker"], &first["generation"]), (&json!(5), &json!(0), &json!(1)));
    assert_eq!(first["pid"], server.workers()[0].pid);
    assert!(first["service_ms"].is_f64() && first["queue_ms"].is_f64() && first["id"].as_str().unwrap().len() == 22);
    assert_eq!((&entries[1]["body_bytes"], &entries[5]["body_bytes"]), (&json!(0), &json!(5)));
    assert!(entries[5]["received_bytes"].as_u64() > entries[1]["received_bytes"].as_u64());
    assert_eq!((&entries[6]["service_ms"], &entries[6]["request"]), (&Value::Null, &json!("\u{16}\u{3}\u{1} hello")));
    assert_eq!(entries[7]["query"], "token=[redacted]");
    let sent = entries[8]["sent_bytes"].as_u64().unwrap() + entries[9]["sent_bytes"].as_u64().unwrap();
    assert_eq!(sent, answers.len() as u64);
    server.stop();
}

#[test]
fn a_response_that_its_client_does_not_take_is_broken() {
    let app = r#"run lambda { |env| [200, {}, ["x" * 30_000_000]] }"#;
    let config = "access_log '../access.log'\nresponse_file_limit 0\nresponse_buffer_size 100_000_000";
    let mut server = Server::builder().app(App::rackup(app)).workers(1).config(config).start();
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.peek_at_least(1_000);
    drop(client);
    let entry = &entries(&server, "access.log", 1)[0];
    assert_eq!((&entry["status"], &entry["ended"]), (&json!(200), &json!("broken")), "{entry:#}");
    assert!(entry["sent_bytes"].as_u64() < Some(30_000_000), "{entry:#}");
    server.stop();
}

/// Starts nginx with a log beside it, and returns where it listens.
fn nginx(directory: &Path) -> (Front, testkit::Endpoint) {
    let place = directory.display();
    let text = format!(
        "daemon off; master_process off; pid {place}/pid; worker_processes 1; events {{}}\n\
         http {{ client_body_temp_path {place}; proxy_temp_path {place}; fastcgi_temp_path {place}; \
         uwsgi_temp_path {place}; scgi_temp_path {place}; access_log {place}/nginx.log combined; \
         server {{ listen unix:{place}/nginx.sock; location / {{ return 200 hello; }} }} }}\n"
    );
    std::fs::write(directory.join("nginx.conf"), text).expect("the test's directory can be written");
    let config = directory.join("nginx.conf").display().to_string();
    let arguments = ["-p", &place.to_string(), "-e", "stderr", "-c", &config, "-g", "error_log stderr notice;"];
    let front = Front::start("nginx", &arguments, directory);
    let endpoint = testkit::Endpoint::Unix(directory.join("nginx.sock"));
    front.log().eventually("nginx", || testkit::Connection::connect(&endpoint, testkit::patience()).ok());
    (front, endpoint)
}

/// A line of the combined format, its address and its time taken out.
#[track_caller]
fn timeless(line: &str) -> String {
    let (before, rest) = line.split_once(" [").expect(line);
    let (time, after) = rest.split_once("] ").expect(line);
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let month = &time[3..6];
    assert_eq!(shape.replace(month, "Mon").replace('-', "+"), "00/Mon/0000:00:00:00 +0000", "{line}");
    let (_, user) = before.split_once(" - ").expect(line);
    format!("{user} {after}")
}

#[test]
fn the_combined_format_is_that_of_nginx_byte_for_byte() {
    let mut server = server("access_log '../access.log', format: :combined");
    let (_nginx, endpoint) = nginx(server.directory());
    let requests = [
        Request::get("/"),
        Request::get("/a/b%20c;d?e=f&g=%22h%22"),
        Request::get("/").field("Referer", "https://example.com/?q=\"x\"").field("User-Agent", "a\\b \"c\" \u{e9}\t~"),
        Request::get("/").field("Referer", "").field("User-Agent", ""),
        Request::get("/").field("Authorization", "Basic YWxpY2U6czNjcmV0"),
        Request::new("HEAD", "/x"),
        Request::post("/", "12345"),
    ];
    for request in &requests {
        assert_eq!(server.request(request.clone()).status, 200);
        let theirs = testkit::Connection::open(&endpoint).request(&request.clone().close());
        assert_eq!(theirs.status, 200);
    }
    let ours = lines(&server, "access.log", requests.len());
    let theirs = lines(&server, "nginx.log", requests.len());
    assert!(ours[0].starts_with("127.0.0.1 - - ["), "{}", ours[0]);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(timeless(ours), timeless(theirs));
    }
    server.stop();
}

#[test]
fn templates_thresholds_and_hidden_queries_are_as_configured_and_a_reload_changes_them() {
    let mut server =
        server("access_log '../a.log', format: '{client} {method} {path} {query} {status}', redact: :query");
    server.get("/x?a=b");
    assert_eq!(lines(&server, "a.log", 1), ["127.0.0.1 GET /x [redacted] 200"]);
    server.append_config("access_log '../b.log', format: '{target} {ended}', slow_only: 0.1, redact: %w[a]");
    assert_eq!(server.ctl(["reload", "--wait"]).code(), 0);
    server.get("/?a=1");
    server.get("/slow?a=1&token=2");
    assert_eq!(lines(&server, "b.log", 1), ["/slow?a=[redacted]&token=2 complete"]);
    lines(&server, "a.log", 1);
    let config = std::fs::read_to_string(server.file("config.rb")).expect("it is there");
    server.append_config("access_log '../b.log', format: '{targt}'");
    let refused = server.ctl(["reload", "--wait"]);
    assert_eq!(refused.code(), 1);
    let text = "unknown field of an access_log: targt (did you mean target?)";
    assert!(refused.stderr.contains(text) && refused.stderr.contains("config.rb:"), "{}", refused.stderr);
    server.write("config.rb", &format!("{config}access_log '/nonexistent/access.log'\n"));
    let refused = server.ctl(["reload", "--wait"]);
    assert_eq!(refused.code(), 1);
    assert!(
        refused.stderr.contains("cannot open access_log=/nonexistent/access.log: No such file"),
        "{}",
        refused.stderr
    );
    server.get("/slow");
    lines(&server, "b.log", 2);
    server.stop();
}

#[test]
fn the_application_gets_ids_only_where_the_configuration_asks_for_them() {
    let ask = |server: &Server, id: &str| {
        let response = server.request(Request::get("/id").field("X-Request-Id", id));
        String::from_utf8(response.body).expect("text")
    };
    let is_made = |id: &str| id.len() == 22 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let mut plain = server("");
    assert_eq!((ask(&plain, "a b"), plain.get("/id").body), ("a b".to_owned(), Vec::new()));
    plain.stop();
    let mut asked = server("request_id true");
    assert_eq!(ask(&asked, "from-the.proxy_1"), "from-the.proxy_1");
    let made = [ask(&asked, "a b"), ask(&asked, &"x".repeat(65)), ask(&asked, "a\"b")];
    assert!(made.iter().all(|id| is_made(id)) && made[0] != made[1], "{made:?}");
    asked.stop();
    let mut distrusting = server("access_log '../access.log'\ntrusted_proxies '192.0.2.1'");
    let made = ask(&distrusting, "from-a-client");
    assert!(is_made(&made), "{made}");
    assert_eq!(entries(&distrusting, "access.log", 1)[0]["id"], made);
    distrusting.stop();
}

#[test]
fn the_client_is_the_one_behind_trusted_proxies() {
    let config = "access_log '../access.log', format: '{client}'\ntrusted_proxies '127.0.0.1'";
    let mut server = server(config);
    server.request(Request::get("/").field("X-Forwarded-For", "198.51.100.9, 203.0.113.7, 127.0.0.1"));
    server.get("/");
    assert_eq!(lines(&server, "access.log", 2), ["203.0.113.7", "127.0.0.1"]);
    server.stop();
}

#[test]
fn lines_that_wait_are_written_while_the_application_works() {
    let config = "access_log '../access.log', format: '{path}'";
    let mut server = Server::builder().app(App::plain()).workers(1).config(config).start();
    let mut gate = testkit::Gate::new(&server);
    let pipelined = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut client = server.connect();
    client.send(pipelined);
    client.receive();
    let held = gate.hold(&server);
    assert_eq!(lines(&server, "access.log", 1), ["/1"]);
    gate.release(held);
    server.stop();
}

#[test]
fn a_quick_stop_loses_no_line() {
    let app = r#"
        run lambda { |env|
          # The line of the request before is not written yet: the signal comes first.
          Process.kill(:INT, $$) if env["PATH_INFO"] == "/end"
          [200, {}, []]
        }
    "#;
    let mut server = Server::builder()
        .app(App::rackup(app))
        .workers(1)
        .config("access_log '../access.log', format: '{path}'")
        .start();
    let mark = server.mark();
    server.connect().request_raw("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /end HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(lines(&server, "access.log", 1), ["/1"]);
    server.wait_for(mark, "worker=0 ready");
    server.stop();
}

#[test]
fn a_full_disk_costs_lines_and_no_request_and_is_told_once() {
    let mut server = server("access_log '/dev/full'");
    let mark = server.mark();
    for _ in 0..20 {
        assert_eq!(server.get("/").status, 200);
    }
    server.wait_for(mark, "cannot write the access log");
    assert_eq!(server.log().since(mark, "cannot write the access log").len(), 1);
    server.stop();
}

#[test]
fn a_log_that_cannot_be_opened_anew_goes_on_in_the_old_file() {
    let config = "require 'fileutils'\nFileUtils.mkdir_p('../log')\naccess_log '../log/access.log', format: '{path}'";
    let mut server = server(config);
    server.get("/1");
    lines(&server, "log/access.log", 1);
    std::fs::rename(server.file("log"), server.file("old")).expect("it is there");
    let mark = server.mark();
    server.signal(Signal::USR1);
    server.wait_for(mark, "goes on with the old access log");
    server.wait_for(mark, "worker=0 done reopening logs");
    server.get("/2");
    assert_eq!(lines(&server, "old/access.log", 2), ["/1", "/2"]);
    std::fs::create_dir(server.file("log")).expect("it was moved away");
    let mark = server.mark();
    server.signal(Signal::USR1);
    server.wait_for(mark, "worker=0 done reopening logs");
    server.get("/3");
    assert_eq!(lines(&server, "log/access.log", 1), ["/3"]);
    server.stop();
}

#[test]
fn standard_output_takes_lines_and_a_reader_that_does_not_read_stops_no_worker() {
    let (reader, writer) = testkit::process::pipe();
    let path = format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&writer));
    // The hook runs in each worker before it opens its log.
    let config =
        format!("access_log :stdout, format: '{{path}}'\nafter_fork {{ |_, _| $stdout.reopen('{path}', 'a') }}");
    let mut server = server(&config);
    let long = format!("/{}", "x".repeat(2_000));
    for _ in 0..100 {
        assert_eq!(server.get(&long).status, 200);
    }
    drop(writer);
    server.stop();
    let text = std::io::read_to_string(reader).expect("text");
    let whole = text.lines().filter(|line| *line == long).count();
    assert!(whole > 1 && whole * (long.len() + 1) == text.len(), "{whole} of {} bytes", text.len());
}

#[test]
fn lines_are_whole_and_none_is_lost_while_workers_share_a_file_that_is_rotated() {
    let (workers, rotations, pause) = match testkit::rounds(16) {
        16 => (16, 40, Duration::from_millis(250)),
        _ => (4, 8, Duration::from_millis(100)),
    };
    let mut server =
        Server::builder().app(App::rackup(APP)).workers(workers).config("access_log '../access.log'").start();
    let keep = server.load().clients(4).think(Duration::ZERO).keep_alive(true).start();
    let close = server.load().clients(4).think(Duration::ZERO).start();
    for rotation in 0..rotations {
        keep.go_on_for(pause);
        std::fs::rename(server.file("access.log"), server.file(&format!("access.log.{rotation}")))
            .expect("it is there");
        let mark = server.mark();
        server.signal(Signal::USR1);
        for worker in 0..workers {
            server.wait_for(mark, &format!("worker={worker} done reopening logs"));
        }
    }
    let reports = [keep.stop(), close.stop()];
    reports.iter().for_each(testkit::load::Report::assert_no_failure);
    let answered: usize = reports.iter().map(testkit::load::Report::ok).sum();
    server.stop();
    let names = (0..rotations).map(|rotation| format!("access.log.{rotation}")).chain(["access.log".to_owned()]);
    let text: String = names.map(|name| std::fs::read_to_string(server.file(&name)).unwrap_or_default()).collect();
    let entries: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let writers: std::collections::BTreeSet<i64> =
        entries.iter().filter_map(|entry| entry["worker"].as_i64()).collect();
    assert_eq!(entries.len(), answered, "{} workers wrote", writers.len());
    assert!(entries.iter().all(|entry| entry["status"] == 200) && text.ends_with('\n') && writers.len() > 1);
}
