//! The status as text for people: what it does, which code is live, whether it is behind, what died, what it takes.

use facts::{Death, Phase, Service, Side, Status};
use sys::text::printable;

use crate::columns::{self, Column, Row};
use crate::interval::{Interval, Work};
use crate::words::{ago, losses, milliseconds, percentiles, plural, rate, size, span};

/// No line of the table is longer, in characters.
const WIDTH: u16 = 100;

/// The whole text. `interval` is what has happened since the status before, if there was one.
pub(super) fn text(status: &Status, last_death: Option<&Death>, interval: Option<&Interval>) -> String {
    let mut text = head(status);
    text.push_str(&releases(status));
    text.push_str(&troubles(status));
    text.extend(losses(&status.logs).map(|line| format!("{line}\n")));
    // A master from before there was a schema tells no totals.
    if status.schema > 0 {
        text.push_str(&work(status, interval));
    }
    text.push_str(&backlogs(status));
    text.push_str(&services(status));
    text.push_str(&deaths(status, last_death));
    text.push_str(&memory(status));
    text.push_str(&table(status, interval));
    text
}

fn head(status: &Status) -> String {
    let generation = status.generation.map_or_else(|| "none".to_string(), |generation| generation.to_string());
    let phase = match status.phase {
        Phase::Winched => "no workers (SIGWINCH)",
        phase => phase.word(),
    };
    let summary = match status.summary.as_str() {
        "" => String::new(),
        summary => format!("{}\n", printable(summary)),
    };
    let listeners: Vec<_> = status.listeners.iter().map(|listener| printable(listener)).collect();
    format!(
        "licorne {} pid={} {phase} generation={generation} up {}\n{summary}listening on {}\n",
        printable(&status.version),
        status.pid,
        span(status.uptime_s as f64),
        listeners.join(", "),
    )
}

/// Which code serves, and how the last one came.
fn releases(status: &Status) -> String {
    let mut text = String::new();
    if let Some(release) = &status.release {
        let revision = release.revision.as_ref().map_or_else(String::new, |it| format!(" revision={}", printable(it)));
        text.push_str(&format!("release {}{revision}\n", printable(&release.directory)));
        if let Some(warning) = &release.warning {
            text.push_str(&format!("warning: {}\n", printable(warning)));
        }
    }
    if let Some(last) = &status.last_reload {
        let generation = last.generation;
        let took = status.reloads.recent.first().filter(|recent| recent.generation == generation);
        let took = took.and_then(|recent| recent.duration_ms);
        let took = took.map_or_else(String::new, |ms| format!(" in {}", milliseconds(ms as f64)));
        let how = match &last.failure {
            Some(why) => format!("generation {generation} failed: {}", printable(why)),
            None => format!("generation {generation} took over{took}"),
        };
        let others = match (status.reloads.succeeded, status.reloads.failed) {
            (succeeded, failed) if succeeded + failed > 1 => {
                format!(" (of {succeeded} that succeeded and {failed} that failed)")
            }
            _ => String::new(),
        };
        text.push_str(&format!("last reload {} ago: {how}{others}\n", span(last.age_s as f64)));
    }
    if let Some(last) = status.reforks.recent.first() {
        let (succeeded, failed) = (status.reforks.succeeded, status.reforks.failed);
        let how = match &last.failure {
            Some(why) => format!("the last one failed: {}", printable(why)),
            None => format!("generation {} was the last", last.generation),
        };
        text.push_str(&format!("reforks: {succeeded} succeeded, {failed} failed; {how}\n"));
    }
    text
}

/// What the workers of one side have done during a trial.
fn side(side: &Side) -> String {
    let requests = plural(side.requests, "request");
    let times = match (side.p50_ms, side.p95_ms) {
        (Some(p50), Some(p95)) => format!(", p50 {}, p95 {}", milliseconds(p50), milliseconds(p95)),
        _ => String::new(),
    };
    let private = side.private_bytes.map_or_else(String::new, |bytes| format!(", {} private", size(bytes)));
    format!("{requests}, {} with 5xx, {} lost{times}{private}", side.errors, side.lost)
}

fn troubles(status: &Status) -> String {
    let mut text = String::new();
    if let Some(roll) = status.roll {
        text.push_str(&format!("replacing workers: {} of {}\n", roll.done, roll.total));
    }
    if let Some(canary) = &status.canary {
        let left = canary.left_s.map_or_else(|| "not all of it serve yet".to_string(), |left| format!("{left} s left"));
        let (workers, generation) = (plural(canary.workers.into(), "worker"), canary.generation);
        text.push_str(&format!("canary: {workers} of generation {generation}, {left}\n"));
        text.push_str(&format!("  new  {}\n  old  {}\n", side(&canary.new), side(&canary.old)));
    }
    if let Some(previous) = &status.previous {
        let (generation, left) = (previous.generation, span(previous.left_s as f64));
        text.push_str(&format!("generation {generation} is kept for {left}: licorne rollback goes back to it\n"));
    }
    if let Some(successor) = status.successor {
        text.push_str(&format!("a new master is there: pid={successor}\n"));
    }
    for trouble in &status.troubles {
        let seconds = trouble.next_try_ms as f64 / 1000.0;
        let (slot, times) = (trouble.slot, plural(trouble.failures.into(), "time"));
        text.push_str(&format!("worker={slot} failed {times} in a row, next try in {seconds:.1} s\n"));
    }
    text
}

/// How much was done, how fast, and how long it waited.
fn work(status: &Status, interval: Option<&Interval>) -> String {
    let totals = &status.totals;
    let classes: Vec<String> = totals.responses.classes().map(|(class, count)| format!("{class} {count}")).into();
    let raised = if totals.raised > 0 { format!(", {} raised", totals.raised) } else { String::new() };
    let mut text = format!("{}: {}{raised}\n", plural(totals.requests, "request"), classes[1..].join(", "));
    if totals.requests > 0 {
        let (service, queue) = (percentiles(&totals.service.durations), percentiles(&totals.queue.durations));
        text.push_str(&format!("  service {service}\n  queue   {queue}\n"));
    }
    if totals.aborted_requests + totals.aborted_responses > 0 {
        let (requests, responses) =
            (plural(totals.aborted_requests, "request"), plural(totals.aborted_responses, "response"));
        text.push_str(&format!("  clients cut short {requests}, {responses}\n"));
    }
    let gc = totals.gc;
    if gc.minor + gc.major > 0 {
        let share = 100.0 * gc.time_ms.saturating_sub(gc.between_requests_ms) as f64 / totals.busy_ms.max(1) as f64;
        let time = milliseconds(gc.time_ms as f64);
        let between = match gc.between_requests {
            0 => String::new(),
            times => format!(", {times} of these between requests in {}", milliseconds(gc.between_requests_ms as f64)),
        };
        text.push_str(&format!(
            "  gc      {} minor, {} major, {time} ({share:.1} % of the time in requests){between}\n",
            gc.minor, gc.major
        ));
    }
    if let Some(saturated) = status.saturated_s.filter(|saturated| *saturated > 0.0 && status.uptime_s > 0) {
        let share = 100.0 * saturated / status.uptime_s as f64;
        let times = status.saturations.map_or_else(String::new, |times| format!(", {}", plural(times, "time")));
        text.push_str(&format!("  no worker was idle for {} ({share:.1} %){times}\n", span(saturated)));
    }
    if let Some(most) = status.busiest {
        let (count, of) = (most.count, plural(status.worker_processes.into(), "worker"));
        text.push_str(&format!("  at most {count} of {of} busy at once, {}\n", ago(most.at)));
    }
    if let Some(now) = interval {
        text.push_str(&format!("now {} requests/s", rate(now.requests)));
        let saturation = now.saturation.map_or_else(String::new, |share| format!(", saturated {:.0} %", share * 100.0));
        text.push_str(&format!("{saturation}\n"));
        if now.service.count > 0 {
            let (service, queue) = (percentiles(&now.service), percentiles(&now.queue));
            text.push_str(&format!("  service {service}\n  queue   {queue}\n"));
        }
    }
    text
}

fn backlogs(status: &Status) -> String {
    let mut text = String::new();
    for backlog in &status.backlogs {
        let listener = printable(&backlog.listener);
        if let Some(waiting) = backlog.waiting.filter(|waiting| *waiting > 0) {
            let limit = backlog.limit.map_or_else(String::new, |limit| format!(" of at most {limit}"));
            let wait = if waiting == 1 { "waits" } else { "wait" };
            text.push_str(&format!("{}{limit} {wait} at {listener}\n", plural(waiting, "connection")));
        }
        if let Some(most) = backlog.most {
            let count = plural(most.count, "connection");
            text.push_str(&format!("most that waited at {listener}: {count}, {}\n", ago(most.at)));
        }
    }
    text
}

/// Each process of a service, and those services that have none.
fn services(status: &Status) -> String {
    let one = |service: &Service| {
        let pid = service.pid.map_or_else(String::new, |pid| format!(" pid={pid}"));
        let since = service.started_at.map_or_else(String::new, |at| format!(", started {}", ago(at)));
        let memory =
            service.memory.as_ref().map_or_else(String::new, |it| format!(", {} resident", size(it.rss_bytes)));
        let failed = match (service.failures, service.next_try_ms) {
            (0, _) => String::new(),
            (failures, None) => format!(", failed {} in a row before", plural(failures.into(), "time")),
            (failures, Some(ms)) => {
                let times = plural(failures.into(), "time");
                format!(", failed {times} in a row, next try in {:.1} s", ms as f64 / 1000.0)
            }
        };
        let (name, generation, state) = (printable(&service.name), service.generation, service.state.word());
        format!("service {name} gen={generation}{pid} {state}{since}{memory}{failed}\n")
    };
    status.services.iter().map(one).collect()
}

fn deaths(status: &Status, last: Option<&Death>) -> String {
    let deaths = &status.deaths;
    if deaths.total == 0 {
        return String::new();
    }
    let causes: Vec<String> =
        deaths.by_cause.iter().map(|(cause, count)| format!("{count} {}", cause.word())).collect();
    let mut text = format!("{}: {}\n", plural(deaths.total, "death"), causes.join(", "));
    if let Some(last) = last {
        let slot = last.slot.map(|slot| slot.to_string()).or_else(|| last.service.clone());
        let slot = slot.map_or_else(String::new, |slot| format!(" {}", printable(&slot)));
        let request = last.request.as_ref().map_or_else(String::new, |line| format!(", in {}", printable(line)));
        let peak = last.peak_rss_bytes.map_or_else(String::new, |peak| format!(", {} resident at most", size(peak)));
        let (kind, pid, why) = (last.kind.word(), last.pid, printable(&last.text));
        text.push_str(&format!("  last {}: {kind}{slot} pid={pid}: {why}{request}{peak}\n", ago(last.at)));
    }
    text
}

fn memory(status: &Status) -> String {
    let mut parts: Vec<String> = Vec::new();
    for generation in &status.memory.generations {
        let sum = match (generation.pss_bytes, generation.private_bytes) {
            (Some(pss), Some(private)) => format!("{} shared fairly (pss), {} private", size(pss), size(private)),
            _ => format!("{} resident", size(generation.rss_bytes)),
        };
        let swapped = generation.swap_bytes.filter(|bytes| *bytes > 0);
        let sum = sum + &swapped.map_or_else(String::new, |bytes| format!(", {} in swap", size(bytes)));
        let processes = generation.processes;
        parts.push(format!("generation {} has {processes} processes with {sum}", generation.generation));
    }
    if let Some(master) = &status.memory.master {
        parts.push(format!("master {}", size(master.rss_bytes)));
    }
    if parts.is_empty() { String::new() } else { format!("memory: {}\n", parts.join("; ")) }
}

fn table(status: &Status, interval: Option<&Interval>) -> String {
    let has_memory = status.workers.iter().any(|worker| worker.memory.is_some());
    let mut known = columns::ALL.to_vec();
    known.retain(|column| match column {
        Column::Rate | Column::Cpu | Column::Gc => interval.is_some(),
        Column::Rss | Column::Pss | Column::Private => has_memory,
        _ => true,
    });
    let shown = columns::shown(known, WIDTH, Column::Slot);
    let line = |cells: Vec<String>| {
        let text = cells.join(" ");
        let cut: String = text.trim_end().chars().take(WIDTH.into()).collect();
        format!("{cut}\n")
    };
    let mut text = line(shown.iter().map(|column| column.padded(column.title())).collect());
    for worker in &status.workers {
        let work = interval.map_or_else(Work::default, |interval| interval.of(worker));
        text.push_str(&line(shown.iter().map(|column| column.padded(&column.cell(Row { worker, work }))).collect()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A status with every field, as it is written.
    fn whole() -> Status {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../../facts/tests/status.json")).expect("JSON");
        serde_json::from_value(golden["status"].clone()).expect("a status")
    }

    #[test]
    fn control_characters_of_a_request_line_are_escaped() {
        let request = serde_json::json!({ "line": "GET /\u{9b}2J\u{1b}[31m\n     0  HTTP/1.1", "age_ms": 7 });
        let status = serde_json::json!({ "workers": [{ "slot": 0, "request": request }] });
        let text = text(&serde_json::from_value(status).unwrap(), None, None);
        assert!(text.ends_with(" 7.0 ms GET /\\u{9b}2J\\x1b[31m\\n     0  HTTP/1.1\n"), "{text}");
    }

    #[test]
    fn the_head_tells_release_last_reload_and_phase() {
        let status = serde_json::json!({
            "version": "0.1.0", "pid": 7, "phase": "winched", "generation": 2, "uptime_s": 61, "listeners": [],
            "release": { "directory": "/srv/app/releases/1", "revision": "abc", "warning": "current leads elsewhere" },
            "last_reload": { "generation": 3, "age_s": 9, "failure": "no such table" }, "workers": [],
        });
        let text = text(&serde_json::from_value(status).unwrap(), None, None);
        assert_eq!(
            text,
            "licorne 0.1.0 pid=7 no workers (SIGWINCH) generation=2 up 1 min 1 s\nlistening on \n\
             release /srv/app/releases/1 revision=abc\nwarning: current leads elsewhere\n\
             last reload 9 s ago: generation 3 failed: no such table\n\
             slot gen     pid state    requests   5xx conn       age request\n"
        );
    }

    #[test]
    fn the_table_shows_each_worker_and_its_request() {
        let status = serde_json::json!({
            "schema": 1, "version": "0.1.0", "pid": 7, "phase": "serving", "generation": 2, "uptime_s": 61,
            "summary": "Serving", "listeners": ["0.0.0.0:8080"], "roll": null,
            "troubles": [{ "slot": 1, "failures": 3, "next_try_ms": 1250 }],
            "backlogs": [{ "listener": "0.0.0.0:8080", "waiting": 3, "limit": 1024 }, { "waiting": 0 }],
            "totals": {
                "requests": 12, "responses": { "1xx": 0, "2xx": 11, "3xx": 0, "4xx": 0, "5xx": 1 },
                "service": { "p50_ms": 1.5, "p95_ms": 20.25, "p99_ms": 31.0 }, "queue": { "p50_ms": 0.008 },
            },
            "deaths": { "total": 3, "by_cause": { "timeout": 1, "oom": 2 } },
            "workers": [
                { "slot": 0, "generation": 2, "pid": 9, "state": "busy", "requests": 5, "server_errors": 1,
                  "connections": 3, "request": { "line": "GET /slow", "age_ms": 1200 } },
            ],
        });
        let death = serde_json::json!({ "kind": "worker", "slot": 1, "pid": 8, "at": 0.0, "text": "killed", "request": "GET /x" });
        let death: Death = serde_json::from_value(death).unwrap();
        let text = text(&serde_json::from_value(status).unwrap(), Some(&Death { at: f64::MAX, ..death }), None);
        assert_eq!(
            text,
            "licorne 0.1.0 pid=7 serving generation=2 up 1 min 1 s\nServing\nlistening on 0.0.0.0:8080\n\
             worker=1 failed 3 times in a row, next try in 1.2 s\n\
             12 requests: 2xx 11, 3xx 0, 4xx 0, 5xx 1\n  service p50 1.5 ms, p95 20 ms, p99 31 ms\n  queue   -\n\
             3 connections of at most 1024 wait at 0.0.0.0:8080\n\
             3 deaths: 1 timeout, 2 oom\n  last 0 s ago: worker 1 pid=8: killed, in GET /x\n\
             slot gen     pid state    requests   5xx conn       age request\n   \
             0   2       9 busy            5     1    3     1.2 s GET /slow\n"
        );
    }

    #[test]
    fn a_whole_status_fits_and_tells_of_everything() {
        let mut status = whole();
        status.workers[0].request.as_mut().expect("it is busy").line = "GET /".to_string() + &"x".repeat(380);
        let text = text(&status, None, Some(&Interval::default()));
        let table: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("slot ")).collect();
        assert!(table.len() > 1 && table.iter().all(|line| line.chars().count() <= 100), "{text}");
        for part in [
            "last reload ",
            "requests: ",
            "service p50",
            "queue   p50",
            "now ",
            "deaths: ",
            "memory: generation ",
            "service jobs gen=",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
