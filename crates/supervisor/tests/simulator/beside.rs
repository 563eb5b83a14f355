//! What is decided beside the life of workers: two masters in one unit of a service manager, and exit statuses.
//!
//! The laws are judged from outside: by what was asked for, by which processes there are, and by what the service manager
//! sees.

use std::collections::BTreeMap;

use supervisor::unit::{FAILED, RESTART, Role, Told};
use supervisor::{CauseId, Event, Generation, Phase, Signal, Supervisor};

use crate::process::Mold;
use crate::schedule::{CALM, Setting};
use crate::world::{Next, World};

/// The new master.
#[derive(Clone, Copy, Debug)]
struct Successor {
    number: u32,
    serves: bool,
    /// Whether this master has stopped it.
    stopped: bool,
}

/// How the first mold ended, and what was said before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MoldEnd {
    /// The exit status, unless a signal ended it.
    pub(crate) status: Option<u8>,
    /// Whether it has said why it fails.
    pub(crate) said: bool,
}

/// What the unit consists of beside this master.
#[derive(Debug)]
pub(crate) struct Beside {
    /// What this master is, as is seen from outside.
    role: Role,
    told: Told,
    successor: Option<Successor>,
    /// The number of the successor that is about to be started.
    preparing: Option<u32>,
    successors: u32,
    /// Whether the master before this one lives.
    origin: bool,
    /// Whether some settings are in force.
    committed: bool,
    /// Whether something has gone wrong that a boot which fails is put down to.
    complained: bool,
    /// The exit status, when this master has left.
    left: Option<u8>,
    seen: Seen,
}

/// What the laws need to have seen.
#[derive(Debug, Default)]
struct Seen {
    /// An end of the whole unit was asked for.
    unit_stopped: bool,
    /// A new master served when this one began to leave.
    left_with_successor: Option<bool>,
    serving: bool,
    boot_failed: bool,
    /// The end of the mold of the first boot.
    first_mold: Option<MoldEnd>,
    handed_over: bool,
    /// The master before this one is gone, and has handed the unit over to no other.
    orphaned: bool,
}

impl Beside {
    pub(crate) fn new(setting: Setting) -> Self {
        let role = match setting {
            Setting::Free => Role::Free,
            Setting::Unit => Role::Main,
            Setting::SecondOfUnit => Role::Waiting,
        };
        Self {
            role,
            told: Told::default(),
            successor: None,
            preparing: None,
            successors: 0,
            origin: setting == Setting::SecondOfUnit,
            committed: false,
            complained: false,
            left: None,
            seen: Seen::default(),
        }
    }

    /// Whether a new master is about to end by this one's will.
    pub(crate) fn awaits_end(&self) -> bool {
        self.successor.is_some_and(|successor| successor.stopped)
    }

    /// Whether there is another master that may speak for the service.
    pub(crate) fn has_another_that_speaks(&self) -> bool {
        self.origin || self.successor.is_some_and(|successor| successor.serves)
    }

    /// What this master is told of the unit when it begins.
    pub(crate) fn unit(&self) -> Event {
        Event::Unit { role: self.role, origin: self.origin }
    }

    /// Whether this master has left.
    pub(crate) fn has_left(&self) -> bool {
        self.left.is_some()
    }

    /// Another program is about to take the place of this one, which may know nothing of the master before this one.
    pub(crate) fn replaced(&mut self) {
        self.origin = false;
    }

    /// An upgrade is refused.
    pub(crate) fn judge_refusal(&self) {
        assert!(self.role == Role::Waiting, "unit: only one that waits for its turn has to wait");
    }

    /// A program may be looked at that is to take the place of this one.
    pub(crate) fn judge_preflight(&self) {
        assert!(self.role != Role::Waiting, "unit: one that waits for its turn makes room for no other program");
    }

    /// Settings are in force.
    pub(crate) fn committed(&mut self) {
        self.committed = true;
    }

    /// The server serves.
    pub(crate) fn serving(&mut self) {
        self.seen.serving = true;
    }

    /// The first boot has failed.
    pub(crate) fn boot_failed(&mut self) {
        self.seen.boot_failed = true;
    }

    /// A boot begins: what went wrong before is another matter.
    pub(crate) fn forget_failure(&mut self) {
        self.complained = false;
    }

    /// Whether the master before this one lives, as far as is known.
    pub(crate) fn has_origin(&self) -> bool {
        self.origin
    }

    /// Whether a new master is there whose end is still to be told.
    pub(crate) fn has_successor(&self) -> bool {
        self.successor.is_some()
    }

    /// Takes note of what the supervisor is about to be told.
    pub(crate) fn before(&mut self, event: &Event, molds: &BTreeMap<Generation, Mold>) {
        match event {
            Event::MoldExited { generation, status, .. } => {
                if !self.committed {
                    let said = molds[generation].said || self.complained;
                    self.seen.first_mold = Some(MoldEnd { status: *status, said });
                }
                self.complained |= *status != Some(0);
            }
            Event::SuccessorReady { .. } => {
                self.successor.iter_mut().for_each(|successor| successor.serves = true);
            }
            Event::SuccessorExited { .. } => self.successor = None,
            Event::HandedOver => self.role = Role::Main,
            Event::OriginGone => {
                self.origin = false;
                self.seen.orphaned |= self.role == Role::Waiting;
            }
            _ => {}
        }
        let of_mold = matches!(event, Event::MoldFailed { said: true, .. } | Event::MoldUnfit { .. });
        let of_worker = matches!(event, Event::WorkerBootFailed { .. } | Event::ForkFailed { .. });
        self.complained |= of_mold || of_worker;
    }

    /// Notes what the supervisor has come to, after each event.
    pub(crate) fn note(&mut self, supervisor: &Supervisor) {
        let leaving = matches!(supervisor.phase(), Phase::Delaying | Phase::Stopping | Phase::Over);
        if leaving && self.seen.left_with_successor.is_none() {
            self.seen.left_with_successor = Some(self.successor.is_some_and(|successor| successor.serves));
        }
        if self.role == Role::Main {
            self.tell(supervisor.told());
        }
    }

    fn tell(&mut self, told: Told) {
        let before = std::mem::replace(&mut self.told, told);
        assert!(before != Told::Stopping || told == Told::Stopping, "unit: STOPPING is never taken back");
        assert!(told != Told::Starting || before == Told::Starting, "unit: a service starts once");
        if told == Told::Stopping {
            let goes_on = self.successor.is_some_and(|successor| successor.serves && !successor.stopped);
            assert!(self.seen.unit_stopped || !goes_on, "unit: told to stop, and the new master serves on");
        }
    }

    /// Whether this master has to leave since the unit is not its own.
    pub(crate) fn is_orphaned(&self) -> bool {
        self.seen.orphaned
    }

    /// Judges what has become of the unit, after all actions of an event.
    pub(crate) fn judge_event(&self, phase: Phase) {
        let leaves = matches!(phase, Phase::Delaying | Phase::Stopping | Phase::Over);
        assert!(!self.seen.orphaned || leaves, "unit: one that was never handed the unit leaves it");
        assert!(self.told != Told::Ready || self.seen.serving, "unit: told to be ready, and nothing serves yet");
    }

    /// Judges what the manager knows when all has come right.
    pub(crate) fn judge_calm(&self) {
        assert!(self.role != Role::Main || self.told == Told::Ready, "unit: it serves, and is not known to be ready");
    }

    /// This master leaves.
    pub(crate) fn leave(&mut self, status: u8) {
        assert!(self.left.is_none(), "unit: it leaves once");
        self.left = Some(status);
        self.judge(status);
    }

    /// The unit is left to the new master.
    pub(crate) fn hand_over(&mut self) {
        assert!(!std::mem::replace(&mut self.seen.handed_over, true), "unit: it is handed over once");
    }

    /// Judges how this master has left.
    fn judge(&self, status: u8) {
        let Seen { unit_stopped, left_with_successor, boot_failed, handed_over, .. } = self.seen;
        let stopped = self.successor.is_some_and(|successor| successor.stopped);
        if boot_failed {
            assert_eq!(status, self.failed_status(), "unit: the status of a boot that failed");
            assert!(!handed_over && !stopped, "unit: a boot that failed concerns no other master");
            return;
        }
        if self.role != Role::Main {
            assert_eq!((status, handed_over), (0, false), "unit: a master without a unit has none to give");
            return;
        }
        if unit_stopped {
            assert_eq!((status, handed_over), (0, false), "unit: a unit that was stopped stays so");
            assert!(self.successor.is_none(), "unit: all of a unit that was stopped is gone");
            assert_eq!(self.told, Told::Stopping, "unit: the manager knows of a stop");
        } else if left_with_successor == Some(true) {
            assert_eq!(status, RESTART, "unit: what was left to a new master is not over");
            let there = self.successor.is_some_and(|successor| successor.serves && !stopped);
            assert_eq!(handed_over, there, "unit: it is handed over to a master that is there, and to no other");
            assert_ne!(self.told, Told::Stopping, "unit: it goes on");
        } else {
            assert_eq!((status, handed_over), (0, false), "unit: a stop without a new master ends the unit");
            assert!(self.successor.is_none(), "unit: nothing is left of it");
        }
    }

    /// What a boot that failed is to exit with.
    fn failed_status(&self) -> u8 {
        match self.seen.first_mold {
            // It has said so itself, or it left without a word, which is `exit` in the configuration.
            Some(MoldEnd { status: Some(status), .. }) if status != 0 => status,
            Some(MoldEnd { status: Some(0), said: false }) => 0,
            _ => FAILED,
        }
    }
}

/// The end of the unit, and of this master.
impl World {
    /// A signal to this master.
    pub(crate) fn signal(&mut self, signal: Signal) {
        self.beside.seen.unit_stopped |= matches!(signal, Signal::Term | Signal::Int);
        self.tell(Event::Signal(signal));
    }

    /// `licorne stop`
    pub(crate) fn stop(&mut self, graceful: bool) {
        self.beside.seen.unit_stopped = true;
        let ticket = self.ticket();
        self.tell(Event::Stop { graceful, ticket });
    }

    /// The new master is not started, unless it runs by now.
    pub(crate) fn forget_successor(&mut self) {
        assert!(self.beside.role == Role::Main && self.beside.seen.unit_stopped, "unit: what was asked for is done");
        self.beside.preparing = None;
    }

    /// The new master is stopped. It finishes its requests.
    pub(crate) fn stop_successor(&mut self) {
        assert!(self.beside.role == Role::Main, "unit: a master alone stops no other");
        assert!(self.beside.seen.unit_stopped, "unit: the new master serves on when this one leaves alone");
        let delay = self.dice.ms(0, 8_000);
        let Some(successor) = &mut self.beside.successor else { return };
        successor.stopped = true;
        let number = successor.number;
        self.after(delay, Next::SuccessorDies(number));
    }
}

/// The new master, and the one before.
impl World {
    pub(crate) fn start_successor(&mut self) {
        assert!(self.beside.role != Role::Waiting, "unit: one that waits for its turn starts no other master");
        self.beside.successors += 1;
        let number = self.beside.successors;
        self.beside.preparing = Some(number);
        let delay = self.dice.ms(0, 300);
        self.after(delay, Next::SuccessorStarts(number));
    }

    pub(crate) fn successor_starts(&mut self, number: u32) {
        if self.beside.preparing != Some(number) {
            return;
        }
        self.beside.preparing = None;
        // In the round in which the unit ends it may be started, and has to be stopped.
        let ended = self.beside.role == Role::Main && self.beside.seen.unit_stopped && self.missed.is_none();
        assert!(!ended, "unit: no master is started in one that was stopped");
        if self.now < CALM && self.dice.percent(15) {
            self.tell(Event::SuccessorFailed { cause: CauseId::NONE });
            return;
        }
        self.beside.successor = Some(Successor { number, serves: false, stopped: false });
        self.tell(Event::SuccessorStarted);
        let delay = self.dice.ms(100, 8000);
        let serves = self.now >= CALM || self.dice.percent(70);
        self.after(delay, if serves { Next::SuccessorServes(number) } else { Next::SuccessorDies(number) });
    }

    pub(crate) fn successor_serves(&mut self, number: u32) {
        let Some(successor) = &self.beside.successor else { return };
        if (successor.number, successor.serves, successor.stopped) == (number, false, false) {
            self.tell(Event::SuccessorReady { takes_over: number % 2 == 0 });
        }
    }

    pub(crate) fn successor_dies(&mut self, number: u32) {
        if self.beside.successor.is_some_and(|successor| successor.number == number) {
            self.tell(Event::SuccessorExited { cause: CauseId::NONE });
        }
    }

    pub(crate) fn kill_successor(&mut self) {
        if let Some(successor) = self.beside.successor {
            self.successor_dies(successor.number);
        }
    }

    /// The master before this one is gone, and has handed the unit over or not.
    pub(crate) fn origin_ends(&mut self, hands_over: bool) {
        if !self.beside.origin {
            return;
        }
        // It hands over to one that serves.
        if hands_over && self.beside.seen.serving {
            self.tell(Event::HandedOver);
        }
        self.tell(Event::OriginGone);
    }
}

/// The molds of a boot.
impl World {
    /// A mold says that it cannot boot.
    pub(crate) fn mold_says(&mut self, generation: Generation) {
        let mold = self.molds.get_mut(&generation).unwrap();
        // What comes behind the end of its control socket is not heard.
        if mold.closed {
            return;
        }
        mold.said = mold.dice.percent(80);
        let said = mold.said;
        self.tell(Event::MoldFailed { generation, said, cause: CauseId::NONE });
    }

    /// A mold is reaped.
    pub(crate) fn mold_reaped(&mut self, generation: Generation, status: Option<u8>) {
        self.tell(Event::MoldExited { generation, status, cause: CauseId::NONE });
    }
}
