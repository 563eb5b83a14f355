//! What is right about workers on trial.

use std::collections::BTreeMap;

use supervisor::{Generation, SlotId, Supervisor, WorkerId};

use crate::laws::Laws;
use crate::process::{Mold, MoldLife, Worker};

impl Laws {
    /// A worker comes from the mold in force; in a slot that is not on trial from the one before, while that lives.
    pub(crate) fn check_origin(
        &self,
        slot: SlotId,
        generation: Generation,
        supervisor: &Supervisor,
        molds: &BTreeMap<Generation, Mold>,
    ) {
        let in_force = supervisor.generation() == Some(generation);
        let Some(trial) = supervisor.trial() else {
            return assert!(in_force, "workers come from the mold in force");
        };
        let before = &self.lines[self.lines.len() - 2];
        if slot.0 < trial.workers {
            assert!(in_force, "what is on trial is of the new code");
        } else if in_force {
            let lost =
                before.iter().all(|generation| molds[generation].life == MoldLife::Gone || molds[generation].closed);
            assert!(lost, "the trial reaches slot {slot}, and {} are on trial", trial.workers);
        } else {
            assert!(before.contains(&generation), "workers come from the mold before");
        }
    }

    /// While new workers are on trial an old one serves beside them.
    pub(crate) fn check_company(&self, leaver: &Worker, supervisor: &Supervisor, workers: &BTreeMap<WorkerId, Worker>) {
        // A slot that the operator closes is closed.
        if supervisor.trial().is_none() || leaver.slot.0 >= supervisor.worker_processes() {
            return;
        }
        let before = &self.lines[self.lines.len() - 2];
        let old = workers.values().filter(|worker| worker.serves() && before.contains(&worker.generation)).count();
        let others = old > 1 || !before.contains(&leaver.generation);
        assert!(others, "the last old worker leaves while new ones are on trial");
    }
}
