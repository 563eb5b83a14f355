//! The process table as the machine needs it.

use alloc::vec::Vec;

/// Whether workers are ready to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// This many were seen waiting for a connection, or holding one.
    Workers(usize),
    /// The kernel does not show it.
    Hidden,
}

/// One master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Master {
    /// Its process id.
    pub pid: u32,
    /// How many workers it has now.
    pub workers: usize,
    /// How many of them are ready; only looked at for a successor.
    pub ready: Ready,
    /// How many workers were gone before they were ready.
    pub lost: usize,
}

/// What lives of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The masters, oldest first.
    pub masters: Vec<Master>,
    /// Workers whose master is gone.
    pub orphans: Vec<u32>,
    /// Whether any other process is alive that the start of the server has left or is still needed for it.
    pub others: bool,
}

impl View {
    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.masters.is_empty() && self.orphans.is_empty() && !self.others
    }

    /// The master that was started last.
    pub fn newest(&self) -> Option<u32> {
        self.masters.last().map(|master| master.pid)
    }

    /// The master with this process id.
    pub fn master(&self, pid: u32) -> Option<&Master> {
        self.masters.iter().find(|master| master.pid == pid)
    }
}
