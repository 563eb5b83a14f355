//! Reforks in the model, and what is right about them, judged from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use supervisor::{Action, CauseId, Event, Fact, FailureReason, Generation, ServiceName, WorkerId};

use crate::dice::Dice;
use crate::laws::Laws;
use crate::process::{Mold, MoldLife, Worker, WorkerLife};
use crate::schedule::{CALM, Code, Health};
use crate::services::planned;
use crate::world::{Next, World};

/// How often the master looks.
const LOOK: Duration = Duration::from_millis(1_000);

/// What was seen of reforks.
#[derive(Debug, Default)]
pub(crate) struct Reforks {
    /// How many requests of each worker are known.
    told: BTreeMap<WorkerId, u64>,
    /// The worker that was asked last.
    asked: Option<(WorkerId, Generation)>,
    /// Since one has failed: how many requests the worker had served that had served most, and of which mold it was.
    failed: BTreeMap<Generation, u64>,
    /// It pays, as is being told.
    pays: bool,
    /// Workers that are never to be asked again.
    unfit: BTreeSet<WorkerId>,
    /// How many there were of the code of each line.
    done: BTreeMap<Generation, u32>,
}

impl Reforks {
    /// Judges what is asked for, before it is done.
    pub(crate) fn judge(
        &mut self,
        action: &Action,
        laws: &mut Laws,
        molds: &BTreeMap<Generation, Mold>,
        workers: &BTreeMap<WorkerId, Worker>,
    ) {
        match *action {
            Action::Promote { worker: id, generation } => {
                let worker = &workers[&id];
                assert!(worker.serves() && !worker.closed, "refork: only a worker that serves is promoted");
                assert!(!self.unfit.contains(&id), "refork: one that is not to be forked is asked again");
                let (of, told) = (worker.generation, self.told.get(&id).copied().unwrap_or(0));
                assert_eq!(laws.lines.last().and_then(|line| line.last()), Some(&of), "refork: of the mold in force");
                let others = workers.iter().filter(|(other, worker)| {
                    worker.generation == of && worker.serves() && !worker.closed && !self.unfit.contains(other)
                });
                let most = others.filter_map(|(other, _)| self.told.get(other)).max().copied().unwrap_or(0);
                assert_eq!(told, most, "refork: of the worker that has served most");
                let done = self.done.get(&of).copied().unwrap_or(0);
                let counted = molds[&of].code.plan.refork_after.limit(done);
                let pays = self.pays.then_some(1);
                let limit = pays.or(counted).expect("refork: the settings ask for it, or it pays");
                let spent = self.failed.get(&of).copied().unwrap_or(0);
                assert!(told >= spent + limit, "refork: {told} requests, after {spent} of which one has failed");
                self.asked = Some((id, generation));
                laws.reforked.insert(generation, of);
                laws.plans.insert(generation, laws.plans[&of]);
                self.done.insert(generation, done + 1);
            }
            Action::Log(Fact::ReforkElsewhere { .. }) => self.unfit.extend(self.asked.map(|(worker, _)| worker)),
            Action::Log(Fact::ReforkFailed { generation, .. }) => {
                let of = laws.reforked[&generation];
                let all = workers.iter().filter(|(id, worker)| worker.generation == of && !self.unfit.contains(id));
                let most = all.filter_map(|(id, _)| self.told.get(id)).max().copied().unwrap_or(0);
                let failed = self.failed.entry(of).or_default();
                *failed = most.max(*failed);
            }
            Action::Log(Fact::GoesBack { generation }) => {
                let in_force = laws.lines.last().expect("there is a line")[0];
                assert_ne!(laws.code_of(generation), laws.code_of(in_force), "refork: back to the code before");
            }
            Action::Log(Fact::ReloadFailed { why, .. } | Fact::RollBack { why, .. }) => {
                assert_ne!(why.reason, FailureReason::NotPromoted, "refork: it is no reload");
            }
            _ => {}
        }
    }
}

impl Laws {
    /// The generation of the reload that brought the code of this one.
    pub(crate) fn code_of(&self, generation: Generation) -> Generation {
        let lines = self.lines.iter().chain(&self.past);
        let first = lines.rev().find(|line| line.contains(&generation)).map_or(generation, |line| line[0]);
        self.reforked.get(&first).map_or(first, |of| self.code_of(*of))
    }
}

impl World {
    /// The master looks at the seats, while it waits for a refork.
    pub(crate) fn look(&mut self) {
        let late = self.dice.ms(0, 200);
        self.after(LOOK + late, Next::Look);
        let pays = self.supervisor.warm().is_some() && self.dice.percent(2);
        if !self.supervisor.awaits_refork() && !pays {
            return;
        }
        let known = |worker: &Worker| worker.told_ready && worker.is_born();
        let seats = self.workers.iter().filter(|(_, worker)| known(worker));
        let mut told: Vec<_> = seats.map(|(id, worker)| (*id, u64::from(worker.requests))).collect();
        told.sort_by_key(|(_, requests)| std::cmp::Reverse(*requests));
        for (worker, requests) in told {
            self.tell(Event::WorkerServed { worker, requests });
        }
        if pays {
            self.tell(Event::ReforkPays);
        }
    }

    /// A worker is asked to fork a mold.
    pub(crate) fn promote(&mut self, id: WorkerId, generation: Generation) {
        let (code, calm) = (self.molds[&self.workers[&id].generation].code, self.now >= CALM);
        let mut mold = Mold::unborn(code, calm, Dice::new(self.seed, 1 << 42 | u64::from(generation.0)), self.now);
        let latency = mold.dice.ms(0, 5);
        self.molds.insert(generation, mold);
        self.after(latency, Next::Promoted(id, generation));
    }

    /// It gets to it between two requests. When it is gone, that is noticed.
    pub(crate) fn promoted(&mut self, id: WorkerId, generation: Generation) {
        let calm = self.now >= CALM;
        let mold = self.molds.get_mut(&generation).unwrap();
        if mold.life != MoldLife::Unborn {
            return;
        }
        let gone = self.workers.get(&id).is_none_or(|worker| !worker.is_born() || worker.closed);
        let busy =
            self.workers.get(&id).is_some_and(|worker| worker.life != WorkerLife::Serving || worker.request.is_some());
        if gone {
            return self.mold_dies(generation, None);
        }
        if busy {
            return self.after(Duration::from_millis(20), Next::Promoted(id, generation));
        }
        let (chance, delay) = (mold.dice.below(100), mold.dice.ms(1, 30));
        match chance {
            // It may say so even when all is well.
            0..4 => self.refuse(id, generation, true),
            4..10 if !calm => self.refuse(id, generation, false),
            10..14 if !calm => self.mold_dies(generation, None),
            // The worker hangs.
            14..16 if !calm => {}
            _ => self.after(delay, Next::MoldBorn(generation)),
        }
    }

    fn refuse(&mut self, worker: WorkerId, generation: Generation, for_good: bool) {
        let last_word = self.workers.get_mut(&worker).map(|worker| &mut worker.last_word).unwrap();
        *last_word = self.now.max(*last_word);
        let arrives = *last_word;
        self.at(arrives, Next::Tell(Event::NotPromoted { worker, generation, for_good, cause: CauseId::NONE }));
    }

    /// The mold is there.
    pub(crate) fn mold_born(&mut self, generation: Generation) {
        let mold = self.molds.get_mut(&generation).unwrap();
        if mold.life != MoldLife::Unborn {
            return;
        }
        mold.life = MoldLife::Waiting;
        let Code { services, .. } = mold.code;
        // It evaluates nothing.
        if mold.fate == Health::ConfigRaises {
            mold.fate = Health::Sound;
        }
        for (name, terms) in (0..).map(ServiceName).zip(planned(services)) {
            if let Some(terms) = terms {
                self.tell(Event::ServicePlanned { generation, name, terms });
            }
        }
        self.proceed(generation);
    }

    /// Notes what the supervisor is about to be told of reforks.
    pub(crate) fn note_refork(&mut self, event: &Event) {
        self.reforks.pays = matches!(event, Event::ReforkPays);
        match *event {
            Event::WorkerServed { worker, requests } => {
                self.reforks.told.insert(worker, requests);
            }
            Event::NotPromoted { generation, .. } => {
                self.molds.get_mut(&generation).unwrap().life = MoldLife::Gone;
            }
            _ => {}
        }
    }
}
