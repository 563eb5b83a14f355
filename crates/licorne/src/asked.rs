//! What a master is asked for by name, read as facts, or why it told none.
//!
//! Requests are written as JSON: a master of an older version, which does not know one, says so.

use std::time::Duration;

use facts::{Backtrace, Death, Status};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::Master;
use crate::error::Error;

/// How long a master has for an answer, or a part of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// The state of the server.
///
/// # Errors
/// The master is gone, or does not answer.
pub(crate) fn status(master: &Master) -> Result<Box<Status>, String> {
    let answer = last(master, &json!({ "command": "status" }))?;
    Status::deserialize(&answer).map(Box::new).map_err(|error| format!("its answer is not understood: {error}"))
}

/// The last deaths, the newest first.
///
/// # Errors
/// Those of [`status`]; the master is of an older version.
pub(crate) fn deaths(master: &Master) -> Result<Vec<Death>, String> {
    list(&last(master, &json!({ "command": "deaths" }))?, "deaths")
}

/// Where the threads of the workers in a slot are.
///
/// # Errors
/// Those of [`deaths`].
pub(crate) fn backtraces(master: &Master, slot: u32) -> Result<Vec<Backtrace>, String> {
    list(&last(master, &json!({ "command": "backtrace", "slot": slot }))?, "workers")
}

/// The last answer to this request, which begins with it.
fn last(master: &Master, request: &Value) -> Result<Value, String> {
    let told = master.ask_for(&request.to_string(), Some(PATIENCE), |line| {
        let answer: Value = serde_json::from_str(line).unwrap_or_default();
        let goes_on = ["accepted", "progress"].iter().any(|word| answer["answer"] == *word);
        (!goes_on).then_some(answer)
    });
    let told = told.map_err(|error| error.chain())?.ok_or_else(|| Error::NoAnswer.chain())?;
    match (told["answer"].as_str(), told["reason"].as_str()) {
        (Some("failed"), Some(reason)) if reason.starts_with("not understood") => {
            Err(format!("this master is of an older version, which cannot tell that ({reason})"))
        }
        (Some("failed"), reason) => Err(reason.unwrap_or("it failed").to_string()),
        _ => Ok(told),
    }
}

/// The list in an answer, under this name.
fn list<T: for<'a> Deserialize<'a>>(answer: &Value, name: &str) -> Result<Vec<T>, String> {
    Vec::deserialize(&answer[name]).map_err(|error| format!("the answer is not understood: {error}"))
}
