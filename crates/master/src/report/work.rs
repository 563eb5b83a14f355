//! What workers have done, as JSON: counts, bytes, and how long requests took and waited.

use scoreboard::Totals;
use scoreboard::histogram::Counts;
use serde_json::{Map, Value, json};

/// Shape: `responses` (`1xx` to `5xx`), `received_bytes`, `sent_bytes`, `service` (how long requests were in the
/// application) and `queue` (how long they waited before), each with `count`, `sum_ms`, and `p50_ms`, `p95_ms`, `p99_ms`,
/// which are null as long as nothing was counted.
pub(crate) fn of_worker(done: &Totals) -> Map<String, Value> {
    let classes = done.responses.iter().enumerate();
    let responses: Map<String, Value> =
        classes.map(|(class, count)| (format!("{}xx", class + 1), json!(count))).collect();
    let fields: [(&str, Value); 5] = [
        ("responses", responses.into()),
        ("received_bytes", done.received_bytes.into()),
        ("sent_bytes", done.sent_bytes.into()),
        ("service", times(&done.service).into()),
        ("queue", times(&done.queue).into()),
    ];
    fields.map(|(name, value)| (name.to_string(), value)).into_iter().collect()
}

/// The same of all workers, with `requests` and `busy_ms`. `service` and `queue` have `below`: how many of the durations
/// were shorter than that many nanoseconds, for each doubling.
pub(crate) fn of_all(done: &Totals) -> Map<String, Value> {
    let mut all = of_worker(done);
    all.insert("requests".to_string(), done.requests.into());
    all.insert("busy_ms".to_string(), (done.busy_ns / 1_000_000).into());
    for (name, counts) in [("service", &done.service), ("queue", &done.queue)] {
        let mut times = times(counts);
        let below: Vec<(u64, u64)> = counts.below_doublings().collect();
        times.insert("below".to_string(), json!(below));
        all.insert(name.to_string(), times.into());
    }
    all
}

fn times(counts: &Counts) -> Map<String, Value> {
    let percentile = |share| Value::from(counts.percentile_ns(share).map(milliseconds));
    let fields: [(&str, Value); 5] = [
        ("count", counts.total().into()),
        ("sum_ms", milliseconds(counts.sum_ns()).into()),
        ("p50_ms", percentile(0.5)),
        ("p95_ms", percentile(0.95)),
        ("p99_ms", percentile(0.99)),
    ];
    fields.map(|(name, value)| (name.to_string(), value)).into_iter().collect()
}

/// With microseconds behind the point.
fn milliseconds(ns: u64) -> f64 {
    (ns / 1_000) as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_times_are_told_in_milliseconds() {
        let mut done = Totals { requests: 4, busy_ns: 9_000_000, responses: [0, 3, 0, 1, 0], ..Totals::default() };
        done.service = Counts::heard([(1, 4)], 70_500).unwrap();
        let all = Value::from(of_all(&done));
        assert_eq!((&all["requests"], &all["busy_ms"], &all["responses"]["4xx"]), (&json!(4), &json!(9), &json!(1)));
        assert_eq!((&all["service"]["count"], &all["service"]["sum_ms"]), (&json!(4), &json!(0.07)));
        assert_eq!((&all["service"]["below"][1], &all["queue"]["p99_ms"]), (&json!([32_768, 4]), &Value::Null));
        assert!(all["service"]["p50_ms"].as_f64().unwrap() < 0.02, "{all}");
        assert!(of_worker(&done)["service"].get("below").is_none());
    }
}
