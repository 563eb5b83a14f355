//! The master's status as Prometheus text. See the exposition format, version 0.0.4.
//!
//! docs/metrics.md explains each metric, and a test holds it against what a server tells.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Write};

use facts::{Cause, Distribution, MemoryOfGeneration, Service, ServiceState, State, Status};

/// Every metric, with its help and type. `saturation`: of the last minute, if it is known.
pub(crate) fn text(status: &Status, saturation: Option<f64>) -> String {
    let mut text = Text::default();
    of_server(&mut text, status);
    let name = "licorne_saturation";
    text.begin(name, "gauge", "The share of the last minute in which no worker was idle.");
    if let Some(share) = saturation {
        text.sample(name, &[], share);
    }
    of_workers(&mut text, status);
    of_services(&mut text, status);
    of_processes(&mut text, status);
    of_requests(&mut text, status);
    deprecated(&mut text, status);
    text.0
}

/// Metrics, one after the other.
#[derive(Default)]
struct Text(String);

impl Text {
    /// Begins one: its samples follow.
    fn begin(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One sample; `labels` are names and values.
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    /// One with a single sample.
    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.begin(name, kind, help);
        self.sample(name, &[], value);
    }

    /// One with a sample for each value of a label.
    fn each<'a, V: Display>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        label: &str,
        samples: impl IntoIterator<Item = (&'a str, V)>,
    ) {
        self.begin(name, kind, help);
        samples.into_iter().for_each(|(value, sample)| self.sample(name, &[(label, value)], sample));
    }

    fn histogram(&mut self, name: &str, help: &str, told: &Distribution) {
        self.begin(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        for (ns, count) in told.counts().below_doublings() {
            self.sample(&bucket, &[("le", &(ns as f64 / 1e9).to_string())], count);
        }
        let durations = &told.durations;
        self.sample(&bucket, &[("le", "+Inf")], durations.count);
        self.sample(&format!("{name}_sum"), &[], durations.sum_ms / 1e3);
        self.sample(&format!("{name}_count"), &[], durations.count);
    }
}

fn of_server(text: &mut Text, status: &Status) {
    text.one("licorne_ready", "gauge", "Whether new requests are welcome.", u64::from(status.ready));
    text.one("licorne_generation", "gauge", "The generation that serves.", status.generation.unwrap_or(0));
    text.one(
        "licorne_start_time_seconds",
        "gauge",
        "When the server was started, in seconds since 1970.",
        status.started_at,
    );
    text.one("licorne_uptime_seconds", "gauge", "How long the server runs.", status.uptime_s);
    text.each(
        "licorne_reloads_total",
        "counter",
        "Reloads by their result.",
        "result",
        [("succeeded", status.reloads.succeeded), ("failed", status.reloads.failed)],
    );
    text.each(
        "licorne_reforks_total",
        "counter",
        "Reforks by their result.",
        "result",
        [("succeeded", status.reforks.succeeded), ("failed", status.reforks.failed)],
    );
    let name = "licorne_last_reload_succeeded";
    text.begin(name, "gauge", "Whether the last reload has succeeded: while it has not, the old code serves.");
    if let Some(last) = &status.last_reload {
        text.sample(name, &[], u64::from(last.failure.is_none()));
    }
    if let Some(seconds) = status.saturated_s {
        let help = "For how long no worker was idle.";
        text.one("licorne_saturated_seconds_total", "counter", help, seconds);
    }
    text.each(
        "licorne_log_lost_lines_total",
        "counter",
        "Lines of a log that were lost: a disk is full, or a reader does not read.",
        "log",
        status.logs.each().map(|(name, _, loss)| (name, loss.lost_lines)),
    );
    if let Some(times) = status.saturations {
        text.one("licorne_saturations_total", "counter", "How often it began that no worker was idle.", times);
        let help = "The most workers that were in requests at once.";
        text.one("licorne_busy_workers_peak", "gauge", help, status.busiest.map_or(0, |most| most.count));
    }
    let listeners = || status.backlogs.iter();
    text.each(
        "licorne_backlog_connections",
        "gauge",
        "Connections that wait to be accepted, by listener.",
        "listener",
        listeners().filter_map(|backlog| Some((backlog.listener.as_str(), backlog.waiting?))),
    );
    text.each(
        "licorne_backlog_limit_connections",
        "gauge",
        "How many connections may wait, by listener.",
        "listener",
        listeners().filter_map(|backlog| Some((backlog.listener.as_str(), backlog.limit?))),
    );
    text.each(
        "licorne_backlog_peak_connections",
        "gauge",
        "The most connections that were seen to wait, by listener.",
        "listener",
        // Where the kernel tells nothing, nothing was seen.
        listeners()
            .filter(|backlog| backlog.waiting.is_some())
            .map(|backlog| (backlog.listener.as_str(), backlog.most.map_or(0, |most| most.count))),
    );
}

fn of_workers(text: &mut Text, status: &Status) {
    text.one("licorne_worker_processes", "gauge", "How many workers are wanted.", status.worker_processes);
    text.one("licorne_worker_starts_total", "counter", "Workers that were forked.", status.starts);
    let mut states: BTreeMap<&str, u64> = State::ALL.map(|state| (state.word(), 0)).into();
    for worker in &status.workers {
        *states.entry(worker.state.word()).or_default() += 1;
    }
    text.each("licorne_workers", "gauge", "Workers by state.", "state", states);
    let connections: u64 = status.workers.iter().map(|worker| worker.connections).sum();
    text.one("licorne_connections", "gauge", "Connections that workers hold.", connections);
    let slots = |of: fn(&facts::Gc) -> Option<u64>| status.workers.iter().filter_map(|worker| of(&worker.gc)).sum();
    let slots: [(&str, u64); 2] = [("live", slots(|gc| gc.live_slots)), ("free", slots(|gc| gc.free_slots))];
    text.each("licorne_gc_heap_slots", "gauge", "Slots of Ruby's heaps in workers.", "state", slots);
}

fn of_services(text: &mut Text, status: &Status) {
    let names: BTreeSet<&str> = status.services.iter().map(|service| service.name.as_str()).collect();
    let running = |name: &str| named(status, name).filter(|service| service.state == ServiceState::Running).count();
    let help = "Processes of services that run, by name.";
    text.each("licorne_service_running", "gauge", help, "service", names.iter().map(|name| (*name, running(name))));
    let starts = |name: &str| named(status, name).map(|service| service.starts).max().unwrap_or(0);
    let help = "Processes of services that were started, by name.";
    text.each(
        "licorne_service_starts_total",
        "counter",
        help,
        "service",
        names.iter().map(|name| (*name, starts(name))),
    );
    let failures = |name: &str| named(status, name).map(|service| service.failures).max().unwrap_or(0);
    let help = "How often a service has failed in a row, by name.";
    text.each("licorne_service_failures", "gauge", help, "service", names.iter().map(|name| (*name, failures(name))));
}

fn named<'a>(status: &'a Status, name: &'a str) -> impl Iterator<Item = &'a Service> {
    status.services.iter().filter(move |service| service.name == name)
}

fn of_processes(text: &mut Text, status: &Status) {
    let counts = &status.deaths.by_cause;
    text.each(
        "licorne_deaths_total",
        "counter",
        "Processes that died, by cause. One that was told to leave and did is none.",
        "cause",
        Cause::ALL.map(|cause| (cause.word(), counts.get(&cause).copied().unwrap_or(0))),
    );
    text.each(
        "licorne_workers_recycled_total",
        "counter",
        "Workers that were replaced since they had had their time, by directive.",
        "reason",
        status.recycled.by_directive(),
    );
    let name = "licorne_memory_bytes";
    text.begin(name, "gauge", "Memory of the master, of the generation that serves, and of others.");
    let (serving, others): (Vec<_>, Vec<_>) =
        status.memory.generations.iter().partition(|of| Some(of.generation) == status.generation);
    let mut told = |generation: &str, kind: &str, bytes: Option<u64>| {
        if let Some(bytes) = bytes {
            text.sample(name, &[("generation", generation), ("kind", kind)], bytes);
        }
    };
    for (generation, all) in [("serving", serving), ("others", others)] {
        let sum = |bytes: &dyn Fn(&MemoryOfGeneration) -> Option<u64>| {
            all.iter().map(|of| bytes(of)).try_fold(0_u64, |sum, bytes| bytes.map(|bytes| sum.saturating_add(bytes)))
        };
        told(generation, "rss", sum(&|of| Some(of.rss_bytes)));
        told(generation, "pss", sum(&|of| of.pss_bytes));
        told(generation, "private", sum(&|of| of.private_bytes));
    }
    if let Some(master) = &status.memory.master {
        told("none", "rss", Some(master.rss_bytes));
        told("none", "pss", master.pss_bytes);
        told("none", "private", master.private_bytes);
    }
    if let Some(used) = status.memory.used_bytes {
        text.one("licorne_memory_used_bytes", "gauge", "Memory of all processes, shared memory once.", used);
    }
    if let Some(budget) = status.memory.budget_bytes {
        text.one("licorne_memory_budget_bytes", "gauge", "How much memory that may be.", budget);
    }
}

/// What all workers have done, those that are no more included.
fn of_requests(text: &mut Text, status: &Status) {
    let totals = &status.totals;
    text.each(
        "licorne_responses_total",
        "counter",
        "Responses by the first digit of their status.",
        "class",
        totals.responses.classes(),
    );
    text.one("licorne_exceptions_total", "counter", "Requests whose application raised.", totals.raised);
    let aborted = "Requests that never were whole: their client left, or was too slow.";
    text.one("licorne_requests_aborted_total", "counter", aborted, totals.aborted_requests);
    let aborted = "Responses that their client has not taken to the end.";
    text.one("licorne_responses_aborted_total", "counter", aborted, totals.aborted_responses);
    let gc = totals.gc;
    let collections = [("minor", gc.minor), ("major", gc.major)];
    text.each("licorne_gc_collections_total", "counter", "Runs of Ruby's garbage collector.", "kind", collections);
    text.one("licorne_gc_seconds_total", "counter", "The time that they took.", gc.time_ms as f64 / 1e3);
    let between = "Collections of all objects that workers made between requests.";
    text.one("licorne_gc_between_requests_total", "counter", between, gc.between_requests);
    let between = "The time that these took, and the ends of others that were left to then; a part of all.";
    let seconds = gc.between_requests_ms as f64 / 1e3;
    text.one("licorne_gc_between_requests_seconds_total", "counter", between, seconds);
    text.one("licorne_requests_total", "counter", "Requests that were answered.", totals.requests);
    text.one("licorne_request_bytes_total", "counter", "Bytes of requests, heads included.", totals.received_bytes);
    text.one("licorne_response_bytes_total", "counter", "Bytes of responses, heads included.", totals.sent_bytes);
    text.histogram("licorne_request_service_seconds", "How long requests were in the application.", &totals.service);
    text.histogram("licorne_request_queue_seconds", "How long requests waited for a worker.", &totals.queue);
}

/// Names of the release before this one, with a label that grows with each worker. They go with the next release.
fn deprecated(text: &mut Text, status: &Status) {
    type Of = fn(&facts::Worker) -> u64;
    let old: [(&str, &str, &str, Of); 4] = [
        ("licorne_worker_requests_total", "counter", "licorne_requests_total", |worker| worker.requests),
        ("licorne_worker_errors_total", "counter", "licorne_responses_total", |worker| worker.server_errors),
        ("licorne_worker_busy_milliseconds_total", "counter", "licorne_request_service_seconds_sum", |worker| {
            worker.busy_ms
        }),
        ("licorne_worker_connections", "gauge", "licorne_connections", |worker| worker.connections),
    ];
    for (name, kind, instead, of) in old {
        text.begin(name, kind, &format!("Deprecated: see {instead}, and licorne status for a single worker."));
        for worker in &status.workers {
            let [slot, generation] = [worker.slot, worker.generation].map(|number| number.to_string());
            let pid = worker.pid.map_or_else(|| "null".to_string(), |pid| pid.to_string());
            text.sample(name, &[("slot", &slot), ("generation", &generation), ("pid", &pid)], of(worker));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_follows_its_type() {
        let status = serde_json::from_value(serde_json::json!({
            "ready": true, "generation": 3, "uptime_s": 61, "started_at": 1_790_000_000.5, "worker_processes": 2,
            "saturated_s": 1.25, "saturations": 4, "busiest": { "count": 2, "at": 1.0 },
            "workers": [
                { "slot": 0, "generation": 3, "pid": 9, "state": "busy", "requests": 5, "server_errors": 1,
                  "gc": { "live_slots": 70, "free_slots": null }, "busy_ms": 40, "connections": 3 },
                { "slot": 1, "generation": 3, "pid": 10, "state": "idle", "requests": 7 },
            ],
            "backlogs": [
                { "listener": "0.0.0.0:80", "waiting": 3, "limit": 1024, "most": { "count": 9, "at": 1.0 } },
                { "listener": "/a \"b\"\\\n", "waiting": 0, "limit": null },
            ],
            "deaths": { "total": 2, "by_cause": { "oom": 2 } },
            "services": [
                { "name": "jobs", "state": "stopping", "generation": 2, "starts": 3 },
                { "name": "jobs", "state": "running", "generation": 3, "starts": 3, "failures": 1 },
                { "name": "mail", "state": "waiting" },
            ],
            "reloads": { "succeeded": 4, "failed": 1 }, "last_reload": { "failure": "no such table" },
            "reforks": { "succeeded": 7, "failed": 2 },
            "logs": { "access": { "lost_lines": 1200 } },
            "memory": {
                "master": { "rss_bytes": 5 },
                "generations": [
                    { "generation": 2, "rss_bytes": 10, "pss_bytes": 7, "private_bytes": 6 },
                    { "generation": 3, "rss_bytes": 20, "pss_bytes": null, "private_bytes": 16 },
                ],
            },
            "totals": {
                "requests": 12, "responses": { "2xx": 11, "5xx": 1 }, "received_bytes": 1_200, "sent_bytes": 34_000,
                "raised": 6, "aborted_requests": 3, "aborted_responses": 2, "gc": { "minor": 8, "major": 1, "time_ms": 45 },
                "service": { "count": 9, "sum_ms": 40.5, "buckets": [[3, 9]] },
            },
        }));
        let text = text(&status.expect("a status"), Some(0.25));
        for line in [
            "licorne_ready 1",
            "licorne_start_time_seconds 1790000000.5",
            "licorne_saturated_seconds_total 1.25",
            "licorne_saturation 0.25",
            "licorne_workers{state=\"busy\"} 1",
            "licorne_workers{state=\"booting\"} 0",
            "licorne_connections 3",
            "licorne_worker_requests_total{slot=\"1\",generation=\"3\",pid=\"10\"} 7",
            "licorne_worker_connections{slot=\"0\",generation=\"3\",pid=\"9\"} 3",
            "licorne_responses_total{class=\"2xx\"} 11",
            "licorne_responses_total{class=\"4xx\"} 0",
            "licorne_backlog_connections{listener=\"0.0.0.0:80\"} 3",
            "licorne_backlog_limit_connections{listener=\"0.0.0.0:80\"} 1024",
            r#"licorne_backlog_connections{listener="/a \"b\"\\\n"} 0"#,
            "licorne_backlog_peak_connections{listener=\"0.0.0.0:80\"} 9",
            "licorne_busy_workers_peak 2",
            "licorne_saturations_total 4",
            "licorne_service_running{service=\"jobs\"} 1",
            "licorne_service_running{service=\"mail\"} 0",
            "licorne_service_starts_total{service=\"jobs\"} 3",
            "licorne_service_failures{service=\"jobs\"} 1",
            "licorne_requests_aborted_total 3",
            "licorne_responses_aborted_total 2",
            "licorne_deaths_total{cause=\"oom\"} 2",
            "licorne_deaths_total{cause=\"exit\"} 0",
            "licorne_reloads_total{result=\"failed\"} 1",
            "licorne_reforks_total{result=\"succeeded\"} 7",
            "licorne_last_reload_succeeded 0",
            "licorne_log_lost_lines_total{log=\"access\"} 1200",
            "licorne_log_lost_lines_total{log=\"server\"} 0",
            "licorne_memory_bytes{generation=\"none\",kind=\"rss\"} 5",
            "licorne_memory_bytes{generation=\"serving\",kind=\"private\"} 16",
            "licorne_memory_bytes{generation=\"others\",kind=\"pss\"} 7",
            "licorne_requests_total 12",
            "licorne_exceptions_total 6",
            "licorne_gc_collections_total{kind=\"minor\"} 8",
            "licorne_gc_seconds_total 0.045",
            "licorne_gc_heap_slots{state=\"live\"} 70",
            "licorne_response_bytes_total 34000",
            "licorne_request_service_seconds_bucket{le=\"0.000032768\"} 9",
            "licorne_request_service_seconds_bucket{le=\"+Inf\"} 9",
            "licorne_request_service_seconds_sum 0.0405",
            "licorne_request_queue_seconds_count 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(!text.contains("generation=\"serving\",kind=\"pss\""), "not all of it is measured");
        let mut typed = "";
        for line in text.lines() {
            match line.strip_prefix("# TYPE ") {
                Some(rest) => typed = rest.split(' ').next().unwrap(),
                None if line.starts_with('#') => {}
                None => assert!(line.starts_with(typed), "{line} under {typed}"),
            }
        }
    }

    #[test]
    fn a_saturation_that_is_not_known_is_no_number() {
        let text = text(&Status::default(), None);
        assert!(text.contains("# TYPE licorne_saturation gauge\n# HELP "), "{text}");
    }
}
