//! A number of workers that follows the load.

use super::*;
use supervisor::Sizes;

/// A server of two workers, which may be up to five.
fn two_to_five() -> Rig {
    Rig::serving_with(Config::default(), Plan { most_workers: Some(5), ..PLAN })
}

fn size(count: u32) -> Event {
    Event::Size { count }
}

#[test]
fn number_follows_the_load_between_its_limits() {
    let mut rig = two_to_five();
    assert_eq!(rig.supervisor.sizes(), Some(Sizes { least: 2, most: 5, by_hand: false, follows: true }));
    assert_eq!(rig.tell(size(4)), [count(4), fork(3, 2, 1), fork(4, 3, 1)]);
    assert_eq!(rig.tell(size(9)), [count(5), fork(5, 4, 1)]);
    for id in 3..=5 {
        rig.tell(ready(id));
    }
    assert_eq!(rig.tell(size(0)), [count(2), retire(3), retire(4), retire(5)], "the highest slots go");
    let resized = [(2, 4), (4, 5), (5, 2)].map(|(from, to)| Fact::Resized { from, to });
    assert_eq!(rig.facts, resized);
}

#[test]
fn number_that_is_configured_alone_stays() {
    let mut rig = Rig::serving(2);
    assert_eq!((rig.tell(size(4)), rig.supervisor.sizes()), (vec![], None));
}

#[test]
fn word_of_an_operator_holds_until_the_next_reload() {
    let mut rig = two_to_five();
    assert_eq!(rig.signal(Signal::Ttin), [count(3), fork(3, 2, 1)]);
    assert_eq!(rig.supervisor.sizes().map(|sizes| sizes.follows), Some(false));
    assert_eq!(rig.tell(size(5)), []);
    rig.tell(ready(3));
    rig.signal(Signal::Hup);
    rig.mold_gets_ready(2);
    assert_eq!(rig.supervisor.worker_processes(), 2, "the reload goes back to the configured number");
}

#[test]
fn workers_that_were_sent_away_stay_away_whatever_the_load() {
    let mut rig = two_to_five();
    rig.signal(Signal::Winch { honoured: true });
    assert_eq!(rig.tell(size(5)), []);
    assert_eq!(rig.supervisor.worker_processes(), 0);
}

#[test]
fn reload_takes_over_what_the_load_has_brought_within_its_own_limits() {
    let mut rig = two_to_five();
    rig.tell(size(4));
    rig.tell(ready(3));
    rig.tell(ready(4));
    rig.signal(Signal::Hup);
    rig.plan = Plan { most_workers: Some(3), ..rig.plan };
    let deeds = rig.mold_gets_ready(2);
    assert_eq!(deeds[..2], [commit(2), count(3)]);
    assert_eq!(rig.tell(size(2)), [], "a roll changes nothing");
    assert_eq!(rig.supervisor.worker_processes(), 3);
}

#[test]
fn number_follows_the_load_while_the_next_mold_boots() {
    let mut rig = two_to_five();
    rig.signal(Signal::Hup);
    assert_eq!(rig.tell(size(3)), [count(3), fork(3, 2, 1)]);
    rig.tell(ready(3));
    rig.mold_gets_ready(2);
    assert_eq!(rig.supervisor.worker_processes(), 3);
}

#[test]
fn reload_that_fails_leaves_the_word_of_an_operator() {
    let mut rig = two_to_five();
    rig.signal(Signal::Ttin);
    rig.tell(ready(3));
    rig.signal(Signal::Hup);
    rig.mold_gets_ready(2);
    rig.tell(Event::WorkerBootFailed { worker: WorkerId(4), cause: CauseId::NONE });
    assert_eq!(rig.supervisor.worker_processes(), 3);
    assert_eq!((rig.tell(size(5)), rig.supervisor.worker_processes()), (vec![], 3));
}
