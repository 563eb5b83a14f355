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
        ("licorne_worker_busy_milliseconds_total", "busy_ms", "counter", "Time that this worker spent in requests."),
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
    text
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
        });
        let text = text(&status);
        for line in [
            "licorne_ready 1",
            "licorne_workers{state=\"busy\"} 1",
            "licorne_workers{state=\"booting\"} 0",
            "licorne_worker_requests_total{slot=\"1\",generation=\"3\",pid=\"10\"} 7",
            "licorne_worker_connections{slot=\"0\",generation=\"3\",pid=\"9\"} 3",
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
