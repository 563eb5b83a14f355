//! What children died of, in words that claim no more than is known.

use supervisor::{KillReason, WorkerState};
use sys::fatal::{Note, Origin};
use sys::process::{Ending, Exited};

use crate::children::worker::Worker;

/// The number of `SIGKILL`.
const KILL: i32 = 9;
const OUT_OF_MEMORY: &str = "killed by the kernel: out of memory";

/// How many processes of this control group the kernel had killed for lack of memory when that was last explained.
#[derive(Debug)]
pub(crate) struct OomKills(u64);

impl OomKills {
    /// As many as there are now are explained: those that come were not ours.
    pub(crate) fn now() -> Self {
        Self(sys::process::oom_kills().unwrap_or(0))
    }

    /// So many had been explained by the program before this one.
    pub(crate) fn load(explained: u64) -> Self {
        Self(explained)
    }

    /// How many are explained.
    pub(crate) fn save(&self) -> u64 {
        self.0
    }

    /// Whether there is one that nothing has explained yet.
    fn is_one_unexplained(&self) -> bool {
        sys::process::oom_kills().is_some_and(|kills| kills > self.0)
    }
}

/// What a mold died of.
pub(crate) fn mold(exited: Exited, kills: &mut OomKills) -> String {
    if exited.ending() == Ending::Signal(KILL) && kills.is_one_unexplained() {
        kills.0 += 1;
        return OUT_OF_MEMORY.to_string();
    }
    exited.ruby_inspect()
}

/// What a worker died of and was doing, when something other than its own end took it. `decided` is known of it.
pub(crate) fn worker(
    exited: Exited,
    decided: &supervisor::Worker,
    worker: &Worker,
    kills: &mut OomKills,
) -> Option<String> {
    let seat = worker.seat.look();
    let left = exited.ending() == Ending::Exit(0);
    let is_told_to_quit = matches!(decided.state, WorkerState::Quitting { .. });
    // `exit!` in a request loses it, unless the master has told the worker to leave at once.
    if left && (seat.request_start_ns().is_none() || is_told_to_quit) {
        return None;
    }
    // What is decided now comes too late to have been its end.
    let killed = decided.killed().filter(|_| worker.is_killed());
    let lack = (exited.ending(), killed) == (Ending::Signal(KILL), None) && kills.is_one_unexplained();
    let cause = cause(exited.ending(), killed, Note::read(seat.fatal_words()), lack);
    let doing = match seat.request_start_ns() {
        Some(start) => {
            let age_ms = sys::clock::monotonic_ns().saturating_sub(start) / 1_000_000;
            format!("after {age_ms} ms in \"{}\"", seat.request_line().escape_ascii())
        }
        None if worker.is_ready() => "while idle".to_string(),
        None => "while booting".to_string(),
    };
    kills.0 += u64::from(lack);
    let supervisor::Worker { slot, generation, .. } = decided;
    Some(format!("worker={slot} gen={generation} pid={} died: {cause}, {doing}", exited.pid))
}

/// What ended a worker, in words that claim no more than is known. `note` is what the worker has noted itself.
fn cause(ending: Ending, killed: Option<KillReason>, note: Option<Note>, out_of_memory: bool) -> String {
    let number = match (ending, killed) {
        (Ending::Exit(code), _) => return format!("exit status {code}"),
        (Ending::Signal(_), Some(why)) => return format!("killed by the master: {why}"),
        (Ending::Signal(KILL), None) if out_of_memory => return OUT_OF_MEMORY.to_string(),
        (Ending::Signal(number), None) => number,
    };
    let name = sys::process::signal_name;
    let Some(note) = note.filter(|note| note.signal == number) else {
        return match number {
            KILL => format!("{}, which the master did not send", name(number)),
            _ => name(number),
        };
    };
    let first = name(note.first);
    let from = match note.origin {
        Origin::Fault => format!("{first} by a fault of its own"),
        Origin::Itself => format!("{first} raised by itself"),
        Origin::Sender { pid: 0, uid } => format!("{first} sent from another pid namespace by uid={uid}"),
        Origin::Sender { pid, uid } => format!("{first} sent by pid={pid} uid={uid}"),
    };
    // Ruby's handler prints what it knows; what ends the process then is abort(3), or the same signal once more.
    let report = if note.was_handled { " (see Ruby's [BUG] report in the log)" } else { "" };
    format!("{from}{report}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_claims_no_more_than_is_known() {
        let note = |signal, first, origin| Some(Note { signal, first, origin, was_handled: false });
        let handled = |signal, origin| Some(Note { signal, first: 11, origin, was_handled: true });
        let sender = Origin::Sender { pid: 7, uid: 1000 };
        for (signal, note, lack, want) in [
            (9, None, false, "SIGKILL, which the master did not send"),
            (9, None, true, "killed by the kernel: out of memory"),
            (15, None, false, "SIGTERM"),
            (6, None, false, "SIGABRT"),
            (6, note(6, 6, Origin::Itself), false, "SIGABRT raised by itself"),
            (6, handled(6, Origin::Fault), false, "SIGSEGV by a fault of its own (see Ruby's [BUG] report in the log)"),
            (
                11,
                handled(11, Origin::Fault),
                false,
                "SIGSEGV by a fault of its own (see Ruby's [BUG] report in the log)",
            ),
            (11, note(11, 11, Origin::Fault), false, "SIGSEGV by a fault of its own"),
            (6, note(6, 6, sender), false, "SIGABRT sent by pid=7 uid=1000"),
            // A note about another signal is about something that was survived.
            (9, note(11, 11, Origin::Fault), false, "SIGKILL, which the master did not send"),
        ] {
            assert_eq!(cause(Ending::Signal(signal), None, note, lack), want);
        }
        let killed = Some(KillReason::RequestTimeout);
        assert!(cause(Ending::Signal(9), killed, None, true).starts_with("killed by the master: "));
        assert_eq!(cause(Ending::Exit(3), None, None, false), "exit status 3");
    }
}
