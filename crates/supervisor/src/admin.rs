//! The admin process, which answers health checks: when it is started, replaced and stopped.
//!
//! It is wanted while the settings in force name a place for it and this master speaks for the service. Of two masters one
//! answers: the old one until the new one is ready, then the new one.
//!
//! One that cannot do its work is not started again before there are other settings: what answers at that place is known to the
//! operator alone.

use crate::action::{Action, Fact};
use crate::back_off::LIVED;
use crate::time::Instant;
use crate::types::{AdminPlace, CauseId};

/// The admin process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Admin {
    /// Where the settings in force want it.
    wanted: Option<AdminPlace>,
    process: Process,
}

/// How it is as a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Process {
    /// There is none.
    Absent {
        /// Where the last one could not do its work.
        failed: Option<AdminPlace>,
    },
    /// It answers, or is about to.
    Running {
        /// Where.
        place: AdminPlace,
        /// Since when.
        since: Instant,
    },
    /// It was told to leave.
    Leaving,
}

impl Default for Process {
    fn default() -> Self {
        Self::Absent { failed: None }
    }
}

impl Admin {
    /// Other settings are in force. `anew`: they are new ones, with which what failed is tried again.
    pub(crate) fn want(&mut self, place: Option<AdminPlace>, anew: bool) {
        self.wanted = place;
        match &mut self.process {
            Process::Absent { failed } if anew => *failed = None,
            Process::Absent { .. } | Process::Running { .. } | Process::Leaving => {}
        }
    }

    /// It could not be started.
    pub(crate) fn failed(&mut self) {
        let failed = match self.process {
            Process::Absent { failed } => failed,
            Process::Running { place, .. } => Some(place),
            Process::Leaving => None,
        };
        self.process = Process::Absent { failed };
    }

    /// It is gone. Returns what is worth a line in the log.
    pub(crate) fn exited(&mut self, now: Instant, no_address: bool, cause: CauseId) -> [Option<Fact>; 2] {
        let mut facts = [None; 2];
        let failed = match self.process {
            Process::Absent { failed } => failed,
            Process::Leaving => None,
            Process::Running { place, since } => {
                facts = [Some(Fact::AdminDied { cause }), no_address.then_some(Fact::AdminWithoutAddress { place })];
                (no_address || now.since(since) < LIVED).then_some(place)
            }
        };
        self.process = Process::Absent { failed };
        facts
    }

    /// Starts or stops it, as the settings and the state want it. `speaks`: this master speaks for the service.
    pub(crate) fn tend(&mut self, now: Instant, speaks: bool) -> Option<Action> {
        let wanted = self.wanted.filter(|_| speaks);
        match (self.process, wanted) {
            (Process::Absent { failed }, Some(place)) if failed != Some(place) => {
                self.process = Process::Running { place, since: now };
                Some(Action::StartAdmin { place })
            }
            (Process::Running { place, .. }, wanted) if wanted != Some(place) => {
                self.process = Process::Leaving;
                Some(Action::StopAdmin)
            }
            (Process::Absent { .. } | Process::Running { .. } | Process::Leaving, _) => None,
        }
    }
}
