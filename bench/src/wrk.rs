//! One run of wrk.

use std::process::Command;

use anyhow::{Context, ensure};

use crate::apps::App;

/// What wrk reported.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) requests: u64,
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Socket errors and responses other than 2xx and 3xx.
    pub(crate) errors: u64,
}

/// Asks `url`, with what is appended to `command`, for `seconds` over this many connections.
pub(crate) fn run(
    mut command: Command,
    url: &str,
    connections: usize,
    seconds: usize,
    close: bool,
    app: App,
) -> anyhow::Result<Run> {
    command.args(["wrk", "-t1", "--latency"]);
    command.args([format!("-c{connections}"), format!("-d{seconds}s")]);
    if close {
        command.args(["-H", "Connection: close"]);
    }
    if let Some(script) = app.script() {
        command.arg("-s").arg(script);
    }
    let output = command.arg(url).output().context("starting wrk")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "wrk failed: {text}{}", String::from_utf8_lossy(&output.stderr));
    parse(&text).with_context(|| format!("wrk said:\n{text}"))
}

fn parse(text: &str) -> Option<Run> {
    let after = |label: &str| text.lines().find_map(|line| line.trim().strip_prefix(label)).map(str::trim);
    let requests = text.lines().find(|line| line.contains(" requests in "))?;
    let errors = after("Socket errors:")
        .map_or(0, |line| line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse::<u64>().ok()).sum());
    let bad = after("Non-2xx or 3xx responses:").and_then(|word| word.parse().ok()).unwrap_or(0);
    Some(Run {
        requests: requests.split_ascii_whitespace().next()?.parse().ok()?,
        per_second: after("Requests/sec:")?.parse().ok()?,
        p50_ms: milliseconds(after("50%")?)?,
        p99_ms: milliseconds(after("99%")?)?,
        errors: errors + bad,
    })
}

fn milliseconds(text: &str) -> Option<f64> {
    let (number, factor) = match text {
        text if text.ends_with("us") => (&text[..text.len() - 2], 0.001),
        text if text.ends_with("ms") => (&text[..text.len() - 2], 1.0),
        text => (text.strip_suffix('s')?, 1000.0),
    };
    number.parse::<f64>().ok().map(|value| value * factor)
}
