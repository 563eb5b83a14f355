//! One program takes the place of another: what is handed over, and what happens meanwhile.

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
        self.between = Some((read, Vec::new()));
        let (delay, replaced) = (self.dice.ms(0, 100), self.now >= CALM || self.dice.percent(85));
        self.after(delay, Next::Resume { replaced });
    }

    /// What happened meanwhile was not lost. It is told in the order of the contract.
    pub(crate) fn resume(&mut self, replaced: bool) {
        let Some((snapshot, missed)) = self.between.take() else { return };
        self.supervisor = Supervisor::restore(self.config, snapshot).unwrap();
        self.beside.replaced();
        self.tell(self.beside.unit());
        self.admin_replaced();
        self.tell(if replaced { Event::Replaced } else { Event::NotReplaced { cause: CauseId::NONE } });
        let rank = |event: &Event| match event {
            Event::Signal(_) | Event::Reload { .. } | Event::Upgrade { .. } | Event::Stop { .. } => 0,
            Event::WorkerExited { .. } | Event::MoldExited { .. } => 2,
            _ => 1,
        };
        let mut missed = missed;
        missed.sort_by_key(rank);
        for event in missed {
            self.tell(event);
        }
    }
}
