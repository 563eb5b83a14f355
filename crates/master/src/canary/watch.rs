//! A trial under way: what both sides have done since it began.

use std::collections::BTreeMap;
use std::fmt;

use scoreboard::Totals;
use scoreboard::histogram::Counts;
use supervisor::{Generation, Supervisor, Trial, WorkerId};

use crate::canary::compare::{Limits, Side, worse};
use crate::children::registry::Children;

/// How often both sides are compared, in ns.
const EACH_NS: u64 = 1_000_000_000;
/// How many requests a worker has done before its service times count: it is cold before.
const WARM: u64 = 20;
/// A request that is older may hang, in ns. Of an application that has had longer ones it has to be older than these.
const HANGS_NS: u64 = 10_000_000_000;
/// How many times as old as the longest one so far.
const HANGS_TIMES: u64 = 4;

/// The trial under way, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Canary(Option<Watch>);

#[derive(Debug)]
struct Watch {
    edition: Generation,
    limits: Limits,
    hangs_ns: u64,
    next_ns: u64,
    /// What each worker had done before.
    before: BTreeMap<WorkerId, Totals>,
    /// The service times of each worker before it was warm.
    cold: BTreeMap<WorkerId, Counts>,
    /// What workers have done that are no more.
    gone: Sides,
    /// What both sides have done, as of the last look.
    seen: Sides,
}

/// Both sides.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sides {
    pub(crate) new: Side,
    pub(crate) old: Side,
}

impl Sides {
    fn of(&mut self, is_new: bool) -> &mut Side {
        if is_new { &mut self.new } else { &mut self.old }
    }
}

/// In a line of the log.
impl fmt::Display for Sides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { new, old } = self;
        let (new, old) = ((new.requests, new.errors), (old.requests, old.errors));
        write!(f, ": {} requests, {} with 5xx; {} and {} on the old workers", new.0, new.1, old.0, old.1)
    }
}

impl Canary {
    /// New workers come, and are on trial.
    pub(crate) fn begin(&mut self, trial: Trial, limits: Limits, children: &Children) {
        let longest_ns = children.totals().service.percentile_ns(1.0).unwrap_or(0);
        self.0 = Some(Watch {
            edition: trial.edition,
            limits,
            hangs_ns: HANGS_NS.max(longest_ns.saturating_mul(HANGS_TIMES)),
            next_ns: 0,
            before: children.workers().map(|(id, worker)| (id, worker.totals())).collect(),
            cold: BTreeMap::new(),
            gone: Sides::default(),
            seen: Sides::default(),
        });
    }

    /// The trial is over.
    pub(crate) fn end(&mut self) {
        self.0 = None;
    }

    /// When to look again (CLOCK_MONOTONIC, ns).
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.0.as_ref().map(|watch| watch.next_ns)
    }

    /// What both sides have done.
    pub(crate) fn seen(&self) -> Option<&Sides> {
        self.0.as_ref().map(|watch| &watch.seen)
    }

    /// A worker is about to be forgotten. `lost_by`: how it was lost, if nothing had asked it to leave.
    pub(crate) fn worker_gone(&mut self, id: WorkerId, edition: Generation, totals: &Totals, lost_by: Option<String>) {
        let Some(watch) = &mut self.0 else { return };
        let is_new = edition == watch.edition;
        let service = watch.warm_service(id, totals);
        let before = watch.before.remove(&id);
        watch.cold.remove(&id);
        let side = watch.gone.of(is_new);
        side.add(totals, before.as_ref(), service);
        if lost_by.is_some() {
            side.lost += 1;
            side.lost_by = lost_by;
        }
    }

    /// Whether it is time to look.
    pub(crate) fn is_due(&self, trial: Trial, now_ns: u64) -> bool {
        let ends = trial.until.is_some_and(|until| until.0 <= now_ns);
        self.0.as_ref().is_some_and(|watch| now_ns >= watch.next_ns || ends)
    }

    /// Compares; `private` tells the private memory of a process. Returns in what the new workers are worse.
    pub(crate) fn look(
        &mut self,
        supervisor: &Supervisor,
        children: &Children,
        private: impl Fn(u32) -> Option<u64>,
        now_ns: u64,
    ) -> Option<String> {
        let watch = self.0.as_mut()?;
        watch.next_ns = now_ns.saturating_add(EACH_NS);
        watch.gather(supervisor, children, private, now_ns);
        worse(&watch.seen.new, &watch.seen.old, watch.limits)
    }
}

impl Watch {
    fn gather(
        &mut self,
        supervisor: &Supervisor,
        children: &Children,
        private: impl Fn(u32) -> Option<u64>,
        now_ns: u64,
    ) {
        let known: Vec<_> = children
            .workers()
            .filter_map(|(id, worker)| Some((id, worker, supervisor.worker(id)?.edition == self.edition)))
            .collect();
        let mut sides = self.gone.clone();
        let all: Vec<_> = known.iter().map(|(id, worker, is_new)| (*id, worker.totals(), *is_new)).collect();
        self.note_warm(&all);
        for ((id, totals, is_new), (_, worker, _)) in all.iter().zip(&known) {
            let service = self.warm_service(*id, totals);
            let side = sides.of(*is_new);
            side.add(totals, self.before.get(id), service);
            let since_ns = worker.seat.look().request_start_ns().filter(|_| worker.is_ready());
            if let Some(age_ns) = since_ns.map(|ns| now_ns.saturating_sub(ns)).filter(|age| *age >= self.hangs_ns) {
                side.lost += 1;
                side.lost_by = Some(format!("a request of {} s", age_ns / 1_000_000_000));
            }
            side.private_bytes = side.private_bytes.max(worker.pid().and_then(&private));
        }
        // A worker may be gone with what it took.
        self.gone.new.private_bytes = sides.new.private_bytes;
        self.gone.old.private_bytes = sides.old.private_bytes;
        self.seen = sides;
    }

    /// From when on the service times of workers count: those of the old ones from when the first new one is warm.
    fn note_warm(&mut self, all: &[(WorkerId, Totals, bool)]) {
        let is_warm = |watch: &Self, id: &WorkerId, totals: &Totals| {
            let before = watch.before.get(id).map_or(0, |before| before.requests);
            totals.requests.saturating_sub(before) >= WARM
        };
        let begins =
            self.cold.is_empty() && all.iter().any(|(id, totals, is_new)| *is_new && is_warm(self, id, totals));
        if begins {
            let old = all.iter().filter(|(.., is_new)| !is_new);
            self.cold.extend(old.map(|(id, totals, _)| (*id, totals.service.clone())));
        }
        if begins || !self.cold.is_empty() {
            for (id, totals, _) in all {
                if !self.cold.contains_key(id) && is_warm(self, id, totals) {
                    self.cold.insert(*id, totals.service.clone());
                }
            }
        }
    }

    fn warm_service(&self, id: WorkerId, totals: &Totals) -> Option<Counts> {
        self.cold.get(&id).map(|cold| totals.service.since(cold))
    }
}

impl Side {
    /// Adds what a worker has done, but for what it had done before.
    fn add(&mut self, totals: &Totals, before: Option<&Totals>, service: Option<Counts>) {
        let since = |now: u64, then: Option<u64>| now.saturating_sub(then.unwrap_or(0));
        let [.., errors] = totals.responses;
        let errors_before = before.map(|before| before.responses[before.responses.len() - 1]);
        self.requests = self.requests.saturating_add(since(totals.requests, before.map(|before| before.requests)));
        self.errors = self.errors.saturating_add(since(errors, errors_before));
        if let Some(service) = service {
            self.service.add(&service);
        }
    }
}
