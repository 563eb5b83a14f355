//! What was promised, held against what was measured.

use crate::peers::Peer;
use crate::results::Results;
use crate::{fleet, memory, paced, throughput};

/// What a figure may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

/// One promise, judged.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) promise: String,
    /// In the promise's unit, or why there is none.
    pub(crate) measured: Result<f64, String>,
    pub(crate) limit: Limit,
    pub(crate) unit: &'static str,
}

impl Verdict {
    /// Whether it was kept.
    pub(crate) fn is_kept(&self) -> Option<bool> {
        let measured = *self.measured.as_ref().ok()?;
        Some(match self.limit {
            Limit::AtMost(limit) => measured <= limit,
            Limit::AtLeast(limit) => measured >= limit,
        })
    }
}

/// Finds a figure of these servers; `None` where its scenario was not run.
type Find = fn(&Results) -> Option<f64>;

/// CPU time per request of Licorne: the scenario, whose figure is the measure, and the factor promised.
const CPU: &[(&str, Peer, f64)] = &[
    ("hello-close", Peer::BareClose, 1.03),
    ("hello-close", Peer::Unicorn, 0.20),
    ("hello-close", Peer::Puma, 0.10),
    ("hello-keep-alive", Peer::BareEpoll, 1.15),
    ("hello-keep-alive", Peer::Puma, 0.12),
    ("sinatra-close", Peer::BareLoop, 1.08),
    ("sinatra-close", Peer::Unicorn, 0.57),
    ("sinatra-keep-alive", Peer::BareLoop, 1.08),
    ("rails-api-close", Peer::BareLoop, 1.08),
    ("rails-api-keep-alive", Peer::BareLoop, 1.08),
    ("rails-api-keep-alive", Peer::Puma, 0.70),
    ("behind-nginx", Peer::Unicorn, 0.50),
    ("download", Peer::Unicorn, 1.0),
    ("upload", Peer::Unicorn, 0.70),
];

const TIMES: &str = "×";

/// All others: what, of which servers, the limit, its unit, and where the figure is.
const OTHERS: &[(&str, &[Peer], Limit, &str, Find)] = &[
    ("large heap at a fixed rate: p99, times unicorn's", &[Peer::Unicorn], Limit::AtMost(0.20), TIMES, |all| {
        Some(tail(all, Peer::Licorne)?.ms[2] / tail(all, Peer::Unicorn)?.ms[2])
    }),
    ("large heap at a fixed rate: p99, times puma's (one thread)", &[Peer::Puma], Limit::AtMost(0.12), TIMES, |all| {
        Some(tail(all, Peer::Licorne)?.ms[2] / tail(all, Peer::Puma)?.ms[2])
    }),
    (
        "large heap at a fixed rate: p99 with gc :between_requests, times that without",
        &[Peer::LicorneGc],
        Limit::AtMost(0.5),
        TIMES,
        |all| Some(tail(all, Peer::LicorneGc)?.ms[2] / tail(all, Peer::Licorne)?.ms[2]),
    ),
    (
        "large heap at a fixed rate: longest with gc :between_requests",
        &[Peer::LicorneGc],
        Limit::AtMost(30.0),
        "ms",
        |all| Some(tail(all, Peer::LicorneGc)?.ms[4]),
    ),
    (
        "memory, Rails, 16 workers, 20,000 requests: PSS, times unicorn's",
        &[Peer::Unicorn],
        Limit::AtMost(0.80),
        TIMES,
        |all| Some(rails(all, Peer::Licorne)?.loaded / rails(all, Peer::Unicorn)?.loaded),
    ),
    ("the same with refork_after", &[Peer::LicorneRefork, Peer::Unicorn], Limit::AtMost(0.60), TIMES, |all| {
        Some(rails(all, Peer::LicorneRefork)?.loaded / rails(all, Peer::Unicorn)?.loaded)
    }),
    ("the same: shared part of PSS right after a refork", &[Peer::LicorneRefork], Limit::AtLeast(75.0), "%", |all| {
        Some(rails(all, Peer::LicorneRefork)?.reforked? * 100.0)
    }),
    ("memory, hello: PSS of a further idle worker", &[], Limit::AtMost(0.8), "MB", |all| {
        Some(many(all, Peer::Licorne)?.further_worker_mb())
    }),
    ("the same, times unicorn's", &[Peer::Unicorn], Limit::AtMost(1.0), TIMES, |all| {
        Some(many(all, Peer::Licorne)?.further_worker_mb() / many(all, Peer::Unicorn)?.further_worker_mb())
    }),
    ("boot of 128 workers, times unicorn's", &[Peer::Unicorn], Limit::AtMost(1.3), TIMES, |all| {
        Some(many(all, Peer::Licorne)?.boot[2] / many(all, Peer::Unicorn)?.boot[2])
    }),
    (
        "memory, hello, 64 workers after load: PSS, times unicorn's",
        &[Peer::Unicorn],
        Limit::AtMost(0.40),
        TIMES,
        |all| {
            let of = |peer| memory_row(all, "memory-hello-64", peer).map(|row| row.loaded);
            Some(of(Peer::Licorne)? / of(Peer::Unicorn)?)
        },
    ),
    ("after a reload with warm_up: p99, times that before", &[Peer::LicorneWarm], Limit::AtMost(1.15), TIMES, |all| {
        let row = paced_row(all, "after-reload", Peer::LicorneWarm)?;
        Some(row.ms[2] / row.p99_before?)
    }),
    (
        "Ruby 3.4, gc :between_requests: full collections within requests",
        &[Peer::Licorne34Gc],
        Limit::AtMost(0.0),
        "",
        |all| Some(ruby34(all, Peer::Licorne34Gc)?.majors[0] as f64),
    ),
    ("the same: p99, times the default's", &[Peer::Licorne34Gc], Limit::AtMost(0.80), TIMES, |all| {
        Some(ruby34(all, Peer::Licorne34Gc)?.ms[2] / ruby34(all, Peer::Licorne34)?.ms[2])
    }),
    (
        "the same: requests a second without a rate, times the default's",
        &[Peer::Licorne34Gc],
        Limit::AtLeast(0.97),
        TIMES,
        |all| Some(ruby34(all, Peer::Licorne34Gc)?.capacity / ruby34(all, Peer::Licorne34)?.capacity),
    ),
    ("the same: PSS, times the default's", &[Peer::Licorne34Gc], Limit::AtMost(1.10), TIMES, |all| {
        Some(ruby34(all, Peer::Licorne34Gc)?.pss / ruby34(all, Peer::Licorne34)?.pss)
    }),
    (
        "a request that comes while one of two workers collects and the other is idle: longest wait",
        &[Peer::Licorne34Gc],
        Limit::AtMost(5.0),
        "ms",
        |all| {
            let row = paced_row(all, "gc-wait", Peer::Licorne34Gc)?;
            // Without a collection nothing waits for one.
            (row.majors[1] > 0).then_some(row.longest_wait_ms)
        },
    ),
    (
        "balance :even, 16 workers, new connections: requests, highest for each of the lowest",
        &[Peer::LicorneEven],
        Limit::AtMost(1.5),
        TIMES,
        |all| Some(paced_row(all, "fairness-close", Peer::LicorneEven)?.spread),
    ),
    ("the same, kept alive", &[Peer::LicorneEven], Limit::AtMost(1.5), TIMES, |all| {
        Some(paced_row(all, "fairness-keep-alive", Peer::LicorneEven)?.spread)
    }),
    (
        "64 workers, 64 clients on the same CPUs: requests a second, times those with 2 workers",
        &[],
        Limit::AtLeast(0.95),
        TIMES,
        |all| {
            let of = |workers| Some(cpu_row(all, "many-workers", Peer::Licorne, workers)?.per_second);
            Some(of(64)? / of(2)?)
        },
    ),
    (
        "memory, Sinatra, 4 workers: PSS after load, above unicorn's",
        &[Peer::Unicorn],
        Limit::AtMost(4.0),
        "MiB",
        |all| {
            let of = |peer| memory_row(all, "memory-sinatra-4", peer).map(|row| row.loaded);
            Some(of(Peer::Licorne)? - of(Peer::Unicorn)?)
        },
    ),
    ("memory: the master's own RSS", &[], Limit::AtMost(6.0), "MiB", |all| {
        Some(memory_row(all, "memory-sinatra-4", Peer::Licorne)?.master)
    }),
    ("idle: wake-ups per second of mold and workers", &[], Limit::AtMost(0.0), "/s", |all| most_wakeups(all, false)),
    ("idle: wake-ups per second of the master", &[], Limit::AtMost(1.0), "/s", |all| most_wakeups(all, true)),
    ("among clients that hurt: p99 of a normal client, times its own alone", &[], Limit::AtMost(5.0), TIMES, |all| {
        let row = all.hurt.iter().find(|row| row.peer == Peer::Licorne)?;
        Some(row.among.p99_ms? / row.alone.p99_ms?)
    }),
    ("among clients that hurt: requests that failed", &[], Limit::AtMost(0.0), "", |all| {
        Some(all.hurt.iter().find(|row| row.peer == Peer::Licorne)?.among.failed as f64)
    }),
    (
        "engine: a browser's request parsed and its env prepared, times httparse's instructions",
        &[],
        Limit::AtMost(2.5),
        TIMES,
        |all| Some(all.engine.iter().find(|row| row.request == "browser" && row.what == "env")?.times),
    ),
    ("start to first response, times ruby's in-process", &[], Limit::AtMost(1.15), TIMES, |all| {
        let of = |peer| Some(all.startup.iter().find(|row| row.peer == peer)?.milliseconds);
        Some(of(Some(Peer::Licorne))? / of(None)?)
    }),
];

/// Judges every promise.
pub(crate) fn judge(results: &Results) -> Vec<Verdict> {
    let cpu = CPU.iter().map(|(scenario, peer, limit)| {
        let of = |peer| cpu_row(results, scenario, peer, 1).map(|row| row.cpu_us);
        Verdict {
            promise: format!("{scenario}: CPU per request, times {}'s", peer.name()),
            measured: of(Peer::Licorne).zip(of(*peer)).map(|(ours, theirs)| ours / theirs).ok_or_else(|| why(&[*peer])),
            limit: Limit::AtMost(*limit),
            unit: TIMES,
        }
    });
    let others = OTHERS.iter().map(|(promise, peers, limit, unit, find)| Verdict {
        promise: (*promise).to_owned(),
        measured: find(results).filter(|figure| !figure.is_nan()).ok_or_else(|| why(peers)),
        limit: *limit,
        unit,
    });
    cpu.chain(others).collect()
}

/// Why there is no figure of Licorne and these servers.
fn why(peers: &[Peer]) -> String {
    let all = [Peer::Licorne].into_iter().chain(peers.iter().copied());
    all.filter_map(Peer::absence)
        .next()
        .unwrap_or_else(|| "its scenario was not run, or what it looks for did not happen".into())
}

fn cpu_row<'a>(all: &'a Results, scenario: &str, peer: Peer, workers: usize) -> Option<&'a throughput::Row> {
    let table = all.throughput.iter().find(|table| table.name == scenario)?;
    table.rows.iter().find(|row| row.peer == peer && row.workers == workers)
}

fn memory_row<'a>(all: &'a Results, scenario: &str, peer: Peer) -> Option<&'a memory::Row> {
    all.memory.iter().find(|table| table.name == scenario)?.rows.iter().find(|row| row.peer == peer)
}

fn rails(all: &Results, peer: Peer) -> Option<&memory::Row> {
    memory_row(all, "memory-rails-16", peer)
}

fn many(all: &Results, peer: Peer) -> Option<&fleet::Row> {
    all.fleet.iter().find(|row| row.peer == peer)
}

fn paced_row<'a>(all: &'a Results, scenario: &str, peer: Peer) -> Option<&'a paced::Row> {
    all.paced.iter().find(|table| table.name == scenario)?.rows.iter().find(|row| row.peer == peer)
}

fn tail(all: &Results, peer: Peer) -> Option<&paced::Row> {
    paced_row(all, "tail", peer)
}

fn ruby34(all: &Results, peer: Peer) -> Option<&paced::Row> {
    paced_row(all, "ruby34-gc", peer)
}

fn most_wakeups(all: &Results, masters: bool) -> Option<f64> {
    let ours = all.idle.iter().filter(|row| row.peer == Peer::Licorne && row.is_master == masters);
    ours.map(|row| row.calls_per_second.max(row.wakeups_per_second)).reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(measured: Result<f64, String>, limit: Limit) -> Verdict {
        Verdict { promise: String::new(), measured, limit, unit: "" }
    }

    #[test]
    fn a_limit_is_within_and_what_is_not_measured_is_not_judged() {
        let most = Limit::AtMost(0.8);
        let least = Limit::AtLeast(0.8);
        let kept = |measured, limit| verdict(Ok(measured), limit).is_kept();
        assert_eq!([0.7, 0.8, 0.9].map(|measured| kept(measured, most)), [Some(true), Some(true), Some(false)]);
        assert_eq!([0.7, 0.8, 0.9].map(|measured| kept(measured, least)), [Some(false), Some(true), Some(true)]);
        assert_eq!(verdict(Err("absent".into()), most).is_kept(), None);
    }

    #[test]
    fn a_scenario_that_was_not_run_gives_no_figure() {
        let verdicts = judge(&Results::default());
        assert_eq!(verdicts.len(), CPU.len() + OTHERS.len());
        assert!(verdicts.iter().all(|verdict| verdict.measured.as_ref().is_err_and(|why| !why.is_empty())));
    }

    #[test]
    fn every_promise_of_cpu_time_names_a_scenario_that_has_both_sides() {
        for (scenario, peer, _) in CPU {
            let found = throughput::SCENARIOS.iter().find(|known| known.name == *scenario).expect("a scenario");
            assert!(found.has(Peer::Licorne) && found.has(*peer), "{scenario}");
        }
    }

    #[test]
    fn a_ratio_is_ours_for_each_of_theirs() {
        let row = |peer, per_second, workers| throughput::Row {
            peer,
            workers,
            cpu_us: per_second,
            lowest_us: 0.0,
            highest_us: 0.0,
            per_second,
            p50_ms: 0.0,
            p99_ms: 0.0,
            errors: 0,
            waited: 0.0,
        };
        let table = |name, rows| throughput::Table { name, title: "", rows };
        let results = Results {
            throughput: vec![
                table("hello-close", vec![row(Peer::Licorne, 9.0, 1), row(Peer::Unicorn, 50.0, 1)]),
                table("many-workers", vec![row(Peer::Licorne, 100.0, 2), row(Peer::Licorne, 90.0, 64)]),
            ],
            ..Results::default()
        };
        let verdicts = judge(&results);
        let of = |promise: &str| {
            let verdict = verdicts.iter().find(|verdict| verdict.promise.starts_with(promise)).expect("a promise");
            (verdict.measured.clone(), verdict.is_kept())
        };
        assert_eq!(of("hello-close: CPU per request, times unicorn's"), (Ok(0.18), Some(true)));
        assert_eq!(of("64 workers, 64 clients"), (Ok(0.9), Some(false)));
        assert!(of("hello-close: CPU per request, times puma's").0.is_err());
    }
}
