//! The admin process, which answers health checks: when it is started, replaced and stopped.
//!
//! It is wanted while the settings in force name a place for it and this master speaks for the service. Of two masters one
//! answers: the old one until the new one is ready, then the new one.
//!
//! One that cannot do its work is not started again before there are other settings: what answers at that place is known to the
//! operator alone.

use crate::action::{Action, Fact};
use crate::back_off::LIVED;
use crate::fleet::Fleet;
use crate::state::State;
use crate::time::Instant;
use crate::types::{AdminPlace, CauseId};
use crate::upgrade::Successor;
use crate::worker::Worker;

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

impl Fleet {
    /// Other settings are in force. `anew`: they are new ones, with which what failed is tried again.
    pub(crate) fn admin_wanted(&mut self, place: Option<AdminPlace>, anew: bool) {
        self.admin.wanted = place;
        if let Process::Absent { failed } = &mut self.admin.process
            && anew
        {
            *failed = None;
        }
    }

    /// It could not be started.
    pub(crate) fn admin_failed(&mut self) {
        let failed = match self.admin.process {
            Process::Absent { failed } => failed,
            Process::Running { place, .. } => Some(place),
            Process::Leaving => None,
        };
        self.admin.process = Process::Absent { failed };
    }

    /// It is gone.
    pub(crate) fn admin_exited(&mut self, now: Instant, no_address: bool, cause: CauseId) {
        let failed = match self.admin.process {
            Process::Absent { failed } => failed,
            Process::Leaving => None,
            Process::Running { place, since } => {
                self.log(Fact::AdminDied { cause });
                if no_address {
                    self.log(Fact::AdminWithoutAddress { place });
                }
                (no_address || now.since(since) < LIVED).then_some(place)
            }
        };
        self.admin.process = Process::Absent { failed };
    }
}

impl State {
    /// Starts or stops the admin process, as the settings and the state want it.
    pub(crate) fn tend_admin(&self, fleet: &mut Fleet, now: Instant) {
        let serves = matches!(self, Self::Up(_)) && fleet.any(Worker::serves);
        let another_speaks = fleet.unit.origin || matches!(fleet.successor, Successor::Serving { .. });
        let wanted = fleet.admin.wanted.filter(|_| serves || !another_speaks);
        match (fleet.admin.process, wanted) {
            (Process::Absent { failed }, Some(place)) if failed != Some(place) => {
                fleet.admin.process = Process::Running { place, since: now };
                fleet.emit(Action::StartAdmin { place });
            }
            (Process::Running { place, .. }, wanted) if wanted != Some(place) => {
                fleet.admin.process = Process::Leaving;
                fleet.emit(Action::StopAdmin);
            }
            (Process::Absent { .. } | Process::Running { .. } | Process::Leaving, _) => {}
        }
    }
}
