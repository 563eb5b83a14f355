//! The unit of a service manager that this master is part of: what it is there, what its end means for another master in the
//! same unit, what the manager is told, and the exit statuses.
//!
//! The table of what follows from what is in `master::upgrade::succession`, which does what is decided here.

/// The exit status of a master whose unit is to be started again (`EX_TEMPFAIL`). It has no effect when another master
/// has taken over.
pub const RESTART: u8 = 75;
/// The exit status of a server that could not start.
pub const FAILED: u8 = 1;

/// What a master is in its unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// There is no service manager.
    #[default]
    Free,
    /// It is the unit's main process.
    Main,
    /// Another master is the unit's main process, and has not handed the unit over.
    Waiting,
}

/// Where a master is in the succession of masters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) role: Role,
    /// Whether the master before this one lives.
    pub(crate) origin: bool,
    /// What it means for the unit that this master leaves, once it does.
    pub(crate) parting: Option<Parting>,
}

impl Unit {
    /// Whether this master may start another one, or make room for another program. One that waits for its turn may not: the
    /// master that it waits for knows this process and this program alone.
    pub(crate) fn may_upgrade(self) -> bool {
        match self.role {
            Role::Free | Role::Main => true,
            Role::Waiting => false,
        }
    }

    /// This master begins to leave: decides what that means for the unit.
    pub(crate) fn part(&mut self, successor_serves: bool) {
        let hands_over = self.role == Role::Main && successor_serves;
        self.parting = Some(if hands_over { Parting::HandsOver } else { Parting::Alone });
    }

    /// The master before this one has left the unit to it.
    pub(crate) fn handed_over(&mut self) {
        if self.role == Role::Waiting {
            self.role = Role::Main;
        }
    }

    /// The master before this one is gone. Returns whether this one was never handed the unit: then it leaves the unit to be
    /// started again.
    pub(crate) fn origin_gone(&mut self) -> bool {
        self.origin = false;
        self.role == Role::Waiting
    }
}

/// What it means for the unit that this master leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parting {
    /// Nothing is left to another master: the unit ends with this one, or there is no unit.
    Alone,
    /// A new master serves, and the unit goes on with that one.
    HandsOver,
    /// The unit is to end with all its masters: the new one, if there is one, goes first.
    EndsUnit,
}

/// What the service manager has been told of the unit. [`crate::Supervisor::told`] decides it.
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
