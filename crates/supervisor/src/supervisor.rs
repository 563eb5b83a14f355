//! The supervisor itself: how the shell talks to it, and what it tells about itself.

use alloc::vec::Vec;
use core::mem;

use crate::action::Action;
use crate::event::Event;
use crate::fleet::Fleet;
use crate::service::Service;
use crate::state::State;
use crate::successor::Successor;
use crate::time::Instant;
use crate::types::{Config, Generation, ServiceId, ServiceName, Sizes, SlotId, Trial, Warm, WorkerId};
use crate::unit::{Parting, Told};
use crate::up::Course;
use crate::worker::Worker;

/// The master's decisions.
///
/// The shell is one loop. A round of it:
///
/// 1. wait until something happens, or until [`Self::next_deadline`];
/// 2. reap, and translate what has happened into events, each of which goes to [`Self::handle`]. First signals; then what
///    molds, workers and other masters say, the end of another master included; then the exits of children; then requests
///    of the control socket; [`Event::Tick`] at last, if the deadline has come;
/// 3. perform what [`Self::poll_action`] gives until it gives nothing, and tell what comes of it at once. Then look for
///    overdue requests, and go on with this step if there are any.
///
/// The order in step 2 is part of the contract. A stop signal sent to the whole process group reaches workers too: when
/// the signal is handled before their exits, they are not replaced. A worker that said that it was ready, or why it
/// cannot boot, before it died is judged by what it said. And deadlines are judged by [`Event::Tick`] alone, behind all that
/// was said in time: the shell may have slept, or stood still, beyond several at once.
///
/// So is it that actions wait for the end of the round: a process that was reaped is forgotten by then, so that no signal
/// meant for it reaches another one under its number, and none is started under a number whose end is yet to be told.
///
/// Events about processes that the supervisor does not know (any more) change nothing.
#[derive(Debug)]
pub struct Supervisor {
    pub(crate) state: State,
    pub(crate) fleet: Fleet,
    pub(crate) now: Instant,
}

/// What the server is doing, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// [`Event::Start`] has not come yet.
    New,
    /// The first boot.
    Booting,
    /// Serving, and nothing else.
    Serving,
    /// Serving, while the next mold boots.
    Preparing,
    /// Serving, while workers are replaced slot by slot.
    Rolling,
    /// The new generation serves; old workers finish.
    Draining,
    /// A graceful stop was asked for, `shutdown_delay` runs.
    Delaying,
    /// Stopping.
    Stopping,
    /// Nothing is left: [`Action::Exit`] was given out, or waits for the end of the new master.
    Over,
}

/// The new master program beside this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuccessorPhase {
    /// There is none.
    Absent,
    /// It was asked for and does not serve yet.
    Booting,
    /// It serves.
    Serving,
    /// There is none: a program is to take this one's place.
    InPlace,
}

/// A slot whose workers have failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Which slot.
    pub slot: SlotId,
    /// Failures in a row.
    pub failures: u32,
    /// When the next worker is forked, or was.
    pub not_before: Instant,
}

impl Supervisor {
    /// A supervisor that waits for [`Event::Start`].
    pub fn new(config: Config) -> Self {
        Self { state: State::New { held: Vec::new() }, fleet: Fleet::new(config), now: Instant(0) }
    }

    /// Takes in one event. Time never goes back: an earlier `now` is taken for the latest one.
    pub fn handle(&mut self, now: Instant, event: Event) {
        self.now = self.now.max(now);
        let now = self.now;
        self.change(|state, fleet| state.on(fleet, now, event).settle(fleet, now));
        if event == Event::Tick {
            // A limit of zero is due as soon as it is set.
            while self.next_deadline().is_some_and(|deadline| deadline <= now) {
                self.change(|state, fleet| state.expire(fleet, now).settle(fleet, now));
            }
        }
        if cfg!(debug_assertions) {
            self.check_invariants(event);
        }
    }

    fn change(&mut self, next: impl FnOnce(State, &mut Fleet) -> State) {
        self.state = next(mem::replace(&mut self.state, State::Over), &mut self.fleet);
    }

    /// The next deed, oldest first.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.fleet.poll_action()
    }

    /// When to send [`Event::Tick`]; `None` when time changes nothing. After one it is later than that.
    pub fn next_deadline(&self) -> Option<Instant> {
        let of_state = match &self.state {
            State::Up(up) => up.next_deadline(&self.fleet, self.now),
            State::Stopping(stop) => stop.next_deadline(),
            State::New { .. } | State::FirstMold { .. } | State::Over => None,
        };
        of_state.into_iter().chain(self.fleet.next_deadline()).min().filter(|moment| *moment != Instant::NEVER)
    }
}

/// What status pages show.
impl Supervisor {
    /// What the server is doing.
    pub fn phase(&self) -> Phase {
        match &self.state {
            State::New { .. } => Phase::New,
            State::FirstMold { .. } => Phase::Booting,
            State::Up(up) => match up.course {
                Course::FirstFork { .. } => Phase::Booting,
                Course::Steady => Phase::Serving,
                Course::Preparing { .. } => Phase::Preparing,
                Course::Rolling(_) => Phase::Rolling,
                Course::Draining(_) => Phase::Draining,
            },
            State::Stopping(stop) if stop.delays() => Phase::Delaying,
            State::Stopping(_) if self.nothing_is_left() => Phase::Over,
            State::Stopping(_) => Phase::Stopping,
            State::Over => Phase::Over,
        }
    }

    /// The committed generation: the mold that new workers come from.
    pub fn generation(&self) -> Option<Generation> {
        match &self.state {
            State::Up(up) => Some(up.line.generation),
            State::Stopping(stop) => stop.generation,
            State::New { .. } | State::FirstMold { .. } | State::Over => None,
        }
    }

    /// What the server will exit with, once it stops.
    pub fn exit_code(&self) -> Option<u8> {
        match &self.state {
            State::Stopping(stop) => Some(stop.status()),
            State::New { .. } | State::FirstMold { .. } | State::Up(_) | State::Over => None,
        }
    }

    /// The generation that a reload is booting.
    pub fn reloads_to(&self) -> Option<Generation> {
        match &self.state {
            State::Up(up) => match up.course {
                Course::Preparing { next, .. } => Some(next),
                Course::FirstFork { .. } | Course::Steady | Course::Rolling(_) | Course::Draining(_) => None,
            },
            State::New { .. } | State::FirstMold { .. } | State::Stopping(_) | State::Over => None,
        }
    }

    /// How many workers are wanted.
    pub fn worker_processes(&self) -> u32 {
        match &self.state {
            State::Up(up) => up.target,
            State::New { .. } | State::FirstMold { .. } | State::Stopping(_) | State::Over => 0,
        }
    }

    /// Between which numbers that follows the load, where it is configured to.
    pub fn sizes(&self) -> Option<Sizes> {
        match &self.state {
            State::Up(up) => up.sizes(),
            State::New { .. } | State::FirstMold { .. } | State::Stopping(_) | State::Over => None,
        }
    }

    /// All worker processes, oldest first, those included that are about to come or to go.
    pub fn workers(&self) -> impl Iterator<Item = (WorkerId, &Worker)> {
        self.fleet.workers.iter().map(|(id, worker)| (*id, worker))
    }

    /// This worker, while it lives.
    pub fn worker(&self, id: WorkerId) -> Option<&Worker> {
        self.fleet.workers.get(&id)
    }

    /// All service processes, oldest first, those included that are about to come or to go.
    pub fn services(&self) -> impl Iterator<Item = (ServiceId, &Service)> {
        self.fleet.services.all()
    }

    /// This service process, while it lives.
    pub fn service(&self, id: ServiceId) -> Option<&Service> {
        self.fleet.services.get(id)
    }

    /// The services of the line in force: of each the failures in a row, and when the next process is started if one is missing.
    pub fn wanted_services(&self) -> impl Iterator<Item = (ServiceName, u32, Instant)> {
        let wanted = self.generation().into_iter().flat_map(|generation| self.fleet.services.wanted(generation));
        wanted.map(|(name, back_off)| (name, back_off.failures, back_off.not_before))
    }

    fn nothing_is_left(&self) -> bool {
        self.fleet.workers.is_empty() && self.fleet.molds.is_empty() && self.fleet.services.is_empty()
    }

    /// Whether SIGWINCH sent the workers away and nothing has called any back.
    pub fn is_winched(&self) -> bool {
        match &self.state {
            State::Up(up) => up.winched && up.target == 0,
            State::New { .. } | State::FirstMold { .. } | State::Stopping(_) | State::Over => false,
        }
    }

    /// Slots that the new generation serves, and slots in all; `None` when no roll is on.
    pub fn roll_progress(&self) -> Option<(u32, u32)> {
        match &self.state {
            State::Up(up) => match up.course {
                Course::Rolling(_) | Course::Draining(_) => Some(up.progress(&self.fleet)),
                Course::FirstFork { .. } | Course::Steady | Course::Preparing { .. } => None,
            },
            State::New { .. } | State::FirstMold { .. } | State::Stopping(_) | State::Over => None,
        }
    }

    /// Whether the workers are being forked anew from one of them.
    pub fn is_reforking(&self) -> bool {
        match &self.state {
            State::Up(up) => up.is_reforking(),
            State::New { .. } | State::FirstMold { .. } | State::Stopping(_) | State::Over => false,
        }
    }

    /// Whether a worker may be told to be so far that it is to be forked: then it is to be told how many requests each has
    /// answered ([`Event::WorkerServed`]).
    pub fn awaits_refork(&self) -> bool {
        match &self.state {
            State::Up(up) => up.awaits_refork(),
            State::New { .. } | State::FirstMold { .. } | State::Stopping(_) | State::Over => false,
        }
    }

    /// The mold in force, while its workers serve and nothing else goes on: a refork may pay ([`Event::ReforkPays`]).
    pub fn warm(&self) -> Option<Warm> {
        match &self.state {
            State::Up(up) => up.warm(&self.fleet),
            State::New { .. } | State::FirstMold { .. } | State::Stopping(_) | State::Over => None,
        }
    }

    /// The workers on trial, if a roll waits for what they show.
    pub fn trial(&self) -> Option<Trial> {
        match &self.state {
            State::Up(up) => up.trial(),
            State::New { .. } | State::FirstMold { .. } | State::Stopping(_) | State::Over => None,
        }
    }

    /// The generation whose mold is kept, and until when.
    pub fn previous(&self) -> Option<(Generation, Instant)> {
        match &self.state {
            State::Up(up) => up.previous.as_ref().map(|previous| (previous.line.generation, previous.until)),
            State::New { .. } | State::FirstMold { .. } | State::Stopping(_) | State::Over => None,
        }
    }

    /// Wanted slots without a serving worker whose workers have failed.
    pub fn troubles(&self) -> impl Iterator<Item = Trouble> {
        let served = |slot| self.fleet.any(|worker| worker.slot == slot && worker.serves());
        let wanted = SlotId(self.worker_processes());
        let failed = self.fleet.back_offs.range(..wanted).filter(|(_, back_off)| back_off.failures > 0);
        failed.filter(move |(slot, _)| !served(**slot)).map(|(slot, back_off)| Trouble {
            slot: *slot,
            failures: back_off.failures,
            not_before: back_off.not_before,
        })
    }

    /// The new master program beside this one.
    pub fn successor(&self) -> SuccessorPhase {
        match self.fleet.successor {
            Successor::Absent => SuccessorPhase::Absent,
            Successor::Preparing(_) | Successor::Booting(_) => SuccessorPhase::Booting,
            Successor::Serving { .. } => SuccessorPhase::Serving,
            Successor::InPlace(_) => SuccessorPhase::InPlace,
        }
    }

    /// Whether the unit goes on with the new master when this one has left.
    pub fn hands_over(&self) -> bool {
        self.fleet.unit.parting == Some(Parting::HandsOver)
    }

    /// What the service manager is to be told of the unit.
    pub fn told(&self) -> Told {
        match self.phase() {
            Phase::New | Phase::Booting => Told::Starting,
            // The old workers only finish: what was asked for is done.
            Phase::Serving | Phase::Draining => Told::Ready,
            // A refork is no reload: it was not asked for.
            Phase::Preparing | Phase::Rolling if self.is_reforking() => Told::Ready,
            Phase::Preparing | Phase::Rolling => Told::Reloading,
            // STOPPING could never be taken back.
            Phase::Delaying | Phase::Stopping | Phase::Over if self.hands_over() => Told::Ready,
            Phase::Delaying | Phase::Stopping | Phase::Over => Told::Stopping,
        }
    }

    /// Whether load balancers should send requests here.
    pub fn readyz(&self) -> bool {
        match &self.state {
            State::Up(_) => self.fleet.any(Worker::serves),
            State::New { .. } | State::FirstMold { .. } | State::Stopping(_) | State::Over => false,
        }
    }
}
