//! Children that ended: who is told, what is logged, what is freed.

use supervisor::{CauseId, Event, Generation, KillReason, Phase, WorkerId, WorkerState};
use sys::fatal::{Note, Origin};
use sys::process::{Ending, Exited};
use wire::ToMold;

use crate::children::mold::MoldStage;
use crate::shell::Shell;
use crate::upgrade::replacement::Replacement;
use crate::upgrade::successor::Successor;

/// The number of `SIGKILL`.
const KILL: i32 = 9;
const OUT_OF_MEMORY: &str = "killed by the kernel: out of memory";

impl Shell {
    pub(crate) fn mold_exited(&mut self, generation: Generation, exited: Exited) {
        let stage = self.children.remove_mold(generation).map(|mold| mold.stage);
        let told = matches!(stage, Some(MoldStage::Failed | MoldStage::Done));
        let status = match exited.ending() {
            Ending::Exit(code) => u8::try_from(code).ok(),
            Ending::Signal(_) => None,
        };
        let mut cause = CauseId::NONE;
        if exited.ending() != Ending::Exit(0) && !told {
            self.log.error(format_args!("reaped {} mold gen={generation}", exited.ruby_inspect()));
            let lack = exited.ending() == Ending::Signal(KILL) && self.was_out_of_memory();
            let why = if lack { OUT_OF_MEMORY.to_string() } else { exited.ruby_inspect() };
            cause = self.causes.note(format!("the mold died: {why}"));
        }
        if matches!(self.successor, Successor::Preparing) && self.supervisor.generation() == Some(generation) {
            self.execute_successor("");
        }
        if matches!(self.replacement, Replacement::Preparing) && self.supervisor.generation() == Some(generation) {
            self.preflight_failed("the mold died while it ran before_exec".to_string());
        }
        self.event(Event::MoldExited { generation, status, cause });
    }

    pub(crate) fn worker_exited(&mut self, id: WorkerId, exited: Exited) {
        self.post_mortem(id, exited);
        let in_request = self.is_in_request(id);
        let Some(&supervisor::Worker { slot, generation, .. }) = self.supervisor.worker(id) else { return };
        self.forget_worker(id);
        let text = format!("worker={slot} ended while booting: {}", exited.ruby_inspect());
        let cause = self.note_of_booting(id, text);
        // The configuration that holds now says how it is logged, as in Unicorn; its own one is asked when there is none.
        let told = [self.supervisor.generation(), Some(generation)].into_iter().flatten().any(|generation| {
            let message = ToMold::WorkerExited { slot: Some(slot.0), pid: exited.pid, status: exited.status };
            self.children.mold(generation).is_some_and(|mold| mold.settings.is_some() && mold.link.send(&message, &[]))
        });
        let clean = exited.ending() == Ending::Exit(0);
        if !told {
            let line = format!("reaped {} worker={slot}", exited.ruby_inspect());
            if clean { self.log.info(line) } else { self.log.error(line) }
        }
        self.event(Event::WorkerExited { worker: id, in_request, cause });
    }

    /// A worker has told why it cannot boot, or its mold why it cannot fork it. By a boot or a roll, which fails by it, that is
    /// told once, in the end.
    pub(crate) fn worker_failed(&mut self, id: WorkerId, text: String) -> CauseId {
        let Some(&supervisor::Worker { slot, generation, .. }) = self.supervisor.worker(id) else {
            return CauseId::NONE;
        };
        let fails_by_it = match self.supervisor.phase() {
            Phase::New | Phase::Booting => true,
            Phase::Rolling => self.supervisor.generation() == Some(generation),
            _ => false,
        };
        if !fails_by_it {
            self.log.error(format_args!("worker={slot} gen={generation} does not boot: {text}"));
        }
        self.note_of_booting(id, text)
    }

    /// Keeps why a worker did not boot, if that is still awaited.
    fn note_of_booting(&mut self, id: WorkerId, text: String) -> CauseId {
        let boots = self.supervisor.worker(id).is_some_and(|worker| worker.boots());
        if boots { self.causes.note(text) } else { CauseId::NONE }
    }

    /// Whether a worker is in a request, as its seat says.
    pub(crate) fn is_in_request(&self, id: WorkerId) -> bool {
        self.children.seat(id).is_some_and(|seat| seat.request_start_ns().is_some())
    }

    /// Says what the worker was doing when something other than its own end took it.
    fn post_mortem(&mut self, id: WorkerId, exited: Exited) {
        let (Some(known), Some(worker)) = (self.supervisor.worker(id), self.children.worker(id)) else { return };
        let Some(seat) = self.children.seat(id) else { return };
        let left = exited.ending() == Ending::Exit(0);
        // `exit!` in a request loses it, unless the master has told the worker to leave at once.
        if left && (seat.request_start_ns().is_none() || self.is_told_to_quit(id)) {
            return;
        }
        // What is decided now comes too late to have been its end.
        let killed = known.killed().filter(|_| worker.is_killed());
        let lack = (exited.ending(), killed) == (Ending::Signal(KILL), None) && self.is_out_of_memory();
        let cause = cause(exited.ending(), killed, Note::read(seat.fatal_words()), lack);
        let doing = match seat.request_start_ns() {
            Some(start) => {
                let age_ms = sys::clock::monotonic_ns().saturating_sub(start) / 1_000_000;
                format!("after {age_ms} ms in \"{}\"", seat.request_line().escape_ascii())
            }
            None if worker.is_ready() => "while idle".to_string(),
            None => "while booting".to_string(),
        };
        self.log.error(format_args!(
            "worker={} gen={} pid={} died: {cause}, {doing}",
            known.slot, known.generation, exited.pid
        ));
        if lack {
            self.oom_kills += 1;
        }
    }

    fn is_told_to_quit(&self, id: WorkerId) -> bool {
        self.supervisor.worker(id).is_some_and(|worker| matches!(worker.state, WorkerState::Quitting { .. }))
    }

    /// Whether the kernel has killed a process of this control group for lack of memory, more than are explained.
    fn is_out_of_memory(&self) -> bool {
        sys::process::oom_kills().is_some_and(|kills| kills > self.oom_kills)
    }

    /// The same, and explains one.
    fn was_out_of_memory(&mut self) -> bool {
        let lack = self.is_out_of_memory();
        self.oom_kills += u64::from(lack);
        lack
    }

    /// All deaths of this round are explained: what else was killed was not ours.
    pub(crate) fn forget_oom_kills(&mut self) {
        self.oom_kills = sys::process::oom_kills().unwrap_or(0);
    }

    /// Frees the seat of a worker that is no more.
    pub(crate) fn forget_worker(&mut self, id: WorkerId) {
        if let Some(requests) = self.children.remove_worker(id) {
            self.notify.add_requests(requests);
        }
    }
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
