//! The stop, graceful and quick.

use super::*;

const QUICK_1: Action = Action::Quick { worker: WorkerId(1) };
const QUICK_2: Action = Action::Quick { worker: WorkerId(2) };
const EXIT: Action = Action::Exit { code: 0 };

#[test]
fn graceful_stop_drains_then_the_mold_goes_then_the_master() {
    for signal in [Signal::Quit, Signal::Term] {
        let mut rig = Rig::serving(2);
        assert_eq!(rig.signal(signal), [Action::StopListening, drain(1), drain(2)]);
        assert!(!rig.supervisor.readyz());
        assert_eq!(rig.tell(left(2)), []);
        assert_eq!(rig.tell(left(1)), [retire_mold(1)]);
        assert_eq!(rig.tell(mold_died(1)), [EXIT]);
        assert_eq!(rig.supervisor.next_deadline(), None);
    }
}

#[test]
fn whoever_has_not_left_after_the_timeout_is_killed() {
    let mut rig = Rig::serving(2);
    rig.signal(Signal::Quit);
    rig.tell(left(1));
    assert_eq!(rig.deadline(), (PLAN.timeout, vec![kill(2, KillReason::StopTimeout)]));
    assert_eq!(rig.tell(died(2)), [retire_mold(1)]);
    assert_eq!(rig.deadline(), (seconds(1), vec![kill_mold(1)]));
    assert_eq!(rig.tell(mold_died(1)), [EXIT]);
}

#[test]
fn workers_that_retire_already_get_no_more_time_than_the_others() {
    let mut rig = Rig::serving(2);
    rig.signal(Signal::Ttou);
    rig.signal(Signal::Quit);
    let killed = vec![kill(1, KillReason::StopTimeout), kill(2, KillReason::StopTimeout)];
    assert_eq!(rig.deadline(), (PLAN.timeout, killed));
}

#[test]
fn quick_stop_tells_all_to_leave_at_once_and_kills_after_two_seconds() {
    let mut rig = Rig::serving(2);
    assert_eq!(rig.signal(Signal::Int), [Action::StopListening, QUICK_1, QUICK_2]);
    rig.tell(left(1));
    assert_eq!(rig.deadline(), (seconds(2), vec![kill(2, KillReason::QuickStopTimeout)]));
    assert_eq!(rig.tell(died(2)), [retire_mold(1)]);
    assert_eq!(rig.tell(mold_died(1)), [EXIT]);
}

#[test]
fn request_that_outlives_its_time_during_a_quick_stop_ends_its_worker_then() {
    let mut rig = Rig::serving(2);
    rig.signal(Signal::Int);
    // The shell tells again and again until the worker is killed.
    let overdue = Event::RequestOverdue { worker: WorkerId(1) };
    assert_eq!(rig.tell(overdue), [kill(1, KillReason::RequestTimeout)]);
    assert_eq!(rig.deadline(), (seconds(2), vec![kill(2, KillReason::QuickStopTimeout)]));
}

#[test]
fn term_is_quick_when_the_configuration_says_so() {
    let mut rig = Rig::serving_with(Config::default(), Plan { term_quick: true, ..PLAN });
    assert_eq!(rig.signal(Signal::Term), [Action::StopListening, QUICK_1, QUICK_2]);
}

#[test]
fn same_stop_again_changes_nothing_and_a_harder_one_does() {
    let mut rig = Rig::serving(2);
    rig.signal(Signal::Quit);
    rig.pass(seconds(30));
    assert_eq!(rig.signal(Signal::Quit), []);
    assert_eq!(rig.signal(Signal::Term), []);
    assert_eq!(rig.deadline().0, seconds(30), "no more time than before");
    let mut rig = Rig::serving(2);
    rig.signal(Signal::Quit);
    assert_eq!(rig.signal(Signal::Int), [QUICK_1, QUICK_2]);
    assert_eq!(rig.signal(Signal::Int), []);
    assert_eq!(rig.signal(Signal::Quit), []);
    assert_eq!(rig.deadline().0, seconds(2));
}

#[test]
fn workers_that_die_during_a_stop_are_not_replaced() {
    let mut rig = Rig::serving_with(Config::default(), Plan { shutdown_delay: seconds(10), ..PLAN });
    rig.signal(Signal::Term);
    assert_eq!(rig.tell(died(1)), []);
    rig.pass(seconds(9));
}

#[test]
fn shutdown_delay_serves_on_while_readyz_fails() {
    let mut rig = Rig::serving_with(Config::default(), Plan { shutdown_delay: seconds(10), ..PLAN });
    assert_eq!(rig.signal(Signal::Term), []);
    assert_eq!(rig.facts, [Fact::StopStarted { graceful: true, delay: seconds(10) }]);
    assert!(!rig.supervisor.readyz());
    assert_eq!(rig.supervisor.phase(), supervisor::Phase::Delaying);
    assert_eq!(rig.deadline(), (seconds(10), vec![Action::StopListening, drain(1), drain(2)]));
}

#[test]
fn shutdown_delay_is_cut_short_when_nobody_is_left_to_serve_or_by_a_quick_stop() {
    let plan = Plan { shutdown_delay: seconds(10), ..PLAN };
    let mut rig = Rig::serving_with(Config::default(), plan);
    rig.signal(Signal::Term);
    assert_eq!(rig.tell(left(1)), []);
    assert_eq!(rig.tell(left(2)), [Action::StopListening, retire_mold(1)]);

    let mut rig = Rig::serving_with(Config::default(), plan);
    rig.signal(Signal::Term);
    assert_eq!(rig.signal(Signal::Int), [Action::StopListening, QUICK_1, QUICK_2]);
}

#[test]
fn stop_through_the_control_socket_is_answered_when_nothing_is_left() {
    let mut rig = Rig::serving(1);
    rig.tell(Event::Stop { graceful: true, ticket: Ticket(1) });
    assert_eq!(rig.tell(Event::Stop { graceful: false, ticket: Ticket(2) }), [QUICK_1]);
    rig.tell(left(1));
    assert_eq!(rig.tell(mold_died(1)), [EXIT, outcome(1, Ok(())), outcome(2, Ok(()))]);
}

#[test]
fn requests_during_a_stop_are_refused() {
    let mut rig = Rig::serving(1);
    rig.signal(Signal::Quit);
    let why = Err(FailureReason::Stopping);
    assert_eq!(rig.tell(Event::Reload { ticket: Ticket(1) }), [outcome(1, why)]);
    assert_eq!(rig.tell(Event::Upgrade { ticket: Ticket(2), way: None }), [outcome(2, why)]);
    for signal in [Signal::Hup, Signal::Usr2, Signal::Ttin, Signal::Ttou, Signal::Winch { honoured: true }] {
        assert_eq!(rig.signal(signal), []);
    }
    assert_eq!(rig.signal(Signal::Usr1), [Action::ReopenLogs]);
}

#[test]
fn stop_during_a_reload_drops_the_next_mold() {
    let mut rig = Rig::serving(1);
    rig.tell(Event::Reload { ticket: Ticket(1) });
    let refused = outcome(1, Err(FailureReason::Stopping));
    assert_eq!(rig.signal(Signal::Quit), [rollback(2), refused, kill_mold(2), Action::StopListening, drain(1)]);
}

#[test]
fn stop_during_a_roll_stops_old_and_new() {
    let mut rig = Rig::serving(2);
    rig.tell(Event::Reload { ticket: Ticket(1) });
    rig.mold_gets_ready(2);
    rig.tell(ready(3));
    rig.tell(left(1));
    assert_eq!(rig.workers(), [(2, 1, 1, true), (3, 0, 2, true), (4, 1, 2, false)]);
    let refused = outcome(1, Err(FailureReason::Stopping));
    assert_eq!(rig.signal(Signal::Quit), [refused, abandon(4), Action::StopListening, drain(2), drain(3)]);
    // It had become ready just before it was told to leave: it finishes like the others.
    assert_eq!(rig.tell(ready(4)), []);
    rig.tell(left(2));
    rig.tell(left(3));
    assert_eq!(rig.tell(left(4)), [retire_mold(1), retire_mold(2)]);
    rig.tell(mold_died(1));
    assert_eq!(rig.tell(mold_died(2)), [EXIT]);
}

#[test]
fn requests_of_the_round_in_which_the_server_exits_are_answered() {
    let mut rig = Rig::serving(1);
    rig.signal(Signal::Quit);
    rig.tell(left(1));
    assert_eq!(rig.tell(mold_died(1)), [Action::Exit { code: 0 }]);
    let refused = outcome(1, Err(FailureReason::Stopping));
    assert_eq!(rig.tell(Event::Reload { ticket: Ticket(1) }), [refused]);
    assert_eq!(rig.tell(Event::Stop { graceful: true, ticket: Ticket(2) }), [outcome(2, Ok(()))]);
    assert_eq!(rig.tell(Event::SuccessorExited { cause: CauseId::NONE }), []);
}
