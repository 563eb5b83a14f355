//! Golden files: what each version of the state looks like, written and read.
//!
//! A file is never changed once its version was released. After a change that keeps old files readable,
//! `LICORNE_BLESS=1 cargo test -p master --test state` writes the file of the present version anew.

use std::path::PathBuf;

use serde_json::Value;
use supervisor::{Config, Snapshot, Supervisor};
use wire::state::{READABLE, State, StateError, VERSION};

type Handed = State<Snapshot>;

fn golden(version: u32) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("golden/state-{version}.json"))
}

fn read(version: u32) -> Vec<u8> {
    std::fs::read(golden(version)).expect("each version has a golden file")
}

#[test]
fn the_golden_file_of_each_readable_version_is_read() {
    for version in READABLE {
        let state = Handed::decode(&read(version)).expect("it can be read");
        assert_eq!((state.pid, state.workers.len(), state.listeners.len()), (4321, 2, 3), "version {version}");
        let supervisor = Supervisor::restore(Config::default(), state.decisions).expect("it can be restored");
        assert_eq!((supervisor.workers().count(), supervisor.worker_processes()), (6, 3), "version {version}");
    }
}

#[test]
fn the_state_is_written_as_in_the_golden_file() {
    let state = Handed::decode(&read(VERSION)).expect("it can be read");
    let written = state.encode().expect("it can be written");
    if std::env::var_os("LICORNE_BLESS").is_some() {
        std::fs::write(golden(VERSION), &written).expect("it can be written");
    }
    assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(&read(VERSION)));
}

#[test]
fn fields_of_a_later_version_are_ignored() {
    let mut value: Value = serde_json::from_slice(&read(VERSION)).expect("JSON");
    add_everywhere(&mut value);
    let bytes = serde_json::to_vec(&value).expect("JSON");
    assert_eq!(Handed::decode(&bytes), Handed::decode(&read(VERSION)));
}

#[test]
fn another_version_is_refused() {
    let mut value: Value = serde_json::from_slice(&read(VERSION)).expect("JSON");
    for version in [0, VERSION + 1] {
        value["version"] = version.into();
        let bytes = serde_json::to_vec(&value).expect("JSON");
        assert_eq!(Handed::decode(&bytes), Err(StateError::Version(version)));
    }
}

/// Puts an unknown field into each object whose fields have names of ours: those of maps are numbers, those of
/// variants stand alone.
fn add_everywhere(value: &mut Value) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(add_everywhere),
        Value::Object(fields) => {
            fields.values_mut().for_each(add_everywhere);
            if fields.len() > 2 && fields.keys().all(|name| name.parse::<u32>().is_err()) {
                fields.insert("from_the_future".to_string(), Value::Bool(true));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
