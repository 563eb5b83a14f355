//! Scripts: what the world says, second by second, and what the machine does about it.

use super::*;

/// A master in a script: `12:2/1` is PID 12 with two workers, one of them ready; `12:2/?` hides which; `12:0/0-5` has
/// lost five before they were ready.
fn master(word: &str) -> Master {
    let (pid, rest) = word.split_once(':').unwrap();
    let (workers, rest) = rest.split_once('/').unwrap();
    let (ready, lost) = rest.split_once('-').unwrap_or((rest, "0"));
    let ready = if ready == "?" { Ready::Hidden } else { Ready::Workers(ready.parse().unwrap()) };
    Master { pid: pid.parse().unwrap(), workers: workers.parse().unwrap(), ready, lost: lost.parse().unwrap() }
}

/// One input, as a script writes it.
fn input(text: &str) -> Input {
    let mut words = text.split(' ');
    match words.next().unwrap() {
        "see" => {
            let mut view = View::default();
            for word in words {
                match word.strip_prefix("orphan") {
                    Some(pid) => view.orphans.push(pid.parse().unwrap()),
                    None if word == "others" => view.others = true,
                    None => view.masters.push(master(word)),
                }
            }
            Input::Seen(view)
        }
        "ended" => {
            let status = words.next().unwrap();
            Input::LauncherEnded(Ended { well: status == "0", how: format!("exited with status {status}") })
        }
        "hup" => Input::Reload(None),
        "ask" => Input::Reload(Some(words.next().unwrap().parse().unwrap())),
        "term" => Input::Stop(Stop::Term),
        "int" => Input::Stop(Stop::Int),
        "usr1" => Input::Forward(Signal::Usr1),
        "usr2" => Input::Forward(Signal::Usr2),
        "done" => Input::Reloaded(Ok(())),
        "refused" => Input::Reloaded(Err("syntax error".into())),
        other => panic!("{other}"),
    }
}

fn shown(effect: &Effect) -> Option<String> {
    Some(match effect {
        Effect::Signal(pid, signal) => format!("{} {pid}", signal),
        Effect::Stop(pid, stop) => format!("stop-{stop:?} {pid}").to_lowercase(),
        Effect::Kill(pid) => format!("KILL {pid}"),
        Effect::SignalAll(signal) => format!("{} all", signal),
        Effect::KillAll => "KILL all".into(),
        Effect::AskToReload(pid) => format!("reload {pid}"),
        Effect::Answer(ticket, Ok(_)) => format!("ok {ticket}"),
        Effect::Answer(ticket, Err(reason)) => format!("failed {ticket}: {reason}"),
        Effect::Exit(status) => format!("exit {status}"),
        Effect::Log(Level::Error, text) => format!("error: {text}"),
        Effect::Log(..) => return None,
    })
}

fn settings() -> Settings {
    Settings {
        name: "unicorn".into(),
        daemonizes: false,
        boot_limit: Duration::from_secs(30),
        overlap: Duration::from_secs(20),
        asks_again: false,
        reloads_itself: false,
    }
}

/// Runs a script: lines of `SECOND INPUT => EFFECT, EFFECT`.
#[track_caller]
fn check(settings: Settings, script: &str) {
    let mut machine = Machine::new(Duration::ZERO, settings);
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (left, want) = line.split_once("=>").unwrap_or((line, ""));
        let (second, text) = left.trim().split_once(' ').unwrap();
        machine.handle(Duration::from_secs(second.parse().unwrap()), input(text.trim()));
        let mut got = Vec::new();
        while let Some(effect) = machine.poll_effect() {
            got.extend(shown(&effect));
        }
        assert_eq!(got.join(", "), want.trim(), "at `{line}` of:\n{script}");
    }
}

#[test]
fn a_reload_waits_for_every_worker_and_then_for_the_old_master() {
    check(
        settings(),
        "0 see others
         1 see 1:2/0
         2 hup => USR2 1
         3 see 1:2/0 2:1/1
         4 see 1:2/0 2:2/1
         5 see 1:2/0 2:2/2 => stop-term 1
         6 see 1:1/0 2:2/2
         7 see 2:2/2
         8 hup => USR2 2",
    );
}

#[test]
fn whoever_waits_is_told_when_the_old_master_is_gone() {
    check(
        settings(),
        "0 see 1:1/0
         1 ask 7 => USR2 1
         2 see 1:1/0 2:1/1 => stop-term 1
         3 see 2:1/1 => ok 7",
    );
}

#[test]
fn a_second_reload_waits_for_the_first() {
    check(
        settings(),
        "0 see 1:1/0
         1 ask 7 => USR2 1
         1 ask 8
         1 hup
         2 see 1:1/0 2:1/1 => stop-term 1
         3 see 2:1/1 => ok 7, USR2 2
         4 see 2:1/0 3:1/1 => stop-term 2
         5 see 3:1/1 => ok 8",
    );
}

#[test]
fn a_new_master_that_dies_leaves_the_old_one_and_the_next_reload_works() {
    check(
        settings(),
        "0 see 1:1/0
         1 ask 7 => USR2 1
         2 see 1:1/0 2:0/0
         3 see 1:1/0 => error: Restart failed: the new unicorn (PID 2) died. PID 1 serves on., failed 7: the new unicorn (PID 2) died
         4 hup => USR2 1
         5 see 1:1/0 3:1/1 => stop-term 1",
    );
}

#[test]
fn a_new_master_that_never_appears_is_given_up() {
    check(
        settings(),
        "0 see 1:1/0
         1 hup => USR2 1
         30 see 1:1/0
         31 see 1:1/0 => error: Restart failed: no new master appeared within 30 seconds. PID 1 serves on.",
    );
}

#[test]
fn a_gunicorn_that_does_not_listen_yet_is_asked_again() {
    check(
        Settings { asks_again: true, ..settings() },
        "0 see 1:1/0
         1 hup => USR2 1
         2 see 1:1/0
         3 see 1:1/0 => USR2 1
         4 see 1:1/0
         4 see 1:1/0 2:0/0
         9 see 1:1/0 2:1/1 => stop-term 1",
    );
}

#[test]
fn a_hook_that_stops_the_old_master_at_once_is_no_outage() {
    check(
        settings(),
        "0 see 1:2/0
         1 ask 7 => USR2 1
         2 see 1:2/0 2:0/0
         3 see 2:1/0
         4 see 2:2/1
         5 see 2:2/2 => ok 7",
    );
}

#[test]
fn a_master_that_somebody_else_upgrades_is_followed_both_ways() {
    check(
        settings(),
        "0 see 1:1/0
         1 usr2 => USR2 1
         2 see 1:1/0 2:1/0
         3 usr1 => USR1 1, USR1 2
         4 see 1:1/0
         5 see 1:1/0 3:1/0
         6 ask 7 => error: Restart failed: PID 1 and PID 3 both serve since somebody sent USR2; stop one of them (QUIT) first. PID 3 serves on., failed 7: PID 1 and PID 3 both serve since somebody sent USR2; stop one of them (QUIT) first
         7 see 3:1/0
         8 hup => USR2 3",
    );
}

#[test]
fn the_overlap_is_a_maximum_after_which_those_that_are_ready_must_do() {
    check(
        settings(),
        "0 see 1:2/0
         1 hup => USR2 1
         5 see 1:2/0 2:2/1
         24 see 1:2/0 2:2/1
         25 see 1:2/0 2:2/1 => stop-term 1",
    );
}

#[test]
fn where_readiness_is_hidden_the_overlap_passes_as_it_used_to() {
    check(
        settings(),
        "0 see 1:2/?
         1 hup => USR2 1
         5 see 1:2/? 2:2/?
         24 see 1:2/? 2:2/?
         25 see 1:2/? 2:2/? => stop-term 1",
    );
}

#[test]
fn without_one_ready_worker_the_new_master_is_stopped_not_the_old_one() {
    check(
        settings(),
        "0 see 1:2/0
         1 ask 7 => USR2 1
         5 see 1:2/0 2:2/0
         25 see 1:2/0 2:2/0 => TERM 2
         34 see 1:2/0 2:0/0
         35 see 1:2/0 2:0/0 => KILL 2
         36 see 1:2/0 => error: Restart failed: the new unicorn (PID 2): none of its workers got ready in time. PID 1 serves on., failed 7: the new unicorn (PID 2): none of its workers got ready in time",
    );
}

#[test]
fn workers_that_die_while_they_boot_end_a_reload_early() {
    check(
        settings(),
        "0 see 1:2/0
         1 hup => USR2 1
         2 see 1:2/0 2:2/0-4
         3 see 1:2/0 2:2/0-5 => TERM 2
         4 see 1:2/0 => error: Restart failed: the new unicorn (PID 2): its workers die before they are ready. PID 1 serves on.",
    );
}

#[test]
fn a_configuration_with_fewer_workers_is_accepted_once_no_more_come() {
    check(
        settings(),
        "0 see 1:4/0
         1 hup => USR2 1
         2 see 1:4/0 2:1/1
         3 see 1:4/0 2:2/2
         7 see 1:4/0 2:2/2
         8 see 1:4/0 2:2/2 => stop-term 1",
    );
}

#[test]
fn a_stop_reaches_every_master_also_one_that_is_born_meanwhile() {
    check(
        settings(),
        "0 see 1:1/0
         1 ask 7 => USR2 1
         2 term => failed 7: the herder was told to stop, stop-term 1
         2 see 1:1/0 2:0/0 => stop-term 2
         2 term
         2 int => stop-int 1, stop-int 2
         2 see 2:0/0
         3 see => exit 0",
    );
}

#[test]
fn a_stop_that_a_master_has_lost_while_it_was_born_is_repeated() {
    check(
        settings(),
        "0 see 1:1/0
         1 hup => USR2 1
         1 see 1:1/0 2:0/0
         1 term => stop-term 1, stop-term 2
         1 see 1:1/0 2:0/0
         2 see 2:2/0 => stop-term 2
         3 see 2:1/0 => stop-term 2
         4 see => exit 0",
    );
}

#[test]
fn a_reload_that_is_asked_for_while_it_boots_follows() {
    check(
        settings(),
        "0 see others
         1 ask 7
         2 hup
         3 see 1:1/0 => USR2 1
         4 see 1:1/0 2:1/1 => stop-term 1
         5 see 2:1/1 => ok 7",
    );
    check(settings(), "0 see others\n1 ask 7\n2 term => failed 7: the herder was told to stop, TERM all");
}

#[test]
fn a_stop_while_it_boots_ends_everything_that_was_started() {
    check(
        settings(),
        "0 see others
         1 term => TERM all
         2 see others
         11 see others => KILL all
         12 see => exit 0",
    );
}

#[test]
fn a_server_that_dies_is_a_failure_and_leaves_no_worker() {
    check(
        settings(),
        "0 see 1:2/0
         1 see orphan5 orphan6 => error: unicorn died. Exiting., stop-term 5, stop-term 6
         2 see orphan5
         11 see orphan5 => KILL all
         12 see => exit 1",
    );
}

#[test]
fn a_boot_that_fails_is_a_failure_at_once() {
    check(
        settings(),
        "1 ended 1\n1 see => error: unicorn exited with status 1 before it served. Exiting., TERM all, exit 1",
    );
    let daemon = Settings { daemonizes: true, ..settings() };
    check(
        daemon.clone(),
        "1 ended 1
         1 see others => error: unicorn exited with status 1 before it served. Exiting., TERM all
         2 see => exit 1",
    );
    check(
        daemon.clone(),
        "0 see 1:2/0
         1 ended 0
         2 see 1:2/0
         3 see => error: unicorn died. Exiting., TERM all, exit 1",
    );
    check(
        daemon,
        "30 see others => error: unicorn failed to daemonize within 30 seconds. Sending TERM and exiting., TERM all
         40 see others => KILL all
         41 see => exit 1",
    );
}

#[test]
fn a_server_that_reloads_by_itself_is_asked_to() {
    check(
        Settings { reloads_itself: true, ..settings() },
        "0 see 1:1/0
         1 ask 7 => reload 1
         2 see 1:1/0
         3 done => ok 7
         4 ask 8 => reload 1
         5 refused => error: Restart failed: syntax error. PID 1 serves on., failed 8: syntax error",
    );
}
