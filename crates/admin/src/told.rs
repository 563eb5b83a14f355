//! What the master has told of itself: the status as it came, and what this program understands of it. No I/O.
//!
//! An admin process may stand beside a master of another version, whose fields are others: then it passes on what came, and
//! has no figures of its own rather than wrong ones.

use facts::{SCHEMA, Status};
use serde_json::Value;

/// A status.
#[derive(Debug)]
pub(crate) struct Told {
    /// As it came.
    pub(crate) json: Value,
    /// The same, or why it is not understood.
    pub(crate) facts: Result<Status, String>,
    /// The share of time in which no worker was idle, over the last minute, if that is known.
    pub(crate) saturation: Option<f64>,
}

impl From<Value> for Told {
    fn from(json: Value) -> Self {
        let facts = understood(&json);
        Self { json, facts, saturation: None }
    }
}

fn understood(json: &Value) -> Result<Status, String> {
    // Without a schema it is one from before there was one.
    let schema = json["schema"].as_u64().unwrap_or(0);
    if schema != u64::from(SCHEMA) {
        return Err(format!("its schema is {schema}, and {SCHEMA} is known here"));
    }
    serde_path_to_error::deserialize(json).map_err(|error| sys::text::printable(&error.to_string()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_status_is_understood_whole_or_not_at_all() {
        #[track_caller]
        fn check(json: Value, want: Result<u32, &str>) {
            let told = Told::from(json);
            assert_eq!(told.facts.as_ref().map(|facts| facts.pid).map_err(String::as_str), want, "{:?}", told.json);
        }
        check(json!({ "schema": 1, "pid": 7, "new": [1] }), Ok(7));
        check(json!({ "pid": 7 }), Err("its schema is 0, and 1 is known here"));
        check(json!({ "schema": 2, "pid": 7 }), Err("its schema is 2, and 1 is known here"));
        check(
            json!({ "schema": 1, "pid": 7, "totals": { "requests": "many" } }),
            Err("totals.requests: invalid type: string \"many\", expected u64"),
        );
        check(
            json!({ "schema": 1, "workers": [{ "slot": 0 }, { "slot": -1 }] }),
            Err("workers[1].slot: invalid value: integer `-1`, expected u32"),
        );
    }
}
