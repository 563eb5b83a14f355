//! `licorne status`: what the master and its workers do.

use master::control::{Answer, Request};
use serde_json::Value;
use sys::text::{printable, printable_json};

use crate::client::Which;
use crate::error::Error;

/// The options of `licorne status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// print JSON
    #[arg(long, short)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

impl Status {
    /// Runs it.
    ///
    /// # Errors
    /// No master.
    pub(crate) fn run(&self) -> Result<u8, Error> {
        let master = match self.which.find("status")? {
            Ok(master) => master,
            Err(status) => return Ok(status),
        };
        let status = master.ask(Request::Status, |answer| match answer {
            Answer::Status(status) => Some(Ok(status)),
            Answer::Failed { reason, .. } => Some(Err(Error::Refused(reason))),
            _ => None,
        })?;
        let status = status.unwrap_or(Err(Error::NoAnswer))?;
        match self.json {
            true => sys::stdio::print(&printable_json(&format!("{status:#}\n")))?,
            false => sys::stdio::print(&table(&status))?,
        }
        Ok(0)
    }
}

fn table(status: &Value) -> String {
    let mut text = format!(
        "licorne {} pid={} {} generation={} uptime={}s\nlistening on {}\n",
        text_of(&status["version"]),
        status["pid"],
        phase(&status["phase"]),
        status["generation"],
        status["uptime_s"],
        status["listeners"]
            .as_array()
            .map_or_else(String::new, |all| { all.iter().map(text_of).collect::<Vec<_>>().join(", ") }),
    );
    text.push_str(&release(&status["release"]));
    text.push_str(&last_reload(&status["last_reload"]));
    if let (Some(done), Some(total)) = (status["roll"]["done"].as_u64(), status["roll"]["total"].as_u64()) {
        text.push_str(&format!("replacing workers: {done} of {total}\n"));
    }
    for trouble in status["troubles"].as_array().into_iter().flatten() {
        let seconds = trouble["next_try_ms"].as_f64().unwrap_or(0.0) / 1000.0;
        text.push_str(&format!(
            "worker={} failed {} times in a row, next try in {seconds:.1} s\n",
            trouble["slot"], trouble["failures"]
        ));
    }
    for backlog in status["backlogs"].as_array().into_iter().flatten() {
        if let Some(waiting) = backlog["waiting"].as_u64().filter(|waiting| *waiting > 0) {
            let (limit, listener) = (&backlog["limit"], text_of(&backlog["listener"]));
            text.push_str(&format!("{waiting} connections of at most {limit} wait at {listener}\n"));
        }
    }
    text.push_str(&totals(&status["totals"]));
    text.push_str("worker  gen      pid  state      requests  errors  connections  request\n");
    for worker in status["workers"].as_array().into_iter().flatten() {
        let request = match worker["request"]["line"].as_str() {
            Some(line) => format!("{} ({} ms)", printable(line), worker["request"]["age_ms"]),
            None => String::new(),
        };
        text.push_str(&format!(
            "{:>6}  {:>3}  {:>7}  {:<9}  {:>8}  {:>6}  {:>11}  {request}\n",
            text_of(&worker["slot"]),
            text_of(&worker["generation"]),
            text_of(&worker["pid"]),
            text_of(&worker["state"]),
            text_of(&worker["requests"]),
            text_of(&worker["server_errors"]),
            text_of(&worker["connections"]),
        ));
    }
    text
}

/// What all workers have done, those that are no more included.
fn totals(totals: &Value) -> String {
    let Some(requests) = totals["requests"].as_u64() else { return String::new() };
    let classes = ["2xx", "3xx", "4xx", "5xx"].map(|class| format!("{class} {}", totals["responses"][class]));
    let times = |name: &str| {
        let times = &totals[name];
        let shares = [("p50", "p50_ms"), ("p95", "p95_ms"), ("p99", "p99_ms")];
        let told = shares
            .map(|(share, field)| times[field].as_f64().map_or_else(String::new, |ms| format!(" {share} {ms} ms")));
        format!("{name}{}", told.concat())
    };
    let mut text = format!("{requests} requests: {}\n", classes.join(", "));
    if requests > 0 {
        text.push_str(&format!("{}, {}\n", times("service"), times("queue")));
    }
    text
}

/// The phase in words, where its name says too little.
fn phase(name: &Value) -> String {
    match name.as_str() {
        Some("winched") => "no workers (SIGWINCH)".to_string(),
        _ => text_of(name),
    }
}

fn release(release: &Value) -> String {
    let Some(directory) = release["directory"].as_str() else { return String::new() };
    let revision = release["revision"].as_str().map_or_else(String::new, |it| format!(" revision={}", printable(it)));
    let warning = release["warning"].as_str().map_or_else(String::new, |it| format!("warning: {}\n", printable(it)));
    format!("release {}{revision}\n{warning}", printable(directory))
}

fn last_reload(last: &Value) -> String {
    let Some(generation) = last["generation"].as_u64() else { return String::new() };
    let how = match last["failure"].as_str() {
        Some(why) => format!("generation {generation} failed: {}", printable(why)),
        None => format!("generation {generation} took over"),
    };
    format!("last reload {} s ago: {how}\n", last["age_s"])
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| printable(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_a_request_line_are_escaped() {
        let request = serde_json::json!({ "line": "GET /\u{9b}2J\u{1b}[31m\n     0  HTTP/1.1", "age_ms": 7 });
        let status = serde_json::json!({ "workers": [{ "slot": 0, "request": request }] });
        let text = table(&status);
        assert!(text.ends_with("GET /\\u{9b}2J\\x1b[31m\\n     0  HTTP/1.1 (7 ms)\n"), "{text}");
    }

    #[test]
    fn the_head_tells_release_last_reload_and_phase() {
        let status = serde_json::json!({
            "version": "0.1.0", "pid": 7, "phase": "winched", "generation": 2, "uptime_s": 61, "listeners": [],
            "release": { "directory": "/srv/app/releases/1", "revision": "abc", "warning": "current leads elsewhere" },
            "last_reload": { "generation": 3, "age_s": 9, "failure": "no such table" }, "workers": [],
        });
        assert!(table(&status).starts_with(
            "licorne 0.1.0 pid=7 no workers (SIGWINCH) generation=2 uptime=61s\nlistening on \n\
             release /srv/app/releases/1 revision=abc\nwarning: current leads elsewhere\n\
             last reload 9 s ago: generation 3 failed: no such table\n"
        ));
    }

    #[test]
    fn the_table_shows_each_worker_and_its_request() {
        let status = serde_json::json!({
            "version": "0.1.0", "pid": 7, "phase": "serving", "generation": 2, "uptime_s": 61,
            "listeners": ["0.0.0.0:8080"], "roll": null,
            "troubles": [{ "slot": 1, "failures": 3, "next_try_ms": 1250 }],
            "backlogs": [{ "listener": "0.0.0.0:8080", "waiting": 3, "limit": 1024 }, { "waiting": 0 }],
            "totals": {
                "requests": 12, "responses": { "1xx": 0, "2xx": 11, "3xx": 0, "4xx": 0, "5xx": 1 },
                "service": { "p50_ms": 1.5, "p95_ms": 20.25, "p99_ms": 31.0 }, "queue": { "p50_ms": 0.008 },
            },
            "workers": [
                { "slot": 0, "generation": 2, "pid": 9, "state": "busy", "requests": 5, "server_errors": 1,
                  "connections": 3, "request": { "line": "GET /slow", "age_ms": 1200 } },
            ],
        });
        assert_eq!(
            table(&status),
            "licorne 0.1.0 pid=7 serving generation=2 uptime=61s\nlistening on 0.0.0.0:8080\n\
             worker=1 failed 3 times in a row, next try in 1.2 s\n\
             3 connections of at most 1024 wait at 0.0.0.0:8080\n\
             12 requests: 2xx 11, 3xx 0, 4xx 0, 5xx 1\n\
             service p50 1.5 ms p95 20.25 ms p99 31 ms, queue p50 0.008 ms\n\
             worker  gen      pid  state      requests  errors  connections  request\n     \
             0    2        9  busy              5       1            3  GET /slow (1200 ms)\n"
        );
    }
}
