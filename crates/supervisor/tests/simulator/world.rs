//! The model of the world: a clock, processes, an operator. It does what the supervisor says, after a while, or not quite.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use supervisor::{
    Action, CauseId, Config, Event, Fact, Generation, Instant, KillReason, Phase, ServiceId, ServiceName, Signal,
    Snapshot, SuccessorPhase, Supervisor, Ticket, WorkerId,
};

use crate::admin::Admin;
use crate::beside::Beside;
use crate::causes::Causes;
use crate::dice::Dice;
use crate::laws::Laws;
use crate::process::{Asked, Mold, MoldLife, Worker, WorkerLife};
use crate::recycling;
use crate::reforks::Reforks;
use crate::schedule::{CALM, Code, Health, Incident, Schedule};
use crate::services::{Services, planned};

/// What happens next, besides deadlines.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Next {
    Tell(Event),
    Befall(Incident),
    MoldConfigured(Generation),
    MoldLoaded(Generation),
    MoldSays(Generation),
    MoldDies(Generation),
    MoldReaped(Generation, Option<u8>),
    WorkerBorn(WorkerId),
    WorkerBooted(WorkerId),
    WorkerDies(WorkerId, bool),
    Request(WorkerId),
    RequestEnds(WorkerId, u32),
    /// The master looks how much workers have served.
    Look,
    /// A worker comes to what it was asked for: to fork this mold.
    Promoted(WorkerId, Generation),
    MoldBorn(Generation),
    Overdue(WorkerId, u32),
    SuccessorStarts(u32),
    SuccessorServes(u32),
    SuccessorDies(u32),
    AdminDies {
        number: u32,
        no_address: bool,
    },
    ServiceBorn(ServiceId),
    ServiceDies(ServiceId),
    PreflightEnds(u32, bool),
    Resume {
        replaced: bool,
    },
    Wake,
    Calm,
}

/// The model.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) supervisor: Supervisor,
    pub(crate) molds: BTreeMap<Generation, Mold>,
    pub(crate) workers: BTreeMap<WorkerId, Worker>,
    pub(crate) laws: Laws,
    causes: Causes,
    pub(crate) beside: Beside,
    pub(crate) admin: Admin,
    pub(crate) services: Services,
    pub(crate) reforks: Reforks,
    /// What is on disk.
    pub(crate) code: Code,
    pub(crate) preflights: u32,
    pub(crate) config: Config,
    /// What one program hands over while another takes its place.
    pub(crate) between: Option<Snapshot>,
    /// What has happened while the master does not look.
    pub(crate) missed: Option<Vec<Event>>,
    /// What it has still to hear of the round.
    pub(crate) rest: VecDeque<Event>,
    tickets: u64,
    queue: BTreeMap<(Instant, u64), Next>,
    queued: u64,
    finale: bool,
    pub(crate) dice: Dice,
    pub(crate) seed: u64,
    trace: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(schedule: &Schedule, trace: bool) -> Self {
        let mut world = Self {
            now: Instant(0),
            supervisor: Supervisor::new(schedule.config),
            molds: BTreeMap::new(),
            workers: BTreeMap::new(),
            causes: Causes::default(),
            laws: Laws::new(schedule.config),
            beside: Beside::new(schedule.setting),
            admin: Admin::default(),
            services: Services::default(),
            reforks: Reforks::default(),
            code: schedule.first,
            preflights: 0,
            config: schedule.config,
            between: None,
            missed: None,
            rest: VecDeque::new(),
            tickets: 0,
            queue: BTreeMap::new(),
            queued: 0,
            finale: false,
            dice: Dice::new(schedule.seed, 2),
            seed: schedule.seed,
            trace: trace.then(Vec::new),
        };
        world.at(Instant(0), Next::Tell(world.beside.unit()));
        world.at(Instant(0), Next::Tell(Event::Start));
        world.at(CALM, Next::Calm);
        world.at(Instant(0), Next::Look);
        for (at, incident) in &schedule.incidents {
            world.at(*at, Next::Befall(*incident));
        }
        world
    }

    /// Runs until the server has exited. Panics when a law is broken.
    pub(crate) fn run(&mut self) {
        while !self.beside.has_left() {
            let next = self.queue.first_key_value().map(|(key, _)| key.0);
            // The shell is a little late, as shells are.
            let tick =
                self.supervisor.next_deadline().map(|deadline| deadline + Duration::from_micros(deadline.0 % 900));
            let tick = tick.filter(|_| self.missed.is_none());
            match (next, tick) {
                (Some(next), tick) if tick.is_none_or(|tick| next <= tick) => {
                    self.now = self.now.max(next);
                    let (_, next) = self.queue.pop_first().unwrap();
                    self.step(next);
                }
                (_, Some(tick)) => {
                    self.now = self.now.max(tick);
                    self.tick();
                }
                (Some(_), None) | (None, None) => panic!("liveness: nothing will ever happen"),
            }
            if self.now >= CALM && !self.finale && !self.laws.stop_wanted() && !self.laws.exited() {
                self.watch_calm();
            }
            let overdue = self.laws.exit_deadline.is_some_and(|deadline| self.now > deadline);
            let is_over = self.supervisor.phase() == Phase::Over;
            assert!(!overdue || is_over, "liveness: the stop does not end");
            assert!(!is_over || self.beside.has_left() || self.beside.awaits_end(), "liveness: nothing is awaited");
        }
        self.laws.check_end(&self.molds, &self.workers);
        assert!(self.services.is_empty(), "services are left");
    }

    /// What happened, for reading.
    pub(crate) fn trace(&mut self) -> Vec<String> {
        self.trace.take().unwrap_or_default()
    }

    pub(crate) fn note(&mut self, text: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            let (seconds, micros) = (now.0 / 1_000_000_000, now.0 / 1000 % 1_000_000);
            trace.push(format!("{seconds:4}.{micros:06} {}", text()));
        }
    }

    pub(crate) fn at(&mut self, at: Instant, next: Next) {
        self.queued += 1;
        self.queue.insert((at, self.queued), next);
    }

    pub(crate) fn after(&mut self, delay: Duration, next: Next) {
        self.at(self.now + delay, next);
    }

    /// Something has happened. Without anything else the round is over then.
    pub(crate) fn tell(&mut self, event: Event) {
        if let Some(missed) = &mut self.missed {
            return missed.push(event);
        }
        self.hear(event);
        if self.rest.is_empty() {
            self.tick();
        }
    }

    /// The end of a round.
    pub(crate) fn tick(&mut self) {
        let due = self.supervisor.next_deadline().is_some_and(|deadline| deadline <= self.now);
        if due && self.missed.is_none() {
            self.hear(Event::Tick);
            let next = self.supervisor.next_deadline();
            assert!(next.is_none_or(|deadline| deadline > self.now), "a deadline in the past");
        }
    }

    fn hear(&mut self, mut event: Event) {
        if self.is_unheard(&event) {
            return;
        }
        let mut executes = false;
        self.causes.label(&mut event, &self.supervisor);
        self.note(|| format!("  → {event:?}"));
        self.laws.before(self.now, &event, &self.supervisor, &mut self.workers, &mut self.molds);
        recycling::before(&event, &mut self.workers);
        self.beside.before(&event, &self.molds);
        if event == Event::OriginGone && self.beside.is_orphaned() {
            self.laws.want_stop(self.now, false);
        }
        self.admin.before(self.now, &event);
        self.services.before(self.now, &event);
        self.note_refork(&event);
        self.supervisor.handle(self.now, event);
        self.beside.note(&self.supervisor);
        while let Some(action) = self.supervisor.poll_action() {
            self.note(|| format!("       {action:?}"));
            self.causes.judge(&action);
            recycling::judge(&action, &self.supervisor, &self.workers);
            self.judge_round(&action);
            self.laws.action(self.now, &action, &self.supervisor, &self.molds, &self.workers);
            let (molds, shared) = (&self.molds, self.beside.has_origin());
            self.services.judge(self.now, &action, &self.laws, molds, &self.supervisor, shared);
            self.reforks.judge(&action, &mut self.laws, molds, &self.workers);
            executes |= action == Action::Execute;
            self.perform(action);
        }
        self.beside.judge_event(self.supervisor.phase());
        if !self.laws.exited() {
            self.admin.judge(self.speaks_for_itself());
            self.judge_settings();
        }
        if executes {
            self.execute();
        }
        self.laws.after(self.now, &self.supervisor, &self.molds, &self.workers);
    }

    /// What was said in time counts, however late it is heard.
    fn judge_round(&self, action: &Action) {
        let said = |event: Event| self.rest.contains(&event);
        match *action {
            Action::Kill { worker, why: KillReason::BootTimeout } => {
                assert!(!said(Event::WorkerReady { worker }), "it was ready, and is killed for not being");
            }
            Action::AbandonPreflight => {
                let passed = self.rest.contains(&Event::PreflightPassed);
                assert!(!passed || self.laws.stop_wanted(), "it had passed, and is given up");
            }
            _ => {}
        }
    }

    /// Nothing goes wrong any more: everything must come right, and then the server is stopped.
    fn watch_calm(&mut self) {
        let upgrading = matches!(self.supervisor.successor(), SuccessorPhase::Booting | SuccessorPhase::InPlace);
        let (shared, winched) = (self.beside.has_origin(), self.supervisor.is_winched());
        let right = self.services.have_come_right(&self.laws, &self.molds, shared, winched);
        if upgrading || !right || !self.laws.has_come_right(&self.supervisor, &self.molds, &self.workers) {
            let patient = self.now < CALM + Duration::from_secs(1800);
            assert!(patient, "liveness: never came right: {:?}", self.supervisor);
            return;
        }
        self.finale = true;
        self.beside.judge_calm();
        // A new master may die while this one leaves, and the operator may change his mind.
        let more = [true, self.dice.percent(30)].into_iter().filter(|befalls| *befalls).count();
        for _ in 0..more {
            let incident = match self.dice.below(4) {
                0 => Incident::Stop { graceful: true },
                1 => Incident::Signal(Signal::Quit),
                2 => Incident::Signal(Signal::Term),
                _ => Incident::Signal(Signal::Int),
            };
            let delay = self.dice.ms(0, 1000);
            self.after(delay, Next::Befall(incident));
        }
        if self.dice.percent(30) {
            let delay = self.dice.ms(0, 1500);
            self.after(delay, Next::Befall(Incident::KillSuccessor));
        }
    }
}

/// What happens.
impl World {
    pub(crate) fn step(&mut self, next: Next) {
        match next {
            Next::Tell(event) => self.tell(event),
            Next::Befall(incident) => self.befall(incident),
            Next::MoldConfigured(generation) => self.mold_configured(generation),
            Next::MoldLoaded(generation) => self.mold_loaded(generation),
            Next::MoldSays(generation) => self.mold_says(generation),
            Next::MoldDies(generation) => self.mold_dies(generation, self.molds[&generation].status),
            Next::MoldReaped(generation, status) => self.mold_reaped(generation, status),
            Next::WorkerBorn(id) => self.worker_born(id),
            Next::WorkerBooted(id) => self.worker_booted(id),
            Next::WorkerDies(id, clean) => self.worker_dies(id, clean),
            Next::Request(id) => self.request(id),
            Next::RequestEnds(id, number) => self.request_ends(id, number),
            Next::Look => self.look(),
            Next::Promoted(id, generation) => self.promoted(id, generation),
            Next::MoldBorn(generation) => self.mold_born(generation),
            // The seats are looked at again by the next program.
            Next::Overdue(id, number) if self.missed.is_some() => {
                self.after(Duration::from_millis(1), Next::Overdue(id, number));
            }
            Next::Overdue(id, number) => {
                if self.workers.get(&id).and_then(|worker| worker.request).is_some_and(|r| r.number == number) {
                    self.tell(Event::RequestOverdue { worker: id });
                }
            }
            Next::PreflightEnds(number, passed) => {
                if number == self.preflights {
                    self.tell(if passed {
                        Event::PreflightPassed
                    } else {
                        Event::PreflightFailed { cause: CauseId::NONE }
                    });
                }
            }
            Next::Wake => self.wake(),
            Next::Resume { replaced } => self.resume(replaced),
            Next::SuccessorStarts(number) => self.successor_starts(number),
            Next::SuccessorServes(number) => self.successor_serves(number),
            Next::ServiceBorn(service) => self.service_born(service),
            Next::ServiceDies(service) => self.service_dies(service),
            Next::AdminDies { number, no_address } => self.admin_dies(number, no_address),
            Next::SuccessorDies(number) => self.successor_dies(number),
            Next::Calm => self.note(|| "from now on all is well".to_string()),
        }
    }

    pub(crate) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.laws.ticket(ticket);
        ticket
    }
}

/// What is asked for.
impl World {
    fn perform(&mut self, action: Action) {
        match action {
            Action::StartMold { generation } => {
                self.beside.forget_failure();
                self.start_mold(generation);
            }
            Action::Promote { worker, generation } => self.promote(worker, generation),
            Action::Proceed { generation } => self.proceed(generation),
            Action::RetireMold { generation } => {
                let mold = self.molds.get_mut(&generation).unwrap();
                if mold.life != MoldLife::Loading && mold.alive() && !mold.deaf && !mold.closed {
                    let delay = mold.dice.ms(0, 50);
                    self.after(delay, Next::MoldDies(generation));
                }
            }
            Action::KillMold { generation } => self.mold_dies(generation, None),
            Action::Fork { worker, slot, generation } => {
                let mold = &self.molds[&generation];
                let dice = Dice::new(self.seed, 1 << 40 | u64::from(worker.0));
                let mut born = Worker::new(slot, generation, mold.code, self.now >= CALM, dice, self.now);
                let (alive, delay) = (mold.alive() && !mold.closed, born.dice.ms(0, 5));
                self.workers.insert(worker, born);
                self.after(
                    delay,
                    if alive {
                        Next::WorkerBorn(worker)
                    } else {
                        Next::Tell(Event::ForkFailed { worker, cause: CauseId::NONE })
                    },
                );
            }
            Action::Retire { worker, drain, hand_over, .. } => {
                let again = self.workers[&worker].asked == Asked::Retire;
                let process = self.ask(worker, Asked::Retire);
                process.gives_away = hand_over;
                if again || process.closed {
                    return;
                }
                process.backlog = if drain { u32::try_from(process.dice.below(4)).unwrap() } else { 0 };
                self.leave_when_free(worker);
            }
            Action::Abandon { worker } => {
                self.ask(worker, Asked::Abandon).gives_away = false;
                self.leave_when_free(worker);
            }
            Action::Quick { worker } => {
                let process = self.ask(worker, Asked::Quick);
                if !process.deaf && process.is_born() {
                    let delay = process.dice.ms(0, 10);
                    self.after(delay, Next::WorkerDies(worker, true));
                }
            }
            Action::Kill { worker, .. } => {
                if self.ask(worker, Asked::Kill).life == WorkerLife::Unborn {
                    self.after(Duration::ZERO, Next::Tell(Event::ForkFailed { worker, cause: CauseId::NONE }));
                }
                self.worker_dies(worker, false);
            }
            Action::Preflight => self.preflight(),
            Action::AbandonPreflight => self.preflights += 1,
            Action::StartSuccessor => self.start_successor(),
            Action::Commit { generation } => {
                self.beside.committed();
                self.admin_committed(generation);
            }
            Action::Rollback { generation } => self.admin_rolled_back(generation),
            Action::Settle { .. } => self.admin_settled(),
            Action::StartAdmin { place } => self.start_admin(place),
            Action::StopAdmin => self.stop_admin(),
            Action::StartService { service, name, generation } => self.start_service(service, name, generation),
            Action::StopService { service } => self.stop_service(service),
            Action::KillService { service } => self.kill_service(service),
            Action::Serving => self.beside.serving(),
            Action::BootFailed(_) => self.beside.boot_failed(),
            Action::ForgetSuccessor => self.forget_successor(),
            Action::StopSuccessor { .. } => self.stop_successor(),
            Action::Log(Fact::OutOfTurn) => self.beside.judge_refusal(),
            Action::HandOver => self.beside.hand_over(),
            Action::Exit { code } => self.beside.leave(code),
            Action::ReopenLogs
            | Action::WorkerProcesses { .. }
            | Action::SuccessorLeft
            | Action::Execute
            | Action::Progress { .. }
            | Action::Outcome { .. }
            | Action::Log(_)
            | Action::StopListening => {}
        }
    }

    fn ask(&mut self, id: WorkerId, asked: Asked) -> &mut Worker {
        let worker = self.workers.get_mut(&id).unwrap();
        worker.asked = worker.asked.max(asked);
        worker
    }
}

/// Molds.
impl World {
    fn start_mold(&mut self, generation: Generation) {
        let dice = Dice::new(self.seed, 1 << 41 | u64::from(generation.0));
        let mut mold = Mold::new(self.code, self.now >= CALM, dice, self.now);
        let (delay, early) = (mold.dice.ms(20, 800), mold.dice.percent(50));
        let fate = mold.fate;
        self.molds.insert(generation, mold);
        match fate {
            Health::ConfigRaises => self.mold_fails(generation, delay),
            Health::MoldDies if early => self.after(delay, Next::MoldDies(generation)),
            Health::MoldHangs if early => {}
            // The master could not bind what it wants: the mold waits.
            Health::PreloadRaises if early => {
                self.after(delay, Next::Tell(Event::MoldFailed { generation, said: true, cause: CauseId::NONE }))
            }
            _ => self.after(delay, Next::MoldConfigured(generation)),
        }
    }

    /// The mold reports a failure and exits, a little later.
    fn mold_fails(&mut self, generation: Generation, delay: Duration) {
        let mold = self.molds.get_mut(&generation).unwrap();
        mold.last_word = self.now + delay;
        self.after(delay, Next::MoldSays(generation));
        self.after(delay, Next::MoldDies(generation));
    }

    fn mold_configured(&mut self, generation: Generation) {
        let mold = self.molds.get_mut(&generation).unwrap();
        if mold.life == MoldLife::Configuring {
            mold.life = MoldLife::Waiting;
            let Code { plan, services, .. } = mold.code;
            for (name, terms) in (0..).map(ServiceName).zip(planned(services)) {
                if let Some(terms) = terms {
                    self.tell(Event::ServicePlanned { generation, name, terms });
                }
            }
            self.tell(Event::MoldConfigured { generation, plan });
        }
    }

    pub(crate) fn proceed(&mut self, generation: Generation) {
        let mold = self.molds.get_mut(&generation).unwrap();
        if mold.life != MoldLife::Waiting {
            return;
        }
        mold.life = MoldLife::Loading;
        let delay = mold.dice.ms(1, 1500);
        match mold.fate {
            Health::PreloadRaises => self.mold_fails(generation, delay),
            Health::MoldDies => self.after(delay, Next::MoldDies(generation)),
            Health::MoldHangs => {}
            _ => self.after(delay, Next::MoldLoaded(generation)),
        }
    }

    fn mold_loaded(&mut self, generation: Generation) {
        let mold = self.molds.get_mut(&generation).unwrap();
        if mold.life != MoldLife::Loading {
            return;
        }
        mold.life = MoldLife::Ready;
        let latency = mold.dice.ms(0, 2);
        mold.last_word = self.now + latency;
        let lives = (mold.fate == Health::MoldDiesLater).then(|| mold.dice.ms(0, 5000));
        self.after(latency, Next::Tell(Event::MoldReady { generation }));
        if let Some(lives) = lives {
            self.after(lives, Next::MoldDies(generation));
        }
    }

    pub(crate) fn mold_dies(&mut self, generation: Generation, status: Option<u8>) {
        let mold = self.molds.get_mut(&generation).unwrap();
        if mold.life == MoldLife::Unborn {
            mold.life = MoldLife::Dead;
            return self.after(Duration::ZERO, Next::MoldReaped(generation, None));
        }
        if !mold.alive() {
            return;
        }
        mold.life = MoldLife::Dead;
        let closed = mold.last_word.max(self.now + mold.dice.ms(0, 2));
        let reaped = closed + mold.dice.ms(0, 3);
        self.note(|| format!("mold {generation} dies"));
        self.at(closed, Next::Tell(Event::MoldUnreachable { generation }));
        self.at(reaped, Next::MoldReaped(generation, status));
        self.services_unborn(generation);
        let unborn: Vec<_> = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.generation == generation && worker.life == WorkerLife::Unborn)
            .map(|(id, _)| *id)
            .collect();
        for worker in unborn {
            self.after(Duration::from_millis(1), Next::Tell(Event::ForkFailed { worker, cause: CauseId::NONE }));
        }
    }
}
