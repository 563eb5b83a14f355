//! The services of the model, and what is right about them, judged from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use supervisor::{Action, Event, Fact, Generation, Instant, ServiceId, ServiceName, Supervisor, Terms};

use crate::dice::Dice;
use crate::laws::Laws;
use crate::process::Mold;
use crate::schedule::CALM;
use crate::world::{Next, World};

/// The longest `stop_timeout` of any service.
pub(crate) const LONGEST_STOP: Duration = Duration::from_secs(4);

/// The services that code has, by their names.
pub(crate) type Planned = [Option<Terms>; 2];

/// All services.
#[derive(Debug, Default)]
pub(crate) struct Services {
    processes: BTreeMap<ServiceId, Process>,
    used: BTreeSet<ServiceId>,
    /// The lines whose workers have served all slots.
    served: BTreeSet<Generation>,
}

#[derive(Clone, Copy, Debug)]
struct Process {
    name: ServiceName,
    generation: Generation,
    terms: Terms,
    /// When it was asked for.
    wanted: Instant,
    /// Whether it is there, and has not ended.
    lives: bool,
    /// Since when the supervisor knows of it.
    since: Option<Instant>,
    /// When it was asked to leave.
    stopped: Option<Instant>,
    killed: bool,
    /// Whether the mold that was to fork it is gone.
    lost: bool,
    last_word: Instant,
}

/// What code says of services for which this number stands.
pub(crate) fn planned(number: u64) -> Planned {
    let mut dice = Dice::new(number, 3);
    [(); 2].map(|()| {
        dice.percent(40).then(|| Terms {
            overlap: dice.percent(30),
            stop_timeout: dice.ms(0, 4_000),
            min_uptime: dice.ms(0, 1_500),
            fork_within: dice.clone().percent(50).then(|| dice.ms(2_000, 10_000)),
        })
    })
}

impl Services {
    /// Takes note of what the supervisor is about to be told.
    pub(crate) fn before(&mut self, now: Instant, event: &Event) {
        match *event {
            Event::ServiceStarted { service } => {
                if let Some(process) = self.processes.get_mut(&service) {
                    process.since = Some(now);
                }
            }
            Event::ServiceFailed { service } | Event::ServiceExited { service } => {
                self.processes.remove(&service).expect("each goes once");
            }
            _ => {}
        }
    }

    /// Whether an event is of one that is gone.
    pub(crate) fn is_gone(&self, service: ServiceId) -> bool {
        !self.processes.contains_key(&service)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.processes.is_empty()
    }

    /// Judges what is asked for, before it is done. `shared`: a master before this one lives.
    pub(crate) fn judge(
        &mut self,
        now: Instant,
        action: &Action,
        laws: &Laws,
        molds: &BTreeMap<Generation, Mold>,
        supervisor: &Supervisor,
        shared: bool,
    ) {
        match *action {
            Action::Serving => self.served.extend(laws.line_in_force()),
            Action::Log(Fact::RollServing { generation }) => self.served.extend(laws.line_of(generation)),
            Action::StartService { service, name, generation } => {
                assert!(self.used.insert(service), "service numbers are used once");
                assert!(!laws.stop_wanted(), "service: none is started during a stop");
                let line = laws.line_of(generation).expect("service: of a line that was committed");
                assert!(self.served.contains(&line), "service: it is started when its line serves");
                let terms =
                    planned(molds[&generation].code.services)[name.0 as usize].expect("service: the settings have it");
                let mut others = self.processes.values().filter(|other| other.name == name);
                if terms.overlap {
                    let same = |other: &Process| other.is_unasked() && laws.line_of(other.generation) == Some(line);
                    assert!(!others.any(same), "service: two of one line");
                } else {
                    assert!(others.next().is_none(), "service: two of one name at once");
                    assert!(!shared, "service: the master before this one may have the same one");
                }
            }
            Action::StopService { service } => {
                let process = &self.processes[&service];
                assert!(process.stopped.is_none() && !process.killed && process.since.is_some(), "service: asked once");
                if laws.stop_wanted() || supervisor.is_winched() {
                    return;
                }
                let line = laws.line_of(process.generation);
                let entitled = laws.lines_from_the_newest().find(|line| self.served.contains(line));
                let planned = laws
                    .newest_of(entitled)
                    .and_then(|newest| planned(molds[&newest].code.services)[process.name.0 as usize]);
                let Some(terms) = planned else { return };
                assert!(line != entitled, "service: nothing but a roll or a stop ends it");
                let works = |other: &Process| {
                    other.name == process.name
                        && laws.line_of(other.generation) == entitled
                        && other.since.is_some_and(|since| now.since(since) >= other.terms.min_uptime)
                };
                assert!(
                    !terms.overlap || self.processes.values().any(works),
                    "service: the next one works before it goes"
                );
            }
            Action::KillService { service } => {
                let process = &self.processes[&service];
                assert!(!process.killed, "service: killed once");
                let most = if laws.is_quick() { Duration::from_secs(2) } else { Duration::MAX };
                match (process.stopped, process.since) {
                    (Some(stopped), _) => {
                        let most = most.min(process.terms.stop_timeout);
                        let early = now.since(stopped) < most && !laws.is_quick();
                        assert!(!early, "service: killed before its time");
                    }
                    (None, Some(_)) => panic!("service: it is asked before it is killed"),
                    (None, None) => {}
                }
            }
            _ => {}
        }
    }

    /// Whether all is well: each service of the line runs, and no other.
    pub(crate) fn have_come_right(
        &self,
        laws: &Laws,
        molds: &BTreeMap<Generation, Mold>,
        shared: bool,
        winched: bool,
    ) -> bool {
        let line = laws.line_in_force();
        let newest = laws.newest_of(line);
        let planned = newest.map_or([None; 2], |newest| planned(molds[&newest].code.services));
        let names = |wanted: &dyn Fn(&Terms) -> bool| -> Vec<ServiceName> {
            let names = (0..).map(ServiceName).zip(&planned);
            names.filter(|(_, terms)| !winched && terms.as_ref().is_some_and(wanted)).map(|(name, _)| name).collect()
        };
        // One that a lost mold's settings let overlap runs on when those of the next one do not.
        let (least, most) = (names(&|terms| terms.overlap || !shared), names(&|_| true));
        let mut running: Vec<_> = self.processes.values().map(|process| process.name).collect();
        running.sort();
        let right = |process: &Process| {
            process.lives && process.since.is_some() && process.is_unasked() && laws.line_of(process.generation) == line
        };
        let wanted = least.iter().all(|name| running.contains(name)) && running.iter().all(|name| most.contains(name));
        let once = running.windows(2).all(|pair| pair[0] != pair[1]);
        wanted && once && self.processes.values().all(right)
    }
}

/// Lines.
impl Laws {
    /// The line that new workers are of, by its first generation. Lines of the same code count as one: the first.
    pub(crate) fn line_in_force(&self) -> Option<Generation> {
        self.lines_from_the_newest().next()
    }

    /// The lines that may be in force yet.
    pub(crate) fn lines_from_the_newest(&self) -> impl Iterator<Item = Generation> {
        self.lines.iter().rev().map(|line| self.code_of(line[0]))
    }

    /// The line of a generation, if it may be in force yet.
    pub(crate) fn line_of(&self, generation: Generation) -> Option<Generation> {
        let code = self.code_of(generation);
        self.lines_from_the_newest().find(|line| *line == code)
    }

    /// The generation of a line whose settings count.
    pub(crate) fn newest_of(&self, line: Option<Generation>) -> Option<Generation> {
        self.lines.iter().rev().find(|generations| line == Some(self.code_of(generations[0])))?.last().copied()
    }
}

impl Process {
    fn is_unasked(&self) -> bool {
        self.stopped.is_none() && !self.killed
    }
}

impl World {
    pub(crate) fn start_service(&mut self, service: ServiceId, name: ServiceName, generation: Generation) {
        let mold = &self.molds[&generation];
        let terms = planned(mold.code.services)[name.0 as usize].unwrap();
        let process = Process {
            name,
            generation,
            terms,
            wanted: self.now,
            lives: false,
            since: None,
            stopped: None,
            killed: false,
            lost: false,
            last_word: self.now,
        };
        let can = terms.fork_within.is_none() || mold.alive() && !mold.closed;
        self.services.processes.insert(service, process);
        let calm = self.now >= CALM;
        let delay = if terms.fork_within.is_some() { self.dice.ms(0, 5) } else { Duration::ZERO };
        match self.dice.below(20) {
            _ if !can => self.after(delay, Next::Tell(Event::ServiceFailed { service })),
            0 if !calm => self.after(delay, Next::Tell(Event::ServiceFailed { service })),
            // A mold that does not come to fork it.
            1 if !calm && terms.fork_within.is_some() => {}
            _ => self.after(delay, Next::ServiceBorn(service)),
        }
    }

    pub(crate) fn service_born(&mut self, service: ServiceId) {
        let Some(process) =
            self.services.processes.get_mut(&service).filter(|process| !process.killed && !process.lost)
        else {
            return;
        };
        process.lives = true;
        process.last_word = self.now + self.dice.ms(0, 2);
        let arrives = process.last_word;
        self.at(arrives, Next::Tell(Event::ServiceStarted { service }));
        let lives = match self.dice.below(10) {
            _ if self.now >= CALM => return,
            0 | 1 => self.dice.ms(0, 1_500),
            2..5 => self.dice.ms(1_000, 20_000),
            _ => return,
        };
        self.after(lives, Next::ServiceDies(service));
    }

    pub(crate) fn service_dies(&mut self, service: ServiceId) {
        let Some(process) = self.services.processes.get_mut(&service).filter(|process| process.lives) else { return };
        process.lives = false;
        let reaped = process.last_word.max(self.now) + self.dice.ms(0, 5);
        self.at(reaped, Next::Tell(Event::ServiceExited { service }));
    }

    pub(crate) fn stop_service(&mut self, service: ServiceId) {
        let process = self.services.processes.get_mut(&service).unwrap();
        process.stopped = Some(self.now);
        if self.dice.percent(90) {
            let delay = self.dice.ms(0, 5_000);
            self.after(delay, Next::ServiceDies(service));
        }
    }

    pub(crate) fn kill_service(&mut self, service: ServiceId) {
        let process = self.services.processes.get_mut(&service).unwrap();
        process.killed = true;
        if process.since.is_none() && !process.lives {
            let late = process.terms.fork_within.is_some_and(|within| self.now.since(process.wanted) >= within);
            assert!(
                late || self.laws.stop_wanted() || !self.is_entitled(service),
                "service: it is awaited for its time"
            );
            self.after(Duration::ZERO, Next::Tell(Event::ServiceFailed { service }));
        }
        self.service_dies(service);
    }

    /// A mold is gone: what it was to fork never comes.
    pub(crate) fn services_unborn(&mut self, generation: Generation) {
        let unborn = |process: &Process| {
            process.generation == generation
                && process.terms.fork_within.is_some()
                && !process.lives
                && process.since.is_none()
                && process.last_word == process.wanted
        };
        let lost: Vec<_> =
            self.services.processes.iter().filter(|(_, process)| unborn(process)).map(|(id, _)| *id).collect();
        for service in lost {
            self.services.processes.get_mut(&service).unwrap().lost = true;
            self.after(Duration::from_millis(1), Next::Tell(Event::ServiceFailed { service }));
        }
    }

    pub(crate) fn kill_nth_service(&mut self, nth: usize) {
        let living: Vec<_> =
            self.services.processes.iter().filter(|(_, process)| process.lives).map(|(id, _)| *id).collect();
        if let Some(service) = living.get(nth % living.len().max(1)) {
            self.service_dies(*service);
        }
    }

    /// Whether a service is of the line that has services now, and of its settings.
    fn is_entitled(&self, service: ServiceId) -> bool {
        if self.supervisor.is_winched() {
            return false;
        }
        let process = &self.services.processes[&service];
        let line = self.laws.line_of(process.generation);
        let newest = self.laws.newest_of(line);
        let planned = newest.map_or([None; 2], |newest| planned(self.molds[&newest].code.services));
        planned[process.name.0 as usize].is_some()
            && line == self.laws.lines_from_the_newest().find(|line| self.services.served.contains(line))
    }
}
