//! What workers have done: counts, bytes, and how long requests took and waited.

use alloc::vec::Vec;

use scoreboard::CLASSES;
use scoreboard::histogram::Counts;
use serde::{Deserialize, Serialize};

/// What all workers have done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Totals {
    /// Requests that were finished.
    pub requests: u64,
    /// Time in requests.
    pub busy_ms: u64,
    /// Responses by the first digit of their status.
    pub responses: Responses,
    /// Bytes of requests, heads included.
    pub received_bytes: u64,
    /// Bytes of responses, heads included.
    pub sent_bytes: u64,
    /// Requests whose application raised an exception.
    pub raised: u64,
    /// Requests that never were whole: their client left, or was too slow.
    pub aborted_requests: u64,
    /// Responses that their client has not taken to the end: it left, or was too slow.
    pub aborted_responses: u64,
    /// What Ruby's garbage collector did in workers since each began to serve.
    pub gc: Collections,
    /// How long requests were in the application.
    pub service: Distribution,
    /// How long requests waited for a worker.
    pub queue: Distribution,
}

impl From<&scoreboard::Totals> for Totals {
    fn from(done: &scoreboard::Totals) -> Self {
        Self {
            requests: done.requests,
            busy_ms: done.busy_ns / 1_000_000,
            responses: done.responses.into(),
            received_bytes: done.received_bytes,
            sent_bytes: done.sent_bytes,
            raised: done.raised,
            aborted_requests: done.aborted.requests,
            aborted_responses: done.aborted.responses,
            gc: done.collections.into(),
            service: Distribution::from(&done.service),
            queue: Distribution::from(&done.queue),
        }
    }
}

/// Runs of Ruby's garbage collector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Collections {
    /// Collections of young objects.
    pub minor: u64,
    /// Collections of all objects.
    pub major: u64,
    /// The time that they took; 0 with a Ruby before 3.1, which does not tell it.
    pub time_ms: u64,
    /// Collections of all objects that workers made between requests (`gc :between_requests`).
    pub between_requests: u64,
    /// The time that these took, and the ends of others that were left to then; a part of `time_ms`.
    pub between_requests_ms: u64,
}

impl From<scoreboard::Collections> for Collections {
    fn from(done: scoreboard::Collections) -> Self {
        Self {
            minor: done.minor,
            major: done.major,
            time_ms: done.ms,
            between_requests: done.between,
            between_requests_ms: done.between_ms,
        }
    }
}

/// Responses by the first digit of their status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Responses {
    /// 100 to 199.
    #[serde(rename = "1xx")]
    pub informational: u64,
    /// 200 to 299.
    #[serde(rename = "2xx")]
    pub successful: u64,
    /// 300 to 399.
    #[serde(rename = "3xx")]
    pub redirection: u64,
    /// 400 to 499.
    #[serde(rename = "4xx")]
    pub client_error: u64,
    /// 500 to 599.
    #[serde(rename = "5xx")]
    pub server_error: u64,
}

impl Responses {
    /// Each class, by the name of its field, and its count.
    pub fn classes(&self) -> [(&'static str, u64); CLASSES] {
        [
            ("1xx", self.informational),
            ("2xx", self.successful),
            ("3xx", self.redirection),
            ("4xx", self.client_error),
            ("5xx", self.server_error),
        ]
    }
}

impl From<[u64; CLASSES]> for Responses {
    fn from([informational, successful, redirection, client_error, server_error]: [u64; CLASSES]) -> Self {
        Self { informational, successful, redirection, client_error, server_error }
    }
}

/// Durations, in short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Durations {
    /// How many.
    pub count: u64,
    /// All together.
    pub sum_ms: f64,
    /// What half of them do not exceed; null when there are none.
    pub p50_ms: Option<f64>,
    /// What 95 of 100 do not exceed.
    pub p95_ms: Option<f64>,
    /// What 99 of 100 do not exceed.
    pub p99_ms: Option<f64>,
}

impl From<&Counts> for Durations {
    fn from(counts: &Counts) -> Self {
        let percentile = |share| counts.percentile_ns(share).map(milliseconds);
        Self {
            count: counts.total(),
            sum_ms: milliseconds(counts.sum_ns()),
            p50_ms: percentile(0.5),
            p95_ms: percentile(0.95),
            p99_ms: percentile(0.99),
        }
    }
}

/// Durations, with what it takes to find other percentiles, and those of the time between two statuses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Distribution {
    /// In short.
    #[serde(flatten)]
    pub durations: Durations,
    /// Pairs: how many (second) were shorter than that many nanoseconds (first), for each doubling.
    pub below: Vec<(u64, u64)>,
    /// Pairs: how many (second) are in the bucket with that number (first); empty buckets are left out.
    pub buckets: Vec<(usize, u64)>,
}

impl Distribution {
    /// The counts, from which [`Counts::since`] makes those of the time since another status. What cannot be read, because
    /// a later version has other buckets, is as if nothing was counted.
    pub fn counts(&self) -> Counts {
        let sum_ns = (self.durations.sum_ms * 1e6) as u64;
        Counts::heard(self.buckets.iter().copied(), sum_ns).unwrap_or_default()
    }
}

impl From<&Counts> for Distribution {
    fn from(counts: &Counts) -> Self {
        Self {
            durations: Durations::from(counts),
            below: counts.below_doublings().collect(),
            buckets: counts.told().collect(),
        }
    }
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
        let mut done = scoreboard::Totals {
            requests: 4,
            busy_ns: 9_000_000,
            responses: [0, 3, 0, 1, 0],
            ..scoreboard::Totals::default()
        };
        done.service = Counts::heard([(1, 4)], 70_500).unwrap();
        let all = serde_json::to_value(Totals::from(&done)).unwrap();
        assert_eq!((&all["requests"], &all["busy_ms"], &all["responses"]["4xx"]), (&4.into(), &9.into(), &1.into()));
        assert_eq!((&all["service"]["count"], &all["service"]["sum_ms"]), (&4.into(), &0.07.into()));
        assert_eq!(all["service"]["below"][1], serde_json::json!([32_768, 4]));
        assert!(all["queue"]["p99_ms"].is_null());
        assert!(all["service"]["p50_ms"].as_f64().unwrap() < 0.02, "{all}");
    }

    #[test]
    fn percentiles_of_an_interval_come_from_two_statuses() {
        let early = Counts::heard([(40, 100)], 1_000_000).unwrap();
        let mut late = Counts::heard([(90, 2)], 9_000_000_000).unwrap();
        late.add(&early);
        let between = Distribution::from(&late).counts().since(&Distribution::from(&early).counts());
        assert_eq!((between.total(), between.sum_ns()), (2, 9_000_000_000));
        let foreign = Distribution { buckets: [(100_000, 1)].into(), ..Distribution::default() };
        assert_eq!(foreign.counts(), Counts::default());
    }
}
