//! What becomes of hostile requests on each server: the corpus of `http1`, a table for the report.
//!
//! It starts Licorne, Debian's Unicorn and Debian's Puma, each on a UNIX socket.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use testkit::http::Broken;
use testkit::{Connection, Endpoint, program};

#[path = "../../../crates/http1/tests/support/corpus.rs"]
#[allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]
mod corpus;

use corpus::{Case, Expect};

/// Reads the whole body, and answers.
const APP: &str = "run ->(env) { env['rack.input'].read; [200, { 'Content-Length' => '2' }, ['ok']] }\n";
/// How long a server may keep its thoughts to itself before it counts as waiting for more.
const SILENCE: Duration = Duration::from_millis(300);

fn main() -> anyhow::Result<()> {
    let cases = corpus::load_from(&program::repository().join("crates/http1/corpus"));
    let directory = tempfile::tempdir()?;
    std::fs::write(directory.path().join("config.ru"), APP)?;
    let mut table = Vec::new();
    for name in ["licorne", "unicorn", "puma"] {
        let socket = directory.path().join(format!("{name}.sock"));
        let mut child = start(name, directory.path(), &socket)?;
        let outcomes = wait_for(&socket).map(|()| outcomes(&cases, &Endpoint::Unix(socket)));
        child.kill()?;
        child.wait()?;
        table.push((name, outcomes?));
    }
    print(&cases, &table);
    Ok(())
}

fn start(name: &str, directory: &Path, socket: &Path) -> anyhow::Result<Child> {
    let mut command = match name {
        "licorne" => Command::new(program::path()),
        name => Command::new(name),
    };
    let socket = socket.display();
    match name {
        "puma" => command.args(["-b", &format!("unix://{socket}"), "-t", "1:1", "-e", "production", "config.ru"]),
        _ => command.args(["-l", &socket.to_string(), "-E", "none", "config.ru"]),
    };
    Ok(command.current_dir(directory).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
}

/// Waits until the server answers.
fn wait_for(socket: &Path) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    let (_keep, never) = std::sync::mpsc::channel::<()>();
    while Instant::now() < deadline {
        let endpoint = Endpoint::Unix(socket.to_path_buf());
        let answers = |mut connection: Connection| {
            connection.try_send(b"GET / HTTP/1.0\r\n\r\n", deadline).is_ok()
                && connection.try_receive("GET", deadline).is_ok()
        };
        if Connection::connect(&endpoint, SILENCE).is_ok_and(answers) {
            return Ok(());
        }
        let _ = never.recv_timeout(Duration::from_millis(50));
    }
    anyhow::bail!("{} does not answer", socket.display())
}

/// What became of each case, in a word for each request.
fn outcomes(cases: &[Case], endpoint: &Endpoint) -> Vec<Vec<String>> {
    cases.iter().map(|case| outcome(case, endpoint)).collect()
}

fn outcome(case: &Case, endpoint: &Endpoint) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let Ok(mut connection) = Connection::connect(endpoint, Duration::from_secs(10)) else {
        return vec!["refused".into()];
    };
    if connection.try_send(&case.send, deadline).is_err() {
        return vec!["does not read".into()];
    }
    let mut words = Vec::new();
    // One more than there may be: a smuggled request has an answer too.
    for number in 0..=case.expect.len() {
        let method = match case.expect.get(number) {
            Some(Expect::Request(method, ..)) => String::from_utf8_lossy(method).into_owned(),
            _ => "GET".to_owned(),
        };
        match connection.try_receive(&method, Instant::now() + SILENCE) {
            Ok(response) => words.push(response.status.to_string()),
            Err(Broken::Timeout) => return ended(words, "waits", number < case.expect.len()),
            Err(Broken::Reset) => return ended(words, "closes", number < case.expect.len()),
            Err(_) => return ended(words, "no HTTP", true),
        }
    }
    words
}

fn ended(mut words: Vec<String>, how: &str, say: bool) -> Vec<String> {
    if say {
        words.push(how.to_owned());
    }
    words
}

/// Whether a server did what it must. A server that always closes answers the first request of a pipeline only.
fn judge(case: &Case, got: &[String]) -> Verdict {
    for (number, expect) in case.expect.iter().enumerate() {
        let word = got.get(number).map_or("closes", String::as_str);
        match expect {
            Expect::Request(..) if word == "200" || (number > 0 && word == "closes") => {}
            Expect::Request(..) => return Verdict::Refused,
            // Which status it is matters little.
            Expect::Reject(_) if word == "200" => return Verdict::Accepted,
            Expect::Reject(_) if word == "waits" || word == "no HTTP" => return Verdict::Other,
            Expect::Incomplete if word == "200" => return Verdict::Accepted,
            _ => {}
        }
    }
    if got.len() > case.expect.len() { Verdict::Accepted } else { Verdict::Right }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Right,
    /// What had to be refused was served, or what belonged to a body was taken for a request.
    Accepted,
    /// What had to be served was not.
    Refused,
    /// It waits where it should answer, or answers with what is no HTTP.
    Other,
}

fn print(cases: &[Case], table: &[(&str, Vec<Vec<String>>)]) {
    println!("# Hostile requests\n");
    println!(
        "{} cases of `crates/http1/corpus`; for each server how many end as they must / are accepted though hostile / are \
         refused though valid / otherwise.\n",
        cases.len()
    );
    println!("| file | cases |{}", table.iter().map(|(name, _)| format!(" {name} |")).collect::<String>());
    println!("|---|---|{}", "---|".repeat(table.len()));
    let mut files: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, case) in cases.iter().enumerate() {
        files.entry(case.name.split(':').next().unwrap_or("")).or_default().push(index);
    }
    let all: Vec<usize> = (0..cases.len()).collect();
    for (file, members) in files.iter().map(|(file, members)| (*file, members)).chain([("all", &all)]) {
        print!("| {file} | {} |", members.len());
        for (_, outcomes) in table {
            let count = |verdict| members.iter().filter(|at| judge(&cases[**at], &outcomes[**at]) == verdict).count();
            let [right, accepted, refused, other] =
                [Verdict::Right, Verdict::Accepted, Verdict::Refused, Verdict::Other].map(count);
            print!(" {right} / {accepted} / {refused} / {other} |");
        }
        println!();
    }
    println!("\n## Hostile, and accepted\n");
    println!("| case | expected |{}", table.iter().map(|(name, _)| format!(" {name} |")).collect::<String>());
    println!("|---|---|{}", "---|".repeat(table.len()));
    for (at, case) in cases.iter().enumerate() {
        if table.iter().all(|(_, outcomes)| judge(case, &outcomes[at]) != Verdict::Accepted) {
            continue;
        }
        let expected: Vec<String> = case.expect.iter().map(expected).collect();
        let got = table.iter().map(|(_, outcomes)| format!(" {} |", outcomes[at].join(", "))).collect::<String>();
        println!("| {} | {} |{got}", case.name.replace('|', "\\|"), expected.join(", "));
    }
}

fn expected(expect: &Expect) -> String {
    match expect {
        Expect::Reject(status) => status.to_string(),
        Expect::Incomplete => "waits".to_owned(),
        Expect::Request(..) => "200".to_owned(),
    }
}
