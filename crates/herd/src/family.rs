//! Which of the herder's descendants are masters, which are workers, and which of those are ready.
//!
//! - The first *master* is the topmost descendant that listens. Whatever starts it (a shell, Bundler, a double fork into
//!   the background) does not listen.
//! - A *worker* is a child of a master that holds one of its listeners.
//! - A later *master* holds such a listener too, but executes a program of its own: its stack lies elsewhere than its
//!   parent's, since a fork keeps addresses and execve(2) chooses new ones.
//! - A worker is *ready* when one of its threads waits for a listener, or when it holds a connection that came through
//!   one: then it has accepted before, and is merely busy.

use herder::{Ready, View};
use std::collections::{BTreeMap, BTreeSet};
use sys::pidfd::Pidfd;
use sys::table::{self, Process};

/// What is known of a master.
#[derive(Debug)]
struct Master {
    handle: Pidfd,
    process: Process,
    /// The inodes of its listeners.
    listeners: BTreeSet<u64>,
    /// Its workers at the last look.
    workers: BTreeMap<u32, Seen>,
    lost: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Ready,
    NotReady,
    Hidden,
}

/// The processes of the server.
#[derive(Debug)]
pub(crate) struct Family {
    own: u32,
    launcher: Option<Pidfd>,
    /// Children of ours that have nothing to do with the server.
    strangers: BTreeSet<u32>,
    masters: Vec<Master>,
    had_a_master: bool,
    /// What masters that are gone have left: listeners, and the images that their workers share with them.
    past_listeners: BTreeSet<u64>,
    past_images: BTreeSet<u64>,
    orphans: Vec<Pidfd>,
    /// Whether a child that runs another program than its master is no master (Licorne's workers are Ruby).
    same_program: bool,
}

impl Family {
    /// The family of a program that was just started.
    pub(crate) fn new(launcher: u32, same_program: bool) -> Self {
        Self {
            own: sys::process::own_pid(),
            launcher: Pidfd::open(launcher),
            strangers: BTreeSet::new(),
            masters: Vec::new(),
            had_a_master: false,
            past_listeners: BTreeSet::new(),
            past_images: BTreeSet::new(),
            orphans: Vec::new(),
            same_program,
        }
    }

    /// This child of ours is not the server's.
    pub(crate) fn ignore(&mut self, pid: u32) {
        self.strangers.insert(pid);
    }

    /// Forgets such a child once it has been waited for: its number may be another process's now.
    pub(crate) fn forget(&mut self, pid: u32) {
        self.strangers.remove(&pid);
    }

    /// Handles whose exits change what [`Family::look`] says.
    pub(crate) fn handles(&self) -> impl Iterator<Item = &Pidfd> {
        self.masters.iter().map(|master| &master.handle).chain(&self.orphans).chain(&self.launcher)
    }

    /// The handle of a master, or of a worker without one.
    pub(crate) fn handle(&self, pid: u32) -> Option<&Pidfd> {
        self.handles().find(|handle| handle.pid() == pid)
    }

    /// Reads anew where a master listens: before an upgrade passes its listeners on.
    pub(crate) fn refresh(&mut self, pid: u32) {
        if let Some(master) = self.masters.iter_mut().find(|master| master.handle.pid() == pid) {
            master.listeners.extend(listeners(pid, &table::network(pid).listening));
        }
    }

    /// Looks at the process table; whether its workers are ready is found out for `successor` only.
    pub(crate) fn look(&mut self, successor: Option<u32>) -> View {
        self.bury();
        if self.had_a_master {
            self.find_successors();
            self.find_orphans();
        } else {
            self.find_first();
        }
        // It may have been looked at while it was binding one address after the other, some of them for itself alone.
        let without_workers = self.masters.iter().filter(|master| master.workers.is_empty());
        for pid in without_workers.map(|master| master.process.pid).collect::<Vec<_>>() {
            self.refresh(pid);
        }
        for master in &mut self.masters {
            master.count(successor == Some(master.process.pid), self.same_program);
        }
        self.masters.sort_by_key(|master| master.process.started);
        View {
            masters: self.masters.iter().map(Master::view).collect(),
            orphans: self.orphans.iter().map(Pidfd::pid).collect(),
            others: self.launcher.is_some() || (!self.had_a_master && !self.all().is_empty()),
        }
    }

    /// Every process that descends from us, except those that are not the server's.
    pub(crate) fn all(&self) -> Vec<Process> {
        let own = table::children(self.own).into_iter().filter(|child| !self.strangers.contains(&child.pid));
        own.flat_map(|child| std::iter::once(child).chain(table::descendants(child.pid))).collect()
    }

    /// Handles of all that must go when the server does: everything before there was a master, and later masters, their
    /// workers, and what they have left. Not what the application has put into the background on purpose.
    pub(crate) fn condemned(&self) -> Vec<Pidfd> {
        if !self.had_a_master {
            return self.all().iter().filter_map(|process| Pidfd::open(process.pid)).collect();
        }
        let workers = self.masters.iter().flat_map(|master| master.workers.keys().copied());
        self.handles().map(Pidfd::pid).chain(workers).filter_map(Pidfd::open).collect()
    }

    fn bury(&mut self) {
        self.launcher.take_if(|launcher| launcher.has_exited());
        self.orphans.retain(|orphan| !orphan.has_exited());
        let (dead, alive) = std::mem::take(&mut self.masters).into_iter().partition(|m: &Master| m.handle.has_exited());
        self.masters = alive;
        let dead: Vec<Master> = dead;
        for master in dead {
            self.past_images.insert(master.process.image);
            self.past_listeners.extend(master.listeners);
        }
        // A master that was seen in the middle of execve(2) had not got its last address yet.
        for master in &mut self.masters {
            let now = table::process(master.process.pid).filter(|now| now.started == master.process.started);
            master.process = now.unwrap_or(master.process);
        }
    }

    fn find_first(&mut self) {
        let all = self.all();
        let Some(first) = all.first() else { return };
        let listening = table::network(first.pid).listening;
        let found = all.iter().find_map(|process| {
            let listeners = listeners(process.pid, &listening);
            (!listeners.is_empty()).then_some((*process, listeners))
        });
        if let Some((process, listeners)) = found {
            self.had_a_master = self.adopt(process, listeners);
        }
    }

    /// Takes a handle, and makes sure that it is of the process that was looked at.
    fn adopt(&mut self, process: Process, listeners: BTreeSet<u64>) -> bool {
        let Some(handle) = Pidfd::open(process.pid) else { return false };
        if table::process(process.pid).is_none_or(|now| now.started != process.started) {
            return false;
        }
        self.masters.push(Master { handle, process, listeners, workers: BTreeMap::new(), lost: 0 });
        true
    }

    fn is_master(&self, pid: u32) -> bool {
        self.masters.iter().any(|master| master.process.pid == pid)
    }

    fn find_successors(&mut self) {
        let mut found = Vec::new();
        for master in &self.masters {
            let children = table::children(master.process.pid);
            let others = children.iter().filter(|child| !self.is_master(child.pid));
            found.extend(others.filter_map(|child| {
                let shared = shared(child.pid, &master.listeners);
                let is_new = master.is_succeeded_by(child, self.same_program) && !shared.is_empty();
                is_new.then_some((*child, shared))
            }));
        }
        for (process, listeners) in found {
            self.adopt(process, listeners);
        }
    }

    /// Children of ours that came from a master which is gone: its successor, or its workers.
    fn find_orphans(&mut self) {
        let launcher = self.launcher.as_ref().map(Pidfd::pid);
        for child in table::children(self.own) {
            let known = self.is_master(child.pid)
                || self.strangers.contains(&child.pid)
                || Some(child.pid) == launcher
                || self.orphans.iter().any(|orphan| orphan.pid() == child.pid);
            if known {
                continue;
            }
            let shared = shared(child.pid, &self.past_listeners);
            if shared.is_empty() {
                continue;
            }
            if self.past_images.contains(&child.image) || self.same_program {
                self.orphans.extend(Pidfd::open(child.pid));
            } else {
                self.adopt(child, shared);
            }
        }
    }
}

impl Master {
    fn is_succeeded_by(&self, child: &Process, same_program: bool) -> bool {
        child.image != self.process.image
            && (!same_program || table::program(child.pid) == table::program(self.process.pid))
    }

    fn view(&self) -> herder::Master {
        let count = |wanted| self.workers.values().filter(|seen| **seen == wanted).count();
        let ready = if count(Seen::Hidden) > 0 { Ready::Hidden } else { Ready::Workers(count(Seen::Ready)) };
        herder::Master { pid: self.process.pid, workers: self.workers.len(), ready, lost: self.lost }
    }

    /// Counts its workers, and those that are ready if `probe` says so.
    fn count(&mut self, probe: bool, same_program: bool) {
        let before = std::mem::take(&mut self.workers);
        let own = if probe { table::sockets(self.process.pid).into_values().collect() } else { BTreeSet::new() };
        for child in table::children(self.process.pid) {
            if self.is_succeeded_by(&child, same_program) {
                continue;
            }
            if shared(child.pid, &self.listeners).is_empty() {
                continue;
            }
            let seen = match before.get(&child.pid) {
                Some(Seen::Ready) => Seen::Ready,
                _ if probe => self.probe(child.pid, &own),
                _ => Seen::NotReady,
            };
            self.workers.insert(child.pid, seen);
        }
        let gone = before.iter().filter(|(pid, seen)| **seen == Seen::NotReady && !self.workers.contains_key(pid));
        self.lost += gone.count();
    }

    fn probe(&self, worker: u32, own: &BTreeSet<u64>) -> Seen {
        match table::waits_for(worker, &self.listeners) {
            Some(true) => Seen::Ready,
            None => Seen::Hidden,
            Some(false) => {
                let sockets = table::sockets(worker).into_values();
                let its_own: Vec<u64> = sockets.filter(|inode| !own.contains(inode)).collect();
                if its_own.is_empty() {
                    return Seen::NotReady;
                }
                let network = table::network(worker);
                let places: BTreeSet<&String> =
                    self.listeners.iter().filter_map(|inode| network.listening.get(inode)).collect();
                let accepted =
                    its_own.iter().filter_map(|inode| network.connected.get(inode)).any(|at| places.contains(at));
                if accepted { Seen::Ready } else { Seen::NotReady }
            }
        }
    }
}

/// The listeners that a process holds.
fn listeners(pid: u32, listening: &BTreeMap<u64, String>) -> BTreeSet<u64> {
    table::sockets(pid).into_values().filter(|inode| listening.contains_key(inode)).collect()
}

/// Which of these sockets a process holds.
fn shared(pid: u32, wanted: &BTreeSet<u64>) -> BTreeSet<u64> {
    table::sockets(pid).into_values().filter(|inode| wanted.contains(inode)).collect()
}
