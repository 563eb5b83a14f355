//! Two masters in one unit of a service manager, and exit statuses.

use supervisor::unit::{FAILED, RESTART, Role, Told};

use super::*;

/// A server with a worker that is this in its unit.
fn serving_as(role: Role, origin: bool) -> Rig {
    let mut rig = Rig::new(Config::default(), Plan { worker_processes: 1, ..PLAN });
    rig.tell(Event::Unit { role, origin });
    rig.tell(Event::Start);
    rig.mold_gets_ready(1);
    rig.tell(ready(1));
    rig.facts.clear();
    rig
}

/// The main process of a unit, beside which a new master serves.
fn followed() -> Rig {
    let mut rig = serving_as(Role::Main, false);
    rig.signal(Signal::Usr2);
    rig.tell(Event::SuccessorStarted);
    rig.tell(Event::SuccessorReady { takes_over: false });
    rig
}

/// All processes of a server that stops leave. Returns what the last end leads to.
fn all_leave(rig: &mut Rig) -> Vec<Action> {
    assert_eq!(rig.tell(left(1)), [retire_mold(1)]);
    rig.tell(mold_died(1))
}

#[test]
fn quit_leaves_the_unit_to_a_new_master_that_serves() {
    let mut rig = followed();
    rig.signal(Signal::Quit);
    assert_eq!((rig.supervisor.hands_over(), rig.supervisor.told()), (true, Told::Ready));
    assert_eq!(all_leave(&mut rig), [Action::HandOver, Action::Exit { code: RESTART }]);
    assert_eq!(rig.supervisor.told(), Told::Ready, "the unit goes on");
}

#[test]
fn new_master_that_dies_while_the_old_one_leaves_has_the_unit_started_again() {
    let mut rig = followed();
    rig.signal(Signal::Quit);
    rig.tell(Event::SuccessorExited { cause: CauseId::NONE });
    assert_eq!(all_leave(&mut rig), [Action::Exit { code: RESTART }]);
    assert_eq!(rig.facts.last(), Some(&Fact::SuccessorLost));
}

#[test]
fn term_int_and_stop_end_the_unit_with_the_new_master_first() {
    for (event, quick) in [
        (Event::Signal(Signal::Term), false),
        (Event::Signal(Signal::Int), true),
        (Event::Stop { graceful: true, ticket: Ticket(1) }, false),
        (Event::Stop { graceful: false, ticket: Ticket(1) }, true),
    ] {
        let asked = matches!(event, Event::Stop { .. });
        let mut rig = followed();
        assert_eq!(rig.tell(event)[0], Action::StopSuccessor { quick });
        assert_eq!(rig.supervisor.told(), Told::Stopping);
        assert_eq!(all_leave(&mut rig), [], "the new master is waited for");
        let gone = rig.tell(Event::SuccessorExited { cause: CauseId::NONE });
        assert_eq!(gone[..2], [Action::SuccessorLeft, Action::Exit { code: 0 }]);
        let is_answer = |action: &Action| *action == outcome(1, Ok(()));
        assert!(gone[2..].iter().all(is_answer) && gone.len() == 2 + usize::from(asked), "{gone:?}");
    }
}

#[test]
fn term_after_quit_takes_the_unit_back_from_the_new_master() {
    let mut rig = followed();
    rig.signal(Signal::Quit);
    assert_eq!(rig.signal(Signal::Term), [Action::StopSuccessor { quick: false }]);
    assert_eq!((rig.supervisor.hands_over(), rig.supervisor.told()), (false, Told::Stopping));
}

#[test]
fn new_master_that_is_about_to_start_does_not_when_the_unit_ends() {
    let mut rig = serving_as(Role::Main, false);
    rig.signal(Signal::Usr2);
    let deeds = rig.signal(Signal::Term);
    assert_eq!(deeds, [Action::ForgetSuccessor, Action::SuccessorLeft, Action::StopListening, drain(1)]);
    // The shell had started it before it came to that.
    assert_eq!(rig.tell(Event::SuccessorStarted), [Action::StopSuccessor { quick: false }]);
    assert_eq!(all_leave(&mut rig), []);
    assert_eq!(rig.tell(Event::SuccessorExited { cause: CauseId::NONE }).last(), Some(&Action::Exit { code: 0 }));
}

#[test]
fn without_a_service_manager_a_master_leaves_alone() {
    for signal in [Signal::Quit, Signal::Term, Signal::Int] {
        let mut rig = Rig::serving(1);
        rig.signal(Signal::Usr2);
        rig.tell(Event::SuccessorStarted);
        rig.tell(Event::SuccessorReady { takes_over: false });
        rig.signal(signal);
        assert_eq!(all_leave(&mut rig), [Action::Exit { code: 0 }]);
    }
}

#[test]
fn upgrades_are_refused_until_the_unit_is_handed_over() {
    let mut rig = serving_as(Role::Waiting, true);
    let refused = |reason: FailureReason, ticket| Action::Outcome {
        ticket: Ticket(ticket),
        result: Err(reason.by(CauseId::OUT_OF_TURN)),
    };
    assert_eq!(
        rig.tell(Event::Upgrade { ticket: Ticket(1), way: Some(Way::TwoMasters) }),
        [refused(FailureReason::SuccessorFailed, 1), Action::SuccessorLeft]
    );
    assert_eq!(
        rig.tell(Event::Upgrade { ticket: Ticket(2), way: Some(Way::InPlace) }),
        [refused(FailureReason::PreflightFailed, 2)]
    );
    assert_eq!(rig.facts.iter().filter(|fact| **fact == Fact::OutOfTurn).count(), 2);
    rig.tell(Event::HandedOver);
    assert_eq!(rig.signal(Signal::Usr2), [Action::StartSuccessor]);
}

#[test]
fn master_that_was_never_handed_the_unit_leaves_with_the_one_before() {
    let mut rig = serving_as(Role::Waiting, true);
    assert_eq!(rig.tell(Event::OriginGone), [Action::StopListening, drain(1)]);
    assert_eq!(rig.facts[0], Fact::Orphaned);
    for (role, handed_over) in [(Role::Waiting, true), (Role::Free, false)] {
        let mut rig = serving_as(role, true);
        if handed_over {
            rig.tell(Event::HandedOver);
        }
        assert_eq!(rig.tell(Event::OriginGone), [], "{role:?}");
    }
}

#[test]
fn status_of_a_boot_that_fails_is_what_the_configuration_exits_with() {
    let failed = |said| Event::MoldFailed { generation: Generation(1), said, cause: CauseId::NONE };
    let unfit = Event::MoldUnfit { generation: Generation(1), cause: CauseId::NONE };
    for (before, status, code) in [
        // It left without a word.
        (None, Some(0), 0),
        (None, Some(7), 7),
        (None, None, FAILED),
        // It said that it leaves, and no more.
        (Some(failed(false)), Some(0), 0),
        (Some(failed(false)), Some(7), 7),
        (Some(failed(false)), None, FAILED),
        // One that has said why it failed has failed, whatever it exits with.
        (Some(failed(true)), Some(0), FAILED),
        (Some(failed(true)), Some(7), 7),
        (Some(failed(true)), None, FAILED),
        // So has one that was killed, and left just before.
        (Some(unfit), Some(0), FAILED),
    ] {
        let mut rig = Rig::new(Config::default(), PLAN);
        rig.tell(Event::Start);
        before.map(|event| rig.tell(event));
        let exited = Event::MoldExited { generation: Generation(1), status, cause: CauseId::NONE };
        assert_eq!(rig.tell(exited).last(), Some(&Action::Exit { code }), "{before:?} {status:?}");
    }
}

#[test]
fn status_of_a_mold_means_nothing_when_its_workers_do_not_boot() {
    let mut rig = Rig::new(Config::default(), Plan { worker_processes: 1, ..PLAN });
    rig.tell(Event::Start);
    rig.mold_gets_ready(1);
    rig.tell(died(1));
    let exited = Event::MoldExited { generation: Generation(1), status: Some(7), cause: CauseId::NONE };
    assert_eq!(rig.tell(exited), [Action::Exit { code: FAILED }]);
}
