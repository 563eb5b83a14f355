//! Instructions of the HTTP engine alone, beside httparse: what callgrind counts, which no other load disturbs.

use std::process::Command;

use anyhow::{Context, ensure};
use testkit::program;

/// What was counted for one request.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Which request: `browser` has 12 fields, `small` one.
    pub(crate) request: String,
    /// `httparse` alone, `ours`, `env` (ours, and keys and values prepared), `head` (writing a response head).
    pub(crate) what: String,
    pub(crate) instructions: u64,
    /// Times what `httparse` needs for the same request.
    pub(crate) times: f64,
}

/// Counts, with the script beside the crate.
pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    let script = program::repository().join("crates/http1/count-instructions");
    let output = Command::new(&script).output().with_context(|| format!("starting {}", script.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{} failed: {}", script.display(), String::from_utf8_lossy(&output.stderr));
    eprint!("{text}");
    text.lines().map(|line| parse(line).with_context(|| format!("not understood: {line}"))).collect()
}

fn parse(line: &str) -> Option<Row> {
    let mut words = line.split_ascii_whitespace();
    let mut next = || words.next();
    Some(Row {
        request: next()?.to_owned(),
        what: next()?.to_owned(),
        instructions: next()?.parse().ok()?,
        times: next()?.parse().ok()?,
    })
}
