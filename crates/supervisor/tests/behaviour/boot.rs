//! The first boot.

use super::*;

fn booting(workers: u32) -> Rig {
    let mut rig = Rig::new(Config::default(), Plan { worker_processes: workers, ..PLAN });
    assert_eq!(rig.tell(Event::Start), [start_mold(1)]);
    rig
}

const EXIT_1: Action = Action::Exit { code: 1 };

#[test]
fn workers_are_forked_at_once_and_the_service_is_up_when_all_are_ready() {
    let mut rig = booting(3);
    assert_eq!(rig.mold_gets_ready(1), [commit(1), fork(1, 0, 1), fork(2, 1, 1), fork(3, 2, 1)]);
    assert_eq!(rig.tell(ready(2)), []);
    assert_eq!(rig.tell(ready(1)), []);
    assert_eq!(rig.tell(ready(3)), [Action::Serving]);
    assert_eq!(rig.supervisor.next_deadline(), None);
}

#[test]
fn mold_that_fails_ends_the_boot_with_1() {
    let mut rig = booting(2);
    let failed = Event::MoldFailed { generation: Generation(1), said: true, cause: CauseId::NONE };
    let deeds = [retire_mold(1), Action::BootFailed(FailureReason::MoldFailed.into()), Action::StopListening];
    assert_eq!(rig.tell(failed), deeds);
    assert_eq!(rig.tell(mold_died(1)), [EXIT_1]);
}

#[test]
fn mold_that_fails_and_stays_is_killed_after_a_second() {
    let mut rig = booting(2);
    rig.tell(Event::MoldFailed { generation: Generation(1), said: true, cause: CauseId::NONE });
    assert_eq!(rig.deadline(), (seconds(1), vec![kill_mold(1)]));
    assert_eq!(rig.tell(mold_died(1)), [EXIT_1]);
}

#[test]
fn mold_that_dies_ends_the_boot_with_1() {
    let deeds = [Action::BootFailed(FailureReason::MoldExited.into()), Action::StopListening, EXIT_1];
    assert_eq!(booting(2).tell(mold_died(1)), deeds);
}

#[test]
fn mold_that_hangs_is_killed_when_the_boot_takes_too_long() {
    let mut rig = booting(2);
    rig.tell(Event::MoldConfigured { generation: Generation(1), plan: PLAN });
    let deeds = vec![kill_mold(1), Action::BootFailed(FailureReason::MoldBootTimeout.into()), Action::StopListening];
    assert_eq!(rig.deadline(), (PLAN.boot_timeout, deeds));
    assert_eq!(rig.tell(mold_died(1)), [EXIT_1]);
}

#[test]
fn first_worker_that_fails_before_any_was_ready_ends_the_boot_with_1() {
    let failed = Event::WorkerBootFailed { worker: WorkerId(1), cause: CauseId::NONE };
    let fork_failed = Event::ForkFailed { worker: WorkerId(1), cause: CauseId::NONE };
    for (event, why) in [
        (failed, FailureReason::WorkerBootFailed(SlotId(0))),
        (fork_failed, FailureReason::ForkFailed(SlotId(0))),
        (died(1), FailureReason::WorkerExited(SlotId(0))),
        // The application called exit.
        (left(1), FailureReason::WorkerExited(SlotId(0))),
    ] {
        let mut rig = booting(2);
        rig.mold_gets_ready(1);
        assert_eq!(rig.tell(event), [Action::BootFailed(why.into()), abandon(2), Action::StopListening]);
        if event == failed {
            assert_eq!(rig.tell(died(1)), []);
        }
        assert_eq!(rig.tell(left(2)), [retire_mold(1)]);
        assert_eq!(rig.tell(mold_died(1)), [EXIT_1]);
    }
}

#[test]
fn worker_that_fails_after_another_was_ready_is_tried_again_later() {
    let mut rig = booting(2);
    rig.mold_gets_ready(1);
    rig.tell(ready(2));
    rig.tell(Event::WorkerBootFailed { worker: WorkerId(1), cause: CauseId::NONE });
    // The slot has been tried: the service is up with the worker that works.
    assert_eq!(rig.tell(died(1)), []);
    let (delay, deeds) = rig.deadline();
    assert!(delay <= Duration::from_millis(100), "{delay:?}");
    assert_eq!(deeds, [fork(3, 0, 1)]);
}

#[test]
fn service_is_up_when_every_slot_was_tried() {
    let mut rig = booting(2);
    rig.mold_gets_ready(1);
    rig.tell(ready(2));
    assert_eq!(rig.tell(Event::WorkerBootFailed { worker: WorkerId(1), cause: CauseId::NONE }), [Action::Serving]);
    assert!(rig.supervisor.readyz());
    let troubles: Vec<_> = rig.supervisor.troubles().map(|trouble| (trouble.slot.0, trouble.failures)).collect();
    assert_eq!(troubles, [(0, 1)]);
}

#[test]
fn mold_that_dies_before_any_worker_was_ready_ends_the_boot_with_1() {
    let mut rig = booting(1);
    rig.mold_gets_ready(1);
    let deeds = [Action::BootFailed(FailureReason::MoldExited.into()), abandon(1), Action::StopListening];
    assert_eq!(rig.tell(mold_died(1)), deeds);
    assert_eq!(rig.tell(left(1)), [EXIT_1]);
}

#[test]
fn requests_that_come_during_the_boot_are_looked_at_after_it() {
    let mut rig = booting(1);
    assert_eq!(rig.signal(Signal::Ttin), []);
    assert_eq!(rig.tell(Event::Reload { ticket: Ticket(1) }), []);
    assert_eq!(rig.mold_gets_ready(1), [commit(1), fork(1, 0, 1)]);
    assert_eq!(rig.signal(Signal::Usr2), []);
    let deeds = [Action::Serving, count(2), start_mold(2), Action::StartSuccessor, fork(2, 1, 1)];
    assert_eq!(rig.tell(ready(1)), deeds);
}

#[test]
fn requests_that_wait_for_a_boot_that_fails_are_refused() {
    let mut rig = booting(1);
    rig.tell(Event::Reload { ticket: Ticket(1) });
    let why = FailureReason::MoldExited;
    let deeds = [Action::BootFailed(why.into()), outcome(1, Err(why)), Action::StopListening, EXIT_1];
    assert_eq!(rig.tell(mold_died(1)), deeds);
}

#[test]
fn stop_during_the_boot_is_prompt() {
    let mut rig = booting(2);
    assert_eq!(rig.signal(Signal::Term), [kill_mold(1), Action::StopListening]);
    assert_eq!(rig.tell(mold_died(1)), [Action::Exit { code: 0 }]);

    let mut rig = booting(2);
    rig.mold_gets_ready(1);
    assert_eq!(rig.signal(Signal::Quit), [abandon(1), abandon(2), Action::StopListening]);
    assert_eq!(rig.tell(left(1)), []);
    assert_eq!(rig.deadline(), (seconds(2), vec![kill(2, KillReason::QuickStopTimeout)]));
    assert_eq!(rig.tell(died(2)), [retire_mold(1)]);
    assert_eq!(rig.tell(mold_died(1)), [Action::Exit { code: 0 }]);
}
