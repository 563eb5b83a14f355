//! Promise: the alert rules and the dashboard in `deploy/` are valid for Prometheus, alert when they should and only then,
//! ask for metrics that there are, and docs/operating.md says what to do about each alert.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use testkit::process::run;
use testkit::{Connection, Endpoint, Request, Server, program};

fn text(path: &str) -> String {
    std::fs::read_to_string(program::repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn rules() -> String {
    text("deploy/prometheus/alerts.yml")
}

fn dashboard() -> Value {
    serde_json::from_str(&text("deploy/grafana/licorne.json")).expect("JSON")
}

/// The names of all alerts.
fn alerts() -> Vec<String> {
    let names: Vec<String> =
        rules().lines().filter_map(|line| line.trim().strip_prefix("- alert: ").map(str::to_string)).collect();
    assert!(names.len() >= 13, "{names:?}");
    names
}

/// The queries of the dashboard, as Grafana sends them.
fn queries(part: &Value) -> Vec<String> {
    match part {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| match value.as_str() {
                Some(query) if name == "expr" => {
                    vec![query.replace("$__rate_interval", "5m").replace("$instance", ".*")]
                }
                _ => queries(value),
            })
            .collect(),
        Value::Array(parts) => parts.iter().flat_map(queries).collect(),
        _ => Vec::new(),
    }
}

#[track_caller]
fn promtool(arguments: &[&str], directory: &Path) {
    let finished = run(Command::new("promtool").args(arguments).current_dir(directory), testkit::patience());
    assert_eq!(finished.code(), 0, "{finished:#?}");
}

#[test]
fn alerts_fire_when_they_should() {
    let directory = tempfile::tempdir().expect("a directory");
    let tests = text("tests/operation/alerts_test.yml");
    std::fs::write(directory.path().join("alerts.yml"), rules()).expect("written");
    std::fs::write(directory.path().join("alerts_test.yml"), &tests).expect("written");
    promtool(&["check", "rules", "alerts.yml"], directory.path());
    promtool(&["test", "rules", "alerts_test.yml"], directory.path());
    for name in alerts() {
        // On one line, without an alert that is expected.
        assert!(tests.contains(&format!("alertname: {name} }}\n")), "no test says when {name} is quiet");
        let fires = format!("alertname: {name}\n        exp_alerts:\n");
        assert!(tests.contains(&fires), "no test says when {name} fires");
    }
}

#[test]
fn each_alert_says_what_to_do() {
    let (rules, guide) = (rules(), text("docs/operating.md"));
    for name in alerts() {
        let runbook = format!("runbook: docs/operating.md#{}\n", name.to_lowercase());
        assert!(rules.contains(&runbook), "{runbook}");
        let heading = format!("\n### {name}\n");
        let (_, advice) = guide.split_once(&heading).unwrap_or_else(|| panic!("{heading} is missing in the guide"));
        let advice = advice.split("\n#").next().unwrap_or_default().trim();
        assert!(advice.len() > 80, "{name}: {advice}");
    }
}

#[test]
fn rules_and_dashboard_ask_for_metrics_that_there_are() {
    let mut server =
        Server::builder().workers(1).config("admin_listen File.join(ENV.fetch('TEST_DIR'), 'admin.sock')").start();
    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.ctl(["reload", "--wait"]).code(), 0);
    let metrics = server.eventually("the admin process", || {
        let endpoint = Endpoint::Unix(server.file("admin.sock"));
        let mut connection = Connection::connect(&endpoint, testkit::patience()).ok()?;
        Some(connection.request(&Request::get("/metrics").close()).text())
    });
    let there: BTreeSet<&str> = metrics.lines().filter_map(|line| line.split(['{', ' ']).next()).collect();
    let asked = [rules(), queries(&dashboard()).join("\n")].concat();
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let names: BTreeSet<&str> =
        asked.split(|character| !is_part(character)).filter(|word| word.starts_with("licorne_")).collect();
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        assert!(there.contains(name), "{name} is not in\n{metrics}");
    }
    server.stop();
}

/// What can be read of the examples for autoscalers without a cluster.
#[test]
fn autoscalers_ask_for_metrics_that_there_are() {
    let directory = tempfile::tempdir().expect("a directory");
    let guide = text("docs/operating.md");
    let examples: Vec<&str> = guide.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    std::fs::write(directory.path().join("examples.yaml"), examples.join("---\n")).expect("written");
    let to_json = "require 'psych'; require 'json'; puts Psych.load_stream(File.read('examples.yaml')).to_json";
    let finished = run(Command::new("ruby").args(["-e", to_json]).current_dir(directory.path()), testkit::patience());
    let examples: Vec<Value> = serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("{finished:#?}"));
    let [keda, hpa] = examples.as_slice() else { panic!("{examples:#?}") };
    assert_eq!((&keda["kind"], &hpa["kind"]), (&json!("ScaledObject"), &json!("HorizontalPodAutoscaler")));
    let triggers = keda["spec"]["triggers"].as_array().expect("triggers");
    // By default a figure is divided by the number of pods, which is right for sums only.
    assert!(triggers.iter().all(|trigger| trigger["metricType"] == "Value"), "{triggers:#?}");
    let queries: Vec<&Value> = triggers.iter().map(|trigger| &trigger["metadata"]["query"]).collect();
    let rules: Vec<Value> = queries.iter().map(|query| json!({ "record": "checked", "expr": query })).collect();
    let group = json!({ "groups": [{ "name": "keda", "rules": rules }] });
    std::fs::write(directory.path().join("rules.yml"), group.to_string()).expect("written");
    promtool(&["check", "rules", "--lint=none", "rules.yml"], directory.path());
    let metrics = text("docs/metrics.md");
    let pods = &hpa["spec"]["metrics"][0]["pods"]["metric"]["name"];
    for name in ["licorne_request_queue_seconds", "licorne_saturation"] {
        assert!(metrics.contains(&format!("\n| `{name}` |")), "{name}");
        assert!(queries.iter().any(|query| query.as_str().is_some_and(|query| query.contains(name))), "{queries:?}");
    }
    assert_eq!(pods, "licorne_saturation");
}

#[test]
fn the_dashboard_is_valid() {
    let dashboard = dashboard();
    let queries = queries(&dashboard);
    let panels = dashboard["panels"].as_array().expect("panels");
    assert!(queries.len() > panels.len(), "{queries:?}");
    // A rule of each query: promtool checks what it says.
    let rules: Vec<Value> = queries.iter().map(|query| json!({ "record": "checked", "expr": query })).collect();
    let groups: Vec<Value> =
        rules.iter().enumerate().map(|(number, rule)| json!({ "name": number.to_string(), "rules": [rule] })).collect();
    let directory = tempfile::tempdir().expect("a directory");
    // JSON is YAML.
    std::fs::write(directory.path().join("rules.yml"), json!({ "groups": groups }).to_string()).expect("written");
    promtool(&["check", "rules", "rules.yml"], directory.path());
    let place = |panel: &Value, side: &str| panel["gridPos"][side].as_u64().expect("a number");
    for (number, panel) in panels.iter().enumerate() {
        assert!(panel["description"].as_str().is_some_and(|text| !text.is_empty()), "{panel}");
        assert!(place(panel, "x") + place(panel, "w") <= 24, "{panel}");
        for other in &panels[number + 1..] {
            assert_ne!(panel["id"], other["id"]);
            let apart = |side: &str, size: &str| {
                let ends = |one: &Value| place(one, side) + place(one, size);
                ends(panel) <= place(other, side) || ends(other) <= place(panel, side)
            };
            assert!(apart("x", "w") || apart("y", "h"), "{panel} lies on {other}");
        }
    }
}
