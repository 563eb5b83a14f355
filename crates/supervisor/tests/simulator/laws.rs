//! The laws of the design, judged from outside: by what was told to the supervisor and what it asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use supervisor::{
    Action, Config, Event, Fact, Generation, Instant, KillReason, Phase, Plan, Signal, SlotId, SuccessorPhase,
    Supervisor, Ticket, Way, WorkerId,
};

use crate::process::{Asked, Mold, MoldLife, Worker};
use crate::recycling::serving;
use crate::services::LONGEST_STOP;

/// What has been seen so far, as far as the laws need it.
pub(crate) struct Laws {
    config: Config,
    tickets: BTreeMap<Ticket, u32>,
    reloads: BTreeMap<Ticket, bool>,
    /// How many slots were served when the latest reload began, less those whose worker died or was sent away since.
    floor: usize,
    ever_ready: bool,
    serving: bool,
    boot_failed: bool,
    stop: Option<Stop>,
    quit_deferred: bool,
    /// Whether the workers of the new master take what ours give away.
    successor_takes: bool,
    /// Whether an upgrade waits for the end of a reload.
    upgrade_waits: bool,
    exit: Option<u8>,
    /// When the server has to be gone.
    pub(crate) exit_deadline: Option<Instant>,
    /// The generations of each line that was committed and not rolled back, the line in force last.
    pub(crate) lines: Vec<Vec<Generation>>,
    /// Those of the lines before, whose molds may be kept.
    pub(crate) past: Vec<Vec<Generation>>,
    /// Of each line that began with a refork, the generation of the worker.
    pub(crate) reforked: BTreeMap<Generation, Generation>,
    /// When the workers on trial have all served for the first time.
    tried_since: Option<Instant>,
    /// It was told that they are worse.
    worse: bool,
    pub(crate) plans: BTreeMap<Generation, Plan>,
    destiny: BTreeMap<Generation, Destiny>,
    recovering: Option<Generation>,
    /// Wanted workers and surge, since when.
    wanted: Vec<(Instant, u32, u32)>,
    /// The number of workers that a roll which fails goes back to.
    way_back: u32,
    listening: bool,
}

#[derive(Clone, Copy, Debug)]
struct Stop {
    quick: bool,
    drains_since: Option<Instant>,
}

/// What became of the settings of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Destiny {
    Open,
    Committed,
    RolledBack,
}

impl Laws {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            tickets: BTreeMap::new(),
            reloads: BTreeMap::new(),
            floor: 0,
            ever_ready: false,
            serving: false,
            boot_failed: false,
            stop: None,
            quit_deferred: false,
            successor_takes: false,
            upgrade_waits: false,
            exit: None,
            exit_deadline: None,
            lines: Vec::new(),
            past: Vec::new(),
            reforked: BTreeMap::new(),
            tried_since: None,
            worse: false,
            plans: BTreeMap::new(),
            destiny: BTreeMap::new(),
            recovering: None,
            wanted: vec![(Instant(0), 0, 1)],
            way_back: 0,
            listening: true,
        }
    }

    pub(crate) fn exited(&self) -> bool {
        self.exit.is_some()
    }

    pub(crate) fn stop_wanted(&self) -> bool {
        self.stop.is_some() || self.boot_failed
    }

    pub(crate) fn ticket(&mut self, ticket: Ticket) {
        self.tickets.insert(ticket, 0);
    }

    /// Whether everything is to leave at once.
    pub(crate) fn is_quick(&self) -> bool {
        self.boot_failed || self.stop.is_some_and(|stop| stop.quick)
    }

    fn plan(&self) -> Option<Plan> {
        self.lines.last().and_then(|line| line.last()).map(|generation| self.plans[generation])
    }

    /// The master does not run for this time.
    pub(crate) fn stand_still(&mut self, time: Duration) {
        self.exit_deadline = self.exit_deadline.map(|deadline| deadline + time);
    }

    /// A stop is asked for.
    pub(crate) fn want_stop(&mut self, now: Instant, quick: bool) {
        if self.boot_failed {
            return;
        }
        let plan = self.plan().unwrap_or(Plan { timeout: Duration::ZERO, ..Plan::default() });
        let stop = self.stop.get_or_insert(Stop { quick, drains_since: None });
        let fresh = self.exit_deadline.is_none();
        if quick || fresh {
            stop.quick |= quick;
            let most = if quick {
                Duration::from_secs(2)
            } else {
                (plan.shutdown_delay + plan.timeout.max(Duration::from_secs(2))).max(LONGEST_STOP)
            };
            // Molds have a second; the shell and the kernel are a little late.
            let deadline = now + most + Duration::from_millis(1_100);
            self.exit_deadline = Some(self.exit_deadline.map_or(deadline, |earlier| earlier.min(deadline)));
        }
        self.floor = 0;
    }

    /// Takes note of what the supervisor is about to be told.
    pub(crate) fn before(
        &mut self,
        now: Instant,
        event: &Event,
        supervisor: &Supervisor,
        workers: &mut BTreeMap<WorkerId, Worker>,
        molds: &mut BTreeMap<Generation, Mold>,
    ) {
        match *event {
            Event::Signal(Signal::Quit) => {
                if supervisor.successor() == SuccessorPhase::Booting && !self.stop_wanted() {
                    self.quit_deferred = true;
                } else {
                    self.want_stop(now, false);
                }
            }
            Event::Signal(Signal::Term) => {
                let quick = self.plan().map_or(self.config.term_quick, |plan| plan.term_quick);
                self.want_stop(now, quick);
            }
            Event::Signal(Signal::Int) => self.want_stop(now, true),
            Event::Stop { graceful, .. } => self.want_stop(now, !graceful),
            Event::Signal(Signal::Ttin) => self.way_back += 1,
            Event::Signal(Signal::Ttou) => {
                // During a roll it closes the last slot of the new line, and if the roll fails the last of the old one.
                let closes = if supervisor.phase() == Phase::Rolling { 2 } else { 1 };
                self.floor = self.floor.saturating_sub(closes);
                self.way_back = self.way_back.saturating_sub(1);
            }
            Event::Size { count } => {
                let closes = supervisor.sizes().filter(|sizes| sizes.follows).map_or(0, |sizes| {
                    supervisor.worker_processes().saturating_sub(count.clamp(sizes.least, sizes.most))
                });
                self.floor = self.floor.saturating_sub(closes as usize);
            }
            Event::Signal(Signal::Winch { honoured: true }) => (self.floor, self.way_back) = (0, 0),
            Event::SuccessorReady { takes_over } => {
                self.successor_takes = takes_over;
                if self.quit_deferred {
                    self.want_stop(now, false);
                }
            }
            Event::SuccessorExited { .. } | Event::SuccessorFailed { .. } => {
                (self.quit_deferred, self.successor_takes) = (false, false)
            }
            Event::Upgrade { ticket, way } => {
                let way = way.or(self.plan().map(|plan| plan.upgrade));
                self.reloads.insert(ticket, way == Some(Way::InPlace));
            }
            Event::Reload { ticket } => {
                self.reloads.insert(ticket, self.config.has_config_file);
            }
            Event::Promote { ticket } => {
                self.reloads.insert(ticket, true);
            }
            Event::CanaryWorse { .. } => self.worse = supervisor.trial().is_some(),
            Event::MoldConfigured { generation, plan } => {
                self.plans.insert(generation, plan);
            }
            Event::MoldReady { generation } => molds.get_mut(&generation).unwrap().told_ready = true,
            Event::MoldExited { generation, .. } => molds.get_mut(&generation).unwrap().life = MoldLife::Gone,
            Event::WorkerReady { worker } => {
                self.ever_ready = true;
                if let Some(worker) = workers.get_mut(&worker) {
                    worker.told_ready = true;
                }
            }
            Event::WorkerLeaves { worker } => {
                let worker = workers.get_mut(&worker).expect("it says so before it goes");
                worker.told_leaves = true;
                if worker.serves() {
                    self.floor = self.floor.saturating_sub(1);
                }
            }
            Event::WorkerExited { worker, .. } | Event::ForkFailed { worker, .. } => {
                let worker = workers.remove(&worker).expect("each worker goes once");
                if worker.serves() {
                    self.floor = self.floor.saturating_sub(1);
                }
            }
            _ => {}
        }
    }

    /// Judges what the supervisor asks for, before it is done.
    pub(crate) fn action(
        &mut self,
        now: Instant,
        action: &Action,
        supervisor: &Supervisor,
        molds: &BTreeMap<Generation, Mold>,
        workers: &BTreeMap<WorkerId, Worker>,
    ) {
        let answer = matches!(action, Action::Outcome { .. });
        assert!(self.exit.is_none() || answer, "nothing is asked for after Exit");
        match *action {
            Action::StartMold { .. }
            | Action::Promote { .. }
            | Action::Proceed { .. }
            | Action::RetireMold { .. }
            | Action::KillMold { .. }
            | Action::Commit { .. }
            | Action::Settle { .. }
            | Action::Rollback { .. } => self.mold_action(action, molds, workers),
            Action::Fork { worker, slot, generation } => {
                assert!(!self.stop_wanted(), "nothing is forked during a stop");
                assert!(!workers.contains_key(&worker), "worker numbers are used once");
                let mold = &molds[&generation];
                assert!(mold.told_ready && mold.life != MoldLife::Gone, "workers come from molds that are ready");
                self.check_origin(slot, generation, supervisor, molds);
                self.check_budget(slot, supervisor, workers);
            }
            Action::Retire { worker, drain, hand_over, linger } => {
                let worker = &workers[&worker];
                assert_eq!(drain, self.stop.is_some(), "only a stop drains");
                let plan = self.plan().expect("there are settings");
                let most = if hand_over { plan.timeout } else { plan.linger };
                assert!(linger <= most && (hand_over || !drain || linger.is_zero()), "it lingers too long: {linger:?}");
                if worker.gives_away {
                    assert!(worker.asked == Asked::Retire && !hand_over, "asked again only when the takers are gone");
                    return;
                }
                assert!(worker.serves(), "only workers that serve retire");
                if !drain && worker.told_leaves {
                    let takers = supervisor.worker_processes() > 0 || self.successor_takes;
                    assert_eq!(hand_over, takers, "one that leaves gives to those that serve, or will");
                } else if !drain {
                    self.check_replaced(worker, supervisor, workers);
                    self.check_company(worker, supervisor, workers);
                }
            }
            Action::Abandon { worker } => {
                let worker = &workers[&worker];
                let boots = !worker.told_ready && worker.asked == Asked::Nothing;
                assert!(boots || worker.closed, "only workers that boot are abandoned, or hear nothing");
                if worker.serves() {
                    self.floor = self.floor.saturating_sub(1);
                }
            }
            Action::Quick { worker } => {
                assert!(workers[&worker].asked < Asked::Quick, "told once");
                assert!(self.stop.is_some_and(|stop| stop.quick), "law 1: quick without a quick stop");
            }
            Action::Kill { worker, why } => self.check_kill(now, &workers[&worker], why),
            Action::Serving => {
                assert!(!self.serving, "serving begins once");
                assert!(workers.values().any(Worker::serves), "a worker serves");
                self.serving = true;
            }
            Action::Progress { done, total } => assert!(done <= total),
            Action::Outcome { ticket, result } => {
                let outcomes = self.tickets.get_mut(&ticket).expect("a ticket that was handed out");
                *outcomes += 1;
                assert_eq!(*outcomes, 1, "one outcome for {ticket:?}");
                if result.is_ok() && self.reloads.get(&ticket) == Some(&true) {
                    self.check_all_of_line(workers);
                }
            }
            Action::Log(Fact::ReloadStarted { .. }) => {
                self.floor = serving(workers, supervisor.worker_processes());
            }
            Action::Log(Fact::CanaryServing { .. }) => self.tried_since = Some(now),
            Action::Log(Fact::CanaryPassed { promoted, .. }) => {
                let since = self.tried_since.take();
                let watch = self.plan().and_then(|plan| plan.canary).expect("there is a trial").watch;
                let over = since.is_some_and(|since| now.since(since) >= watch);
                assert!(promoted || over, "the trial ends before its time");
            }
            Action::Log(Fact::RollBack { .. }) => (self.tried_since, self.worse) = (None, false),
            Action::Log(Fact::MoldRecovered { generation }) => self.recovering = Some(generation),
            Action::BootFailed(_) => {
                assert!(!self.ever_ready, "law 5: a server that has served does not give up");
                self.boot_failed = true;
                self.floor = 0;
                self.exit_deadline.get_or_insert(now + Duration::from_millis(3_100));
            }
            Action::Log(Fact::UpgradeQueued) => self.upgrade_waits = true,
            // It has had its turn, and this master may not be replaced.
            Action::Log(Fact::UpgradeFailed { .. }) => self.upgrade_waits = false,
            Action::Preflight | Action::Execute => {
                self.upgrade_waits = false;
                assert_eq!(supervisor.phase(), Phase::Serving, "a program takes over while nothing else goes on");
            }
            Action::StopListening => {
                assert!(self.stop_wanted(), "who asked for a stop?");
                assert!(std::mem::take(&mut self.listening), "listeners are closed once");
                if let Some(stop) = &mut self.stop {
                    stop.drains_since = Some(now);
                }
            }
            Action::Exit { code } => {
                assert!(self.stop_wanted(), "law 5: exit without a reason");
                assert!(!self.listening, "listeners are closed before the exit");
                self.exit = Some(code);
            }
            Action::WorkerProcesses { .. }
            | Action::ReopenLogs
            | Action::StartAdmin { .. }
            | Action::StopAdmin
            | Action::StartService { .. }
            | Action::StopService { .. }
            | Action::KillService { .. }
            | Action::StartSuccessor
            | Action::ForgetSuccessor
            | Action::StopSuccessor { .. }
            | Action::HandOver
            | Action::SuccessorLeft
            | Action::AbandonPreflight
            | Action::Log(_) => {}
        }
    }

    fn mold_action(
        &mut self,
        action: &Action,
        molds: &BTreeMap<Generation, Mold>,
        workers: &BTreeMap<WorkerId, Worker>,
    ) {
        match *action {
            Action::StartMold { generation } | Action::Promote { generation, .. } => {
                assert!(!self.stop_wanted(), "nothing is started during a stop");
                let unique = self.destiny.insert(generation, Destiny::Open).is_none();
                assert!(unique, "generation numbers are used once");
            }
            Action::Proceed { generation } => assert!(self.plans.contains_key(&generation), "it was configured"),
            Action::Commit { generation } => {
                assert!(molds[&generation].told_ready, "law 3: committed before it was ready");
                let before = self.destiny.insert(generation, Destiny::Committed);
                if before == Some(Destiny::Committed) {
                    let of_line = |line: &&Vec<Generation>| line.last() == Some(&generation);
                    let kept = self.past.iter().rev().chain(self.lines.iter().rev().skip(1)).find(of_line);
                    self.lines.push(kept.expect("what was settled before is gone back to").clone());
                    return;
                }
                assert_eq!(before, Some(Destiny::Open), "committed once");
                if self.recovering == Some(generation) {
                    self.lines.last_mut().unwrap().push(generation);
                } else {
                    self.lines.push(vec![generation]);
                }
            }
            Action::Rollback { generation } => {
                let before = self.destiny.insert(generation, Destiny::RolledBack);
                match before {
                    Some(Destiny::Open) => {}
                    Some(Destiny::Committed) => {
                        let last = self.lines.pop().and_then(|line| line.last().copied());
                        assert_eq!(last, Some(generation), "the last one goes first");
                    }
                    Some(Destiny::RolledBack) | None => panic!("rolled back twice"),
                }
            }
            Action::Settle { generation } => {
                assert_eq!(self.destiny[&generation], Destiny::Committed);
                if self.recovering.take() != Some(generation) {
                    self.check_all_of_line(workers);
                }
                // Nothing goes back behind this.
                self.past.extend(self.lines.drain(..self.lines.len() - 1));
            }
            Action::RetireMold { generation } | Action::KillMold { generation } => {
                assert!(molds[&generation].life != MoldLife::Gone, "it is there");
            }
            _ => {}
        }
    }

    /// Law 4.
    fn check_budget(&self, slot: SlotId, supervisor: &Supervisor, workers: &BTreeMap<WorkerId, Worker>) {
        assert!(slot.0 < supervisor.worker_processes(), "only wanted slots");
        // Workers that are on their way out of slots that are gone may be there still. They were wanted when they came.
        let oldest = workers.values().map(|worker| worker.forked).min().unwrap_or(Instant::NEVER);
        let in_force = self.wanted.iter().rposition(|(since, ..)| *since < oldest).unwrap_or(0);
        let (mut most, mut surge) = (supervisor.worker_processes(), self.plan().map_or(1, |plan| plan.surge.max(1)));
        if supervisor.phase() == Phase::Rolling {
            most = most.max(self.way_back);
        }
        for (_, wanted, with) in &self.wanted[in_force..] {
            most = most.max(*wanted);
            surge = surge.max(*with);
        }
        // An old worker may stay beside those on trial.
        most += u32::from(supervisor.trial().is_some());
        assert!(workers.len() < (most + surge) as usize, "law 4: {} workers, {most}+{surge} wanted", workers.len() + 1);
    }

    /// Law 3.
    fn check_replaced(&self, leaver: &Worker, supervisor: &Supervisor, workers: &BTreeMap<WorkerId, Worker>) {
        let rolling = supervisor.phase() == Phase::Rolling;
        let other = |w: &Worker| w.generation != leaver.generation || leaver.worn && !w.worn;
        let replaced = workers.values().any(|w| w.slot == leaver.slot && other(w) && w.serves());
        if leaver.slot.0 < supervisor.worker_processes() {
            assert!(replaced, "law 3: the worker of slot {} retires before another is ready", leaver.slot);
        } else {
            let of_line = self.lines.last().unwrap().contains(&leaver.generation);
            // What a roll that fails goes back to is the operator's to change, too.
            let closed = leaver.slot.0 >= self.way_back;
            let may_go = !rolling || of_line || closed || replaced;
            assert!(may_go, "law 3: slot {} closes before the roll has succeeded", leaver.slot);
        }
    }

    /// Law 1.
    fn check_kill(&mut self, now: Instant, worker: &Worker, why: KillReason) {
        assert!(worker.asked < Asked::Kill, "killed once");
        let overdue = worker.request.is_none_or(|request| now.since(request.began) >= worker.timeout);
        match why {
            KillReason::RequestTimeout => assert!(overdue, "law 1: killed before its time"),
            KillReason::RetireTimeout => {
                assert!(matches!(worker.asked, Asked::Retire | Asked::Abandon));
                assert!(overdue, "law 1: a retiring worker is killed in a request");
            }
            KillReason::Lied => assert!(worker.closed, "it said nothing wrong"),
            KillReason::Unreachable => {
                let may = !worker.told_ready || worker.asked == Asked::Abandon && overdue;
                assert!(worker.closed && may, "law 1: one that serves is asked to leave");
            }
            KillReason::BootTimeout => assert!(!worker.told_ready && worker.asked == Asked::Nothing),
            KillReason::StopTimeout => {
                let since = self.stop.and_then(|stop| stop.drains_since).expect("a stop began");
                assert!(now.since(since) >= self.plan().unwrap().timeout, "law 1: killed early in a stop");
            }
            KillReason::QuickStopTimeout => {
                // One that closed its socket before it was heard to be ready serves behind the master's back.
                let may = self.is_quick() || worker.closed && !worker.told_ready;
                assert!(may || worker.request.is_none(), "law 1: an abandoned worker is killed in a request");
            }
        }
        if worker.serves() {
            self.floor = self.floor.saturating_sub(1);
        }
    }

    fn check_all_of_line(&self, workers: &BTreeMap<WorkerId, Worker>) {
        let line = self.lines.last().unwrap();
        assert!(workers.values().all(|worker| line.contains(&worker.generation)), "an old worker is left");
    }

    /// Judges the whole after a step.
    pub(crate) fn after(
        &mut self,
        now: Instant,
        supervisor: &Supervisor,
        molds: &BTreeMap<Generation, Mold>,
        workers: &BTreeMap<WorkerId, Worker>,
    ) {
        assert!(supervisor.workers().map(|(id, _)| id).eq(workers.keys().copied()), "who lives is known");
        // A roll that cannot fail any more may have made the server smaller.
        if supervisor.phase() != Phase::Rolling {
            self.floor = self.floor.min(supervisor.worker_processes() as usize);
        }
        assert!(!self.worse || self.stop_wanted(), "what is worse is undone");
        let serving = serving(workers, u32::MAX);
        assert!(serving >= self.floor, "law 3: {serving} slots are served, {} were before the reload", self.floor);
        assert_eq!(supervisor.readyz(), serving > 0 && !self.stop_wanted(), "readyz tells the truth");
        let ignored = workers.values().any(|worker| worker.told_leaves && worker.serves());
        assert!(!ignored || self.stop_wanted(), "one that leaves is asked to retire");
        let forgotten = self.upgrade_waits && supervisor.phase() == Phase::Serving;
        assert!(!forgotten, "an upgrade that waits for a reload follows it");
        assert!(
            !self.upgrade_waits || self.stop_wanted() || supervisor.successor() == SuccessorPhase::InPlace,
            "an upgrade that waits for a reload is not lost"
        );
        let (target, surge) = (supervisor.worker_processes(), self.plan().map_or(1, |plan| plan.surge.max(1)));
        // All workers are gone, and no mold is on its way: clients wait, so the next try comes soon.
        let forks = |mold: &Mold| mold.life == MoldLife::Ready && mold.told_ready;
        let boots = molds.values().any(|mold| mold.life != MoldLife::Gone && !forks(mold));
        if self.listening && target > 0 && supervisor.workers().next().is_none() && !boots && !self.stop_wanted() {
            let soon = supervisor.next_deadline().is_some_and(|deadline| deadline <= now + Duration::from_secs(1));
            assert!(soon, "no worker serves, and the next try is at {:?}", supervisor.next_deadline());
        }
        if supervisor.phase() != Phase::Rolling {
            self.way_back = target;
        }
        // Each worker serves and none is to leave, and nothing is awaited: it would stay so.
        let at_rest = workers.values().all(|worker| worker.serves() && worker.asked == Asked::Nothing);
        let stuck = supervisor.phase() == Phase::Rolling && at_rest && supervisor.next_deadline().is_none();
        assert!(!stuck, "liveness: a roll that has more to replace goes on");
        if self.wanted.last().is_none_or(|(_, wanted, with)| (*wanted, *with) != (target, surge)) {
            self.wanted.push((now, target, surge));
        }
    }

    /// Whether all is well: every slot is served by the line in force, and nothing is awaited.
    pub(crate) fn has_come_right(
        &self,
        supervisor: &Supervisor,
        molds: &BTreeMap<Generation, Mold>,
        workers: &BTreeMap<WorkerId, Worker>,
    ) -> bool {
        let line = self.lines.last().map_or(&[][..], Vec::as_slice);
        let mut slots: Vec<_> = workers.values().map(|worker| worker.slot).collect();
        slots.sort();
        let molds = molds.iter().filter(|(_, mold)| mold.life != MoldLife::Gone).map(|(generation, _)| *generation);
        supervisor.phase() == Phase::Serving
            && molds.eq(supervisor.generation())
            && slots.into_iter().eq((0..supervisor.worker_processes()).map(SlotId))
            && workers.values().all(|worker| worker.serves() && !worker.worn && line.contains(&worker.generation))
            && self.tickets.values().all(|outcomes| *outcomes == 1)
            && self.destiny.values().all(|destiny| *destiny != Destiny::Open)
            && supervisor.troubles().next().is_none()
    }

    /// Judges the end.
    pub(crate) fn check_end(&self, molds: &BTreeMap<Generation, Mold>, workers: &BTreeMap<WorkerId, Worker>) {
        assert!(workers.is_empty(), "workers are left");
        assert!(molds.values().all(|mold| mold.life == MoldLife::Gone), "molds are left");
        let silent: Vec<_> = self.tickets.iter().filter(|(_, outcomes)| **outcomes != 1).collect();
        assert!(silent.is_empty(), "tickets without an outcome: {silent:?}");
    }
}
