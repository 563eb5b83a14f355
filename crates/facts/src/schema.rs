//! The fields of the status, of a death and of a backtrace, printed from the types: docs/status.schema.json for programs, docs/status.md for
//! people; and a status as it is written, which every later version reads.

use std::fs;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

use schemars::schema_for;
use serde_json::{Value, json};

use crate::{Backtrace, Death, Status};

/// What stands below it in docs/status.md is printed.
const MARK: &str = "<!-- printed from crates/facts: LICORNE_BLESS=1 cargo test -p facts -->\n";

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

/// Compares a file of the repository with what it has to be, or writes it.
#[track_caller]
fn printed(name: &str, text: &str) {
    let path = file(name);
    if std::env::var_os("LICORNE_BLESS").is_some() {
        fs::write(path, text).unwrap();
        return;
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    assert!(found == text, "{name} is not what the code says: LICORNE_BLESS=1 cargo test -p facts");
}

fn schemas() -> [(&'static str, Value); 3] {
    [
        ("status", schema_for!(Status).to_value()),
        ("death", schema_for!(Death).to_value()),
        ("backtrace", schema_for!(Backtrace).to_value()),
    ]
}

#[test]
fn the_schema_is_printed_from_the_types() {
    let [(_, status), (_, death), (_, backtrace)] = schemas();
    let all = json!({ "status": status, "death": death, "backtrace": backtrace });
    printed("docs/status.schema.json", &format!("{all:#}\n"));
}

/// What `$ref` and the null of an option hide.
fn resolved<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let whole =
        schema["anyOf"].as_array().and_then(|all| all.iter().find(|one| one["type"] != "null")).unwrap_or(schema);
    match whole["$ref"].as_str().and_then(|name| name.strip_prefix('#')) {
        Some(pointer) => root.pointer(pointer).unwrap(),
        None => whole,
    }
}

/// Each field with its path, as `workers[].request.line`, its type, and what it means.
fn fields(schema: &Value, root: &Value, path: &str, into: &mut Vec<[String; 3]>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let inner = resolved(field, root);
        let meaning = field["description"].as_str().or(inner["description"].as_str()).unwrap_or_default();
        into.push([path.clone(), kind(field, root), meaning.replace('\n', " ")]);
        let element = resolved(&inner["items"], root);
        match inner["items"].is_object() {
            true => fields(element, root, &format!("{path}[]"), into),
            false => fields(inner, root, &path, into),
        }
        for word in inner["oneOf"].as_array().into_iter().flatten() {
            let meaning = word["description"].as_str().unwrap_or_default().to_string();
            into.push([format!("{path}: `{}`", word["const"].as_str().unwrap()), "word".to_string(), meaning]);
        }
    }
}

fn kind(field: &Value, root: &Value) -> String {
    let inner = resolved(field, root);
    let types = match &field["type"] {
        Value::Array(all) => all.clone(),
        Value::String(one) => vec![one.clone().into()],
        _ if field["anyOf"].is_array() => vec![inner["type"].clone(), "null".into()],
        _ => vec![inner["type"].clone()],
    };
    let word = |name: &Value| match (name.as_str(), inner["oneOf"].is_array()) {
        (_, true) | (None, _) => "word".to_string(),
        (Some("array"), _) => "list".to_string(),
        (Some("integer"), _) => "number".to_string(),
        (Some(name), _) => name.to_string(),
    };
    types
        .iter()
        .map(|name| if name == "null" { "null".to_string() } else { word(name) })
        .collect::<Vec<_>>()
        .join(" or ")
}

#[test]
fn the_table_of_fields_is_printed_from_the_types() {
    // What stands above the mark is written by hand.
    let found = fs::read_to_string(file("docs/status.md")).unwrap();
    let (head, _) = found.split_once(MARK).unwrap();
    let mut text = format!("{head}{MARK}");
    for (name, schema) in schemas() {
        text.push_str(&format!(
            "\n## The fields of {}\n\n| field | type | meaning |\n|---|---|---|\n",
            match name {
                "status" => "the status",
                "death" => "a death",
                _ => "a backtrace",
            }
        ));
        let mut rows = Vec::new();
        fields(&schema, &schema, "", &mut rows);
        assert!(rows.iter().all(|[_, _, meaning]| meaning.ends_with('.')), "each field is documented: {rows:#?}");
        for [path, kind, meaning] in rows {
            let shown = if path.contains('`') { path } else { format!("`{path}`") };
            text.push_str(&format!("| {shown} | {kind} | {meaning} |\n"));
        }
    }
    printed("docs/status.md", &text);
}

#[test]
fn the_golden_status_has_every_field_and_is_read_and_written_as_it_is() {
    let golden: Value = serde_json::from_str(include_str!("../tests/status.json")).unwrap();
    let status: Status = serde_json::from_value(golden["status"].clone()).unwrap();
    assert_eq!(serde_json::to_value(&status).unwrap(), golden["status"]);
    let death: Death = serde_json::from_value(golden["death"].clone()).unwrap();
    assert_eq!(serde_json::to_value(&death).unwrap(), golden["death"]);
    let backtrace: Backtrace = serde_json::from_value(golden["backtrace"].clone()).unwrap();
    assert_eq!(serde_json::to_value(&backtrace).unwrap(), golden["backtrace"]);
    for (name, schema) in schemas() {
        let mut rows = Vec::new();
        fields(&schema, &schema, "", &mut rows);
        for [path, kind, _] in rows {
            let pointer = format!("/{}", path.replace("[]", "/0").replace('.', "/"));
            if !path.contains('`') {
                let value = golden[name].pointer(&pointer).unwrap_or(&Value::Null);
                assert!(!value.is_null(), "{name}: {path} ({kind}) is not in the golden file");
            }
        }
    }
}

#[test]
fn missing_and_unknown_fields_and_words_are_no_error() {
    let status: Status = serde_json::from_str(
        r#"{"pid":7,"phase":"dreaming","future":{"a":1},"workers":[{"slot":1,"state":"asleep","request":null}],
            "deaths":{"total":1,"by_cause":{"boredom":1}}}"#,
    )
    .unwrap();
    assert_eq!((status.pid, status.phase, status.workers[0].state), (7, crate::Phase::Unknown, crate::State::Unknown));
    assert_eq!(status.deaths.of(crate::Cause::Unknown), 1);
    assert_eq!(serde_json::from_str::<Status>("{}").unwrap(), Status::default());
}

#[test]
fn each_word_is_written_as_it_is_told() {
    let word = |value: Value| value.as_str().unwrap().to_string();
    for cause in crate::Cause::ALL {
        assert_eq!(word(json!(cause)), cause.word());
    }
    for state in crate::ServiceState::ALL {
        assert_eq!(word(json!(state)), state.word());
    }
    for state in crate::State::ALL {
        assert_eq!(word(json!(state)), state.word());
    }
    use crate::{Doing, Kind, Phase};
    for phase in [Phase::New, Phase::Booting, Phase::Winched, Phase::Over, Phase::Delaying, Phase::Unknown] {
        assert_eq!(word(json!(phase)), phase.word());
    }
    for doing in [Doing::Booting, Doing::Idle, Doing::Request, Doing::Unknown] {
        assert_eq!(word(json!(doing)), doing.word());
    }
    for kind in [Kind::Worker, Kind::Mold, Kind::Admin, Kind::Service, Kind::Unknown] {
        assert_eq!(word(json!(kind)), kind.word());
    }
}
