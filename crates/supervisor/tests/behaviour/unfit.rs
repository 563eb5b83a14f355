//! Workers and molds that say what is not theirs to say, or close their control sockets.

use super::*;

fn lied(worker: u32, in_request: bool) -> Event {
    Event::WorkerLied { worker: WorkerId(worker), in_request }
}

fn closed(worker: u32) -> Event {
    Event::WorkerUnreachable { worker: WorkerId(worker) }
}

fn mold_lied(generation: u32) -> Event {
    Event::MoldUnfit { generation: Generation(generation), cause: CauseId::NONE }
}

fn mold_closed(generation: u32) -> Event {
    Event::MoldUnreachable { generation: Generation(generation) }
}

#[test]
fn worker_that_breaks_the_protocol_is_killed_and_replaced() {
    let mut rig = Rig::serving(2);
    assert_eq!(rig.tell(lied(1, false)), [kill(1, KillReason::Lied)]);
    assert_eq!(rig.tell(lied(1, false)), [], "it is killed once");
    assert_eq!(rig.tell(died(1)), [fork(3, 0, 1)]);
}

#[test]
fn worker_that_breaks_the_protocol_right_after_boot_again_and_again_waits() {
    let mut rig = Rig::serving(1);
    rig.tell(lied(1, false));
    rig.tell(died(1));
    for id in 2..4 {
        rig.tell(ready(id));
        rig.tell(lied(id, false));
        rig.tell(died(id));
    }
    assert!(matches!(rig.facts[..], [Fact::BackOff { failures: 2, .. }]), "{:?}", rig.facts);
}

#[test]
fn worker_that_breaks_the_protocol_in_a_request_makes_no_back_off_grow() {
    let mut rig = Rig::serving(1);
    rig.tell(lied(1, true));
    rig.tell(died_in_request(1));
    rig.tell(ready(2));
    for id in 2..30 {
        assert_eq!(rig.tell(lied(id, true)), [kill(id, KillReason::Lied)]);
        assert_eq!(rig.tell(died_in_request(id)), []);
        assert_eq!(rig.deadline(), (Duration::from_millis(100), vec![fork(id + 1, 0, 1)]));
        rig.tell(ready(id + 1));
    }
    assert_eq!(rig.facts, []);
}

#[test]
fn end_of_a_control_socket_right_before_a_death_is_no_news() {
    let mut rig = Rig::serving(2);
    assert_eq!(rig.tell(closed(1)), []);
    rig.pass(Duration::from_millis(999));
    assert_eq!(rig.tell(died(1)), [fork(3, 0, 1)]);
    rig.tell(ready(3));
    // Nor does it change what a death counts for.
    for id in 3..30 {
        assert_eq!(rig.tell(closed(id)), []);
        assert_eq!(rig.tell(died_in_request(id)), []);
        assert_eq!(rig.deadline().1, [fork(id + 1, 0, 1)]);
        rig.tell(ready(id + 1));
    }
    assert_eq!(rig.facts, []);
    rig.tell(closed(30));
    rig.tell(died(30));
    rig.tell(ready(31));
    rig.tell(closed(31));
    assert_eq!(rig.tell(died(31)), []);
    assert!(matches!(rig.facts[..], [Fact::BackOff { failures: 2, .. }]), "{:?}", rig.facts);
}

#[test]
fn worker_that_closes_its_control_socket_and_lives_on_is_told_to_leave_and_replaced() {
    let mut rig = Rig::serving(2);
    assert_eq!(rig.tell(closed(1)), []);
    assert_eq!(rig.deadline(), (seconds(1), vec![abandon(1)]));
    assert_eq!(rig.facts, [Fact::WorkerUnreachable { slot: SlotId(0) }]);
    // It is one that was lost, though it leaves when it is told to.
    assert!(rig.supervisor.worker(WorkerId(1)).unwrap().is_unasked());
    // Its request has as much time as that of any worker that retires.
    assert_eq!(rig.deadline(), (PLAN.timeout + seconds(5), vec![kill(1, KillReason::Unreachable)]));
    // The next one comes when it is gone: one worker per slot and generation.
    assert_eq!(rig.tell(died(1)), [fork(3, 0, 1)]);
}

#[test]
fn worker_that_closes_its_control_socket_while_it_boots_and_lives_on_is_killed() {
    let mut rig = Rig::serving(2);
    rig.tell(died(1));
    assert_eq!(rig.tell(closed(3)), []);
    assert_eq!(rig.deadline(), (seconds(1), vec![kill(3, KillReason::Unreachable)]));
    assert!(matches!(rig.facts[..], [Fact::BackOff { slot: SlotId(0), failures: 1, .. }]), "{:?}", rig.facts);
}

#[test]
fn retiring_worker_that_closes_its_control_socket_is_asked_by_a_signal_too() {
    let mut rig = Rig::serving(2);
    assert_eq!(rig.signal(Signal::Ttou), [count(1), retire(2)]);
    assert_eq!(rig.tell(closed(2)), [abandon(2)]);
    assert_eq!(rig.tell(closed(2)), [abandon(2)], "a signal more costs nothing");
}

#[test]
fn stop_asks_a_worker_that_cannot_be_reached_by_a_signal() {
    let mut rig = Rig::serving(1);
    rig.tell(closed(1));
    assert_eq!(rig.signal(Signal::Quit), [Action::StopListening, abandon(1)]);
    assert_eq!(rig.tell(died(1)), [retire_mold(1)]);
}

#[test]
fn mold_that_breaks_the_protocol_is_killed_and_another_started() {
    let mut rig = Rig::serving(1);
    assert_eq!(rig.tell(mold_lied(1)), [kill_mold(1), start_mold(2)]);
    assert_eq!(rig.tell(mold_died(1)), []);
    assert_eq!(rig.mold_gets_ready(2), [commit(2), settle(2)]);
}

#[test]
fn mold_that_closes_its_control_socket_and_lives_on_is_killed_and_another_started() {
    let mut rig = Rig::serving(1);
    assert_eq!(rig.tell(mold_closed(1)), []);
    assert_eq!(rig.deadline(), (seconds(1), vec![kill_mold(1), start_mold(2)]));
    // One that dies is as ever.
    rig.tell(mold_died(1));
    rig.mold_gets_ready(2);
    assert_eq!(rig.tell(mold_closed(2)), []);
    assert_eq!(rig.tell(mold_died(2)), [start_mold(3)]);
}
