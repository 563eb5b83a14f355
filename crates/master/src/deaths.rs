//! Children that ended: who is told, what is logged, what is freed.

use supervisor::{Event, Generation, WorkerId};
use sys::process::{Ending, Exited};
use wire::Message;

use crate::children::Worker;
use crate::in_place::Replacement;
use crate::shell::Shell;
use crate::successor::Successor;

impl Shell {
    pub(crate) fn mold_exited(&mut self, generation: Generation, exited: Exited) {
        let told = self.molds.remove(&generation).is_some_and(|mold| mold.failed);
        // `exit! 4` in the configuration says nothing before, and `exit! 0` means what `exit` does.
        let meant = exited.ending() == Ending::Exit(0) && !told && self.failure.is_none();
        let unsaid = self.settings.is_none() && (meant || exited.ending() != Ending::Exit(0));
        if unsaid && meant {
            self.failure = Some(String::new());
        }
        if let (Ending::Exit(code), true) = (exited.ending(), unsaid || self.boot_exit.is_some()) {
            self.boot_exit = u8::try_from(code).ok().or(self.boot_exit);
        }
        if exited.ending() != Ending::Exit(0) && !told {
            self.log.error(format_args!("reaped {} mold gen={generation}", exited.ruby_inspect()));
            if self.failure.is_none() {
                self.failure = Some(format!("the mold died: {}", exited.ruby_inspect()));
            }
        }
        if matches!(self.successor, Successor::Preparing) && self.supervisor.generation() == Some(generation) {
            self.execute_successor("");
        }
        if matches!(self.replacement, Replacement::Preparing) && self.supervisor.generation() == Some(generation) {
            self.preflight_failed("the mold died while it ran before_exec".to_string());
        }
        self.event(Event::MoldExited { generation });
    }

    pub(crate) fn worker_exited(&mut self, id: WorkerId, exited: Exited) {
        self.post_mortem(id, exited);
        let in_request = self.workers.get(&id).is_some_and(|worker| self.request_start_ns(worker).is_some());
        let Some(worker) = self.forget_worker(id) else { return };
        if !worker.ready && self.failure.is_none() {
            self.failure = Some(format!("worker={} ended while booting: {}", worker.slot, exited.ruby_inspect()));
        }
        let told = [Some(worker.generation), self.supervisor.generation()].into_iter().flatten().any(|generation| {
            let message = Message::WorkerExited { slot: Some(worker.slot.0), pid: exited.pid, status: exited.status };
            self.molds.get(&generation).is_some_and(|mold| mold.settings.is_some() && mold.link.send(&message, &[]))
        });
        let clean = exited.ending() == Ending::Exit(0);
        if !told {
            let line = format!("reaped {} worker={}", exited.ruby_inspect(), worker.slot);
            if clean { self.log.info(line) } else { self.log.error(line) }
        }
        self.event(Event::WorkerExited { worker: id, in_request });
    }

    /// When the request began that a worker is in, as its seat says.
    fn request_start_ns(&self, worker: &Worker) -> Option<u64> {
        scoreboard::seat(self.scoreboard.words(), worker.seat)?.request_start_ns()
    }

    /// Says what the worker was doing when something other than its own end took it.
    fn post_mortem(&mut self, id: WorkerId, exited: Exited) {
        let Some(worker) = self.workers.get(&id) else { return };
        let Some(seat) = scoreboard::seat(self.scoreboard.words(), worker.seat) else { return };
        let cause = match (exited.ending(), worker.killed) {
            (Ending::Exit(0), _) => return,
            (Ending::Exit(code), _) => format!("exit status {code}"),
            (Ending::Signal(_), Some(why)) => format!("killed by the master: {why}"),
            (Ending::Signal(9), None) if self.out_of_memory() => "killed by the kernel: out of memory".to_string(),
            (Ending::Signal(number), None) => format!("{} from outside", sys::process::signal_name(number)),
        };
        let doing = match seat.request_start_ns() {
            Some(start) => {
                let age_ms = sys::clock::monotonic_ns().saturating_sub(start) / 1_000_000;
                format!("after {age_ms} ms in \"{}\"", seat.request_line().escape_ascii())
            }
            None if worker.ready => "while idle".to_string(),
            None => "while booting".to_string(),
        };
        self.log.error(format_args!(
            "worker={} gen={} pid={} died: {cause}, {doing}",
            worker.slot, worker.generation, exited.pid
        ));
    }

    /// Whether the kernel has killed a process of this control group for lack of memory since the last look.
    fn out_of_memory(&self) -> bool {
        sys::process::oom_kills().is_some_and(|kills| kills > self.oom_kills)
    }

    /// Frees the seat of a worker that is no more.
    pub(crate) fn forget_worker(&mut self, id: WorkerId) -> Option<Worker> {
        let worker = self.workers.remove(&id)?;
        if let Some(seat) = scoreboard::seat(self.scoreboard.words(), worker.seat) {
            self.notify.add_requests(seat.requests());
            seat.release();
        }
        self.seats[worker.seat] = false;
        self.oom_kills = sys::process::oom_kills().unwrap_or(0);
        Some(worker)
    }
}
