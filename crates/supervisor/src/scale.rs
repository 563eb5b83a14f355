//! SIGTTIN, SIGTTOU and SIGWINCH: how many workers are wanted.
//!
//! The next reload that succeeds goes back to the configured number.

use crate::action::{Action, Fact};
use crate::fleet::Fleet;
use crate::up::{Course, Up};

/// A change of the number of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// SIGTTIN.
    OneMore,
    /// SIGTTOU.
    OneLess,
    /// SIGWINCH.
    None,
}

impl Scale {
    /// What becomes of a number of workers.
    pub(crate) fn of(self, count: u32) -> u32 {
        match self {
            Self::OneMore => count.saturating_add(1),
            Self::OneLess => count.saturating_sub(1),
            Self::None => 0,
        }
    }
}

impl Up {
    /// Changes the number of workers. The workers follow when the event has been handled.
    pub(crate) fn scale(mut self, fleet: &mut Fleet, scale: Scale) -> Self {
        match scale {
            Scale::OneMore => self.winched = false,
            Scale::OneLess => {}
            Scale::None => {
                self.winched = true;
                fleet.log(Fact::WinchStarted);
            }
        }
        let before = self.target;
        self.target = scale.of(before);
        match &mut self.course {
            // The reload goes back to the configured number; what comes after it was asked for counts from there.
            Course::Preparing { scales, .. } => scales.push(scale),
            // A roll that fails goes back to the number before it, but not behind the operator's back: neither to workers
            // that were sent away, nor to none when the signal has left the new code some.
            Course::Rolling(roll) => {
                let least = u32::from(roll.old_target > 0 && self.target > 0);
                roll.old_target = scale.of(roll.old_target).max(least);
            }
            Course::FirstFork { .. } | Course::Steady | Course::Draining(_) => {}
        }
        if self.target != before {
            fleet.emit(Action::WorkerProcesses { count: self.target });
        }
        self
    }
}
