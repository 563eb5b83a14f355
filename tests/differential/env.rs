//! The Rack env of each request, over TCP and over a UNIX socket.

use std::collections::BTreeMap;

use testkit::{App, Server};

use crate::compare::Comparison;
use crate::env_known::KNOWN;
use crate::pair::{Then, each, exchange};
use crate::requests::{FIELDS, LINES, WHOLE};

/// Answers with its env once the body is read: a sorted `key=value` line for each entry, and another one with the
/// encoding of each string.
const DUMP: &str = r##"
show = lambda do |value|
  case value
  when Array then "[#{value.map(&show).join(', ')}]"
  when String, Integer, Hash, true, false, nil then value.inspect
  else "a #{value.class}, #{%i[call read gets each rewind size close error puts info].select { |name| value.respond_to?(name) }.join(' ')}"
  end
end
run(lambda do |env|
  body = env["rack.input"].read
  lines = env.map { |key, value| "#{key}=#{show.call(value)}" } << "(body)=#{body.inspect}"
  strings = env.merge("(body)" => body).select { |_, value| value.is_a?(String) }
  lines += strings.map { |key, value| "#{key} (string)=#{value.encoding}#{' frozen' if value.frozen?}" }
  text = lines.sort.join("\n")
  # A response to HEAD has no content: its env is in a field.
  head = env["REQUEST_METHOD"] == "HEAD" ? { "X-Env" => lines.sort.join("\t") } : {}
  [200, { "Content-Type" => "text/plain", "Content-Length" => text.bytesize.to_s }.merge(head), [text]]
end)
"##;

/// Differs in each release.
const VERSION: &str = concat!("Licorne ", env!("CARGO_PKG_VERSION"));

/// All requests, with the names that the table of differences uses.
fn requests() -> Vec<(String, Vec<u8>)> {
    let lines = LINES.iter().map(|line| {
        let request = [line, &b"\r\nHost: app.example\r\nConnection: close\r\n\r\n"[..]].concat();
        (line.escape_ascii().to_string(), request)
    });
    let fields = FIELDS.iter().map(|fields| {
        let request = [b"GET /f HTTP/1.1\r\n", *fields, b"Connection: close\r\n\r\n"].concat();
        (fields.escape_ascii().to_string(), request)
    });
    let whole = WHOLE.iter().map(|(name, request)| ((*name).to_owned(), request.to_vec()));
    lines.chain(fields).chain(whole).collect()
}

/// What env came of a request: key by key; a refusal is the status alone.
fn env(reply: &[u8]) -> BTreeMap<String, String> {
    let text = reply.escape_ascii().to_string();
    let Some((head, body)) = text.split_once("\\r\\n\\r\\n") else {
        return BTreeMap::from([("(status)".to_owned(), text)]);
    };
    let status = head.split_once("\\r\\n").map_or(head, |(line, _)| line);
    let status = status.strip_prefix("HTTP/1.1 ").unwrap_or(status);
    let mut env = BTreeMap::from([("(status)".to_owned(), status.to_owned())]);
    match head.split_once("X-Env: ") {
        Some((_, field)) => env.extend(entries(field.split("\\r\\n").next().unwrap_or(""), "\\t")),
        None => env.extend(entries(body, "\\n")),
    }
    env
}

/// The entries of a dump whose lines end so.
fn entries<'a>(dump: &'a str, end: &'a str) -> impl Iterator<Item = (String, String)> + 'a {
    dump.split(end).filter(|line| !line.is_empty()).map(|line| match line.split_once('=') {
        Some((key, value)) => {
            (key.to_owned(), value.replace("\\\\", "\\").replace("\\\"", "\"").replace(VERSION, "Licorne X.Y.Z"))
        }
        None => ("(other)".to_owned(), line.to_owned()),
    })
}

fn ask(server: &Server) -> Vec<Vec<BTreeMap<String, String>>> {
    let endpoints = server.endpoints().iter();
    let replies =
        |endpoint| requests().iter().map(|(_, request)| env(&exchange(endpoint, request, Then::Wait).bytes)).collect();
    endpoints.map(replies).collect()
}

#[test]
fn an_application_sees_the_env_that_unicorn_makes() {
    let (unicorn, licorne) = each(|| Server::builder().app(App::rackup(DUMP)).unix_listeners(1), ask);
    let mut comparison = Comparison::new(KNOWN);
    for (unicorn, licorne) in unicorn.iter().zip(&licorne) {
        for ((case, _), (unicorn, licorne)) in requests().iter().zip(unicorn.iter().zip(licorne)) {
            compare(&mut comparison, case, unicorn, licorne);
        }
    }
    comparison.settle(2 * 100 * 20);
}

fn compare(
    comparison: &mut Comparison,
    case: &str,
    unicorn: &BTreeMap<String, String>,
    licorne: &BTreeMap<String, String>,
) {
    let status = |env: &BTreeMap<String, String>| env["(status)"].clone();
    comparison.compare(case, "(status)", &status(unicorn), &status(licorne));
    if !status(unicorn).starts_with("200") || !status(licorne).starts_with("200") {
        return;
    }
    let mut keys: Vec<&String> = unicorn.keys().chain(licorne.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        // What is not there has no encoding.
        if key.ends_with("(string)") && !(unicorn.contains_key(key) && licorne.contains_key(key)) {
            continue;
        }
        let value = |env: &BTreeMap<String, String>| env.get(key).map_or("(none)", |value| value).to_owned();
        comparison.compare(case, key, &value(unicorn), &value(licorne));
    }
}
