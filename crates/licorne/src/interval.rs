//! What has happened between two statuses of a server.

use std::collections::BTreeMap;

use facts::{Durations, Status};

/// The difference.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Interval {
    /// Requests that were finished, each second.
    pub(crate) requests: f64,
    /// How long they were in the application.
    pub(crate) service: Durations,
    /// How long they waited for a worker.
    pub(crate) queue: Durations,
    /// The share of the time in which no worker was idle; `None` when the master does not count it.
    pub(crate) saturation: Option<f64>,
    /// By slot and generation.
    pub(crate) workers: BTreeMap<(u32, u32), Work>,
}

/// What a worker did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Work {
    /// Requests that it has finished, each second.
    pub(crate) requests: f64,
    /// Processor time in percent of one processor.
    pub(crate) cpu: Option<f64>,
    /// Time in which it collected garbage, in percent.
    pub(crate) gc: Option<f64>,
}

impl Interval {
    /// What has happened in these seconds, which are more than none. `None` when the statuses are of two servers.
    pub(crate) fn between(before: &Status, after: &Status, seconds: f64) -> Option<Self> {
        // An upgrade in place keeps both; another server has its own process, or began anew.
        let is_same = before.pid == after.pid && (before.started_at - after.started_at).abs() < 1.0;
        if !is_same || seconds <= 0.0 {
            return None;
        }
        let (early, late) = (&before.totals, &after.totals);
        let since = |late: &facts::Distribution, early: &facts::Distribution| {
            Durations::from(&late.counts().since(&early.counts()))
        };
        let saturated = after.saturated_s.zip(before.saturated_s).map(|(late, early)| (late - early) / seconds);
        Some(Self {
            requests: late.requests.saturating_sub(early.requests) as f64 / seconds,
            service: since(&late.service, &early.service),
            queue: since(&late.queue, &early.queue),
            saturation: saturated.map(|share| share.clamp(0.0, 1.0)),
            workers: workers(before, after, seconds),
        })
    }

    /// What this worker did; nothing when it was not there before.
    pub(crate) fn of(&self, worker: &facts::Worker) -> Work {
        self.workers.get(&(worker.slot, worker.generation)).copied().unwrap_or_default()
    }
}

fn workers(before: &Status, after: &Status, seconds: f64) -> BTreeMap<(u32, u32), Work> {
    let mut all = BTreeMap::new();
    for late in &after.workers {
        let same = |early: &&facts::Worker| (early.slot, early.pid) == (late.slot, late.pid);
        let Some(early) = before.workers.iter().find(same) else { continue };
        let percent = |(late, early): (u64, u64)| late.saturating_sub(early) as f64 / 10.0 / seconds;
        let cpu = late.cpu_ms.zip(early.cpu_ms);
        let work = Work {
            requests: late.requests.saturating_sub(early.requests) as f64 / seconds,
            cpu: cpu.map(percent),
            // It is told after the request that a collection fell into, also that of a time before.
            gc: late.gc.time_ms.zip(early.gc.time_ms).map(percent).map(|gc| gc.min(100.0)),
        };
        all.insert((late.slot, late.generation), work);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use facts::{Distribution, Totals, Worker};

    fn status(requests: u64, slow: u64, cpu_ms: u64) -> Status {
        let service = Distribution {
            durations: Durations { count: requests + slow, ..Durations::default() },
            buckets: vec![(1, requests), (90, slow)],
            ..Distribution::default()
        };
        let gc = facts::Gc { time_ms: Some(cpu_ms / 5), ..facts::Gc::default() };
        let worker =
            Worker { slot: 1, generation: 2, pid: Some(9), requests, cpu_ms: Some(cpu_ms), gc, ..Worker::default() };
        Status {
            pid: 7,
            started_at: 100.0,
            saturated_s: Some(requests as f64 / 10.0),
            totals: Totals { requests: requests + slow, service, ..Totals::default() },
            workers: vec![worker],
            ..Status::default()
        }
    }

    #[test]
    fn rates_and_percentiles_are_those_of_the_time_between() {
        let (early, late) = (status(1000, 0, 500), status(1010, 2, 1500));
        let interval = Interval::between(&early, &late, 2.0).unwrap();
        assert_eq!((interval.requests, interval.saturation), (6.0, Some(0.5)));
        assert_eq!(interval.of(&late.workers[0]), Work { requests: 5.0, cpu: Some(50.0), gc: Some(10.0) });
        assert!(interval.service.p50_ms < Some(0.1) && interval.service.p95_ms > Some(1.0), "{interval:?}");
        assert_eq!((interval.service.count, interval.queue.p50_ms), (12, None));
    }

    #[test]
    fn another_server_and_another_worker_begin_at_nothing() {
        let (early, late) = (status(1000, 0, 500), status(10, 0, 20));
        assert_eq!(Interval::between(&early, &Status { pid: 8, ..late.clone() }, 1.0), None);
        assert_eq!(Interval::between(&early, &Status { started_at: 500.0, ..late.clone() }, 1.0), None);
        let other = Worker { pid: Some(10), ..late.workers[0].clone() };
        let interval = Interval::between(&early, &Status { workers: vec![other.clone()], ..late }, 1.0).unwrap();
        assert_eq!((interval.requests, interval.of(&other)), (0.0, Work::default()));
    }
}
