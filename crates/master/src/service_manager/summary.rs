//! The state of the service in one line, for `systemctl status`.

use supervisor::{Fact, Phase, SuccessorPhase, Supervisor, WorkerState};
use sys::text::printable;

use crate::causes::Causes;
use crate::children::registry::Children;

/// What has happened and is told of.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// Why the last reload failed, if it did.
    reload_failure: Option<String>,
    /// Why the first boot failed, if it did.
    boot_failure: Option<String>,
}

impl Past {
    /// Remembers how a reload ended, if that is what this fact tells.
    pub(crate) fn note(&mut self, fact: Fact, causes: &Causes) {
        match fact {
            Fact::ReloadStarted { .. } | Fact::RollServing { .. } => self.reload_ended(None),
            Fact::ReloadFailed { why, .. } | Fact::RollBack { why, .. } => self.reload_ended(Some(&causes.text(why))),
            _ => {}
        }
    }

    fn reload_ended(&mut self, failure: Option<&str>) {
        self.reload_failure = failure.and_then(|text| text.lines().next()).map(|line| printable(line).into_owned());
    }

    /// Remembers why there will be no service.
    pub(crate) fn boot_failed(&mut self, why: &str) {
        self.boot_failure = Some(format!("Failed to boot: {}", printable(why.lines().next().unwrap_or_default())));
    }
}

/// What is going on.
pub(crate) struct Present<'a> {
    pub(crate) supervisor: &'a Supervisor,
    pub(crate) children: &'a Children,
    /// The process of the new master, if there is one.
    pub(crate) successor: Option<u32>,
}

/// What the summary depends on: when this changes it is made anew at once.
pub(crate) type Outline = (Phase, SuccessorPhase, usize);

impl Present<'_> {
    /// What the summary depends on.
    pub(crate) fn outline(&self) -> Outline {
        (self.supervisor.phase(), self.supervisor.successor(), self.supervisor.workers().count())
    }

    /// The summary.
    pub(crate) fn summary(&self, past: &Past) -> String {
        if let Some(failure) = &past.boot_failure {
            return failure.clone();
        }
        let (mut serving, mut busy) = (0, 0);
        let mut requests = self.children.past.requests;
        for (id, worker) in self.supervisor.workers() {
            let seat = self.children.seat(id);
            requests = requests.saturating_add(seat.map_or(0, |seat| seat.requests()));
            if let WorkerState::Serving { .. } = worker.state {
                serving += 1;
                busy += u32::from(seat.is_some_and(|seat| seat.request_start_ns().is_some()));
            }
        }
        let wanted = self.supervisor.worker_processes();
        let generation = self.supervisor.generation().map_or(0, |generation| generation.0);
        let what = match self.supervisor.phase() {
            Phase::New | Phase::Booting => return format!("Booting: {serving} of {wanted} workers ready"),
            Phase::Preparing | Phase::Rolling if self.supervisor.is_reforking() => "Serving, reforking: ",
            Phase::Preparing => "Reloading, the new code loads: ",
            Phase::Rolling => "Reloading, workers are replaced: ",
            Phase::Serving | Phase::Draining => "Serving: ",
            Phase::Delaying => "Stopping soon, still serving: ",
            Phase::Stopping | Phase::Over if self.supervisor.hands_over() => "Leaving to the new master: ",
            Phase::Stopping | Phase::Over => "Stopping: ",
        };
        let mut text = format!("{what}{serving} workers, {busy} busy, gen={generation}, {requests} requests");
        if serving < wanted {
            text.push_str(&format!("; {wanted} workers are wanted"));
        }
        if let Some(pid) = self.successor {
            let serves = self.supervisor.successor() == SuccessorPhase::Serving;
            text.push_str(&format!("; new master {pid} {}", if serves { "serves too" } else { "boots" }));
        }
        if let Some(failure) = &past.reload_failure {
            text.push_str(&format!("; the last reload failed: {failure}"));
        }
        text
    }
}
