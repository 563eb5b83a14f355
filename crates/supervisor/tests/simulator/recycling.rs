//! What is recycled: a worker that has had its time is replaced, by the same code, and leaves no gap. And the number of workers,
//! where it follows the load.

use std::collections::{BTreeMap, BTreeSet};

use supervisor::{Action, Event, Fact, Phase, SlotId, Supervisor, WorkerId};

use crate::process::Worker;

/// Takes note of what the supervisor is about to be told.
pub(crate) fn before(event: &Event, workers: &mut BTreeMap<WorkerId, Worker>) {
    let Event::WorkerWorn { worker, .. } = event else { return };
    if let Some(worker) = workers.get_mut(worker).filter(|worker| worker.serves()) {
        worker.worn = true;
    }
}

/// Judges what the supervisor asks for, before it is done.
pub(crate) fn judge(action: &Action, supervisor: &Supervisor, workers: &BTreeMap<WorkerId, Worker>) {
    match *action {
        Action::Fork { slot, generation, .. } => {
            let of_slot = |worker: &&Worker| worker.slot == slot && worker.generation == generation;
            let (fresh, worn): (Vec<_>, Vec<_>) = workers.values().filter(of_slot).partition(|worker| !worker.worn);
            assert!(fresh.is_empty(), "law 4: two workers of {generation} in slot {slot}");
            let serves = worn.iter().any(|worker| worker.serves());
            assert!(!serves || supervisor.phase() != Phase::Rolling, "a roll recycles nothing");
            let leaving = worn.len() > 1 && serves;
            assert!(!leaving, "slot {slot} is recycled again before the one before has left");
        }
        Action::Log(Fact::Resized { to, .. }) => {
            assert_ne!(supervisor.phase(), Phase::Rolling, "a roll changes the number of workers alone");
            let sizes = supervisor.sizes().expect("it follows the load");
            assert!((sizes.least..=sizes.most).contains(&to), "{to} workers, of {sizes:?}");
        }
        Action::Log(Fact::WorkerRecycled { worker, slot, .. }) => {
            assert!(workers[&worker].worn, "it has had its time");
            assert!(is_replaced(&workers[&worker], slot, workers), "recycled before another one serves");
        }
        _ => {}
    }
}

fn is_replaced(leaver: &Worker, slot: SlotId, workers: &BTreeMap<WorkerId, Worker>) -> bool {
    let of_slot = |worker: &Worker| worker.slot == slot && worker.generation == leaver.generation;
    // The mold may have been lost since, and another one forks for the same code.
    let newer = |worker: &Worker| worker.slot == slot && worker.generation > leaver.generation;
    workers.values().any(|worker| (of_slot(worker) && !worker.worn || newer(worker)) && worker.serves())
}

/// How many slots are served. A slot that a worker left while two served it is served still; one whose worker has said
/// that it leaves is not.
pub(crate) fn serving(workers: &BTreeMap<WorkerId, Worker>, below: u32) -> usize {
    let stays = |worker: &&Worker| worker.serves() && !worker.told_leaves;
    let slots = workers.values().filter(stays).filter(|worker| worker.slot.0 < below).map(|worker| worker.slot);
    slots.collect::<BTreeSet<_>>().len()
}
