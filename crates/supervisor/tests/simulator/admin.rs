//! The admin process of the model, and what is right about it, judged from outside.

use std::time::Duration;

use supervisor::{AdminPlace, CauseId, Event, Generation, Instant};

use crate::schedule::CALM;
use crate::world::{Next, World};

/// The admin process, and the settings that want it.
#[derive(Debug, Default)]
pub(crate) struct Admin {
    /// The number of the process that was started last.
    number: u32,
    running: Option<Running>,
    /// Where the settings in force want it, and those that a roll which fails goes back to.
    in_force: Option<AdminPlace>,
    before: Option<(Generation, Option<AdminPlace>)>,
    /// What the supervisor was told of that.
    wanted: Option<AdminPlace>,
    /// Where one could not do its work with these settings.
    failed: Option<AdminPlace>,
}

/// A process that the supervisor has started and not been told the end of.
#[derive(Clone, Copy, Debug)]
struct Running {
    place: AdminPlace,
    since: Instant,
    told_to_leave: bool,
}

impl Admin {
    /// Takes note of what the supervisor is about to be told.
    pub(crate) fn before(&mut self, now: Instant, event: &Event) {
        match *event {
            Event::AdminWanted { place, anew } => {
                self.wanted = place;
                self.failed = self.failed.filter(|_| !anew);
            }
            Event::AdminFailed => {
                let Some(running) = self.running.take() else { return };
                self.failed = (!running.told_to_leave).then_some(running.place);
            }
            Event::AdminExited { no_address, .. } => {
                let Some(running) = self.running.take() else { return };
                let useless = no_address || now.since(running.since) < Duration::from_secs(1);
                self.failed = (useless && !running.told_to_leave).then_some(running.place);
            }
            _ => {}
        }
    }

    /// Whether a process is there whose end is still to be told.
    pub(crate) fn is_there(&self) -> bool {
        self.running.is_some()
    }

    /// Judges the whole after an event. `speaks`: of two masters this is the one that answers.
    pub(crate) fn judge(&self, speaks: bool) {
        let wanted = self.wanted.filter(|_| speaks);
        match self.running {
            Some(Running { told_to_leave: true, .. }) => {}
            Some(running) => assert_eq!(Some(running.place), wanted, "admin: it answers where it is wanted"),
            None => assert!(wanted.is_none() || wanted == self.failed, "admin: none answers at {wanted:?}"),
        }
    }
}

impl World {
    /// Of two masters one answers: the old one until the new one serves, then the new one.
    pub(crate) fn speaks_for_itself(&self) -> bool {
        self.supervisor.readyz() || !self.beside.has_another_that_speaks()
    }

    /// The settings of a generation are in force.
    pub(crate) fn admin_committed(&mut self, generation: Generation) {
        let place = self.molds[&generation].code.admin;
        self.admin.before = Some((generation, std::mem::replace(&mut self.admin.in_force, place)));
        self.after(Duration::ZERO, Next::Tell(Event::AdminWanted { place, anew: true }));
    }

    /// Those before this generation's are put back, if these were in force.
    pub(crate) fn admin_rolled_back(&mut self, generation: Generation) {
        if let Some((_, place)) = self.admin.before.take_if(|(committed, _)| *committed == generation) {
            self.admin.in_force = place;
            self.after(Duration::ZERO, Next::Tell(Event::AdminWanted { place, anew: false }));
        }
    }

    /// Judges the settings in force: they are those that new workers come with.
    pub(crate) fn judge_settings(&self) {
        if let Some(generation) = self.supervisor.generation().filter(|_| !self.laws.stop_wanted()) {
            assert_eq!(self.admin.in_force, self.molds[&generation].code.admin, "law 3: other settings are in force");
        }
    }

    /// There is no way back.
    pub(crate) fn admin_settled(&mut self) {
        self.admin.before = None;
    }

    /// Another program takes over. The process learns of the end of the one before, and leaves.
    pub(crate) fn admin_replaced(&mut self) {
        self.admin.number += 1;
        self.admin.running = None;
        let place = self.admin.in_force;
        self.tell(Event::AdminWanted { place, anew: true });
    }

    pub(crate) fn start_admin(&mut self, place: AdminPlace) {
        let admin = &mut self.admin;
        assert!(admin.running.is_none(), "admin: one at a time");
        assert_eq!(admin.wanted, Some(place), "admin: it is started where it is wanted");
        assert_ne!(admin.failed, Some(place), "admin: what failed is not tried again with these settings");
        admin.number += 1;
        admin.running = Some(Running { place, since: self.now, told_to_leave: false });
        let number = admin.number;
        let dies = |no_address| Next::AdminDies { number, no_address };
        match self.dice.below(10) {
            _ if self.now >= CALM => {}
            0 => self.after(Duration::ZERO, Next::Tell(Event::AdminFailed)),
            1 => self.after(Duration::from_millis(20), dies(true)),
            2 => {
                let delay = self.dice.ms(0, 1_000);
                self.after(delay, dies(false));
            }
            3..6 => {
                let delay = self.dice.ms(1_000, 10_000);
                self.after(delay, dies(self.dice.clone().percent(5)));
            }
            _ => {}
        }
    }

    pub(crate) fn stop_admin(&mut self) {
        let speaks = self.speaks_for_itself();
        let Admin { running, wanted, number, .. } = &mut self.admin;
        let running = running.as_mut().expect("admin: it is there");
        assert!(!std::mem::replace(&mut running.told_to_leave, true), "admin: told once");
        assert!(!speaks || *wanted != Some(running.place), "admin: it is told to leave where it is wanted");
        let number = *number;
        let delay = self.dice.ms(0, 50);
        self.after(delay, Next::AdminDies { number, no_address: false });
    }

    pub(crate) fn admin_dies(&mut self, number: u32, no_address: bool) {
        if self.admin.number == number && self.admin.running.is_some() {
            self.tell(Event::AdminExited { no_address, cause: CauseId::NONE });
        }
    }

    pub(crate) fn kill_admin(&mut self) {
        self.admin_dies(self.admin.number, false);
    }
}
