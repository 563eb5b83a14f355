//! Reforks.

use super::*;

/// A server of two workers that forks them anew after these counts of requests.
fn reforking(limits: &[u32]) -> Rig {
    serving_with(Plan { refork_after: ReforkAfter::of(limits), ..PLAN })
}

fn serving_with(plan: Plan) -> Rig {
    Rig::serving_with(Config::default(), plan)
}

fn served(worker: u32, requests: u64) -> Event {
    Event::WorkerServed { worker: WorkerId(worker), requests }
}

fn promote(worker: u32, generation: u32) -> Action {
    Action::Promote { worker: WorkerId(worker), generation: Generation(generation) }
}

fn refused(worker: u32, generation: u32, for_good: bool) -> Event {
    let (worker, generation) = (WorkerId(worker), Generation(generation));
    Event::NotPromoted { worker, generation, for_good, cause: CauseId::NONE }
}

fn mold_ready(generation: u32) -> Event {
    Event::MoldReady { generation: Generation(generation) }
}

/// Goes through the roll to a mold that a worker has forked: these workers come for these.
fn roll(rig: &mut Rig, generation: u32, [first, second]: [u32; 2], [old, other]: [u32; 2]) -> Vec<Action> {
    assert_eq!(rig.tell(mold_ready(generation)), [commit(generation), fork(first, 0, generation)]);
    assert_eq!(rig.tell(ready(first)), [retire(old)]);
    assert_eq!(rig.tell(left(old)), [fork(second, 1, generation)]);
    assert_eq!(rig.tell(ready(second)), [retire(other)]);
    rig.tell(left(other))
}

#[test]
fn worker_that_has_served_most_forks_the_mold_of_all_workers() {
    let mut rig = reforking(&[50, 100, 0]);
    assert_eq!(rig.tell(served(1, 49)), []);
    assert_eq!(rig.tell(served(2, 50)), [promote(2, 2)]);
    assert!(rig.supervisor.is_reforking());
    assert_eq!(roll(&mut rig, 2, [3, 4], [1, 2]), [retire_mold(1), settle(2)]);
    assert_eq!(rig.facts.last(), Some(&Fact::ReforkDone { generation: Generation(2) }));

    assert_eq!(rig.tell(served(3, 99)), []);
    assert_eq!(rig.tell(served(3, 100)), [promote(3, 3)]);
    assert_eq!(roll(&mut rig, 3, [5, 6], [3, 4]), [retire_mold(2), settle(3)]);
    assert!(!rig.supervisor.awaits_refork());
    assert_eq!(rig.tell(served(5, 1_000_000)), [], "false ends it");
}

#[test]
fn refork_that_pays_waits_for_no_count() {
    let mut rig = reforking(&[]);
    let warm = |reforks| Some(Warm { generation: Generation(1 + reforks), reforks });
    assert_eq!((rig.supervisor.warm(), rig.tell(Event::ReforkPays)), (warm(0), vec![]), "none has served anything");
    assert_eq!(rig.tell(served(2, 10)), []);
    assert_eq!(rig.tell(Event::ReforkPays), [promote(2, 2)]);
    assert_eq!((rig.supervisor.warm(), rig.tell(Event::ReforkPays)), (None, vec![]), "one is under way");
    assert_eq!(roll(&mut rig, 2, [3, 4], [1, 2]), [retire_mold(1), settle(2)]);
    assert_eq!(rig.supervisor.warm(), warm(1));
    rig.tell(served(4, 7));
    rig.now += seconds(1);
    assert_eq!(rig.tell(Event::ReforkPays), [promote(4, 3)]);
    rig.tell(refused(4, 3, false));
    rig.now += seconds(1);
    assert_eq!(rig.tell(Event::ReforkPays), [], "what has failed is not tried again before more was served");
    rig.tell(served(4, 8));
    assert_eq!(rig.tell(Event::ReforkPays), [promote(4, 4)]);
}

#[test]
fn last_count_repeats_and_a_reload_begins_anew() {
    let mut rig = reforking(&[50, 100]);
    for (generation, worker, requests) in [(2, 1, 50), (3, 3, 100), (4, 5, 100)] {
        assert_eq!(rig.tell(served(worker, requests)), [promote(worker, generation)]);
        roll(&mut rig, generation, [worker + 2, worker + 3], [worker, worker + 1]);
    }
    rig.tell(HUP);
    rig.mold_gets_ready(5);
    for (new, old) in [(9, 7), (10, 8)] {
        rig.tell(ready(new));
        rig.tell(left(old));
    }
    assert_eq!(rig.tell(served(9, 50)), [promote(9, 6)]);
}

#[test]
fn another_worker_is_promoted_when_one_says_that_it_is_not_to_be_forked() {
    let mut rig = reforking(&[50]);
    rig.tell(served(2, 50));
    assert_eq!(rig.tell(served(1, 60)), []);
    assert_eq!(rig.tell(refused(2, 2, true)), [rollback(2), promote(1, 3)]);
    assert_eq!(rig.tell(refused(1, 3, true)), [rollback(3)]);
    assert_eq!(rig.tell(served(1, 1_000)), [], "nobody is left");
}

#[test]
fn refork_that_failed_is_tried_again_after_as_many_requests_and_a_delay() {
    let mut rig = reforking(&[50]);
    rig.tell(served(2, 55));
    assert_eq!(rig.tell(refused(2, 2, false)), [rollback(2)]);
    let why = FailureReason::NotPromoted.into();
    assert_eq!(rig.facts.last(), Some(&Fact::ReforkFailed { generation: Generation(2), why }));
    assert_eq!(rig.tell(served(2, 104)), []);
    assert_eq!(rig.tell(served(2, 105)), [], "not at once");
    rig.now += seconds(1);
    assert_eq!(rig.tell(served(2, 105)), [promote(2, 3)]);
    assert_eq!(rig.tell(mold_died(3)), [rollback(3)]);
    rig.pass(seconds(1));
    assert_eq!(rig.tell(served(1, 154)), []);
    assert_eq!(rig.tell(served(1, 155)), [promote(1, 4)]);
}

#[test]
fn worker_that_does_not_get_to_it_is_not_awaited_for_ever() {
    let mut rig = reforking(&[50]);
    rig.tell(served(2, 50));
    assert_eq!(rig.deadline(), (PLAN.boot_timeout, vec![kill_mold(2), rollback(2)]));
    let why = FailureReason::MoldBootTimeout.into();
    assert_eq!(rig.facts.last(), Some(&Fact::ReforkFailed { generation: Generation(2), why }));
    assert_eq!(rig.tell(mold_died(2)), []);
}

#[test]
fn roll_that_fails_puts_the_old_mold_back() {
    let mut rig = reforking(&[50]);
    rig.tell(served(2, 50));
    rig.tell(mold_ready(2));
    let deeds = rig.tell(Event::WorkerBootFailed { worker: WorkerId(3), cause: CauseId::NONE });
    assert_eq!(deeds, [rollback(2), retire_mold(2)]);
    let why = FailureReason::WorkerBootFailed(SlotId(0)).into();
    assert_eq!(rig.facts.last(), Some(&Fact::ReforkFailed { generation: Generation(2), why }));
    assert_eq!(rig.supervisor.generation(), Some(Generation(1)));
}

#[test]
fn reload_takes_the_place_of_a_refork_that_prepares_and_follows_its_roll() {
    let mut rig = reforking(&[50]);
    rig.tell(served(2, 50));
    assert_eq!(rig.tell(HUP), [kill_mold(2), rollback(2), start_mold(3)]);

    let mut rig = reforking(&[50]);
    rig.tell(served(2, 50));
    rig.tell(mold_ready(2));
    assert_eq!(rig.tell(HUP), []);
    rig.tell(ready(3));
    rig.tell(left(1));
    rig.tell(ready(4));
    assert_eq!(rig.tell(left(2)), [retire_mold(1), settle(2), start_mold(3)]);
}

#[test]
fn workers_that_were_added_stay_through_a_refork() {
    let mut rig = reforking(&[50]);
    rig.signal(Signal::Ttin);
    rig.tell(ready(3));
    rig.tell(served(2, 50));
    assert_eq!(rig.signal(Signal::Ttin), [count(4), fork(4, 3, 1)]);
    rig.tell(ready(4));
    assert_eq!(rig.tell(mold_ready(2)), [commit(2), count(4), fork(5, 0, 2)]);
}

#[test]
fn no_service_manager_is_told_of_a_refork() {
    use supervisor::unit::Told;
    let mut rig = reforking(&[50]);
    rig.tell(served(2, 50));
    assert_eq!(rig.supervisor.told(), Told::Ready);
    rig.tell(mold_ready(2));
    assert_eq!(rig.supervisor.told(), Told::Ready);
}

#[test]
fn upgrade_waits_for_a_refork_and_none_begins_during_one() {
    let mut rig = reforking(&[50]);
    rig.tell(served(2, 50));
    let upgrade = Event::Upgrade { ticket: Ticket(1), way: Some(Way::InPlace) };
    assert_eq!(rig.tell(upgrade), []);
    assert_eq!(rig.tell(refused(2, 2, false)), [rollback(2), Action::Preflight]);
    rig.pass(seconds(1));
    assert_eq!(rig.tell(served(2, 1_000)), []);
}

#[test]
fn lost_mold_comes_back_from_disk_whoever_had_forked_it() {
    let mut rig = reforking(&[50]);
    rig.tell(served(2, 50));
    roll(&mut rig, 2, [3, 4], [1, 2]);
    rig.tell(mold_died(1));
    rig.pass(seconds(60));
    assert_eq!(rig.tell(mold_died(2)), [start_mold(3)]);
    assert_eq!(rig.tell(served(3, 50)), [], "there is no mold that it would be better than");
}

/// A server of one worker after a reload, whose mold before is kept.
fn with_previous() -> Rig {
    let plan = Plan { worker_processes: 1, keep_previous: seconds(600), refork_after: ReforkAfter::of(&[50]), ..PLAN };
    let mut rig = serving_with(plan);
    rig.tell(HUP);
    rig.mold_gets_ready(2);
    rig.tell(ready(2));
    assert_eq!(rig.tell(left(1)), [settle(2)]);
    assert_eq!(rig.tell(served(2, 50)), [promote(2, 3)]);
    rig
}

fn go_back(rig: &mut Rig) -> Vec<Action> {
    rig.tell(Event::GoBack { ticket: Ticket(1) })
}

#[test]
fn code_before_is_kept_through_a_refork() {
    let mut rig = with_previous();
    rig.tell(mold_ready(3));
    rig.tell(ready(3));
    assert_eq!(rig.tell(left(2)), [retire_mold(2), settle(3)]);
    assert_eq!(rig.supervisor.previous().map(|(generation, _)| generation), Some(Generation(1)));
    assert_eq!(go_back(&mut rig), [commit(1), fork(4, 0, 1)]);
}

#[test]
fn way_back_does_not_wait_for_a_refork() {
    let mut rig = with_previous();
    assert_eq!(go_back(&mut rig), [kill_mold(3), rollback(3), commit(1), fork(3, 0, 1)]);

    let mut rig = with_previous();
    rig.tell(mold_ready(3));
    assert_eq!(go_back(&mut rig), [abandon(3), rollback(3), retire_mold(3), commit(1)]);
    assert_eq!(rig.tell(died(3)), [fork(4, 0, 1)]);

    let mut rig = with_previous();
    rig.tell(mold_ready(3));
    assert_eq!(rig.tell(ready(3)), [retire(2)]);
    assert_eq!(go_back(&mut rig), [retire_mold(2), commit(1)]);
    assert_eq!(rig.tell(left(2)), [fork(4, 0, 1)]);
}

#[test]
fn services_go_on_through_a_refork() {
    use supervisor::{ServiceId, ServiceName, Terms};
    let mut rig = reforking(&[50]);
    let terms = Terms { overlap: false, stop_timeout: seconds(10), min_uptime: seconds(1), fork_within: None };
    let plan = |generation| Event::ServicePlanned { generation: Generation(generation), name: ServiceName(0), terms };
    let start = |service, generation| Action::StartService {
        service: ServiceId(service),
        name: ServiceName(0),
        generation: Generation(generation),
    };
    assert_eq!(rig.tell(plan(1)), [start(1, 1)]);
    rig.tell(Event::ServiceStarted { service: ServiceId(1) });
    rig.tell(served(2, 50));
    rig.tell(plan(2));
    assert_eq!(roll(&mut rig, 2, [3, 4], [1, 2]), [retire_mold(1), settle(2)]);
    rig.tell(mold_died(1));
    rig.pass(seconds(60));
    assert_eq!(rig.tell(Event::ServiceExited { service: ServiceId(1) }), [start(2, 2)]);
}
