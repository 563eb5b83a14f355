//! What was seen in the last ten minutes: a point for each interval between two statuses, whatever they were asked for.
//!
//! Nothing is asked for its sake: without a page that looks and a monitor that asks there are no points, and the next one
//! covers the time since the status before.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use facts::{State, Status};
use scoreboard::histogram::Counts;
use serde_json::{Value, json};

/// How far back points go.
const LENGTH: Duration = Duration::from_secs(600);
/// Statuses that follow each other faster make one point. A little less than the pause between two that a page asks for.
const SHORTEST: Duration = Duration::from_millis(900);

/// The points, and what the next one is counted from.
#[derive(Debug)]
pub(crate) struct History {
    /// What the ids of its points begin with: another process has another history.
    name: String,
    /// How many points there have ever been.
    count: u64,
    points: VecDeque<Point>,
    before: Option<Reading>,
}

#[derive(Debug)]
struct Point {
    number: u64,
    at: Instant,
    /// As JSON.
    text: String,
}

/// The sums of a status.
#[derive(Debug)]
struct Reading {
    at: Instant,
    master: u32,
    requests: u64,
    server_errors: u64,
    /// For how long no worker was idle; `None` when that is not counted.
    saturated_s: Option<f64>,
    service: Counts,
    queue: Counts,
}

impl History {
    pub(crate) fn new(name: String) -> Self {
        Self { name, count: 0, points: VecDeque::new(), before: None }
    }

    /// Takes in a status that was told at this moment, in milliseconds since 1970 as well.
    pub(crate) fn add(&mut self, status: &Status, now: Instant, now_ms: u64) {
        let reading = Reading::of(status, now);
        if let Some(before) = &self.before {
            let span = now.saturating_duration_since(before.at);
            if span < SHORTEST {
                return;
            }
            if before.is_followed_by(&reading) {
                self.count += 1;
                let text = point(before, &reading, status, span, now_ms).to_string();
                self.points.push_back(Point { number: self.count, at: now, text });
            }
        }
        self.before = Some(reading);
        while self.points.front().is_some_and(|point| now.saturating_duration_since(point.at) > LENGTH) {
            self.points.pop_front();
        }
    }

    /// The id of the newest point.
    pub(crate) fn id(&self) -> String {
        format!("{}-{}", self.name, self.count)
    }

    /// The points that came after the one with this id, as a JSON array: all, when it is none of this history.
    pub(crate) fn after(&self, id: Option<&str>) -> String {
        let own = id.and_then(|id| id.strip_prefix(&self.name)?.strip_prefix('-')?.parse::<u64>().ok());
        let own = own.filter(|number| *number <= self.count).unwrap_or(0);
        let points: Vec<&str> =
            self.points.iter().filter(|point| point.number > own).map(|point| point.text.as_str()).collect();
        format!("[{}]", points.join(","))
    }
}

impl Reading {
    fn of(status: &Status, at: Instant) -> Self {
        let totals = &status.totals;
        Self {
            at,
            master: status.pid,
            requests: totals.requests,
            server_errors: totals.responses.server_error,
            saturated_s: status.saturated_s,
            service: totals.service.counts(),
            queue: totals.queue.counts(),
        }
    }

    /// Whether this one has gone on counting where the other was: otherwise it is that of another master.
    fn is_followed_by(&self, next: &Self) -> bool {
        self.master == next.master && self.requests <= next.requests
    }
}

fn point(before: &Reading, reading: &Reading, status: &Status, span: Duration, now_ms: u64) -> Value {
    let percentiles = |counts: Counts| {
        let share = |share| counts.percentile_ns(share).map(|ns| (ns / 1_000) as f64 / 1_000.0);
        let told = [share(0.5), share(0.95), share(0.99)];
        told[0].map(|_| told)
    };
    let in_state = |states: &[State]| status.workers.iter().filter(|worker| states.contains(&worker.state)).count();
    let sum = |figures: &mut dyn Iterator<Item = Option<u64>>| figures.flatten().reduce(u64::saturating_add);
    let generations = || status.memory.generations.iter();
    let saturated =
        before.saturated_s.zip(reading.saturated_s).map(|(before, now)| (now - before) / span.as_secs_f64());
    json!({
        "at_ms": now_ms,
        "span_ms": u64::try_from(span.as_millis()).unwrap_or(u64::MAX),
        "requests": reading.requests - before.requests,
        "server_errors": reading.server_errors.saturating_sub(before.server_errors),
        "service_ms": percentiles(reading.service.since(&before.service)),
        "queue_ms": percentiles(reading.queue.since(&before.queue)),
        "busy": in_state(&[State::Busy]),
        "serving": in_state(&[State::Busy, State::Idle]),
        "saturated": saturated.map(|share| share.clamp(0.0, 1.0)),
        "waiting": sum(&mut status.backlogs.iter().map(|backlog| backlog.waiting)),
        "pss_bytes": sum(&mut generations().map(|of| of.pss_bytes)),
        "private_bytes": sum(&mut generations().map(|of| of.private_bytes)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(pid: u64, requests: u64, buckets: &Value) -> Status {
        let status = json!({
            "pid": pid, "saturated_s": requests as f64 / 20.0,
            "totals": { "requests": requests, "responses": { "5xx": requests / 10 }, "service": { "buckets": buckets } },
            "workers": [{ "state": "busy" }, { "state": "idle" }, { "state": "booting" }],
            "backlogs": [{ "waiting": 2 }, { "waiting": null }, { "waiting": 3 }],
        });
        serde_json::from_value(status).unwrap()
    }

    fn points(history: &History, after: Option<&str>) -> Vec<Value> {
        serde_json::from_str(&history.after(after)).unwrap()
    }

    #[test]
    fn a_point_tells_what_was_counted_since_the_one_before() {
        let (mut history, start) = (History::new("a".into()), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        history.add(&status(9, 100, &json!([[81, 90], [20, 10]])), at(0), 0);
        assert_eq!(history.after(None), "[]");
        history.add(&status(9, 150, &json!([[81, 140], [20, 10]])), at(5), 5_000);
        let point = &points(&history, None)[0];
        assert_eq!(
            (&point["requests"], &point["span_ms"], &point["at_ms"]),
            (&50.into(), &5_000.into(), &5_000.into())
        );
        assert_eq!((&point["busy"], &point["serving"], &point["waiting"]), (&1.into(), &2.into(), &5.into()));
        assert_eq!(point["saturated"], 0.5, "2.5 s of 5 s");
        assert_eq!((&point["server_errors"], &point["queue_ms"]), (&5.into(), &Value::Null));
        // Bucket 81 begins at 2 to the power of 24 ns.
        assert!((16.7..19.0).contains(&point["service_ms"][1].as_f64().unwrap()), "{point}");
    }

    #[test]
    fn statuses_that_come_fast_make_one_point_and_old_points_go() {
        let (mut history, start) = (History::new("a".into()), Instant::now());
        for tenth in 0..20_000 {
            history.add(&status(9, tenth, &json!([])), start + Duration::from_millis(100 * tenth), 100 * tenth);
        }
        let all = points(&history, None);
        assert!((600..=668).contains(&all.len()), "{}", all.len());
        assert!(all.iter().all(|point| point["requests"] == 9), "{all:?}");
        assert_eq!(points(&history, Some(&history.id())).len(), 0);
    }

    #[test]
    fn a_client_that_comes_back_gets_what_it_has_missed() {
        let (mut history, start) = (History::new("a".into()), Instant::now());
        let mut ids = Vec::new();
        for second in 0..5 {
            history.add(&status(9, second, &json!([])), start + Duration::from_secs(second), second);
            ids.push(history.id());
        }
        assert_eq!(points(&history, Some(&ids[2])).len(), 2);
        for strange in ["b-2", "a-99", "a-", "a", ""] {
            assert_eq!(points(&history, Some(strange)).len(), 4, "{strange}");
        }
    }

    #[test]
    fn another_master_begins_anew() {
        let (mut history, start) = (History::new("a".into()), Instant::now());
        let statuses = [(9, 100), (9, 110), (12, 500), (12, 3), (12, 4)];
        for (second, (pid, requests)) in (0..).zip(statuses) {
            history.add(&status(pid, requests, &json!([])), start + Duration::from_secs(second), second);
        }
        let counted: Vec<u64> =
            points(&history, None).iter().map(|point| point["requests"].as_u64().unwrap()).collect();
        assert_eq!(counted, [10, 1]);
    }
}
