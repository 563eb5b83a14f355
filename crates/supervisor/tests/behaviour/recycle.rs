//! Workers that have had their time.

use super::*;
use supervisor::Wear;

fn worn(worker: u32) -> Event {
    Event::WorkerWorn { worker: WorkerId(worker), why: Wear::Requests }
}

fn recycled(worker: u32, slot: u32) -> Fact {
    Fact::WorkerRecycled { worker: WorkerId(worker), slot: SlotId(slot), why: Wear::Requests }
}

#[test]
fn worker_that_has_had_its_time_leaves_when_another_one_serves_in_its_place() {
    let mut rig = Rig::serving(2);
    assert_eq!(rig.tell(worn(1)), [fork(3, 0, 1)]);
    assert_eq!((rig.tell(worn(1)), rig.facts.len()), (vec![], 0), "that is known");
    assert_eq!(rig.tell(ready(3)), [retire(1)]);
    assert_eq!(rig.facts, [recycled(1, 0)]);
    assert_eq!(rig.tell(left(1)), []);
    assert_eq!(rig.workers(), [(2, 1, 1, true), (3, 0, 1, true)]);
}

#[test]
fn no_more_workers_are_recycled_at_once_than_surge_allows() {
    let mut rig = Rig::serving(3);
    assert_eq!(rig.tell(worn(1)), [fork(4, 0, 1)]);
    assert_eq!([worn(2), worn(3)].map(|event| rig.tell(event)), [[], []]);
    assert_eq!(rig.tell(ready(4)), [retire(1)]);
    assert_eq!(rig.tell(left(1)), [fork(5, 1, 1)], "the next when that one has left");
    rig.tell(ready(5));
    assert_eq!(rig.tell(left(2)), [fork(6, 2, 1)]);
}

#[test]
fn worker_serves_on_while_the_other_one_cannot_boot() {
    let mut rig = Rig::serving(1);
    rig.tell(worn(1));
    let failed = Event::WorkerBootFailed { worker: WorkerId(2), cause: CauseId::NONE };
    assert_eq!(rig.tell(failed), []);
    assert_eq!(rig.tell(died(2)), [], "the next try waits");
    let (takes, deeds) = rig.deadline();
    assert!(takes <= Duration::from_millis(100));
    assert_eq!(deeds, [fork(3, 0, 1)]);
    assert_eq!(rig.workers(), [(1, 0, 1, true), (3, 0, 1, false)]);
    assert_eq!(rig.tell(ready(3)), [retire(1)]);
}

#[test]
fn worker_that_dies_before_it_is_replaced_is_replaced_all_the_same() {
    let mut rig = Rig::serving(1);
    assert_eq!(rig.tell(worn(1)), [fork(2, 0, 1)]);
    assert_eq!(rig.tell(died(1)), []);
    assert_eq!(rig.tell(ready(2)), []);
    assert_eq!((rig.workers(), rig.facts.len()), (vec![(2, 0, 1, true)], 0));
}

#[test]
fn slot_is_not_left_empty_for_one_that_has_had_its_time_and_finishes_a_long_request() {
    let mut rig = Rig::serving(1);
    rig.tell(worn(1));
    rig.tell(ready(2));
    rig.pass(Duration::from_secs(2));
    assert_eq!(rig.tell(died_in_request(2)), [fork(3, 0, 1)]);
}

#[test]
fn slot_is_recycled_again_when_the_one_before_has_left() {
    let mut rig = Rig::serving_with(Config::default(), Plan { worker_processes: 1, surge: 5, ..PLAN });
    rig.tell(worn(1));
    rig.tell(ready(2));
    assert_eq!(rig.tell(worn(2)), [], "worker 1 finishes what it does");
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.tell(left(1)), [fork(3, 0, 1)]);
}

#[test]
fn slot_forks_ten_workers_a_second_at_most_however_short_their_time_is() {
    let mut rig = Rig::serving(1);
    rig.tell(worn(1));
    rig.tell(ready(2));
    rig.tell(left(1));
    assert_eq!(rig.tell(worn(2)), []);
    assert_eq!(rig.deadline(), (Duration::from_millis(100), vec![fork(3, 0, 1)]));
}

#[test]
fn roll_recycles_nothing_but_replaces_what_has_had_its_time_like_all_others() {
    let mut rig = Rig::serving(2);
    rig.signal(Signal::Hup);
    assert_eq!(rig.mold_gets_ready(2), [commit(2), fork(3, 0, 2)]);
    assert_eq!(rig.tell(worn(2)), []);
    rig.tell(ready(3));
    assert_eq!(rig.tell(worn(3)), [], "nor one of the new code");
    assert_eq!(rig.tell(left(1)), [fork(4, 1, 2)]);
    assert_eq!(rig.tell(ready(4)), [retire(2)]);
    assert_eq!(rig.facts.iter().filter(|fact| matches!(fact, Fact::WorkerRecycled { .. })).count(), 0);
    rig.pass(Duration::from_secs(1));
    let deeds = rig.tell(left(2));
    assert!(deeds.contains(&fork(5, 0, 2)), "now it is its turn: {deeds:?}");
}

#[test]
fn workers_are_recycled_while_the_next_mold_boots() {
    let mut rig = Rig::serving(1);
    rig.signal(Signal::Hup);
    assert_eq!(rig.tell(worn(1)), [fork(2, 0, 1)]);
    assert_eq!(rig.mold_gets_ready(2)[..1], [commit(2)]);
    assert_eq!(rig.tell(ready(2)), [retire(1)], "two of the old code serve the slot");
}

#[test]
fn workers_on_trial_and_those_beside_them_are_let_alone() {
    let canary = Some(Canary { workers: 1, watch: Duration::from_secs(60) });
    let mut rig = Rig::serving_with(Config::default(), Plan { worker_processes: 2, canary, ..PLAN });
    rig.signal(Signal::Hup);
    rig.mold_gets_ready(2);
    rig.tell(ready(3));
    rig.tell(left(1));
    assert_eq!([worn(2), worn(3)].map(|event| rig.tell(event)), [[], []]);
}

#[test]
fn stop_and_a_slot_that_is_closed_end_it() {
    let mut rig = Rig::serving(2);
    rig.tell(worn(2));
    assert_eq!(rig.signal(Signal::Ttou), [count(1), retire(2), abandon(3)]);
    assert_eq!(rig.facts, []);
    let mut rig = Rig::serving(2);
    rig.tell(worn(2));
    let deeds = rig.signal(Signal::Quit);
    assert_eq!(deeds, [abandon(3), Action::StopListening, drain(1), drain(2)]);
}

#[test]
fn worker_that_boots_has_not_had_its_time() {
    let mut rig = Rig::serving(1);
    rig.tell(died(1));
    assert_eq!(rig.tell(worn(2)), []);
    assert_eq!(rig.tell(ready(2)), []);
}

#[test]
fn worker_of_the_new_code_that_has_had_its_time_serves_its_slot_when_a_trial_ends() {
    let canary = Some(Canary { workers: 2, watch: Duration::from_secs(20) });
    let mut rig = Rig::serving_with(Config::default(), Plan { worker_processes: 3, canary, ..PLAN });
    rig.signal(Signal::Hup);
    rig.mold_gets_ready(2);
    rig.tell(ready(4));
    rig.tell(left(1));
    rig.tell(ready(5));
    rig.tell(left(2));
    rig.pass(Duration::from_secs(1));
    rig.tell(worn(5));
    // Of two slots one is left to the old code, but its worker boots yet when the trial is over.
    assert_eq!(rig.signal(Signal::Ttou), [count(2), retire(3)]);
    assert_eq!(rig.tell(left(3)), [fork(6, 1, 1)]);
    let (_, deeds) = rig.deadline();
    assert!(deeds.starts_with(&[abandon(6)]), "{deeds:?}");
    assert_eq!(rig.workers()[..2], [(4, 0, 2, true), (5, 1, 2, true)]);
}
