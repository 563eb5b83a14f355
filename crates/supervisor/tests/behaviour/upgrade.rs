//! SIGUSR2 and what two masters do beside each other.

use super::*;

#[test]
fn workers_give_their_connections_to_a_successor_that_takes_them() {
    let mut rig = Rig::serving(1);
    rig.signal(Signal::Usr2);
    rig.tell(Event::SuccessorStarted);
    rig.tell(Event::SuccessorReady { takes_over: true });
    let give_away = Action::Retire { worker: WorkerId(1), drain: true, hand_over: true, linger: seconds(10) };
    assert_eq!(rig.signal(Signal::Quit), [Action::StopListening, give_away]);
    // It is gone before the worker is.
    assert_eq!(rig.tell(Event::SuccessorExited { cause: CauseId::NONE }), [Action::SuccessorLeft, drain(1)]);
}

#[test]
fn upgrade_starts_a_successor_and_succeeds_when_that_serves() {
    let mut rig = Rig::serving(1);
    assert_eq!(rig.tell(Event::Upgrade { ticket: Ticket(1), way: None }), [Action::StartSuccessor]);
    assert_eq!(rig.tell(Event::SuccessorStarted), []);
    assert_eq!(rig.tell(Event::SuccessorReady { takes_over: false }), [outcome(1, Ok(()))]);
}

#[test]
fn second_upgrade_is_refused_while_a_successor_lives() {
    let mut rig = Rig::serving(1);
    rig.signal(Signal::Usr2);
    let refused = [outcome(1, Err(FailureReason::SuccessorAlreadyRunning))];
    assert_eq!(rig.tell(Event::Upgrade { ticket: Ticket(1), way: None }), refused);
    rig.tell(Event::SuccessorStarted);
    rig.tell(Event::SuccessorReady { takes_over: false });
    assert_eq!(rig.signal(Signal::Usr2), []);
    assert_eq!(rig.facts[rig.facts.len() - 1], Fact::SuccessorAlreadyRunning);
}

#[test]
fn successor_that_could_not_be_started_or_dies_early_fails_the_upgrade() {
    for (event, why) in [
        (Event::SuccessorFailed { cause: CauseId::NONE }, FailureReason::SuccessorFailed),
        (Event::SuccessorExited { cause: CauseId::NONE }, FailureReason::SuccessorExited),
    ] {
        let mut rig = Rig::serving(1);
        rig.tell(Event::Upgrade { ticket: Ticket(1), way: None });
        assert_eq!(rig.tell(event), [outcome(1, Err(why)), Action::SuccessorLeft]);
        assert_eq!(rig.signal(Signal::Usr2), [Action::StartSuccessor], "the next attempt is free");
    }
}

#[test]
fn successor_that_leaves_later_gives_the_pid_path_back() {
    let mut rig = Rig::serving(1);
    rig.signal(Signal::Usr2);
    rig.tell(Event::SuccessorStarted);
    rig.tell(Event::SuccessorReady { takes_over: false });
    assert_eq!(rig.tell(Event::SuccessorExited { cause: CauseId::NONE }), [Action::SuccessorLeft]);
    assert!(rig.supervisor.readyz());
}

#[test]
fn quit_waits_until_the_successor_serves() {
    let mut rig = Rig::serving(1);
    rig.signal(Signal::Usr2);
    rig.tell(Event::SuccessorStarted);
    assert_eq!(rig.signal(Signal::Quit), []);
    assert_eq!(rig.signal(Signal::Quit), []);
    assert_eq!(rig.facts, [Fact::QuitDeferred]);
    assert_eq!(rig.tell(died(1)), [fork(2, 0, 1)], "it serves on");
    rig.tell(ready(2));
    assert_eq!(rig.tell(Event::SuccessorReady { takes_over: false }), [Action::StopListening, drain(2)]);
}

#[test]
fn quit_is_forgotten_when_the_successor_dies_first() {
    let mut rig = Rig::serving(1);
    rig.signal(Signal::Usr2);
    rig.tell(Event::SuccessorStarted);
    rig.signal(Signal::Quit);
    assert_eq!(rig.tell(Event::SuccessorExited { cause: CauseId::NONE }), [Action::SuccessorLeft]);
    assert_eq!(rig.facts[rig.facts.len() - 1], Fact::QuitDropped);
    assert_eq!(rig.signal(Signal::Quit), [Action::StopListening, drain(1)], "the next one counts");
}

#[test]
fn term_int_and_stop_do_not_wait_for_the_successor() {
    let quick = Action::Quick { worker: WorkerId(1) };
    let refused = outcome(1, Err(FailureReason::Stopping));
    for (event, last) in [
        (Event::Signal(Signal::Term), drain(1)),
        (Event::Signal(Signal::Int), quick),
        (Event::Stop { graceful: true, ticket: Ticket(9) }, drain(1)),
    ] {
        let mut rig = Rig::serving(1);
        rig.tell(Event::Upgrade { ticket: Ticket(1), way: None });
        rig.tell(Event::SuccessorStarted);
        assert_eq!(rig.tell(event), [refused, Action::StopListening, last]);
        assert_eq!(rig.tell(Event::SuccessorReady { takes_over: false }), []);
    }
}

#[test]
fn quit_stops_at_once_when_the_successor_serves() {
    let mut rig = Rig::serving(1);
    rig.signal(Signal::Usr2);
    rig.tell(Event::SuccessorStarted);
    rig.tell(Event::SuccessorReady { takes_over: false });
    assert_eq!(rig.signal(Signal::Quit), [Action::StopListening, drain(1)]);
}

#[test]
fn without_a_configuration_file_hup_and_reload_do_what_usr2_does() {
    let config = Config { has_config_file: false, ..Config::default() };
    let mut rig = Rig::serving_with(config, PLAN);
    assert_eq!(rig.tell(HUP), [Action::StartSuccessor]);
    assert_eq!(rig.facts, [Fact::NoConfigFile]);
    rig.tell(Event::SuccessorFailed { cause: CauseId::NONE });
    assert_eq!(rig.tell(Event::Reload { ticket: Ticket(1) }), [Action::StartSuccessor]);
    rig.tell(Event::SuccessorStarted);
    assert_eq!(rig.tell(Event::SuccessorReady { takes_over: false }), [outcome(1, Ok(()))]);
}

#[test]
fn roll_back_of_an_upgrade_brings_the_workers_back() {
    let mut rig = Rig::serving(1);
    rig.signal(Signal::Usr2);
    rig.tell(Event::SuccessorStarted);
    rig.tell(Event::SuccessorReady { takes_over: false });
    rig.signal(Signal::Winch { honoured: true });
    rig.tell(left(1));
    assert_eq!(rig.tell(HUP), [count(1), start_mold(2), fork(2, 0, 1)]);
    rig.tell(ready(2));
    assert_eq!(rig.tell(Event::SuccessorExited { cause: CauseId::NONE }), [Action::SuccessorLeft]);
    assert_eq!(rig.mold_gets_ready(2), [commit(2), fork(3, 0, 2)]);
    assert_eq!(rig.tell(ready(3)), [retire(2)]);
}
