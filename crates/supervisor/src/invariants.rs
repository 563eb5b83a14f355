//! What is true after each event, whatever it was. Checked at the end of each [`Supervisor::handle`] in debug builds.

use alloc::collections::BTreeSet;

use crate::event::Event;
use crate::fleet::Fleet;
use crate::line::Source;
use crate::mold::Mold;
use crate::state::State;
use crate::supervisor::Supervisor;
use crate::types::Generation;
use crate::unit::Parting;
use crate::up::{Course, Up};
use crate::worker::Worker;

impl Supervisor {
    /// Panics when something is not as it always is: a bug of this crate.
    pub(crate) fn check_invariants(&self, event: Event) {
        let Self { state, fleet, now } = self;
        one_worker_per_slot_and_generation(fleet);
        one_service_per_name_and_line(fleet);
        let booting = fleet.molds.values().filter(|mold| mold.boots()).count();
        assert!(booting <= 1, "{booting} molds boot at once");
        match state {
            State::New { .. } => assert!(fleet.workers.is_empty() && fleet.molds.is_empty(), "nothing was started"),
            State::FirstMold { generation, .. } => {
                assert!(boots(fleet, *generation), "the first mold boots");
                assert!(fleet.workers.is_empty(), "no worker without a mold");
            }
            State::Up(up) => {
                check_up(fleet, up);
                assert!(up.has_takers(fleet) || !fleet.any(Worker::gives_away), "what is given away is taken");
            }
            State::Stopping(_) => {
                assert_eq!(booting, 0, "no mold boots during a stop");
                let takers = fleet.successor.takes_over();
                assert!(takers || !fleet.any(Worker::gives_away), "what is given away is taken");
                assert!(!fleet.any(Worker::boots), "no worker boots during a stop");
                let left = !fleet.workers.is_empty() || !fleet.molds.is_empty() || !fleet.services.is_empty();
                let awaited = fleet.unit.parting == Some(Parting::EndsUnit) && fleet.successor.runs();
                assert!(left || awaited, "a stop ends when nothing is left");
            }
            State::Over => {
                let left = !fleet.workers.is_empty() || !fleet.molds.is_empty() || !fleet.services.is_empty();
                assert!(!left, "nothing is left");
            }
        }
        let due = event == Event::Tick && self.next_deadline().is_some_and(|deadline| deadline <= *now);
        assert!(!due, "what was due at {now:?} is done");
    }
}

fn one_worker_per_slot_and_generation(fleet: &Fleet) {
    let mut seen = BTreeSet::new();
    for worker in fleet.workers.values().filter(|worker| worker.worn.is_none()) {
        assert!(seen.insert((worker.slot, worker.generation)), "two workers for {worker:?}");
    }
}

fn one_service_per_name_and_line(fleet: &Fleet) {
    let mut seen = BTreeSet::new();
    for (_, service) in fleet.services.all().filter(|(_, service)| service.is_unasked()) {
        assert!(seen.insert((service.name, service.edition)), "two services for {service:?}");
    }
}

fn check_up(fleet: &Fleet, up: &Up) {
    match up.line.source {
        Source::Ready => assert!(fleet.forks(up.line.generation), "the mold of the line forks"),
        Source::Booting(generation) => assert!(boots(fleet, generation), "a mold boots for the line"),
        Source::Lost => {}
    }
    if let Some(previous) = &up.previous {
        assert!(fleet.forks(previous.line.generation), "what is kept can fork");
        assert_ne!(previous.line.edition, up.line.edition, "what is kept is of another line");
    }
    match &up.course {
        Course::FirstFork { .. } | Course::Steady => {}
        Course::Preparing { next, .. } => {
            assert!(boots(fleet, *next), "the next mold boots");
            assert!(!matches!(up.line.source, Source::Booting(_)), "the next mold boots alone");
        }
        Course::Rolling(roll) => {
            assert_eq!(up.line.source, Source::Ready, "a roll has a mold");
            let (done, total) = up.progress(fleet);
            assert!(done < total || up.on_trial().is_some(), "a roll has something to do");
            if roll.old.source == Source::Ready {
                assert!(fleet.forks(roll.old.generation), "the way back is open");
            }
        }
        Course::Draining(_) => {
            let at_work = |worker: &Worker| !up.of_line(worker) && (worker.serves() || worker.boots());
            assert!(!fleet.any(at_work), "old workers only finish");
            assert!(fleet.any(|worker| !up.of_line(worker)), "an old worker is there");
        }
    }
}

fn boots(fleet: &Fleet, generation: Generation) -> bool {
    fleet.molds.get(&generation).is_some_and(Mold::boots)
}
