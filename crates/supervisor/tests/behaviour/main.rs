//! Each behaviour of the supervisor as one sentence, with the deeds that it asks for in their order.
//!
//! The simulator shows that nothing bad happens; these show that the right thing does, promptly.

mod admin;
mod boot;
mod canary;
mod deaths;
mod in_place;
mod previous;
mod recycle;
mod refork;
mod reload;
mod scale;
mod services;
mod size;
mod stop;
mod unfit;
mod unit;
mod upgrade;

use std::time::Duration;

use supervisor::{
    Action, Canary, CauseId, Config, Event, Fact, FailureReason, Generation, Instant, KillReason, Plan, ReforkAfter,
    Signal, SlotId, Supervisor, Ticket, Warm, Way, WorkerId,
};

/// A supervisor with a clock that stands still unless it is moved.
struct Rig {
    supervisor: Supervisor,
    now: Instant,
    plan: Plan,
    facts: Vec<Fact>,
    progress: Vec<(u32, u32)>,
}

impl Rig {
    fn new(config: Config, plan: Plan) -> Self {
        let supervisor = Supervisor::new(config);
        Self { supervisor, now: Instant(1_000_000_000), plan, facts: Vec::new(), progress: Vec::new() }
    }

    /// A server that has booted: workers 1 to n of generation 1 serve slots 0 to n - 1, for an hour.
    fn serving(workers: u32) -> Self {
        Self::serving_with(Config::default(), Plan { worker_processes: workers, ..PLAN })
    }

    fn serving_with(config: Config, plan: Plan) -> Self {
        let mut rig = Self::new(config, plan);
        rig.tell(Event::Start);
        rig.mold_gets_ready(1);
        for id in 1..=plan.worker_processes {
            rig.tell(ready(id));
        }
        rig.pass(Duration::from_secs(3600));
        rig.facts.clear();
        rig
    }

    /// Tells one event. Returns what is to be done, facts and progress apart.
    fn tell(&mut self, event: Event) -> Vec<Action> {
        self.supervisor.handle(self.now, event);
        let mut deeds = Vec::new();
        while let Some(action) = self.supervisor.poll_action() {
            match action {
                Action::Log(fact) => self.facts.push(fact),
                Action::Progress { done, total } => self.progress.push((done, total)),
                other => deeds.push(other),
            }
        }
        deeds
    }

    fn signal(&mut self, signal: Signal) -> Vec<Action> {
        self.tell(Event::Signal(signal))
    }

    /// Lets time pass in which nothing happens.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        assert_eq!(self.tell(Event::Tick), [], "nothing was to happen meanwhile");
    }

    /// Goes to the next deadline. Returns how long that takes, and what is to be done then.
    fn deadline(&mut self) -> (Duration, Vec<Action>) {
        let deadline = self.supervisor.next_deadline().expect("there is a deadline");
        let takes = deadline - self.now;
        self.now = deadline;
        (takes, self.tell(Event::Tick))
    }

    /// A mold boots without trouble. Returns what its readiness leads to.
    fn mold_gets_ready(&mut self, generation: u32) -> Vec<Action> {
        let generation = Generation(generation);
        assert_eq!(self.tell(Event::MoldConfigured { generation, plan: self.plan }), [Action::Proceed { generation }]);
        self.tell(Event::MoldReady { generation })
    }

    /// The workers that live: worker, slot, generation, whether it serves.
    fn workers(&self) -> Vec<(u32, u32, u32, bool)> {
        self.supervisor.workers().map(|(id, w)| (id.0, w.slot.0, w.generation.0, w.serves())).collect()
    }
}

const PLAN: Plan = Plan {
    worker_processes: 2,
    timeout: Duration::from_secs(60),
    boot_timeout: Duration::from_secs(30),
    surge: 1,
    term_quick: false,
    shutdown_delay: Duration::ZERO,
    linger: Duration::ZERO,
    upgrade: Way::TwoMasters,
    canary: None,
    keep_previous: Duration::ZERO,
    most_workers: None,
    refork_after: ReforkAfter::NEVER,
};

const HUP: Event = Event::Signal(Signal::Hup);

fn ready(worker: u32) -> Event {
    Event::WorkerReady { worker: WorkerId(worker) }
}

fn died(worker: u32) -> Event {
    Event::WorkerExited { worker: WorkerId(worker), in_request: false, cause: CauseId::NONE }
}

fn died_in_request(worker: u32) -> Event {
    Event::WorkerExited { worker: WorkerId(worker), in_request: true, cause: CauseId::NONE }
}

/// It went as it was asked to, or by itself: nothing tells this from a death while idle.
fn left(worker: u32) -> Event {
    died(worker)
}

fn mold_died(generation: u32) -> Event {
    Event::MoldExited { generation: Generation(generation), status: None, cause: CauseId::NONE }
}

fn fork(worker: u32, slot: u32, generation: u32) -> Action {
    Action::Fork { worker: WorkerId(worker), slot: SlotId(slot), generation: Generation(generation) }
}

fn retire(worker: u32) -> Action {
    Action::Retire { worker: WorkerId(worker), drain: false, hand_over: true, linger: seconds(10) }
}

/// No worker is left to take its connections.
fn retire_alone(worker: u32) -> Action {
    Action::Retire { worker: WorkerId(worker), drain: false, hand_over: false, linger: PLAN.linger }
}

fn drain(worker: u32) -> Action {
    Action::Retire { worker: WorkerId(worker), drain: true, hand_over: false, linger: Duration::ZERO }
}

fn abandon(worker: u32) -> Action {
    Action::Abandon { worker: WorkerId(worker) }
}

fn kill(worker: u32, why: KillReason) -> Action {
    Action::Kill { worker: WorkerId(worker), why }
}

fn start_mold(generation: u32) -> Action {
    Action::StartMold { generation: Generation(generation) }
}

fn retire_mold(generation: u32) -> Action {
    Action::RetireMold { generation: Generation(generation) }
}

fn kill_mold(generation: u32) -> Action {
    Action::KillMold { generation: Generation(generation) }
}

fn commit(generation: u32) -> Action {
    Action::Commit { generation: Generation(generation) }
}

fn settle(generation: u32) -> Action {
    Action::Settle { generation: Generation(generation) }
}

fn rollback(generation: u32) -> Action {
    Action::Rollback { generation: Generation(generation) }
}

fn count(count: u32) -> Action {
    Action::WorkerProcesses { count }
}

fn outcome(ticket: u64, result: Result<(), FailureReason>) -> Action {
    Action::Outcome { ticket: Ticket(ticket), result: result.map_err(Into::into) }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
