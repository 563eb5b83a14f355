//! Services: started when their line serves, replaced after the roll, gone with the server.

use std::time::Duration;

use supervisor::unit::Role;
use supervisor::{Action, Event, Fact, Generation, ServiceId, ServiceName, ServiceState, Signal, Terms};

use crate::{HUP, PLAN, Rig, died, fork, left, mold_died, ready, retire, retire_alone, retire_mold, seconds, settle};

const JOBS: ServiceName = ServiceName(0);
const PROGRAM: Terms =
    Terms { overlap: false, stop_timeout: seconds_of(25), min_uptime: seconds_of(1), fork_within: None };
const FORKED: Terms = Terms { fork_within: Some(seconds_of(30)), ..PROGRAM };
const BESIDE: Terms = Terms { overlap: true, ..PROGRAM };

const fn seconds_of(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn start(service: u32, generation: u32) -> Action {
    Action::StartService { service: ServiceId(service), name: JOBS, generation: Generation(generation) }
}

fn stop(service: u32) -> Action {
    Action::StopService { service: ServiceId(service) }
}

fn kill(service: u32) -> Action {
    Action::KillService { service: ServiceId(service) }
}

fn started(service: u32) -> Event {
    Event::ServiceStarted { service: ServiceId(service) }
}

fn exited(service: u32) -> Event {
    Event::ServiceExited { service: ServiceId(service) }
}

impl Rig {
    fn service_planned(&mut self, generation: u32, terms: Terms) {
        let planned = Event::ServicePlanned { generation: Generation(generation), name: JOBS, terms };
        assert_eq!(self.tell(planned), []);
    }

    /// A server with one worker whose service runs, for an hour.
    fn with_service(terms: Terms) -> Self {
        let mut rig = Self::new(supervisor::Config::default(), supervisor::Plan { worker_processes: 1, ..PLAN });
        rig.tell(Event::Start);
        rig.service_planned(1, terms);
        let deeds = rig.mold_gets_ready(1);
        assert!(!deeds.contains(&start(1, 1)), "it waits for the workers: {deeds:?}");
        assert_eq!(rig.tell(ready(1)), [Action::Serving, start(1, 1)]);
        rig.tell(started(1));
        rig.pass(seconds(3600));
        rig.facts.clear();
        rig
    }

    /// The next mold gets ready, with the service or without.
    fn reload_to(&mut self, terms: Option<Terms>) -> Vec<Action> {
        self.tell(HUP);
        if let Some(terms) = terms {
            self.service_planned(2, terms);
        }
        self.mold_gets_ready(2)
    }
}

#[test]
fn a_service_is_replaced_when_the_roll_cannot_fail_any_more() {
    let mut rig = Rig::with_service(PROGRAM);
    rig.reload_to(Some(PROGRAM));
    assert_eq!(rig.tell(ready(2)), [retire(1), stop(1)], "each slot is served");
    rig.pass(seconds(3));
    assert_eq!(rig.tell(exited(1)), [start(2, 2)], "the old one has gone before the new one starts");
    rig.tell(started(2));
    assert_eq!(rig.tell(left(1)), [retire_mold(1), settle(2)]);
}

#[test]
fn a_service_that_may_overlap_goes_when_the_next_one_has_lived_for_a_while() {
    let mut rig = Rig::with_service(BESIDE);
    rig.reload_to(Some(BESIDE));
    assert_eq!(rig.tell(ready(2)), [retire(1), start(2, 2)]);
    rig.tell(left(1));
    rig.tell(mold_died(1));
    rig.tell(started(2));
    assert_eq!(rig.deadline(), (BESIDE.min_uptime, vec![stop(1)]));
}

#[test]
fn a_service_that_may_overlap_stays_when_the_next_one_fails() {
    let mut rig = Rig::with_service(BESIDE);
    rig.reload_to(Some(BESIDE));
    rig.tell(ready(2));
    rig.tell(left(1));
    rig.tell(mold_died(1));
    rig.tell(started(2));
    assert_eq!(rig.tell(exited(2)), []);
    assert!(rig.facts.iter().any(|fact| matches!(fact, Fact::ServiceBackOff { failures: 1, .. })), "{:?}", rig.facts);
    assert_eq!(rig.deadline().1, [start(3, 2)]);
    assert!(rig.supervisor.service(ServiceId(1)).unwrap().is_unasked());
}

#[test]
fn a_roll_that_fails_leaves_the_services_as_they_were() {
    let mut rig = Rig::with_service(PROGRAM);
    assert!(rig.reload_to(Some(PROGRAM)).contains(&fork(2, 0, 2)));
    let deeds = rig.tell(died(2));
    assert!(deeds.contains(&retire_mold(2)), "{deeds:?}");
    assert!(matches!(rig.supervisor.service(ServiceId(1)).unwrap().state, ServiceState::Running { .. }));
    rig.tell(mold_died(2));
    rig.pass(seconds(60));
}

#[test]
fn a_service_that_the_next_settings_do_not_have_goes_after_the_roll() {
    let mut rig = Rig::with_service(PROGRAM);
    rig.reload_to(None);
    assert_eq!(rig.tell(ready(2)), [retire(1), stop(1)]);
    rig.tell(left(1));
    assert_eq!(rig.tell(exited(1)), []);
    assert_eq!(rig.supervisor.wanted_services().count(), 0);
}

#[test]
fn a_service_that_ends_early_waits_longer_each_time() {
    let mut rig = Rig::with_service(PROGRAM);
    assert_eq!(rig.tell(exited(1)), [start(2, 1)], "it had lived");
    let mut delays = Vec::new();
    for service in 2..6 {
        rig.tell(started(service));
        assert_eq!(rig.tell(exited(service)), []);
        let (delay, deeds) = rig.deadline();
        assert_eq!(deeds, [start(service + 1, 1)]);
        delays.push(delay);
    }
    assert!(delays.windows(2).all(|pair| pair[1] > pair[0] + pair[0] / 4), "{delays:?}");
}

#[test]
fn a_service_that_does_not_leave_in_time_is_killed() {
    let mut rig = Rig::with_service(PROGRAM);
    rig.reload_to(Some(PROGRAM));
    rig.tell(ready(2));
    rig.tell(left(1));
    rig.tell(mold_died(1));
    assert_eq!(rig.deadline(), (PROGRAM.stop_timeout, vec![kill(1)]));
    assert_eq!(rig.tell(exited(1)), [start(2, 2)]);
}

#[test]
fn a_stop_waits_for_services_and_a_quick_one_for_two_seconds() {
    let mut rig = Rig::with_service(PROGRAM);
    let deeds = rig.signal(Signal::Quit);
    assert!(deeds.contains(&stop(1)), "{deeds:?}");
    rig.tell(left(1));
    rig.tell(mold_died(1));
    assert_eq!(rig.supervisor.phase(), supervisor::Phase::Stopping);
    rig.signal(Signal::Int);
    assert_eq!(rig.deadline(), (seconds(2), vec![kill(1)]));
    assert_eq!(rig.tell(exited(1)), [Action::Exit { code: 0 }]);
}

#[test]
fn a_service_that_the_mold_does_not_fork_is_given_up_and_tried_again() {
    let mut rig = Rig::with_service(FORKED);
    assert_eq!(rig.tell(exited(1)), [start(2, 1)]);
    assert_eq!(rig.deadline(), (seconds(30), vec![kill(2)]));
    assert_eq!(rig.tell(Event::ServiceFailed { service: ServiceId(2) }), []);
    assert_eq!(rig.deadline().1, [start(3, 1)]);
}

#[test]
fn a_forked_service_waits_for_a_mold_and_a_program_does_not() {
    for (terms, now) in [(FORKED, false), (PROGRAM, true)] {
        let mut rig = Rig::with_service(terms);
        rig.tell(mold_died(1));
        assert_eq!(rig.tell(exited(1)).contains(&start(2, 1)), now, "{terms:?}");
        rig.service_planned(2, terms);
        let deeds = rig.mold_gets_ready(2);
        assert_eq!(deeds.contains(&start(2, 2)), !now, "{deeds:?}");
    }
}

#[test]
fn services_of_a_second_master_wait_for_the_end_of_the_first() {
    for (terms, waits) in [(PROGRAM, true), (BESIDE, false)] {
        let mut rig = Rig::new(supervisor::Config::default(), supervisor::Plan { worker_processes: 1, ..PLAN });
        rig.tell(Event::Unit { role: Role::Free, origin: true });
        rig.tell(Event::Start);
        rig.service_planned(1, terms);
        rig.mold_gets_ready(1);
        assert_eq!(rig.tell(ready(1)).contains(&start(1, 1)), !waits);
        assert_eq!(rig.tell(Event::OriginGone).contains(&start(1, 1)), waits);
    }
}

#[test]
fn services_leave_with_the_workers_that_sigwinch_sends_away() {
    let mut rig = Rig::with_service(PROGRAM);
    let deeds = rig.signal(Signal::Winch { honoured: true });
    assert!(deeds.contains(&retire_alone(1)) && deeds.contains(&stop(1)), "{deeds:?}");
    rig.tell(exited(1));
    rig.tell(left(1));
    assert!(rig.signal(Signal::Ttin).contains(&start(2, 1)), "they come back with the first worker");
}
