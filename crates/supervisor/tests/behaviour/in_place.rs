//! The upgrade in place: preflight, execution, and the program that goes on.

use super::*;

const IN_PLACE: Option<Way> = Some(Way::InPlace);

fn upgrade(ticket: u64) -> Event {
    Event::Upgrade { ticket: Ticket(ticket), way: IN_PLACE }
}

fn reload(ticket: u64) -> Event {
    Event::Reload { ticket: Ticket(ticket) }
}

/// The next program begins with what this one hands over, as it is written and read again.
fn next_program(rig: &mut Rig) {
    let snapshot = rig.supervisor.snapshot().expect("there is something to hand over");
    let json = serde_json::to_string(&snapshot).expect("it can be written");
    let read = serde_json::from_str(&json).expect("it can be read");
    rig.supervisor = Supervisor::restore(Config::default(), read).expect("it can be restored");
}

#[test]
fn a_program_that_passes_the_preflight_takes_over_and_replaces_the_workers() {
    let mut rig = Rig::serving(1);
    assert_eq!(rig.supervisor.snapshot(), None, "none was asked for");
    assert_eq!(rig.tell(upgrade(1)), [Action::Preflight]);
    assert_eq!(rig.tell(Event::PreflightPassed), [Action::Execute]);
    next_program(&mut rig);
    assert_eq!(rig.tell(Event::Replaced), [start_mold(2)]);
    assert_eq!(rig.mold_gets_ready(2), [commit(2), fork(2, 0, 2)]);
    assert_eq!(rig.tell(ready(2)), [retire(1)]);
    assert_eq!(rig.tell(left(1)), [retire_mold(1), settle(2), outcome(1, Ok(()))]);
    assert_eq!(rig.facts[..2], [Fact::PreflightStarted, Fact::Replaced]);
}

#[test]
fn usr2_does_what_the_configuration_says() {
    let plan = Plan { upgrade: Way::InPlace, worker_processes: 1, ..PLAN };
    let mut rig = Rig::serving_with(Config::default(), plan);
    assert_eq!(rig.signal(Signal::Usr2), [Action::Preflight]);
    let mut rig = Rig::serving_with(Config::default(), plan);
    let other = Event::Upgrade { ticket: Ticket(1), way: Some(Way::TwoMasters) };
    assert_eq!(rig.tell(other), [Action::StartSuccessor], "unless it is said otherwise");
}

#[test]
fn a_program_that_cannot_take_over_changes_nothing_and_the_next_attempt_is_free() {
    for (event, why) in [
        (Event::PreflightFailed { cause: CauseId::NONE }, FailureReason::PreflightFailed),
        (Event::NotReplaced { cause: CauseId::NONE }, FailureReason::NotReplaced),
    ] {
        let mut rig = Rig::serving(2);
        rig.tell(upgrade(1));
        assert_eq!(rig.tell(event), [outcome(1, Err(why))]);
        assert_eq!(rig.facts, [Fact::PreflightStarted, Fact::UpgradeFailed { why: why.into() }]);
        assert_eq!(rig.tell(upgrade(2)), [Action::Preflight]);
    }
}

#[test]
fn a_preflight_that_takes_too_long_is_given_up() {
    let mut rig = Rig::serving(1);
    rig.tell(upgrade(1));
    let late = outcome(1, Err(FailureReason::PreflightTimeout));
    assert_eq!(rig.deadline(), (seconds(60), vec![Action::AbandonPreflight, late]));
    assert_eq!(rig.tell(Event::PreflightPassed), [], "it comes too late");
}

#[test]
fn the_old_program_that_comes_back_goes_on_as_before() {
    let mut rig = Rig::serving(1);
    rig.tell(upgrade(1));
    rig.tell(Event::PreflightPassed);
    next_program(&mut rig);
    next_program(&mut rig);
    assert_eq!(rig.tell(Event::NotReplaced { cause: CauseId::NONE }), [outcome(1, Err(FailureReason::NotReplaced))]);
    assert_eq!(rig.tell(died(1)), [fork(2, 0, 1)]);
}

#[test]
fn an_upgrade_that_comes_in_a_reload_follows_it() {
    for moment in 0..3 {
        let mut rig = Rig::serving(1);
        rig.tell(HUP);
        let here = |rig: &mut Rig, now| {
            if now == moment {
                assert_eq!(rig.tell(upgrade(9)), []);
                assert_eq!(rig.tell(upgrade(8)), [], "there is one already that waits");
                assert_eq!(rig.facts.last(), Some(&Fact::UpgradeQueued));
            }
        };
        here(&mut rig, 0);
        rig.mold_gets_ready(2);
        here(&mut rig, 1);
        rig.tell(ready(2));
        here(&mut rig, 2);
        assert_eq!(rig.supervisor.snapshot(), None);
        assert_eq!(rig.tell(left(1)), [retire_mold(1), settle(2), Action::Preflight]);
        let failed = |ticket| outcome(ticket, Err(FailureReason::PreflightFailed));
        assert_eq!(rig.tell(Event::PreflightFailed { cause: CauseId::NONE }), [failed(9), failed(8)]);
    }
}

#[test]
fn an_upgrade_follows_a_reload_that_fails_and_takes_one_that_comes_meanwhile_along() {
    let mut rig = Rig::serving(1);
    rig.tell(HUP);
    rig.tell(upgrade(1));
    assert_eq!(rig.tell(reload(2)), []);
    assert_eq!(
        rig.tell(Event::MoldFailed { generation: Generation(2), said: true, cause: CauseId::NONE }).last(),
        Some(&Action::Preflight)
    );
    rig.tell(Event::PreflightPassed);
    next_program(&mut rig);
    assert_eq!(rig.tell(Event::Replaced), [start_mold(3)]);
}

#[test]
fn a_stop_calls_an_upgrade_off_that_waits() {
    let mut rig = Rig::serving(1);
    rig.tell(HUP);
    rig.tell(upgrade(1));
    let refused = outcome(1, Err(FailureReason::Stopping));
    let stopped = rig.signal(Signal::Quit);
    assert!(stopped.contains(&refused) && !stopped.contains(&Action::AbandonPreflight), "{stopped:?}");
}

#[test]
fn an_upgrade_is_refused_while_another_goes_on() {
    let refused = |why| [outcome(9, Err(why))];
    let mut rig = Rig::serving(1);
    rig.tell(upgrade(1));
    assert_eq!(rig.tell(upgrade(9)), refused(FailureReason::UpgradeUnderWay));
    let beside = Event::Upgrade { ticket: Ticket(9), way: Some(Way::TwoMasters) };
    assert_eq!(rig.tell(beside), refused(FailureReason::UpgradeUnderWay));
    let mut rig = Rig::serving(1);
    rig.signal(Signal::Usr2);
    assert_eq!(rig.tell(upgrade(9)), refused(FailureReason::SuccessorAlreadyRunning));
}

#[test]
fn a_reload_that_comes_meanwhile_is_part_of_the_upgrade() {
    let mut rig = Rig::serving(1);
    rig.tell(upgrade(1));
    assert_eq!(rig.tell(reload(2)), []);
    rig.tell(Event::PreflightPassed);
    next_program(&mut rig);
    assert_eq!(rig.tell(Event::Replaced), [start_mold(2)]);
    rig.mold_gets_ready(2);
    rig.tell(ready(2));
    let both = [retire_mold(1), settle(2), outcome(1, Ok(())), outcome(2, Ok(()))];
    assert_eq!(rig.tell(left(1)), both);
}

#[test]
fn a_reload_that_comes_meanwhile_follows_an_upgrade_that_fails() {
    let mut rig = Rig::serving(1);
    rig.tell(upgrade(1));
    rig.tell(HUP);
    let failed = outcome(1, Err(FailureReason::PreflightFailed));
    assert_eq!(rig.tell(Event::PreflightFailed { cause: CauseId::NONE }), [failed, start_mold(2)]);
}

#[test]
fn a_stop_calls_the_upgrade_off() {
    let refused = |ticket| outcome(ticket, Err(FailureReason::Stopping));
    let mut rig = Rig::serving(1);
    rig.tell(upgrade(1));
    rig.tell(reload(2));
    let stopped = [Action::AbandonPreflight, refused(1), refused(2), Action::StopListening, drain(1)];
    assert_eq!(rig.signal(Signal::Quit), stopped);
    assert_eq!(rig.tell(Event::PreflightPassed), []);
    let mut rig = Rig::serving(1);
    rig.tell(upgrade(1));
    rig.tell(Event::PreflightPassed);
    rig.signal(Signal::Term);
    assert_eq!(rig.supervisor.snapshot(), None, "nothing is handed over any more");
}

#[test]
fn processes_in_any_state_are_handed_over_with_their_deadlines() {
    let mut rig = Rig::serving(2);
    rig.tell(died(1));
    rig.signal(Signal::Ttou);
    rig.tell(mold_died(1));
    rig.tell(upgrade(1));
    rig.tell(Event::PreflightPassed);
    let before = (rig.workers(), rig.supervisor.next_deadline(), rig.supervisor.worker_processes());
    next_program(&mut rig);
    assert_eq!((rig.workers(), rig.supervisor.next_deadline(), rig.supervisor.worker_processes()), before);
    // The mold that was started for the lost one gives way to that of the new program.
    assert_eq!(rig.tell(Event::Replaced), [kill_mold(2), rollback(2), start_mold(3)]);
}

#[test]
fn a_snapshot_that_contradicts_itself_is_refused() {
    let mut rig = Rig::serving(1);
    rig.tell(upgrade(1));
    rig.tell(Event::PreflightPassed);
    let snapshot = serde_json::to_value(rig.supervisor.snapshot()).expect("it can be written");
    for (field, wrong) in [("molds", serde_json::json!({})), ("last_worker", 0.into()), ("last_generation", 0.into())] {
        let mut snapshot = snapshot.clone();
        snapshot[field] = wrong;
        let read = serde_json::from_value(snapshot).expect("it can be read");
        assert!(Supervisor::restore(Config::default(), read).is_err(), "{field}");
    }
}
