//! Deaths of workers and molds while the server serves.

use super::*;

#[test]
fn worker_that_dies_is_replaced_at_once() {
    let mut rig = Rig::serving(2);
    assert_eq!(rig.tell(died(2)), [fork(3, 1, 1)]);
    assert_eq!(rig.tell(ready(3)), []);
}

#[test]
fn worker_that_was_sent_away_by_somebody_else_is_replaced_at_once() {
    let mut rig = Rig::serving(1);
    assert_eq!(rig.tell(left(1)), [fork(2, 0, 1)]);
    rig.tell(ready(2));
    // Even when it has only just come, once.
    assert_eq!(rig.tell(left(2)), [fork(3, 0, 1)]);
}

#[test]
fn second_early_death_in_a_row_waits() {
    let mut rig = Rig::serving(1);
    rig.tell(died(1));
    rig.tell(ready(2));
    assert_eq!(rig.tell(left(2)), [fork(3, 0, 1)]);
    rig.tell(ready(3));
    assert_eq!(rig.tell(left(3)), []);
    assert!(matches!(rig.facts[..], [Fact::BackOff { slot: SlotId(0), failures: 2, .. }]), "{:?}", rig.facts);
    assert_eq!(rig.deadline().1, [fork(4, 0, 1)]);
}

#[test]
fn worker_that_dies_in_a_request_is_replaced_within_a_tenth_of_a_second_however_often() {
    let mut rig = Rig::serving(1);
    assert_eq!(rig.tell(died_in_request(1)), [fork(2, 0, 1)], "it was ready for longer than that");
    rig.tell(ready(2));
    for id in 2..30 {
        assert_eq!(rig.tell(died_in_request(id)), []);
        let (delay, deeds) = rig.deadline();
        assert_eq!((delay, deeds), (Duration::from_millis(100), vec![fork(id + 1, 0, 1)]));
        rig.tell(ready(id + 1));
    }
    assert!(!rig.facts.iter().any(|fact| matches!(fact, Fact::BackOff { .. })), "{:?}", rig.facts);
    assert_eq!(rig.supervisor.troubles().count(), 0);
    rig.pass(Duration::from_millis(150));
    assert_eq!(rig.tell(died_in_request(30)), [fork(31, 0, 1)]);
}

#[test]
fn last_slot_is_tried_again_within_a_second() {
    let mut rig = Rig::serving(2);
    rig.tell(died(1));
    let mut id = 3;
    for _ in 0..10 {
        rig.tell(died(id));
        rig.deadline();
        id += 1;
    }
    assert_eq!(rig.tell(died(id)), []);
    assert!(rig.supervisor.next_deadline().expect("it is tried again") > rig.now + seconds(20));
    // The other one goes too: now nothing serves.
    assert_eq!(rig.tell(died(2)), [fork(id + 1, 1, 1)]);
    rig.tell(died(id + 1));
    let (delay, deeds) = rig.deadline();
    assert!(delay <= seconds(1), "{delay:?}");
    assert_eq!(deeds.len(), 1, "{deeds:?}");
}

#[test]
fn worker_that_lived_a_while_clears_the_slate() {
    let mut rig = Rig::serving(1);
    rig.tell(died(1));
    for id in 2..5 {
        rig.tell(died(id));
        assert_eq!(rig.deadline().1, [fork(id + 1, 0, 1)]);
    }
    rig.tell(ready(5));
    rig.pass(seconds(1));
    assert_eq!(rig.tell(died(5)), [fork(6, 0, 1)]);
    rig.tell(died(6));
    assert!(rig.deadline().0 <= Duration::from_millis(100));
}

#[test]
fn boots_that_fail_again_and_again_wait_longer_and_longer_up_to_half_a_minute() {
    let mut rig = Rig::serving(2);
    rig.tell(died(1));
    let mut full = Duration::from_millis(100);
    for id in 3..23 {
        assert_eq!(rig.tell(died(id)), []);
        let (delay, deeds) = rig.deadline();
        assert!(delay <= full && delay >= full * 3 / 4, "{delay:?} of {full:?}");
        assert_eq!(deeds, [fork(id + 1, 0, 1)]);
        full = (full * 2).min(seconds(30));
    }
    // The other slot never noticed.
    assert_eq!(rig.tell(died(2)), [fork(24, 1, 1)]);
}

#[test]
fn worker_that_hangs_while_booting_is_killed_and_tried_again() {
    let mut rig = Rig::serving(2);
    rig.tell(died(1));
    assert_eq!(rig.deadline(), (PLAN.boot_timeout, vec![kill(3, KillReason::BootTimeout)]));
    // The killed one has to be gone first: one worker per slot and generation.
    rig.pass(seconds(5));
    assert_eq!(rig.tell(died(3)), [fork(4, 0, 1)]);
}

#[test]
fn worker_that_leaves_by_itself_gives_its_connections_to_those_that_serve_or_will() {
    let mut rig = Rig::serving(2);
    rig.pass(seconds(5));
    let leaves = |worker| Event::WorkerLeaves { worker: WorkerId(worker) };
    assert_eq!(rig.tell(leaves(1)), [retire(1)]);
    assert_eq!(rig.tell(leaves(1)), []);
    // No other worker serves: the next one takes them.
    assert_eq!(rig.tell(leaves(2)), [retire(2)]);
    assert_eq!(rig.tell(died(1)), [fork(3, 0, 1)]);
    assert_eq!(rig.tell(died(2)), [fork(4, 1, 1)]);
    assert_eq!(rig.tell(leaves(3)), [], "it boots");
}

#[test]
fn worker_past_its_deadline_is_killed_and_replaced() {
    let mut rig = Rig::serving(1);
    let overdue = Event::RequestOverdue { worker: WorkerId(1) };
    assert_eq!(rig.tell(overdue), [kill(1, KillReason::RequestTimeout)]);
    assert_eq!(rig.tell(overdue), []);
    assert_eq!(rig.tell(died(1)), [fork(2, 0, 1)]);
    assert_eq!(rig.tell(Event::RequestOverdue { worker: WorkerId(2) }), [], "it boots, it has no request");
}

#[test]
fn fork_that_fails_is_tried_again() {
    let mut rig = Rig::serving(1);
    rig.tell(died(1));
    assert_eq!(rig.tell(Event::ForkFailed { worker: WorkerId(2), cause: CauseId::NONE }), []);
    assert_eq!(rig.deadline().1, [fork(3, 0, 1)]);
}

#[test]
fn mold_that_dies_is_started_again_under_a_new_number_and_nobody_is_rolled() {
    let mut rig = Rig::serving(2);
    assert_eq!(rig.tell(mold_died(1)), [start_mold(2)]);
    // Until it is ready nothing can be forked.
    assert_eq!(rig.tell(died(1)), []);
    assert_eq!(rig.mold_gets_ready(2), [commit(2), settle(2), fork(3, 0, 2)]);
    assert_eq!(rig.tell(ready(3)), []);
    assert_eq!(rig.workers(), [(2, 1, 1, true), (3, 0, 2, true)]);
}

#[test]
fn mold_that_is_started_again_keeps_the_number_of_workers_that_the_operator_chose() {
    let mut rig = Rig::serving(1);
    rig.signal(Signal::Ttin);
    rig.tell(ready(2));
    rig.tell(mold_died(1));
    assert_eq!(rig.mold_gets_ready(2), [commit(2), settle(2), count(2)]);
}

#[test]
fn mold_that_cannot_be_started_again_is_tried_later_and_later() {
    let mut rig = Rig::serving(1);
    rig.tell(mold_died(1));
    let mut last = Duration::ZERO;
    for generation in 2..8 {
        assert_eq!(
            rig.tell(Event::MoldFailed { generation: Generation(generation), said: true, cause: CauseId::NONE })[1..],
            [rollback(generation)]
        );
        rig.tell(mold_died(generation));
        let (delay, deeds) = rig.deadline();
        assert!(delay > last);
        assert_eq!(deeds, [start_mold(generation + 1)]);
        last = delay;
    }
    assert!(rig.supervisor.readyz());
}

#[test]
fn worker_forked_by_a_mold_that_has_died_since_is_as_good_as_any() {
    let mut rig = Rig::serving(2);
    rig.tell(died(1));
    rig.tell(mold_died(1));
    assert_eq!(rig.tell(ready(3)), []);
    assert_eq!(rig.mold_gets_ready(2), [commit(2), settle(2)]);
}

#[test]
fn events_about_strangers_change_nothing() {
    let mut rig = Rig::serving(1);
    let (worker, generation) = (WorkerId(77), Generation(77));
    for event in [
        Event::WorkerReady { worker },
        Event::WorkerBootFailed { worker, cause: CauseId::NONE },
        Event::ForkFailed { worker, cause: CauseId::NONE },
        Event::WorkerExited { worker, in_request: false, cause: CauseId::NONE },
        Event::RequestOverdue { worker },
        Event::WorkerLied { worker, in_request: false },
        Event::WorkerUnreachable { worker },
        Event::MoldConfigured { generation, plan: PLAN },
        Event::MoldReady { generation },
        Event::MoldFailed { generation, said: true, cause: CauseId::NONE },
        Event::MoldUnfit { generation, cause: CauseId::NONE },
        Event::MoldUnreachable { generation },
        Event::MoldExited { generation, status: None, cause: CauseId::NONE },
        Event::SuccessorStarted,
        Event::SuccessorReady { takes_over: false },
        Event::SuccessorExited { cause: CauseId::NONE },
        Event::SuccessorFailed { cause: CauseId::NONE },
        Event::Start,
        Event::Tick,
    ] {
        assert_eq!(rig.tell(event), [], "{event:?}");
    }
    assert_eq!(rig.facts, []);
}

#[test]
fn readiness_that_was_told_in_time_counts_when_the_master_has_slept_beyond_the_deadline() {
    let mut rig = Rig::new(Config::default(), PLAN);
    rig.tell(Event::Start);
    rig.mold_gets_ready(1);
    rig.now += seconds(3600);
    assert_eq!(rig.tell(ready(1)), []);
    assert_eq!(rig.tell(ready(2)), [Action::Serving], "it is heard second, and was ready in time");
    assert_eq!(rig.tell(Event::Tick), []);
    assert!(rig.workers().iter().all(|(.., serves)| *serves));
}

#[test]
fn mold_that_does_not_fork_a_worker_in_time_is_killed() {
    let mut rig = Rig::serving(1);
    assert_eq!(rig.tell(died(1)), [fork(2, 0, 1)]);
    let (_, deeds) = rig.deadline();
    assert!(deeds.contains(&kill(2, KillReason::BootTimeout)), "{deeds:?}");
    let deeds = rig.tell(Event::ForkFailed { worker: WorkerId(2), cause: CauseId::NONE });
    assert!(deeds.contains(&kill_mold(1)), "{deeds:?}");
    assert!(rig.facts.contains(&Fact::MoldForksNothing { generation: Generation(1) }));
}
