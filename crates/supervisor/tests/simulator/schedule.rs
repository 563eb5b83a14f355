//! What a seed stands for: a configuration, the code that is deployed, and what befalls the server when.

use std::time::Duration;

use supervisor::{AdminPlace, Canary, Config, Instant, Plan, ReforkAfter, Signal, Way};

use crate::dice::Dice;

/// What befalls the server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Incident {
    /// The operator sends a signal to the master.
    Signal(Signal),
    /// `licorne reload --wait`
    Reload,
    /// `licorne upgrade --wait`, and how when it is said
    Upgrade(Option<Way>),
    /// `licorne reload --promote`
    Promote,
    /// `licorne reload --abort`
    Abort,
    /// `licorne rollback --wait`
    GoBack,
    /// The workers on trial turn out to be worse.
    CanaryWorse,
    /// `licorne stop`
    Stop { graceful: bool },
    /// Other code and settings are on disk from now on.
    Deploy(Code),
    /// A worker is killed from outside: the nth of those that live.
    KillWorker(usize),
    /// A worker gets SIGQUIT from outside: the nth of those that live.
    QuitWorker(usize),
    /// The load wants this number of workers.
    Size(u32),
    /// A worker has had its time: the nth of those that live.
    WorkerWears(usize),
    /// A worker says what no worker says: the nth of those that live.
    WorkerLies(usize),
    /// A worker closes its control socket and lives on: the nth of those that live.
    WorkerCloses(usize),
    /// A mold says what no mold says: the nth of those that live.
    MoldLies(usize),
    /// A mold closes its control socket and lives on: the nth of those that live.
    MoldCloses(usize),
    /// A mold is killed from outside: the nth of those that live.
    KillMold(usize),
    /// The new master program is killed.
    KillSuccessor,
    /// The master does not run for this time, while everything else does.
    StandStill(Duration),
    /// A service is killed: the nth of those that live.
    KillService(usize),
    /// The admin process is killed.
    KillAdmin,
    /// The master before this one leaves the unit to this one, or dies.
    OriginEnds { hands_over: bool },
}

/// What is on disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Code {
    pub(crate) plan: Plan,
    pub(crate) health: Health,
    /// Where the settings want the admin process.
    pub(crate) admin: Option<AdminPlace>,
    /// What stands for the services that the settings have ([`crate::services::planned`]).
    pub(crate) services: u64,
}

/// How processes of some code fare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// All well.
    Sound,
    /// One in five comes to grief, this way or that.
    Flaky,
    /// The configuration file raises.
    ConfigRaises,
    /// The master cannot prepare the settings, or preloading raises.
    PreloadRaises,
    /// The mold hangs.
    MoldHangs,
    /// The mold dies while it boots.
    MoldDies,
    /// The mold becomes ready, and dies soon after.
    MoldDiesLater,
    /// The mold cannot fork.
    ForkFails,
    /// The workers report a failure.
    WorkerRaises,
    /// The workers hang while they boot.
    WorkerHangs,
    /// The workers die while they boot.
    WorkerDies,
    /// The workers become ready and die right after.
    WorkerCrashes,
}

/// What watches over the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    /// Nothing.
    Free,
    /// A service manager.
    Unit,
    /// A service manager, which follows the master before this one.
    SecondOfUnit,
}

/// All that a run depends on.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    pub(crate) seed: u64,
    pub(crate) config: Config,
    pub(crate) setting: Setting,
    pub(crate) first: Code,
    pub(crate) incidents: Vec<(Instant, Incident)>,
}

/// When faults stop. From then on every new process is well and nothing befalls the server.
pub(crate) const CALM: Instant = Instant(60_000_000_000);

impl Schedule {
    /// The schedule of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed, 1);
        let config = Config {
            has_config_file: dice.percent(90),
            boot_timeout: dice.ms(2_000, 10_000),
            term_quick: dice.percent(20),
            seed,
        };
        let first = Code {
            plan: plan(&mut dice),
            health: if dice.percent(80) { Health::Sound } else { health(&mut dice) },
            admin: place(&mut dice),
            services: dice.below(1 << 40),
        };
        let setting = dice.pick(&[Setting::Free, Setting::Free, Setting::Unit, Setting::Unit, Setting::SecondOfUnit]);
        let mut incidents = Vec::new();
        if setting == Setting::SecondOfUnit && dice.percent(80) {
            let hands_over = dice.percent(70);
            incidents.push((Instant(0) + dice.ms(0, 40_000), Incident::OriginEnds { hands_over }));
        }
        let mut at = Instant(0) + if dice.percent(70) { dice.ms(1_000, 5_000) } else { dice.ms(0, 1_000) };
        let stops = dice.percent(15);
        let mean_ms = dice.pick(&[300, 1_000, 4_000]);
        while at < CALM && incidents.len() < 60 {
            incidents.push((at, incident(&mut dice, stops)));
            // Bursts: several at the very same moment, or within a few milliseconds of each other.
            at += match dice.below(10) {
                0 => Duration::ZERO,
                1 | 2 => dice.ms(0, 20),
                _ => dice.ms(0, 2 * mean_ms),
            };
        }
        Self { seed, config, setting, first, incidents }
    }
}

fn incident(dice: &mut Dice, stops: bool) -> Incident {
    if dice.percent(6) {
        return Incident::Size(u32::try_from(dice.below(10)).unwrap());
    }
    if dice.percent(8) {
        return Incident::WorkerWears(usize::try_from(dice.below(16)).unwrap());
    }
    if dice.percent(12) {
        return dice.pick(&[
            Incident::Promote,
            Incident::Abort,
            Incident::GoBack,
            Incident::GoBack,
            Incident::CanaryWorse,
        ]);
    }
    match dice.below(if stops { 104 } else { 100 }) {
        0..16 => Incident::Deploy(Code {
            plan: plan(dice),
            health: health(dice),
            admin: place(dice),
            services: dice.below(1 << 40),
        }),
        16..30 => Incident::Signal(Signal::Hup),
        30..42 => Incident::Reload,
        42..50 => Incident::Signal(Signal::Ttin),
        50..58 => Incident::Signal(Signal::Ttou),
        58..61 => Incident::Signal(Signal::Winch { honoured: dice.percent(80) }),
        61 => Incident::KillService(usize::try_from(dice.below(4)).unwrap()),
        62 => dice.pick(&[Incident::KillAdmin, Incident::Signal(Signal::Usr1)]),
        63 => Incident::StandStill(stand_still(dice)),
        64..66 => Incident::Signal(Signal::Usr2),
        66..69 => Incident::Upgrade(dice.pick(&[None, Some(Way::TwoMasters), Some(Way::InPlace)])),
        69..71 => Incident::KillSuccessor,
        71..78 => Incident::KillWorker(usize::try_from(dice.below(16)).unwrap()),
        78..80 => Incident::WorkerLies(usize::try_from(dice.below(16)).unwrap()),
        80..82 => Incident::WorkerCloses(usize::try_from(dice.below(16)).unwrap()),
        82..86 => Incident::QuitWorker(usize::try_from(dice.below(16)).unwrap()),
        86..88 => Incident::MoldLies(usize::try_from(dice.below(4)).unwrap()),
        88..90 => Incident::MoldCloses(usize::try_from(dice.below(4)).unwrap()),
        90..100 => Incident::KillMold(usize::try_from(dice.below(4)).unwrap()),
        100 => Incident::Signal(Signal::Quit),
        101 => Incident::Signal(Signal::Term),
        102 => Incident::Signal(Signal::Int),
        _ => Incident::Stop { graceful: dice.percent(70) },
    }
}

/// A moment in which several things happen, or a pause of the container.
fn stand_still(dice: &mut Dice) -> Duration {
    let longest_ms = dice.pick(&[5, 50, 1_000, 4_000, 12_000]);
    dice.ms(0, longest_ms)
}

fn health(dice: &mut Dice) -> Health {
    if dice.percent(50) {
        return Health::Sound;
    }
    dice.pick(&[
        Health::Flaky,
        Health::Flaky,
        Health::Flaky,
        Health::ConfigRaises,
        Health::PreloadRaises,
        Health::MoldHangs,
        Health::MoldDies,
        Health::MoldDiesLater,
        Health::ForkFails,
        Health::WorkerRaises,
        Health::WorkerHangs,
        Health::WorkerDies,
        Health::WorkerCrashes,
    ])
}

fn place(dice: &mut Dice) -> Option<AdminPlace> {
    dice.pick(&[None, Some(AdminPlace(0)), Some(AdminPlace(0)), Some(AdminPlace(1))])
}

fn plan(dice: &mut Dice) -> Plan {
    let worker_processes = u32::try_from(1 + dice.below(5)).unwrap();
    Plan {
        worker_processes,
        timeout: dice.ms(1_000, 10_000),
        boot_timeout: dice.ms(2_000, 10_000),
        surge: u32::try_from(dice.below(3)).unwrap(),
        term_quick: dice.percent(10),
        shutdown_delay: if dice.percent(70) { Duration::ZERO } else { dice.ms(0, 5_000) },
        linger: if dice.percent(70) { Duration::ZERO } else { dice.ms(0, 3_000) },
        upgrade: dice.pick(&[Way::TwoMasters, Way::InPlace]),
        canary: dice.percent(40).then(|| canary(dice)),
        most_workers: dice.percent(40).then(|| worker_processes + u32::try_from(dice.below(5)).unwrap()),
        keep_previous: if dice.percent(50) { Duration::ZERO } else { dice.ms(0, 15_000) },
        refork_after: if dice.percent(50) { ReforkAfter::default() } else { refork_after(dice) },
    }
}

fn refork_after(dice: &mut Dice) -> ReforkAfter {
    let longest = dice.pick(&[3, 10, 30]);
    let mut limits: Vec<u32> = (0..=dice.below(3)).map(|_| u32::try_from(1 + dice.below(longest)).unwrap()).collect();
    limits.extend(dice.percent(30).then_some(0));
    ReforkAfter::of(&limits)
}

fn canary(dice: &mut Dice) -> Canary {
    let longest_ms = dice.pick(&[0, 1_000, 10_000]);
    Canary { workers: u32::try_from(1 + dice.below(3)).unwrap(), watch: dice.ms(0, longest_ms) }
}
