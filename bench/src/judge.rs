//! What was promised, held against what was measured.

use crate::peers::Peer;
use crate::results::Results;

/// One promise.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) promise: String,
    /// What was measured, in the promise's unit; `None` when one side is missing.
    pub(crate) measured: Option<f64>,
    pub(crate) limit: f64,
    pub(crate) unit: &'static str,
}

impl Verdict {
    /// Whether it was kept.
    pub(crate) fn is_kept(&self) -> Option<bool> {
        self.measured.map(|measured| measured <= self.limit)
    }
}

/// CPU time per request: scenario, whose figure is the measure, and the factor promised.
const RATIOS: &[(&str, Peer, f64)] = &[
    ("hello-close", Peer::Unicorn, 0.60),
    ("hello-close", Peer::Uwsgi, 0.85),
    ("hello-close", Peer::BareClose, 1.3),
    ("hello-keep-alive", Peer::Puma, 0.20),
    ("hello-keep-alive", Peer::BareEpoll, 1.5),
    ("sinatra-close", Peer::Unicorn, 0.80),
    ("sinatra-keep-alive", Peer::Puma, 0.70),
    ("behind-nginx", Peer::Unicorn, 0.50),
    ("download", Peer::Unicorn, 1.0),
    ("upload", Peer::Unicorn, 0.7),
];

/// Judges every promise.
pub(crate) fn judge(results: &Results) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = RATIOS
        .iter()
        .map(|(scenario, peer, limit)| {
            let of = |peer: Peer| {
                let table = results.throughput.iter().find(|table| table.name == *scenario)?;
                table.rows.iter().find(|row| row.peer == peer).map(|row| row.cpu_us)
            };
            let ratio = of(Peer::Licorne).zip(of(*peer)).map(|(ours, theirs)| ours / theirs);
            let promise = format!("{scenario}: CPU per request, times {}'s", peer.name());
            Verdict { promise, measured: ratio, limit: *limit, unit: "x" }
        })
        .collect();

    let memory = |peer: Peer| results.memory.iter().find(|row| row.peer == peer);
    verdicts.push(Verdict {
        promise: "memory: total PSS after 5,000 requests, above unicorn's".to_owned(),
        measured: memory(Peer::Licorne).zip(memory(Peer::Unicorn)).map(|(ours, theirs)| ours.pss_mib - theirs.pss_mib),
        limit: 4.0,
        unit: "MiB",
    });
    verdicts.push(Verdict {
        promise: "memory: the master's own RSS".to_owned(),
        measured: memory(Peer::Licorne).map(|row| row.master_rss_mib),
        limit: 6.0,
        unit: "MiB",
    });

    let most = |masters: bool| {
        let ours = results.idle.iter().filter(|row| row.peer == Peer::Licorne && row.is_master == masters);
        ours.map(|row| row.calls_per_second.max(row.wakeups_per_second)).reduce(f64::max)
    };
    verdicts.push(Verdict {
        promise: "idle: wake-ups per second of mold and workers".to_owned(),
        measured: most(false),
        limit: 0.0,
        unit: "/s",
    });
    verdicts.push(Verdict {
        promise: "idle: wake-ups per second of the master".to_owned(),
        measured: most(true),
        limit: 1.0,
        unit: "/s",
    });

    let hurt = results.hurt.iter().find(|row| row.peer == Peer::Licorne);
    verdicts.push(Verdict {
        promise: "among clients that hurt: p99 of a normal client, times its own alone".to_owned(),
        measured: hurt.and_then(|row| Some(row.among.p99_ms? / row.alone.p99_ms?)),
        limit: 5.0,
        unit: "x",
    });
    verdicts.push(Verdict {
        promise: "among clients that hurt: requests that failed".to_owned(),
        measured: hurt.map(|row| row.among.failed as f64),
        limit: 0.0,
        unit: "",
    });

    let env = results.engine.iter().find(|row| row.request == "browser" && row.what == "env");
    verdicts.push(Verdict {
        promise: "engine: a browser's request parsed and its env prepared, times httparse's instructions".to_owned(),
        measured: env.map(|row| row.times),
        limit: 2.5,
        unit: "x",
    });

    let start = |peer: Option<Peer>| results.startup.iter().find(|row| row.peer == peer).map(|row| row.milliseconds);
    verdicts.push(Verdict {
        promise: "start to first response, times ruby's in-process".to_owned(),
        measured: start(Some(Peer::Licorne)).zip(start(None)).map(|(ours, ruby)| ours / ruby),
        limit: 1.15,
        unit: "x",
    });
    verdicts
}
