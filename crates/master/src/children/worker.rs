//! A worker process, as the master holds it.

use scoreboard::Totals;
use supervisor::WorkerId;
use sys::pidfd::Child;
use sys::signals::Signal;
use wire::{FromWorker, ToWorker, state};

use crate::carried::Number;
use crate::children::error::Error;
use crate::children::link::Link;
use crate::children::seats::Seat;
use crate::log::lines::Log;

/// A worker process.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) process: Process,
    pub(crate) link: Link<FromWorker, ToWorker>,
    pub(crate) seat: Seat,
    pub(crate) stage: WorkerStage,
    /// The names of its listeners, in its order; none when its mold was gone before this program was executed.
    pub(crate) listeners: Vec<String>,
    /// When it was heard to be ready (CLOCK_MONOTONIC, ns).
    ready_ns: Option<u64>,
    /// How many questions for backtraces it was asked and has not answered yet.
    pub(crate) owed: u32,
    trace: Trace,
}

/// Where it was in a request, as it has told when it was asked last.
#[derive(Debug, Default)]
struct Trace {
    /// The number of the question, and the start of the request that it was in then.
    asked: Option<(u64, u64)>,
    /// The start of that request, and the answer.
    told: Option<(u64, String)>,
}

/// How far a worker has come, as far as it has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkerStage {
    /// It boots.
    Booting,
    /// It serves, or leaves: its requests are watched.
    Ready,
    /// It has said why it cannot boot.
    Failed,
}

/// Why a report of a request is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// It will soon be killed for its age.
    SinceItEnds,
    /// It is older than `slow_request`.
    SinceItIsSlow,
}

/// What is known of the process of a worker.
#[derive(Debug)]
pub(crate) enum Process {
    /// The fork is under way.
    Unborn {
        /// A signal that waits for it.
        waiting: Option<Signal>,
    },
    /// It has announced itself, and is a child of this process.
    Born(Child),
    /// The master has killed it, and has not reaped it yet.
    Killed(Child),
    /// It had been reaped when its announcement was heard.
    Gone(u32),
}

impl Worker {
    /// One that boots.
    pub(crate) fn booting(process: Process, link: Link<FromWorker, ToWorker>, seat: Seat) -> Self {
        let (stage, listeners, trace) = (WorkerStage::Booting, Vec::new(), Trace::default());
        Self { process, link, seat, stage, listeners, ready_ns: None, owed: 0, trace }
    }

    /// Its process id, once it is known.
    pub(crate) fn pid(&self) -> Option<u32> {
        match &self.process {
            Process::Unborn { .. } => None,
            Process::Born(child) | Process::Killed(child) => Some(child.pid()),
            Process::Gone(pid) => Some(*pid),
        }
    }

    /// Whether it is not there yet.
    pub(crate) fn is_unborn(&self) -> bool {
        matches!(self.process, Process::Unborn { .. })
    }

    /// Whether it may say this now, and notes how far it has come by that.
    pub(crate) fn accept(&mut self, message: &FromWorker) -> bool {
        let unborn = self.is_unborn();
        let boots = !unborn && self.stage == WorkerStage::Booting;
        match message {
            FromWorker::Forked => return unborn,
            FromWorker::Ready if boots => {
                self.stage = WorkerStage::Ready;
                self.ready_ns = Some(sys::clock::monotonic_ns());
            }
            FromWorker::Failed { .. } if boots => self.stage = WorkerStage::Failed,
            FromWorker::Ready | FromWorker::Failed { .. } => return false,
            // It says so as often as it is told to.
            FromWorker::Leaving | FromWorker::NotPromoted { .. } => return !unborn && self.stage == WorkerStage::Ready,
            // Unasked, or asked by the program before this one.
            FromWorker::Backtraces { .. } => return !unborn,
        }
        true
    }

    /// What it has done for clients. One that is not ready serves none: what it notes is a probe's.
    pub(crate) fn totals(&self) -> Totals {
        if self.is_ready() { Totals::of(self.seat.look()) } else { Totals::default() }
    }

    /// Asks it where its threads are.
    ///
    /// # Errors
    /// It cannot answer: the text says why.
    pub(crate) fn ask_backtraces(&mut self, question: u64, log: &Log) -> Result<(), &'static str> {
        match &self.process {
            Process::Unborn { .. } => return Err("it is not forked yet"),
            Process::Killed(_) => return Err("the master has killed it"),
            Process::Gone(_) => return Err("it has ended"),
            Process::Born(_) => {}
        }
        if self.link.readable().is_none() {
            return Err("it cannot be reached: its control socket is closed");
        }
        if !self.seat.look().ask_backtraces(question) {
            return Err("it is of a program before this one, and cannot be asked: it can after a reload");
        }
        self.owed = self.owed.saturating_add(1);
        self.trace.asked = self.seat.look().request_start_ns().map(|start_ns| (question, start_ns));
        self.signal(Signal::Urg, log);
        Ok(())
    }

    /// It has answered the question with this number.
    pub(crate) fn note_backtraces(&mut self, number: u64, text: &str) {
        if let Some((_, start_ns)) = self.trace.asked.take_if(|(question, _)| *question == number) {
            self.trace.told = Some((start_ns, text.to_string()));
        }
    }

    /// Where it was in the request that began then, if it has told.
    pub(crate) fn backtraces_in(&self, start_ns: u64) -> Option<&str> {
        self.trace.told.as_ref().filter(|(start, _)| *start == start_ns).map(|(_, text)| text.as_str())
    }

    /// Whether it is to answer a question for backtraces; then it is answered by that.
    pub(crate) fn owes_backtraces(&mut self) -> bool {
        let owes = self.owed > 0;
        self.owed = self.owed.saturating_sub(1);
        owes
    }

    /// Whether it has reported ready.
    pub(crate) fn is_ready(&self) -> bool {
        self.stage == WorkerStage::Ready
    }

    /// When it was heard to be ready (CLOCK_MONOTONIC, ns), if it was, and if this is known.
    pub(crate) fn ready_ns(&self) -> Option<u64> {
        self.ready_ns
    }

    /// Whether the master has killed it.
    pub(crate) fn is_killed(&self) -> bool {
        matches!(self.process, Process::Killed(_))
    }

    /// Kills it.
    pub(crate) fn kill(&mut self, log: &Log) {
        self.signal(Signal::Kill, log);
        self.process = match std::mem::replace(&mut self.process, Process::Unborn { waiting: None }) {
            Process::Born(child) => Process::Killed(child),
            other => other,
        };
    }

    /// Sends it a signal, or has the signal wait for it.
    pub(crate) fn signal(&mut self, signal: Signal, log: &Log) {
        match &mut self.process {
            // The last signal counts: they only get harder.
            Process::Unborn { waiting } => *waiting = Some(signal),
            Process::Born(child) | Process::Killed(child) => {
                if let Err(error) = child.kill(signal) {
                    log.error(format_args!("cannot signal PID:{}: {}", child.pid(), error.chain()));
                }
            }
            Process::Gone(_) => {}
        }
    }

    /// What the next program of an upgrade in place is told; `decided` is known of it.
    ///
    /// # Errors
    /// No descriptors left.
    pub(crate) fn save(
        &self,
        id: WorkerId,
        decided: &supervisor::Worker,
        number: &mut Number<'_>,
    ) -> sys::Result<state::Worker> {
        Ok(state::Worker {
            id: id.0,
            pid: self.pid(),
            control: self.link.readable().map(&mut *number).transpose()?,
            slot: decided.slot.0,
            generation: decided.generation.0,
            seat: self.seat.number(),
            page: self.seat.page().map(&mut *number).transpose()?,
            ready: self.is_ready(),
            ready_ns: self.ready_ns,
            waiting: match self.process {
                Process::Unborn { waiting } => waiting.map(|signal| signal.name().to_string()),
                Process::Born(_) | Process::Killed(_) | Process::Gone(_) => None,
            },
        })
    }

    /// Takes one that the program before this one had, with its seat.
    ///
    /// # Errors
    /// Something of it is missing.
    pub(crate) fn load(worker: &state::Worker, seat: Seat, is_killed: bool) -> Result<Self, Error> {
        let process = match worker.pid {
            Some(pid) => {
                let child = Child::of(pid).ok_or(Error::NoChild(pid))?;
                if is_killed { Process::Killed(child) } else { Process::Born(child) }
            }
            None => Process::Unborn { waiting: worker.waiting.as_deref().and_then(Signal::from_name) },
        };
        let stage = if worker.ready { WorkerStage::Ready } else { WorkerStage::Booting };
        let booting = Self::booting(process, Link::load(worker.control)?, seat);
        Ok(Self { stage, ready_ns: worker.ready_ns, ..booting })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::children::link::accepted;

    #[test]
    fn a_worker_says_each_thing_in_its_time() {
        let worker =
            |process, stage| Worker { stage, ..Worker::booting(process, Link::closed(), Seat::with_page(0).unwrap()) };
        let everything = [
            FromWorker::Ready,
            FromWorker::Failed { text: String::new() },
            FromWorker::Forked,
            FromWorker::Leaving,
            FromWorker::Backtraces { question: 1, text: String::new() },
            FromWorker::NotPromoted { generation: 1, for_good: false, text: String::new() },
        ];
        let unborn = || Process::Unborn { waiting: None };
        let (booting, ready, failed) = (WorkerStage::Booting, WorkerStage::Ready, WorkerStage::Failed);
        let first = accepted(&everything, |said| worker(unborn(), booting).accept(said));
        assert_eq!(first, [16], "that it is there, before all else");
        let heard = |stage| accepted(&everything, |said| worker(Process::Gone(7), stage).accept(said));
        assert_eq!(heard(booting), [14, 15, 18], "that it is ready, or why not, and where it is");
        assert_eq!(heard(ready), [17, 18, 22], "that it leaves, where it is, and that it forks no mold");
        assert_eq!(heard(failed), [18], "where it is, and nothing more");
        let mut once = worker(Process::Gone(7), booting);
        assert!(once.accept(&FromWorker::Ready));
        assert_eq!((once.stage, once.accept(&FromWorker::Ready)), (ready, false));
        assert!(once.ready_ns().is_some());
    }
}
