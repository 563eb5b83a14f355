//! Reload, roll and roll-back.

use super::*;

/// A server of two workers with a reload under way: worker 3 of generation 2 boots for slot 0.
fn rolling() -> Rig {
    let mut rig = Rig::serving(2);
    assert_eq!(rig.tell(Event::Reload { ticket: Ticket(1) }), [start_mold(2)]);
    assert_eq!(rig.mold_gets_ready(2), [commit(2), fork(3, 0, 2)]);
    rig
}

#[test]
fn roll_replaces_slot_by_slot_new_one_up_before_old_one_goes() {
    let mut rig = rolling();
    assert_eq!(rig.tell(ready(3)), [retire(1)]);
    assert_eq!(rig.tell(left(1)), [fork(4, 1, 2)]);
    assert_eq!(rig.tell(ready(4)), [retire(2)]);
    assert_eq!(rig.tell(left(2)), [retire_mold(1), settle(2), outcome(1, Ok(()))]);
    assert_eq!(rig.tell(mold_died(1)), []);
    assert_eq!(rig.progress, [(0, 2), (1, 2), (2, 2)]);
    let generation = Generation(2);
    let facts = [
        Fact::ReloadStarted { generation },
        Fact::RollStarted { generation, total: 2 },
        Fact::RollServing { generation },
        Fact::RollDone { generation },
    ];
    assert_eq!(rig.facts, facts);
    assert_eq!(rig.workers(), [(3, 0, 2, true), (4, 1, 2, true)]);
}

#[test]
fn old_worker_with_a_long_request_holds_the_roll_up_but_not_for_ever() {
    let mut rig = rolling();
    rig.tell(ready(3));
    assert_eq!(rig.deadline(), (seconds(65), vec![kill(1, KillReason::RetireTimeout)]));
    assert_eq!(rig.tell(died(1)), [fork(4, 1, 2)]);
}

#[test]
fn surge_sets_how_many_are_replaced_at_once() {
    let mut rig = Rig::serving_with(Config::default(), Plan { worker_processes: 3, surge: 2, ..PLAN });
    rig.tell(HUP);
    assert_eq!(rig.mold_gets_ready(2), [commit(2), fork(4, 0, 2), fork(5, 1, 2)]);
    assert_eq!(rig.tell(ready(5)), [retire(2)]);
    assert_eq!(rig.tell(left(2)), [fork(6, 2, 2)]);
}

#[test]
fn surge_of_nothing_is_taken_as_one() {
    let mut rig = Rig::serving_with(Config::default(), Plan { surge: 0, ..PLAN });
    rig.tell(HUP);
    assert_eq!(rig.mold_gets_ready(2), [commit(2), fork(3, 0, 2)]);
}

#[test]
fn reload_that_wants_more_workers_adds_them() {
    let mut rig = Rig::serving(1);
    rig.plan.worker_processes = 3;
    rig.tell(HUP);
    assert_eq!(rig.mold_gets_ready(2), [commit(2), fork(2, 1, 2), fork(3, 2, 2), fork(4, 0, 2)]);
}

#[test]
fn reload_that_wants_fewer_workers_closes_slots_when_the_rest_is_served() {
    let mut rig = Rig::serving(3);
    rig.plan.worker_processes = 1;
    rig.tell(HUP);
    assert_eq!(rig.mold_gets_ready(2), [commit(2), fork(4, 0, 2)]);
    assert_eq!(rig.tell(ready(4)), [retire(1), retire(2), retire(3)]);
    rig.tell(left(1));
    rig.tell(left(2));
    assert_eq!(rig.tell(left(3)), [retire_mold(1), settle(2)]);
}

#[test]
fn reload_whose_mold_fails_leaves_everything_as_it_was() {
    let (generation, ticket) = (Generation(2), Ticket(1));
    let hang = |rig: &mut Rig| rig.deadline().1;
    let fail = |rig: &mut Rig| rig.tell(Event::MoldFailed { generation, said: true, cause: CauseId::NONE });
    let die = |rig: &mut Rig| rig.tell(mold_died(2));
    type Happens<'a> = &'a dyn Fn(&mut Rig) -> Vec<Action>;
    let cases: [(Happens<'_>, FailureReason, &[Action]); 3] = [
        (&hang, FailureReason::MoldBootTimeout, &[kill_mold(2)]),
        (&fail, FailureReason::MoldFailed, &[retire_mold(2)]),
        (&die, FailureReason::MoldExited, &[]),
    ];
    for (happens, why, first) in cases {
        let mut rig = Rig::serving(2);
        rig.tell(Event::Reload { ticket });
        let deeds = happens(&mut rig);
        assert_eq!(deeds, [first, &[rollback(2), outcome(1, Err(why))]].concat());
        rig.tell(mold_died(2));
        assert_eq!(rig.facts[1..], [Fact::ReloadFailed { generation, why: why.into() }]);
        assert_eq!(rig.workers(), [(1, 0, 1, true), (2, 1, 1, true)]);
        assert_eq!(rig.tell(died(1)), [fork(3, 0, 1)], "the old mold forks on");
    }
}

#[test]
fn first_new_worker_that_fails_stops_the_roll_before_anybody_retired() {
    let mut rig = rolling();
    let why = FailureReason::WorkerBootFailed(SlotId(0));
    let deeds = rig.tell(Event::WorkerBootFailed { worker: WorkerId(3), cause: CauseId::NONE });
    assert_eq!(deeds, [rollback(2), retire_mold(2), outcome(1, Err(why))]);
    rig.tell(died(3));
    rig.tell(mold_died(2));
    assert_eq!(rig.workers(), [(1, 0, 1, true), (2, 1, 1, true)]);
    assert_eq!(rig.supervisor.next_deadline(), None);
}

#[test]
fn new_worker_that_hangs_dies_or_cannot_be_forked_stops_the_roll_too() {
    let mut rig = rolling();
    let timeout = outcome(1, Err(FailureReason::WorkerBootTimeout(SlotId(0))));
    let deeds = vec![kill(3, KillReason::BootTimeout), rollback(2), retire_mold(2), timeout];
    assert_eq!(rig.deadline(), (PLAN.boot_timeout, deeds));

    for (event, why) in [
        (left(3), FailureReason::WorkerExited(SlotId(0))),
        (Event::ForkFailed { worker: WorkerId(3), cause: CauseId::NONE }, FailureReason::ForkFailed(SlotId(0))),
        (mold_died(2), FailureReason::MoldExited),
    ] {
        let mut rig = rolling();
        let deeds = rig.tell(event);
        assert_eq!(deeds[deeds.len() - 1], outcome(1, Err(why)));
        assert!(deeds.contains(&rollback(2)));
    }
}

#[test]
fn roll_back_puts_old_workers_in_place_before_new_ones_retire() {
    let mut rig = rolling();
    rig.tell(ready(3));
    rig.tell(left(1));
    let why = FailureReason::WorkerExited(SlotId(1));
    assert_eq!(rig.tell(died(4)), [rollback(2), retire_mold(2), outcome(1, Err(why)), fork(5, 0, 1)]);
    assert_eq!(rig.workers(), [(2, 1, 1, true), (3, 0, 2, true), (5, 0, 1, false)]);
    assert_eq!(rig.tell(ready(5)), [retire(3)]);
    assert_eq!(rig.tell(left(3)), []);
    assert_eq!(rig.workers(), [(2, 1, 1, true), (5, 0, 1, true)]);
}

#[test]
fn roll_back_goes_back_to_the_number_of_workers_before() {
    let mut rig = Rig::serving(1);
    rig.plan.worker_processes = 3;
    rig.tell(HUP);
    rig.mold_gets_ready(2);
    rig.tell(ready(2));
    // Slot 0 is served by the old worker: the new one of slot 1 is not needed.
    assert_eq!(rig.tell(died(3)), [abandon(4), rollback(2), retire_mold(2), count(1), retire(2)]);
}

#[test]
fn ttou_that_leaves_the_new_code_workers_does_not_leave_the_old_code_without_any() {
    let mut rig = Rig::serving(1);
    rig.plan.worker_processes = 3;
    rig.tell(HUP);
    rig.mold_gets_ready(2);
    rig.tell(ready(2));
    rig.signal(Signal::Ttou);
    let deeds = rig.tell(died(4));
    assert!(deeds.contains(&rollback(2)) && deeds.contains(&count(1)), "{deeds:?}");
    assert!(rig.workers().contains(&(1, 0, 1, true)), "{:?}", rig.workers());
}

#[test]
fn new_workers_that_crash_again_and_again_stop_the_roll() {
    let mut rig = rolling();
    rig.tell(ready(3));
    rig.tell(left(1));
    assert_eq!(rig.tell(died(3)), [fork(5, 0, 2)], "once may be anything");
    rig.tell(ready(5));
    let why = FailureReason::WorkerCrashLoop(SlotId(0));
    let deeds = rig.tell(died(5));
    assert_eq!(deeds, [abandon(4), rollback(2), retire_mold(2), outcome(1, Err(why)), fork(6, 0, 1)]);
}

#[test]
fn worker_that_dies_during_a_roll_is_replaced_by_a_new_one() {
    let mut rig = rolling();
    assert_eq!(rig.tell(died(2)), [fork(4, 1, 2)]);
}

#[test]
fn old_worker_that_does_not_boot_says_nothing_about_the_new_code() {
    let mut rig = Rig::serving(2);
    rig.tell(died(2));
    rig.tell(HUP);
    rig.mold_gets_ready(2);
    assert_eq!(rig.workers(), [(1, 0, 1, true), (3, 1, 1, false), (4, 0, 2, false)]);
    assert_eq!(rig.tell(died(3)), [fork(5, 1, 2)]);
}

#[test]
fn failures_after_the_roll_has_succeeded_are_ordinary_ones() {
    let mut rig = rolling();
    rig.tell(ready(3));
    rig.tell(left(1));
    rig.tell(ready(4));
    // Old worker 2 finishes its request.
    assert_eq!(rig.tell(mold_died(2)), [start_mold(3)]);
    assert_eq!(rig.tell(died(4)), [], "there is no mold to fork from");
    assert_eq!(rig.tell(left(2)), [retire_mold(1), settle(2), outcome(1, Ok(()))]);
    assert_eq!(rig.mold_gets_ready(3), [commit(3), settle(3), fork(5, 1, 3)]);
    assert_eq!(rig.tell(died(5)), [], "it is tried again later");
    assert_eq!(rig.deadline().1, [fork(6, 1, 3)]);
}

#[test]
fn hup_while_the_next_mold_boots_drops_it_for_another() {
    let mut rig = Rig::serving(1);
    rig.tell(Event::Reload { ticket: Ticket(1) });
    let again = rig.tell(Event::Reload { ticket: Ticket(2) });
    assert_eq!(again, [kill_mold(2), rollback(2), start_mold(3)]);
    assert_eq!(rig.tell(Event::MoldReady { generation: Generation(2) }), [], "too late");
    assert_eq!(rig.tell(mold_died(2)), []);
    assert_eq!(rig.mold_gets_ready(3), [commit(3), fork(2, 0, 3)]);
    rig.tell(ready(2));
    let last = [retire_mold(1), settle(3), outcome(1, Ok(())), outcome(2, Ok(()))];
    assert_eq!(rig.tell(left(1)), last);
}

#[test]
fn hup_during_a_roll_follows_it() {
    let mut rig = rolling();
    assert_eq!(rig.tell(Event::Reload { ticket: Ticket(2) }), []);
    assert_eq!(rig.tell(Event::Reload { ticket: Ticket(3) }), []);
    rig.tell(ready(3));
    rig.tell(left(1));
    rig.tell(ready(4));
    let done = [retire_mold(1), settle(2), outcome(1, Ok(())), start_mold(3)];
    assert_eq!(rig.tell(left(2)), done);
    let failed = [rollback(3), outcome(2, Err(FailureReason::MoldExited)), outcome(3, Err(FailureReason::MoldExited))];
    assert_eq!(rig.tell(mold_died(3)), failed);
}

#[test]
fn hup_during_a_roll_that_fails_follows_it_too() {
    let mut rig = rolling();
    rig.tell(Event::Reload { ticket: Ticket(2) });
    let why = FailureReason::WorkerExited(SlotId(0));
    let deeds = [rollback(2), retire_mold(2), outcome(1, Err(why)), start_mold(3)];
    assert_eq!(rig.tell(died(3)), deeds);
}

#[test]
fn reload_takes_the_place_of_a_mold_that_boots_for_a_lost_one() {
    let mut rig = Rig::serving(1);
    rig.tell(mold_died(1));
    assert_eq!(rig.tell(HUP), [kill_mold(2), rollback(2), start_mold(3)]);
    rig.tell(mold_died(2));
    // When it fails, the lost one is started again.
    assert_eq!(rig.tell(mold_died(3)), [rollback(3), start_mold(4)]);
}

#[test]
fn roll_back_without_an_old_mold_starts_another() {
    let mut rig = rolling();
    rig.tell(ready(3));
    rig.tell(left(1));
    assert_eq!(rig.tell(mold_died(1)), []);
    let why = FailureReason::WorkerExited(SlotId(1));
    assert_eq!(rig.tell(died(4)), [rollback(2), retire_mold(2), outcome(1, Err(why)), start_mold(3)]);
    // The worker that serves serves on meanwhile.
    assert_eq!(rig.mold_gets_ready(3), [commit(3), settle(3), fork(5, 0, 3)]);
    assert_eq!(rig.tell(ready(5)), [retire(3)]);
}

#[test]
fn reload_gives_slots_that_waited_a_fresh_start() {
    let mut rig = Rig::serving(2);
    rig.tell(died(1));
    rig.tell(HUP);
    rig.tell(died(3));
    assert_eq!(rig.mold_gets_ready(2), [commit(2), fork(4, 0, 2), fork(5, 1, 2)]);
}

#[test]
fn roll_that_begins_during_a_roll_back_does_not_stall_on_slots_that_two_old_workers_serve() {
    let mut rig = rolling();
    rig.tell(ready(3));
    rig.tell(left(1));
    assert!(rig.tell(died(4)).contains(&fork(5, 0, 1)));
    rig.tell(mold_died(2));
    rig.tell(HUP);
    // Workers 2, 3 and 5 are all there may be: the roll waits for one of them.
    assert_eq!(rig.mold_gets_ready(3), [commit(3)]);
    assert_eq!(rig.tell(ready(5)), [retire(3)]);
    assert_eq!(rig.tell(left(3)), [fork(6, 0, 3)]);
}

#[test]
fn new_worker_that_is_ready_when_the_roll_fails_finishes_what_it_has_begun() {
    let mut rig = Rig::serving_with(Config::default(), Plan { surge: 2, ..PLAN });
    rig.tell(HUP);
    rig.mold_gets_ready(2);
    assert_eq!(rig.tell(died(3))[0], abandon(4));
    rig.tell(mold_died(2));
    // Its message was under way already: it may have begun a request.
    assert_eq!(rig.tell(ready(4)), []);
    assert_eq!(rig.deadline(), (seconds(65), vec![kill(4, KillReason::RetireTimeout)]));
}
