//! The mold that is kept, and the way back to it.

use super::*;

const KEPT: Duration = Duration::from_secs(600);

/// A server of one worker after a reload: worker 2 of generation 2 serves, and the mold of generation 1 is kept.
fn reloaded() -> Rig {
    let mut rig = Rig::serving_with(Config::default(), Plan { worker_processes: 1, keep_previous: KEPT, ..PLAN });
    rig.tell(HUP);
    rig.mold_gets_ready(2);
    assert_eq!(rig.tell(ready(2)), [retire(1)]);
    assert_eq!(rig.tell(left(1)), [settle(2)]);
    assert_eq!(rig.supervisor.previous(), Some((Generation(1), rig.now + KEPT)));
    rig
}

fn go_back(rig: &mut Rig, ticket: u64) -> Vec<Action> {
    rig.tell(Event::GoBack { ticket: Ticket(ticket) })
}

#[test]
fn code_before_serves_again_without_a_boot_and_there_is_a_way_forward() {
    let mut rig = reloaded();
    assert_eq!(go_back(&mut rig, 1), [commit(1), fork(3, 0, 1)]);
    assert_eq!(rig.tell(ready(3)), [retire(2)]);
    assert_eq!(rig.tell(left(2)), [settle(1), outcome(1, Ok(()))]);
    assert_eq!(rig.supervisor.generation(), Some(Generation(1)));
    assert_eq!(rig.supervisor.previous(), Some((Generation(2), rig.now + KEPT)));
    assert_eq!(go_back(&mut rig, 2), [commit(2), fork(4, 0, 2)]);
}

#[test]
fn mold_is_kept_for_its_time_and_until_the_next_one_is() {
    let mut rig = reloaded();
    assert_eq!(rig.deadline(), (KEPT, vec![retire_mold(1)]));
    assert_eq!(go_back(&mut rig, 1), [outcome(1, Err(FailureReason::NoPrevious))]);

    let mut rig = reloaded();
    rig.tell(HUP);
    rig.mold_gets_ready(3);
    rig.tell(ready(3));
    assert_eq!(rig.tell(left(2)), [retire_mold(1), settle(3)]);
    assert_eq!(rig.supervisor.previous().map(|(generation, _)| generation), Some(Generation(2)));
}

#[test]
fn mold_that_dies_while_it_is_kept_is_no_way_back() {
    let mut rig = reloaded();
    assert_eq!(rig.tell(mold_died(1)), []);
    assert!(rig.facts.contains(&Fact::PreviousGone { generation: Generation(1) }));
    assert_eq!(go_back(&mut rig, 1), [outcome(1, Err(FailureReason::NoPrevious))]);
}

#[test]
fn way_back_that_fails_leaves_the_new_code_serving() {
    let mut rig = reloaded();
    go_back(&mut rig, 1);
    let deeds = rig.tell(Event::WorkerBootFailed { worker: WorkerId(3), cause: CauseId::NONE });
    let why = FailureReason::WorkerBootFailed(SlotId(0));
    assert_eq!(deeds, [rollback(1), retire_mold(1), outcome(1, Err(why))]);
    assert_eq!(rig.supervisor.generation(), Some(Generation(2)));
}

#[test]
fn during_a_reload_it_is_undone() {
    let mut rig = reloaded();
    rig.tell(Event::Reload { ticket: Ticket(1) });
    let aborted = outcome(1, Err(FailureReason::Aborted));
    assert_eq!(go_back(&mut rig, 2), [kill_mold(3), rollback(3), aborted, outcome(2, Ok(()))]);
    assert_eq!(rig.supervisor.previous().map(|(generation, _)| generation), Some(Generation(1)));
}

#[test]
fn while_old_workers_finish_their_mold_takes_over_again() {
    let mut rig = Rig::serving(2);
    rig.tell(Event::Reload { ticket: Ticket(1) });
    rig.mold_gets_ready(2);
    rig.tell(ready(3));
    rig.tell(left(1));
    assert_eq!(rig.tell(ready(4)), [retire(2)]);
    let aborted = outcome(1, Err(FailureReason::Aborted));
    assert_eq!(go_back(&mut rig, 2), [aborted, commit(1)], "three workers are all there may be");
    assert_eq!(rig.tell(left(2)), [fork(5, 0, 1)]);
}

#[test]
fn upgrade_in_place_keeps_it() {
    let mut rig = reloaded();
    rig.tell(Event::Upgrade { ticket: Ticket(1), way: Some(Way::InPlace) });
    assert_eq!(go_back(&mut rig, 2), [outcome(2, Err(FailureReason::UpgradeUnderWay))]);
    let snapshot = rig.supervisor.snapshot().expect("an upgrade is under way");
    let next = Supervisor::restore(Config::default(), snapshot).expect("it is sound");
    assert_eq!(next.previous(), rig.supervisor.previous());
}
