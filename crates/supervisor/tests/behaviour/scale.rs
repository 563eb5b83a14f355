//! SIGTTIN, SIGTTOU, SIGWINCH, SIGUSR1.

use super::*;

const WINCH: Signal = Signal::Winch { honoured: true };

#[test]
fn ttin_adds_a_worker_in_the_lowest_free_slot() {
    let mut rig = Rig::serving(2);
    assert_eq!(rig.signal(Signal::Ttin), [count(3), fork(3, 2, 1)]);
    assert_eq!(rig.signal(Signal::Ttin), [count(4), fork(4, 3, 1)]);
}

#[test]
fn ttou_retires_the_highest_slot_down_to_none() {
    let mut rig = Rig::serving(2);
    assert_eq!(rig.signal(Signal::Ttou), [count(1), retire(2)]);
    // No worker is left that would take connections: not from the one that leaves already either.
    assert_eq!(rig.signal(Signal::Ttou), [count(0), retire_alone(1), retire_alone(2)]);
    assert_eq!(rig.signal(Signal::Ttou), []);
    assert_eq!(rig.tell(left(1)), []);
    assert_eq!(rig.tell(left(2)), []);
    assert!(!rig.supervisor.readyz());
}

#[test]
fn slot_whose_worker_has_not_left_yet_waits_for_it() {
    let mut rig = Rig::serving(2);
    rig.signal(Signal::Ttou);
    assert_eq!(rig.signal(Signal::Ttin), [count(2)]);
    assert_eq!(rig.tell(left(2)), [fork(3, 1, 1)]);
}

#[test]
fn retiring_worker_that_does_not_leave_is_killed_in_the_end() {
    let mut rig = Rig::serving_with(Config::default(), Plan { linger: seconds(10), ..PLAN });
    rig.signal(Signal::Ttou);
    assert_eq!(rig.deadline(), (seconds(60 + 10 + 5), vec![kill(2, KillReason::RetireTimeout)]));
    assert_eq!(rig.tell(died(2)), []);
}

#[test]
fn winch_retires_all_and_ttin_brings_one_back() {
    let mut rig = Rig::serving(2);
    assert_eq!(rig.signal(WINCH), [count(0), retire_alone(1), retire_alone(2)]);
    rig.tell(left(1));
    rig.tell(left(2));
    assert_eq!(rig.signal(Signal::Ttin), [count(1), fork(3, 0, 1)]);
}

#[test]
fn winch_from_a_terminal_means_nothing() {
    let mut rig = Rig::serving(2);
    assert_eq!(rig.signal(Signal::Winch { honoured: false }), []);
    assert_eq!(rig.facts, [Fact::WinchIgnored]);
}

#[test]
fn hup_after_winch_brings_the_workers_back_at_once_even_if_the_new_code_is_broken() {
    let mut rig = Rig::serving(2);
    rig.signal(WINCH);
    rig.tell(left(1));
    rig.tell(left(2));
    assert_eq!(rig.tell(HUP), [count(2), start_mold(2), fork(3, 0, 1), fork(4, 1, 1)]);
    assert_eq!(rig.tell(mold_died(2)), [rollback(2)]);
    rig.tell(ready(3));
    assert!(rig.supervisor.readyz());
}

#[test]
fn reload_goes_back_to_the_configured_number() {
    let mut rig = Rig::serving(2);
    rig.signal(Signal::Ttin);
    rig.tell(ready(3));
    rig.tell(HUP);
    assert_eq!(rig.mold_gets_ready(2), [commit(2), fork(4, 0, 2)]);
    assert_eq!(rig.supervisor.worker_processes(), 2);
}

#[test]
fn scaling_that_is_asked_for_after_a_reload_outlives_it() {
    let mut rig = Rig::serving(2);
    rig.tell(HUP);
    rig.signal(Signal::Ttin);
    rig.tell(ready(3));
    assert_eq!(rig.mold_gets_ready(2), [commit(2), count(3), fork(4, 0, 2)]);
}

#[test]
fn ttin_during_a_roll_adds_a_worker_of_the_new_generation() {
    let mut rig = Rig::serving(2);
    rig.tell(HUP);
    rig.mold_gets_ready(2);
    assert_eq!(rig.signal(Signal::Ttin), [count(3), fork(4, 2, 2)]);
}

#[test]
fn ttou_during_a_roll_sends_the_worker_of_the_last_slot_away_so_that_the_roll_goes_on() {
    let mut rig = Rig::serving(3);
    rig.tell(HUP);
    rig.mold_gets_ready(2);
    assert_eq!(rig.tell(ready(4)), [retire(1)]);
    assert_eq!(rig.signal(Signal::Ttou), [count(2), retire(3)]);
    assert_eq!(rig.tell(left(1)), []);
    assert_eq!(rig.tell(left(3)), [fork(5, 1, 2)]);
}

#[test]
fn usr1_reopens_the_logs() {
    assert_eq!(Rig::serving(1).signal(Signal::Usr1), [Action::ReopenLogs]);
}

#[test]
fn workers_that_leave_closed_slots_do_not_hold_up_the_replacement_of_one_that_died() {
    let mut rig = Rig::serving(4);
    rig.signal(Signal::Ttou);
    rig.signal(Signal::Ttou);
    assert_eq!(rig.tell(died(1)), [fork(5, 0, 1)]);
}

#[test]
fn workers_that_are_slow_to_leave_count() {
    let mut rig = Rig::serving(2);
    rig.signal(WINCH);
    rig.tell(HUP);
    // Two old ones have not left: there is room for one more.
    assert_eq!(rig.mold_gets_ready(2), [commit(2), fork(3, 0, 2)]);
    assert_eq!(rig.tell(left(1)), [fork(4, 1, 2)]);
}
