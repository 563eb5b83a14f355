//! One program takes the place of another: what is handed over, and what happens meanwhile.

use std::time::Duration;

use supervisor::{CauseId, Event, Snapshot, Supervisor};

use crate::schedule::CALM;
use crate::world::{Next, World};

impl World {
    pub(crate) fn preflight(&mut self) {
        self.preflights += 1;
        self.beside.judge_preflight();
        let calm = self.now >= CALM;
        // One that hangs is given up.
        if calm || self.dice.percent(90) {
            let (delay, passed) = (self.dice.ms(5, 800), calm || self.dice.percent(75));
            self.after(delay, Next::PreflightEnds(self.preflights, passed));
        }
    }

    /// This program ends, and another one begins with what it left; or it comes back, when that fails.
    pub(crate) fn execute(&mut self) {
        let Some(snapshot) = self.supervisor.snapshot() else { return };
        let json = serde_json::to_string(&snapshot).unwrap();
        let read: Snapshot = serde_json::from_str(&json).unwrap();
        assert_eq!(read, snapshot, "what is handed over arrives");
        self.between = Some(read);
        self.missed = Some(Vec::new());
        let (delay, replaced) = (self.dice.ms(0, 100), self.now >= CALM || self.dice.percent(85));
        self.after(delay, Next::Resume { replaced });
    }

    /// What happened meanwhile was not lost.
    pub(crate) fn resume(&mut self, replaced: bool) {
        let Some(snapshot) = self.between.take() else { return };
        let missed = self.missed.take();
        self.supervisor = Supervisor::restore(self.config, snapshot).unwrap();
        self.beside.replaced();
        self.tell(self.beside.unit());
        self.admin_replaced();
        self.tell(if replaced { Event::Replaced } else { Event::NotReplaced { cause: CauseId::NONE } });
        self.missed = missed;
        self.wake();
    }

    /// The machine stands still, as far as the master is concerned.
    pub(crate) fn stand_still(&mut self, time: Duration) {
        if self.missed.is_none() {
            self.missed = Some(Vec::new());
            self.after(time, Next::Wake);
            self.laws.stand_still(time);
        }
    }

    /// The master finds what has happened since it looked last, in one round. It is told in the order of the contract.
    pub(crate) fn wake(&mut self) {
        if self.between.is_some() {
            return;
        }
        let Some(mut missed) = self.missed.take() else { return };
        missed.sort_by_key(|event| match event {
            Event::Signal(_) => 0,
            Event::WorkerExited { .. }
            | Event::MoldExited { .. }
            | Event::AdminExited { .. }
            | Event::ServiceExited { .. } => 2,
            Event::Reload { .. } | Event::Upgrade { .. } | Event::Stop { .. } => 3,
            _ => 1,
        });
        self.rest = missed.into();
        while let Some(event) = self.rest.pop_front() {
            self.tell(event);
        }
        self.tick();
    }
}
