//! Causes: each event that tells of a failure has one of its own, and each outcome has that of the event it follows from.

use std::collections::BTreeMap;

use supervisor::{Action, CauseId, Event, Fact, Failure, FailureReason, Generation, SlotId, Supervisor};

/// What a cause is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    MoldFailed(Generation),
    MoldUnfit(Generation),
    MoldExited(Generation),
    WorkerBootFailed(SlotId),
    ForkFailed(SlotId),
    WorkerExited(SlotId),
    SuccessorFailed,
    SuccessorExited,
    PreflightFailed,
    NotReplaced,
    CanaryWorse,
    NotPromoted(Generation),
}

/// The causes that were told.
#[derive(Debug, Default)]
pub(crate) struct Causes {
    told: BTreeMap<u32, Of>,
    last: u32,
}

impl Causes {
    /// Gives an event that tells of a failure a cause of its own.
    pub(crate) fn label(&mut self, event: &mut Event, supervisor: &Supervisor) {
        let slot = |worker| supervisor.worker(worker).map(|worker| worker.slot);
        let (of, cause) = match event {
            Event::MoldFailed { generation, cause, .. } => (Some(Of::MoldFailed(*generation)), cause),
            Event::MoldUnfit { generation, cause } => (Some(Of::MoldUnfit(*generation)), cause),
            Event::MoldExited { generation, cause, .. } => (Some(Of::MoldExited(*generation)), cause),
            Event::WorkerBootFailed { worker, cause } => (slot(*worker).map(Of::WorkerBootFailed), cause),
            Event::ForkFailed { worker, cause } => (slot(*worker).map(Of::ForkFailed), cause),
            Event::WorkerExited { worker, cause, .. } => (slot(*worker).map(Of::WorkerExited), cause),
            Event::SuccessorFailed { cause } => (Some(Of::SuccessorFailed), cause),
            Event::SuccessorExited { cause } => (Some(Of::SuccessorExited), cause),
            Event::PreflightFailed { cause } => (Some(Of::PreflightFailed), cause),
            Event::NotReplaced { cause } => (Some(Of::NotReplaced), cause),
            Event::NotPromoted { generation, cause, .. } => (Some(Of::NotPromoted(*generation)), cause),
            Event::CanaryWorse { cause } => (Some(Of::CanaryWorse), cause),
            _ => return,
        };
        self.last += 1;
        *cause = CauseId(self.last);
        self.told.extend(of.map(|of| (self.last, of)));
    }

    /// Judges what is asked for.
    pub(crate) fn judge(&self, action: &Action) {
        let failure = match *action {
            Action::Outcome { result: Err(failure), .. } | Action::BootFailed(failure) => failure,
            Action::Log(
                Fact::ReloadFailed { generation, why }
                | Fact::RollBack { generation, why }
                | Fact::ReforkFailed { generation, why }
                | Fact::ReforkElsewhere { generation, why },
            ) => {
                self.judge_generation(why, generation);
                why
            }
            Action::Log(Fact::MoldRecoveryFailed { why, .. } | Fact::UpgradeFailed { why }) => why,
            _ => return,
        };
        let of = self.told.get(&failure.cause.0);
        let fits = match (failure.reason, of) {
            (FailureReason::MoldFailed, Some(Of::MoldFailed(_) | Of::MoldUnfit(_)))
            | (FailureReason::MoldExited, Some(Of::MoldExited(_) | Of::MoldUnfit(_)))
            | (FailureReason::MoldLeft, Some(Of::MoldExited(_)))
            | (FailureReason::SuccessorFailed, Some(Of::SuccessorFailed))
            | (FailureReason::SuccessorExited, Some(Of::SuccessorExited))
            | (FailureReason::PreflightFailed, Some(Of::PreflightFailed))
            | (FailureReason::NotReplaced, Some(Of::NotReplaced))
            | (FailureReason::NotPromoted, Some(Of::NotPromoted(_)))
            | (FailureReason::CanaryWorse, Some(Of::CanaryWorse)) => true,
            (FailureReason::WorkerBootFailed(slot), Some(Of::WorkerBootFailed(of)))
            | (FailureReason::ForkFailed(slot), Some(Of::ForkFailed(of)))
            | (FailureReason::WorkerExited(slot), Some(Of::WorkerExited(of))) => slot == *of,
            (FailureReason::SuccessorFailed | FailureReason::PreflightFailed, None)
                if failure.cause == CauseId::OUT_OF_TURN =>
            {
                true
            }
            // The unit ends before the new master was started.
            (FailureReason::SuccessorFailed, None) => failure.cause == CauseId::NONE,
            // Time, a channel that has ended, or the supervisor itself: there was nothing to be said.
            (
                FailureReason::MoldExited
                | FailureReason::MoldBootTimeout
                | FailureReason::WorkerBootTimeout(_)
                | FailureReason::WorkerUnfit(_)
                | FailureReason::WorkerCrashLoop(_)
                | FailureReason::Aborted
                | FailureReason::NoCanary
                | FailureReason::NoReload
                | FailureReason::NoPrevious
                | FailureReason::SuccessorAlreadyRunning
                | FailureReason::PreflightTimeout
                | FailureReason::UpgradeUnderWay
                | FailureReason::Stopping,
                None,
            ) => failure.cause == CauseId::NONE,
            _ => false,
        };
        assert!(fits, "the cause of {failure:?} is that of {of:?}");
    }

    /// A mold's failure is that of the generation which it is said of.
    fn judge_generation(&self, failure: Failure, generation: Generation) {
        if let Some(Of::MoldFailed(of) | Of::MoldUnfit(of) | Of::MoldExited(of) | Of::NotPromoted(of)) =
            self.told.get(&failure.cause.0)
        {
            assert_eq!(*of, generation, "whose failure {failure:?} is");
        }
    }
}
