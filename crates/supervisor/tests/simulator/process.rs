//! The processes of the model: what a mold and a worker are like.

use std::time::Duration;

use supervisor::{Generation, Instant, SlotId};

use crate::dice::Dice;
use crate::schedule::{Code, Health};

/// A mold.
#[derive(Debug)]
pub(crate) struct Mold {
    pub(crate) code: Code,
    /// What will go wrong, if anything.
    pub(crate) fate: Health,
    pub(crate) life: MoldLife,
    /// Whether the supervisor has been told that it is ready.
    pub(crate) told_ready: bool,
    /// Whether it has said that it cannot boot.
    pub(crate) said: bool,
    /// What it exits with when it ends of its own accord.
    pub(crate) status: Option<u8>,
    /// Whether it does not react to being asked to leave.
    pub(crate) deaf: bool,
    /// Whether its control socket is closed: it hears and says nothing.
    pub(crate) closed: bool,
    /// Its latest message is under way until then.
    pub(crate) last_word: Instant,
    pub(crate) dice: Dice,
}

/// How far a mold has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MoldLife {
    /// A worker is to fork it.
    Unborn,
    Configuring,
    Waiting,
    Loading,
    Ready,
    /// Dead; the supervisor will be told.
    Dead,
    /// Dead; the supervisor has been told.
    Gone,
}

impl Mold {
    pub(crate) fn new(code: Code, calm: bool, mut dice: Dice, now: Instant) -> Self {
        let fate = fate(code.health, calm, &mut dice, &MOLD_TROUBLES);
        let deaf = !calm && dice.percent(5);
        // Without a word it may mean to; one that says why may run the application's `at_exit` then.
        let status = dice.pick(&[Some(0), Some(1), Some(1), Some(7), None]);
        let life = MoldLife::Configuring;
        Self { code, fate, life, told_ready: false, said: false, status, deaf, closed: false, last_word: now, dice }
    }

    /// One that a worker is to fork.
    pub(crate) fn unborn(code: Code, calm: bool, dice: Dice, now: Instant) -> Self {
        Self { life: MoldLife::Unborn, ..Self::new(code, calm, dice, now) }
    }

    pub(crate) fn alive(&self) -> bool {
        !matches!(self.life, MoldLife::Unborn | MoldLife::Dead | MoldLife::Gone)
    }
}

/// A worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) slot: SlotId,
    pub(crate) generation: Generation,
    pub(crate) forked: Instant,
    /// Of its generation.
    pub(crate) timeout: Duration,
    pub(crate) fate: Health,
    pub(crate) life: WorkerLife,
    /// Whether the supervisor has been told that it is ready.
    pub(crate) told_ready: bool,
    /// What the supervisor asked for, the hardest of it.
    pub(crate) asked: Asked,
    /// Whether it was told that others take its connections.
    pub(crate) gives_away: bool,
    /// Whether another process sent it away.
    pub(crate) sent_away: bool,
    /// Whether it has said so.
    pub(crate) says_so: bool,
    /// Whether that has arrived.
    pub(crate) told_leaves: bool,
    /// What is left in the backlog for it, when it is asked to drain.
    pub(crate) backlog: u32,
    /// Whether the supervisor was told that it has had its time.
    pub(crate) worn: bool,
    pub(crate) request: Option<Request>,
    pub(crate) requests: u32,
    /// Whether its control socket is closed: it hears and says nothing.
    pub(crate) closed: bool,
    /// Whether it does not leave when it should, or not when it is told to while it boots.
    pub(crate) deaf: bool,
    /// Its latest message is under way until then.
    pub(crate) last_word: Instant,
    pub(crate) dice: Dice,
}

/// How far a worker has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkerLife {
    Unborn,
    Booting,
    Serving,
    /// Dead; the supervisor will be told.
    Dead,
}

/// What the supervisor asked of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asked {
    Nothing,
    Retire,
    Abandon,
    Quick,
    Kill,
}

/// A request in a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) number: u32,
    pub(crate) began: Instant,
}

impl Worker {
    /// Whether it is there, and has not begun to leave.
    pub(crate) fn is_born(&self) -> bool {
        matches!(self.life, WorkerLife::Booting | WorkerLife::Serving)
    }

    pub(crate) fn new(
        slot: SlotId,
        generation: Generation,
        code: Code,
        calm: bool,
        mut dice: Dice,
        now: Instant,
    ) -> Self {
        let fate = fate(code.health, calm, &mut dice, &WORKER_TROUBLES);
        let deaf = !calm && dice.percent(5);
        Self {
            slot,
            generation,
            forked: now,
            timeout: code.plan.timeout,
            fate,
            life: WorkerLife::Unborn,
            told_ready: false,
            asked: Asked::Nothing,
            gives_away: false,
            sent_away: false,
            says_so: false,
            told_leaves: false,
            backlog: 0,
            worn: false,
            request: None,
            requests: 0,
            closed: false,
            deaf,
            last_word: now,
            dice,
        }
    }

    /// Ready as far as the supervisor knows, and not asked to leave.
    pub(crate) fn serves(&self) -> bool {
        self.told_ready && self.asked == Asked::Nothing
    }

    /// Whether it leaves when it has nothing to do.
    pub(crate) fn leaves(&self) -> bool {
        self.asked >= Asked::Retire || self.sent_away
    }
}

fn fate(health: Health, calm: bool, dice: &mut Dice, troubles: &[Health]) -> Health {
    match health {
        _ if calm => Health::Sound,
        Health::Flaky if dice.percent(20) => dice.pick(troubles),
        other => other,
    }
}

const MOLD_TROUBLES: [Health; 6] = [
    Health::ConfigRaises,
    Health::PreloadRaises,
    Health::MoldHangs,
    Health::MoldDies,
    Health::MoldDiesLater,
    Health::MoldDiesLater,
];

const WORKER_TROUBLES: [Health; 5] =
    [Health::ForkFails, Health::WorkerRaises, Health::WorkerHangs, Health::WorkerDies, Health::WorkerCrashes];
