//! The admin process, which answers health checks.

use supervisor::AdminPlace;
use supervisor::unit::Role;

use super::*;

const HERE: AdminPlace = AdminPlace(0);
const THERE: AdminPlace = AdminPlace(1);

fn wanted(place: AdminPlace) -> Event {
    Event::AdminWanted { place: Some(place), anew: true }
}

fn exited(no_address: bool) -> Event {
    Event::AdminExited { no_address, cause: CauseId(7) }
}

fn start(place: AdminPlace) -> Action {
    Action::StartAdmin { place }
}

/// A server with one worker, and an admin process that has answered for an hour.
fn answering() -> Rig {
    let mut rig = Rig::serving(1);
    assert_eq!(rig.tell(wanted(HERE)), [start(HERE)]);
    rig.pass(seconds(3600));
    rig
}

#[test]
fn admin_is_started_where_the_settings_want_it_and_stopped_when_they_do_not() {
    let mut rig = answering();
    assert_eq!(rig.tell(wanted(HERE)), [], "a reload that changes nothing replaces nothing");
    assert_eq!(rig.tell(Event::AdminWanted { place: None, anew: true }), [Action::StopAdmin]);
    assert_eq!(rig.tell(exited(false)), []);
    assert_eq!(rig.facts, [], "it was told to leave");
}

#[test]
fn admin_moves_when_the_one_at_the_old_place_has_left() {
    let mut rig = answering();
    assert_eq!(rig.tell(wanted(THERE)), [Action::StopAdmin]);
    assert_eq!(rig.tell(Event::Tick), []);
    assert_eq!(rig.tell(exited(false)), [start(THERE)]);
}

#[test]
fn admin_that_dies_at_work_is_started_again() {
    let mut rig = answering();
    assert_eq!(rig.tell(exited(false)), [start(HERE)]);
    assert_eq!(rig.facts, [Fact::AdminDied { cause: CauseId(7) }]);
}

#[test]
fn admin_that_cannot_do_its_work_waits_for_other_settings() {
    for fails in [Event::AdminFailed, exited(false), exited(true)] {
        let mut rig = Rig::serving(1);
        rig.tell(wanted(HERE));
        assert_eq!(rig.tell(fails), [], "{fails:?}");
        rig.pass(seconds(3600));
        assert_eq!(rig.tell(Event::AdminWanted { place: Some(HERE), anew: false }), [], "these are not new");
        assert_eq!(rig.tell(wanted(HERE)), [start(HERE)], "its address may be free by now");
    }
    let mut rig = answering();
    assert_eq!(rig.tell(exited(true)), [], "an address that is lost is lost");
    assert_eq!(rig.facts[1], Fact::AdminWithoutAddress { place: HERE });
}

#[test]
fn admin_that_could_not_be_started_is_not_waited_for() {
    let mut rig = Rig::serving(1);
    rig.tell(wanted(HERE));
    // The shell comes to both only after this.
    assert_eq!(rig.tell(wanted(THERE)), [Action::StopAdmin]);
    assert_eq!(rig.tell(Event::AdminFailed), [start(THERE)]);
}

#[test]
fn of_two_masters_the_old_one_answers_until_the_new_one_serves() {
    let mut old = answering();
    old.signal(Signal::Usr2);
    old.tell(Event::SuccessorStarted);
    assert_eq!(old.tell(Event::SuccessorReady { takes_over: false }), [], "it serves on");
    assert_eq!(old.signal(Signal::Quit), [Action::StopListening, drain(1), Action::StopAdmin]);

    let mut new = Rig::new(Config::default(), Plan { worker_processes: 1, ..PLAN });
    new.tell(Event::Unit { role: Role::Free, origin: true });
    new.tell(Event::Start);
    new.mold_gets_ready(1);
    assert_eq!(new.tell(wanted(HERE)), []);
    assert_eq!(new.tell(ready(1)), [Action::Serving, start(HERE)]);
}

#[test]
fn new_master_answers_before_it_serves_when_the_old_one_is_gone() {
    let mut rig = Rig::new(Config::default(), Plan { worker_processes: 1, ..PLAN });
    rig.tell(Event::Unit { role: Role::Free, origin: true });
    rig.tell(Event::Start);
    rig.mold_gets_ready(1);
    rig.tell(wanted(HERE));
    assert_eq!(rig.tell(Event::OriginGone), [start(HERE)]);
}

#[test]
fn admin_answers_during_a_stop() {
    let mut rig = answering();
    rig.signal(Signal::Quit);
    assert_eq!(rig.tell(exited(false)), [start(HERE)]);
}
