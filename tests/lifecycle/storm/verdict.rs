//! What clients saw and what the application has noted, held against each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Instant;

use super::clients::{Attempt, Closed, Outcome, Saw};
use super::ledger::Ledger;

/// A request of the test itself, not of a client.
const ITS_OWN: u64 = 0;
/// How many complaints are shown.
const SHOWN: usize = 20;

/// A worker was killed at some time between these.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blow {
    pub(crate) pid: u32,
    pub(crate) from: Instant,
    pub(crate) to: Instant,
}

/// The judgement.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    answered: usize,
    left: usize,
    turned_away: usize,
    deaths: usize,
    /// Requests that a killed worker had begun and not finished.
    lost_in_call: usize,
    /// Requests whose answer a killed worker had not sent.
    lost_after_call: usize,
    /// Requests on connections of a killed worker that it had not begun.
    lost_before_call: usize,
    /// Kept connections that ended with a killed worker before the next request.
    closed_with_worker: usize,
    /// Connections that were closed to make room.
    displaced: usize,
    complaints: Vec<String>,
}

impl Verdict {
    /// Judges. `may_displace`: the server may close idle connections to make room.
    pub(crate) fn on(saw: &Saw, blows: &[Blow], ledger: &Ledger, may_displace: bool) -> Verdict {
        let mut verdict = Verdict { complaints: saw.wrong.clone(), ..Verdict::default() };
        verdict.complaints.extend(ledger.spoiled.iter().map(|line| format!("noted: {line:?}")));
        let blows = with_crashes(saw, blows, ledger, may_displace, &mut verdict);
        verdict.deaths = blows.len();
        for attempt in &saw.attempts {
            verdict.judge(attempt, saw, &blows, ledger, may_displace);
        }
        for Closed { pid, since, until } in saw.closed.iter().copied() {
            if struck(&blows, since, until) {
                verdict.closed_with_worker += 1;
            } else if may_displace {
                verdict.displaced += 1;
            } else {
                let (asked, closed) = (saw.at(since), saw.at(until));
                let text =
                    format!("a kept connection was closed: asked at {asked}, answered by {pid}, closed at {closed}");
                verdict.complaints.push(text);
            }
        }
        verdict.judge_calls(saw, &blows, ledger);
        verdict
    }

    fn judge(&mut self, attempt: &Attempt, saw: &Saw, blows: &[Blow], ledger: &Ledger, may_displace: bool) {
        let calls = ledger.calls(attempt.id);
        let mut complain = |what: &str| {
            let (since, until) = (saw.at(attempt.since), saw.at(attempt.until));
            let Attempt { what: asked, outcome, .. } = attempt;
            self.complaints.push(format!("{what}: {asked}, {outcome:?} between {since} and {until}, {calls:?}"));
        };
        if calls.begun.len() > 1 || calls.ended.len() > 1 {
            complain("a request was served twice");
        }
        match attempt.outcome {
            Outcome::Answered(pid) => {
                if calls.begun != [pid] || calls.ended != [pid] {
                    complain("a request was answered by a process that did not serve it");
                }
                self.answered += 1;
            }
            Outcome::TurnedAway if !calls.begun.is_empty() => complain("a request was served that was turned away"),
            Outcome::TurnedAway => self.turned_away += 1,
            Outcome::Left | Outcome::Crashed => self.left += 1,
            Outcome::Lost(how) => {
                let struck = struck(blows, attempt.since, attempt.until);
                let of_dead = |pids: &[u32]| blows.iter().any(|blow| pids.contains(&blow.pid));
                match (&calls.begun[..], &calls.ended[..]) {
                    ([], _) if struck => self.lost_before_call += 1,
                    // Where no connection is idle, one makes room whose request has not come whole.
                    ([], _) if may_displace && how == "reset" => self.displaced += 1,
                    (begun, []) if struck && of_dead(begun) => self.lost_in_call += 1,
                    (begun, _) if struck && of_dead(begun) => self.lost_after_call += 1,
                    _ => complain("a request was lost, and no worker of its was killed"),
                }
            }
        }
    }

    /// Each call is of a client's request, and a process that was killed was in one at most.
    fn judge_calls(&mut self, saw: &Saw, blows: &[Blow], ledger: &Ledger) {
        let asked: BTreeSet<u64> = saw.attempts.iter().map(|attempt| attempt.id).collect();
        let mut unfinished: BTreeMap<u32, usize> = BTreeMap::new();
        for id in ledger.ids().filter(|id| *id != ITS_OWN) {
            let calls = ledger.calls(id);
            if !asked.contains(&id) {
                self.complaints.push(format!("nobody asked for {id:016x}: {calls:?}"));
            }
            for pid in calls.begun.iter().filter(|pid| !calls.ended.contains(pid)) {
                *unfinished.entry(*pid).or_default() += 1;
            }
        }
        for (pid, count) in unfinished {
            // In a long storm a process id comes again.
            if count > blows.iter().filter(|blow| blow.pid == pid).count() {
                self.complaints.push(format!("process {pid} has left {count} calls unfinished"));
            }
        }
    }

    /// What is wrong, if anything is.
    pub(crate) fn complaints(&self) -> Option<String> {
        let shown = self.complaints.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n");
        (!self.complaints.is_empty()).then(|| format!("{} complaints:\n{shown}", self.complaints.len()))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { answered, left, turned_away, deaths, lost_in_call, lost_after_call, lost_before_call, .. } = self;
        write!(
            f,
            "{answered} answered, {left} left, {turned_away} turned away; {deaths} workers killed, with which ended "
        )?;
        write!(f, "{lost_in_call} requests in a call, {lost_after_call} after it, {lost_before_call} before it, ")?;
        write!(f, "and {} connections between two requests; ", self.closed_with_worker)?;
        write!(f, "{} connections displaced, {} complaints", self.displaced, self.complaints.len())
    }
}

/// The blows, with those of requests that killed their own worker.
fn with_crashes(saw: &Saw, blows: &[Blow], ledger: &Ledger, may_displace: bool, verdict: &mut Verdict) -> Vec<Blow> {
    let mut all = blows.to_vec();
    for attempt in saw.attempts.iter().filter(|attempt| attempt.outcome == Outcome::Crashed) {
        match ledger.calls(attempt.id).begun[..] {
            [pid] => all.push(Blow { pid, from: attempt.since, to: attempt.until }),
            // Another blow was faster.
            [] if may_displace || struck(blows, attempt.since, attempt.until) => {}
            _ => verdict.complaints.push(format!("a request that kills its worker was lost before: {}", attempt.what)),
        }
    }
    all
}

/// Whether a worker was killed in this time.
fn struck(blows: &[Blow], since: Instant, until: Instant) -> bool {
    blows.iter().any(|blow| blow.from <= until && since <= blow.to)
}
