//! What the master tells for a status: the JSON, what this program knows of it, and the last death.

use facts::{Death, Status};
use master::control::{Answer, Request};
use serde::Deserialize;
use serde_json::Value;

use crate::asked::deaths;
use crate::client::Master;
use crate::error::Error;

/// The status as the master tells it.
///
/// # Errors
/// The master is gone, or refuses.
pub(super) fn ask(master: &Master) -> Result<Value, Error> {
    let status = master.ask(Request::Status, |answer| match answer {
        Answer::Status(status) => Some(Ok(status)),
        Answer::Failed { reason, .. } => Some(Err(Error::Refused(reason))),
        _ => None,
    })?;
    status.unwrap_or(Err(Error::NoAnswer))
}

/// What this program knows of it: a master of another version may leave fields out, or have more.
pub(super) fn read(status: &Value) -> Status {
    Status::deserialize(status).unwrap_or_default()
}

/// The last death, if there was one and the master tells which.
pub(super) fn last_death(master: &Master, status: &Value) -> Option<Death> {
    let total = status["deaths"]["total"].as_u64().unwrap_or(0);
    (total > 0).then(|| deaths(master).ok()).flatten()?.into_iter().next()
}
