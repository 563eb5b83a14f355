//! The master's status as Prometheus text. See the exposition format, version 0.0.4.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

/// Every metric, with its help and type.
pub(crate) fn text(status: &Value) -> String {
    let mut text = String::new();
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let mut one = |name: &str, kind: &str, help: &str, value: u64| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    };
    one("licorne_ready", "gauge", "Whether new requests are welcome.", u64::from(status["ready"] == true));
    one("licorne_generation", "gauge", "The generation that serves.", number(&status["generation"]));
    one("licorne_uptime_seconds", "gauge", "How long the master runs.", number(&status["uptime_s"]));
    one("licorne_worker_processes", "gauge", "How many workers are wanted.", number(&status["worker_processes"]));
    let none = Vec::new();
    let workers = status["workers"].as_array().unwrap_or(&none);
    let mut states: BTreeMap<&str, u64> =
        ["booting", "idle", "busy", "retiring", "leaving"].into_iter().map(|state| (state, 0)).collect();
    for worker in workers {
        *states.entry(worker["state"].as_str().unwrap_or("unknown")).or_default() += 1;
    }
    let _ = writeln!(text, "# HELP licorne_workers Workers by state.\n# TYPE licorne_workers gauge");
    for (state, count) in states {
        let _ = writeln!(text, "licorne_workers{{state=\"{state}\"}} {count}");
    }
    for (name, field, kind, help) in [
        ("licorne_worker_requests_total", "requests", "counter", "Requests that this worker has answered."),
        ("licorne_worker_errors_total", "server_errors", "counter", "Responses of this worker with a status of 5xx."),
        (
            "licorne_worker_busy_milliseconds_total",
            "busy_ms",
            "counter",
            "Deprecated: see licorne_request_service_seconds_sum.",
        ),
        ("licorne_worker_connections", "connections", "gauge", "Connections that this worker holds."),
    ] {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for worker in workers {
            let (slot, generation, pid) = (&worker["slot"], &worker["generation"], &worker["pid"]);
            let _ = writeln!(
                text,
                "{name}{{slot=\"{slot}\",generation=\"{generation}\",pid=\"{pid}\"}} {}",
                number(&worker[field])
            );
        }
    }
    backlogs(&mut text, &status["backlogs"]);
    work(&mut text, &status["totals"]);
    text
}

/// What waits in each listener.
fn backlogs(text: &mut String, backlogs: &Value) {
    for (name, help, field) in [
        ("licorne_backlog_connections", "Connections that wait to be accepted, by listener.", "waiting"),
        ("licorne_backlog_limit_connections", "How many connections may wait, by listener.", "limit"),
    ] {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for backlog in backlogs.as_array().into_iter().flatten() {
            if let (Some(listener), Some(count)) = (backlog["listener"].as_str(), backlog[field].as_u64()) {
                let _ = writeln!(text, "{name}{{listener=\"{}\"}} {count}", label(listener));
            }
        }
    }
}

/// A value of a label, with what has a meaning there escaped.
fn label(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// What all workers have done, in base units.
fn work(text: &mut String, totals: &Value) {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let name = "licorne_responses_total";
    let _ = writeln!(text, "# HELP {name} Responses by the first digit of their status.\n# TYPE {name} counter");
    for class in ["1xx", "2xx", "3xx", "4xx", "5xx"] {
        let _ = writeln!(text, "{name}{{class=\"{class}\"}} {}", number(&totals["responses"][class]));
    }
    for (name, help, field) in [
        ("licorne_requests_total", "Requests that were answered.", "requests"),
        ("licorne_request_bytes_total", "Bytes of requests, heads included.", "received_bytes"),
        ("licorne_response_bytes_total", "Bytes of responses, heads included.", "sent_bytes"),
    ] {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {}", number(&totals[field]));
    }
    for (name, help, times) in [
        ("licorne_request_service_seconds", "How long requests were in the application.", &totals["service"]),
        ("licorne_request_queue_seconds", "How long requests waited for a worker.", &totals["queue"]),
    ] {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} histogram");
        for below in times["below"].as_array().into_iter().flatten() {
            let seconds = number(&below[0]) as f64 / 1e9;
            let _ = writeln!(text, "{name}_bucket{{le=\"{seconds}\"}} {}", number(&below[1]));
        }
        let (count, sum) = (number(&times["count"]), times["sum_ms"].as_f64().unwrap_or(0.0) / 1e3);
        let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_follows_its_type() {
        let status = serde_json::json!({
            "ready": true, "generation": 3, "uptime_s": 61, "worker_processes": 2,
            "workers": [
                { "slot": 0, "generation": 3, "pid": 9, "state": "busy", "requests": 5, "server_errors": 1,
                  "busy_ms": 40, "connections": 3 },
                { "slot": 1, "generation": 3, "pid": 10, "state": "idle", "requests": 7 },
            ],
            "backlogs": [
                { "listener": "0.0.0.0:80", "waiting": 3, "limit": 1024 },
                { "listener": "/a \"b\"\\\n", "waiting": 0, "limit": null },
            ],
            "totals": {
                "requests": 12, "responses": { "2xx": 11, "5xx": 1 }, "received_bytes": 1_200, "sent_bytes": 34_000,
                "service": { "count": 12, "sum_ms": 40.5, "below": [[16_384, 0], [32_768, 9]] },
            },
        });
        let text = text(&status);
        for line in [
            "licorne_ready 1",
            "licorne_workers{state=\"busy\"} 1",
            "licorne_workers{state=\"booting\"} 0",
            "licorne_worker_requests_total{slot=\"1\",generation=\"3\",pid=\"10\"} 7",
            "licorne_worker_connections{slot=\"0\",generation=\"3\",pid=\"9\"} 3",
            "licorne_responses_total{class=\"2xx\"} 11",
            "licorne_responses_total{class=\"4xx\"} 0",
            "licorne_backlog_connections{listener=\"0.0.0.0:80\"} 3",
            "licorne_backlog_limit_connections{listener=\"0.0.0.0:80\"} 1024",
            r#"licorne_backlog_connections{listener="/a \"b\"\\\n"} 0"#,
            "licorne_requests_total 12",
            "licorne_response_bytes_total 34000",
            "licorne_request_service_seconds_bucket{le=\"0.000032768\"} 9",
            "licorne_request_service_seconds_bucket{le=\"+Inf\"} 12",
            "licorne_request_service_seconds_sum 0.0405",
            "licorne_request_queue_seconds_count 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        let mut typed = "";
        for line in text.lines() {
            match line.strip_prefix("# TYPE ") {
                Some(rest) => typed = rest.split(' ').next().unwrap(),
                None if line.starts_with('#') => {}
                None => assert!(line.starts_with(typed), "{line} under {typed}"),
            }
        }
    }
}
