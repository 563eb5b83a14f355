//! Whose unit it is: what a master decides about two masters in one unit of a service manager, about what the manager is
//! told, and about its own exit status.
//!
//! What is done about a decision, and the table of what follows from what, is in `master::succession`; what mold exits there
//! are, in `master::deaths`.

use crate::event::Signal;
use crate::supervisor::{Phase, SuccessorPhase};

/// The exit status of a master whose unit is to be started again (`EX_TEMPFAIL`). It has no effect when another master
/// has taken over.
pub const RESTART: u8 = 75;
/// The exit status of a server that could not start.
pub const FAILED: u8 = 1;

/// What a master is in its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// There is no service manager.
    Free,
    /// It is the unit's main process.
    Main,
    /// Another master is the unit's main process, and has not handed the unit over.
    Waiting,
}

impl Role {
    /// Whether it may start another master, or make room for another program. One that waits for its turn may not: the
    /// master that it waits for knows this process and this program alone.
    pub fn may_upgrade(self) -> bool {
        match self {
            Self::Free | Self::Main => true,
            Self::Waiting => false,
        }
    }

    /// Whether it leaves when the master before it is gone: one that was never handed the unit leaves it to be started
    /// again.
    pub fn leaves_with_origin(self) -> bool {
        match self {
            Self::Free | Self::Main => false,
            Self::Waiting => true,
        }
    }
}

/// Whether a signal to the main process means the unit, and not this master alone: QUIT, which ends an upgrade, is the old
/// master's own.
pub fn means_the_unit(signal: Signal) -> bool {
    match signal {
        Signal::Term | Signal::Int => true,
        Signal::Quit
        | Signal::Hup
        | Signal::Usr1
        | Signal::Usr2
        | Signal::Ttin
        | Signal::Ttou
        | Signal::Winch { .. } => false,
    }
}

/// How far the new master is, as a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// There is none.
    None,
    /// It is about to be started.
    Preparing,
    /// It runs.
    Running,
}

/// What the end of a unit means for the new master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing, or there is none.
    LivesOn,
    /// It is not started.
    NotStarted,
    /// It is stopped, and waited for.
    Stopped,
}

/// How a master whose supervisor is done leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Not yet: the new master has to go first.
    AfterSuccessor,
    /// With this status.
    Exit(u8),
    /// It hands the unit over, and exits with [`RESTART`]: when the new master has taken over, that has no effect; when it has
    /// died in this very moment, unnoticed, the status says that the unit is not as it should be.
    HandingOver,
    /// The new master that it was leaving to has died: with [`RESTART`].
    Abandoned,
}

/// What is decided about the unit, as far as it has been.
#[derive(Debug, Default)]
pub struct Unit {
    /// Whether the unit goes on with the successor when this master leaves. Decided when it begins to.
    leaves_to_successor: Option<bool>,
    /// Whether the unit is to end, with all its masters.
    ends: bool,
    /// The exit status of a master that is done, but for its successor's end.
    waiting: Option<u8>,
    /// The exit status when the first mold itself ended the boot: `exit 7` in the configuration is honoured.
    boot_exit: Option<u8>,
}

/// The new master.
impl Unit {
    /// Notes, when this master begins to leave, whether the service goes on with its successor. Call it after each event.
    pub fn note(&mut self, phase: Phase, successor: SuccessorPhase) {
        if leaving(phase) && self.leaves_to_successor.is_none() {
            self.leaves_to_successor = Some(successor == SuccessorPhase::Serving);
        }
    }

    /// A stop of the whole unit was asked for. Call it before the supervisor hears of that.
    pub fn stop(&mut self, role: Role, successor: Stage) -> Fate {
        if role != Role::Main {
            return Fate::LivesOn;
        }
        self.ends = true;
        match successor {
            Stage::None => Fate::LivesOn,
            Stage::Preparing => Fate::NotStarted,
            Stage::Running => Fate::Stopped,
        }
    }

    /// Whether this master leaves the unit to its successor, or has begun to.
    pub fn hands_over(&self) -> bool {
        self.leaves_to_successor == Some(true) && !self.ends
    }

    /// The supervisor is done, with this code.
    pub fn leave(&mut self, code: u8, role: Role, successor: Stage) -> Leave {
        let runs = successor == Stage::Running;
        if self.ends && runs {
            self.waiting = Some(code);
            return Leave::AfterSuccessor;
        }
        if code != 0 || role != Role::Main || !self.hands_over() {
            return Leave::Exit(self.exit_status(code));
        }
        if runs { Leave::HandingOver } else { Leave::Abandoned }
    }

    /// The successor is gone. Returns what to exit with if only its end was waited for.
    pub fn successor_gone(&mut self) -> Option<u8> {
        self.waiting.take().map(|code| self.exit_status(code))
    }
}

/// The exit status of a boot that fails.
impl Unit {
    /// A mold has said that it cannot boot. `committed`: some generation's settings are in force.
    pub fn mold_failed(&mut self, committed: bool) {
        self.boot_exit = (!committed).then_some(FAILED);
    }

    /// A mold has exited. `status`: unless a signal ended it. `silent`: it has not said why, and nothing else has gone wrong.
    /// Returns whether it meant to end the boot.
    pub fn mold_exited(&mut self, status: Option<u8>, committed: bool, silent: bool) -> bool {
        // `exit! 4` in the configuration says nothing before, and `exit! 0` means what `exit` does.
        let meant = status == Some(0) && silent;
        let unsaid = !committed && (meant || status != Some(0));
        if unsaid || self.boot_exit.is_some() {
            // One that has said why it failed has failed, whatever it exits with.
            self.boot_exit = status.filter(|status| meant || *status != 0).or(self.boot_exit);
        }
        unsaid && meant
    }

    fn exit_status(&self, code: u8) -> u8 {
        if code == 0 { 0 } else { self.boot_exit.unwrap_or(code) }
    }
}

/// What the service manager has been told of the unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Told {
    /// Nothing yet.
    #[default]
    Starting,
    /// `READY=1`.
    Ready,
    /// `RELOADING=1`.
    Reloading,
    /// `STOPPING=1`.
    Stopping,
}

impl Told {
    /// What it is to be told in this phase of the main process. `hands_over`: see [`Unit::hands_over`].
    pub fn of(phase: Phase, hands_over: bool) -> Self {
        match phase {
            Phase::New | Phase::Booting => Self::Starting,
            // The old workers only finish: what was asked for is done.
            Phase::Serving | Phase::Draining => Self::Ready,
            Phase::Preparing | Phase::Rolling => Self::Reloading,
            // The unit goes on with another master. STOPPING could never be taken back.
            Phase::Delaying | Phase::Stopping | Phase::Over if hands_over => Self::Ready,
            Phase::Delaying | Phase::Stopping | Phase::Over => Self::Stopping,
        }
    }
}

fn leaving(phase: Phase) -> bool {
    match phase {
        Phase::Delaying | Phase::Stopping | Phase::Over => true,
        Phase::New | Phase::Booting | Phase::Serving | Phase::Preparing | Phase::Rolling | Phase::Draining => false,
    }
}
