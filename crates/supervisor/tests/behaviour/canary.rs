//! Workers on trial.

use super::*;

const WATCH: Duration = Duration::from_secs(60);

/// A server of three workers; a reload has brought worker 4 of generation 2, which boots for slot 0 and is to be watched.
fn canary_boots() -> Rig {
    canary_of(3, 1)
}

fn canary_of(workers: u32, canary: u32) -> Rig {
    let canary = Some(Canary { workers: canary, watch: WATCH });
    let mut rig = Rig::serving_with(Config::default(), Plan { worker_processes: workers, canary, ..PLAN });
    assert_eq!(rig.tell(Event::Reload { ticket: Ticket(1) }), [start_mold(2)]);
    assert_eq!(rig.mold_gets_ready(2), [commit(2), fork(workers + 1, 0, 2)]);
    rig
}

/// The canary serves, and the old worker of its slot has left.
fn canary_serves() -> Rig {
    let mut rig = canary_boots();
    assert_eq!(rig.tell(ready(4)), [retire(1)]);
    assert_eq!(rig.tell(left(1)), []);
    rig
}

fn worse() -> Event {
    Event::CanaryWorse { cause: CauseId(7) }
}

#[test]
fn roll_goes_on_when_the_canary_has_been_watched() {
    let mut rig = canary_serves();
    rig.pass(Duration::from_secs(59));
    assert_eq!(rig.supervisor.trial().map(|trial| trial.workers), Some(1));
    assert_eq!(rig.deadline(), (Duration::from_secs(1), vec![fork(5, 1, 2)]));
    assert_eq!(rig.supervisor.trial(), None);
    assert_eq!(rig.tell(ready(5)), [retire(2)]);
    assert_eq!(rig.tell(left(2)), [fork(6, 2, 2)]);
    assert_eq!(rig.tell(ready(6)), [retire(3)]);
    assert_eq!(rig.tell(left(3)), [retire_mold(1), settle(2), outcome(1, Ok(()))]);
    let generation = Generation(2);
    assert!(rig.facts.contains(&Fact::CanaryServing { generation, workers: 1, watch: WATCH }));
    assert!(rig.facts.contains(&Fact::CanaryPassed { generation, promoted: false }));
}

#[test]
fn canary_that_is_worse_leaves_when_the_old_code_serves_its_slot_again() {
    let mut rig = canary_serves();
    let why = FailureReason::CanaryWorse.by(CauseId(7));
    let failed = Action::Outcome { ticket: Ticket(1), result: Err(why) };
    assert_eq!(rig.tell(worse()), [rollback(2), retire_mold(2), failed, fork(5, 0, 1)]);
    assert_eq!(rig.tell(ready(5)), [retire(4)]);
    rig.tell(left(4));
    rig.tell(mold_died(2));
    assert_eq!(rig.workers(), [(2, 1, 1, true), (3, 2, 1, true), (5, 0, 1, true)]);
}

#[test]
fn old_workers_that_die_beside_a_canary_come_back_of_the_old_code() {
    let mut rig = canary_serves();
    assert_eq!(rig.tell(died(2)), [fork(5, 1, 1)]);
    assert_eq!(rig.tell(died(5)), [], "it is no failure of the new code, and waits a little");
    assert_eq!(rig.deadline().1, [fork(6, 1, 1)]);
    rig.tell(ready(6));
    assert_eq!(rig.tell(died(4)), [fork(7, 0, 2)], "nor does a death end the trial");
    assert_eq!(rig.tell(Event::WorkerBootFailed { worker: WorkerId(7), cause: CauseId::NONE })[0], rollback(2));
}

#[test]
fn new_code_serves_where_the_old_mold_is_lost_rather_than_none() {
    let mut rig = canary_serves();
    rig.tell(mold_died(1));
    assert_eq!(rig.tell(died(2)), [fork(5, 1, 2)]);
    rig.tell(ready(5));
    assert_eq!(rig.supervisor.trial().map(|trial| trial.workers), Some(1), "the trial goes on");
}

#[test]
fn only_worker_serves_beside_its_canary() {
    let mut rig = canary_of(1, 1);
    assert_eq!(rig.tell(ready(2)), []);
    assert_eq!(rig.workers(), [(1, 0, 1, true), (2, 0, 2, true)]);
    assert_eq!(rig.deadline(), (WATCH, vec![retire(1)]));
}

#[test]
fn one_slot_is_left_to_the_old_code_however_many_are_on_trial() {
    let mut rig = canary_of(2, 9);
    assert_eq!(rig.tell(ready(3)), [retire(1)]);
    assert_eq!(rig.tell(left(1)), []);
    assert_eq!(rig.supervisor.trial().map(|trial| trial.workers), Some(1));
    rig.signal(Signal::Ttin);
    assert_eq!(rig.supervisor.trial().map(|trial| trial.workers), Some(2));
}

#[test]
fn operators_may_end_a_trial_either_way() {
    let mut rig = canary_serves();
    assert_eq!(rig.tell(Event::Promote { ticket: Ticket(2) }), [fork(5, 1, 2)]);
    let none = FailureReason::NoCanary;
    assert_eq!(rig.tell(Event::Promote { ticket: Ticket(3) }), [outcome(3, Err(none))]);
    assert_eq!(rig.tell(worse()), [], "a comparison that comes too late");

    let mut rig = canary_serves();
    let aborted = outcome(1, Err(FailureReason::Aborted));
    let deeds = [rollback(2), retire_mold(2), aborted, outcome(2, Ok(())), fork(5, 0, 1)];
    assert_eq!(rig.tell(Event::Abort { ticket: Ticket(2) }), deeds);
    let none = FailureReason::NoReload;
    assert_eq!(rig.tell(Event::Abort { ticket: Ticket(3) }), [outcome(3, Err(none))]);
}

#[test]
fn reload_is_called_off_while_its_mold_boots() {
    let mut rig = Rig::serving(2);
    rig.tell(Event::Reload { ticket: Ticket(1) });
    let aborted = outcome(1, Err(FailureReason::Aborted));
    assert_eq!(rig.tell(Event::Abort { ticket: Ticket(2) }), [kill_mold(2), rollback(2), aborted, outcome(2, Ok(()))]);
}

#[test]
fn next_reload_follows_a_canary_that_is_worse() {
    let mut rig = canary_serves();
    rig.tell(Event::Reload { ticket: Ticket(2) });
    assert!(rig.tell(worse()).contains(&start_mold(3)));
}

#[test]
fn stop_ends_a_trial() {
    let mut rig = canary_serves();
    let deeds = rig.tell(Event::Stop { graceful: true, ticket: Ticket(2) });
    assert_eq!(deeds[0], outcome(1, Err(FailureReason::Stopping)));
    assert_eq!(deeds.iter().filter(|deed| matches!(deed, Action::Retire { .. })).count(), 3);
    assert_eq!(rig.supervisor.trial(), None);
}
