//! What children died of, in words that claim no more than is known.

use facts::{Cause, Death, Doing, Kind};
use supervisor::{Generation, KillReason, WorkerState};
use sys::clock::Moment;
use sys::fatal::{Note, Origin};
use sys::process::{Ending, Exited};

use crate::children::mold::{Mold, MoldStage};
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

/// A death that has to be told: what is remembered of it, and the line of the log.
pub(crate) struct PostMortem {
    pub(crate) death: Death,
    pub(crate) line: Option<String>,
}

/// What a mold died of.
pub(crate) fn mold(exited: Exited, generation: Generation, mold: &Mold, kills: &mut OomKills) -> Death {
    let lack = !mold.is_killed && exited.ending() == Ending::Signal(KILL) && kills.is_one_unexplained();
    kills.0 += u64::from(lack);
    let killed = mold.is_killed.then_some("it did not leave or boot in time, or broke the protocol");
    let (cause, text) = decode(exited.ending(), killed.map(|why| (Cause::Killed, why.to_string())), None, lack);
    let doing = match mold.stage {
        MoldStage::Starting | MoldStage::Configured => Doing::Booting,
        MoldStage::Ready | MoldStage::Failed | MoldStage::Done => Doing::Idle,
    };
    Death { kind: Kind::Mold, generation: Some(generation.0), doing: Some(doing), ..death(exited, cause, text) }
}

/// What the admin process died of.
pub(crate) fn admin(exited: Exited) -> Death {
    let (cause, text) = decode(exited.ending(), None, None, false);
    Death { kind: Kind::Admin, ..death(exited, cause, text) }
}

/// What a service died of.
pub(crate) fn service(
    exited: Exited,
    name: &str,
    generation: Generation,
    is_killed: bool,
    kills: &mut OomKills,
) -> Death {
    let lack = !is_killed && exited.ending() == Ending::Signal(KILL) && kills.is_one_unexplained();
    kills.0 += u64::from(lack);
    let killed = is_killed.then(|| (Cause::Killed, "it did not leave in time".to_string()));
    let (cause, text) = decode(exited.ending(), killed, None, lack);
    let (generation, name) = (Some(generation.0), Some(name.to_string()));
    Death { kind: Kind::Service, service: name, generation, ..death(exited, cause, text) }
}

fn death(exited: Exited, cause: Cause, text: String) -> Death {
    let now = Moment::now();
    let peak_rss_bytes = (exited.peak_rss_bytes > 0).then_some(exited.peak_rss_bytes);
    Death { at: now.unix_s(now.monotonic_ns()), pid: exited.pid, cause, text, peak_rss_bytes, ..Death::default() }
}

/// What a worker died of and was doing, when something other than its own end took it. `decided` is known of it.
pub(crate) fn worker(
    exited: Exited,
    decided: &supervisor::Worker,
    worker: &Worker,
    kills: &mut OomKills,
) -> Option<PostMortem> {
    let seat = worker.seat.look();
    let start_ns = seat.request_start_ns();
    let left = exited.ending() == Ending::Exit(0);
    let is_told_to_quit = matches!(decided.state, WorkerState::Quitting { .. });
    // `exit!` in a request loses it, unless the master has told the worker to leave at once.
    let is_quiet = left && (start_ns.is_none() || is_told_to_quit);
    if is_quiet && !decided.is_unasked() {
        return None;
    }
    // What is decided now comes too late to have been its end.
    let killed = decided.killed().filter(|_| worker.is_killed());
    let lack = (exited.ending(), killed) == (Ending::Signal(KILL), None) && kills.is_one_unexplained();
    let killed = killed.map(|why| match why {
        KillReason::RequestTimeout => (Cause::Timeout, why.to_string()),
        _ => (Cause::Killed, why.to_string()),
    });
    let (cause, text) = match decided.state {
        WorkerState::Retiring { overdue: why @ KillReason::Unreachable, .. } if left => (Cause::Exit, why.to_string()),
        _ => decode(exited.ending(), killed, Note::read(seat.fatal_words()), lack),
    };
    kills.0 += u64::from(lack);
    let age_ms = start_ns.map(|start| sys::clock::monotonic_ns().saturating_sub(start) / 1_000_000);
    let (doing, words) = match age_ms {
        Some(age_ms) => (Doing::Request, format!("after {age_ms} ms in \"{}\"", seat.request_line().escape_ascii())),
        None if worker.is_ready() => (Doing::Idle, "while idle".to_string()),
        None => (Doing::Booting, "while booting".to_string()),
    };
    let supervisor::Worker { slot, generation, .. } = decided;
    let peak =
        if lack { format!(", with {} MiB resident at most", exited.peak_rss_bytes >> 20) } else { String::new() };
    let line = format!("worker={slot} gen={generation} pid={} died: {text}, {words}{peak}", exited.pid);
    let of_request = |bytes: Vec<u8>| age_ms.is_some().then(|| String::from_utf8_lossy(&bytes).into_owned());
    let death = Death {
        kind: Kind::Worker,
        slot: Some(slot.0),
        generation: Some(generation.0),
        doing: Some(doing),
        request: of_request(seat.request_line()),
        request_id: of_request(seat.request_id()).filter(|id| !id.is_empty()),
        age_ms,
        backtrace: start_ns.and_then(|start| worker.backtraces_in(start)).map(str::to_string),
        ..death(exited, cause, text)
    };
    Some(PostMortem { death, line: (!is_quiet).then_some(line) })
}

/// What ended a process, in words that claim no more than is known. `killed`: why the master has killed it; `note` is what
/// the process has noted itself.
fn decode(ending: Ending, killed: Option<(Cause, String)>, note: Option<Note>, out_of_memory: bool) -> (Cause, String) {
    let number = match (ending, killed) {
        (Ending::Exit(code), _) => return (Cause::Exit, format!("exit status {code}")),
        (Ending::Signal(_), Some((cause, why))) => return (cause, format!("killed by the master: {why}")),
        (Ending::Signal(KILL), None) if out_of_memory => return (Cause::Oom, OUT_OF_MEMORY.to_string()),
        (Ending::Signal(number), None) => number,
    };
    let name = sys::process::signal_name;
    let Some(note) = note.filter(|note| note.signal == number) else {
        return match number {
            KILL => (Cause::Sent, format!("{}, which the master did not send", name(number))),
            // A process notes what is sent to it, unless no stack is left for that, or it does not note anything yet.
            _ if sys::fatal::is_of_a_fault(number) => (Cause::Fault, name(number)),
            _ => (Cause::Unknown, name(number)),
        };
    };
    let first = name(note.first);
    let (cause, from) = match note.origin {
        Origin::Fault => (Cause::Fault, format!("{first} by a fault of its own")),
        Origin::Itself => (Cause::Raised, format!("{first} raised by itself")),
        Origin::Sender { pid: 0, uid } => {
            (Cause::Sent, format!("{first} sent from another pid namespace by uid={uid}"))
        }
        Origin::Sender { pid, uid } => (Cause::Sent, format!("{first} sent by pid={pid} uid={uid}")),
    };
    // Ruby's handler prints what it knows; what ends the process then is abort(3), or the same signal once more.
    let report = if note.was_handled { " (see Ruby's [BUG] report in the log)" } else { "" };
    (cause, format!("{from}{report}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_claims_no_more_than_is_known() {
        let note = |signal, first, origin| Some(Note { signal, first, origin, was_handled: false });
        let handled = |signal, origin| Some(Note { signal, first: 11, origin, was_handled: true });
        let sender = Origin::Sender { pid: 7, uid: 1000 };
        for (signal, note, lack, class, want) in [
            (9, None, false, Cause::Sent, "SIGKILL, which the master did not send"),
            (9, None, true, Cause::Oom, "killed by the kernel: out of memory"),
            (15, None, false, Cause::Unknown, "SIGTERM"),
            (6, None, false, Cause::Unknown, "SIGABRT"),
            // No stack was left to note it on.
            (11, None, false, Cause::Fault, "SIGSEGV"),
            (6, note(6, 6, Origin::Itself), false, Cause::Raised, "SIGABRT raised by itself"),
            (
                6,
                handled(6, Origin::Fault),
                false,
                Cause::Fault,
                "SIGSEGV by a fault of its own (see Ruby's [BUG] report in the log)",
            ),
            (
                11,
                handled(11, Origin::Fault),
                false,
                Cause::Fault,
                "SIGSEGV by a fault of its own (see Ruby's [BUG] report in the log)",
            ),
            (11, note(11, 11, Origin::Fault), false, Cause::Fault, "SIGSEGV by a fault of its own"),
            (6, note(6, 6, sender), false, Cause::Sent, "SIGABRT sent by pid=7 uid=1000"),
            // A note about another signal is about something that was survived.
            (9, note(11, 11, Origin::Fault), false, Cause::Sent, "SIGKILL, which the master did not send"),
        ] {
            assert_eq!(decode(Ending::Signal(signal), None, note, lack), (class, want.to_string()));
        }
        let killed = Some((Cause::Timeout, KillReason::RequestTimeout.to_string()));
        let (cause, text) = decode(Ending::Signal(9), killed, None, true);
        assert_eq!((cause, text.as_str()), (Cause::Timeout, "killed by the master: request timeout"));
        assert_eq!(decode(Ending::Exit(3), None, None, false), (Cause::Exit, "exit status 3".to_string()));
    }
}
